//! The environment: what it may do in each situation, and where that leads.

use monitor_core::{
    Event, Exit, Found, Grace, Millis, Origin, Phase, Policy, ProcessCommand, Remains, RunId,
    Signal, StartFailure, State, Step, StopMode, TimerKind, TimerSlot, TimerToken,
};
use monitor_os::Machine;

use super::liveness::{Edge, Obligation};
use super::{Input, Node};
use crate::watch::{Property, Watch};

/// The machine, its environment and the oracles as a graph that any model checker can search.
///
/// [`explore`](super::explore) searches it; it is public so that others can be compared with that.
#[derive(Debug)]
pub struct Model<'a, M> {
    policies: &'a [Policy],
    machine: &'a M,
    /// What may be told before the first run, and after it.
    always: [Vec<Input>; 2],
    strikes_max: u16,
    starts_max: u8,
    /// For each level the lowest one that is like it.
    levels: [u8; 256],
}

impl<'a, M: Machine> Model<'a, M> {
    /// The model for `policies`, of which the first is in force at the beginning.
    #[must_use]
    pub fn new(policies: &'a [Policy], machine: &'a M) -> Self {
        let strikes = policies.iter().filter_map(|policy| policy.rules().retries);
        let bursts = policies.iter().filter_map(|policy| policy.rules().limit);
        let folded = |level| policies.iter().map(|policy| level_folded(policy, level)).max();
        Self {
            policies,
            machine,
            always: [always(RunId::NONE), always(RunId::new(1))],
            strikes_max: strikes.map(|retries| retries.max.saturating_add(1)).max().unwrap_or(0),
            starts_max: bursts.map(|limit| limit.burst).max().unwrap_or(0),
            levels: std::array::from_fn(|level| folded(level as u8).unwrap_or(0)),
        }
    }

    /// The situation in which everything begins.
    #[must_use]
    pub fn initial(&self) -> Node {
        Node { state: State::INITIAL, watch: Watch::default(), policy: 0 }
    }

    /// Everything the environment may do in a situation, always in the same order: first
    /// [`Model::always`], then [`Model::sometimes`]. Replaces what is in `inputs`.
    pub fn inputs(&self, node: &Node, inputs: &mut Vec<Input>) {
        self.sometimes(node, inputs);
        inputs.splice(..0, self.always(node).iter().copied());
    }

    /// What may be told whatever has happened: wishes, and facts early, late, twice or of another run.
    #[must_use]
    pub fn always(&self, node: &Node) -> &[Input] {
        &self.always[usize::from(node.state.run() != RunId::NONE)]
    }

    /// What may happen only in this situation: timers, other policies, crashes. Replaces what is in
    /// `inputs`.
    pub fn sometimes(&self, node: &Node, inputs: &mut Vec<Input>) {
        let run = node.state.run();
        inputs.clear();
        for kind in TimerKind::ALL {
            // A driver keeps one deadline per slot, so what is not armed can fire only as news from a
            // phase or a run before; the window's timer belongs to neither.
            let foreign =
                kind.slot() == TimerSlot::Phase && node.state.phase().timer() != Some(kind);
            if foreign || node.watch.is_armed(kind) {
                inputs.push(Input::Tell(Event::TimerFired { timer: TimerToken { run, kind } }));
            }
        }
        for policy in 0..self.policies.len() as u16 {
            if policy != node.policy {
                inputs.push(Input::Amend(policy));
            }
        }
        if run != RunId::NONE {
            if node.watch.has_run() {
                inputs.push(Input::Crash(Found::Alive));
                inputs.push(Input::Crash(Found::Exited(Exit::Code(1))));
            }
            inputs.push(Input::Crash(Found::Gone));
            inputs.push(Input::Crash(Found::Rebooted));
        }
    }

    /// Where an input leads; the same situation if it changes nothing.
    ///
    /// # Errors
    /// The first property that the machine's answer breaks.
    pub fn follow(&self, node: &Node, input: Input) -> Result<Node, Property> {
        self.advance(node, input).map(|(next, _)| next)
    }

    pub(super) fn advance(&self, node: &Node, input: Input) -> Result<(Node, Step), Property> {
        let mut next = *node;
        let event = match input {
            Input::Tell(event) => event,
            Input::Amend(policy) => {
                next.policy = policy;
                Event::PolicyChanged
            }
            Input::Crash(found) => {
                next.watch = next.watch.after_crash();
                Event::Recovered { run: node.state.run(), found }
            }
        };
        let policy = &self.policies[usize::from(next.policy)];
        let step = self.machine.step(policy, node.state, event);
        next.watch.observe(policy, node.state, event, step)?;
        next.state = self.fold(step.state);
        Ok((next, step))
    }

    /// Cuts the counters where they cease to matter under any of the policies, so that the search ends.
    fn fold(&self, state: State) -> State {
        let state = state.canonical();
        let level = self.levels[usize::from(state.level())];
        let cut = state.strikes() > self.strikes_max
            || state.starts() > self.starts_max
            || state.level() != level;
        if !cut {
            return state;
        }
        let mut bytes = state.to_bytes();
        let [low, high] = state.strikes().min(self.strikes_max).to_le_bytes();
        (bytes[16], bytes[17]) = (low, high);
        bytes[3] = level;
        bytes[4] = state.starts().min(self.starts_max);
        State::from_bytes(&bytes).unwrap_or(state)
    }

