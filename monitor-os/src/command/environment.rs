//! The environment of a program: the inherited variables, and the changes to them.

use std::env;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::command::command_error::CommandError;
use crate::command::setup_stage::SetupStage;
use crate::command::spawn_error::SpawnError;
use crate::linux::guarded::{Purpose, open_file};
use crate::linux::path_error::PathFault;
use crate::linux::path_trust::PathTrust;

/// Changes to the monitor's own environment, in the order in which they are made.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Environment {
    changes: Vec<Change>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Change {
    Clear,
    /// `NAME=value`.
    Set(CString),
    /// The name.
    Unset(CString),
    /// A file of `NAME=value` lines, read at each start.
    File(CString),
}

impl Environment {
    pub(crate) fn clear(&mut self) {
        // A clear makes all earlier changes void.
        self.changes = vec![Change::Clear];
    }

    pub(crate) fn set(&mut self, name: &OsStr, value: &OsStr) -> Result<(), CommandError> {
        check(name)?;
        let nul = || CommandError::NulInEnvironment { name: name.into() };
        self.changes.push(Change::Set(variable(name, value).ok_or_else(nul)?));
        Ok(())
    }

    pub(crate) fn unset(&mut self, name: &OsStr) -> Result<(), CommandError> {
        check(name)?;
        let nul = || CommandError::NulInEnvironment { name: name.into() };
        self.changes.push(Change::Unset(CString::new(name.as_bytes()).map_err(|_| nul())?));
        Ok(())
    }

    pub(crate) fn read(&mut self, file: CString) {
        self.changes.push(Change::File(file));
    }

    /// Whether a file is to be read, which the supervisor's thread must not do.
    pub(crate) fn has_file(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::File(_)))
    }

    /// The inherited variables, `NAME=value` each, as they are at this moment.
    ///
    /// Variables [about the monitor](OF_THE_MONITOR) are left out.
    pub(crate) fn inherited(&self) -> Vec<CString> {
        if self.changes.first() == Some(&Change::Clear) {
            return Vec::new();
        }
        let inherited = env::vars_os().filter(|(name, _)| !is_of_the_monitor(name));
        inherited.filter_map(|(name, value)| variable(&name, &value)).collect()
    }

    /// Applies the changes to the inherited variables.
    ///
    /// # Errors
    /// [`SpawnError::EnvironmentLine`], and [`SpawnError::Setup`] with
    /// [`SetupStage::EnvironmentFile`].
    pub(crate) fn resolve(
        &self,
        inherited: Vec<CString>,
        trust: &PathTrust,
    ) -> Result<Vec<CString>, SpawnError> {
        let mut variables = inherited;
        for change in &self.changes {
            match change {
                Change::Clear => variables.clear(),
                Change::Set(variable) => put(&mut variables, variable.clone()),
                Change::Unset(name) => remove(&mut variables, name.as_bytes()),
                Change::File(path) => {
                    for variable in read_file(path, trust)? {
                        put(&mut variables, variable);
                    }
                }
            }
        }
        Ok(variables)
    }

    /// Encodes the changes, one text for each.
    pub(crate) fn encode(&self) -> Vec<Vec<u8>> {
        let text = |change: &Change| match change {
            Change::Clear => b"c".to_vec(),
            Change::Set(variable) => [b"s", variable.as_bytes()].concat(),
            Change::Unset(name) => [b"u", name.as_bytes()].concat(),
            Change::File(path) => [b"f", path.as_bytes()].concat(),
        };
        self.changes.iter().map(text).collect()
    }

    pub(crate) fn decode(texts: &[CString]) -> Option<Self> {
        let change = |text: &CString| {
            let (kind, rest) = text.as_bytes().split_first()?;
            let rest = CString::new(rest).ok()?;
            match kind {
                b'c' => Some(Change::Clear),
                b's' => Some(Change::Set(rest)),
                b'u' => Some(Change::Unset(rest)),
                b'f' => Some(Change::File(rest)),
                _ => None,
            }
        };
        Some(Self { changes: texts.iter().map(change).collect::<Option<_>>()? })
    }
}

fn is_of_the_monitor(name: &OsStr) -> bool {
    OF_THE_MONITOR.iter().any(|known| name == *known)
}

