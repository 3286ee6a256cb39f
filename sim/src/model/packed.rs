//! States, facts and observations as numbers, so that comparing and hashing them costs a few
//! instructions.
//!
//! Two values have the same number only if they are equal. Each function takes its value apart
//! completely, so that a field that is added later cannot be forgotten; but for a state, whose
//! fields are private: there a test finds it.

use monitor_core::{Exit, Found, Lifecycle, Outcome, ProcessCommand, Remains, Signal, State};

use crate::oracle::observation::Observation;
use crate::oracle::property::Property;
use crate::oracle::step_facts::{StepFacts, TimerEffect};
use crate::oracle::step_view::{EventMeaning, ProcessEffect};

/// A value without loss.
pub(super) type Packed = (u64, u64);

/// Every field of a state, each where it takes the fewest instructions to put.
#[inline]
pub(super) fn state(state: &State) -> Packed {
    let runs = u64::from(state.restarts()) << 32 | u64::from(state.run().as_u32());
    let counts_and_names = u64::from(state.level())
        | u64::from(state.starts()) << 8
        | u64::from(state.strikes()) << 16
        | (state.phase() as u64) << 32
        | (state.reason() as u64) << 40
        | outcome(state.outcome()) << 48;
    (runs, counts_and_names)
}

/// All fields of a state that are numbers.
pub(super) type Numbers = (u64, u32);

/// The numbers of a state.
#[inline]
pub(super) const fn numbers((runs, counts_and_names): Packed) -> Numbers {
    (runs, counts_and_names as u32)
}

/// Every field of the facts of a step.
#[inline]
pub(super) fn step_facts(step_facts: &StepFacts) -> u64 {
    let StepFacts { note, after, process, timers: [first, second, third], emit, relations } =
        *step_facts;
    let (command, of_command) = match process {
        // Two bits hold four commands: the signal of a cancelled spawn tells it from none.
        ProcessCommand::Leave => (0, 0),
        ProcessCommand::CancelSpawn { signal } => (0, u64::from(signal.number()) << 1),
        ProcessCommand::Spawn => (1, 0),
        ProcessCommand::Abandon => (1, 1),
        ProcessCommand::Signal { signal, scope } => {
            (2, u64::from(signal.number()) << 1 | scope as u64)
        }
        ProcessCommand::Release { signal, scope } => {
            let signal = signal.map_or(0, Signal::number);
            (3, u64::from(signal) << 1 | scope as u64)
        }
    };
    Bits(note as u64)
        .then(4, after.phase as u64)
        .then(4, after.reason as u64)
        .then(EXIT + 1, outcome(after.outcome))
        .then(2, command)
        .then(8, of_command)
        .then(5, timer(first))
        .then(5, timer(second))
        .then(5, timer(third))
        .then(5, emit.map_or(0, lifecycle))
        .then(11, u64::from(relations.0))
        .0
}

/// Every field of an observation.
pub(super) fn observation(seen: &Observation) -> Packed {
    let Observation {
        meaning: said,
        note,
        phase,
        exit: remembered,
        refused,
        process: command,
        timers: [first, second, third],
        emit,
        acts_though_ignored,
        is_unsaved,
        is_off_the_curve,
        is_false_leak,
        state_breaks,
        breaks,
    } = *seen;
    let low = Bits(meaning(said))
        .then(2, note as u64)
        .then(4, phase as u64)
        .then(EXIT, exit(remembered))
        .then(1, u64::from(refused))
        .then(6, emit.map_or(0, lifecycle))
        .then(1, u64::from(acts_though_ignored))
        .then(1, u64::from(is_unsaved))
        .then(1, u64::from(is_off_the_curve))
        .then(1, u64::from(is_false_leak));
    let high = Bits(process(command))
        .then(5, timer(first))
        .then(5, timer(second))
        .then(5, timer(third))
        .then(6, property(state_breaks))
        .then(6, property(breaks));
    (low.0, high.0)
}

/// Fields side by side, each in as many bits as its values take.
#[derive(Clone, Copy, Debug, Default)]
struct Bits(u64);

impl Bits {
    #[inline]
    const fn then(self, width: u32, field: u64) -> Self {
        debug_assert!(field >> width == 0 && self.0.leading_zeros() >= width);
        Self(self.0 << width | field)
    }
}

const EXIT: u32 = 10;

fn outcome(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::None => 0,
        Outcome::Exited(by) => exit(Some(by)),
        Outcome::StartFailed(failure) => 1 << EXIT | failure as u64,
    }
}

fn exit(exit: Option<Exit>) -> u64 {
    match exit {
        None => 0,
        Some(Exit::Code(code)) => 1 << 8 | u64::from(code),
        Some(Exit::Signal(signal)) => 2 << 8 | u64::from(signal.number()),
        Some(Exit::Unknown) => 3 << 8,
    }
}

