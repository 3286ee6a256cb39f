//! The graph as a product: machine and oracles are explored apart, each once, and met again by number.
//!
//! A situation is a setting (the machine's state and the policy) with a watch. What an input does to
//! the setting does not depend on the watch, and how a watch judges depends on an observation alone. So
//! the machine is asked once for each setting and input, and a watch once for each observation.
//!
//! An answer has two parts: a [`Response`], in which no number of the state has a part, and where it leads.
//! The shape of a setting is its responses, in which inputs that nothing tells apart are one [`Move`]; they are
//! still counted one by one. What a shape means to a watch, its [`Outline`], is worked out once. What is left for
//! each situation is a list of numbers.

use monitor_core::{Actions, Event, Note, Phase, ProcessCommand, RunId, State, Step};
use monitor_os::Machine;

use super::inputs::{Needs, Tie, event};
use super::liveness::{Obligation, Pace};
use super::packed::{self, Packed};
use super::table::{Sequences, Table};
use super::{Input, Model, Node, input_name};
use crate::observation::{Observation, Sight, Standing};
use crate::watch::{Property, Watch};

/// A situation by the numbers of its factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Situation {
    pub(super) setting: u32,
    pub(super) watch: u32,
}

/// What the machine is in: its state, and the policy in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Setting {
    state: State,
    policy: u16,
}

/// What settings have in common whose states differ in numbers only.
#[derive(Debug)]
struct Profile {
    offers: Vec<Offer>,
}

/// Something that the environment may do with the settings of a profile.
#[derive(Debug)]
struct Offer {
    input: Input,
    needs: Needs,
    /// The policy in force then.
    policy: u16,
    /// What the machine is told.
    event: Event,
    /// How it ties to the world, but for the run that begins.
    tie: Tie,
    /// The latest sight as a number, and the response to it.
    latest: (u64, u32),
    /// All others that were seen.
    others: Vec<(u64, u32)>,
}

impl Offer {
    /// Makes a sight that was seen before the latest; returns its response.
    #[cold]
    fn recall(&mut self, looks: u64) -> Option<u32> {
        let known = self.others.iter_mut().find(|&&mut (seen, _)| seen == looks)?;
        std::mem::swap(known, &mut self.latest);
        Some(self.latest.1)
    }

    #[cold]
    fn remember(&mut self, looks: u64, response: u32) {
        let before = std::mem::replace(&mut self.latest, (looks, response));
        if before != UNSEEN {
            self.others.push(before);
        }
    }
}

/// What an answer of the machine means whatever the numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Response {
    /// Absent where there is nothing to judge.
    observation: Option<u32>,
    /// Names of the inputs, as bits, if the phase changes.
    names: u32,
    /// What must be known for the input to be possible.
    needs: Needs,
    tie: Tie,
    /// Whether the monitor crashes before it is told.
    crash: bool,
    /// Whether the machine takes the input for something.
    applied: bool,
}

/// What a setting offers: its shape, and the first of the settings it leads to, which is itself.
#[derive(Clone, Copy, Debug)]
struct Row {
    shape: u32,
    targets: u32,
}

/// The number of a response, and the place of its target: side by side, so that patterns compare as bytes do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Answer(u64);

impl Answer {
    const fn new(response: u32, target: u16) -> Self {
        Self((response as u64) << 16 | target as u64)
    }

    const fn response(self) -> usize {
        (self.0 >> 16) as usize
    }

    const fn target(self) -> u16 {
        self.0 as u16
    }
}

/// Inputs of one setting that nothing tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Move {
    response: Response,
    /// Where they lead, as a place among the targets; zero is back.
    target: u16,
    /// The first of them, among all that the setting may offer.
    input: u16,
    count: u16,
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
    /// Where it leads, as a place among the targets of the setting.
    pub(super) target: u16,
    /// The first input that takes it.
    pub(super) input: u16,
    pub(super) leads: Leads,
    /// What the world pays with it.
    pub(super) obligation: Option<Obligation>,
    pub(super) pace: Pace,
}

/// To which situation a way leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leads {
    /// To another.
    On,
    /// To the one of the way before it.
    Along,
    /// To where it begins.
    Back,
}

