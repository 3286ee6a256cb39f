//! The graph as a product: machine and oracles are explored apart, each once, and met again by
//! number.
//!
//! A search state is a setting (the machine's state and the policy) with an oracle. What an input
//! does to the setting does not depend on the oracle, and how an oracle checks depends on an
//! observation alone. So the machine is asked once for each setting and input, and an oracle once
//! for each observation.
//!
//! An answer has two parts: a [`Response`], in which no number of the state has a part, and where
//! it leads. The shape of a setting is its responses, in which inputs that nothing distinguishes
//! are one [`Move`]; they are still counted one by one. What a shape means to an oracle, its
//! [`Outline`], is worked out once: what can be done, and the [`Way`]s that lead on. What is left
//! for each search state is to follow them by number.

use monitor_core::{Actions, Note, Phase, ProcessCommand, RunId, State, Step};
use monitor_os::Machine;

use super::input::{Input, input_name};
use super::inputs::{Model, Needs, Tie, event};
use super::interner::{self, Interner, Sequences};
use super::liveness::Pace;
use super::offer::{Known, Move, Offer, PackedAnswer, Profile, Response, Row, UNMET};
use super::outline::{Leads, Outline, Pending, Way};
use super::packed::{self, Packed};
use super::search_state::SearchState;
use super::search_states::NO_SHAPE;
#[cfg(test)]
use super::search_states::SearchStateKey;
use super::settings::{Setting, Settings};
use crate::oracle::observation::Observation;
use crate::oracle::property::Property;
use crate::oracle::safety_oracle::SafetyOracle;
use crate::oracle::step_facts::StepFacts;

/// The factors, explored as far as they were asked for.
#[derive(Debug)]
pub(super) struct Product<'a, M> {
    pub(super) model: Model<'a, M>,
    settings: Settings,
    /// What each setting offers, once it was asked for.
    rows: Vec<Option<Row>>,
    targets: Vec<u32>,
    profile_keys: Interner<(u32, bool, bool)>,
    profiles: Vec<Profile>,
    responses: Interner<Response>,
    patterns: Sequences<PackedAnswer>,
    /// By pattern: the number of its moves.
    shapes: Vec<u32>,
    moves: Sequences<Move>,
    observations: Vec<Observation>,
    packed_observations: Interner<Packed>,
    oracles: Interner<SafetyOracle>,
    /// What each oracle knows.
    known: Vec<Needs>,
    /// Each oracle after a crash.
    crashed: Vec<u32>,
    /// Pairs of an observation and an oracle.
    checks: Interner<(u32, u32)>,
    /// By check: the oracle after it.
    checked: Vec<Result<u32, Property>>,
    /// By oracle: the shapes that it has outlines for, a few, and their places there.
    outlined: Vec<Vec<(u32, u32)>>,
    outlines: Vec<Outline>,
    /// By shape: its outlines.
    outlines_of: Vec<Vec<u32>>,
    ways: Vec<Way>,
    /// For each pair of phases which names of inputs lead from one to the other, as bits.
    pub(super) phase_changes: Box<[[u32; PHASES]; PHASES]>,
    pub(super) names: Vec<&'static str>,
    /// The pattern and the targets of a setting while it is asked for; kept for their memory.
    asked: (Vec<PackedAnswer>, Vec<u32>),
}

pub(super) const PHASES: usize = Phase::ALL.len();

/// The facts of a step that changes nothing and does nothing, most of them, are this and the note:
/// there is nothing else to distinguish such steps. No other facts have this number.
const IDLE: u64 = 1 << 63;

impl<'a, M: Machine> Product<'a, M> {
    pub(super) fn new(model: Model<'a, M>) -> Self {
        Self {
            model,
            settings: Settings::new(),
            rows: Vec::new(),
            targets: Vec::new(),
            profile_keys: Interner::new(),
            profiles: Vec::new(),
            responses: Interner::new(),
            patterns: Sequences::new(),
            shapes: Vec::new(),
            moves: Sequences::new(),
            observations: Vec::new(),
            packed_observations: Interner::new(),
            oracles: Interner::new(),
            known: Vec::new(),
            crashed: Vec::new(),
            checks: Interner::new(),
            checked: Vec::new(),
            outlined: Vec::new(),
            outlines: Vec::new(),
            outlines_of: Vec::new(),
            ways: Vec::new(),
            phase_changes: Box::new([[0; PHASES]; PHASES]),
            names: Vec::new(),
            asked: (Vec::new(), Vec::new()),
        }
    }

