//! The search: breadth first over interned search states, then the questions to the finished graph.

use std::collections::{BTreeMap, BTreeSet};

use monitor_core::{Phase, State};
use monitor_os::Machine;

use super::finding::{Counterexample, Exploration};
use super::input::Input;
use super::inputs::Model;
use super::liveness::{Edge, Graph, Stuck};
use super::outline::{Destination, Pending, Successor};
use super::product::Product;
use super::search_states::{SearchStateKey, SearchStates};
use crate::oracle::property::Property;

pub(super) struct Search<'a, M> {
    product: Product<'a, M>,
    search_states: SearchStates,
    /// For each search state the one it was reached from, and by which input; the first has none.
    parents: Vec<(u32, u16)>,
    world: Graph,
    transitions: usize,
    effective: usize,
    race_pairs: usize,
}

impl<'a, M: Machine> Search<'a, M> {
    pub(super) fn new(model: Model<'a, M>) -> Self {
        Self {
            product: Product::new(model),
            search_states: SearchStates::new(),
            parents: Vec::new(),
            world: Graph::new(),
            transitions: 0,
            effective: 0,
            race_pairs: 0,
        }
    }

    pub(super) fn run(mut self) -> Exploration {
        let counterexample = self.search().or_else(|| self.question());
        Exploration {
            search_states: self.search_states.len(),
            transitions: self.transitions,
            effective: self.effective,
            race_pairs: self.race_pairs,
            states: self.states(),
            phase_changes: self.named_phase_changes(),
            counterexample,
        }
    }

    fn search(&mut self) -> Option<Counterexample> {
        let (setting, shape, place) = self.product.factors(self.product.model.initial());
        self.add(setting, shape, place);
        self.parents.push((0, 0));
        let mut id = 0;
        while id < self.search_states.len() {
            if let Err((property, input)) = self.expand(id as u32) {
                let mut path = self.path_to(id as u32);
                path.push(self.input(id as u32, input));
                return Some(Counterexample { property, path, lap: 0, panic: None });
            }
            id += 1;
        }
        None
    }

    fn expand(&mut self, id: u32) -> Result<(), (Property, u16)> {
        let from = self.search_states.items()[id as usize];
        let row = self.product.row(from.setting);
        let outline = self.product.outline(from.outline);
        let mut to = id;
        for number in outline.successors() {
            let successor = self.product.successor(number);
            match successor.destination {
                Destination::Previous => {}
                Destination::SelfLoop => to = id,
                Destination::Other { needs_id } => {
                    let setting = self.product.target(row, &successor);
                    let bucket = self.search_states.bucket(setting);
                    if bucket.shape != successor.shape || !bucket.is_taken(successor.place) {
                        to = self.resolve(id, number, setting);
                    } else if needs_id {
                        to = self.search_states.at(bucket, successor.place);
                    }
                }
            }
            if successor.is_edge() {
                let Successor { input, obligation, timing, .. } = successor;
                self.world.push(Edge { to, input, obligation, timing });
            }
        }
        self.world.close_row();
        let effective = outline.effective as usize;
        self.transitions += outline.transitions as usize;
        self.effective += effective;
        self.race_pairs += effective * effective.saturating_sub(1);
        outline.breaks.map_or(Ok(()), Err)
    }

    /// The search state that a successor with this setting is, which may be new.
    fn resolve(&mut self, from: u32, number: usize, setting: u32) -> u32 {
        let bucket = self.search_states.bucket(setting);
        let successor = self.product.successor(number);
        let shape = self.product.row(setting).shape;
        let place = if successor.shape == shape {
            successor.place
        } else {
            self.product.look_up(number, shape)
        };
        let known = self.search_states.find(setting, bucket, place);
        known.unwrap_or_else(|| {
            self.parents.push((from, successor.input));
            self.add(setting, shape, place)
        })
    }

    fn add(&mut self, setting: u32, shape: u32, place: u32) -> u32 {
        let outlines = self.product.outlines_of(shape);
        let key = SearchStateKey { setting, outline: outlines[place as usize] };
        self.search_states.add(key, shape, place, outlines.len() as u32)
    }

    /// The machine states that were reached, in their order.
    fn states(&self) -> Vec<State> {
        let mut reached = vec![false; self.product.settings()];
        self.search_states.items().iter().for_each(|at| reached[at.setting as usize] = true);
        self.product.states(&reached)
    }

