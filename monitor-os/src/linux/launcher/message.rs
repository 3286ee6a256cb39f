//! What the monitor and its helper say to each other, as bytes.
//!
//! Both are of one build, so the form needs a version only to refuse a stranger.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::linux::command::Command;
use crate::linux::spawn::SpawnError;

/// What the helper is to do.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::linux) struct Brief {
    pub(super) args: Vec<CString>,
    /// `NAME=value` each.
    pub(super) environment: Vec<CString>,
    pub(super) directory: Option<CString>,
}

impl Brief {
    /// The bytes of a brief for `command`, with the environment as it is at this moment.
    pub(in crate::linux) fn encode(command: &Command) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_list(&mut bytes, command.argv().iter().map(|arg| arg.as_bytes()));
        put_list(&mut bytes, command.environment().iter().map(|variable| variable.as_bytes()));
        put_list(&mut bytes, command.directory().into_iter().map(CString::as_bytes));
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let args = reader.strings()?;
        let environment = reader.strings()?;
        let directory = reader.strings()?.pop();
        (!args.is_empty() && reader.0.is_empty()).then_some(Self { args, environment, directory })
    }

    pub(super) fn program(&self) -> &CString {
        &self.args[0]
    }
}

/// The bytes by which the helper says why the program does not run.
pub(super) fn failure(error: &SpawnError) -> Vec<u8> {
    let (kind, path, searched): (u8, _, Option<&OsString>) = match error {
        SpawnError::NotFound { program, searched, .. } => (b'n', program, searched.as_ref()),
        SpawnError::InterpreterMissing { path } => (b'i', path, None),
        SpawnError::WorkingDirectory { path, .. } => (b'd', path, None),
        SpawnError::NotExecutable { path, .. }
        | SpawnError::NotAProgram { path }
        | SpawnError::ArgumentsTooLong { path }
        | SpawnError::Busy { path }
        | SpawnError::ResourcesExhausted { path, .. }
        | SpawnError::Refused { path, .. }
        | SpawnError::Unwatchable { path, .. }
        | SpawnError::LauncherDied { path }
        | SpawnError::Unrecorded { path, .. }
        | SpawnError::NoLauncher { path } => (b'x', path, None),
    };
    let mut bytes = vec![kind];
    bytes.extend(error.errno().to_le_bytes());
    put_list(&mut bytes, [path.as_os_str().as_bytes()].into_iter());
    put_list(&mut bytes, searched.map(|searched| searched.as_bytes()).into_iter());
    bytes
}

/// Reads all that the helper said until its end: `None` if it became the program.
pub(in crate::linux) fn read_failure(said: &[u8], path: &OsStr) -> Option<SpawnError> {
    match said {
        [FORM] => None,
        [FORM, failure @ ..] => Some(decode_failure(failure).unwrap_or_else(|| died(path))),
        _ => Some(died(path)),
    }
}

fn died(path: &OsStr) -> SpawnError {
    SpawnError::LauncherDied { path: path.into() }
}

fn decode_failure(bytes: &[u8]) -> Option<SpawnError> {
    let (&kind, rest) = bytes.split_first()?;
    let (errno, rest) = rest.split_first_chunk()?;
    let errno = i32::from_le_bytes(*errno);
    let mut reader = Reader(rest);
    let path = OsString::from_vec(reader.strings()?.pop()?.into_bytes()).into();
    let searched = reader.strings()?.pop().map(|text| OsString::from_vec(text.into_bytes()));
    Some(match kind {
        b'n' => SpawnError::NotFound { program: path, searched, errno },
        b'i' => SpawnError::InterpreterMissing { path },
        b'd' => SpawnError::WorkingDirectory { path, errno },
        _ => SpawnError::from_errno_there(path, rustix::io::Errno::from_raw_os_error(errno)),
    })
}

fn put_list<'a>(bytes: &mut Vec<u8>, strings: impl Iterator<Item = &'a [u8]>) {
    for string in strings {
        bytes.push(b'+');
        bytes.extend_from_slice(string);
        bytes.push(0);
    }
    bytes.push(b'.');
}

/// Takes bytes off the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn strings(&mut self) -> Option<Vec<CString>> {
        let mut strings = Vec::new();
        loop {
            match self.0.split_first()? {
                (b'.', rest) => {
                    self.0 = rest;
                    return Some(strings);
                }
                (b'+', rest) => {
                    let end = rest.iter().position(|&byte| byte == 0)?;
                    strings.push(CString::new(rest.get(..end)?).ok()?);
                    self.0 = rest.get(end + 1..)?;
                }
                _ => return None,
            }
        }
    }
}

/// The first byte that the helper says, and the first number that it is told.
pub(super) const FORM: u8 = 1;

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn briefs_go_round_and_cuts_are_refused() {
        let command = Command::new("a b", ["", "+.", "\u{e9}"]).unwrap();
        let command = command.with_environment([("A", ""), ("B", "1=2\n")]).unwrap();
        for command in [command.clone(), command.in_directory("/x y").unwrap()] {
            let bytes = Brief::encode(&command);
            let brief = Brief::decode(&bytes).unwrap();
            assert_eq!(brief.args.iter().collect::<Vec<_>>(), command.argv());
            assert_eq!(brief.environment, *command.environment());
            assert_eq!(brief.directory.as_ref(), command.directory());
            for end in 0..bytes.len() {
                assert_eq!(Brief::decode(&bytes[..end]), None);
            }
        }
    }

    #[test]
    fn failures_go_round() {
        for error in [
            SpawnError::NotFound { program: "p".into(), searched: Some("/a:/b".into()), errno: 2 },
            SpawnError::NotFound { program: "/p".into(), searched: None, errno: 20 },
            SpawnError::InterpreterMissing { path: "/p".into() },
            SpawnError::WorkingDirectory { path: "/d".into(), errno: 13 },
            SpawnError::from_errno_there("/p".into(), Errno::NOEXEC),
            SpawnError::from_errno_there("/p".into(), Errno::AGAIN),
            SpawnError::from_errno_there("/p".into(), Errno::IO),
        ] {
            let mut said = vec![FORM];
            said.extend(failure(&error));
            assert_eq!(read_failure(&said, "p".as_ref()), Some(error));
            said.pop();
            assert_eq!(read_failure(&said, "p".as_ref()), Some(died("p".as_ref())));
        }
        assert_eq!(read_failure(&[FORM], "p".as_ref()), None);
        for foreign in [&b""[..], b"usage:"] {
            assert_eq!(read_failure(foreign, "p".as_ref()), Some(died("p".as_ref())));
        }
    }
}
