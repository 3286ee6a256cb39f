//! What must come to its end: dead ends, fair cycles and hot loops in a finished graph.
//!
//! Only edges of the world going on by itself count here: no wish, no other policy, no crash. Three
//! questions are asked of them:
//! - **Dead end**: is there a situation with a wish pending from which no path fulfils it?
//! - **Fair cycle**: can a wish stay pending for ever although the world keeps its [`Obligation`]s? The
//!   fairness is weak: what the world owes in every situation of a cycle, it does somewhere in it. So a
//!   kill that is repeated for ever because the process will not die is no counterexample, and a
//!   grace that begins again and again without a kill is one.
//! - **Hot loop**: can one run after the other begin without any time having passed?
//!
//! The component of a fair cycle is reported, not the smallest cycle in it: with weak fairness a whole
//! strongly connected component is fair if any part of it is, so looking at components alone is exact.

use std::collections::VecDeque;

use super::table::number;

/// What the world owes: what is owed continuously is paid in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Obligation {
    /// A spawn is answered.
    Answer,
    /// A process that was killed dies; under a policy that never kills, every process that is asked to.
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

/// One way in which the world can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    /// The situation after it.
    pub(super) to: u32,
    /// Which of the situation's inputs it is.
    pub(super) input: u16,
    /// What the world pays with it; `None` where it is free not to, and where no wish is pending: nothing is asked
    /// about that.
    pub(super) obligation: Option<Obligation>,
    pub(super) pace: Pace,
}

/// Whether an edge takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Time passes before it.
    Waits,
    /// It can happen without any time having passed.
    Instant,
    /// The same, and a run begins with it.
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

    /// What keeps a wish pending for ever: a dead end if there is one, else a fair cycle.
    pub(super) fn stuck(&self, pending: &[bool]) -> Option<Stuck> {
        let within = |from: u32, edge: &Edge| {
            edge.obligation.is_some() && pending[from as usize] && pending[edge.to as usize]
        };
        let components = self.components(|node| pending[node as usize], within);
        let mut judged = vec![Component::default(); components.count as usize];
        for &from in &components.nodes {
            let component = components.of[from as usize] as usize;
            let mut here = judged[component];
            let mut owed = 0;
            for edge in self.row(from) {
                let Some(obligation) = edge.obligation else { continue };
                owed |= obligation.bit();
                let to = components.of[edge.to as usize] as usize;
                if !pending[edge.to as usize] {
                    here.escapes = true;
                } else if to == component {
                    here.paid |= obligation.bit();
                    here.cyclic = true;
                } else {
                    here.escapes |= judged[to].escapes;
                }
            }
            here.owed &= owed;
            judged[component] = here;
        }
        let first = |quality: fn(&Component) -> bool| {
            let mut nodes = (0..self.len() as u32).filter(|&node| pending[node as usize]);
            nodes.find(|&node| quality(&judged[components.of[node as usize] as usize]))
        };
        if let Some(node) = first(|component| !component.escapes) {
            return Some(Stuck::DeadEnd(node));
        }
        let node = first(|component| component.cyclic && component.owed & !component.paid == 0)?;
        Some(Stuck::FairCycle(node, self.lap(node, &components, within, |_| true)))
    }

    /// A lap of edges that take no time, one of which begins a run.
    pub(super) fn hot_loop(&self) -> Option<(u32, Vec<(u32, u16)>)> {
        let spawns = |edge: &&Edge| edge.pace == Pace::InstantSpawn;
        let begins = |node| self.row(node).iter().any(|edge| spawns(&edge));
        let within = |_, edge: &Edge| edge.pace != Pace::Waits;
        let components = self.components(begins, within);
        let first = (0..self.len() as u32).find(|&from| {
            let of = components.of[from as usize];
            let again = |edge: &Edge| components.of[edge.to as usize] == of;
            self.row(from).iter().filter(spawns).any(again)
        })?;
        Some((first, self.lap(first, &components, within, |edge| spawns(&edge))))
    }

    /// A shortest way from a node back to it within its component, as nodes with the inputs taken in
    /// them; its first edge has the quality.
    fn lap(
        &self,
        start: u32,
        components: &Components,
        within: impl Fn(u32, &Edge) -> bool,
        quality: impl Fn(&Edge) -> bool,
    ) -> Vec<(u32, u16)> {
        let inside = |from: u32, edge: &Edge| {
            within(from, edge) && components.of[edge.to as usize] == components.of[start as usize]
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

    /// The strongly connected components over some of the edges, as far as they are reached from some of the
    /// nodes: Tarjan, without recursion.
    fn components(
        &self,
        roots: impl Fn(u32) -> bool,
        within: impl Fn(u32, &Edge) -> bool,
    ) -> Components {
        let mut order = vec![UNSEEN; self.len()];
        let mut low = vec![0_u32; self.len()];
        let mut of = vec![UNSEEN; self.len()];
        let mut nodes = Vec::new();
        let (mut seen, mut count) = (0, 0);
        let mut open: Vec<u32> = Vec::new();
        let mut calls: Vec<(u32, usize)> = Vec::new();
        for root in 0..self.len() as u32 {
            if order[root as usize] != UNSEEN || !roots(root) {
                continue;
            }
            calls.push((root, 0));
            while let Some((node, next)) = calls.pop() {
                let at = node as usize;
                if next == 0 {
                    (order[at], low[at]) = (seen, seen);
                    seen += 1;
                    open.push(node);
                } else {
                    let child = self.row(node)[next - 1].to as usize;
                    low[at] = low[at].min(low[child]);
                }
                let mut child = None;
                for (index, edge) in self.row(node).iter().enumerate().skip(next) {
                    let to = edge.to as usize;
                    if !within(node, edge) {
                        continue;
                    }
                    if order[to] == UNSEEN {
                        child = Some((index, edge.to));
                        break;
                    }
                    if of[to] == UNSEEN {
                        low[at] = low[at].min(order[to]);
                    }
                }
                if let Some((index, to)) = child {
                    calls.push((node, index + 1));
                    calls.push((to, 0));
                } else if low[at] == order[at] {
                    while let Some(member) = open.pop() {
                        of[member as usize] = count;
                        nodes.push(member);
                        if member == node {
                            break;
                        }
                    }
                    count += 1;
                }
            }
        }
        Components { of, nodes, count }
    }
}

/// Why a wish stays pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stuck {
    /// A pending node from which no path of owed edges leads to one that is not.
    DeadEnd(u32),
    /// A lap in which every node is pending and the world keeps its obligations: the component's first node, and
    /// the nodes from it back to it with the inputs taken in them.
    FairCycle(u32, Vec<(u32, u16)>),
}

