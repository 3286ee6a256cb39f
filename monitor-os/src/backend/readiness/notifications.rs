//! Notifications of a run: readiness, watchdog pings, more time, and its status.

use std::sync::Arc;

use monitor_core::Millis;
use rustix::io::Errno;
use rustix::process::Pid;

use crate::backend::readiness::probe::ReadinessProbe;
use crate::backend::start::stdio::Stdio;
use crate::command::Command;
use crate::command::ready_by::ReadyBy;
use crate::command::setup_stage::SetupStage;
use crate::command::spawn_error::{SpawnError, failed};
use crate::driver::kernel::Moment;
use crate::linux::notify::{Datagram, NotifyLine, NotifySocket};
use crate::telemetry;

/// The status that the program of a run reported by `sd_notify(3)`; it affects no decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotifyStatus {
    /// The last `STATUS=`, without control characters.
    pub status: Option<String>,
    /// Whether the program has sent `RELOADING=1`, and no `READY=1` after it.
    pub is_reloading: bool,
    /// Whether the program has sent `STOPPING=1`.
    pub is_stopping: bool,
    /// The last `ERRNO=`.
    pub errno: Option<i32>,
    /// The last `BUSERROR=`, without control characters.
    pub bus_error: Option<String>,
    /// The requests that the monitor does not honour, each name once.
    pub not_honoured: Vec<&'static str>,
    /// The number of discarded datagrams: from foreign processes, or malformed.
    pub ignored: u64,
    /// Whether the notifications cannot be received.
    ///
    /// The run outlived its monitor, and another process holds its address. The run counts as
    /// ready, and has no watchdog.
    pub is_unreachable: bool,
}

/// Receives the notifications of a run.
#[derive(Debug, Default)]
pub(crate) struct Notifications {
    pub(crate) socket: Option<NotifySocket>,
    pub(crate) probe: Option<ReadinessProbe>,
    /// Whether `READY=1` counts as readiness.
    by_notify: bool,
    was_ready: bool,
    was_unhealthy: bool,
    /// The end of the requested time, in milliseconds; a request for less changes nothing.
    extended: u64,
    /// The time of the last ping in milliseconds, the unit of the machine.
    ///
    /// A second ping within one millisecond changes nothing.
    pinged: Option<u64>,
}

/// New notifications for the machine, combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notification {
    pub(crate) ready: bool,
    pub(crate) ping: bool,
    /// The longest requested extension.
    pub(crate) extension: Option<Millis>,
    pub(crate) unhealthy: bool,
}

