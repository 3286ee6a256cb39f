//! One unit of a record, and the checks of its steps.

use std::fmt::{self, Write as _};

use monitor_core::{
    Action, Event, Exit, Phase, Policy, ProcessCommand, RunId, SaveRule, StartFailure, State, Step,
};
use monitor_os::SaveStatus;
use monitor_os::record::RecordedStep;

use super::rule::Rule;
use super::timers::{Objection, Timers, ToldPeriod, WatchdogDelay, micros};
use super::tolerance::Tolerance;
use super::violation::{PastStep, PastSteps, time};
use crate::oracle::safety_oracle::SafetyOracle;

/// A command whose answer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// A spawn: *started*, *start-failed* or *exited*.
    Spawn(RunId),
    /// A release: *released*.
    Release(RunId),
}

/// Prints the command: `spawn #1`.
impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(run) => write!(f, "spawn {run}"),
            Self::Release(run) => write!(f, "release {run}"),
        }
    }
}

/// One unit of a record.
#[derive(Debug)]
pub(super) struct JudgedUnit {
    pub(super) name: String,
    pub(super) past: PastSteps,
    pub(super) timers: Timers,
    /// The time of the last line.
    pub(super) at_us: u64,
    pub(super) state: State,
    /// The number of its monitor among those of the record.
    pub(super) monitor: u32,
    policy: Policy,
    /// `None` if the state before the record is not known to the properties.
    oracle: Option<SafetyOracle>,
    /// The policy was changed, and the event about it must be next.
    policy_changed: bool,
    /// The fate of the saved run must be the next event.
    recovery_awaited: bool,
    /// The fate of a saved run was reported.
    recovered: bool,
    /// The last run that was spawned, or saved.
    last_run: RunId,
    spawn: Option<PendingSpawn>,
    /// The answer to the spawn of the last run that was reported: *started* or *start-failed*.
    start: Option<Event>,
    release: Option<RunId>,
    /// A release that was given up, and whose answer may still come.
    abandoned: Option<RunId>,
    /// The status that was told of the last run.
    exit: Option<(RunId, Exit)>,
    told: ToldPeriod,
}

/// A spawn whose answer is awaited.
#[derive(Clone, Copy, Debug)]
struct PendingSpawn {
    run: RunId,
    /// The status of the save that the spawn needs; `Saved` if it needs none.
    save: SaveStatus,
}

impl JudgedUnit {
    /// Begins a unit, or begins `earlier` anew after a crash of its monitor.
    pub(super) fn begin(
        name: &str,
        policy: Policy,
        state: State,
        monitor: u32,
        earlier: Option<&Self>,
    ) -> Self {
        let oracle = if state == State::INITIAL {
            Some(SafetyOracle::default())
        } else {
            let known = earlier.filter(|earlier| earlier.state == state);
            known.and_then(|earlier| earlier.oracle).map(SafetyOracle::after_crash)
        };
        // The program of a run was told once, whatever monitor watches it.
        let told = earlier.filter(|earlier| earlier.last_run == state.run());
        Self {
            name: name.to_owned(),
            past: PastSteps::default(),
            timers: Timers::EMPTY,
            at_us: 0,
            state,
            monitor,
            policy,
            oracle,
            policy_changed: false,
            recovery_awaited: state.phase() != Phase::Idle,
            recovered: false,
            last_run: state.run(),
            spawn: None,
            start: None,
            release: None,
            abandoned: None,
            exit: None,
            told: told.map_or(ToldPeriod::Unknown, |earlier| earlier.told),
        }
    }

    /// The unit has another policy from here on.
    pub(super) fn change_policy(&mut self, at_us: u64, policy: Policy) -> Result<(), Objection> {
        self.pass(at_us)?;
        // A spawn that waits for its save is made under either policy.
        if self.spawn.is_some_and(|spawn| spawn.save == SaveStatus::Pending) {
            self.told = ToldPeriod::Unknown;
        }
        self.policy = policy;
        self.policy_changed = true;
        Ok(())
    }

    /// Checks a step.
    pub(super) fn follow(
        &mut self,
        line: usize,
        recorded: &RecordedStep<'_>,
        tolerance: Tolerance,
    ) -> Result<(), Objection> {
        let (now, event) = (recorded.at_us, recorded.event);
        self.pass(now)?;
        self.timers.check_passed(now, micros(tolerance.late))?;
        self.check_order(event)?;
        self.check_event(now, event)?;
        let before = self.state;
        let step = self.policy.step(before, event);
        if step.state.phase() != recorded.phase || !is_recorded(step, &recorded.actions) {
            return Err(difference(step, recorded));
        }
        if let Some(oracle) = &mut self.oracle {
            oracle.observe(&self.policy, before, event, step).map_err(|property| {
                (
                    Rule::C1,
                    property.sentence().to_owned(),
                    format!("{event}, which violates {property}"),
                )
            })?;
        }
        self.await_answers(step, recorded.save, tolerance.watchdog);
        self.timers.execute(&step, now, recorded.delay, self.told)?;
        self.state = step.state;
        self.past.push(PastStep { line, at_us: now, event, step });
        Ok(())
    }