/// Variables by which a parent process addresses this process.
///
/// An inherited one would mislead a program: it would report readiness there, or read descriptors
/// that it does not have. No program inherits them. A command that sets one of them passes it on.
///
/// # Source
/// `systemd.exec(5)`, environment variables in spawned processes; `sd_notify(3)`;
/// `sd_watchdog_enabled(3)`; `sd_listen_fds(3)`; `child_process.fork` of Node.js.
const OF_THE_MONITOR: &[&str] = &[
    // The directory with the secrets of the service that this process is.
    "CREDENTIALS_DIRECTORY",
    // The directory with the encrypted secrets of that service.
    "ENCRYPTED_CREDENTIALS_DIRECTORY",
    // The number of descriptors that the service manager stores for this process.
    "FDSTORE",
    // The number of this run of this service, by which the journal finds its lines.
    "INVOCATION_ID",
    // The device and inode of the output that the journal reads, for its own protocol.
    "JOURNAL_STREAM",
    // The names of the descriptors that this process was given.
    "LISTEN_FDNAMES",
    // The number of these descriptors, which begin at 3.
    "LISTEN_FDS",
    // The process that these descriptors are for.
    "LISTEN_PID",
    // That process by the inode of its pidfd.
    "LISTEN_PIDFDID",
    // The main process of the service that this process belongs to.
    "MAINPID",
    // The service manager.
    "MANAGERPID",
    // The service manager by the inode of its pidfd.
    "MANAGERPIDFDID",
    // The file that reports a shortage of memory in the control group of this process.
    "MEMORY_PRESSURE_WATCH",
    // The bytes to write to that file.
    "MEMORY_PRESSURE_WRITE",
    // The run of another monitor that this process belongs to.
    "MONITOR_RUN",
    // The descriptor of the channel to the Node.js process that started this process.
    "NODE_CHANNEL_FD",
    // The format of the messages on that channel.
    "NODE_CHANNEL_SERIALIZATION_MODE",
    // The socket that takes this process's status notifications.
    "NOTIFY_SOCKET",
    // The process that the service manager started.
    "SYSTEMD_EXEC_PID",
    // The process that has to report that it is alive.
    "WATCHDOG_PID",
    // The longest silence of that process, in microseconds.
    "WATCHDOG_USEC",
];

/// Replaces the variable of equal name, or appends the variable.
pub(crate) fn put(variables: &mut Vec<CString>, variable: CString) {
    let name = name_of(&variable);
    match variables.iter_mut().find(|old| name_of(old) == name) {
        Some(old) => *old = variable,
        None => variables.push(variable),
    }
}

/// Removes the variable of this name.
pub(crate) fn remove(variables: &mut Vec<CString>, name: &[u8]) {
    variables.retain(|variable| name_of(variable) != name);
}

/// Joins `NAME=value`; `None` if a NUL byte is in it.
pub(crate) fn variable(name: &OsStr, value: &OsStr) -> Option<CString> {
    CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
}

fn name_of(variable: &CStr) -> &[u8] {
    variable.to_bytes().split(|&byte| byte == b'=').next().unwrap_or_default()
}

fn check(name: &OsStr) -> Result<(), CommandError> {
    if name.is_empty() || name.as_bytes().contains(&b'=') {
        return Err(CommandError::EnvironmentName { name: name.into() });
    }
    Ok(())
}

/// Reads `NAME=value` lines.
///
/// The value is all that follows the first `=`, without quotes or substitutions. Empty lines and
/// lines that begin with `#` are skipped. A carriage return at the end of a line is part of the
/// line end.
fn read_file(path: &CStr, trust: &PathTrust) -> Result<Vec<CString>, SpawnError> {
    let subject = OsStr::from_bytes(path.to_bytes());
    let failed = |errno| SpawnError::Setup {
        stage: SetupStage::EnvironmentFile,
        subject: subject.into(),
        errno,
    };
    let file = open_file(Path::new(subject), trust, Purpose::Settings);
    let file = file.map_err(|error| {
        if matches!(error.fault, PathFault::Os(_) | PathFault::NoDirectory) {
            failed(error.fault.errno())
        } else {
            SpawnError::EnvironmentPath(error)
        }
    })?;
    let mut bytes = Vec::new();
    let read = File::from(file).take(BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| failed(error.raw_os_error().unwrap_or(Errno::IO.raw_os_error())))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(failed(Errno::FBIG.raw_os_error()));
    }
    let mut variables = Vec::new();
    for (line, text) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() || text.starts_with(b"#") {
            continue;
        }
        variables.push(line_variable(text).ok_or_else(|| SpawnError::EnvironmentLine {
            path: PathBuf::from(OsString::from(subject)),
            line,
        })?);
    }
    Ok(variables)
}

