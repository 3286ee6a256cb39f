//! The exhaustive engine: every reachable state of the machine in an adversarial environment.
//!
//! The environment may do anything a driver could pass on: every wish at any time, every fact about the
//! current run early, late or twice, news of other runs, any armed timer (and, to be refused, any other),
//! another policy, and a crash of the monitor followed by its recovery. Durations are abstracted: an
//! armed timer may fire at any time, which covers every real order. Breadth first, so the first violation
//! found is a shortest one.

use std::collections::{BTreeMap, BTreeSet};

use monitor_core::{
    Event, Exit, Found, Grace, Millis, Origin, Phase, Policy, Remains, RunId, Signal, StartFailure,
    State, Step, StopMode, TimerKind, TimerSlot, TimerToken,
};
use monitor_os::Machine;

use crate::watch::{Property, Watch};

/// One thing that the environment may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// Tell the machine.
    Tell(Event),
    /// Put the policy of this index in force.
    Amend(usize),
    /// Crash the monitor, start it again from what it saved, and tell it what became of the run.
    Crash(Found),
}

/// One reachable situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// What the machine remembers, with its counters cut where they cease to matter.
    pub state: State,
    /// What the oracles remember.
    pub watch: Watch,
    /// Which policy is in force.
    pub policy: usize,
}

/// A violation and a shortest way to it.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// What is violated.
    pub property: Property,
    /// The inputs from the initial state; the last one violates, or leads into a dead end.
    pub path: Vec<Input>,
}

/// What an exhaustive search has found.
#[derive(Clone, Debug)]
pub struct Exploration {
    /// Reachable situations.
    pub nodes: usize,
    /// Transitions between them, those that change nothing included.
    pub transitions: usize,
    /// Ordered pairs of different inputs that both change something in one situation: the races.
    pub race_pairs: usize,
    /// Which machine states were reached.
    pub states: BTreeSet<State>,
    /// Changes of phase, with the names of the events that cause them.
    pub phase_changes: BTreeMap<(Phase, Phase), BTreeSet<&'static str>>,
    /// The first violation, if there is one.
    pub counterexample: Option<Counterexample>,
}

/// Explores everything reachable under `policies`, of which the first is in force at the beginning.
pub fn explore(policies: &[Policy], machine: &impl Machine) -> Exploration {
    Search::new(policies, machine).run()
}

struct Search<'a, M> {
    policies: &'a [Policy],
    machine: &'a M,
    ids: BTreeMap<Node, usize>,
    nodes: Vec<Node>,
    /// For each node the one it was reached from, and how.
    parents: Vec<Option<(usize, Input)>>,
    /// For each node the nodes that progress leads to: no wish, no accident.
    progress: Vec<Vec<usize>>,
    found: Exploration,
}

impl<'a, M: Machine> Search<'a, M> {
    const fn new(policies: &'a [Policy], machine: &'a M) -> Self {
        Self {
            policies,
            machine,
            ids: BTreeMap::new(),
            nodes: Vec::new(),
            parents: Vec::new(),
            progress: Vec::new(),
            found: Exploration {
                nodes: 0,
                transitions: 0,
                race_pairs: 0,
                states: BTreeSet::new(),
                phase_changes: BTreeMap::new(),
                counterexample: None,
            },
        }
    }

    fn run(mut self) -> Exploration {
        self.intern(Node { state: State::INITIAL, watch: Watch::default(), policy: 0 }, None);
        let mut next = 0;
        while next < self.nodes.len() {
            if let Err((property, input)) = self.expand(next) {
                self.found.counterexample = Some(self.counterexample(property, next, input));
                break;
            }
            next += 1;
        }
        if self.found.counterexample.is_none() {
            self.found.counterexample = self.dead_end();
        }
        self.found.nodes = self.nodes.len();
        self.found.states = self.nodes.iter().map(|node| node.state).collect();
        self.found
    }