    /// The factors of a search state: its setting, its shape, and its place among the outlines of
    /// that.
    pub(super) fn factors(&mut self, search_state: SearchState) -> (u32, u32, u32) {
        let setting = self.settings.of(search_state.state, search_state.policy);
        let setting = self.setting(setting);
        let shape = self.row(setting).shape;
        let oracle = self.oracle(search_state.oracle);
        (setting, shape, self.place(shape, oracle))
    }

    /// The machine states of the settings, each once, in their order.
    pub(super) fn states(&self, of: &[bool]) -> Vec<State> {
        let mut known = Interner::new();
        let settings = self.settings.items().iter().zip(of).filter(|&(_, &of)| of);
        let states = settings.map(|(setting, _)| setting.state);
        let mut states: Vec<State> =
            states.filter(|state| known.intern(packed::state(state)).1).collect();
        states.sort_unstable();
        states
    }

    pub(super) const fn settings(&self) -> usize {
        self.settings.len()
    }

    pub(super) fn outline(&self, number: u32) -> Outline {
        self.outlines[number as usize]
    }

    #[cfg(test)]
    pub(super) const fn shapes(&self) -> u32 {
        self.outlines_of.len() as u32
    }

    /// The outlines of a shape, as far as they were met.
    pub(super) fn outlines_of(&self, shape: u32) -> &[u32] {
        &self.outlines_of[shape as usize]
    }

    #[inline]
    pub(super) fn way(&self, number: usize) -> Way {
        self.ways[number]
    }

    /// What a setting offers.
    #[inline]
    pub(super) fn row(&mut self, setting: u32) -> Row {
        match self.rows[setting as usize] {
            Some(row) => row,
            None => self.ask(setting),
        }
    }

    /// The setting that a way leads to.
    #[inline]
    pub(super) fn target(&self, row: Row, way: &Way) -> u32 {
        self.targets[row.targets as usize + usize::from(way.target)]
    }

    /// Lets a way lead to a shape; returns the place of the outline there.
    pub(super) fn lead_to(&mut self, way: usize, shape: u32) -> u32 {
        let place = self.place(shape, self.ways[way].oracle);
        (self.ways[way].shape, self.ways[way].place) = (shape, place);
        place
    }

    /// The place of the outline for an oracle among those of a shape.
    fn place(&mut self, shape: u32, oracle: u32) -> u32 {
        let known = &self.outlined[oracle as usize];
        if let Some(&(_, place)) = known.iter().find(|&&(known, _)| known == shape) {
            return place;
        }
        let outline = self.work_out(shape, oracle);
        let all = &mut self.outlines_of[shape as usize];
        let place = interner::number(all.len());
        all.push(interner::number(self.outlines.len()));
        self.outlines.push(outline);
        self.outlined[oracle as usize].push((shape, place));
        place
    }

    /// The input of a setting by its number.
    pub(super) fn input(&self, setting: u32, index: u16) -> Input {
        let Setting { state, policy, .. } = self.settings.get(setting);
        let mut offers = Vec::new();
        self.model.offer(state, policy, |input, _| offers.push(input));
        offers[usize::from(index)]
    }

    /// Search states with all that their numbers stand for.
    #[cfg(test)]
    pub(super) fn search_states(&self, keys: &[SearchStateKey]) -> Vec<SearchState> {
        let mut oracles = vec![SafetyOracle::default(); self.outlines.len()];
        for (&oracle, outlined) in self.oracles.items().iter().zip(&self.outlined) {
            for &(shape, place) in outlined {
                oracles[self.outlines_of[shape as usize][place as usize] as usize] = oracle;
            }
        }
        let full = |&SearchStateKey { setting, outline }: &SearchStateKey| {
            let Setting { state, policy, .. } = self.settings.get(setting);
            SearchState { state, oracle: oracles[outline as usize], policy }
        };
        keys.iter().map(full).collect()
    }

