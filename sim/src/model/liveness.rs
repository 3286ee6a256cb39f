//! What must come to its end: dead ends, fair cycles and hot loops in a finished graph.
//!
//! Only edges of the world going on by itself count here: no request, no other policy, no crash.
//! Three questions are asked of them:
//! - **Dead end**: is there a search state with a request pending from which no path fulfils it?
//! - **Fair cycle**: can a request stay pending for ever although the world keeps its
//!   [`Obligation`]s? The fairness is weak: what the world owes in every search state of a cycle,
//!   it does somewhere in it. So a kill that is repeated for ever because the process will not die
//!   is no counterexample, and a grace that begins again and again without a kill is one.
//! - **Hot loop**: can one run after the other begin without any time having passed?
//!
//! The component of a fair cycle is reported, not the smallest cycle in it: with weak fairness a
//! whole strongly connected component is fair if any part of it is, so looking at components alone
//! is exact.

use std::collections::VecDeque;

use super::interner::number;

/// What the world owes: what is owed continuously is paid in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Obligation {
    /// A spawn is answered.
    Answer,
    /// A process that was killed dies; under a policy that never kills, every process that is asked
    /// to.
    Death,
    /// What such a process has left goes.
    Release,
    /// An armed timer fires.
    PhaseTimer,
    /// An armed timer fires.
    WatchdogTimer,
    /// An armed timer fires.
    WindowTimer,
}

impl Obligation {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A transition by which the world progresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    /// The search state after it.
    pub(super) to: u32,
    /// Which of the search state's inputs it is.
    pub(super) input: u16,
    /// What the world pays with it; `None` where it is free not to, and where no request is
    /// pending: nothing is asked about that.
    pub(super) obligation: Option<Obligation>,
    pub(super) timing: Timing,
}

/// Whether an edge takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timing {
    /// Time passes before it.
    Delayed,
    /// It can happen without any time having passed.
    Instant,
    /// It can happen without any time having passed, and a run begins with it.
    InstantSpawn,
}

/// Edges by their origin, one row after the other.
#[derive(Debug)]
pub(super) struct Graph {
    /// Where the row of each node begins, and where the last one ends.
    rows: Vec<u32>,
    edges: Vec<Edge>,
}

impl Graph {
    pub(super) fn new() -> Self {
        Self { rows: vec![0], edges: Vec::new() }
    }

    /// Adds an edge to the row that is open.
    #[inline]
    pub(super) fn push(&mut self, edge: Edge) {
        self.edges.push(edge);
    }

    /// Closes the row of a node and opens that of the next.
    #[inline]
    pub(super) fn close_row(&mut self) {
        self.rows.push(number(self.edges.len()));
    }

    const fn len(&self) -> usize {
        self.rows.len() - 1
    }

    pub(super) fn row(&self, node: u32) -> &[Edge] {
        let node = node as usize;
        &self.edges[self.rows[node] as usize..self.rows[node + 1] as usize]
    }

    /// What keeps a request pending for ever: a dead end if there is one, else a fair cycle.
    pub(super) fn stuck(&self, pending: &[bool]) -> Option<Stuck> {
        let within = |from: u32, edge: &Edge| {
            edge.obligation.is_some() && pending[from as usize] && pending[edge.to as usize]
        };
        let components = self.components(|node| pending[node as usize], within);
        let mut checked = vec![Component::default(); components.count as usize];
        for &from in &components.nodes {
            let component = components.of(from);
            let mut here = checked[component];
            let mut owed = 0;
            for edge in self.row(from) {
                let Some(obligation) = edge.obligation else { continue };
                owed |= obligation.bit();
                if !pending[edge.to as usize] {
                    here.escapes = true;
                } else if components.of(edge.to) == component {
                    here.paid |= obligation.bit();
                    here.cyclic = true;
                } else {
                    here.escapes |= checked[components.of(edge.to)].escapes;
                }
            }
            here.owed &= owed;
            checked[component] = here;
        }
        let first = |quality: fn(&Component) -> bool| {
            let mut nodes = (0..self.len() as u32).filter(|&node| pending[node as usize]);
            nodes.find(|&node| quality(&checked[components.of(node)]))
        };
        if let Some(node) = first(|component| !component.escapes) {
            return Some(Stuck::DeadEnd(node));
        }
        let node = first(|component| component.cyclic && component.owed & !component.paid == 0)?;
        Some(Stuck::FairCycle(node, self.lap(node, &components, within, |_| true)))
    }

