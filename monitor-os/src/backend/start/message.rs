//! The messages between the monitor and its helper, as bytes.
//!
//! Both are of one build, so the version of the format only serves to reject a foreign program.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::io::Errno;

use crate::command::Command;
use crate::command::environment::Environment;
use crate::command::setup::Setup;
use crate::command::setup_stage::SetupStage;
use crate::command::spawn_error::SpawnError;
use crate::linux::path_error::PathError;

/// The task of the helper.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LaunchMessage {
    /// The program, then its arguments.
    pub(crate) args: Vec<CString>,
    /// The environment before the changes, `NAME=value` each.
    pub(crate) inherited: Vec<CString>,
    pub(crate) environment: Environment,
    pub(crate) setup: Setup,
}

impl LaunchMessage {
    /// Encodes the message for `command`, with the monitor's environment as it is at this moment.
    pub(crate) fn encode(command: &Command, setup: &Setup) -> Vec<u8> {
        let mut bytes = Vec::new();
        let environment = command.environment();
        put_list(&mut bytes, command.argv().iter().map(|arg| arg.to_bytes()));
        put_list(&mut bytes, environment.inherited().iter().map(|variable| variable.as_bytes()));
        put_list(&mut bytes, environment.encode().iter().map(Vec::as_slice));
        put_list(&mut bytes, setup.encode().iter().map(Vec::as_slice));
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let args = reader.strings()?;
        let inherited = reader.strings()?;
        let environment = Environment::decode(&reader.strings()?)?;
        let setup = Setup::decode(&reader.strings()?)?;
        let whole = !args.is_empty() && reader.0.is_empty();
        whole.then_some(Self { args, inherited, environment, setup })
    }
}

/// Encodes the error by which the helper reports that the program does not run.
pub(crate) fn failure(error: &SpawnError) -> Vec<u8> {
    let (kind, subject, detail): (u8, &OsStr, Option<OsString>) = match error {
        SpawnError::NotFound { program, searched, .. } => {
            (b'n', program.as_os_str(), searched.clone())
        }
        SpawnError::InterpreterMissing { path } => (b'i', path.as_os_str(), None),
        SpawnError::Setup { stage, subject, .. } => (b's', subject, Some(stage.name().into())),
        SpawnError::EnvironmentLine { path, line } => {
            (b'l', path.as_os_str(), Some(line.to_string().into()))
        }
        SpawnError::Stream(error) => {
            (b'o', error.path.as_os_str(), Some(error.fault.to_string().into()))
        }
        SpawnError::EnvironmentPath(error) => {
            (b'e', error.path.as_os_str(), Some(error.fault.to_string().into()))
        }
        SpawnError::NotExecutable { path, .. }
        | SpawnError::NotAProgram { path }
        | SpawnError::ArgumentsTooLong { path }
        | SpawnError::Busy { path }
        | SpawnError::ResourcesExhausted { path, .. }
        | SpawnError::Refused { path, .. }
        | SpawnError::Unwatchable { path, .. }
        | SpawnError::LauncherDied { path }
        | SpawnError::Unrecorded { path, .. }
        | SpawnError::NoLauncher { path, .. } => (b'x', path.as_os_str(), None),
    };
    let mut bytes = vec![kind];
    bytes.extend(error.errno().to_le_bytes());
    put_list(&mut bytes, [subject.as_bytes()].into_iter());
    put_list(&mut bytes, detail.iter().map(|detail| detail.as_bytes()));
    bytes
}

/// Reads the complete report of the helper; `None` if it became the program.
pub(crate) fn read_failure(said: &[u8], path: &OsStr) -> Option<SpawnError> {
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
    let subject = OsString::from_vec(reader.strings()?.pop()?.into_bytes());
    let detail = reader.strings()?.pop().map(|text| OsString::from_vec(text.into_bytes()));
    Some(match kind {
        b'n' => SpawnError::NotFound { program: subject.into(), searched: detail, errno },
        b'i' => SpawnError::InterpreterMissing { path: subject.into() },
        b's' => {
            let name = detail?;
            let stage = SetupStage::ALL.into_iter().find(|stage| name == stage.name())?;
            SpawnError::Setup { stage, subject, errno }
        }
        b'o' => {
            let fault = detail?.to_str()?.parse().ok()?;
            SpawnError::Stream(PathError { path: subject.into(), fault })
        }
        b'e' => {
            let fault = detail?.to_str()?.parse().ok()?;
            SpawnError::EnvironmentPath(PathError { path: subject.into(), fault })
        }
        b'l' => {
            let line = detail?.to_str()?.parse().ok()?;
            SpawnError::EnvironmentLine { path: subject.into(), line }
        }
        _ => SpawnError::from_errno_there(subject.into(), Errno::from_raw_os_error(errno)),
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

/// The first byte of the helper's report, and the first number among its arguments.
pub(crate) const FORM: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::pty::{Terminal, TerminalSize};
    use crate::output::capture::Capture;

    #[test]
    fn messages_go_round_and_cuts_are_refused() {
        let plain = Command::new("a b", ["", "+.", "\u{e9}"]).unwrap();
        let full = plain.clone().with_environment([("A", ""), ("B", "1=2\n")]).unwrap();
        let full = full.with_environment_file("/e f").unwrap().without_variable("A").unwrap();
        let full = full.as_user("u").unwrap().with_group("7").unwrap();
        let full = full.with_groups(["a", "b"]).unwrap().in_directory("/x y").unwrap();
        let full =
            full.with_umask(0o27).unwrap().with_nice(-3).unwrap().with_oom_score(-7).unwrap();
        let full = full.with_limit("core=0".parse().unwrap());
        let full = full.with_limit("nofile=1:unlimited".parse().unwrap());
        let terminal = Terminal::new(TerminalSize::default());
        let terminal = plain.clone().on_terminal(terminal, Capture::new());
        let no_groups = plain.clone().with_groups([""; 0]).unwrap();
        for command in [plain, full, no_groups, terminal] {
            let bytes = LaunchMessage::encode(&command, command.setup());
            let brief = LaunchMessage::decode(&bytes).unwrap();
            let args: Vec<_> = brief.args.iter().map(CString::as_c_str).collect();
            assert_eq!(args, command.argv());
            assert_eq!(brief.inherited, command.environment().inherited());
            assert_eq!(brief.environment, *command.environment());
            assert_eq!(brief.setup, *command.setup());
            for end in 0..bytes.len() {
                assert_eq!(LaunchMessage::decode(&bytes[..end]), None);
            }
        }
    }

    #[test]
    fn failures_go_round() {
        for error in [
            SpawnError::NotFound { program: "p".into(), searched: Some("/a:/b".into()), errno: 2 },
            SpawnError::NotFound { program: "/p".into(), searched: None, errno: 20 },
            SpawnError::InterpreterMissing { path: "/p".into() },
            SpawnError::EnvironmentLine { path: "/e".into(), line: 3 },
            SpawnError::from_errno_there("/p".into(), Errno::NOEXEC),
            SpawnError::from_errno_there("/p".into(), Errno::AGAIN),
            SpawnError::from_errno_there("/p".into(), Errno::IO),
        ]
        .into_iter()
        .chain(SetupStage::ALL.map(|stage| SpawnError::Setup {
            stage,
            subject: "/d".into(),
            errno: 13,
        })) {
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