    /// The edge for the search for cycles, if the input is the world going on by itself: no wish, no
    /// other policy, no crash.
    pub(super) fn edge(&self, node: &Node, input: Input, step: Step) -> Option<Edge> {
        let Input::Tell(event) = input else { return None };
        let policy = &self.policies[usize::from(node.policy)];
        let obligation = obligation(policy, node, event);
        let instant = is_instant(policy, node, event);
        let spawns = step.actions.process == ProcessCommand::Spawn;
        (obligation.is_some() || instant).then_some(Edge {
            to: 0,
            input: 0,
            obligation,
            instant,
            spawns,
        })
    }
}

/// Another run than the current one, as the search names runs.
const FOREIGN: RunId = RunId::new(77);

const EXITS: [Exit; 4] = [Exit::Code(0), Exit::Code(1), Exit::Signal(Signal::KILL), Exit::Unknown];

/// What may be told whatever has happened: every wish, every fact about the current run early, late or
/// twice, and news of another run.
fn always(run: RunId) -> Vec<Input> {
    let mut inputs = Vec::with_capacity(64);
    let mut tell = |event| inputs.push(Input::Tell(event));
    tell(Event::StartRequested);
    for origin in [Origin::User, Origin::Shutdown] {
        for mode in [
            StopMode::Graceful(Grace::Policy),
            StopMode::Graceful(Grace::After(Millis::new(1))),
            StopMode::Kill,
            StopMode::OnNextExit,
        ] {
            tell(Event::StopRequested { mode, origin });
        }
    }
    tell(Event::restart());
    tell(Event::SignalRequested { signal: Signal::HUP });
    tell(Event::ResetRequested);
    tell(Event::RetryRequested);
    if run != RunId::NONE {
        for run in [run, FOREIGN] {
            tell(Event::Started { run });
            tell(Event::StartFailed { run, failure: StartFailure::Transient });
            tell(Event::StartFailed { run, failure: StartFailure::Permanent });
            tell(Event::Ready { run });
            tell(Event::Ping { run });
            tell(Event::Unhealthy { run });
            for exit in EXITS {
                tell(Event::Exited { run, exit });
            }
            tell(Event::Released { run, remains: Remains::Nothing });
            tell(Event::Released { run, remains: Remains::Leaked });
        }
    }
    for kind in TimerKind::ALL.into_iter().filter(|&kind| kind != TimerKind::Window) {
        tell(Event::TimerFired { timer: TimerToken { run: FOREIGN, kind } });
    }
    inputs
}

/// What the world owes in this situation, if the event pays it: see [`Obligation`].
fn obligation(policy: &Policy, node: &Node, event: Event) -> Option<Obligation> {
    let phase = node.state.phase();
    // A process that is never killed ends by itself, or no stop could.
    let mortal = policy.rules().stop.grace.is_none();
    if event.run().is_some_and(|run| run != node.state.run()) {
        return None;
    }
    match event {
        Event::Started { .. } | Event::StartFailed { .. } => {
            let in_flight = matches!(phase, Phase::Starting | Phase::Cancelling | Phase::Aborting);
            (in_flight && node.watch.has_run()).then_some(Obligation::Answer)
        }
        Event::Exited { .. } => ((phase == Phase::Killing || mortal) && node.watch.has_run())
            .then_some(Obligation::Death),
        // What a run left may be as stubborn as the run.
        Event::Released { .. } => ((phase == Phase::Purging || mortal) && node.watch.has_release())
            .then_some(Obligation::Release),
        Event::TimerFired { timer } => {
            node.watch.is_armed(timer.kind).then_some(match timer.kind.slot() {
                TimerSlot::Phase => Obligation::PhaseTimer,
                TimerSlot::Watchdog => Obligation::WatchdogTimer,
                TimerSlot::Window => Obligation::WindowTimer,
            })
        }
        Event::StartRequested
        | Event::StopRequested { .. }
        | Event::RestartRequested { .. }
        | Event::SignalRequested { .. }
        | Event::PolicyChanged
        | Event::ResetRequested
        | Event::RetryRequested
        | Event::Ready { .. }
        | Event::Ping { .. }
        | Event::Unhealthy { .. }
        | Event::Recovered { .. } => None,
    }
}

/// Whether the event may come without any time having passed: facts, and timers of no delay.
fn is_instant(policy: &Policy, node: &Node, event: Event) -> bool {
    if event.run().is_some_and(|run| run != node.state.run()) {
        return false;
    }
    match event {
        Event::Started { .. }
        | Event::StartFailed { .. }
        | Event::Ready { .. }
        | Event::Unhealthy { .. }
        | Event::Exited { .. }
        | Event::Released { .. } => true,
        // All other timers run for at least a millisecond or lead to no spawn.
        Event::TimerFired { timer } => {
            let level = node.state.level().saturating_sub(1);
            timer.kind == TimerKind::Backoff
                && node.watch.is_armed(TimerKind::Backoff)
                && policy.rules().backoff.delay(level).base == Millis::ZERO
        }
        Event::StartRequested
        | Event::StopRequested { .. }
        | Event::RestartRequested { .. }
        | Event::SignalRequested { .. }
        | Event::PolicyChanged
        | Event::ResetRequested
        | Event::RetryRequested
        | Event::Ping { .. }
        | Event::Recovered { .. } => false,
    }
}

/// The lowest level from which on every delay is the same.
fn level_folded(policy: &Policy, level: u8) -> u8 {
    let backoff = policy.rules().backoff;
    let mut lowest = level;
    while lowest > 2 && backoff.delay(lowest - 1) == backoff.delay(u8::MAX) {
        lowest -= 1;
    }
    lowest
}