    /// A lap of edges that take no time, one of which begins a run.
    pub(super) fn hot_loop(&self) -> Option<(u32, Vec<(u32, u16)>)> {
        let spawns = |edge: &&Edge| edge.timing == Timing::InstantSpawn;
        let begins = |node| self.row(node).iter().any(|edge| spawns(&edge));
        let within = |_, edge: &Edge| edge.timing != Timing::Delayed;
        let components = self.components(begins, within);
        let first = (0..self.len() as u32).find(|&from| {
            let of = components.of(from);
            let again = |edge: &Edge| components.of(edge.to) == of;
            self.row(from).iter().filter(spawns).any(again)
        })?;
        Some((first, self.lap(first, &components, within, |edge| spawns(&edge))))
    }

    /// A shortest path from a node back to it within its component, as nodes with the inputs taken
    /// in them; its first edge has the quality.
    fn lap(
        &self,
        start: u32,
        components: &Components,
        within: impl Fn(u32, &Edge) -> bool,
        quality: impl Fn(&Edge) -> bool,
    ) -> Vec<(u32, u16)> {
        let inside = |from: u32, edge: &Edge| {
            within(from, edge) && components.of(edge.to) == components.of(start)
        };
        let mut parents: Vec<Option<(u32, u16)>> = vec![None; self.len()];
        let mut queue = VecDeque::new();
        for edge in self.row(start).iter().filter(|edge| inside(start, edge) && quality(edge)) {
            if parents[edge.to as usize].is_none() {
                parents[edge.to as usize] = Some((start, edge.input));
                queue.push_back(edge.to);
            }
        }
        while let Some(from) = queue.pop_front().filter(|_| parents[start as usize].is_none()) {
            for edge in self.row(from).iter().filter(|edge| inside(from, edge)) {
                if parents[edge.to as usize].is_none() {
                    parents[edge.to as usize] = Some((from, edge.input));
                    queue.push_back(edge.to);
                }
            }
        }
        let mut lap = Vec::new();
        let mut at = start;
        while let Some((from, input)) = parents[at as usize] {
            lap.push((from, input));
            at = from;
            if at == start {
                break;
            }
        }
        lap.reverse();
        lap
    }

    /// The strongly connected components over some of the edges, as far as they are reached from
    /// some of the nodes: Tarjan's search with Pearce's one number for each node (Information
    /// Processing Letters 116, 2016), without recursion.
    fn components(
        &self,
        roots: impl Fn(u32) -> bool,
        within: impl Fn(u32, &Edge) -> bool,
    ) -> Components {
        // While the component of a node is open, its mark is the earliest node that it is known to
        // lead back to, counted from one among those that are open: less than the mark of any
        // component.
        let mut marks = vec![UNSEEN; self.len()];
        let (mut reached, mut component) = (0, FIRST);
        let (mut nodes, mut open) = (Vec::new(), Vec::new());
        let mut calls = Vec::new();
        for root in 0..self.len() as u32 {
            if marks[root as usize] != UNSEEN || !roots(root) {
                continue;
            }
            let mut next = Some(root);
            loop {
                if let Some(node) = next.take() {
                    reached += 1;
                    marks[node as usize] = reached;
                    calls.push(Call { node, edge: self.rows[node as usize], leads_back: false });
                }
                let Some(Call { node, edge, leads_back }) = calls.last_mut() else { break };
                let at = *node as usize;
                while *edge < self.rows[at + 1] {
                    let to = &self.edges[*edge as usize];
                    if within(*node, to) {
                        let met = marks[to.to as usize];
                        if met == UNSEEN {
                            next = Some(to.to);
                            break;
                        }
                        if met < marks[at] {
                            marks[at] = met;
                            *leads_back = true;
                        }
                    }
                    *edge += 1;
                }
                if next.is_some() {
                    continue;
                }
                let (node, leads_back) = (*node, *leads_back);
                calls.pop();
                if leads_back {
                    open.push(node);
                    continue;
                }
                reached -= 1;
                while let Some(member) =
                    open.pop_if(|&mut member| marks[member as usize] >= marks[at])
                {
                    marks[member as usize] = component;
                    nodes.push(member);
                    reached -= 1;
                }
                marks[at] = component;
                nodes.push(node);
                component -= 1;
            }
        }
        Components { marks, nodes, count: FIRST - component }
    }
}