    fn setting(&mut self, setting: Setting) -> u32 {
        let id = self.settings.intern(setting);
        if self.rows.len() < self.settings.len() {
            self.rows.push(None);
        }
        id
    }

    fn oracle(&mut self, oracle: SafetyOracle) -> u32 {
        let (id, new) = self.oracles.intern(oracle);
        if new {
            self.known.push(Needs::known_to(&oracle));
            self.outlined.push(Vec::new());
            self.crashed.push(id);
            // A crash leaves nothing more to forget, so this goes no deeper.
            self.crashed[id as usize] = self.oracle(oracle.after_crash());
        }
        id
    }

    /// Asks the machine for everything that a setting may offer.
    fn ask(&mut self, id: u32) -> Row {
        let from = self.settings.get(id);
        let number = self.profile(from);
        let mut offers = std::mem::take(&mut self.profiles[number as usize].offers);
        let (mut pattern, mut targets) = std::mem::take(&mut self.asked);
        pattern.resize(offers.len(), PackedAnswer::default());
        targets.clear();
        targets.push(id);
        let own = packed::state(&from.state);
        let mut latest = ((own, from.policy), 0);
        for (offer, answer) in offers.iter_mut().zip(&mut pattern) {
            let rules = &self.model.policies[usize::from(offer.policy)];
            // Taken from where it lies: sixteen bytes at once, and not field by field.
            let state = self.settings.get(id).state;
            let step = self.model.machine.step(rules, state, offer.event);
            let packed = packed::state(&step.state);
            let same = packed == own;
            let idle = same && step.note != Note::Applied && step.actions == Actions::NONE;
            let key = if idle {
                IDLE | step.note as u64
            } else {
                packed::step_facts(&StepFacts::of(rules, from.state, offer.event, &step, !same))
            };
            let known = if offer.latest.key == key {
                offer.latest
            } else if let Some(known) = offer.recall(key) {
                known
            } else {
                let response = self.respond(from, offer, step);
                let kind = self.settings.kind(step.state, offer.policy);
                let known = Known { key, response, kind };
                offer.remember(known);
                known
            };
            let target = if same && offer.policy == from.policy {
                0
            } else {
                if latest.0 != (packed, offer.policy) {
                    let (mut state, mut numbers) = (step.state, from.numbers);
                    if packed::numbers(packed) != packed::numbers(own) {
                        state = self.model.fold(state);
                        numbers = self.settings.numbers(state);
                    }
                    let to = Setting { state, policy: offer.policy, kind: known.kind, numbers };
                    latest = ((packed, offer.policy), self.target_place(to, &mut targets));
                }
                latest.1
            };
            *answer = PackedAnswer::new(known.response, target);
        }
        self.profiles[number as usize].offers = offers;
        let (pattern_number, new) = self.patterns.intern(number, &pattern);
        if new {
            let shape = self.shape(from.state.phase(), &pattern);
            self.shapes.push(shape);
        }
        let shape = self.shapes[pattern_number as usize];
        let row = Row { shape, targets: interner::number(self.targets.len()) };
        self.targets.extend_from_slice(&targets);
        self.rows[id as usize] = Some(row);
        self.asked = (pattern, targets);
        row
    }

    /// The place of a setting among the targets of another.
    fn target_place(&mut self, to: Setting, targets: &mut Vec<u32>) -> u16 {
        let to = self.setting(to);
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
        let Setting { state, policy, kind, .. } = of;
        let first = state.run() == RunId::NONE;
        let no_delay = Tie::is_without_delay(&self.model.policies[usize::from(policy)], state);
        let (number, new) = self.profile_keys.intern((kind, first, no_delay));
        if new {
            let rules = &self.model.policies[usize::from(policy)];
            let mut offers = Vec::new();
            self.model.offer(state, policy, |input, needs| {
                let tie = match input {
                    Input::Event(event) => Tie::of(rules, state, event),
                    Input::Policy(_) | Input::Crash(_) => Tie::NONE,
                };
                let (policy, event) = event(state, policy, input);
                offers.push(Offer {
                    input,
                    needs,
                    policy,
                    event,
                    tie,
                    latest: UNMET,
                    others: Vec::new(),
                });
            });
            self.profiles.push(Profile { offers });
        }
        number
    }

