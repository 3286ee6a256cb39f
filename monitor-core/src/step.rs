//! The transition: the only place with logic. Every phase × event pair has its written answer.
//!
//! The file is one table, cut by event: each `const fn` below answers one event in every phase,
//! without a wildcard. `docs/table.md` is that table, printed.
//!
//! Answers to frequent and cheap events, and the parts that answers share, are inlined. The others
//! are calls, so that the dispatch has no registers to save. Inlining saves a third of the
//! instructions of a step, as `benches/instructions` counts them.

use crate::action::{Action, Actions, Lifecycle, ProcessCommand, ServiceCommand, TimerCommand};
use crate::event::{Event, Found, Grace, Origin, Remains, StopMode};
use crate::exit::{Exit, Outcome, StartFailure};
use crate::policy::{
    Counts, EarlyExit, Forgives, OnLimit, Policy, Readiness, Restart, Retries, StartRetry,
    StartsCounted,
};
use crate::run::{RunId, TimerKind, TimerSlot, TimerToken};
use crate::scope::Scope;
use crate::signal::Signal;
use crate::state::{Phase, Reason, State};
use crate::time::{Delay, Millis};

/// The answer to one event: the next state, the commands, and whether the event counted.
///
/// It is plain data. A driver whose save failed can execute a step again, because each command is
/// idempotent for its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[must_use = "the actions of a step are to be executed and its state kept"]
pub struct Step {
    /// The state after the event.
    pub state: State,
    /// The commands, one slot for each kind of effect, in the order of execution.
    pub actions: Actions,
    /// Whether the event counted.
    pub note: Note,
}

/// Whether an event counted. An event that did not count changed nothing and asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Note {
    /// The event counted.
    Applied,
    /// The event was about another run, or about a timer that is not armed.
    Stale,
    /// The event was about this run, and this phase has nothing to do for it.
    NotApplicable,
}

impl Note {
    /// The name in texts: `applied`, `stale`, `not-applicable`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Stale => "stale",
            Self::NotApplicable => "not-applicable",
        }
    }
}

impl Step {
    /// Calls `visit` with each command, in the order of execution.
    pub fn for_each(self, mut visit: impl FnMut(Action)) {
        let Self { state, actions, .. } = self;
        if actions.persist {
            visit(Action::Persist(state));
        }
        match actions.process {
            ProcessCommand::Leave => {}
            ProcessCommand::Spawn => visit(Action::Spawn { run: state.run }),
            ProcessCommand::Signal { signal, scope } => {
                visit(Action::Signal { run: state.run, signal, scope });
            }
            ProcessCommand::Release { signal, scope } => {
                visit(Action::Release { run: state.run, signal, scope });
            }
            ProcessCommand::CancelSpawn { signal } => {
                visit(Action::CancelSpawn { run: state.run, signal });
            }
            ProcessCommand::Abandon => visit(Action::Abandon { run: state.run }),
        }
        match actions.service {
            ServiceCommand::Keep => {}
            ServiceCommand::AwaitReady => visit(Action::AwaitReady { run: state.run }),
            ServiceCommand::Begin => visit(Action::BeginService { run: state.run }),
            ServiceCommand::End => visit(Action::EndService { run: state.run }),
        }
        for slot in TimerSlot::ALL {
            if let Some(action) = self.timer_action(slot) {
                visit(action);
            }
        }
        if let Some(lifecycle) = actions.emit {
            visit(Action::Emit(lifecycle));
        }
    }

    /// The timer of a command to this slot; `None` if the phase has no timer for the slot.
    ///
    /// A command to a slot without a timer asks for nothing.
    #[must_use]
    #[inline]
    pub const fn timer_token(&self, slot: TimerSlot) -> Option<TimerToken> {
        let kind = match slot {
            TimerSlot::Phase => self.state.phase.timer(),
            TimerSlot::Watchdog => Some(TimerKind::Watchdog),
            TimerSlot::Window => Some(TimerKind::Window),
        };
        match kind {
            Some(kind) => Some(TimerToken { run: self.state.run, kind }),
            None => None,
        }
    }

    const fn timer_action(&self, slot: TimerSlot) -> Option<Action> {
        match (self.actions.timer_command(slot), self.timer_token(slot)) {
            (TimerCommand::Keep, _) => None,
            (TimerCommand::Disarm, _) => Some(Action::Disarm { slot }),
            (TimerCommand::Arm(delay), Some(timer)) => Some(Action::Arm { timer, delay }),
            (TimerCommand::Shorten(delay), Some(timer)) => Some(Action::Shorten { timer, delay }),
            (TimerCommand::Lengthen(delay), Some(timer)) => Some(Action::Lengthen { timer, delay }),
            (TimerCommand::Arm(_) | TimerCommand::Shorten(_) | TimerCommand::Lengthen(_), None) => {
                None
            }
        }
    }

    /// The number of commands, at most seven.
    #[must_use]
    pub fn commands(self) -> usize {
        let mut count = 0;
        self.for_each(|_| count += 1);
        count
    }

    #[inline(always)]
    const fn ignored(state: State, note: Note) -> Self {
        Self { state, actions: Actions::NONE, note }
    }

    /// An event that changes the state, which must be saved.
    #[inline(always)]
    const fn changed(state: State) -> Self {
        let mut step = Self::to(state);
        step.actions.persist = true;
        step
    }

    /// An event that counts, with nothing to do yet.
    #[inline(always)]
    const fn to(state: State) -> Self {
        Self::ignored(state, Note::Applied)
    }

    #[inline(always)]
    const fn because(mut self, reason: Reason) -> Self {
        self.state.reason = reason;
        self
    }

    #[inline(always)]
    const fn ended(mut self, outcome: Outcome) -> Self {
        self.state.outcome = outcome;
        self
    }

    #[inline(always)]
    const fn signal(mut self, signal: Signal, scope: Scope) -> Self {
        self.actions.process = ProcessCommand::Signal { signal, scope };
        self
    }

    /// Cancels the spawn in flight, by the signal of this stop.
    #[inline(always)]
    const fn cancel_spawn(mut self, signal: Signal) -> Self {
        self.actions.process = ProcessCommand::CancelSpawn { signal };
        self
    }

    #[inline(always)]
    const fn arm(mut self, delay: Millis) -> Self {
        self.actions.timer = TimerCommand::Arm(Delay::exact(delay));
        self
    }

    #[inline(always)]
    const fn arm_if(self, delay: Option<Millis>) -> Self {
        match delay {
            Some(delay) => self.arm(delay),
            None => self,
        }
    }

    #[inline(always)]
    const fn timer(mut self, command: TimerCommand) -> Self {
        self.actions.timer = command;
        self
    }

    #[inline(always)]
    const fn watchdog(mut self, command: TimerCommand) -> Self {
        self.actions.watchdog = command;
        self
    }