/// Parses one line; `None` for a name with white space, such as a shell's `export NAME`.
fn line_variable(text: &[u8]) -> Option<CString> {
    let end = text.iter().position(|&byte| byte == b'=').filter(|&end| end > 0)?;
    let name = text.get(..end)?;
    if name.iter().any(u8::is_ascii_whitespace) {
        return None;
    }
    CString::new(text).ok()
}

/// The longest environment file, in bytes; the kernel takes fewer bytes of variables.
const BYTES_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn texts(variables: &[CString]) -> Vec<&str> {
        variables.iter().map(|variable| variable.to_str().unwrap()).collect()
    }

    fn file(content: &[u8]) -> (tempfile::NamedTempFile, CString) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        let path = CString::new(file.path().as_os_str().as_bytes()).unwrap();
        (file, path)
    }

    #[test]
    fn changes_are_made_in_order() {
        let (_kept, path) = file(b"# a note\n\nB=of file\r\nC=a = \"b\" # c\nD=");
        let mut environment = Environment::default();
        environment.unset("A".as_ref()).unwrap();
        environment.set("B".as_ref(), "1".as_ref()).unwrap();
        environment.read(path);
        environment.set("E".as_ref(), "2".as_ref()).unwrap();
        environment.unset("D".as_ref()).unwrap();
        let inherited = ["A=x", "AA=y", "E=z"].map(|text| CString::new(text).unwrap()).to_vec();
        let resolved = environment.resolve(inherited.clone(), &PathTrust::MONITOR).unwrap();
        assert_eq!(texts(&resolved), ["AA=y", "E=2", "B=of file", "C=a = \"b\" # c"]);
        environment.clear();
        environment.set("F".as_ref(), "".as_ref()).unwrap();
        assert!(environment.inherited().is_empty() && !environment.has_file());
        assert_eq!(texts(&environment.resolve(inherited, &PathTrust::MONITOR).unwrap()), ["F="]);
    }

    /// Goal: no variable about the monitor is inherited, and a variable with a similar name is.
    #[test]
    fn what_is_of_the_monitor_is_known_by_its_whole_name() {
        assert!(OF_THE_MONITOR.is_sorted(), "a table that people read");
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDNAMES", "MONITOR_RUN"] {
            assert!(is_of_the_monitor(name.as_ref()), "{name}");
        }
        for name in ["NOTIFY_SOCKET_2", "LISTEN", "listen_fds", ""] {
            assert!(!is_of_the_monitor(name.as_ref()), "{name}");
        }
    }

    #[test]
    fn bad_line_is_named() {
        for (content, bad) in [
            (&b"A=1\nB\n"[..], 2),
            (b"=1", 1),
            (b"\n\n#\nexport A=1", 4),
            (b" A=1", 1),
            (b"A=1\nB=\0", 2),
        ] {
            let (kept, path) = file(content);
            let mut environment = Environment::default();
            environment.read(path);
            let error = environment.resolve(Vec::new(), &PathTrust::MONITOR).unwrap_err();
            let path = kept.path().into();
            assert_eq!(error, SpawnError::EnvironmentLine { path, line: bad });
            assert!(error.to_string().contains(&format!("line {bad} of ")), "{error}");
            assert!(!error.is_transient());
        }
        let mut environment = Environment::default();
        environment.read(c"/proc/nonexistent/env".into());
        let error = environment.resolve(Vec::new(), &PathTrust::MONITOR).unwrap_err();
        assert_eq!((error.errno(), error.step()), (2, "environment"));
        assert!(error.to_string().contains("/proc/nonexistent/env"), "{error}");
    }

    #[test]
    fn changes_go_round() {
        let mut environment = Environment::default();
        environment.clear();
        environment.set("A".as_ref(), "1=2\n".as_ref()).unwrap();
        environment.unset("B".as_ref()).unwrap();
        environment.read(c"/c d".into());
        let texts = environment.encode().into_iter().map(|text| CString::new(text).unwrap());
        assert_eq!(Environment::decode(&texts.collect::<Vec<_>>()), Some(environment));
        for foreign in [c"", c"x"] {
            assert_eq!(Environment::decode(&[foreign.into()]), None);
        }
    }
}
