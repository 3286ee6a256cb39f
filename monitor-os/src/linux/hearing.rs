//! What a run is heard to say: that it serves, that it is alive, and how it is.

use std::sync::Arc;

use monitor_core::Millis;
use rustix::io::Errno;
use rustix::process::Pid;

use super::command::Command;
use super::notify::{Datagram, Line, NotifySocket};
use super::ready::{ReadyBy, Sign};
use super::setup::{self, SetupStage};
use super::spawn::SpawnError;
use super::stdio::Stdio;
use crate::kernel::Moment;
use crate::telemetry;

/// The status that the program of a run reported by `sd_notify(3)`. It decides nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotifyStatus {
    /// Its `STATUS=`, without control characters.
    pub status: Option<String>,
    /// Whether it has sent `RELOADING=1`, and not `READY=1` after it.
    pub is_reloading: bool,
    /// Whether it has sent `STOPPING=1`.
    pub is_stopping: bool,
    /// Its `ERRNO=`.
    pub errno: Option<i32>,
    /// Its `BUSERROR=`, without control characters.
    pub bus_error: Option<String>,
    /// The requests that the monitor does not honour, each name once.
    pub not_honoured: Vec<&'static str>,
    /// How many datagrams were discarded: those of other processes, and those that cannot be parsed.
    pub ignored: u64,
    /// Whether its notifications cannot be received: it outlived its monitor, and another process holds its address.
    /// It counts as ready, and has no watchdog.
    pub is_unreachable: bool,
}

/// By what a run is heard.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    pub(super) socket: Option<NotifySocket>,
    pub(super) sign: Option<Sign>,
    /// Whether `READY=1` is the sign.
    by_word: bool,
    was_ready: bool,
    was_in_trouble: bool,
    /// Until when it has asked for time, in milliseconds; to ask for less says nothing new.
    extended: u64,
    /// In milliseconds, which are the machine's: a second ping within one changes nothing.
    pinged: Option<u64>,
}

/// What the machine is to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) ready: bool,
    pub(super) ping: bool,
    /// The longest of those that were asked for.
    pub(super) extension: Option<Millis>,
    pub(super) trouble: bool,
}

