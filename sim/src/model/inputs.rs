//! The environment: its possible inputs in each search state, and the states that they lead to.

use monitor_core::{
    Event, Exit, Found, Grace, Millis, Origin, Phase, Policy, Remains, RunId, Signal, StartFailure,
    State, StopMode, TimerKind, TimerSlot, TimerToken,
};
use monitor_os::Machine;

use super::input::Input;
use super::liveness::Obligation;
use super::search_state::SearchState;
use crate::oracle::property::Property;
use crate::oracle::safety_oracle::SafetyOracle;

/// The machine, its environment and the oracles as a graph that any model checker can search.
///
/// [`explore`](super::explore) searches it; it is public so that others can be compared with that.
#[derive(Debug)]
pub struct Model<'a, M> {
    pub(super) policies: &'a [Policy],
    pub(super) machine: &'a M,
    /// The inputs that are possible in every search state, before the first run and after it.
    always: [Vec<Input>; 2],
    strikes_max: u16,
    starts_max: u8,
    /// The lowest level from which on every delay is the same.
    level_max: u8,
}

impl<'a, M: Machine> Model<'a, M> {
    /// The model for `policies`, of which the first is in force at the beginning.
    #[must_use]
    pub fn new(policies: &'a [Policy], machine: &'a M) -> Self {
        let strikes = policies.iter().filter_map(|policy| policy.rules().retries);
        let bursts = policies.iter().filter_map(|policy| policy.rules().limit);
        Self {
            policies,
            machine,
            always: [always(RunId::NONE), always(RunId::new(1))],
            strikes_max: strikes.map(|retries| retries.max.saturating_add(1)).max().unwrap_or(0),
            starts_max: bursts.map(|limit| limit.burst).max().unwrap_or(0),
            level_max: policies.iter().map(level_max).max().unwrap_or(0),
        }
    }

    /// The search state in which everything begins.
    #[must_use]
    pub fn initial(&self) -> SearchState {
        SearchState { state: State::INITIAL, oracle: SafetyOracle::default(), policy: 0 }
    }

    /// Everything the environment may do in a search state, always in the same order: first
    /// [`Model::always`], then [`Model::sometimes`]. Replaces what is in `inputs`.
    pub fn inputs(&self, search_state: &SearchState, inputs: &mut Vec<Input>) {
        self.sometimes(search_state, inputs);
        inputs.splice(..0, self.always(search_state).iter().copied());
    }

    /// What may be reported whatever has happened: requests, and facts early, late, twice or of
    /// another run.
    #[must_use]
    pub fn always(&self, search_state: &SearchState) -> &[Input] {
        &self.always[usize::from(search_state.state.run() != RunId::NONE)]
    }

    /// What may happen only in this search state: timers, other policies, crashes. Replaces what is
    /// in `inputs`.
    pub fn sometimes(&self, search_state: &SearchState, inputs: &mut Vec<Input>) {
        let known = Needs::known_to(&search_state.oracle);
        inputs.clear();
        self.visit_sometimes(search_state.state, search_state.policy, |input, needs| {
            if needs.are_met_by(known) {
                inputs.push(input);
            }
        });
    }

    /// Returns the next search state, which is the current one if the input changes nothing.
    ///
    /// # Errors
    /// The first property that the machine's answer breaks.
    pub fn follow(
        &self,
        search_state: &SearchState,
        input: Input,
    ) -> Result<SearchState, Property> {
        let mut oracle = search_state.oracle;
        if let Input::Crash(_) = input {
            oracle = oracle.after_crash();
        }
        let (policy, event) = event(search_state.state, search_state.policy, input);
        let rules = &self.policies[usize::from(policy)];
        let step = self.machine.step(rules, search_state.state, event);
        oracle.observe(rules, search_state.state, event, step)?;
        Ok(SearchState { state: self.fold(step.state), oracle, policy })
    }

    /// Everything the environment may do with the machine in this state, and what must be known for
    /// it.
    pub(super) fn visit_candidates(
        &self,
        state: State,
        policy: u16,
        mut to: impl FnMut(Input, Needs),
    ) {
        let always = &self.always[usize::from(state.run() != RunId::NONE)];
        always.iter().for_each(|&input| to(input, Needs::NOTHING));
        self.visit_sometimes(state, policy, to);
    }