const UNSEEN: u32 = u32::MAX;

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
    /// The component of each node, or [`UNSEEN`].
    of: Vec<u32>,
    /// The nodes by their components. These are numbered from the ends of the graph, so those that an edge
    /// leads to come first.
    nodes: Vec<u32>,
    count: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(from, to, obligation)`; the input is the place in the row.
    fn graph(nodes: u32, edges: &[(u32, u32, Option<Obligation>)]) -> Graph {
        let mut graph = Graph::new();
        for node in 0..nodes {
            let row = edges.iter().filter(|&&(from, ..)| from == node);
            for (input, &(_, to, obligation)) in (0..).zip(row) {
                graph.push(Edge { to, input, obligation, pace: Pace::Instant });
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
    fn a_situation_without_a_way_out_is_a_dead_end() {
        let broken = graph(3, &[(0, 1, Some(PhaseTimer)), (1, 2, None)]);
        assert_eq!(broken.stuck(&[true, true, false]), Some(Stuck::DeadEnd(0)));
    }

    #[test]
    fn a_cycle_that_pays_all_it_owes_is_a_livelock_though_there_is_a_way_out() {
        // The way out is owed in one of the two situations only.
        let planted =
            graph(3, &[(0, 1, Some(PhaseTimer)), (1, 0, Some(PhaseTimer)), (1, 2, Some(Death))]);
        let pending = [true, true, false];
        assert_eq!(planted.stuck(&pending), Some(Stuck::FairCycle(0, vec![(0, 0), (1, 0)])));
    }

    #[test]
    fn a_cycle_that_owes_a_death_all_along_is_not_fair() {
        // The honest loop of the unkillable: the window fires and the kill is sent again.
        let honest = graph(2, &[(0, 0, Some(PhaseTimer)), (0, 1, Some(Death))]);
        assert_eq!(honest.stuck(&[true, false]), None);
        // Where the death is owed before the loop only, the same loop is a livelock.
        let planted = graph(
            3,
            &[
                (0, 1, Some(PhaseTimer)),
                (0, 2, Some(Death)),
                (1, 1, Some(PhaseTimer)),
                (1, 0, Some(PhaseTimer)),
            ],
        );
        let lap = vec![(0, 0), (1, 1)];
        assert_eq!(planted.stuck(&[true, true, false]), Some(Stuck::FairCycle(0, lap)));
    }

    #[test]
    fn a_livelock_is_found_behind_a_tail_and_beside_honest_cycles() {
        let planted = graph(
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
        assert_eq!(planted.stuck(&pending), Some(Stuck::FairCycle(2, lap)));
        let elsewhere = [true, true, true, false, true, false];
        assert_eq!(planted.stuck(&elsewhere), None, "the cycle leaves what is pending");
    }

    #[test]
    fn a_hot_loop_begins_runs_and_takes_no_time() {
        let edge = |to, pace| Edge { to, input: 0, obligation: None, pace };
        let two = |first: Edge, second: Edge| {
            let mut graph = Graph::new();
            for edge in [first, second] {
                graph.push(edge);
                graph.close_row();
            }
            graph
        };
        let hot = two(edge(1, Pace::Instant), edge(0, Pace::InstantSpawn));
        assert_eq!(hot.hot_loop(), Some((1, vec![(1, 0), (0, 0)])));
        assert_eq!(
            two(edge(1, Pace::Waits), edge(0, Pace::InstantSpawn)).hot_loop(),
            None,
            "it waits"
        );
        assert_eq!(two(edge(1, Pace::Instant), edge(0, Pace::Instant)).hot_loop(), None, "one run");
    }
}