impl Hearing {
    /// Makes what a run is heard by, and what its program is given for it.
    ///
    /// # Errors
    /// [`SetupStage::Readiness`]; nothing was started.
    pub(super) fn begin(
        command: &Command,
        has_watchdog: bool,
        stdio: &mut Stdio,
    ) -> Result<Self, SpawnError> {
        let failed = |error: std::io::Error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            setup::failed(SetupStage::Readiness, "of the run", errno)
        };
        let by = command.ready();
        let by_word = by == Some(ReadyBy::Notify);
        let socket = (by_word || has_watchdog).then(NotifySocket::new);
        let socket = socket.transpose().map_err(failed)?;
        let sign = match by {
            Some(ReadyBy::Descriptor(number)) => {
                let (sign, program) = Sign::pipe().map_err(failed)?;
                stdio.give(program, number).map_err(failed)?;
                Some(sign)
            }
            Some(ReadyBy::Tcp(address)) => Some(Sign::connection(address)),
            Some(ReadyBy::Notify) | None => None,
        };
        Ok(Self { socket, sign, by_word, ..Self::default() })
    }

    /// `None` if it hears nothing, as with most commands.
    pub(super) fn into_some(self) -> Option<Box<Self>> {
        (self.socket.is_some() || self.sign.is_some()).then(|| Box::new(self))
    }

    /// The same for a run that an earlier monitor has started, with the watchdog that it was told of, if it can be
    /// heard. Its pipe, if it had one, is gone.
    ///
    /// One whose address is another's is not ended for it: it counts as ready, has no watchdog, and `said` says so.
    pub(super) fn go_on(
        command: &Command,
        pid: Pid,
        status: &mut Arc<NotifyStatus>,
    ) -> (Self, Option<Millis>) {
        let by_word = command.ready() == Some(ReadyBy::Notify);
        let heard = NotifySocket::of_adopted(pid);
        let is_unreachable =
            matches!(&heard, Err(error) if error.kind() == std::io::ErrorKind::AddrInUse);
        if is_unreachable {
            Arc::make_mut(status).is_unreachable = true;
        }
        let heard = heard.unwrap_or_else(|error| {
            telemetry::unheard(&error);
            None
        });
        let (socket, watchdog) = heard.unzip();
        let sign = match command.ready() {
            Some(ReadyBy::Tcp(address)) => Some(Sign::connection(address)),
            Some(ReadyBy::Notify) if is_unreachable => Some(Sign::Presumed),
            Some(ReadyBy::Notify | ReadyBy::Descriptor(_)) | None => None,
        };
        (Self { socket, sign, by_word, ..Self::default() }, watchdog.flatten())
    }

    /// Takes what was said, a bounded number of datagrams at a time; changes `said` where that has changed.
    pub(super) fn listen(
        &mut self,
        at: Moment,
        status: &mut Arc<NotifyStatus>,
        is_of_run: impl Fn(Pid) -> bool,
        main: Option<Pid>,
    ) -> Heard {
        let mut heard = Heard::default();
        let Some(socket) = &self.socket else {
            return heard;
        };
        let mut datagram = Datagram::new();
        for _ in 0..DATAGRAMS_PER_TURN {
            if socket.receive(&mut datagram).is_none() {
                break;
            }
            let lines = datagram.lines().filter(|_| datagram.sender.is_some_and(&is_of_run));
            let Some(lines) = lines else {
                let status = Arc::make_mut(status);
                status.ignored = status.ignored.saturating_add(1);
                continue;
            };
            for line in lines {
                note(line, status, main);
                match line {
                    Line::Ready => heard.ready = true,
                    Line::Ping => heard.ping = true,
                    Line::Trouble => heard.trouble = true,
                    Line::Extend(by) => heard.extension = heard.extension.max(Some(by)),
                    Line::Stopping
                    | Line::Reloading
                    | Line::Status(_)
                    | Line::Errno(_)
                    | Line::BusError(_)
                    | Line::MainPid(_)
                    | Line::NotHonoured(_)
                    | Line::Other => {}
                }
            }
        }
        self.once(at, heard)
    }

    /// Leaves out what the machine was told before, so that a flood does not become one of events.
    fn once(&mut self, at: Moment, heard: Heard) -> Heard {
        let ready = heard.ready && self.by_word && !self.was_ready;
        let ping = heard.ping && self.pinged != Some(at.as_millis());
        let trouble = heard.trouble && !self.was_in_trouble;
        let until = |by| at.after(by).as_millis();
        let extension = heard.extension.filter(|&by| !self.was_ready && until(by) > self.extended);
        self.extended = extension.map_or(self.extended, until);
        self.was_ready |= ready;
        self.was_in_trouble |= trouble;
        if ping {
            self.pinged = Some(at.as_millis());
        }
        Heard { ready, ping, extension, trouble }
    }
}

/// Writes down what is shown.
fn note(line: Line<'_>, status: &mut Arc<NotifyStatus>, main: Option<Pid>) {
    let mut refuse = |name: &'static str| {
        if !status.not_honoured.contains(&name) {
            Arc::make_mut(status).not_honoured.push(name);
            telemetry::not_honoured(name);
        }
    };
    match line {
        Line::NotHonoured(name) => refuse(name),
        // It is watched and stopped by its pidfd, for which there is no other process.
        Line::MainPid(pid) if Pid::from_raw(pid) != main => refuse("MAINPID"),
        Line::Ready if status.is_reloading => Arc::make_mut(status).is_reloading = false,
        Line::Stopping if !status.is_stopping => Arc::make_mut(status).is_stopping = true,
        Line::Reloading if !status.is_reloading => Arc::make_mut(status).is_reloading = true,
        Line::Status(text) => Arc::make_mut(status).status = Some(plain(text)),
        Line::Errno(number) => Arc::make_mut(status).errno = Some(number),
        Line::BusError(text) => Arc::make_mut(status).bus_error = Some(plain(text)),
        Line::Ready
        | Line::Ping
        | Line::Extend(_)
        | Line::Trouble
        | Line::Stopping
        | Line::Reloading
        | Line::MainPid(_)
        | Line::Other => {}
    }
}