impl Way {
    /// Whether both lead to the same situation.
    fn meets(&self, other: &Self) -> bool {
        (self.target, self.watch) == (other.target, other.watch)
    }
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
    profile_keys: Table<(Standing, bool, bool, u16)>,
    profiles: Vec<Profile>,
    responses: Table<Response>,
    patterns: Sequences<Answer>,
    /// By pattern: the number of its moves.
    shapes: Vec<u32>,
    moves: Sequences<Move>,
    observations: Vec<Observation>,
    packed_observations: Table<Packed>,
    watches: Table<Watch>,
    /// What each watch knows.
    known: Vec<Needs>,
    /// Each watch after a crash.
    crashed: Vec<u32>,
    /// Pairs of an observation and a watch.
    judgements: Table<(u32, u32)>,
    /// By judgement: the watch after it.
    judged: Vec<Result<u32, Property>>,
    /// Pairs of a shape and a watch.
    outlined: Table<(u32, u32)>,
    outlines: Vec<Outline>,
    ways: Vec<Way>,
    /// For each pair of phases which names of inputs lead from one to the other, as bits.
    pub(super) phase_changes: Box<[[u32; PHASES]; PHASES]>,
    pub(super) names: Vec<&'static str>,
    /// The pattern and the targets of a setting while it is asked for; kept for their memory.
    asked: (Vec<Answer>, Vec<u32>),
}

pub(super) const PHASES: usize = Phase::ALL.len();

/// The sight of a step that changes nothing and does nothing, most of them, is this and the note: there is nothing
/// else to tell such steps apart. It is the number of no other sight.
const IDLE: u64 = 1 << 63;

/// No sight has this number.
const UNSEEN: (u64, u32) = (u64::MAX, 0);

impl<'a, M: Machine> Product<'a, M> {
    pub(super) fn new(model: Model<'a, M>) -> Self {
        Self {
            model,
            settings: Vec::new(),
            packed_settings: Table::new(),
            rows: Vec::new(),
            targets: Vec::new(),
            profile_keys: Table::new(),
            profiles: Vec::new(),
            responses: Table::new(),
            patterns: Sequences::new(),
            shapes: Vec::new(),
            moves: Sequences::new(),
            observations: Vec::new(),
            packed_observations: Table::new(),
            watches: Table::new(),
            known: Vec::new(),
            crashed: Vec::new(),
            judgements: Table::new(),
            judged: Vec::new(),
            outlined: Table::new(),
            outlines: Vec::new(),
            ways: Vec::new(),
            phase_changes: Box::new([[0; PHASES]; PHASES]),
            names: Vec::new(),
            asked: (Vec::new(), Vec::new()),
        }
    }

    pub(super) fn situation(&mut self, node: Node) -> Situation {
        let setting = self.setting(Setting { state: node.state, policy: node.policy });
        Situation { setting, watch: self.watch(node.watch) }
    }