    /// The shape of a pattern.
    fn shape(&mut self, phase: Phase, pattern: &[PackedAnswer]) -> u32 {
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
        let (shape, new) = self.moves.intern(phase as u32, &moves);
        if new {
            self.outlines_of.push(Vec::new());
        }
        shape
    }

    /// Works out what a shape means to an oracle.
    fn work_out(&mut self, shape: u32, oracle: u32) -> Outline {
        let (phase, moves) = self.moves.range(shape);
        let requests = self.oracles.items()[oracle as usize];
        let is_down = Phase::ALL[phase as usize].is_down();
        let pending =
            Pending { stop: requests.is_stopping() && !is_down, restart: requests.is_restarting() };
        let known = self.known[oracle as usize];
        let first = self.ways.len();
        let (mut transitions, mut effective, mut breaks) = (0, 0, None);
        for number in moves {
            let Move { response: by, target, input, count } = self.moves.items()[number];
            if !by.needs.are_met_by(known) {
                continue;
            }
            let count = u32::from(count);
            transitions += count;
            let before = if by.crash { self.crashed[oracle as usize] } else { oracle };
            let checked =
                by.observation.map_or(Ok(before), |observation| self.check(observation, before));
            let after = match checked {
                Ok(after) => after,
                Err(property) => {
                    breaks = Some((property, input));
                    break;
                }
            };
            let stays = target == 0 && after == oracle;
            if !stays {
                effective += count;
                if let Some(seen) = by.observation {
                    let to = self.observations[seen as usize].phase;
                    self.phase_changes[phase as usize][to as usize] |= by.names;
                }
            }
            let pays = by.tie.pays.filter(|(_, needs)| pending.any() && needs.are_met_by(known));
            let pace = match by.tie.instant {
                Some(needs) if needs.are_met_by(known) => {
                    if by.tie.spawns {
                        Pace::InstantSpawn
                    } else {
                        Pace::Instant
                    }
                }
                _ => Pace::Waits,
            };
            let way = Way {
                oracle: after,
                shape: NO_SHAPE,
                place: 0,
                target,
                input,
                leads: Leads::Back,
                obligation: pays.map(|(obligation, _)| obligation),
                pace,
            };
            // A lap of one way counts only if the machine takes the input for something.
            if !stays || by.applied && way.is_edge() {
                self.add(first, way, stays);
            }
        }
        let (start, end) = (first as u32, interner::number(self.ways.len()));
        Outline { start, end, transitions, effective, breaks, pending }
    }

    /// Adds a way to those from the first on. Ways that meet stand together, and those that nothing
    /// distinguishes are one.
    fn add(&mut self, first: usize, mut way: Way, stays: bool) {
        let own = &mut self.ways[first..];
        let Some(last) = own.iter().rposition(|other| other.meets(&way)) else {
            if !stays {
                way.leads = Leads::On { is_asked: way.is_edge() };
            }
            self.ways.push(way);
            return;
        };
        let others = own[..last].iter().rposition(|other| !other.meets(&way));
        let met = &mut own[others.map_or(0, |other| other + 1)..=last];
        let alike = |other: &Way| (other.obligation, other.pace) == (way.obligation, way.pace);
        if !way.is_edge() || met.iter().any(alike) {
            return;
        }
        if !stays {
            met[0].leads = Leads::On { is_asked: true };
            way.leads = Leads::Along;
        }
        self.ways.insert(first + last + 1, way);
    }

    /// The oracle after an observation.
    fn check(&mut self, observation: u32, oracle: u32) -> Result<u32, Property> {
        let (number, new) = self.checks.intern((observation, oracle));
        if new {
            let mut after = self.oracles.get(oracle as usize);
            let checked = after.check(&self.observations[observation as usize]);
            let checked = checked.map(|()| self.oracle(after));
            self.checked.push(checked);
        }
        self.checked[number as usize]
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
