//! The graph as a product: machine and oracles are explored apart, each once, and met again by number.
//!
//! A situation is a setting (the machine's state and the policy) with a watch. What an input does to
//! the setting does not depend on the watch, and how a watch judges depends on an observation alone. So
//! the machine is asked once for each setting and input, and a watch once for each observation.
//!
//! Inputs that lead from a setting to the same setting and look alike are one [`Move`]; they are still
//! counted one by one. Settings whose moves differ only in where they lead have one shape, and what a
//! shape means to a watch, its [`Outline`], is worked out once. What is left for each situation is a list
//! of numbers.

use monitor_core::{
    Actions, Event, Note, Outcome, Phase, Policy, ProcessCommand, Reason, RunId, State, Step,
};
use monitor_os::Machine;

use super::inputs::{Needs, Tie, event};
use super::liveness::Obligation;
use super::packed::{self, Packed};
use super::table::{Slots, Table, hash};
use super::{Input, Model, Node, input_name};
use crate::observation::Observation;
use crate::watch::{Property, Watch};

/// A situation by the numbers of its factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Situation {
    pub(super) setting: u32,
    pub(super) watch: u32,
}

/// What the machine is in: its state, and the policy in force.
#[derive(Clone, Copy, Debug)]
struct Setting {
    state: State,
    policy: u16,
}

/// What settings have in common whose states differ in counters only.
#[derive(Debug, Default)]
struct Profile {
    offers: Vec<Offer>,
    /// For each offer what is seen of a step that changes nothing and does nothing, by whether the event is stale:
    /// no counter has a part in that. The inner value is absent where there is nothing to judge.
    idle: Vec<[Option<Option<u32>>; 2]>,
}

/// Something that the environment may do.
#[derive(Clone, Copy, Debug)]
struct Offer {
    input: Input,
    needs: Needs,
    /// The policy in force then.
    policy: u16,
    /// What the machine is told.
    event: Event,
}

/// What a setting offers: its shape, and where the first of its moves leads.
#[derive(Clone, Copy, Debug)]
struct Row {
    shape: u32,
    targets: u32,
}

/// Inputs of one setting that nothing tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Move {
    observation: u32,
    /// The first of them, among all that the setting may offer.
    input: u16,
    count: u16,
    /// Names of the inputs, as bits, if the phase changes.
    names: u32,
    /// What must be known for them to be possible.
    needs: Needs,
    tie: Tie,
    /// Whether the monitor crashes before it is told.
    crash: bool,
    /// Whether the machine takes them for something.
    applied: bool,
    /// Whether they lead back to the setting.
    stays: bool,
}

/// What settings have in common whose moves differ only in where they lead.
#[derive(Clone, Copy, Debug)]
struct Shape {
    phase: Phase,
    /// How many inputs say nothing and lead nowhere, whatever else is known.
    void: u32,
    start: u32,
    end: u32,
}

/// What a shape means to a watch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outline {
    /// Its ways, by number.
    pub(super) start: u32,
    pub(super) end: u32,
    /// How many inputs are possible.
    pub(super) transitions: u32,
    /// How many of them change something.
    pub(super) effective: u32,
    /// Which property is broken after these ways, and by which input.
    pub(super) breaks: Option<(Property, u16)>,
}

/// One way to go on that matters: it changes something, or the world owes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// The watch after it.
    pub(super) watch: u32,
    /// Which move of the setting it is, as its place among the targets.
    pub(super) target: u16,
    /// The first input that takes it.
    pub(super) input: u16,
    /// Whether nothing changes.
    pub(super) stays: bool,
    /// What the world pays with it.
    pub(super) obligation: Option<Obligation>,
    /// Whether it can be taken without any time having passed.
    pub(super) instant: bool,
    /// Whether a run begins with it.
    pub(super) spawns: bool,
}

