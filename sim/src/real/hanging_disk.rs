//! A disk that hangs on demand: a file system in a file in memory, which is frozen and thawed.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file system of its own, mounted in a folder. Dropped, it is thawed and unmounted; should the
/// process be killed in the middle, `fsfreeze -u` and `umount` do the same by hand.
#[derive(Debug)]
pub(super) struct HangingDisk {
    place: PathBuf,
    hangs: bool,
}

impl HangingDisk {
    /// Makes one in this folder, which should be in memory, so that no real disk is kept busy.
    ///
    /// # Errors
    /// A program is missing (e2fsprogs, util-linux) or refuses: it takes root and a loop device.
    /// Nothing is mounted.
    pub(super) fn mount(folder: &Path) -> io::Result<Self> {
        let (image, place) = (folder.join("disk.img"), folder.join("disk"));
        std::fs::File::create(&image)?.set_len(IMAGE_BYTES)?;
        std::fs::create_dir(&place)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-O", "^has_journal"]).arg(&image))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&place))?;
        let mut disk = Self { place, hangs: false };
        // Tried once, so that nothing relies on what cannot be had.
        disk.hang()?;
        disk.go_on()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    pub(super) const fn hangs(&self) -> bool {
        self.hangs
    }

    /// Lets all writers wait in the kernel, until it goes on.
    pub(super) fn hang(&mut self) -> io::Result<()> {
        run(Command::new("fsfreeze").arg("-f").arg(&self.place))?;
        self.hangs = true;
        Ok(())
    }

    /// Lets the writers go on.
    pub(super) fn go_on(&mut self) -> io::Result<()> {
        run(Command::new("fsfreeze").arg("-u").arg(&self.place))?;
        self.hangs = false;
        Ok(())
    }
}

impl Drop for HangingDisk {
    fn drop(&mut self) {
        if self.hangs {
            self.go_on().ok();
        }
        // Hidden at once, and unmounted when nothing is open in it.
        run(Command::new("umount").arg("-l").arg(&self.place)).ok();
    }
}

fn run(command: &mut Command) -> io::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let reported = |why: String| io::Error::other(format!("{program}: {why}"));
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().map_err(|error| reported(error.to_string()))?;
    if status.success() { Ok(()) } else { Err(reported(status.to_string())) }
}

const IMAGE_BYTES: u64 = 16 * 1024 * 1024;
