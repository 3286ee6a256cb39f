//! The search: breadth first over interned situations, then the questions to the finished graph.

use std::collections::{BTreeMap, BTreeSet};

use monitor_core::{Note, Phase, State};
use monitor_os::Machine;

use super::liveness::{Edge, Graph};
use super::table::Table;
use super::{Counterexample, Exploration, Input, Model, Node, input_name};
use crate::watch::Property;

pub(super) struct Search<'a, M> {
    model: Model<'a, M>,
    nodes: Table<Node>,
    states: Table<State>,
    /// For each node the one it was reached from, and which of its inputs led here; the first has none.
    parents: Vec<(u32, u16)>,
    world: Graph,
    /// For each pair of phases which names of inputs lead from one to the other, as bits.
    phase_changes: Box<[[u64; PHASES]; PHASES]>,
    names: Vec<&'static str>,
    transitions: usize,
    effective: usize,
    race_pairs: usize,
}

const PHASES: usize = Phase::ALL.len();

impl<'a, M: Machine> Search<'a, M> {
    pub(super) fn new(model: Model<'a, M>) -> Self {
        Self {
            model,
            nodes: Table::new(),
            states: Table::new(),
            parents: Vec::new(),
            world: Graph::new(),
            phase_changes: Box::new([[0; PHASES]; PHASES]),
            names: Vec::new(),
            transitions: 0,
            effective: 0,
            race_pairs: 0,
        }
    }

    pub(super) fn run(mut self) -> Exploration {
        let counterexample = self.search().or_else(|| self.question());
        let mut states = self.states.items().to_vec();
        states.sort_unstable();
        Exploration {
            nodes: self.nodes.len(),
            transitions: self.transitions,
            effective: self.effective,
            race_pairs: self.race_pairs,
            states,
            phase_changes: self.named_phase_changes(),
            counterexample,
        }
    }

    fn search(&mut self) -> Option<Counterexample> {
        let mut inputs = Vec::new();
        self.reach(self.model.initial(), (0, 0));
        let mut id = 0;
        while id < self.nodes.len() {
            let node = self.nodes.get(id);
            self.model.sometimes(&node, &mut inputs);
            if let Err((property, input)) = self.expand(id as u32, &node, &inputs) {
                let mut path = self.path_to(id as u32);
                path.push(input);
                return Some(Counterexample { property, path, lap: 0 });
            }
            id += 1;
        }
        None
    }

    fn expand(
        &mut self,
        id: u32,
        node: &Node,
        sometimes: &[Input],
    ) -> Result<(), (Property, Input)> {
        let mut effective: usize = 0;
        let always = self.model.always(node).len();
        for index in 0..always + sometimes.len() {
            let input = match index.checked_sub(always) {
                None => self.model.always(node)[index],
                Some(index) => sometimes[index],
            };
            let index = index as u16;
            let (next, step) =
                self.model.advance(node, input).map_err(|property| (property, input))?;
            let to = if next == *node {
                // A lap of one edge counts only if the machine took the input for something.
                if step.note != Note::Applied {
                    continue;
                }
                id
            } else {
                effective += 1;
                self.note_phase_change(node.state.phase(), next.state.phase(), input);
                self.reach(next, (id, index))
            };
            if let Some(edge) = self.model.edge(node, input, step) {
                self.world.push(Edge { to, input: index, ..edge });
            }
        }
        self.world.close_row();
        self.transitions += always + sometimes.len();
        self.effective += effective;
        self.race_pairs += effective * effective.saturating_sub(1);
        Ok(())
    }

    fn reach(&mut self, node: Node, parent: (u32, u16)) -> u32 {
        let (id, new) = self.nodes.intern(node);
        if new {
            self.parents.push(parent);
            self.states.intern(node.state);
        }
        id
    }

    fn note_phase_change(&mut self, from: Phase, to: Phase, input: Input) {
        if from == to {
            return;
        }
        let name = input_name(input);
        // By address: the same text at two addresses only takes a second bit.
        let known = self.names.iter().position(|known| std::ptr::eq(*known, name));
        let index = known.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        self.phase_changes[from as usize][to as usize] |= 1 << index;
    }

    fn named_phase_changes(&self) -> BTreeMap<(Phase, Phase), BTreeSet<&'static str>> {
        let mut named: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for from in Phase::ALL {
            for to in Phase::ALL {
                let bits = self.phase_changes[from as usize][to as usize];
                for (index, &name) in self.names.iter().enumerate() {
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
        let mut inputs = Vec::new();
        self.model.inputs(&self.nodes.get(id as usize), &mut inputs);
        inputs[usize::from(index)]
    }

    /// Asks the finished graph what no single step can show.
    fn question(&self) -> Option<Counterexample> {
        let pending = |concerned: fn(&Node) -> bool| -> Vec<bool> {
            self.nodes.items().iter().map(concerned).collect()
        };
        let stop = |node: &Node| node.watch.is_stopping() && !node.state.phase().is_down();
        let restart = |node: &Node| node.watch.is_restarting();
        let stopping = (Property::StopEnds, pending(stop));
        let restarting = (Property::RestartIsOneIntent, pending(restart));
        for (property, pending) in [stopping, restarting] {
            if let Some(id) = self.world.dead_end(&pending) {
                return Some(Counterexample { property, path: self.path_to(id), lap: 0 });
            }
            if let Some((id, lap)) = self.world.fair_cycle(&pending) {
                return Some(self.lap(property, id, &lap));
            }
        }
        let (id, lap) = self.world.hot_loop()?;
        Some(self.lap(Property::BackoffWaits, id, &lap))
    }

    fn lap(&self, property: Property, id: u32, lap: &[(u32, u16)]) -> Counterexample {
        let mut path = self.path_to(id);
        path.extend(lap.iter().map(|&(id, index)| self.input(id, index)));
        Counterexample { property, path, lap: lap.len() }
    }
}
