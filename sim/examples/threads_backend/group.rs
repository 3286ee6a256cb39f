//! A process and its group, which three backends share: signals, and who is left.

use std::fs;
use std::io::{Error, ErrorKind};

use monitor_core::{Exit, Scope, Signal, StartFailure};
use rustix::io::Errno;
use rustix::process::{
    Pid, WaitId, WaitIdOptions, kill_process, kill_process_group, test_kill_process_group, waitid,
};

/// The main process of a run, which leads its group.
///
/// Its number belongs to it until it is reaped. So no signal may be sent after that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leader(Pid);

impl Leader {
    /// The process with the number; `None` if there is no such number.
    pub(crate) fn new(number: u32) -> Option<Self> {
        Pid::from_raw(i32::try_from(number).ok()?).map(Self)
    }

    /// Waits for the end, and leaves the zombie, which keeps the number.
    pub(crate) fn wait(self) -> Exit {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = loop {
            match waitid(WaitId::Pid(self.0), options) {
                Ok(Some(status)) => break status,
                Ok(None) | Err(Errno::INTR) => {}
                Err(_) => return Exit::Unknown,
            }
        };
        let code = status.exit_status().and_then(|code| u8::try_from(code).ok());
        let signal = status.terminating_signal().and_then(|number| u8::try_from(number).ok());
        code.map(Exit::Code)
            .or_else(|| signal.and_then(Signal::new).map(Exit::Signal))
            .unwrap_or(Exit::Unknown)
    }

    /// Sends a signal to the process or to its group; false if the kernel refuses it.
    pub(crate) fn signal(self, signal: Signal, scope: Scope) -> bool {
        let Some(signal) = rustix::process::Signal::from_named_raw(i32::from(signal.number()))
        else {
            return false;
        };
        let sent = match scope {
            Scope::Process => kill_process(self.0, signal),
            Scope::Group => kill_process_group(self.0, signal),
        };
        sent.is_ok()
    }

    /// Whether a process other than a zombie is in the group.
    pub(crate) fn has_members(self) -> bool {
        if test_kill_process_group(self.0).is_err() {
            return false;
        }
        let Ok(entries) = fs::read_dir("/proc") else { return true };
        let group = self.0.as_raw_nonzero().to_string();
        entries.flatten().any(|entry| {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // The name of the program may have any character.
            let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
            let (state, found) = (fields.next(), fields.nth(1));
            found == Some(&group) && !matches!(state, Some("Z" | "X"))
        })
    }
}

/// Whether another try may help.
pub(crate) fn start_failure(error: &Error) -> StartFailure {
    let permanent = [ErrorKind::NotFound, ErrorKind::PermissionDenied];
    if permanent.contains(&error.kind()) {
        StartFailure::Permanent
    } else {
        StartFailure::Transient
    }
}
