//! The asking side of the control socket.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::protocol::{Answer, Ask, ControlRequest, Reply, VERSION, json_line};
use super::socket::address;

/// A question that was asked, and its answers.
#[derive(Debug)]
pub(crate) struct Connection {
    path: PathBuf,
    answers: BufReader<UnixStream>,
}

/// How long the answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyTimeout {
    /// Hardly any time: somebody looks again and again.
    Glance,
    /// The monitor answers by itself; if it does not, it hangs.
    Short,
    /// The answer comes when something happens.
    Endless,
}

impl ReplyTimeout {
    const fn limit(self) -> Option<Duration> {
        match self {
            Self::Glance => Some(Duration::from_secs(1)),
            Self::Short => Some(ANSWER_LIMIT),
            Self::Endless => None,
        }
    }
}

impl Connection {
    /// Asks the monitor that has a state directory, about one of its units or without naming one.
    ///
    /// # Errors
    /// See [`AskError`].
    pub(crate) fn ask(
        state: &Path,
        unit: Option<&str>,
        ask: Ask,
        timeout: ReplyTimeout,
    ) -> Result<Self, AskError> {
        let failed = |source: io::Error| AskError::Failed { path: state.into(), source };
        let stream = reach(state).map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::CONNREFUSED => AskError::NoMonitor,
            errno => failed(errno.into()),
        })?;
        let mut stream = UnixStream::from(stream);
        stream.set_read_timeout(timeout.limit()).map_err(failed)?;
        stream.set_write_timeout(Some(ANSWER_LIMIT)).map_err(failed)?;
        // A monitor that has refused the connection says why.
        match stream.write_all(&json_line(&ControlRequest::new(unit.map(Into::into), ask))) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        Ok(Self { path: state.into(), answers: BufReader::new(stream) })
    }

    /// The next answer.
    ///
    /// # Errors
    /// See [`AskError`].
    pub(crate) fn next(&mut self) -> Result<Reply, AskError> {
        let failed = |source| AskError::Failed { path: self.path.clone(), source };
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        match read {
            Ok(0) => Err(AskError::Cut),
            Ok(_) => match serde_json::from_str::<Answer>(&line) {
                Ok(Answer { version: VERSION, answer: Reply::Refused(refusal) }) => {
                    Err(AskError::Refused(refusal.message))
                }
                Ok(Answer { version: VERSION, answer }) => Ok(answer),
                Ok(Answer { version, .. }) => Err(AskError::Foreign(format!("version {version}"))),
                Err(error) => Err(AskError::Foreign(error.to_string())),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(AskError::Silent),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(AskError::Cut),
            Err(error) => Err(failed(error)),
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum AskError {
    /// Nobody listens there.
    NoMonitor,
    /// The socket cannot be used.
    Failed { path: PathBuf, source: io::Error },
    /// The monitor refused, for this reason. Nothing was done.
    Refused(String),
    /// The monitor said nothing for as long as there was patience; it may obey later.
    Silent,
    /// The monitor ended or disconnected before the last answer.
    Cut,
    /// What it said is not understood.
    Foreign(String),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMonitor => f.write_str("no monitor runs there"),
            Self::Failed { path, source } => write!(
                f,
                "cannot ask the monitor in {}: {source}; ask as its user or as root",
                path.display()
            ),
            Self::Refused(message) => f.write_str(message),
            Self::Silent => f.write_str(
                "the monitor does not answer: see by `ps` whether it is stopped; what it was asked to do it may do later",
            ),
            Self::Cut => f.write_str(
                "the monitor closed the connection before its last answer: it was killed, or disconnected a silent client; ask `monitor status`",
            ),
            Self::Foreign(what) => write!(
                f,
                "the answer is not understood ({what}); use the `monitor` of the release that runs"
            ),
        }
    }
}

impl std::error::Error for AskError {}

fn reach(state: &Path) -> Result<OwnedFd, Errno> {
    let directory = open(state, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let directory = File::from(directory);
    connect(&socket, &address(&directory)?)?;
    Ok(socket)
}

const ANSWER_LIMIT: Duration = Duration::from_secs(10);
