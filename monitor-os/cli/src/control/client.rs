//! The client's side of the control socket.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::protocol::{ControlRequest, VERSION, json_line};
use super::reply::{Answer, Refused};
use super::request::Request;
use super::socket::address;

/// A connection on which a request was sent, and its replies come.
#[derive(Debug)]
pub(crate) struct Connection<R> {
    path: PathBuf,
    lines: BufReader<UnixStream>,
    request: PhantomData<fn(R)>,
}

/// How long a reply may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyTimeout {
    /// A moment, for a client that polls.
    Glance,
    /// Some seconds, after which the monitor counts as stuck.
    Short,
    /// No limit, because the reply depends on events.
    Endless,
}

impl ReplyTimeout {
    /// The time for a stream, which goes on for ever or ends with what there is.
    pub(crate) const fn of_stream(follow: bool) -> Self {
        if follow { Self::Endless } else { Self::Short }
    }

    const fn limit(self) -> Option<Duration> {
        match self {
            Self::Glance => Some(Duration::from_secs(1)),
            Self::Short => Some(ANSWER_LIMIT),
            Self::Endless => None,
        }
    }
}

impl<R: Request> Connection<R> {
    /// Sends a request to the monitor that has a state directory, about one of its units or without
    /// naming one.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub(crate) fn open(
        state: &Path,
        unit: Option<&str>,
        request: R,
        timeout: ReplyTimeout,
    ) -> Result<Self, RequestError> {
        let failed = |source: io::Error| RequestError::Failed { path: state.into(), source };
        let stream = reach(state).map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::CONNREFUSED => RequestError::NoMonitor,
            errno => failed(errno.into()),
        })?;
        let mut stream = UnixStream::from(stream);
        stream.set_read_timeout(timeout.limit()).map_err(failed)?;
        stream.set_write_timeout(Some(ANSWER_LIMIT)).map_err(failed)?;
        let request = ControlRequest::new(unit.map(Into::into), request.operation());
        // A monitor that has refused the connection says why.
        match stream.write_all(&json_line(&request)) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        Ok(Self { path: state.into(), lines: BufReader::new(stream), request: PhantomData })
    }

    /// The next reply.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub(crate) fn next(&mut self) -> Result<R::Reply, RequestError> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) => Err(RequestError::Cut),
            Ok(_) => read(&line),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(RequestError::Silent),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(RequestError::Cut),
            Err(source) => Err(RequestError::Failed { path: self.path.clone(), source }),
        }
    }
}

/// Reads a line of an answer.
fn read<T: DeserializeOwned>(line: &str) -> Result<T, RequestError> {
    let foreign = |error: serde_json::Error| RequestError::Foreign(error.to_string());
    let Answer { version, answer } =
        serde_json::from_str::<Answer<Value>>(line).map_err(foreign)?;
    if version != VERSION {
        return Err(RequestError::Foreign(format!("version {version}")));
    }
    match Refused::deserialize(&answer) {
        Ok(Refused { refused }) => Err(RequestError::Refused(refused.message)),
        Err(_) => T::deserialize(answer).map_err(foreign),
    }
}

/// The reason for which there is no reply.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// No monitor listens there.
    NoMonitor,
    /// The socket cannot be used.
    Failed { path: PathBuf, source: io::Error },
    /// The monitor refused, for this reason. Nothing was done.
    Refused(String),
    /// The monitor did not reply in time; it may carry out the request later.
    Silent,
    /// The monitor ended or disconnected before the last answer.
    Cut,
    /// The reply is not understood.
    Foreign(String),
}

impl fmt::Display for RequestError {
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
                "the monitor does not answer: see by `ps` whether it is stopped; it may carry out \
                 the request later",
            ),
            Self::Cut => f.write_str(
                "the monitor closed the connection before its last reply: it was killed, or \
                 disconnected a silent client; ask `monitor status`",
            ),
            Self::Foreign(what) => write!(
                f,
                "the answer is not understood ({what}); use the `monitor` of the release that runs"
            ),
        }
    }
}

impl std::error::Error for RequestError {}

fn reach(state: &Path) -> Result<OwnedFd, Errno> {
    let directory = open(state, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let directory = File::from(directory);
    connect(&socket, &address(&directory)?)?;
    Ok(socket)
}

const ANSWER_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{Refusal, RefusalKind};
    use crate::control::reply::{ChangeReply, Reply, StopReply};
    use crate::report::stop_outcome::StopOutcome;

    /// Goal: a reply is read by the request that it is for, a refusal by every request, and
    /// anything else is foreign.
    #[test]
    fn replies_are_read_by_their_request() {
        let text = |line: Vec<u8>| String::from_utf8(line).unwrap();
        let stopped = text(StopReply::Stopped(StopOutcome::Killed).line());
        assert_eq!(stopped, "{\"version\":2,\"answer\":{\"stopped\":\"killed\"}}\n");
        assert!(matches!(read(&stopped), Ok(StopReply::Stopped(StopOutcome::Killed))));
        let foreign = read::<ChangeReply>(&stopped).unwrap_err();
        assert!(matches!(&foreign, RequestError::Foreign(what) if what.contains("stopped")));
        assert!(matches!(read(&text(ChangeReply::End.line())), Ok(ChangeReply::End)));
        let refused = Refused { refused: Refusal::new(RefusalKind::Busy, "no") };
        let refused = read::<ChangeReply>(&text(refused.line())).unwrap_err();
        assert!(matches!(refused, RequestError::Refused(message) if message == "no"));
        let newer = read::<ChangeReply>("{\"version\":3,\"answer\":{\"new\":1}}").unwrap_err();
        assert!(matches!(newer, RequestError::Foreign(what) if what == "version 3"));
    }
}