    fn visit_sometimes(&self, state: State, policy: u16, mut to: impl FnMut(Input, Needs)) {
        let run = state.run();
        for kind in TimerKind::ALL {
            // A driver keeps one deadline per slot, so what is not armed can fire only as news from
            // a phase or a run before; the window's timer belongs to neither.
            let foreign = kind.slot() == TimerSlot::Phase && state.phase().timer() != Some(kind);
            let needs = if foreign { Needs::NOTHING } else { Needs::timer(kind) };
            to(Input::Event(Event::TimerFired { timer: TimerToken { run, kind } }), needs);
        }
        for other in (0..self.policies.len() as u16).filter(|&other| other != policy) {
            to(Input::Policy(other), Needs::NOTHING);
        }
        if run != RunId::NONE {
            to(Input::Crash(Found::Alive), Needs::RUN);
            to(Input::Crash(Found::Exited(Exit::Code(1))), Needs::RUN);
            to(Input::Crash(Found::Gone), Needs::NOTHING);
            to(Input::Crash(Found::Rebooted), Needs::NOTHING);
        }
    }

    /// Cuts the counters where they cease to matter under any of the policies, so that the search
    /// ends.
    pub(super) fn fold(&self, state: State) -> State {
        let state = state.canonical();
        let cut = state.strikes() > self.strikes_max
            || state.starts() > self.starts_max
            || state.level() > self.level_max;
        if !cut {
            return state;
        }
        let mut bytes = state.to_bytes();
        let [low, high] = state.strikes().min(self.strikes_max).to_le_bytes();
        (bytes[16], bytes[17]) = (low, high);
        bytes[3] = state.level().min(self.level_max);
        bytes[4] = state.starts().min(self.starts_max);
        State::from_bytes(&bytes).unwrap_or(state)
    }
}

/// The event that an input is to the machine, and the policy then in force.
pub(super) const fn event(state: State, policy: u16, input: Input) -> (u16, Event) {
    match input {
        Input::Event(event) => (policy, event),
        Input::Policy(policy) => (policy, Event::PolicyChanged),
        Input::Crash(found) => (policy, Event::Recovered { run: state.run(), found }),
    }
}

/// What must be the case outside the machine, as a set: timers armed, a run open, a release
/// unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Needs(u16);

impl Needs {
    pub(super) const NOTHING: Self = Self(0);
    const RUN: Self = Self(1 << 8);
    const RELEASE: Self = Self(1 << 9);

    const fn timer(kind: TimerKind) -> Self {
        Self(1 << kind as u16)
    }

    /// Everything that is the case as far as an oracle knows.
    pub(super) fn known_to(oracle: &SafetyOracle) -> Self {
        let armed = TimerKind::ALL.into_iter().filter(|&kind| oracle.is_armed(kind));
        let mut known = armed.map(|kind| Self::timer(kind).0).sum();
        if oracle.has_run() {
            known |= Self::RUN.0;
        }
        if oracle.has_release() {
            known |= Self::RELEASE.0;
        }
        Self(known)
    }

    #[inline]
    pub(super) const fn are_met_by(self, known: Self) -> bool {
        self.0 & !known.0 == 0
    }
}

/// How the world progresses by itself with an input: not by a request, another policy or a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Progress {
    /// What the world pays with it, and what must hold for the world to owe that.
    pub(super) pays: Option<(Obligation, Needs)>,
    /// What must hold for it to come without any time having passed: it is a fact, or a timer of
    /// no delay.
    pub(super) instant: Option<Needs>,
    /// Whether a run begins with it.
    pub(super) spawns: bool,
}

impl Progress {
    pub(super) const NONE: Self = Self { pays: None, instant: None, spawns: false };

    /// Whether the delay before the next attempt is none.
    pub(super) fn is_without_delay(policy: &Policy, state: State) -> bool {
        policy.rules().backoff.delay(state.level().saturating_sub(1)).base == Millis::ZERO
    }

    /// Says whether a run begins with it. What is no progress stays none.
    pub(super) const fn spawning(self, spawns: bool) -> Self {
        Self { spawns: spawns && (self.pays.is_some() || self.instant.is_some()), ..self }
    }