impl Notifications {
    /// Opens the socket and the probe of a run, and adds the program's ends to `stdio`.
    ///
    /// # Errors
    /// [`SetupStage::Readiness`]; nothing was started.
    pub(crate) fn begin(
        command: &Command,
        has_watchdog: bool,
        stdio: &mut Stdio,
    ) -> Result<Self, SpawnError> {
        let failed = |error: std::io::Error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            failed(SetupStage::Readiness, "of the run", errno)
        };
        let by = command.ready();
        let by_notify = by == Some(ReadyBy::Notify);
        let socket = (by_notify || has_watchdog).then(NotifySocket::new);
        let socket = socket.transpose().map_err(failed)?;
        let probe = match by {
            Some(ReadyBy::Descriptor(number)) => {
                let (probe, program) = ReadinessProbe::pipe().map_err(failed)?;
                stdio.add(program, number).map_err(failed)?;
                Some(probe)
            }
            Some(ReadyBy::Tcp(address)) => Some(ReadinessProbe::connection(address)),
            Some(ReadyBy::Notify) | None => None,
        };
        Ok(Self { socket, probe, by_notify, ..Self::default() })
    }

    /// `None` without a socket and a probe, as for most commands.
    pub(crate) fn into_some(self) -> Option<Box<Self>> {
        (self.socket.is_some() || self.probe.is_some()).then(|| Box::new(self))
    }

    /// Receives the notifications of a run that an earlier monitor started.
    ///
    /// The second value is the watchdog period of its start; `None` if no notifications can be
    /// received. The readiness pipe of the run, if it had one, is gone. If another process holds
    /// the run's address, the run goes on: it counts as ready, has no watchdog, and `status`
    /// reports that.
    pub(crate) fn adopt(
        command: &Command,
        pid: Pid,
        status: &mut Arc<NotifyStatus>,
    ) -> (Self, Option<Millis>) {
        let by_notify = command.ready() == Some(ReadyBy::Notify);
        let adopted = NotifySocket::of_adopted(pid);
        let is_unreachable =
            matches!(&adopted, Err(error) if error.kind() == std::io::ErrorKind::AddrInUse);
        if is_unreachable {
            Arc::make_mut(status).is_unreachable = true;
        }
        let adopted = adopted.unwrap_or_else(|error| {
            telemetry::no_notifications(&error);
            None
        });
        let (socket, watchdog) = adopted.unzip();
        let probe = match command.ready() {
            Some(ReadyBy::Tcp(address)) => Some(ReadinessProbe::connection(address)),
            Some(ReadyBy::Notify) if is_unreachable => Some(ReadinessProbe::Presumed),
            Some(ReadyBy::Notify | ReadyBy::Descriptor(_)) | None => None,
        };
        (Self { socket, probe, by_notify, ..Self::default() }, watchdog.flatten())
    }

    /// Reads a bounded number of datagrams; updates `status`.
    pub(crate) fn receive(
        &mut self,
        at: Moment,
        status: &mut Arc<NotifyStatus>,
        is_of_run: impl Fn(Pid) -> bool,
        main: Option<Pid>,
    ) -> Notification {
        let mut notification = Notification::default();
        let Some(socket) = &self.socket else {
            return notification;
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
                apply(line, status, main);
                match line {
                    NotifyLine::Ready => notification.ready = true,
                    NotifyLine::Ping => notification.ping = true,
                    NotifyLine::Unhealthy => notification.unhealthy = true,
                    NotifyLine::Extend(by) => {
                        notification.extension = notification.extension.max(Some(by))
                    }
                    NotifyLine::Stopping
                    | NotifyLine::Reloading
                    | NotifyLine::Status(_)
                    | NotifyLine::Errno(_)
                    | NotifyLine::BusError(_)
                    | NotifyLine::MainPid(_)
                    | NotifyLine::NotHonoured(_)
                    | NotifyLine::Other => {}
                }
            }
        }
        self.deduplicate(at, notification)
    }

    /// Removes repeated notifications, so that a flood of datagrams does not become a flood of
    /// events.
    fn deduplicate(&mut self, at: Moment, notification: Notification) -> Notification {
        let ready = notification.ready && self.by_notify && !self.was_ready;
        let ping = notification.ping && self.pinged != Some(at.as_millis());
        let unhealthy = notification.unhealthy && !self.was_unhealthy;
        let until = |by| at.after(by).as_millis();
        let extension =
            notification.extension.filter(|&by| !self.was_ready && until(by) > self.extended);
        self.extended = extension.map_or(self.extended, until);
        self.was_ready |= ready;
        self.was_unhealthy |= unhealthy;
        if ping {
            self.pinged = Some(at.as_millis());
        }
        Notification { ready, ping, extension, unhealthy }
    }
}

/// Applies a line to the published status.
fn apply(line: NotifyLine<'_>, status: &mut Arc<NotifyStatus>, main: Option<Pid>) {
    let mut refuse = |name: &'static str| {
        if !status.not_honoured.contains(&name) {
            Arc::make_mut(status).not_honoured.push(name);
            telemetry::not_honoured(name);
        }
    };
    match line {
        NotifyLine::NotHonoured(name) => refuse(name),
        // The run is watched and stopped by its pidfd, which no other process has.
        NotifyLine::MainPid(pid) if Pid::from_raw(pid) != main => refuse("MAINPID"),
        NotifyLine::Ready if status.is_reloading => Arc::make_mut(status).is_reloading = false,
        NotifyLine::Stopping if !status.is_stopping => Arc::make_mut(status).is_stopping = true,
        NotifyLine::Reloading if !status.is_reloading => Arc::make_mut(status).is_reloading = true,
        NotifyLine::Status(text) => Arc::make_mut(status).status = Some(plain(text)),
        NotifyLine::Errno(number) => Arc::make_mut(status).errno = Some(number),
        NotifyLine::BusError(text) => Arc::make_mut(status).bus_error = Some(plain(text)),
        NotifyLine::Ready
        | NotifyLine::Ping
        | NotifyLine::Extend(_)
        | NotifyLine::Unhealthy
        | NotifyLine::Stopping
        | NotifyLine::Reloading
        | NotifyLine::MainPid(_)
        | NotifyLine::Other => {}
    }
}