    #[inline(always)]
    const fn emit(mut self, lifecycle: Lifecycle) -> Self {
        self.actions.emit = Some(lifecycle);
        self
    }
}

/// What follows a run that is over and released.
enum Verdict {
    Restart,
    Stay(Reason),
}

/// The source of a start.
enum Initiative {
    User,
    Policy,
    /// A user who skips the wait: the counters go on, and the start limit does not apply.
    Retry,
    /// The monitor, for a process that went down with it: nothing is counted.
    Comeback,
}

impl Policy {
    /// Answers one event. Pure and total: equal inputs give equal steps, and every input has an
    /// answer.
    ///
    /// Execute the commands in the order of [`Step::for_each`], and keep [`Step::state`] for the
    /// next call. Measure delays from the moment the event was observed. If saving fails, execute
    /// the rest and save again later; a stop must not wait for a disk.
    ///
    /// # Source
    /// `docs/ARCHITECTURE.md`; the invariants I1 to I36 of the bug bank.
    pub const fn step(&self, state: State, event: Event) -> Step {
        match event {
            Event::StartRequested => self.start_requested(state),
            Event::StopRequested { mode, origin } => {
                let reason = stop_reason(state.reason, origin);
                match mode {
                    StopMode::Graceful(grace) => self.stop_gracefully(state, reason, grace),
                    StopMode::Kill => self.kill(state, reason),
                    StopMode::OnNextExit => self.stop_on_next_exit(state, reason),
                }
            }
            Event::RestartRequested { grace } => self.restart_requested(state, grace),
            Event::SignalRequested { signal } => signal_requested(state, signal),
            Event::PolicyChanged => self.policy_changed(state),
            Event::ResetRequested => self.reset_requested(state),
            Event::RetryRequested => self.retry_requested(state),
            Event::Started { run } if run.is(state.run) => self.started(state),
            Event::StartFailed { failure, run } if run.is(state.run) => {
                self.start_failed(state, failure)
            }
            Event::Ready { run } if run.is(state.run) => self.ready(state),
            Event::Ping { run } if run.is(state.run) => self.ping(state),
            Event::Extended { by, run } if run.is(state.run) => extended(state, by),
            Event::Unhealthy { run } if run.is(state.run) => self.unhealthy(state),
            Event::Exited { exit, run } if run.is(state.run) => self.exited(state, exit),
            Event::Released { remains, run } if run.is(state.run) => self.released(state, remains),
            Event::TimerFired { timer }
                if timer.run.is(state.run) || matches!(timer.kind, TimerKind::Window) =>
            {
                self.fired(state, timer.kind)
            }
            Event::Recovered { found, run } if run.is(state.run) => self.recovered(state, found),
            // Facts about another run.
            Event::Started { .. }
            | Event::StartFailed { .. }
            | Event::Ready { .. }
            | Event::Ping { .. }
            | Event::Extended { .. }
            | Event::Unhealthy { .. }
            | Event::Exited { .. }
            | Event::Released { .. }
            | Event::TimerFired { .. }
            | Event::Recovered { .. } => Step::ignored(state, Note::Stale),
        }
    }

    // Requests.

    #[inline(never)]
    const fn start_requested(&self, state: State) -> Step {
        match state.phase {
            Phase::Idle | Phase::BackingOff | Phase::Throttled | Phase::Stopped => {
                self.begin(state, Initiative::User)
            }
            Phase::Starting | Phase::Activating | Phase::Running | Phase::Healthy => {
                if state.reason.is_stop() {
                    Step::changed(state).because(Reason::Wanted)
                } else {
                    Step::ignored(state, Note::NotApplicable)
                }
            }
            Phase::Cancelling
            | Phase::Aborting
            | Phase::Stopping
            | Phase::Killing
            | Phase::Releasing
            | Phase::Purging => start_after_the_end(state),
        }
    }

    #[inline(never)]
    const fn stop_gracefully(&self, state: State, reason: Reason, grace: Grace) -> Step {
        let stop = self.rules.stop;
        match state.phase {
            Phase::Idle | Phase::BackingOff | Phase::Throttled => self.stopped(state, reason),
            Phase::Stopped => record(state, reason),
            Phase::Starting => self
                .enter(state, Phase::Cancelling)
                .because(reason)
                .cancel_spawn(stop.signal)
                .arm_if(self.grace(grace))
                .emit(Lifecycle::Stopping),
            Phase::Activating | Phase::Running | Phase::Healthy => self
                .enter(state, Phase::Stopping)
                .because(reason)
                .signal(stop.signal, stop.scope)
                .arm_if(self.grace(grace))
                .emit(Lifecycle::Stopping),
            // The escalation is under way: a second stop may shorten it, never delay or repeat it.
            Phase::Cancelling | Phase::Stopping | Phase::Releasing => match self.grace(grace) {
                Some(grace) => record(state, reason).timer(TimerCommand::Shorten(grace)),
                None => record(state, reason),
            },
            Phase::Aborting | Phase::Killing | Phase::Purging => record(state, reason),
        }
    }

    #[inline(never)]
    const fn kill(&self, state: State, reason: Reason) -> Step {
        match state.phase {
            Phase::Idle | Phase::BackingOff | Phase::Throttled => self.stopped(state, reason),
            Phase::Stopped => record(state, reason),
            Phase::Starting => self
                .enter(state, Phase::Aborting)
                .because(reason)
                .cancel_spawn(Signal::KILL)
                .emit(Lifecycle::Stopping),
            Phase::Cancelling => {
                self.enter(state, Phase::Aborting).because(reason).cancel_spawn(Signal::KILL)
            }
            Phase::Activating | Phase::Running | Phase::Healthy | Phase::Stopping => {
                self.escalate(state).because(reason)
            }
            Phase::Releasing => self.purge(state).because(reason),
            Phase::Aborting | Phase::Killing | Phase::Purging => record(state, reason),
        }
    }

    #[inline(never)]
    const fn stop_on_next_exit(&self, state: State, reason: Reason) -> Step {
        match state.phase {
            Phase::Idle | Phase::BackingOff | Phase::Throttled => self.stopped(state, reason),
            Phase::Starting
            | Phase::Cancelling
            | Phase::Aborting
            | Phase::Activating
            | Phase::Running
            | Phase::Healthy
            | Phase::Stopping
            | Phase::Killing
            | Phase::Releasing
            | Phase::Purging
            | Phase::Stopped => record(state, reason),
        }
    }

