//! The health checks of a run, and their published results.

use std::fmt;
use std::sync::Arc;

use monitor_core::RunId;

use crate::backend::start::launch::Launch;
use crate::command::Command;
use crate::command::health_check::HealthCheck;
use crate::command::spawn_error::SpawnError;
use crate::driver::kernel::{Moment, UnitId};
use crate::linux::process::WaitStatus;

/// The results of the health checks of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The result of the last check, and the time of its end on the monotonic clock.
    pub last: Option<(Moment, CheckResult)>,
    /// The number of failures in a row.
    pub failures: u32,
    /// The number of failures in a row that make the run unhealthy.
    pub retries: u32,
}

/// The result of a health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// The check ended in this way.
    Ended(WaitStatus),
    /// The check was killed at its timeout.
    TimedOut,
    /// The check could not be started.
    NotStarted(Arc<SpawnError>),
}

impl CheckResult {
    /// Whether the program is healthy; `None` if a transient error prevented the check.
    #[must_use]
    pub fn passed(&self) -> Option<bool> {
        match self {
            Self::Ended(ended) => Some(*ended == WaitStatus::Exited(0)),
            Self::TimedOut => Some(false),
            Self::NotStarted(error) => (!error.is_transient()).then_some(false),
        }
    }
}

impl fmt::Display for CheckResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(WaitStatus::Exited(0)) => f.write_str("passed"),
            Self::Ended(ended) => write!(f, "failed with {}", monitor_core::Exit::from(*ended)),
            Self::TimedOut => f.write_str("timed out"),
            Self::NotStarted(error) => write!(f, "could not be run: {error}"),
        }
    }
}

/// The checks of one run.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) unit: UnitId,
    pub(crate) run: RunId,
    pub(crate) how: HealthCheck,
    pub(crate) command: Command,
    pub(crate) stage: CheckStage,
    pub(crate) failures: u32,
    /// Whether the run does not serve any more, so that no other check follows.
    pub(crate) is_last: bool,
}

/// The stage of a run's checks.
#[derive(Debug)]
pub(crate) enum CheckStage {
    /// The next check is due at this time.
    Waiting(Moment),
    Running {
        launch: Launch,
        deadline: Moment,
        timed_out: bool,
    },
}

impl Check {
    /// The number of the process that is running or was not reaped.
    pub(crate) fn process(&self) -> Option<rustix::process::Pid> {
        match &self.stage {
            CheckStage::Waiting(_) => None,
            CheckStage::Running { launch, .. } => Some(launch.process().pid().to_pid()),
        }
    }

    /// Kills a running check.
    ///
    /// An ended process needs no kill. The kernel does not refuse the kill, because the check has
    /// the monitor's privileges or fewer.
    pub(crate) fn kill(&self) {
        if let CheckStage::Running { launch, .. } = &self.stage {
            launch.process().stop_group(KILL).ok();
        }
    }

    /// Kills the check, which has not ended by its deadline.
    pub(crate) fn time_out(&mut self) {
        if let CheckStage::Running { timed_out, .. } = &mut self.stage {
            *timed_out = true;
        }
        self.kill();
    }

    /// Returns the result of a check that has ended, and reaps it; `None` while it runs.
    pub(crate) fn collect(&mut self, at: Moment) -> Option<CheckResult> {
        let CheckStage::Running { launch, .. } = &self.stage else {
            return None;
        };
        launch.process().peek()?;
        // Kills the rest of the group while the zombie reserves its number.
        self.kill();
        let next = CheckStage::Waiting(at.after(self.how.interval));
        let CheckStage::Running { launch, timed_out, .. } =
            std::mem::replace(&mut self.stage, next)
        else {
            return None;
        };
        let (process, error) = launch.conclude();
        let ended = process.reap().map_or(WaitStatus::Lost, |reaped| reaped.ended);
        Some(match (timed_out, error) {
            (true, _) => CheckResult::TimedOut,
            (false, Some(error)) => CheckResult::NotStarted(Arc::new(error)),
            (false, None) => CheckResult::Ended(ended),
        })
    }

    /// Counts a result; returns whether it makes the run unhealthy.
    pub(crate) fn count(&mut self, checked: &CheckResult) -> bool {
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

    /// Goal: only failures in a row count; a passed check resets the count.
    #[test]
    fn failures_in_a_row_are_counted() {
        let how = HealthCheck::new("true", [""; 0]).unwrap().with_retries(2).unwrap();
        let command = Command::new("true", [""; 0]).unwrap();
        let stage = CheckStage::Waiting(Moment::ORIGIN);
        let (unit, run) = (UnitId::new(0), RunId::new(1));
        let mut check = Check { unit, run, how, command, stage, failures: 0, is_last: false };
        let (passed, failed) =
            (CheckResult::Ended(WaitStatus::Exited(0)), CheckResult::Ended(WaitStatus::Exited(1)));
        for (checked, unhealthy) in
            [(&failed, false), (&passed, false), (&failed, false), (&CheckResult::TimedOut, true)]
        {
            assert_eq!(check.count(checked), unhealthy, "{checked}");
        }
    }
}