/// Makes a text safe for a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The bound for one turn of the loop, so that a flood for one run does not delay the others.
const DATAGRAMS_PER_TURN: usize = 64;

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use super::*;
    use crate::linux::clock::now;

    const NOTHING: Notification =
        Notification { ready: false, ping: false, extension: None, unhealthy: false };

    fn by_notify() -> Notifications {
        Notifications { by_notify: true, ..Notifications::default() }
    }

    /// Goal: a repeated notification is not reported, so that a flood of datagrams makes no flood
    /// of events.
    #[test]
    fn nothing_is_reported_twice() {
        let (mut notifications, at) = (by_notify(), now());
        for said in [
            Notification { ping: true, ..NOTHING },
            Notification { unhealthy: true, ..NOTHING },
            Notification { extension: Some(Millis::from_secs(9)), ..NOTHING },
            Notification { ready: true, ..NOTHING },
        ] {
            assert_eq!(notifications.deduplicate(at, said), said);
            assert_eq!(notifications.deduplicate(at, said), NOTHING, "{said:?}");
        }
        let ping = Notification { ping: true, ..NOTHING };
        assert_eq!(notifications.deduplicate(at.after(Millis::new(1)), ping), ping);
    }

    /// Goal: an extension is reported only if it exceeds the last one, and never after readiness.
    #[test]
    fn only_more_time_is_reported() {
        let (mut notifications, at) = (by_notify(), now());
        let mut notification = |millis, at| {
            let said = Notification { extension: Some(Millis::new(millis)), ..NOTHING };
            notifications.deduplicate(at, said) == said
        };
        assert!(notification(500, at) && !notification(400, at) && notification(501, at));
        assert!(notification(500, at.after(Millis::new(2))));
        notifications.deduplicate(at, Notification { ready: true, ..NOTHING });
        let said = Notification { extension: Some(Millis::from_secs(9)), ..NOTHING };
        assert_eq!(notifications.deduplicate(at, said), NOTHING);
    }

    /// Goal: the longest extension since the last poll counts, and foreign datagrams do not.
    #[test]
    fn all_that_has_come_is_taken_together() {
        for (is_of_run, extension, ignored) in
            [(true, Some(Millis::from_secs(9)), 0), (false, None, 2)]
        {
            let socket = NotifySocket::new().unwrap();
            let address = socket.address().replacen('@', "", 1);
            let address = SocketAddr::from_abstract_name(address).unwrap();
            for micros in [9_000_000, 1_000_000] {
                let said = format!("EXTEND_TIMEOUT_USEC={micros}");
                UnixDatagram::unbound().unwrap().send_to_addr(said.as_bytes(), &address).unwrap();
            }
            let mut notifications = Notifications { socket: Some(socket), ..by_notify() };
            let mut status = Arc::default();
            let notification = notifications.receive(now(), &mut status, |_| is_of_run, None);
            assert_eq!((notification.extension, status.ignored), (extension, ignored));
        }
    }

    /// Goal: a flood for one run takes one turn, so that other runs get theirs.
    #[test]
    fn a_turn_is_bounded() {
        let socket = NotifySocket::new().unwrap();
        let address = socket.address().replacen('@', "", 1);
        let address = SocketAddr::from_abstract_name(address).unwrap();
        let stranger = UnixDatagram::unbound().unwrap();
        let say = || drop(stranger.send_to_addr(b"READY=1", &address));
        say();
        let mut notifications = Notifications { socket: Some(socket), ..by_notify() };
        let mut status = Arc::default();
        for turn in 1..=3 {
            // After each received datagram the next one is ready, up to far more than one turn
            // reads.
            let taken = std::cell::Cell::new(0);
            let stranger_speaks = |_| {
                taken.set(taken.get() + 1);
                if taken.get() < 100 * DATAGRAMS_PER_TURN {
                    say();
                }
                false
            };
            notifications.receive(now(), &mut status, stranger_speaks, None);
            assert_eq!(usize::try_from(status.ignored), Ok(turn * DATAGRAMS_PER_TURN));
        }
    }

    /// Goal: `READY=1` does not count if the command has another readiness probe.
    #[test]
    fn notify_counts_only_where_it_is_awaited() {
        let ready = Notification { ready: true, ..NOTHING };
        assert_eq!(Notifications::default().deduplicate(now(), ready), NOTHING);
        assert_eq!(by_notify().deduplicate(now(), ready), ready);
    }
}