    #[inline(never)]
    const fn restart_requested(&self, state: State, grace: Grace) -> Step {
        let stop = self.rules.stop;
        match state.phase {
            Phase::Idle | Phase::BackingOff | Phase::Throttled | Phase::Stopped => {
                self.begin(state, Initiative::User)
            }
            Phase::Starting => self
                .enter(state, Phase::Cancelling)
                .because(Reason::RestartRequested)
                .cancel_spawn(stop.signal)
                .arm_if(self.grace(grace))
                .emit(Lifecycle::Stopping),
            Phase::Activating | Phase::Running | Phase::Healthy => self
                .enter(state, Phase::Stopping)
                .because(Reason::RestartRequested)
                .signal(stop.signal, stop.scope)
                .arm_if(self.grace(grace))
                .emit(Lifecycle::Stopping),
            // The stop half is under way: it may be shortened, and is never repeated.
            Phase::Cancelling | Phase::Stopping | Phase::Releasing => {
                let step = start_after_the_end(state);
                match (self.grace(grace), state.reason) {
                    (None, _) | (_, Reason::ShutdownRequested) => step,
                    (Some(grace), _) => {
                        record(state, Reason::RestartRequested).timer(TimerCommand::Shorten(grace))
                    }
                }
            }
            Phase::Aborting | Phase::Killing | Phase::Purging => start_after_the_end(state),
        }
    }

    #[inline(never)]
    const fn policy_changed(&self, state: State) -> Step {
        match state.phase {
            Phase::BackingOff => match self.verdict(state) {
                Verdict::Restart => Step::to(state),
                Verdict::Stay(reason) => self.stopped(state, reason),
            },
            Phase::Throttled => match (state.reason, self.verdict(state)) {
                (Reason::RestartRequested, _) | (_, Verdict::Restart) => {
                    let mut step = Step::to(state);
                    if self.rules.limit.is_none() {
                        step.actions.window = TimerCommand::Shorten(Millis::ZERO);
                    }
                    step
                }
                (_, Verdict::Stay(reason)) => self.stopped(state, reason),
            },
            Phase::Running | Phase::Healthy => {
                // A program pings by the watchdog of its start, so another policy must not begin to
                // wait for pings.
                Step::to(state).watchdog(match self.rules.watchdog {
                    Some(_) => TimerCommand::Keep,
                    None => TimerCommand::Disarm,
                })
            }
            // The new policy decides whether readiness is awaited.
            Phase::Starting => {
                let mut step = Step::to(state);
                step.actions.service = self.service(Phase::Starting);
                step
            }
            Phase::Idle
            | Phase::Cancelling
            | Phase::Aborting
            | Phase::Activating
            | Phase::Stopping
            | Phase::Killing
            | Phase::Releasing
            | Phase::Purging
            | Phase::Stopped => Step::to(state),
        }
    }

    #[inline(never)]
    const fn reset_requested(&self, state: State) -> Step {
        let mut forgiven = state;
        forgiven.strikes = 0;
        forgiven.starts = 0;
        forgiven.level = self.rules.backoff.skip;
        let mut step = Step::to(forgiven);
        if matches!(state.phase, Phase::Throttled) {
            // The process waited for the window only.
            step.actions.window = TimerCommand::Shorten(Millis::ZERO);
        } else if state.starts > 0 {
            step.actions.window = TimerCommand::Disarm;
        }
        saved_if_changed(state, step)
    }

    #[inline(never)]
    const fn retry_requested(&self, state: State) -> Step {
        match state.phase {
            Phase::BackingOff | Phase::Throttled => self.begin(state, Initiative::Retry),
            Phase::Idle
            | Phase::Starting
            | Phase::Cancelling
            | Phase::Aborting
            | Phase::Activating
            | Phase::Running
            | Phase::Healthy
            | Phase::Stopping
            | Phase::Killing
            | Phase::Releasing
            | Phase::Purging
            | Phase::Stopped => Step::ignored(state, Note::NotApplicable),
        }
    }

    // Facts.

    #[inline(never)]
    const fn started(&self, state: State) -> Step {
        let stop = self.rules.stop;
        match state.phase {
            Phase::Starting => match self.rules.start.readiness {
                // Both phases own the start timeout, so it goes on.
                Readiness::Notify => self
                    .enter(state, Phase::Activating)
                    .timer(TimerCommand::Keep)
                    .emit(Lifecycle::Started),
                Readiness::Exec => self.serve(state).emit(Lifecycle::Started),
            },
            // The grace has run since the stop was requested.
            Phase::Cancelling => self
                .enter(state, Phase::Stopping)
                .timer(TimerCommand::Keep)
                .signal(stop.signal, stop.scope)
                .emit(Lifecycle::Started),
            Phase::Aborting => self
                .enter(state, Phase::Killing)
                .signal(Signal::KILL, stop.scope)
                .arm(stop.kill_window)
                .emit(Lifecycle::Started),
            Phase::Idle
            | Phase::Activating
            | Phase::Running
            | Phase::Healthy
            | Phase::Stopping
            | Phase::Killing
            | Phase::Releasing
            | Phase::Purging
            | Phase::BackingOff
            | Phase::Throttled
            | Phase::Stopped => Step::ignored(state, Note::NotApplicable),
        }
    }

    #[inline(never)]
    const fn start_failed(&self, state: State, failure: StartFailure) -> Step {
        match state.phase {
            Phase::Starting | Phase::Cancelling | Phase::Aborting => {
                let step = self.release(state, Outcome::StartFailed(failure));
                step.emit(Lifecycle::StartFailed)
            }
            // An error after the process existed is its end, and no start failure (BB-132).
            Phase::Activating
            | Phase::Running
            | Phase::Healthy
            | Phase::Stopping
            | Phase::Killing => self.exited(state, Exit::Unknown),
            Phase::Idle
            | Phase::Releasing
            | Phase::Purging
            | Phase::BackingOff
            | Phase::Throttled
            | Phase::Stopped => Step::ignored(state, Note::NotApplicable),
        }
    }

    #[inline(always)]
    const fn ready(&self, state: State) -> Step {
        match state.phase {
            // The report of readiness may overtake the acknowledgement of the spawn.
            Phase::Starting | Phase::Activating => self.serve(state).emit(Lifecycle::Ready),
            Phase::Idle
            | Phase::Cancelling
            | Phase::Aborting
            | Phase::Running
            | Phase::Healthy
            | Phase::Stopping
            | Phase::Killing
            | Phase::Releasing
            | Phase::Purging
            | Phase::BackingOff
            | Phase::Throttled
            | Phase::Stopped => Step::ignored(state, Note::NotApplicable),
        }
    }

    #[inline(always)]
    const fn ping(&self, state: State) -> Step {
        match (state.phase, self.rules.watchdog) {
            (Phase::Running | Phase::Healthy, Some(_)) => self.arm_watchdog(Step::to(state)),
            (
                Phase::Idle
                | Phase::Starting
                | Phase::Cancelling
                | Phase::Aborting
                | Phase::Activating
                | Phase::Running
                | Phase::Healthy
                | Phase::Stopping
                | Phase::Killing
                | Phase::Releasing
                | Phase::Purging
                | Phase::BackingOff
                | Phase::Throttled
                | Phase::Stopped,
                _,
            ) => Step::ignored(state, Note::NotApplicable),
        }
    }