    /// The commands whose answers are awaited.
    pub(super) fn awaited(&self) -> impl Iterator<Item = Awaited> {
        let spawn = self.spawn.map(|spawn| Awaited::Spawn(spawn.run));
        spawn.into_iter().chain(self.release.map(Awaited::Release))
    }

    /// Checks the end of the record, whose last line has the time `now`.
    pub(super) fn check_end(&self, now: u64, late: u64) -> Result<(), Objection> {
        if self.state.phase().is_down() {
            // A unit that is down may have been removed, with the window of its start limit.
            return match self.awaited().next() {
                None => Ok(()),
                Some(awaited) => {
                    let rule = match awaited {
                        Awaited::Spawn(_) => Rule::C15,
                        Awaited::Release(_) => Rule::C17,
                    };
                    Err((rule, format!("an answer to {awaited}"), "the unit is down".into()))
                }
            };
        }
        self.timers.check_passed(now, late)
    }

    fn pass(&mut self, now: u64) -> Result<(), Objection> {
        if now < self.at_us {
            let expected = format!("a time from {} on", time(self.at_us));
            return Err((Rule::C4, expected, time(now)));
        }
        self.at_us = now;
        Ok(())
    }

    /// Checks that the event which must be next is next.
    fn check_order(&mut self, event: Event) -> Result<(), Objection> {
        let recovers = matches!(event, Event::Recovered { .. });
        if recovers != self.recovery_awaited && (self.recovery_awaited || !self.past.is_empty()) {
            let expected = if recovers {
                "recovered as the first event of a monitor alone".into()
            } else {
                format!("recovered {} first, because the state was saved", self.state.run())
            };
            return Err((Rule::C30, expected, event.to_string()));
        }
        self.recovery_awaited = false;
        if std::mem::take(&mut self.policy_changed) && event != Event::PolicyChanged {
            let expected = "policy-changed, because the policy has changed".into();
            return Err((Rule::C1, expected, event.to_string()));
        }
        if let Some(PendingSpawn { run, save: SaveStatus::Failed }) = self.spawn {
            let answer = Event::StartFailed { run, failure: StartFailure::Transient };
            if event != answer {
                let expected = format!("{answer}, because the state could not be saved");
                return Err((Rule::C26, expected, event.to_string()));
            }
        }
        Ok(())
    }

    /// Checks that an event was asked for, and is about a run that was made.
    fn check_event(&mut self, now: u64, event: Event) -> Result<(), Objection> {
        match event {
            Event::TimerFired { timer } => return self.timers.fire(timer, now),
            Event::Recovered { run, .. } => {
                self.recovered = true;
                if run != self.state.run() {
                    let expected = format!("the fate of {}, the saved run", self.state.run());
                    return Err((Rule::C30, expected, event.to_string()));
                }
                return Ok(());
            }
            Event::StartRequested
            | Event::StopRequested { .. }
            | Event::RestartRequested { .. }
            | Event::SignalRequested { .. }
            | Event::PolicyChanged
            | Event::ResetRequested
            | Event::RetryRequested
            | Event::Started { .. }
            | Event::StartFailed { .. }
            | Event::Ready { .. }
            | Event::Ping { .. }
            | Event::Extended { .. }
            | Event::Unhealthy { .. }
            | Event::Exited { .. }
            | Event::Released { .. } => {}
        }
        let Some(run) = event.run() else { return Ok(()) };
        let was_made = run.as_u32() <= self.last_run.as_u32();
        if !was_made || run == RunId::NONE && !self.recovered {
            let last = self.last_run;
            let expected = if last == RunId::NONE {
                "no fact about a run, because none was spawned".into()
            } else {
                format!("a fact about {last}, the last run that was spawned, or an earlier one")
            };
            return Err((Rule::C5, expected, event.to_string()));
        }
        match event {
            Event::Started { run } | Event::StartFailed { run, .. } => {
                self.answer_spawn(run, event)
            }
            Event::Exited { run, exit } => {
                self.spawn = self.spawn.filter(|spawn| spawn.run != run);
                self.check_exit(run, exit)
            }
            Event::Released { run, .. } => self.answer_release(run, event),
            Event::StartRequested
            | Event::StopRequested { .. }
            | Event::RestartRequested { .. }
            | Event::SignalRequested { .. }
            | Event::PolicyChanged
            | Event::ResetRequested
            | Event::RetryRequested
            | Event::Ready { .. }
            | Event::Ping { .. }
            | Event::Extended { .. }
            | Event::Unhealthy { .. }
            | Event::TimerFired { .. }
            | Event::Recovered { .. } => Ok(()),
        }
    }