    /// The machine states of the settings, each once, in their order.
    pub(super) fn states(&self, of: &[bool]) -> Vec<State> {
        let mut known = Table::new();
        let settings = self.packed_settings.items().iter().zip(&self.settings).zip(of);
        let once = settings.filter(|&((&(packed, _), _), &of)| of && known.intern(packed).1);
        let mut states: Vec<State> = once.map(|((_, setting), _)| setting.state).collect();
        states.sort_unstable();
        states
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

    /// The ways on from a situation, and the targets of its setting.
    #[inline]
    pub(super) fn ways(&mut self, from: Situation) -> (Outline, &[Way], &[u32]) {
        let row = match self.rows[from.setting as usize] {
            Some(row) => row,
            None => self.ask(from.setting),
        };
        let (number, new) = self.outlined.intern((row.shape, from.watch));
        if new {
            let outline = self.outline(row.shape, from.watch);
            self.outlines.push(outline);
        }
        let outline = self.outlines[number as usize];
        let ways = &self.ways[outline.start as usize..outline.end as usize];
        (outline, ways, &self.targets[row.targets as usize..])
    }

    /// The input of a setting by its number.
    pub(super) fn input(&self, setting: u32, index: u16) -> Input {
        let Setting { state, policy } = self.settings[setting as usize];
        let mut offers = Vec::new();
        self.model.offer(state, policy, |input, _| offers.push(input));
        offers[usize::from(index)]
    }

    fn setting(&mut self, setting: Setting) -> u32 {
        let packed = (packed::state(&setting.state), setting.policy);
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
        let mut offers = std::mem::take(&mut self.profiles[number as usize].offers);
        let (mut pattern, mut targets) = std::mem::take(&mut self.asked);
        pattern.resize(offers.len(), Answer::default());
        targets.clear();
        targets.push(id);
        let (own, _) = self.packed_settings.get(id as usize);
        let mut latest = ((own, from.policy), 0);
        for (offer, answer) in offers.iter_mut().zip(&mut pattern) {
            let rules = &self.model.policies[usize::from(offer.policy)];
            // Taken from where it lies: sixteen bytes at once, and not field by field.
            let state = self.settings[id as usize].state;
            let step = self.model.machine.step(rules, state, offer.event);
            let packed = packed::state(&step.state);
            let same = packed == own;
            let idle = same && step.note != Note::Applied && step.actions == Actions::NONE;
            let looks = if idle {
                IDLE | step.note as u64
            } else {
                packed::sight(&Sight::of(rules, from.state, offer.event, &step, !same))
            };
            let response = if offer.latest.0 == looks {
                offer.latest.1
            } else if let Some(response) = offer.recall(looks) {
                response
            } else {
                let response = self.respond(from, offer, step);
                offer.remember(looks, response);
                response
            };
            let target = if same && offer.policy == from.policy {
                0
            } else {
                if latest.0 != (packed, offer.policy) {
                    let to = Setting { state: step.state, policy: offer.policy };
                    latest = ((packed, offer.policy), self.place(to, &mut targets));
                }
                latest.1
            };
            *answer = Answer::new(response, target);
        }
        self.profiles[number as usize].offers = offers;
        let (known, new) = self.patterns.intern(number, &pattern);
        if new {
            let shape = self.shape(from.state.phase(), &pattern);
            self.shapes.push(shape);
        }
        let row = Row { shape: self.shapes[known as usize], targets: self.targets.len() as u32 };
        self.targets.extend_from_slice(&targets);
        self.rows[id as usize] = Some(row);
        self.asked = (pattern, targets);
        row
    }

    /// The place of a setting, its numbers not cut yet, among the targets of another.
    fn place(&mut self, to: Setting, targets: &mut Vec<u32>) -> u16 {
        let to = self.setting(Setting { state: self.model.fold(to.state), policy: to.policy });
        let known = targets.iter().position(|&known| known == to);
        known.unwrap_or_else(|| {
            targets.push(to);
            targets.len() - 1
        }) as u16
    }

    /// The number of the response that a step in a setting is to an offer.
    fn respond(&mut self, from: Setting, offer: &Offer, step: Step) -> u32 {
        let &Offer { input, needs, policy, event, tie, .. } = offer;
        let rules = &self.model.policies[usize::from(policy)];
        let seen = Observation::of(rules, from.state, event, step);
        let observation = seen.map(|seen| {
            let (observation, new) = self.packed_observations.intern(packed::observation(&seen));
            if new {
                self.observations.push(seen);
            }
            observation
        });
        let moves_on = step.state.phase() != from.state.phase();
        let response = Response {
            observation,
            names: if moves_on { self.name(input) } else { 0 },
            needs,
            tie: tie.spawning(step.actions.process == ProcessCommand::Spawn),
            crash: matches!(input, Input::Crash(_)),
            applied: step.note == Note::Applied,
        };
        self.responses.intern(response).0
    }

    fn profile(&mut self, of: Setting) -> u32 {
        let Setting { state, policy } = of;
        let standing = Standing::of(state);
        let first = state.run() == RunId::NONE;
        let no_delay = Tie::is_without_delay(&self.model.policies[usize::from(policy)], state);
        let (number, new) = self.profile_keys.intern((standing, first, no_delay, policy));
        if new {
            let rules = &self.model.policies[usize::from(policy)];
            let mut offers = Vec::new();
            self.model.offer(state, policy, |input, needs| {
                let tie = match input {
                    Input::Tell(event) => Tie::of(rules, state, event),
                    Input::Amend(_) | Input::Crash(_) => Tie::NONE,
                };
                let (policy, event) = event(state, policy, input);
                offers.push(Offer {
                    input,
                    needs,
                    policy,
                    event,
                    tie,
                    latest: UNSEEN,
                    others: Vec::new(),
                });
            });
            self.profiles.push(Profile { offers });
        }
        number
    }

    /// The shape of a pattern.
    fn shape(&mut self, phase: Phase, pattern: &[Answer]) -> u32 {
        let mut moves: Vec<Move> = Vec::new();
        for (input, &answer) in (0..).zip(pattern) {
            let target = answer.target();
            let response = self.responses.get(answer.response());
            let alike = moves.iter_mut().find(|by| {
                (by.target, Response { names: response.names, ..by.response }) == (target, response)
            });
            match alike {
                Some(by) => {
                    by.count += 1;
                    by.response.names |= response.names;
                }
                None => moves.push(Move { response, target, input, count: 1 }),
            }
        }
        self.moves.intern(phase as u32, &moves).0
    }

    /// Works out what a shape means to a watch.
    fn outline(&mut self, shape: u32, watch: u32) -> Outline {
        let (phase, moves) = self.moves.range(shape);
        let known = self.known[watch as usize];
        let first = self.ways.len();
        let (mut transitions, mut effective, mut breaks) = (0, 0, None);
        for number in moves {
            let Move { response: by, target, input, count } = self.moves.items()[number];
            if !by.needs.are_met_by(known) {
                continue;
            }
            let count = u32::from(count);
            transitions += count;
            let before = if by.crash { self.crashed[watch as usize] } else { watch };
            let judged = by.observation.map_or(Ok(before), |seen| self.judge(seen, before));
            let after = match judged {
                Ok(after) => after,
                Err(property) => {
                    breaks = Some((property, input));
                    break;
                }
            };
            let stays = target == 0 && after == watch;
            let pays = by.tie.pays.filter(|(_, needs)| needs.are_met_by(known));
            let instant = by.tie.instant.is_some_and(|needs| needs.are_met_by(known));
            // A lap of one way counts only if the machine takes the input for something.
            if stays && !(by.applied && (pays.is_some() || instant)) {
                continue;
            }
            if !stays {
                effective += count;
                if let Some(seen) = by.observation {
                    let to = self.observations[seen as usize].phase;
                    self.phase_changes[phase as usize][to as usize] |= by.names;
                }
            }
            let pace = match (instant, by.tie.spawns) {
                (false, _) => Pace::Waits,
                (true, false) => Pace::Instant,
                (true, true) => Pace::InstantSpawn,
            };
            let obligation = pays.map(|(obligation, _)| obligation);
            let leads = if stays { Leads::Back } else { Leads::On };
            let way = Way { watch: after, target, input, leads, obligation, pace };
            // Ways that meet stand together, and those that nothing tells apart are one.
            let own = &self.ways[first..];
            let Some(met) = own.iter().rposition(|other| other.meets(&way)) else {
                self.ways.push(way);
                continue;
            };
            let alike = |other: &&Way| (other.obligation, other.pace) == (obligation, pace);
            if !own[..=met].iter().rev().take_while(|other| other.meets(&way)).any(|o| alike(&o)) {
                let leads = if stays { Leads::Back } else { Leads::Along };
                self.ways.insert(first + met + 1, Way { leads, ..way });
            }
        }
        Outline { start: first as u32, end: self.ways.len() as u32, transitions, effective, breaks }
    }

    /// The watch after an observation.
    fn judge(&mut self, observation: u32, watch: u32) -> Result<u32, Property> {
        let (number, new) = self.judgements.intern((observation, watch));
        if new {
            let mut after = self.watches.get(watch as usize);
            let judged = after.judge(&self.observations[observation as usize]);
            let judged = judged.map(|()| self.watch(after));
            self.judged.push(judged);
        }
        self.judged[number as usize]
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