    #[inline(never)]
    const fn unhealthy(&self, state: State) -> Step {
        match state.phase {
            Phase::Activating | Phase::Running | Phase::Healthy => {
                self.fault(state, Reason::Unhealthy, self.rules.stop.signal)
            }
            Phase::Idle
            | Phase::Starting
            | Phase::Cancelling
            | Phase::Aborting
            | Phase::Stopping
            | Phase::Killing
            | Phase::Releasing
            | Phase::Purging
            | Phase::BackingOff
            | Phase::Throttled
            | Phase::Stopped => Step::ignored(state, Note::NotApplicable),
        }
    }

    #[inline(never)]
    const fn exited(&self, state: State, exit: Exit) -> Step {
        match state.phase {
            Phase::Starting
            | Phase::Cancelling
            | Phase::Aborting
            | Phase::Activating
            | Phase::Running
            | Phase::Healthy
            | Phase::Stopping
            | Phase::Killing => {
                let mut step = self.release(state, Outcome::Exited(exit));
                if self.is_early(state) {
                    step.state.reason = Reason::EarlyExit;
                }
                step.emit(Lifecycle::Exited)
            }
            // The first status counts.
            Phase::Idle
            | Phase::Releasing
            | Phase::Purging
            | Phase::BackingOff
            | Phase::Throttled
            | Phase::Stopped => Step::ignored(state, Note::NotApplicable),
        }
    }

    #[inline(never)]
    const fn released(&self, state: State, remains: Remains) -> Step {
        match state.phase {
            Phase::Releasing | Phase::Purging => self.decide(state, remains),
            Phase::Idle
            | Phase::Starting
            | Phase::Cancelling
            | Phase::Aborting
            | Phase::Activating
            | Phase::Running
            | Phase::Healthy
            | Phase::Stopping
            | Phase::Killing
            | Phase::BackingOff
            | Phase::Throttled
            | Phase::Stopped => Step::ignored(state, Note::NotApplicable),
        }
    }

    #[inline(never)]
    const fn fired(&self, state: State, kind: TimerKind) -> Step {
        let mut step = self.timer_fired(state, kind);
        // The slot of a fired timer is empty: nothing has to be disarmed.
        match (kind.slot(), step.actions.timer, step.actions.watchdog) {
            (TimerSlot::Phase, TimerCommand::Disarm, _) => {
                step.actions.timer = TimerCommand::Keep;
            }
            (TimerSlot::Watchdog, _, TimerCommand::Disarm) => {
                step.actions.watchdog = TimerCommand::Keep;
            }
            (TimerSlot::Phase | TimerSlot::Watchdog | TimerSlot::Window, _, _) => {}
        }
        step
    }

    #[inline(always)]
    const fn timer_fired(&self, state: State, kind: TimerKind) -> Step {
        match (kind, state.phase) {
            (TimerKind::StartTimeout, Phase::Starting) => self
                .strike(state, self.enter(state, Phase::Cancelling))
                .because(fault_reason(state.reason, Reason::StartTimeout))
                .cancel_spawn(self.rules.stop.signal)
                .arm_if(self.rules.stop.grace)
                .emit(Lifecycle::Stopping),
            (TimerKind::StartTimeout, Phase::Activating) => {
                self.fault(state, Reason::StartTimeout, self.rules.stop.signal)
            }
            (TimerKind::Healthy, Phase::Running) => self.healthy(state),
            (TimerKind::StopGrace, Phase::Cancelling) => {
                self.enter(state, Phase::Aborting).cancel_spawn(Signal::KILL)
            }
            (TimerKind::StopGrace, Phase::Stopping) => self.escalate(state),
            (TimerKind::StopGrace, Phase::Releasing) => self.purge(state),
            (TimerKind::KillWindow, Phase::Killing) => Step::to(state)
                .signal(Signal::KILL, self.rules.stop.scope)
                .arm(self.rules.stop.kill_window)
                .emit(Lifecycle::Unkillable),
            // Processes that survive a kill for that long are given up and reported as leaked.
            (TimerKind::KillWindow, Phase::Purging) => {
                let mut step = self.decide(state, Remains::Leaked);
                if matches!(step.actions.process, ProcessCommand::Leave) {
                    step.actions.process = ProcessCommand::Abandon;
                }
                step
            }
            (TimerKind::Backoff, Phase::BackingOff) => self.begin(state, Initiative::Policy),
            (TimerKind::Watchdog, Phase::Running | Phase::Healthy) => match self.rules.watchdog {
                Some(watchdog) => self.fault(state, Reason::Watchdog, watchdog.signal),
                None => Step::ignored(state, Note::Stale),
            },
            (TimerKind::Window, Phase::Throttled) => {
                let mut open = state;
                open.starts = 0;
                let asked = matches!(state.reason, Reason::RestartRequested);
                self.begin(open, if asked { Initiative::User } else { Initiative::Policy })
            }
            (
                TimerKind::Window,
                Phase::Idle
                | Phase::Starting
                | Phase::Cancelling
                | Phase::Aborting
                | Phase::Activating
                | Phase::Running
                | Phase::Healthy
                | Phase::Stopping
                | Phase::Killing
                | Phase::Releasing
                | Phase::Purging
                | Phase::BackingOff
                | Phase::Stopped,
            ) => {
                if state.starts == 0 {
                    return Step::ignored(state, Note::Stale);
                }
                let mut open = state;
                open.starts = 0;
                Step::changed(open)
            }
            (
                TimerKind::StartTimeout
                | TimerKind::Healthy
                | TimerKind::StopGrace
                | TimerKind::KillWindow
                | TimerKind::Backoff
                | TimerKind::Watchdog,
                Phase::Idle
                | Phase::Starting
                | Phase::Cancelling
                | Phase::Aborting
                | Phase::Activating
                | Phase::Running
                | Phase::Healthy
                | Phase::Stopping
                | Phase::Killing
                | Phase::Releasing
                | Phase::Purging
                | Phase::BackingOff
                | Phase::Throttled
                | Phase::Stopped,
            ) => Step::ignored(state, Note::Stale),
        }
    }

    #[inline(never)]
    const fn recovered(&self, state: State, found: Found) -> Step {
        let mut step = match found {
            Found::Alive => self.recovered_alive(state),
            Found::Exited(exit) => self.recovered_dead(state, exit, false),
            Found::Gone => self.recovered_dead(state, Exit::Unknown, false),
            Found::Rebooted => self.recovered_dead(state, Exit::Unknown, true),
        };
        // The backend is new, and has begun nothing.
        let service = self.service(step.state.phase);
        let begins = !matches!(service, ServiceCommand::End);
        step.actions.service = if begins { service } else { ServiceCommand::Keep };
        // Timers did not survive. A window that never closes would hold up starts for ever.
        if step.state.starts > 0 {
            match self.rules.limit {
                Some(limit) => step.actions.window = TimerCommand::Arm(Delay::exact(limit.window)),
                None => step.state.starts = 0,
            }
        }
        saved_if_changed(state, step)
    }