/// The factors, explored as far as they were asked for.
#[derive(Debug)]
pub(super) struct Product<'a, M> {
    pub(super) model: Model<'a, M>,
    settings: Vec<Setting>,
    packed_settings: Table<(Packed, u16)>,
    /// What each setting offers, once it was asked for.
    rows: Vec<Option<Row>>,
    targets: Vec<u32>,
    shapes: Vec<Shape>,
    shape_slots: Slots,
    moves: Vec<Move>,
    observations: Vec<Observation>,
    packed_observations: Table<Packed>,
    /// For each observation the setting in which it was made last, and as which of the moves there.
    made: Vec<(u32, u32)>,
    watches: Table<Watch>,
    /// What each watch knows.
    known: Vec<Needs>,
    /// Each watch after a crash.
    crashed: Vec<u32>,
    /// By observation, then by watch.
    judged: Vec<Vec<Judged>>,
    /// By shape, then by watch: the number of the outline plus one, or zero.
    outlined: Vec<Vec<u32>>,
    outlines: Vec<Outline>,
    ways: Vec<Way>,
    /// For each pair of phases which names of inputs lead from one to the other, as bits.
    pub(super) phase_changes: Box<[[u32; PHASES]; PHASES]>,
    pub(super) names: Vec<&'static str>,
    profile_keys: Table<(Phase, Reason, Outcome, bool, u16)>,
    profiles: Vec<Profile>,
    /// The moves of a setting and where they lead, while it is asked for; kept for its memory.
    asked: Vec<(u32, Move)>,
}

pub(super) const PHASES: usize = Phase::ALL.len();

/// No setting.
const NOWHERE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
enum Judged {
    NotYet,
    Lawful(u32),
    Breaks(Property),
}

impl<'a, M: Machine> Product<'a, M> {
    pub(super) fn new(model: Model<'a, M>) -> Self {
        Self {
            model,
            settings: Vec::new(),
            packed_settings: Table::new(),
            rows: Vec::new(),
            targets: Vec::new(),
            shapes: Vec::new(),
            shape_slots: Slots::new(),
            moves: Vec::new(),
            observations: Vec::new(),
            packed_observations: Table::new(),
            made: Vec::new(),
            watches: Table::new(),
            known: Vec::new(),
            crashed: Vec::new(),
            judged: Vec::new(),
            outlined: Vec::new(),
            outlines: Vec::new(),
            ways: Vec::new(),
            phase_changes: Box::new([[0; PHASES]; PHASES]),
            names: Vec::new(),
            profile_keys: Table::new(),
            profiles: Vec::new(),
            asked: Vec::new(),
        }
    }

    pub(super) fn situation(&mut self, node: Node) -> Situation {
        let setting = self.setting(Setting { state: node.state, policy: node.policy });
        Situation { setting, watch: self.watch(node.watch) }
    }

    pub(super) const fn settings(&self) -> usize {
        self.settings.len()
    }

    pub(super) fn state(&self, setting: u32) -> State {
        self.settings[setting as usize].state
    }

    pub(super) fn watch_of(&self, situation: Situation) -> &Watch {
        &self.watches.items()[situation.watch as usize]
    }

    /// The ways on from a situation, and where the targets of its setting begin.
    pub(super) fn ways(&mut self, from: Situation) -> (Outline, u32) {
        let row = match self.rows[from.setting as usize] {
            Some(row) => row,
            None => self.ask(from.setting),
        };
        let outlined = &self.outlined[row.shape as usize];
        let number = match outlined.get(from.watch as usize) {
            Some(&number) if number > 0 => number - 1,
            _ => self.outline(row.shape, from.watch),
        };
        (self.outlines[number as usize], row.targets)
    }

    pub(super) fn way(&self, number: u32) -> Way {
        self.ways[number as usize]
    }

    /// The situation after a way, from a setting whose targets begin there.
    pub(super) fn target(&self, targets: u32, way: &Way) -> Situation {
        let setting = self.targets[targets as usize + usize::from(way.target)];
        Situation { setting, watch: way.watch }
    }

    /// The input of a setting by its number.
    pub(super) fn input(&self, setting: u32, index: u16) -> Input {
        let Setting { state, policy } = self.settings[setting as usize];
        let mut offers = Vec::new();
        self.model.offer(state, policy, |input, _| offers.push(input));
        offers[usize::from(index)]
    }