    fn named_phase_changes(&self) -> BTreeMap<(Phase, Phase), BTreeSet<&'static str>> {
        let mut named: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for from in Phase::ALL {
            for to in Phase::ALL {
                let bits = self.product.phase_changes[from as usize][to as usize];
                for (index, &name) in self.product.names.iter().enumerate() {
                    if bits >> index & 1 == 1 {
                        named.entry((from, to)).or_default().insert(name);
                    }
                }
            }
        }
        named
    }

    fn path_to(&self, mut id: u32) -> Vec<Input> {
        let mut path = Vec::new();
        while id != 0 {
            let (parent, index) = self.parents[id as usize];
            path.push(self.input(parent, index));
            id = parent;
        }
        path.reverse();
        path
    }

    fn input(&self, id: u32, index: u16) -> Input {
        self.product.input(self.search_states.items()[id as usize].setting, index)
    }

    /// Asks the finished graph what no single step can show.
    fn question(&self) -> Option<Counterexample> {
        let pending = |of: fn(Pending) -> bool| -> Vec<bool> {
            let is_pending = |at: &SearchStateKey| of(self.product.outline(at.outline).pending);
            self.search_states.items().iter().map(is_pending).collect()
        };
        let stopping = pending(|requests| requests.stop);
        let restarting = pending(|requests| requests.restart);
        let questions =
            [(Property::StopEnds, stopping), (Property::RestartIsOneIntent, restarting)];
        for (property, pending) in questions {
            match self.world.stuck(&pending) {
                None => {}
                Some(Stuck::DeadEnd(id)) => {
                    let path = self.path_to(id);
                    return Some(Counterexample { property, path, lap: 0, panic: None });
                }
                Some(Stuck::FairCycle(id, lap)) => return Some(self.lap(property, id, &lap)),
            }
        }
        let (id, lap) = self.world.hot_loop()?;
        Some(self.lap(Property::BackoffWaits, id, &lap))
    }

    fn lap(&self, property: Property, id: u32, lap: &[(u32, u16)]) -> Counterexample {
        let mut path = self.path_to(id);
        path.extend(lap.iter().map(|&(id, index)| self.input(id, index)));
        Counterexample { property, path, lap: lap.len(), panic: None }
    }
}

#[cfg(test)]
mod tests {
    use monitor_core::{Counts, Policy, Retries, Rules};
    use monitor_os::Core;

    use super::*;
    use crate::model::family::family;
    use crate::model::search_state::SearchState;

    /// What a search without any of the shortcuts finds.
    struct Plain {
        /// Each search state, and how many inputs lead to it.
        depths: BTreeMap<SearchState, usize>,
        transitions: usize,
        effective: usize,
        race_pairs: usize,
    }

    fn plain(model: &Model<'_, Core>) -> Plain {
        let mut found = Plain {
            depths: BTreeMap::from([(model.initial(), 0)]),
            transitions: 0,
            effective: 0,
            race_pairs: 0,
        };
        let (mut queue, mut inputs) = (vec![model.initial()], Vec::new());
        let mut next = 0;
        while let Some(&from) = queue.get(next) {
            next += 1;
            model.inputs(&from, &mut inputs);
            let depth = found.depths[&from] + 1;
            let mut effective = 0;
            for &input in &inputs {
                let to = model.follow(&from, input).unwrap();
                effective += usize::from(to != from);
                found.depths.entry(to).or_insert_with(|| {
                    queue.push(to);
                    depth
                });
            }
            found.transitions += inputs.len();
            found.effective += effective;
            found.race_pairs += effective * effective.saturating_sub(1);
        }
        found
    }

    /// Goal: the shortcuts change nothing. Method: all search states, all counts, the length of the
    /// path to each, and where each edge leads, as a plain search has them.
    fn agrees_with_the_plain_search(policies: &[Policy]) -> Search<'_, Core> {
        let mut search = Search::new(Model::new(policies, &Core));
        assert_eq!(search.search(), None);
        let model = &search.product.model;
        let plain = plain(model);
        let counts = [search.transitions, search.effective, search.race_pairs];
        assert_eq!(counts, [plain.transitions, plain.effective, plain.race_pairs]);
        let found = search.product.search_states(search.search_states.items());
        assert_eq!(found.len(), plain.depths.len());
        let mut edges = 0;
        for (id, search_state) in (0..).zip(&found) {
            let path = search.path_to(id);
            assert_eq!(path.len(), plain.depths[search_state], "the path to {search_state:?}");
            let end = path.iter().try_fold(model.initial(), |at, &input| model.follow(&at, input));
            assert_eq!(end.as_ref(), Ok(search_state));
            for edge in search.world.row(id) {
                let to = model.follow(search_state, search.input(id, edge.input));
                assert_eq!(
                    to.as_ref(),
                    Ok(&found[edge.to as usize]),
                    "an edge from {search_state:?}"
                );
                edges += 1;
            }
        }
        assert!(edges > found.len() / 2, "{edges} edges");
        search
    }

    #[test]
    fn the_search_agrees_with_the_plain_one() {
        for mut member in family() {
            // Three policies would take a minute.
            member.policies.truncate(2);
            agrees_with_the_plain_search(&member.policies);
        }
    }

    #[test]
    fn so_it_does_beyond_the_first_places_of_a_bucket() {
        let retries = Some(Retries { max: 8, counts: Counts::Restarts });
        let policies = [Policy::try_from(Rules { retries, ..*Policy::DEFAULT.rules() }).unwrap()];
        let search = agrees_with_the_plain_search(&policies);
        let places =
            (0..search.product.shapes()).map(|shape| search.product.outlines_of(shape).len());
        assert!(places.max() > Some(64));
    }
}