    const fn recovered_alive(&self, state: State) -> Step {
        let stop = self.rules.stop;
        match state.phase {
            // Timers did not survive; each phase gets its own again, in full.
            Phase::Starting => {
                let step = self.started(state);
                if matches!(step.state.phase, Phase::Activating) {
                    step.arm_if(self.rules.start.timeout)
                } else {
                    step
                }
            }
            Phase::Aborting => self.started(state),
            Phase::Cancelling => self.started(state).arm_if(stop.grace),
            Phase::Activating => Step::to(state).arm_if(self.rules.start.timeout),
            Phase::Running => self.arm_serving(Step::to(state)),
            Phase::Healthy => self.arm_watchdog(Step::to(state)),
            Phase::Stopping => Step::to(state).signal(stop.signal, stop.scope).arm_if(stop.grace),
            Phase::Killing => {
                Step::to(state).signal(Signal::KILL, stop.scope).arm(stop.kill_window)
            }
            // The saved state says that the process ended. A process that lives must not run beside
            // a new run.
            Phase::Releasing
            | Phase::Purging
            | Phase::BackingOff
            | Phase::Throttled
            | Phase::Stopped => {
                // The unit was stopped before its first start: it has no run that could live.
                if state.run.is(RunId::NONE) {
                    return Step::ignored(state, Note::NotApplicable);
                }
                self.enter(state, Phase::Purging)
                    .signal(Signal::KILL, stop.scope)
                    .arm(stop.kill_window)
            }
            Phase::Idle => Step::ignored(state, Note::NotApplicable),
        }
    }

    const fn recovered_dead(&self, state: State, exit: Exit, rebooted: bool) -> Step {
        let stop = self.rules.stop;
        match state.phase {
            Phase::Starting
            | Phase::Aborting
            | Phase::Activating
            | Phase::Running
            | Phase::Healthy => self.exited(state, exit),
            // The escalation goes on, but its timer did not survive.
            Phase::Cancelling | Phase::Stopping => self.exited(state, exit).arm_if(stop.grace),
            Phase::Killing => self.exited(state, exit).arm(stop.kill_window),
            Phase::Releasing => {
                let mut step = Step::to(state).arm_if(stop.grace);
                step.actions.process = self.release_command(Phase::Releasing);
                step
            }
            Phase::Purging => {
                let mut step = Step::to(state).arm(stop.kill_window);
                step.actions.process = self.release_command(Phase::Purging);
                step
            }
            Phase::BackingOff => {
                let delay = self.rules.backoff.delay(state.level.saturating_sub(1));
                Step::to(state).timer(TimerCommand::Arm(delay))
            }
            Phase::Throttled => {
                let mut step = Step::to(state);
                step.actions.window = match self.rules.limit {
                    Some(limit) => TimerCommand::Arm(Delay::exact(limit.window)),
                    None => TimerCommand::Arm(Delay::exact(Millis::ZERO)),
                };
                step
            }
            Phase::Stopped => {
                let comes_back = match (state.reason, self.rules.restart) {
                    (Reason::ShutdownRequested, Restart::No) => false,
                    (Reason::ShutdownRequested, _) => true,
                    (Reason::StopRequested, Restart::Always) => rebooted,
                    (_, _) => false,
                };
                if comes_back && !state.run.is(RunId::NONE) {
                    self.begin(state, Initiative::Comeback)
                } else {
                    Step::to(state)
                }
            }
            Phase::Idle => Step::to(state),
        }
    }

    // Decisions.

    /// Decides what follows a run that is over and released.
    #[inline(always)]
    const fn decide(&self, state: State, remains: Remains) -> Step {
        if matches!(state.reason, Reason::RestartRequested) {
            let mut step = self.begin(state, Initiative::User);
            // The start limit may end the supervision here; the remains are still reported.
            if let Some(Lifecycle::GaveUp { .. }) = step.actions.emit {
                step.actions.emit = Some(Lifecycle::GaveUp { remains });
            }
            return step;
        }
        match self.verdict(state) {
            Verdict::Restart => self.back_off(state),
            Verdict::Stay(reason) => {
                let step = self.enter(state, Phase::Stopped).because(reason);
                step.emit(end(reason, remains))
            }
        }
    }

    /// Decides between a restart and a reason to stay down.
    ///
    /// Precedence: intent, prevented exits, forced exits, the restart rule, the retry budget. This
    /// is systemd's order (supervisors.md 1.6).
    #[inline(always)]
    const fn verdict(&self, state: State) -> Verdict {
        let rules = &self.rules;
        if state.reason.is_stop() || state.reason.is_verdict() {
            return Verdict::Stay(state.reason);
        }
        match state.outcome {
            Outcome::StartFailed(failure) => {
                let retry = if state.restarts == 0 { rules.start.first } else { rules.start.later };
                let retried =
                    match (retry, failure) {
                        (StartRetry::Never, _)
                        | (StartRetry::Transient, StartFailure::Permanent) => false,
                        (StartRetry::Transient, StartFailure::Transient)
                        | (StartRetry::Always, _) => !matches!(rules.restart, Restart::No),
                    };
                if !retried {
                    return Verdict::Stay(Reason::StartFailed);
                }
            }
            Outcome::Exited(exit) => {
                if rules.prevent.contains(exit) {
                    return Verdict::Stay(Reason::Prevented);
                }
                let restart = match rules.restart {
                    Restart::No => false,
                    Restart::OnFailure => state.reason.is_fault() || !self.is_success(exit),
                    Restart::Always | Restart::UnlessStopped => true,
                };
                if !restart && !rules.force.contains(exit) {
                    return Verdict::Stay(Reason::Completed);
                }
            }
            Outcome::None => {
                if matches!(rules.restart, Restart::No) {
                    return Verdict::Stay(Reason::Completed);
                }
            }
        }
        match self.rules.retries {
            Some(retries) if exhausted(retries, state.strikes) => Verdict::Stay(Reason::Exhausted),
            Some(_) | None => Verdict::Restart,
        }
    }

    /// Whether `exit` is a success: code 0, or one that the policy names.
    #[must_use]
    pub const fn is_success(&self, exit: Exit) -> bool {
        matches!(exit, Exit::Code(0)) || self.rules.success.contains(exit)
    }

    /// Whether an exit in this state is a fault, whatever its status.
    #[inline(always)]
    const fn is_early(&self, state: State) -> bool {
        if !matches!(state.reason, Reason::Wanted) {
            return false;
        }
        let unready = matches!(self.rules.start.readiness, Readiness::Notify)
            && matches!(state.phase, Phase::Starting | Phase::Activating);
        let unhealthy = matches!(self.rules.early_exit, EarlyExit::Failure)
            && matches!(state.phase, Phase::Starting | Phase::Activating | Phase::Running);
        unready || unhealthy
    }