/// A node whose edges are being followed.
struct Call {
    node: u32,
    /// The next of them.
    edge: u32,
    /// Whether one led to a node before it whose component is open.
    leads_back: bool,
}

/// Why a request stays pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stuck {
    /// A pending node from which no path of owed edges leads to one that is not.
    DeadEnd(u32),
    /// A lap in which every node is pending and the world keeps its obligations: the component's
    /// first node, and the nodes from it back to it with the inputs taken in them.
    FairCycle(u32, Vec<(u32, u16)>),
}

/// The mark of a node that was not reached.
const UNSEEN: u32 = 0;

/// The mark of all nodes of the first component.
const FIRST: u32 = u32::MAX;

/// What is known of a component of pending nodes.
#[derive(Clone, Copy, Debug)]
struct Component {
    /// Whether some path of owed edges leads to what is not pending.
    escapes: bool,
    /// What is owed everywhere in it.
    owed: u8,
    /// What is paid within it.
    paid: u8,
    cyclic: bool,
}

impl Default for Component {
    fn default() -> Self {
        Self { escapes: false, owed: u8::MAX, paid: 0, cyclic: false }
    }
}

#[derive(Debug)]
struct Components {
    /// By node: [`FIRST`], less the number of its component; or [`UNSEEN`].
    marks: Vec<u32>,
    /// The nodes by their components. These are numbered from the ends of the graph, so those that
    /// an edge leads to come first.
    nodes: Vec<u32>,
    count: u32,
}