    fn expand(&mut self, id: usize) -> Result<(), (Property, Input)> {
        let node = self.nodes[id];
        let inputs = inputs(&node, self.policies.len());
        let mut effective: usize = 0;
        for &input in &inputs {
            let next = self.follow(node, input).map_err(|property| (property, input))?;
            self.found.transitions += 1;
            if next == node {
                continue;
            }
            effective += 1;
            if next.state.phase() != node.state.phase() {
                let change = (node.state.phase(), next.state.phase());
                self.found.phase_changes.entry(change).or_default().insert(input_name(input));
            }
            let next_id = self.intern(next, Some((id, input)));
            if is_progress(&self.policies[node.policy], &node, input) {
                self.progress[id].push(next_id);
            }
        }
        self.found.race_pairs += effective * effective.saturating_sub(1);
        Ok(())
    }

    fn follow(&self, node: Node, input: Input) -> Result<Node, Property> {
        let mut next = node;
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
        let policy = &self.policies[next.policy];
        let step = self.machine.step(policy, node.state, event);
        next.watch.observe(policy, node.state, event, step)?;
        next.state = fold(self.policies, step.state);
        Ok(next)
    }

    fn intern(&mut self, node: Node, parent: Option<(usize, Input)>) -> usize {
        if let Some(&id) = self.ids.get(&node) {
            return id;
        }
        let id = self.nodes.len();
        self.ids.insert(node, id);
        self.nodes.push(node);
        self.parents.push(parent);
        self.progress.push(Vec::new());
        id
    }

    fn counterexample(&self, property: Property, from: usize, last: Input) -> Counterexample {
        let mut path = self.path_to(from);
        path.push(last);
        Counterexample { property, path }
    }

    fn path_to(&self, mut id: usize) -> Vec<Input> {
        let mut path = Vec::new();
        while let Some((parent, input)) = self.parents[id] {
            path.push(input);
            id = parent;
        }
        path.reverse();
        path
    }

    /// Looks for a situation in which a stop or a restart was asked for and never comes to its end.
    fn dead_end(&self) -> Option<Counterexample> {
        let ends = |property, concerned: fn(&Node) -> bool| {
            let reaches = self.reaching(|node| !concerned(node));
            let stuck = (0..self.nodes.len()).find(|&id| !reaches[id])?;
            Some(Counterexample { property, path: self.path_to(stuck) })
        };
        let stop = |node: &Node| node.watch.is_stopping() && !node.state.phase().is_down();
        let restart = |node: &Node| node.watch.is_restarting();
        ends(Property::StopEnds, stop).or_else(|| ends(Property::RestartIsOneIntent, restart))
    }

    /// For each node, whether progress can lead from it to a node with the quality.
    fn reaching(&self, quality: impl Fn(&Node) -> bool) -> Vec<bool> {
        let mut backwards: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        for (from, nexts) in self.progress.iter().enumerate() {
            for &to in nexts {
                backwards[to].push(from);
            }
        }
        let mut reached: Vec<bool> = self.nodes.iter().map(quality).collect();
        let mut work: Vec<usize> = (0..reached.len()).filter(|&id| reached[id]).collect();
        while let Some(id) = work.pop() {
            for &from in &backwards[id] {
                if !reached[from] {
                    reached[from] = true;
                    work.push(from);
                }
            }
        }
        reached
    }
}

/// Another run than the current one, as the search names runs.
const FOREIGN: RunId = RunId::new(77);