    /// Begins a run, unless the start limit holds it up.
    #[inline(never)]
    const fn begin(&self, from: State, initiative: Initiative) -> Step {
        let mut state = from;
        state.reason = Reason::Wanted;
        let counted = match initiative {
            Initiative::User => {
                state.restarts = 0;
                state.strikes = 0;
                state.level = self.rules.backoff.skip;
                match self.rules.limit {
                    Some(limit) => matches!(limit.counts, StartsCounted::All),
                    None => false,
                }
            }
            Initiative::Policy | Initiative::Retry => {
                state.restarts = state.restarts.saturating_add(1);
                self.rules.limit.is_some()
            }
            Initiative::Comeback => false,
        };
        let mut window = TimerCommand::Keep;
        if let Some(limit) = self.rules.limit
            && counted
        {
            if state.starts >= limit.burst && !matches!(initiative, Initiative::Retry) {
                return self.limited(from, initiative, limit.then);
            }
            if state.starts == 0 {
                window = TimerCommand::Arm(Delay::exact(limit.window));
            }
            state.starts = state.starts.saturating_add(1);
        }
        let mut step = self.enter(from, Phase::Starting);
        step.state = State { phase: Phase::Starting, ..state };
        step.state.run = state.run.next();
        step.state.outcome = Outcome::None;
        step.actions.process = ProcessCommand::Spawn;
        if self.awaits_ready(Phase::Starting) {
            step.actions.service = ServiceCommand::AwaitReady;
        }
        step.actions.window = window;
        step.arm_if(self.rules.start.timeout).emit(Lifecycle::Starting)
    }

    const fn limited(&self, from: State, initiative: Initiative, then: OnLimit) -> Step {
        let step = match (then, initiative) {
            (OnLimit::Stop, _) => self.stopped(from, Reason::StartLimit),
            // A user's request outlasts the wait, whatever the policy decides.
            (OnLimit::Wait, Initiative::User) => self
                .enter(from, Phase::Throttled)
                .because(Reason::RestartRequested)
                .emit(Lifecycle::Throttled),
            (OnLimit::Wait, Initiative::Policy | Initiative::Retry | Initiative::Comeback) => {
                self.enter(from, Phase::Throttled).emit(Lifecycle::Throttled)
            }
        };
        saved_if_changed(from, step)
    }

    #[inline(always)]
    const fn back_off(&self, state: State) -> Step {
        let delay = self.rules.backoff.delay(state.level);
        let mut step = self.enter(state, Phase::BackingOff);
        step.state.level = state.level.saturating_add(1);
        step.timer(TimerCommand::Arm(delay)).emit(Lifecycle::BackingOff)
    }

    // Entering phases.

    /// Changes the phase, and disarms the timers of the old phase.
    #[inline(always)]
    const fn enter(&self, from: State, phase: Phase) -> Step {
        let mut step = Step::changed(State { phase, ..from });
        if from.phase.timer().is_some() {
            step.actions.timer = TimerCommand::Disarm;
        }
        let served = from.phase.is_serving();
        if is_up(from.phase) && !is_up(phase) {
            step.actions.service = ServiceCommand::End;
            if served && self.rules.watchdog.is_some() {
                step.actions.watchdog = TimerCommand::Disarm;
            }
        } else if phase.is_serving() && !served {
            step.actions.service = ServiceCommand::Begin;
        }
        step
    }

    #[inline(always)]
    const fn awaits_ready(&self, phase: Phase) -> bool {
        match phase {
            Phase::Activating => true,
            Phase::Starting => matches!(self.rules.start.readiness, Readiness::Notify),
            Phase::Idle
            | Phase::Cancelling
            | Phase::Aborting
            | Phase::Running
            | Phase::Healthy
            | Phase::Stopping
            | Phase::Killing
            | Phase::Releasing
            | Phase::Purging
            | Phase::BackingOff
            | Phase::Throttled
            | Phase::Stopped => false,
        }
    }

    /// The command that belongs to a phase, for a backend that has heard none.
    #[inline(always)]
    const fn service(&self, phase: Phase) -> ServiceCommand {
        if phase.is_serving() {
            ServiceCommand::Begin
        } else if self.awaits_ready(phase) {
            ServiceCommand::AwaitReady
        } else {
            ServiceCommand::End
        }
    }

    /// Counts the run in `from` against the retry budget if it ended by itself or by a fault. A run
    /// that was stopped on request does not count, nor one that was healthy where that is forgiven.
    #[inline(always)]
    const fn strike(&self, from: State, mut step: Step) -> Step {
        let up = is_up(from.phase);
        let forgiven = matches!(from.phase, Phase::Healthy) && self.forgives_retries();
        if up && !forgiven && !from.reason.is_stop() {
            step.state.strikes = from.strikes.saturating_add(1);
        }
        step
    }

    #[inline(always)]
    const fn forgives_retries(&self) -> bool {
        match self.rules.healthy {
            Some(healthy) => matches!(healthy.forgives, Forgives::All),
            None => false,
        }
    }

    /// Goes down at once, because no process exists.
    const fn stopped(&self, state: State, reason: Reason) -> Step {
        self.enter(state, Phase::Stopped).because(reason).emit(end(reason, Remains::Nothing))
    }

    #[inline(always)]
    const fn serve(&self, state: State) -> Step {
        self.arm_serving(self.enter(state, Phase::Running))
    }

    /// Arms the timers of a process that begins to serve.
    #[inline(always)]
    const fn arm_serving(&self, mut step: Step) -> Step {
        if let Some(healthy) = self.rules.healthy {
            step = step.arm(healthy.after);
        }
        self.arm_watchdog(step)
    }

    #[inline(always)]
    const fn arm_watchdog(&self, step: Step) -> Step {
        match self.rules.watchdog {
            Some(watchdog) => step.watchdog(TimerCommand::Arm(Delay::exact(watchdog.period))),
            None => step,
        }
    }

    #[inline(never)]
    const fn healthy(&self, state: State) -> Step {
        let mut step = self.enter(state, Phase::Healthy).emit(Lifecycle::Healthy);
        step.state.level = 0;
        if self.forgives_retries() {
            step.state.strikes = 0;
        }
        step
    }

    #[inline(never)]
    const fn fault(&self, state: State, fault: Reason, signal: Signal) -> Step {
        self.strike(state, self.enter(state, Phase::Stopping))
            .because(fault_reason(state.reason, fault))
            .signal(signal, self.rules.stop.scope)
            .arm_if(self.rules.stop.grace)
            .emit(Lifecycle::Stopping)
    }

    const fn escalate(&self, state: State) -> Step {
        self.enter(state, Phase::Killing)
            .signal(Signal::KILL, self.rules.stop.scope)
            .arm(self.rules.stop.kill_window)
            .emit(Lifecycle::Killing)
    }