impl Components {
    /// The component of a node; that of nodes that were not reached is none of those counted.
    fn of(&self, node: u32) -> usize {
        (FIRST - self.marks[node as usize]) as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `(from, to, obligation)`; the input is the place in the row.
    fn graph(nodes: u32, edges: &[(u32, u32, Option<Obligation>)]) -> Graph {
        let mut graph = Graph::new();
        for node in 0..nodes {
            let row = edges.iter().filter(|&&(from, ..)| from == node);
            for (input, &(_, to, obligation)) in (0..).zip(row) {
                graph.push(Edge { to, input, obligation, timing: Timing::Instant });
            }
            graph.close_row();
        }
        graph
    }

    use Obligation::{Answer, Death, PhaseTimer};

    #[test]
    fn what_reaches_its_end_is_alive() {
        let line = graph(3, &[(0, 1, Some(PhaseTimer)), (1, 2, Some(Death))]);
        let pending = [true, true, false];
        assert_eq!(line.stuck(&pending), None);
    }

    #[test]
    fn a_search_state_without_a_way_out_is_a_dead_end() {
        let broken = graph(3, &[(0, 1, Some(PhaseTimer)), (1, 2, None)]);
        assert_eq!(broken.stuck(&[true, true, false]), Some(Stuck::DeadEnd(0)));
    }

    #[test]
    fn a_cycle_that_pays_all_it_owes_is_a_livelock_though_there_is_a_way_out() {
        // The way out is owed in one of the two search states only.
        let broken =
            graph(3, &[(0, 1, Some(PhaseTimer)), (1, 0, Some(PhaseTimer)), (1, 2, Some(Death))]);
        let pending = [true, true, false];
        assert_eq!(broken.stuck(&pending), Some(Stuck::FairCycle(0, vec![(0, 0), (1, 0)])));
    }

    #[test]
    fn a_cycle_that_owes_a_death_all_along_is_not_fair() {
        // The honest loop of the unkillable: the window fires and the kill is sent again.
        let honest = graph(2, &[(0, 0, Some(PhaseTimer)), (0, 1, Some(Death))]);
        assert_eq!(honest.stuck(&[true, false]), None);
        // Where the death is owed before the loop only, the same loop is a livelock.
        let broken = graph(
            3,
            &[
                (0, 1, Some(PhaseTimer)),
                (0, 2, Some(Death)),
                (1, 1, Some(PhaseTimer)),
                (1, 0, Some(PhaseTimer)),
            ],
        );
        let lap = vec![(0, 0), (1, 1)];
        assert_eq!(broken.stuck(&[true, true, false]), Some(Stuck::FairCycle(0, lap)));
    }

    #[test]
    fn a_livelock_is_found_behind_a_tail_and_beside_honest_cycles() {
        let broken = graph(
            6,
            &[
                (0, 1, Some(Answer)),
                (1, 1, Some(PhaseTimer)), // honest: the death is owed
                (1, 5, Some(Death)),
                (1, 2, Some(PhaseTimer)),
                (2, 3, Some(PhaseTimer)),
                (3, 4, Some(Answer)),
                (4, 2, Some(PhaseTimer)),
                (4, 5, Some(Death)),
            ],
        );
        let pending = [true, true, true, true, true, false];
        let lap = vec![(2, 0), (3, 0), (4, 0)];
        assert_eq!(broken.stuck(&pending), Some(Stuck::FairCycle(2, lap)));
        let elsewhere = [true, true, true, false, true, false];
        assert_eq!(broken.stuck(&elsewhere), None, "the cycle leaves what is pending");
    }

    #[test]
    fn a_hot_loop_begins_runs_and_takes_no_time() {
        let edge = |to, timing| Edge { to, input: 0, obligation: None, timing };
        let two = |first: Edge, second: Edge| {
            let mut graph = Graph::new();
            for edge in [first, second] {
                graph.push(edge);
                graph.close_row();
            }
            graph
        };
        let hot = two(edge(1, Timing::Instant), edge(0, Timing::InstantSpawn));
        assert_eq!(hot.hot_loop(), Some((1, vec![(1, 0), (0, 0)])));
        assert_eq!(
            two(edge(1, Timing::Delayed), edge(0, Timing::InstantSpawn)).hot_loop(),
            None,
            "it waits"
        );
        assert_eq!(
            two(edge(1, Timing::Instant), edge(0, Timing::Instant)).hot_loop(),
            None,
            "one run"
        );
    }

    proptest! {
        /// Goal: two nodes are in one component only if each leads to the other, and those that an
        /// edge leads to come first. Method: all pairs of nodes of a small graph, by Warshall's
        /// closure.
        #[test]
        fn components_are_those_of_the_closure(
            edges in proptest::collection::vec((0_u32..9, 0_u32..9), 0..24),
            roots in proptest::bits::u16::ANY,
        ) {
            let edges: Vec<_> = edges.iter().map(|&(from, to)| (from, to, None)).collect();
            let graph = graph(9, &edges);
            let is_root = |node: u32| roots >> node & 1 == 1;
            let found = graph.components(is_root, |_, _| true);
            let mut leads = [[false; 9]; 9];
            (0..9).for_each(|node| leads[node][node] = true);
            edges.iter().for_each(|&(from, to, _)| leads[from as usize][to as usize] = true);
            for (via, from, to) in (0..9 * 9 * 9).map(|n| (n / 81, n / 9 % 9, n % 9)) {
                leads[from][to] |= leads[from][via] && leads[via][to];
            }
            let reached = |to: u32| (0..9).any(|from| is_root(from) && leads[from as usize][to as usize]);
            let expected: Vec<u32> = (0..9).filter(|&node| reached(node)).collect();
            for (&a, &b) in expected.iter().flat_map(|a| expected.iter().map(move |b| (a, b))) {
                let there = leads[a as usize][b as usize];
                prop_assert_eq!(found.of(a) == found.of(b), there && leads[b as usize][a as usize]);
                prop_assert!(!there || found.of(b) <= found.of(a));
            }
            prop_assert!(found.nodes.is_sorted_by_key(|&node| found.of(node)));
            prop_assert!(found.nodes.iter().all(|&node| found.of(node) < found.count as usize));
            let mut nodes = found.nodes;
            nodes.sort_unstable();
            prop_assert_eq!(nodes, expected);
        }
    }
}
