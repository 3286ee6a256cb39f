//! Health checks in the reactor: one at a time for each run that serves.

use std::sync::Arc;

use monitor_core::Event;

use super::{CHECK, LinuxKernel};
use crate::backend::health::{Check, CheckResult, CheckStage, Health};
use crate::backend::reactor::step_log;
use crate::backend::start::launch::{Launch, LaunchContext};
use crate::backend::start::stdio::Stdio;
use crate::command::spawn_error::SpawnError;
use crate::driver::kernel::DriverInput;
use crate::linux::epoll::Trigger;
use crate::linux::orphans::Orphan;
use crate::telemetry;

impl LinuxKernel {
    /// Begins the checks of a run that serves, unless they have begun.
    pub(crate) fn begin_checks(&mut self, key: u64) {
        if self.checks.contains_key(&key) {
            return;
        }
        let Some((unit, run)) = self.runs.get(&key).map(|run| (run.unit, run.id)) else {
            return;
        };
        let Some(found) = self.units.get_mut(&unit) else {
            return;
        };
        let Some((how, command)) = found.command.health() else {
            return;
        };
        // From now on, also if the step was delayed.
        let due = self.observed.after(how.start_delay.unwrap_or(how.interval));
        found.facts().health =
            Some(Arc::new(Health { last: None, failures: 0, retries: how.retries }));
        let stage = CheckStage::Waiting(due);
        let check = Check { unit, run, how, command, stage, failures: 0, is_last: false };
        self.checks.insert(key, check);
        self.polls.insert((due, key | CHECK));
    }

    /// Ends the checks of a run, which is down only when no process of a check is left.
    pub(crate) fn end_checks(&mut self, key: u64) {
        let Some(check) = self.checks.get_mut(&key) else {
            return;
        };
        if std::mem::replace(&mut check.is_last, true) {
            return;
        }
        let Some(pid) = check.process() else {
            self.checks.remove(&key);
            return;
        };
        check.kill();
        if let Some(run) = self.runs.get_mut(&key) {
            match Orphan::hold(pid) {
                Ok(orphan) => run.orphans.push(orphan),
                Err(errno) => telemetry::orphans_unreadable(&errno.into()),
            }
        }
    }

    /// Advances the checks of a run.
    pub(crate) fn run_checks(&mut self, key: u64) {
        let at = self.observed;
        let Some(check) = self.checks.get_mut(&key) else {
            return;
        };
        match &mut check.stage {
            CheckStage::Waiting(due) if *due > at => {}
            CheckStage::Waiting(_) => self.begin_check(key),
            CheckStage::Running { deadline, .. } => {
                let is_late = *deadline <= at;
                // A result that is there counts before a deadline that is due.
                if let Some(checked) = check.collect(at) {
                    return self.checked(key, &checked);
                }
                if is_late {
                    check.time_out();
                    // Its descriptor tells of the end, unless somebody traces it or there was no room for a watch.
                    self.polls.insert((at.after(AGAIN), key | CHECK));
                }
            }
        }
    }

    fn begin_check(&mut self, key: u64) {
        let (Some(check), Some(launcher)) = (self.checks.get_mut(&key), &self.launcher) else {
            return;
        };
        let run = self.runs.get(&key);
        let context = LaunchContext {
            cgroup: run.and_then(|run| run.cgroup.as_ref()),
            mark: run.and_then(|run| run.name()),
            notified: None,
            // No monitor adopts a check.
            dies_with_monitor: true,
        };
        let launched =
            Stdio::null().and_then(|stdio| Launch::new(launcher, &check.command, &stdio, &context));
        match launched {
            Ok(mut launch) => {
                launch.go();
                let deadline = self.observed.after(check.how.timeout);
                let watched = self.epoll.add(launch.process(), key | CHECK, Trigger::Once);
                check.stage = CheckStage::Running { launch, deadline, timed_out: false };
                if let Err(error) = watched {
                    telemetry::unwatched(&error);
                }
                self.polls.insert((deadline, key | CHECK));
            }
            Err(error) => self.not_begun(key, error),
        }
    }

    fn not_begun(&mut self, key: u64, error: SpawnError) {
        if let Some(check) = self.checks.get_mut(&key) {
            check.stage = CheckStage::Waiting(self.observed.after(check.how.interval));
        }
        self.checked(key, &CheckResult::NotStarted(Arc::new(error)));
    }

    /// Counts what has come of a check, shows it, and tells the machine where that is due.
    fn checked(&mut self, key: u64, checked: &CheckResult) {
        let Some(check) = self.checks.get_mut(&key) else {
            return;
        };
        if check.is_last {
            self.checks.remove(&key);
            return;
        }
        let is_unhealthy = check.count(checked);
        let (unit, run) = (check.unit, check.run);
        if let CheckStage::Waiting(due) = check.stage {
            self.polls.insert((due, key | CHECK));
        }
        let last = Some((self.observed, checked.clone()));
        let health = Health { last, failures: check.failures, retries: check.how.retries };
        if let Some(unit) = self.units.get_mut(&unit) {
            step_log::checked(unit.name(), run, &health, checked);
            unit.facts().health = Some(Arc::new(health));
            unit.publish_facts();
        }
        if is_unhealthy {
            self.enqueue(DriverInput::Event(unit, Event::Unhealthy { run }));
        }
    }
}

/// How long after a kill a check is looked at that nobody tells of.
const AGAIN: monitor_core::Millis = monitor_core::Millis::new(100);