/// Everything the environment may do in this situation.
fn inputs(node: &Node, policies: usize) -> Vec<Input> {
    let run = node.state.run();
    let mut inputs: Vec<Input> = Vec::with_capacity(64);
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
    for kind in TimerKind::ALL {
        // A driver keeps one deadline per slot, so what is not armed can fire only as news from a phase
        // or a run before; the window's timer belongs to neither.
        let foreign = kind.slot() == TimerSlot::Phase && node.state.phase().timer() != Some(kind);
        if foreign || node.watch.is_armed(kind) {
            tell(Event::TimerFired { timer: TimerToken { run, kind } });
        }
        if kind != TimerKind::Window {
            tell(Event::TimerFired { timer: TimerToken { run: FOREIGN, kind } });
        }
    }
    for policy in 0..policies {
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
    inputs
}

const EXITS: [Exit; 4] = [Exit::Code(0), Exit::Code(1), Exit::Signal(Signal::KILL), Exit::Unknown];

/// Whether an input is the world going on by itself: no wish, no accident, no process that is kind
/// enough to end without having to.
fn is_progress(policy: &Policy, node: &Node, input: Input) -> bool {
    let Input::Tell(event) = input else {
        return false;
    };
    let phase = node.state.phase();
    match event {
        Event::Started { .. } | Event::StartFailed { .. } => {
            matches!(phase, Phase::Starting | Phase::Cancelling | Phase::Aborting)
        }
        Event::Exited { .. } => phase == Phase::Killing || policy.rules().stop.grace.is_none(),
        // What a run left may be as stubborn as the run.
        Event::Released { .. } => {
            node.watch.has_release()
                && (phase == Phase::Purging || policy.rules().stop.grace.is_none())
        }
        Event::TimerFired { timer } => {
            timer.run == node.state.run() && node.watch.is_armed(timer.kind)
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
        | Event::Recovered { .. } => false,
    }
}

/// Cuts the counters where they cease to matter under any of the policies, so that the search ends.
fn fold(policies: &[Policy], state: State) -> State {
    let mut bytes = state.canonical().to_bytes();
    let strikes = policies.iter().filter_map(|policy| policy.rules().retries);
    let strikes_max = strikes.map(|retries| retries.max.saturating_add(1)).max().unwrap_or(0);
    let [low, high] = state.strikes().min(strikes_max).to_le_bytes();
    (bytes[16], bytes[17]) = (low, high);
    bytes[3] = policies.iter().map(|policy| level_folded(policy, state.level())).max().unwrap_or(0);
    let bursts = policies.iter().filter_map(|policy| policy.rules().limit);
    bytes[4] = state.starts().min(bursts.map(|limit| limit.burst).max().unwrap_or(0));
    State::from_bytes(&bytes).unwrap_or(state)
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

/// The name of an input without its details, for the arrows of a diagram.
#[must_use]
pub const fn input_name(input: Input) -> &'static str {
    match input {
        Input::Amend(_) => "policy-changed",
        Input::Crash(_) => "recovered",
        Input::Tell(event) => event_name(event),
    }
}

/// The name of an event without its details.
#[must_use]
pub const fn event_name(event: Event) -> &'static str {
    match event {
        Event::StartRequested => "start",
        Event::StopRequested { mode: StopMode::Graceful(_), .. } => "stop",
        Event::StopRequested { mode: StopMode::Kill, .. } => "kill",
        Event::StopRequested { mode: StopMode::OnNextExit, .. } => "stop on next exit",
        Event::RestartRequested { .. } => "restart",
        Event::SignalRequested { .. } => "signal",
        Event::PolicyChanged => "policy-changed",
        Event::ResetRequested => "reset",
        Event::RetryRequested => "retry",
        Event::Started { .. } => "started",
        Event::StartFailed { .. } => "start-failed",
        Event::Ready { .. } => "ready",
        Event::Ping { .. } => "ping",
        Event::Unhealthy { .. } => "unhealthy",
        Event::Exited { .. } => "exited",
        Event::Released { .. } => "released",
        Event::TimerFired { timer } => match timer.kind {
            TimerKind::StartTimeout => "start-timeout",
            TimerKind::Healthy => "healthy",
            TimerKind::StopGrace => "stop-grace",
            TimerKind::KillWindow => "kill-window",
            TimerKind::Backoff => "backoff",
            TimerKind::Watchdog => "watchdog",
            TimerKind::Window => "window",
        },
        Event::Recovered { .. } => "recovered",
    }
}

/// Replays a path and returns every step of it, up to and including the one that violates.
pub fn walk(
    policies: &[Policy],
    machine: &impl Machine,
    path: &[Input],
) -> Vec<(usize, Event, State, Step)> {
    let mut state = State::INITIAL;
    let mut policy = 0;
    path.iter()
        .map(|&input| {
            let event = match input {
                Input::Tell(event) => event,
                Input::Amend(index) => {
                    policy = index;
                    Event::PolicyChanged
                }
                Input::Crash(found) => Event::Recovered { run: state.run(), found },
            };
            let before = state;
            let step = machine.step(&policies[policy], before, event);
            state = step.state.canonical();
            (policy, event, before, step)
        })
        .collect()
}
