//! The standard streams that lead to files, and their opening by the helper.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stdout};

use crate::linux::guarded::{Purpose, open_file};
use crate::linux::path_error::PathError;
use crate::linux::path_trust::PathTrust;

/// The standard streams of a program that lead to files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileStreams {
    pub(crate) input: Option<PathBuf>,
    pub(crate) output: Option<PathBuf>,
    pub(crate) error: Option<PathBuf>,
    /// Whether the standard error is the output file, opened once for both.
    pub(crate) joined: bool,
}

impl FileStreams {
    /// Opens the files and replaces the standard streams of this process, which then becomes the
    /// program.
    ///
    /// # Errors
    /// See [`PathFault`](crate::PathFault); the process cannot become the program after an error.
    pub(crate) fn put_in_place(&self, trust: &PathTrust) -> Result<(), PathError> {
        let Self { input, output, error, joined } = self;
        let open = |path: &Path, purpose| open_file(path, trust, purpose);
        let failed = |path: &PathBuf| {
            let path = path.clone();
            |errno: Errno| PathError { path, fault: errno.into() }
        };
        if let Some(path) = input {
            dup2_stdin(open(path, Purpose::Input)?).map_err(failed(path))?;
        }
        if let Some(path) = output {
            dup2_stdout(open(path, Purpose::Output)?).map_err(failed(path))?;
            if *joined {
                dup2_stderr(stdout()).map_err(failed(path))?;
            }
        }
        if let Some(path) = error {
            dup2_stderr(open(path, Purpose::Output)?).map_err(failed(path))?;
        }
        Ok(())
    }

    /// Encodes the streams, one text for each.
    pub(crate) fn encode(&self) -> impl Iterator<Item = Vec<u8>> {
        let Self { input, output, error, joined } = self;
        let joined = joined.then_some(Path::new(""));
        let files = [(b'0', input.as_deref()), (b'1', output.as_deref())].into_iter();
        let files = files.chain([(b'2', error.as_deref()), (b'j', joined)]);
        files.filter_map(|(number, path)| {
            Some([b"file ", &[number][..], path?.as_os_str().as_bytes()].concat())
        })
    }

    pub(crate) fn decode(&mut self, text: &[u8]) -> Option<()> {
        let (number, path) = text.split_first()?;
        let path = || Some(OsString::from_vec(path.to_vec()).into());
        match number {
            b'0' => self.input = path(),
            b'1' => self.output = path(),
            b'2' => self.error = path(),
            b'j' => self.joined = true,
            _ => return None,
        }
        Some(())
    }
}
