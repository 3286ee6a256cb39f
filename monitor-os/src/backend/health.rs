//! A command that asks from outside whether a program is well.

use std::fmt;
use std::sync::Arc;

use monitor_core::RunId;

use crate::backend::start::launch::Launch;
use crate::command::Command;
use crate::command::health_check::HealthCheck;
use crate::command::spawn_error::SpawnError;
use crate::driver::kernel::{Moment, UnitId};
use crate::linux::process::Ended;

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

/// How far the checks of a run are.
#[derive(Debug)]
pub(crate) enum CheckStage {
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
    pub(crate) fn process(&self) -> Option<rustix::process::Pid> {
        match &self.stage {
            CheckStage::Waiting(_) => None,
            CheckStage::Running { launch, .. } => Some(launch.process().pid().to_pid()),
        }
    }

    /// Kills what runs. Whoever has ended needs none, and a kill is not refused: it is of the same user or below.
    pub(crate) fn kill(&self) {
        if let CheckStage::Running { launch, .. } = &self.stage {
            launch.process().stop_group(KILL).ok();
        }
    }

    /// Takes the result of a check that has ended, and reaps it; `None` if it runs.
    pub(crate) fn collect(&mut self, at: Moment) -> Option<CheckResult> {
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