fn meaning(meaning: EventMeaning) -> u64 {
    let (kind, details) = match meaning {
        EventMeaning::Nothing => (0, 0),
        EventMeaning::Up { restart, going_down } => {
            (1, u64::from(restart) << 1 | u64::from(going_down))
        }
        EventMeaning::Down { last, origin, decided } => {
            (2, u64::from(last) << 2 | (origin as u64) << 1 | u64::from(decided))
        }
        EventMeaning::Started => (3, 0),
        EventMeaning::Ended(by) => (4, exit(by)),
        EventMeaning::Released => (5, 0),
        EventMeaning::Fired(kind) => (6, kind as u64),
        EventMeaning::Recovered { found, after_shutdown, after_user } => {
            let found = match found {
                Found::Alive => 0,
                Found::Gone => 1,
                Found::Rebooted => 2,
                Found::Exited(by) => exit(Some(by)),
            };
            (7, found << 2 | u64::from(after_shutdown) << 1 | u64::from(after_user))
        }
        EventMeaning::Reset => (8, 0),
    };
    Bits(kind).then(EXIT + 2, details).0
}

fn process(command: ProcessEffect) -> u64 {
    let (kind, details) = match command {
        ProcessEffect::Leave => (0, 0),
        ProcessEffect::Spawn { requested, budget, breaks } => {
            let budget = budget.map_or(0, |budget| u64::from(budget) + 1);
            let details = Bits(u64::from(requested)).then(17, budget).then(6, property(breaks));
            (1, details.0)
        }
        ProcessEffect::Signal { kill, scope, beside, again } => {
            let details = Bits(u64::from(kill)).then(1, scope as u64);
            (2, details.then(1, u64::from(beside)).then(1, u64::from(again)).0)
        }
        ProcessEffect::Release { recovery } => (3, u64::from(recovery)),
    };
    Bits(kind).then(24, details).0
}

const fn timer(timer: TimerEffect) -> u64 {
    match timer {
        TimerEffect::Keep => 0,
        TimerEffect::Disarm => 1,
        TimerEffect::Arm(kind) => 1 << 3 | kind as u64,
        TimerEffect::Shorten(kind) => 2 << 3 | kind as u64,
        TimerEffect::Lengthen(kind) => 3 << 3 | kind as u64,
    }
}

fn lifecycle(lifecycle: Lifecycle) -> u64 {
    let kind = match lifecycle {
        Lifecycle::Starting => 1,
        Lifecycle::Started => 2,
        Lifecycle::Ready => 3,
        Lifecycle::Healthy => 4,
        Lifecycle::Stopping => 5,
        Lifecycle::Killing => 6,
        Lifecycle::Unkillable => 7,
        Lifecycle::Exited => 8,
        Lifecycle::StartFailed => 9,
        Lifecycle::BackingOff => 10,
        Lifecycle::Throttled => 11,
        Lifecycle::Stopped { .. } => 12,
        Lifecycle::GaveUp { .. } => 13,
    };
    kind << 1 | u64::from(lifecycle.remains() == Remains::Leaked)
}

fn property(property: Option<Property>) -> u64 {
    property.map_or(0, |property| property as u64 + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use monitor_os::{Core, Machine};

    use crate::model::exploration::explore;
    use crate::model::family::family;
    use crate::model::inputs::{Model, event};
    use crate::model::packed::{Packed, numbers, observation, state, step_facts};
    use crate::oracle::observation::Observation;
    use crate::oracle::step_facts::{AbstractState, StepFacts};
    use crate::oracle::step_view::View;

    /// Goal: no two values share a number, and no two states both their names and their numbers.
    /// Method: all that the family's members meet, under each of their own policies.
    #[test]
    fn different_values_have_different_numbers() {
        let mut states = BTreeMap::new();
        let mut parts = BTreeMap::new();
        let mut seen: BTreeMap<Packed, Observation> = BTreeMap::new();
        let mut facts: BTreeMap<u64, StepFacts> = BTreeMap::new();
        for member in family() {
            let model = Model::new(&member.policies, &Core);
            let reached = explore(&member.policies, &Core).states;
            for before in reached {
                assert_eq!(*states.entry(state(&before)).or_insert(before), before);
                let apart = (AbstractState::of(before), numbers(state(&before)));
                assert_eq!(*parts.entry(apart).or_insert(before), before);
                model.visit_candidates(before, 0, |input, _| {
                    let (policy, event) = event(before, 0, input);
                    let rules = &member.policies[usize::from(policy)];
                    let step = Core.step(rules, before, event);
                    let found = StepFacts::of(rules, before, event, &step, step.state != before);
                    assert_eq!(*facts.entry(step_facts(&found)).or_insert(found), found);
                    if let Some(found) = Observation::of(rules, before, event, step) {
                        let asked = View::of(rules, &before, &event, &step);
                        assert_eq!(Observation::from_view(&asked), found, "computed and kept");
                        assert_eq!(*seen.entry(observation(&found)).or_insert(found), found);
                    }
                });
            }
        }
        assert!(states.len() > 1_000 && seen.len() > 500, "{} {}", states.len(), seen.len());
    }
}
