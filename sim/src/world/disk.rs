//! The virtual disk: one file a unit, with what is on it and what is on its way.

use monitor_core::State;

use crate::case::definition::DiskFault;

/// What a file holds, as a monitor that reads it finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// There is no file, or nothing was ever saved.
    Missing,
    /// A file without a byte.
    Empty,
    /// The beginning of a state.
    Torn,
    /// A state.
    Whole(State),
}

/// The file of one unit and the temporary one beside it, as programs see them and as they survive a
/// loss of power.
#[derive(Clone, Copy, Debug)]
pub(super) struct VirtualDisk {
    visible: [Content; 2],
    durable: [Content; 2],
}

/// Which of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum File {
    Main = 0,
    Temporary = 1,
}

impl VirtualDisk {
    pub(super) const EMPTY: Self =
        Self { visible: [Content::Missing; 2], durable: [Content::Missing; 2] };

    /// What a monitor reads.
    pub(super) const fn read(&self) -> Content {
        self.visible[File::Main as usize]
    }

    /// A state was saved, and has survived.
    pub(super) const fn settle(&mut self, state: State) {
        self.visible[File::Main as usize] = Content::Whole(state);
        self.durable = self.visible;
    }

    /// Another writer has changed the file meanwhile.
    pub(super) const fn tear(&mut self) {
        self.visible[File::Main as usize] = Content::Torn;
    }

    /// Makes a file empty, as opening it for a new content does. Survives at once.
    pub(super) const fn truncate(&mut self, file: File) {
        self.visible[file as usize] = Content::Empty;
        self.durable[file as usize] = Content::Empty;
    }

    pub(super) const fn write(&mut self, file: File, state: State) {
        self.visible[file as usize] = Content::Whole(state);
    }

    pub(super) const fn sync(&mut self, file: File) {
        self.durable[file as usize] = self.visible[file as usize];
    }

    /// Puts the temporary file in the place of the main one. Whether that survives, the folder's
    /// sync decides.
    pub(super) const fn rename(&mut self) {
        self.visible[File::Main as usize] = self.visible[File::Temporary as usize];
    }

    /// Makes the last rename survive, with what of the file's content has survived.
    pub(super) const fn sync_folder(&mut self) {
        self.durable[File::Main as usize] = self.durable[File::Temporary as usize];
    }

    /// The power goes: what was not made to survive is lost as the disk loses it. Returns whether a
    /// program sees another content now.
    pub(super) fn lose_power(&mut self, fault: Option<DiskFault>) -> bool {
        let Some(fault) = fault else { return false };
        let before = self.read();
        let [main, temporary] = self.durable;
        let after = match (fault, before) {
            (DiskFault::Tears, Content::Whole(_)) if main == Content::Empty => Content::Torn,
            (DiskFault::Reorders, _) if before != main => temporary,
            (DiskFault::Loses | DiskFault::Tears | DiskFault::Reorders, _) => main,
        };
        self.visible = [after, temporary];
        self.durable = self.visible;
        before != after
    }
}