/// A text that can be shown on a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Bounds one turn of the loop, so that a flood for one run does not keep the others waiting.
const DATAGRAMS_PER_TURN: usize = 64;

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use super::*;
    use crate::linux::clock::now;

    const NOTHING: Heard = Heard { ready: false, ping: false, extension: None, trouble: false };

    fn by_word() -> Hearing {
        Hearing { by_word: true, ..Hearing::default() }
    }

    /// Goal: what says nothing new is not told, so that a flood is none of events.
    #[test]
    fn nothing_is_told_twice() {
        let (mut hearing, at) = (by_word(), now());
        for said in [
            Heard { ping: true, ..NOTHING },
            Heard { trouble: true, ..NOTHING },
            Heard { extension: Some(Millis::from_secs(9)), ..NOTHING },
            Heard { ready: true, ..NOTHING },
        ] {
            assert_eq!(hearing.once(at, said), said);
            assert_eq!(hearing.once(at, said), NOTHING, "{said:?}");
        }
        let ping = Heard { ping: true, ..NOTHING };
        assert_eq!(hearing.once(at.after(Millis::new(1)), ping), ping);
    }

    /// Goal: of what is asked for, only more than before is told, and nothing once it is ready.
    #[test]
    fn only_more_time_is_told() {
        let (mut hearing, at) = (by_word(), now());
        let mut told = |millis, at| {
            let said = Heard { extension: Some(Millis::new(millis)), ..NOTHING };
            hearing.once(at, said) == said
        };
        assert!(told(500, at) && !told(400, at) && told(501, at));
        assert!(told(500, at.after(Millis::new(2))));
        hearing.once(at, Heard { ready: true, ..NOTHING });
        let said = Heard { extension: Some(Millis::from_secs(9)), ..NOTHING };
        assert_eq!(hearing.once(at, said), NOTHING);
    }

    /// Goal: of what has come since the last look the longest time counts, and nothing of a stranger.
    #[test]
    fn all_that_has_come_is_taken_together() {
        for (is_of_run, heard, ignored) in [(true, Some(Millis::from_secs(9)), 0), (false, None, 2)]
        {
            let socket = NotifySocket::new().unwrap();
            let address = socket.address().replacen('@', "", 1);
            let address = SocketAddr::from_abstract_name(address).unwrap();
            for micros in [9_000_000, 1_000_000] {
                let said = format!("EXTEND_TIMEOUT_USEC={micros}");
                UnixDatagram::unbound().unwrap().send_to_addr(said.as_bytes(), &address).unwrap();
            }
            let mut hearing = Hearing { socket: Some(socket), ..by_word() };
            let mut status = Arc::default();
            let told = hearing.listen(now(), &mut status, |_| is_of_run, None);
            assert_eq!((told.extension, status.ignored), (heard, ignored));
        }
    }

    /// Goal: a flood for one run takes a turn and no more, so that the others have theirs.
    #[test]
    fn a_turn_is_bounded() {
        let socket = NotifySocket::new().unwrap();
        let address = socket.address().replacen('@', "", 1);
        let address = SocketAddr::from_abstract_name(address).unwrap();
        let stranger = UnixDatagram::unbound().unwrap();
        let say = || drop(stranger.send_to_addr(b"READY=1", &address));
        say();
        let mut hearing = Hearing { socket: Some(socket), ..by_word() };
        let mut status = Arc::default();
        for turn in 1..=3 {
            // Whenever one is taken the next is there, up to far more than a turn takes.
            let taken = std::cell::Cell::new(0);
            let stranger_speaks = |_| {
                taken.set(taken.get() + 1);
                if taken.get() < 100 * DATAGRAMS_PER_TURN {
                    say();
                }
                false
            };
            hearing.listen(now(), &mut status, stranger_speaks, None);
            assert_eq!(usize::try_from(status.ignored), Ok(turn * DATAGRAMS_PER_TURN));
        }
    }

    /// Goal: the word is no sign where another is waited for.
    #[test]
    fn word_is_the_sign_of_those_that_give_it() {
        let ready = Heard { ready: true, ..NOTHING };
        assert_eq!(Hearing::default().once(now(), ready), NOTHING);
        assert_eq!(by_word().once(now(), ready), ready);
    }
}