    fn setting(&mut self, setting: Setting) -> u32 {
        let packed = (packed::state(setting.state), setting.policy);
        let (id, new) = self.packed_settings.intern(packed);
        if new {
            self.settings.push(setting);
            self.rows.push(None);
        }
        id
    }

    fn watch(&mut self, watch: Watch) -> u32 {
        let (id, new) = self.watches.intern(watch);
        if new {
            self.known.push(Needs::known_to(&watch));
            self.crashed.push(id);
            // A crash leaves nothing more to forget, so this goes no deeper.
            self.crashed[id as usize] = self.watch(watch.after_crash());
        }
        id
    }

    /// Asks the machine for everything that a setting may offer.
    fn ask(&mut self, id: u32) -> Row {
        let from = self.settings[id as usize];
        let number = self.profile(from);
        let mut profile = std::mem::take(&mut self.profiles[number as usize]);
        let mut asked = std::mem::take(&mut self.asked);
        asked.clear();
        let mut void = 0;
        for (index, (offer, idle)) in profile.offers.iter().zip(&mut profile.idle).enumerate() {
            let rules = &self.model.policies[usize::from(offer.policy)];
            let step = self.model.machine.step(rules, from.state, offer.event);
            let same = step.state == from.state;
            let seen = match step.note {
                Note::Stale | Note::NotApplicable if same && step.actions == Actions::NONE => {
                    let known = &mut idle[usize::from(step.note == Note::Stale)];
                    *known.get_or_insert_with(|| self.observe(rules, from.state, offer.event, step))
                }
                Note::Applied | Note::Stale | Note::NotApplicable => {
                    self.observe(rules, from.state, offer.event, step)
                }
            };
            let Some(observation) = seen else {
                void += 1;
                continue;
            };
            let to = if same && offer.policy == from.policy {
                id
            } else {
                self.setting(Setting { state: self.model.fold(step.state), policy: offer.policy })
            };
            let spawns = step.actions.process == ProcessCommand::Spawn;
            let tie = match offer.input {
                Input::Tell(event) => Tie::of(rules, from.state, event, spawns),
                Input::Amend(_) | Input::Crash(_) => Tie::NONE,
            };
            let (setting, place) = self.made[observation as usize];
            let alike = asked.get_mut(place as usize).filter(|(other, by)| {
                (setting, *other) == (id, to) && (by.needs, by.tie) == (offer.needs, tie)
            });
            let moves_on = step.state.phase() != from.state.phase();
            let names = if moves_on { self.name(offer.input) } else { 0 };
            if let Some((_, by)) = alike {
                by.count += 1;
                by.names |= names;
                continue;
            }
            self.made[observation as usize] = (id, asked.len() as u32);
            asked.push((
                to,
                Move {
                    observation,
                    input: index as u16,
                    count: 1,
                    names,
                    needs: offer.needs,
                    tie,
                    crash: matches!(offer.input, Input::Crash(_)),
                    applied: step.note == Note::Applied,
                    stays: to == id,
                },
            ));
        }
        self.profiles[number as usize] = profile;
        let row = Row {
            shape: self.shape(from.state.phase(), void, &asked),
            targets: self.targets.len() as u32,
        };
        self.targets.extend(asked.iter().map(|&(to, _)| to));
        self.rows[id as usize] = Some(row);
        self.asked = asked;
        row
    }

    fn observe(&mut self, rules: &Policy, before: State, event: Event, step: Step) -> Option<u32> {
        let seen = Observation::of(rules, before, event, step)?;
        let (observation, new) = self.packed_observations.intern(packed::observation(&seen));
        if new {
            self.observations.push(seen);
            self.made.push((NOWHERE, 0));
            self.judged.push(Vec::new());
        }
        Some(observation)
    }

    fn profile(&mut self, of: Setting) -> u32 {
        let Setting { state, policy } = of;
        let first = state.run() == RunId::NONE;
        let key = (state.phase(), state.reason(), state.outcome(), first, policy);
        let (number, new) = self.profile_keys.intern(key);
        if new {
            let mut offers = Vec::new();
            self.model.offer(state, policy, |input, needs| {
                let (policy, event) = event(state, policy, input);
                offers.push(Offer { input, needs, policy, event });
            });
            let idle = vec![[None; 2]; offers.len()];
            self.profiles.push(Profile { offers, idle });
        }
        number
    }

