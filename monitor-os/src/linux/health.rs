//! A command that asks from outside whether a program is well.

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

use monitor_core::{Millis, RunId};

use super::command::{ArgVector, Command, CommandError};
use super::launch::Launch;
use super::process::Ended;
use super::spawn::SpawnError;
use crate::kernel::{Moment, UnitId};

/// A command that is run while a program serves, and fails where that is not well.
///
/// It has the environment, user, directory and limits of the program, no input, and nobody reads its output. It is run
/// again the interval after its last end, so there are never two. At its timeout it is killed with its group, which
/// counts as a failure, as does every exit status but 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    pub(super) words: ArgVector,
    pub(super) interval: Millis,
    pub(super) timeout: Millis,
    pub(super) retries: u32,
    pub(super) start_delay: Option<Millis>,
}

impl HealthCheck {
    /// A check every 30 s, which may take 30 s; three failures in a row make a program unhealthy.
    ///
    /// # Errors
    /// As [`Command::new`].
    pub fn new<I>(program: impl Into<OsString>, args: I) -> Result<Self, CommandError>
    where
        I: IntoIterator<Item: Into<OsString>>,
    {
        let command = Command::new(program, args)?;
        let words = command.words();
        let (interval, timeout) = (Millis::from_secs(30), Millis::from_secs(30));
        Ok(Self { words, interval, timeout, retries: 3, start_delay: None })
    }

    /// Waits this long between the end of a check and the next one, at least 1 ms.
    ///
    /// # Errors
    /// [`CommandError::HealthZero`].
    pub fn with_interval(mut self, interval: Millis) -> Result<Self, CommandError> {
        self.interval = positive("interval", interval)?;
        Ok(self)
    }

    /// Kills a check that takes longer, at least 1 ms.
    ///
    /// # Errors
    /// [`CommandError::HealthZero`].
    pub fn with_timeout(mut self, timeout: Millis) -> Result<Self, CommandError> {
        self.timeout = positive("timeout", timeout)?;
        Ok(self)
    }

    /// How many failures in a row make a program unhealthy, at least 1.
    ///
    /// # Errors
    /// [`CommandError::HealthZero`].
    pub fn with_retries(mut self, retries: u32) -> Result<Self, CommandError> {
        if retries == 0 {
            return Err(CommandError::HealthZero { item: "retries" });
        }
        self.retries = retries;
        Ok(self)
    }

    /// Waits this long before the first check of a run, from the moment at which it serves; else the interval.
    #[must_use]
    pub const fn with_start_delay(mut self, delay: Millis) -> Self {
        self.start_delay = Some(delay);
        self
    }
}

const fn positive(item: &'static str, time: Millis) -> Result<Millis, CommandError> {
    if time.as_u32() == 0 { Err(CommandError::HealthZero { item }) } else { Ok(time) }
}

/// The results of the health checks of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The last check, and when it was over, on the monotonic clock.
    pub last: Option<(Moment, CheckResult)>,
    /// How many have failed in a row.
    pub failures: u32,
    /// How many make it unhealthy.
    pub retries: u32,
}

/// The result of a health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// It ended in this way.
    Ended(Ended),
    /// It was killed because it took too long.
    TimedOut,
    /// It could not be started.
    NotStarted(Arc<SpawnError>),
}

impl CheckResult {
    /// Whether the program is healthy; `None` if that is unknown, because the machine had no room for the check.
    #[must_use]
    pub fn passed(&self) -> Option<bool> {
        match self {
            Self::Ended(ended) => Some(*ended == Ended::Exited(0)),
            Self::TimedOut => Some(false),
            Self::NotStarted(error) => (!error.is_transient()).then_some(false),
        }
    }
}

impl fmt::Display for CheckResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(Ended::Exited(0)) => f.write_str("passed"),
            Self::Ended(ended) => write!(f, "failed with {}", monitor_core::Exit::from(*ended)),
            Self::TimedOut => f.write_str("timed out"),
            Self::NotStarted(error) => write!(f, "could not be run: {error}"),
        }
    }
}

/// The checks of one run.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) unit: UnitId,
    pub(super) run: RunId,
    pub(super) how: HealthCheck,
    pub(super) command: Command,
    pub(super) stage: CheckStage,
    pub(super) failures: u32,
    /// Whether the run does not serve any more, so that no other check follows.
    pub(super) is_last: bool,
}

/// How far the checks of a run are.
#[derive(Debug)]
pub(super) enum CheckStage {
    /// The next is due then.
    Waiting(Moment),
    Running {
        launch: Launch,
        deadline: Moment,
        timed_out: bool,
    },
}

impl Check {
    /// The number of the process that is running or was not reaped.
    pub(super) fn process(&self) -> Option<rustix::process::Pid> {
        match &self.stage {
            CheckStage::Waiting(_) => None,
            CheckStage::Running { launch, .. } => Some(launch.process().pid().to_pid()),
        }
    }

    /// Kills what runs. Whoever has ended needs none, and a kill is not refused: it is of the same user or below.
    pub(super) fn kill(&self) {
        if let CheckStage::Running { launch, .. } = &self.stage {
            launch.process().stop_group(KILL).ok();
        }
    }

    /// Takes the result of a check that has ended, and reaps it; `None` if it runs.
    pub(super) fn collect(&mut self, at: Moment) -> Option<CheckResult> {
        let CheckStage::Running { launch, .. } = &self.stage else {
            return None;
        };
        launch.process().peek()?;
        // While the zombie holds the number of the group, for what it has left.
        self.kill();
        let next = CheckStage::Waiting(at.after(self.how.interval));
        let CheckStage::Running { launch, timed_out, .. } =
            std::mem::replace(&mut self.stage, next)
        else {
            return None;
        };
        let (process, error) = launch.conclude();
        let ended = process.reap().map_or(Ended::Lost, |reaped| reaped.ended);
        Some(match (timed_out, error) {
            (true, _) => CheckResult::TimedOut,
            (false, Some(error)) => CheckResult::NotStarted(Arc::new(error)),
            (false, None) => CheckResult::Ended(ended),
        })
    }

    /// Counts a result; returns whether it makes the run unhealthy.
    pub(super) fn count(&mut self, checked: &CheckResult) -> bool {
        match checked.passed() {
            Some(true) => self.failures = 0,
            Some(false) => self.failures = self.failures.saturating_add(1),
            None => {}
        }
        checked.passed() == Some(false) && self.failures >= self.how.retries
    }
}

const KILL: u8 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: failures count in a row: one that passes begins anew.
    #[test]
    fn failures_in_a_row_are_counted() {
        let how = HealthCheck::new("true", [""; 0]).unwrap().with_retries(2).unwrap();
        let command = Command::new("true", [""; 0]).unwrap();
        let stage = CheckStage::Waiting(Moment::ORIGIN);
        let (unit, run) = (UnitId::new(0), RunId::new(1));
        let mut check = Check { unit, run, how, command, stage, failures: 0, is_last: false };
        let (passed, failed) =
            (CheckResult::Ended(Ended::Exited(0)), CheckResult::Ended(Ended::Exited(1)));
        for (checked, unhealthy) in
            [(&failed, false), (&passed, false), (&failed, false), (&CheckResult::TimedOut, true)]
        {
            assert_eq!(check.count(checked), unhealthy, "{checked}");
        }
    }
}