    /// A start may be reported late, even after the end of its run, but once.
    fn answer_spawn(&mut self, run: RunId, event: Event) -> Result<(), Objection> {
        if run != self.last_run {
            return Ok(());
        }
        self.spawn = self.spawn.filter(|spawn| spawn.run != run);
        let ended = self.exit.filter(|(known, _)| *known == run);
        let told = match (self.start.replace(event), ended) {
            (Some(start), _) => start,
            (None, Some((_, exit))) if matches!(event, Event::StartFailed { .. }) => {
                Event::Exited { run, exit }
            }
            (None, _) => return Ok(()),
        };
        let expected = format!("no other answer to the spawn of {run} after {told}");
        Err((Rule::C15, expected, event.to_string()))
    }

    fn answer_release(&mut self, run: RunId, event: Event) -> Result<(), Objection> {
        let answered = self.release.take_if(|release| *release == run).is_some()
            || self.abandoned.take_if(|release| *release == run).is_some();
        if answered {
            return Ok(());
        }
        let expected =
            format!("no answer to a release of {run}, which was answered or not asked for");
        Err((Rule::C17, expected, event.to_string()))
    }

    /// A notice may be doubled, but a run ends in one way.
    fn check_exit(&mut self, run: RunId, exit: Exit) -> Result<(), Objection> {
        match self.exit {
            Some((known, told))
                if known == run
                    && told != exit
                    && told != Exit::Unknown
                    && exit != Exit::Unknown =>
            {
                let (told, seen) = (Event::Exited { run, exit: told }, Event::Exited { run, exit });
                Err((Rule::C5, format!("{told}, as it was told before"), seen.to_string()))
            }
            _ => {
                if exit != Exit::Unknown || self.exit.is_none_or(|(known, _)| known != run) {
                    self.exit = Some((run, exit));
                }
                Ok(())
            }
        }
    }

    /// Takes note of the commands that are to be answered.
    fn await_answers(&mut self, step: Step, save: SaveStatus, watchdog: WatchdogDelay) {
        let run = step.state.run();
        match step.actions.process {
            ProcessCommand::Spawn => {
                self.abandoned = self.release.take().or(self.abandoned);
                let required = self.policy.rules().save == SaveRule::Required;
                let save = if required { save } else { SaveStatus::Saved };
                self.spawn = Some(PendingSpawn { run, save });
                self.start = None;
                self.last_run = run;
                self.told = match watchdog {
                    WatchdogDelay::OfCommand => ToldPeriod::OfCommand,
                    WatchdogDelay::OfRun => {
                        let watchdog = self.policy.rules().watchdog;
                        ToldPeriod::Known(watchdog.map(|watchdog| watchdog.period))
                    }
                };
            }
            ProcessCommand::Release { .. } => self.release = Some(run),
            ProcessCommand::Abandon => {
                self.abandoned = self.release.take().or(self.abandoned);
                self.spawn = None;
            }
            ProcessCommand::Leave
            | ProcessCommand::CancelSpawn { .. }
            | ProcessCommand::Signal { .. } => {}
        }
    }
}

/// Whether the commands of a step are the recorded ones, without a text of their own.
fn is_recorded(step: Step, recorded: &[impl AsRef<str>]) -> bool {
    let mut rest = recorded.iter();
    let mut same = true;
    step.for_each(|action| {
        same &= rest.next().is_some_and(|recorded| {
            let mut comparison = Comparison(recorded.as_ref());
            is_text(&mut comparison, action) && comparison.0.is_empty()
        });
    });
    same && rest.next().is_none()
}

fn is_text(comparison: &mut Comparison<'_>, action: Action) -> bool {
    write!(comparison, "{action}").is_ok()
}

/// Takes what is written off the beginning of a text, and fails if it is another.
struct Comparison<'a>(&'a str);

impl fmt::Write for Comparison<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(text).ok_or(fmt::Error)?;
        Ok(())
    }
}

/// The commands and the phase of the machine, and those of the record.
fn difference(step: Step, recorded: &RecordedStep<'_>) -> Objection {
    let mut expected = Vec::new();
    step.for_each(|action| expected.push(action.to_string()));
    let (mut one, mut other) = (expected.clone(), recorded.actions.clone());
    one.sort_unstable();
    other.sort_unstable();
    let phase = step.state.phase();
    let rule = if phase == recorded.phase && one == other { Rule::C2 } else { Rule::C1 };
    let text = |phase: Phase, actions: String| {
        let actions = if actions.is_empty() { "-" } else { &actions };
        format!("{} => {actions} [{phase}]", recorded.event)
    };
    let seen = text(recorded.phase, recorded.actions.join("; "));
    (rule, text(phase, expected.join("; ")), seen)
}