    fn shape(&mut self, phase: Phase, void: u32, asked: &[(u32, Move)]) -> u32 {
        let key = asked.iter().fold(hash(&(phase, void)), |key, (_, by)| {
            key.rotate_left(9) ^ hash(&(by.observation, by.count, by.stays))
        });
        let (shapes, moves) = (&self.shapes, &self.moves);
        let (id, new) = self.shape_slots.find(hash(&key), |id| {
            let shape = shapes[id as usize];
            let known = &moves[shape.start as usize..shape.end as usize];
            (shape.phase, shape.void) == (phase, void)
                && known.iter().eq(asked.iter().map(|(_, by)| by))
        });
        if new {
            let start = self.moves.len() as u32;
            self.moves.extend(asked.iter().map(|&(_, by)| by));
            self.shapes.push(Shape { phase, void, start, end: self.moves.len() as u32 });
            self.outlined.push(Vec::new());
        }
        id
    }

    /// Works out what a shape means to a watch.
    fn outline(&mut self, shape: u32, watch: u32) -> u32 {
        let Shape { phase, void, start, end } = self.shapes[shape as usize];
        let known = self.known[watch as usize];
        let first = self.ways.len() as u32;
        let (mut transitions, mut effective, mut breaks) = (void, 0, None);
        for target in start..end {
            let by = self.moves[target as usize];
            if !by.needs.are_met_by(known) {
                continue;
            }
            let count = u32::from(by.count);
            transitions += count;
            let before = if by.crash { self.crashed[watch as usize] } else { watch };
            let after = match self.judge(by.observation, before) {
                Ok(after) => after,
                Err(property) => {
                    breaks = Some((property, by.input));
                    break;
                }
            };
            let stays = by.stays && after == watch;
            let pays = by.tie.pays.filter(|(_, needs)| needs.are_met_by(known));
            let instant = by.tie.instant.is_some_and(|needs| needs.are_met_by(known));
            // A lap of one way counts only if the machine takes the input for something.
            if stays && !(by.applied && (pays.is_some() || instant)) {
                continue;
            }
            if !stays {
                effective += count;
                let to = self.observations[by.observation as usize].phase;
                if to != phase {
                    self.phase_changes[phase as usize][to as usize] |= by.names;
                }
            }
            self.ways.push(Way {
                watch: after,
                target: (target - start) as u16,
                input: by.input,
                stays,
                obligation: pays.map(|(obligation, _)| obligation),
                instant,
                spawns: by.tie.spawns,
            });
        }
        let number = self.outlines.len() as u32;
        let end = self.ways.len() as u32;
        self.outlines.push(Outline { start: first, end, transitions, effective, breaks });
        *at(&mut self.outlined[shape as usize], watch, 0) = number + 1;
        number
    }

    /// The watch after an observation.
    fn judge(&mut self, observation: u32, watch: u32) -> Result<u32, Property> {
        match *at(&mut self.judged[observation as usize], watch, Judged::NotYet) {
            Judged::Lawful(after) => return Ok(after),
            Judged::Breaks(property) => return Err(property),
            Judged::NotYet => {}
        }
        let mut after = self.watches.get(watch as usize);
        let judged = after.judge(&self.observations[observation as usize]);
        let judged = judged.map(|()| self.watch(after));
        self.judged[observation as usize][watch as usize] = match judged {
            Ok(after) => Judged::Lawful(after),
            Err(property) => Judged::Breaks(property),
        };
        judged
    }

    fn name(&mut self, input: Input) -> u32 {
        let name = input_name(input);
        // By address: the same text at two addresses only takes a second bit.
        let known = self.names.iter().position(|&known| std::ptr::eq(known, name));
        let index = known.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        1 << index
    }
}

/// The place of a number in a list that is as long as it had to be so far.
fn at<T: Copy>(list: &mut Vec<T>, number: u32, empty: T) -> &mut T {
    let index = number as usize;
    if list.len() <= index {
        list.resize(index + 1, empty);
    }
    &mut list[index]
}
