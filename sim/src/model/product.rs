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
//! are one [`InputClass`]; they are still counted one by one. What a shape means to an oracle, its
//! [`Outline`], is worked out once: the possible inputs, and the [`Successor`]s. What is left for
//! each search state is to follow them by number.

use monitor_core::{Actions, Note, Phase, ProcessCommand, RunId, State, Step};
use monitor_os::Machine;

use super::candidates::{
    Candidate, InputClass, Known, PackedAnswer, Profile, Response, Row, UNMET,
};
use super::input::{Input, input_name};
use super::inputs::{Model, Needs, Progress, event};
use super::interner::{self, Interner, Sequences};
use super::liveness::Timing;
use super::outline::{Destination, Outline, Pending, Successor};
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
    /// The row of each setting, once it was asked for.
    rows: Vec<Option<Row>>,
    targets: Vec<u32>,
    profile_keys: Interner<(u32, bool, bool)>,
    profiles: Vec<Profile>,
    responses: Interner<Response>,
    patterns: Sequences<PackedAnswer>,
    /// By pattern: the number of its shape.
    shapes: Vec<u32>,
    classes: Sequences<InputClass>,
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
    successors: Vec<Successor>,
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
            classes: Sequences::new(),
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
            successors: Vec::new(),
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
    pub(super) fn successor(&self, number: usize) -> Successor {
        self.successors[number]
    }

    /// The row of a setting.
    #[inline]
    pub(super) fn row(&mut self, setting: u32) -> Row {
        match self.rows[setting as usize] {
            Some(row) => row,
            None => self.ask(setting),
        }
    }

    /// The setting of a successor.
    #[inline]
    pub(super) fn target(&self, row: Row, successor: &Successor) -> u32 {
        self.targets[row.targets as usize + usize::from(successor.target)]
    }

    /// Notes the shape of a successor; returns the place of the outline there.
    pub(super) fn look_up(&mut self, successor: usize, shape: u32) -> u32 {
        let place = self.place(shape, self.successors[successor].oracle);
        (self.successors[successor].shape, self.successors[successor].place) = (shape, place);
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
        let mut candidates = Vec::new();
        self.model.visit_candidates(state, policy, |input, _| candidates.push(input));
        candidates[usize::from(index)]
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

    /// Asks the machine for its answers to all candidates of a setting.
    fn ask(&mut self, id: u32) -> Row {
        let from = self.settings.get(id);
        let number = self.profile(from);
        let mut candidates = std::mem::take(&mut self.profiles[number as usize].candidates);
        let (mut pattern, mut targets) = std::mem::take(&mut self.asked);
        pattern.resize(candidates.len(), PackedAnswer::default());
        targets.clear();
        targets.push(id);
        let own = packed::state(&from.state);
        let mut latest = ((own, from.policy), 0);
        for (candidate, answer) in candidates.iter_mut().zip(&mut pattern) {
            let rules = &self.model.policies[usize::from(candidate.policy)];
            // Taken from where it lies: sixteen bytes at once, and not field by field.
            let state = self.settings.get(id).state;
            let step = self.model.machine.step(rules, state, candidate.event);
            let packed = packed::state(&step.state);
            let same = packed == own;
            let idle = same && step.note != Note::Applied && step.actions == Actions::NONE;
            let key = if idle {
                IDLE | step.note as u64
            } else {
                packed::step_facts(&StepFacts::of(rules, from.state, candidate.event, &step, !same))
            };
            let known = if candidate.latest.key == key {
                candidate.latest
            } else if let Some(known) = candidate.recall(key) {
                known
            } else {
                let response = self.respond(from, candidate, step);
                let kind = self.settings.kind(step.state, candidate.policy);
                let known = Known { key, response, kind };
                candidate.remember(known);
                known
            };
            let target = if same && candidate.policy == from.policy {
                0
            } else {
                if latest.0 != (packed, candidate.policy) {
                    let (mut state, mut numbers) = (step.state, from.numbers);
                    if packed::numbers(packed) != packed::numbers(own) {
                        state = self.model.fold(state);
                        numbers = self.settings.numbers(state);
                    }
                    let to = Setting { state, policy: candidate.policy, kind: known.kind, numbers };
                    latest = ((packed, candidate.policy), self.target_place(to, &mut targets));
                }
                latest.1
            };
            *answer = PackedAnswer::new(known.response, target);
        }
        self.profiles[number as usize].candidates = candidates;
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

    /// The number of the response that a step in a setting is to a candidate.
    fn respond(&mut self, from: Setting, candidate: &Candidate, step: Step) -> u32 {
        let &Candidate { input, needs, policy, event, progress, .. } = candidate;
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
            progress: progress.spawning(step.actions.process == ProcessCommand::Spawn),
            crash: matches!(input, Input::Crash(_)),
            applied: step.note == Note::Applied,
        };
        self.responses.intern(response).0
    }

    fn profile(&mut self, of: Setting) -> u32 {
        let Setting { state, policy, kind, .. } = of;
        let first = state.run() == RunId::NONE;
        let no_delay = Progress::is_without_delay(&self.model.policies[usize::from(policy)], state);
        let (number, new) = self.profile_keys.intern((kind, first, no_delay));
        if new {
            let rules = &self.model.policies[usize::from(policy)];
            let mut candidates = Vec::new();
            self.model.visit_candidates(state, policy, |input, needs| {
                let progress = match input {
                    Input::Event(event) => Progress::of(rules, state, event),
                    Input::Policy(_) | Input::Crash(_) => Progress::NONE,
                };
                let (policy, event) = event(state, policy, input);
                candidates.push(Candidate {
                    input,
                    needs,
                    policy,
                    event,
                    progress,
                    latest: UNMET,
                    others: Vec::new(),
                });
            });
            self.profiles.push(Profile { candidates });
        }
        number
    }

    /// The shape of a pattern.
    fn shape(&mut self, phase: Phase, pattern: &[PackedAnswer]) -> u32 {
        let mut classes: Vec<InputClass> = Vec::new();
        for (input, &answer) in (0..).zip(pattern) {
            let target = answer.target();
            let response = self.responses.get(answer.response());
            let alike = classes.iter_mut().find(|by| {
                (by.target, Response { names: response.names, ..by.response }) == (target, response)
            });
            match alike {
                Some(by) => {
                    by.count += 1;
                    by.response.names |= response.names;
                }
                None => classes.push(InputClass { response, target, input, count: 1 }),
            }
        }
        let (shape, new) = self.classes.intern(phase as u32, &classes);
        if new {
            self.outlines_of.push(Vec::new());
        }
        shape
    }

    /// Works out what a shape means to an oracle.
    fn work_out(&mut self, shape: u32, oracle: u32) -> Outline {
        let (phase, classes) = self.classes.range(shape);
        let requests = self.oracles.items()[oracle as usize];
        let is_down = Phase::ALL[phase as usize].is_down();
        let pending =
            Pending { stop: requests.is_stopping() && !is_down, restart: requests.is_restarting() };
        let known = self.known[oracle as usize];
        let first = self.successors.len();
        let (mut transitions, mut effective, mut breaks) = (0, 0, None);
        for number in classes {
            let InputClass { response: by, target, input, count } = self.classes.items()[number];
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
            let pays =
                by.progress.pays.filter(|(_, needs)| pending.any() && needs.are_met_by(known));
            let timing = match by.progress.instant {
                Some(needs) if needs.are_met_by(known) => {
                    if by.progress.spawns {
                        Timing::InstantSpawn
                    } else {
                        Timing::Instant
                    }
                }
                _ => Timing::Delayed,
            };
            let successor = Successor {
                oracle: after,
                shape: NO_SHAPE,
                place: 0,
                target,
                input,
                destination: Destination::SelfLoop,
                obligation: pays.map(|(obligation, _)| obligation),
                timing,
            };
            // A lap of one edge counts only if the machine takes the input for something.
            if !stays || by.applied && successor.is_edge() {
                self.add(first, successor, stays);
            }
        }
        let (start, end) = (first as u32, interner::number(self.successors.len()));
        Outline { start, end, transitions, effective, breaks, pending }
    }

    /// Adds a successor to those from the first on. Parallel ones stand together, and those that
    /// nothing distinguishes are one.
    fn add(&mut self, first: usize, mut successor: Successor, stays: bool) {
        let own = &mut self.successors[first..];
        let Some(last) = own.iter().rposition(|other| other.is_parallel_to(&successor)) else {
            if !stays {
                successor.destination = Destination::Other { needs_id: successor.is_edge() };
            }
            self.successors.push(successor);
            return;
        };
        let others = own[..last].iter().rposition(|other| !other.is_parallel_to(&successor));
        let parallel = &mut own[others.map_or(0, |other| other + 1)..=last];
        let alike = |other: &Successor| {
            (other.obligation, other.timing) == (successor.obligation, successor.timing)
        };
        if !successor.is_edge() || parallel.iter().any(alike) {
            return;
        }
        if !stays {
            parallel[0].destination = Destination::Other { needs_id: true };
            successor.destination = Destination::Previous;
        }
        self.successors.insert(first + last + 1, successor);
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