    /// Kills the remains of the run. With the scope of the process alone, no process is left to be
    /// signalled.
    const fn purge(&self, state: State) -> Step {
        let step = self.enter(state, Phase::Purging).arm(self.rules.stop.kill_window);
        match self.rules.stop.scope {
            Scope::Group => step.signal(Signal::KILL, Scope::Group).emit(Lifecycle::Killing),
            Scope::Process => step,
        }
    }

    /// Ends the run. The same escalation brings down its remains, and goes on if it has begun.
    #[inline(always)]
    const fn release(&self, state: State, outcome: Outcome) -> Step {
        let stop = self.rules.stop;
        let killed = matches!(state.phase, Phase::Aborting | Phase::Killing);
        let phase = if killed { Phase::Purging } else { Phase::Releasing };
        let step = self.strike(state, self.enter(state, phase));
        let mut step = match state.phase {
            Phase::Cancelling | Phase::Stopping | Phase::Killing => step.timer(TimerCommand::Keep),
            Phase::Aborting => step.arm(stop.kill_window),
            Phase::Idle
            | Phase::Starting
            | Phase::Activating
            | Phase::Running
            | Phase::Healthy
            | Phase::Releasing
            | Phase::Purging
            | Phase::BackingOff
            | Phase::Throttled
            | Phase::Stopped => step.arm_if(stop.grace),
        };
        step.actions.process = self.release_command(state.phase);
        step.ended(outcome)
    }

    /// The release of a run that ended in `phase`, with the signal that the remains have not had
    /// yet.
    #[inline(always)]
    const fn release_command(&self, phase: Phase) -> ProcessCommand {
        let stop = self.rules.stop;
        let signal = match (stop.scope, phase) {
            (Scope::Process, _) | (Scope::Group, Phase::Stopping) => None,
            (Scope::Group, Phase::Aborting | Phase::Killing | Phase::Purging) => Some(Signal::KILL),
            (
                Scope::Group,
                Phase::Idle
                | Phase::Starting
                | Phase::Cancelling
                | Phase::Activating
                | Phase::Running
                | Phase::Healthy
                | Phase::Releasing
                | Phase::BackingOff
                | Phase::Throttled
                | Phase::Stopped,
            ) => Some(stop.signal),
        };
        ProcessCommand::Release { signal, scope: stop.scope }
    }

    const fn grace(&self, grace: Grace) -> Option<Millis> {
        match grace {
            Grace::Policy => self.rules.stop.grace,
            Grace::After(delay) => Some(delay),
            Grace::Never => None,
        }
    }
}

/// Whether a run goes on of which no end has begun.
#[inline(always)]
const fn is_up(phase: Phase) -> bool {
    matches!(phase, Phase::Starting | Phase::Activating | Phase::Running | Phase::Healthy)
}

/// A user's stop prevails over a shutdown. A shutdown never replaces a user's stop or a verdict.
const fn stop_reason(standing: Reason, origin: Origin) -> Reason {
    match origin {
        Origin::User => Reason::StopRequested,
        Origin::Shutdown if matches!(standing, Reason::StopRequested) || standing.is_verdict() => {
            standing
        }
        Origin::Shutdown => Reason::ShutdownRequested,
    }
}

/// The first fault is kept, and no fault replaces a request.
const fn fault_reason(standing: Reason, fault: Reason) -> Reason {
    match standing {
        Reason::Wanted => fault,
        Reason::Created
        | Reason::StartTimeout
        | Reason::Watchdog
        | Reason::Unhealthy
        | Reason::EarlyExit
        | Reason::RestartRequested
        | Reason::StopRequested
        | Reason::ShutdownRequested
        | Reason::Completed
        | Reason::Prevented
        | Reason::Exhausted
        | Reason::StartLimit
        | Reason::StartFailed => standing,
    }
}

/// Answers a request to start during a stop: one start follows the end of the run.
const fn start_after_the_end(state: State) -> Step {
    match state.reason {
        // A shutdown is not cancelled (BB-29); a restart is already under way (BB-138).
        Reason::ShutdownRequested | Reason::RestartRequested => {
            Step::ignored(state, Note::NotApplicable)
        }
        Reason::Created
        | Reason::Wanted
        | Reason::StartTimeout
        | Reason::Watchdog
        | Reason::Unhealthy
        | Reason::EarlyExit
        | Reason::StopRequested
        | Reason::Completed
        | Reason::Prevented
        | Reason::Exhausted
        | Reason::StartLimit
        | Reason::StartFailed => Step::changed(state).because(Reason::RestartRequested),
    }
}

const fn signal_requested(state: State, signal: Signal) -> Step {
    match state.phase {
        Phase::Activating | Phase::Running | Phase::Healthy | Phase::Stopping | Phase::Killing => {
            Step::to(state).signal(signal, Scope::Process)
        }
        Phase::Idle
        | Phase::Starting
        | Phase::Cancelling
        | Phase::Aborting
        | Phase::Releasing
        | Phase::Purging
        | Phase::BackingOff
        | Phase::Throttled
        | Phase::Stopped => Step::ignored(state, Note::NotApplicable),
    }
}

/// Both phases own the start timeout. A program does not extend its own stop.
#[inline(never)]
const fn extended(state: State, by: Millis) -> Step {
    match state.phase {
        Phase::Starting | Phase::Activating => Step::to(state).timer(TimerCommand::Lengthen(by)),
        Phase::Idle
        | Phase::Cancelling
        | Phase::Aborting
        | Phase::Running
        | Phase::Healthy
        | Phase::Stopping
        | Phase::Killing
        | Phase::Releasing
        | Phase::Purging
        | Phase::BackingOff
        | Phase::Throttled
        | Phase::Stopped => Step::ignored(state, Note::NotApplicable),
    }
}

/// Records an intent that asks for nothing else in this phase.
const fn record(state: State, reason: Reason) -> Step {
    saved_if_changed(state, Step::to(state).because(reason))
}

/// Saves only if the state changed, for the few answers that may change nothing.
const fn saved_if_changed(before: State, mut step: Step) -> Step {
    step.actions.persist = !same(before, step.state);
    step
}

const fn end(reason: Reason, remains: Remains) -> Lifecycle {
    if reason.is_give_up() { Lifecycle::GaveUp { remains } } else { Lifecycle::Stopped { remains } }
}

const fn exhausted(retries: Retries, strikes: u16) -> bool {
    match retries.counts {
        Counts::Restarts => strikes > retries.max,
        Counts::Runs => strikes >= retries.max,
    }
}

/// Whether nothing has changed. A new run, its outcome and its restart come with a change of phase.
///
/// Neighbouring fields are compared as one number, which takes a third fewer instructions.
const fn same(a: State, b: State) -> bool {
    standing(a) == standing(b) && counters(a) == counters(b)
}

