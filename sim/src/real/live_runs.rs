//! The runs that the simulator shows for a case, as observers see them, without the times.

use std::collections::BTreeSet;
use std::fmt;

use monitor_core::{Exit, Lifecycle, Millis, Outcome, Step};
use monitor_os::{Core, UnitId};

use crate::case::definition::Case;
use crate::case::script::{OnStop, Start};
use crate::world::simulation::{self, STEPS_MAX};

/// The runs of a unit as observers see them: for each report the run, the step in its lifecycle,
/// and its exit.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LiveRuns(Vec<(u32, Lifecycle, Option<Exit>)>);

impl LiveRuns {
    /// Adds the report of a step, if it has one.
    pub fn add(&mut self, step: Step) {
        if let Some(lifecycle) = step.actions.emit {
            let exit = match (lifecycle, step.state.outcome()) {
                (Lifecycle::Exited, Outcome::Exited(exit)) => Some(exit),
                _ => None,
            };
            self.0.push((step.state.run().as_u32(), lifecycle, exit));
        }
    }
}

/// Prints `#1 starting, started, exited code=1; #2 starting`.
impl fmt::Display for LiveRuns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = None;
        for &(run, lifecycle, exit) in &self.0 {
            match last {
                Some(before) if before == run => f.write_str(", ")?,
                Some(_) => write!(f, "; #{run} ")?,
                None => write!(f, "#{run} ")?,
            }
            last = Some(run);
            write!(f, "{lifecycle}")?;
            exit.map_or(Ok(()), |exit| write!(f, " {exit}"))?;
        }
        Ok(())
    }
}

/// The runs of a unit that the simulator shows for a case, and all that it shows when timers,
/// starts, and processes that end or die are a little late, each by one of a few times.
#[must_use]
pub fn live_runs(case: &Case, unit: usize) -> (LiveRuns, BTreeSet<LiveRuns>) {
    let plain = runs(case, unit);
    let mut all = BTreeSet::from([plain.clone()]);
    let times = || LATE.map(Millis::new).into_iter();
    let late = |at: Millis, by: Millis| at.saturating_add(by);
    for (timers, starts) in times().flat_map(|timers| times().map(move |starts| (timers, starts))) {
        for (ends, deaths) in times().flat_map(|ends| times().map(move |deaths| (ends, deaths))) {
            let mut case = case.clone();
            case.timers_late = timers;
            let others = case.others.iter_mut().map(|other| &mut other.scripts);
            for script in std::iter::once(&mut case.scripts).chain(others).flatten() {
                script.start = Start::After(starts);
                script.lives = script.lives.map(|lives| late(lives, ends));
                if let OnStop::Dies(delay) = &mut script.on_stop {
                    *delay = late(*delay, deaths);
                }
            }
            all.insert(runs(&case, unit));
        }
    }
    (plain, all)
}

fn runs(case: &Case, unit: usize) -> LiveRuns {
    let mut runs = LiveRuns::default();
    let unit = UnitId::new(unit as u32);
    for line in simulation::run(case, Core, STEPS_MAX).trace {
        if line.unit == unit {
            runs.add(line.step);
        }
    }
    runs
}

/// Milliseconds.
const LATE: [u32; 5] = [0, 1, 3, 10, 30];