    /// The progress with an event, without the run that begins, which only the answer can tell.
    pub(super) fn of(policy: &Policy, state: State, event: Event) -> Self {
        let phase = state.phase();
        // A process that is never killed ends by itself, or no stop could.
        let mortal = policy.rules().stop.grace.is_none();
        if event.run().is_some_and(|run| run != state.run()) {
            return Self::NONE;
        }
        let fact = |pays| Self { pays, instant: Some(Needs::NOTHING), spawns: false };
        match event {
            Event::Started { .. } | Event::StartFailed { .. } => {
                let in_flight =
                    matches!(phase, Phase::Starting | Phase::Cancelling | Phase::Aborting);
                fact(in_flight.then_some((Obligation::Answer, Needs::RUN)))
            }
            Event::Exited { .. } => {
                let dies = phase == Phase::Killing || mortal;
                fact(dies.then_some((Obligation::Death, Needs::RUN)))
            }
            // What a run left may be as stubborn as the run.
            Event::Released { .. } => {
                let goes = phase == Phase::Purging || mortal;
                fact(goes.then_some((Obligation::Release, Needs::RELEASE)))
            }
            Event::Ready { .. } | Event::Unhealthy { .. } => fact(None),
            Event::TimerFired { timer } => {
                let armed = Needs::timer(timer.kind);
                // All other timers run for at least a millisecond or lead to no spawn.
                let at_once =
                    timer.kind == TimerKind::Backoff && Self::is_without_delay(policy, state);
                let owed = match timer.kind.slot() {
                    TimerSlot::Phase => Obligation::PhaseTimer,
                    TimerSlot::Watchdog => Obligation::WatchdogTimer,
                    TimerSlot::Window => Obligation::WindowTimer,
                };
                Self { pays: Some((owed, armed)), instant: at_once.then_some(armed), spawns: false }
            }
            Event::StartRequested
            | Event::StopRequested { .. }
            | Event::RestartRequested { .. }
            | Event::SignalRequested { .. }
            | Event::PolicyChanged
            | Event::ResetRequested
            | Event::RetryRequested
            | Event::Ping { .. }
            | Event::Extended { .. }
            | Event::Recovered { .. } => Self::NONE,
        }
    }
}

/// Another run than the current one, as the search names runs.
const FOREIGN: RunId = RunId::new(77);
const EXITS: [Exit; 4] = [Exit::Code(0), Exit::Code(1), Exit::Signal(Signal::KILL), Exit::Unknown];

/// What may be reported whatever has happened: every request, every fact about the current run
/// early, late or twice, and an event of another run.
fn always(run: RunId) -> Vec<Input> {
    let mut inputs = Vec::with_capacity(64);
    let mut add = |event| inputs.push(Input::Event(event));
    add(Event::StartRequested);
    for origin in [Origin::User, Origin::Shutdown] {
        for mode in [
            StopMode::Graceful(Grace::Policy),
            StopMode::Graceful(Grace::After(Millis::new(1))),
            StopMode::Kill,
            StopMode::OnNextExit,
        ] {
            add(Event::StopRequested { mode, origin });
        }
    }
    add(Event::restart());
    add(Event::SignalRequested { signal: Signal::HUP });
    add(Event::ResetRequested);
    add(Event::RetryRequested);
    if run != RunId::NONE {
        for run in [run, FOREIGN] {
            add(Event::Started { run });
            add(Event::StartFailed { run, failure: StartFailure::Transient });
            add(Event::StartFailed { run, failure: StartFailure::Permanent });
            add(Event::Ready { run });
            add(Event::Ping { run });
            add(Event::Extended { run, by: Millis::from_secs(30) });
            add(Event::Unhealthy { run });
            for exit in EXITS {
                add(Event::Exited { run, exit });
            }
            add(Event::Released { run, remains: Remains::Nothing });
            add(Event::Released { run, remains: Remains::Leaked });
        }
    }
    for kind in TimerKind::ALL.into_iter().filter(|&kind| kind != TimerKind::Window) {
        add(Event::TimerFired { timer: TimerToken { run: FOREIGN, kind } });
    }
    inputs
}

/// The lowest level from which on every delay is the same.
fn level_max(policy: &Policy) -> u8 {
    let backoff = policy.rules().backoff;
    let mut lowest = u8::MAX;
    while lowest > 2 && backoff.delay(lowest - 1) == backoff.delay(u8::MAX) {
        lowest -= 1;
    }
    lowest
}