const fn standing(state: State) -> u16 {
    u16::from_le_bytes([state.phase as u8, state.reason as u8])
}

const fn counters(state: State) -> u32 {
    let [low, high] = state.strikes.to_le_bytes();
    u32::from_le_bytes([low, high, state.level, state.starts])
}

const _: () = assert!(size_of::<Step>() <= 64, "a step is at most 64 bytes");

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        "restart=always readiness=notify start-timeout=1s watchdog=2s".parse().unwrap()
    }

    /// The state after each of the events, from the beginning.
    fn states<const N: usize>(events: [&str; N]) -> [State; N] {
        let mut state = State::INITIAL;
        events.map(|event| {
            state = policy().step(state, event.parse().unwrap()).state;
            state
        })
    }

    #[test]
    fn news_of_another_run_changes_nothing() {
        let states = states([
            "start",
            "start-failed #1 transient",
            "released #1",
            "fired backoff #1",
            "started #2",
            "ready #2",
            "stop",
            "exited #2 code=0",
        ]);
        for state in &states[3..] {
            assert_eq!(state.run(), RunId::new(2), "{state}");
            for news in [
                "started #1",
                "start-failed #1 permanent",
                "ready #1",
                "ping #1",
                "extended #1 1s",
                "unhealthy #1",
                "exited #1 code=1",
                "released #1",
                "fired start-timeout #1",
                "fired stop-grace #1",
                "fired watchdog #1",
                "recovered #1 gone",
            ] {
                let step = policy().step(*state, news.parse().unwrap());
                assert_eq!(step, Step::ignored(*state, Note::Stale), "{news} in {state}");
            }
        }
    }

    #[test]
    fn more_time_is_given_to_a_start_alone() {
        let states = states([
            "start",
            "started #1",
            "ready #1",
            "fired healthy #1",
            "stop",
            "fired stop-grace #1",
        ]);
        let by = Millis::from_secs(30);
        for (state, given) in states.into_iter().zip([true, true, false, false, false, false]) {
            let step = policy().step(state, Event::Extended { run: RunId::new(1), by });
            let expected = if given {
                Step::to(state).timer(TimerCommand::Lengthen(by))
            } else {
                Step::ignored(state, Note::NotApplicable)
            };
            assert_eq!(step, expected, "{state}");
        }
    }

    /// systemd holds a service to the watchdog of its start, too.
    #[test]
    fn another_policy_takes_a_watchdog_away_and_brings_none() {
        let states = states(["start", "started #1", "ready #1", "fired healthy #1", "stop"]);
        let without = policy().to_builder().watchdog(None).build().unwrap();
        for (state, taken) in states.into_iter().zip([false, false, true, true, false]) {
            let taken = if taken { TimerCommand::Disarm } else { TimerCommand::Keep };
            for (policy, command) in [(policy(), TimerCommand::Keep), (without, taken)] {
                let actions = policy.step(state, Event::PolicyChanged).actions;
                assert_eq!(actions.watchdog, command, "{state}");
            }
        }
    }

    /// Whether readiness is awaited is the policy's to say until the process exists.
    #[test]
    fn another_policy_says_again_whether_readiness_is_awaited() {
        let states = states(["start", "started #1", "ready #1"]);
        let exec: Policy = "restart=always readiness=exec".parse().unwrap();
        let said =
            |policy: Policy| states.map(|s| policy.step(s, Event::PolicyChanged).actions.service);
        let [keep, await_ready] = [ServiceCommand::Keep, ServiceCommand::AwaitReady];
        assert_eq!(said(policy()), [await_ready, keep, keep]);
        assert_eq!(said(exec), [ServiceCommand::End, keep, keep]);
    }

    /// A backend hears all that it must know of a phase, and no more than once.
    #[test]
    fn the_service_of_a_run_is_told_as_it_changes() {
        let told = |events: &[&str]| {
            let mut state = State::INITIAL;
            let steps = events.iter().map(|event| {
                let step = policy().step(state, event.parse().unwrap());
                state = step.state;
                step.actions.service
            });
            steps.collect::<Vec<_>>()
        };
        use ServiceCommand::{AwaitReady, Begin, End, Keep};
        assert_eq!(
            told(&[
                "start",
                "started #1",
                "ready #1",
                "fired healthy #1",
                "stop",
                "exited #1 code=0"
            ]),
            [AwaitReady, Keep, Begin, Keep, End, Keep]
        );
        assert_eq!(
            told(&["start", "started #1", "exited #1 code=0", "released #1", "fired backoff #1"]),
            [AwaitReady, Keep, End, Keep, AwaitReady]
        );
        // After a crash of the monitor its successor has begun nothing.
        assert_eq!(
            told(&[
                "start",
                "started #1",
                "recovered #1 alive",
                "ready #1",
                "recovered #1 alive",
                "recovered #1 gone"
            ]),
            [AwaitReady, Keep, AwaitReady, Begin, Begin, Keep]
        );
    }

    #[test]
    fn a_spawn_in_flight_is_cancelled_once_for_each_signal() {
        let process = |events: &[&str]| {
            let mut state = State::INITIAL;
            let steps = events.iter().map(|event| {
                let step = policy().step(state, event.parse().unwrap());
                state = step.state;
                step.actions.process
            });
            steps.collect::<Vec<_>>()
        };
        let cancel = |signal| ProcessCommand::CancelSpawn { signal };
        let (spawn, leave) = (ProcessCommand::Spawn, ProcessCommand::Leave);
        assert_eq!(
            process(&["start", "stop", "stop", "fired stop-grace #1", "stop kill"]),
            [spawn, cancel(Signal::TERM), leave, cancel(Signal::KILL), leave]
        );
        assert_eq!(
            process(&["start", "fired start-timeout #1", "stop kill"]),
            [spawn, cancel(Signal::TERM), cancel(Signal::KILL)]
        );
    }

    #[test]
    fn what_survives_the_kill_is_abandoned() {
        let mut state = State::INITIAL;
        let events =
            ["start", "started #1", "stop kill", "exited #1 signal=KILL", "fired kill-window #1"];
        let last = events.map(|event| {
            let step = policy().step(state, event.parse().unwrap());
            state = step.state;
            step
        })[4];
        assert_eq!(last.actions.process, ProcessCommand::Abandon);
        assert_eq!(last.state.phase(), Phase::Stopped);
    }

    #[test]
    fn commands_are_counted_as_they_are_visited() {
        let [_, starting] = states(["reset", "start"]);
        let events = ["started #1", "exited #1 code=0", "stop kill", "ping #9"];
        let counts = events.map(|event| {
            let step = policy().step(starting, event.parse().unwrap());
            let mut visited = 0;
            step.for_each(|_| visited += 1);
            assert_eq!(step.commands(), visited, "{event}");
            visited
        });
        assert!(counts[0] > 1 && counts[3] == 0, "{counts:?}");
    }
}
