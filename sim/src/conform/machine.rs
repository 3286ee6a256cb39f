//! The kit for machines: decisions of somebody else under the driver of `monitor-os`.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use monitor_os::Machine;

use super::machine_mutant::{MachineMutant, MutatedMachine};
use super::settings;
use crate::case::definition::Case;
use crate::generate::race::Race;
use crate::generate::seeds::{self, Aim};
use crate::oracle::compared::Compared;
use crate::oracle::property::Property;
use crate::oracle::verdict::{Oracle, Verdict};
use crate::report::counterexample::counterexample;
use crate::report::failure_report::FailureReport;
use crate::search::failure::Failure;
use crate::search::harness::Standard;
use crate::search::shrink::{self, Subject};
use crate::verification::check;
use crate::world::simulation::{self, STEPS_MAX};

/// Puts the decisions of a machine under all that this crate has: the exhaustive search, the races
/// in the virtual world, and the reference machine.
///
/// `MONITOR_SIM_CASES`, `MONITOR_SIM_SEED` and `MONITOR_SIM_REPLAY` are as for
/// [`driver()`](super::driver()).
///
/// # Examples
/// ```
/// use monitor_sim::conform;
///
/// // Your own machine in the place of this one.
/// conform::machine(monitor_os::Core).with_cases(50).hunt(None)?;
/// # Ok::<(), Box<conform::MachineFailure>>(())
/// ```
pub const fn machine<M: Machine + Copy + Sync>(machine: M) -> MachineKit<M> {
    let machine = MutatedMachine { machine, mutant: None };
    MachineKit { machine, cases: 500, folder: None }
}

/// A machine under test, and how it is tested.
#[derive(Clone, Debug)]
#[must_use = "nothing is tested before `check`, `hunt` or `explore`"]
pub struct MachineKit<M> {
    machine: MutatedMachine<M>,
    cases: u64,
    folder: Option<PathBuf>,
}

impl<M: Machine + Copy + Sync> MachineKit<M> {
    /// Runs so many cases for each race, and as many without an aim; 500 by default.
    pub const fn with_cases(mut self, cases: u64) -> Self {
        self.cases = cases;
        self
    }

    /// Keeps the cases that fail in a folder, instead of `monitor-sim-regressions` beside the
    /// manifest of the crate that is tested.
    pub fn with_regressions(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Plants a bug in the answers of the machine.
    pub const fn with_mutant(mut self, mutant: MachineMutant) -> Self {
        self.machine.mutant = Some(mutant);
        self
    }

    /// Runs the cases that failed before, then cases for every race and without an aim, then the
    /// exhaustive search. Returns the number of cases.
    ///
    /// # Errors
    /// The first failure, shrunk.
    pub fn check(&self) -> Result<u64, Box<MachineFailure>> {
        let mut cases = self.regressions()?;
        for race in Race::ALL.into_iter().map(Some).chain([None]) {
            cases += self.hunt(race)?;
        }
        self.explore()?;
        Ok(cases)
    }

    /// Runs the cases that failed before, which each failure adds to; returns their number.
    ///
    /// # Errors
    /// The first failure, or a file that is no case.
    pub fn regressions(&self) -> Result<u64, Box<MachineFailure>> {
        let kept = settings::regressions(&self.folder()).map_err(MachineFailure::Unreadable)?;
        for (file, case) in &kept {
            self.judge(case, file)?;
        }
        Ok(kept.len() as u64)
    }

    /// Runs cases that aim at a race, or at nothing, in the virtual world; returns their number.
    /// Each step is compared with the reference machine.
    ///
    /// # Errors
    /// The first failure, shrunk. Its case is kept for [`MachineKit::regressions`], unless a bug is
    /// planted.
    pub fn hunt(&self, race: Option<Race>) -> Result<u64, Box<MachineFailure>> {
        if let Some((file, case)) = settings::replayed().map_err(MachineFailure::Unreadable)? {
            self.judge(&case, &file)?;
            return Ok(1);
        }
        let cases = settings::cases(self.cases);
        for seed in seeds::seeds(settings::seed(), cases) {
            let case = seeds::draw(race, seed);
            if let Some(oracle) = self.run(&case, STEPS_MAX).oracle() {
                return Err(Box::new(self.shrunk(race, seed, case, oracle)));
            }
        }
        Ok(cases)
    }

    fn shrunk(&self, race: Option<Race>, seed: u64, case: Case, oracle: Oracle) -> MachineFailure {
        let (case, verdict, sibling) = shrink::shrink_by(case, &Objected { kit: self, oracle });
        let aim = Some(Aim::of(race, seed));
        let failure = Failure { seed, aim, sibling, ..failure(case, verdict, oracle) };
        let is_planted = self.machine.mutant.is_some();
        let file = (!is_planted).then(|| settings::keep(&self.folder(), &failure.case).ok());
        MachineFailure::Case(Box::new(failure), file.flatten())
    }

    /// Runs a case, and compares each step with the reference machine.
    fn run(&self, case: &Case, steps_max: usize) -> Verdict {
        let verdict = simulation::run(case, self.machine, steps_max);
        Verdict { difference: None, ..verdict.compared(case) }
    }

    /// Follows every input in every reachable state, under a family of policies that has every
    /// preset and option; returns the number of transitions.
    ///
    /// # Errors
    /// A shortest path to a violation, or to an answer that differs from the reference machine.
    pub fn explore(&self) -> Result<u64, Box<MachineFailure>> {
        let compared = Compared::strict(self.machine);
        let mut transitions = 0;
        for explored in check::explore_family(Standard, &&compared, || {}) {
            transitions += explored.transitions as u64;
            let Some(example) = explored.counterexample else { continue };
            let differs = compared.mismatch().is_some();
            let property = Oracle::Property(example.property);
            let oracle = if differs { Oracle::Reference } else { property };
            let policies = &explored.member.policies;
            let text = counterexample(policies, &self.machine, oracle, &example);
            return Err(Box::new(MachineFailure::Path(text)));
        }
        Ok(transitions)
    }

    /// Whether a planted bug is found in a machine that is right: by a race, or by the exhaustive
    /// search.
    #[must_use]
    pub fn finds(&self, mutant: MachineMutant) -> bool {
        let kit = self.clone().with_mutant(mutant);
        let races = || Race::ALL.into_iter().map(Some).chain([None]);
        races().any(|race| kit.hunt(race).is_err()) || kit.explore().is_err()
    }

    fn folder(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(settings::folder)
    }

    fn judge(&self, case: &Case, file: &Path) -> Result<(), Box<MachineFailure>> {
        let verdict = self.run(case, STEPS_MAX);
        let Some(oracle) = verdict.oracle() else { return Ok(()) };
        let failure = failure(case.clone(), verdict, oracle);
        Err(Box::new(MachineFailure::Case(Box::new(failure), Some(file.to_owned()))))
    }
}

/// A machine to which one oracle objects.
struct Objected<'a, M> {
    kit: &'a MachineKit<M>,
    oracle: Oracle,
}

impl<M: Machine + Copy + Sync> Subject for Objected<'_, M> {
    fn run(&self, case: &Case, steps_max: usize) -> Verdict {
        self.kit.run(case, steps_max)
    }

    fn fails(&self, verdict: &Verdict) -> bool {
        verdict.oracle() == Some(self.oracle)
    }
}

fn failure(case: Case, verdict: Verdict, oracle: Oracle) -> Failure {
    let Verdict { trace, violation, .. } = verdict;
    Failure {
        seed: case.seed,
        aim: None,
        // The name of the files of a saved failure, which a kit does not write.
        property: violation.as_ref().map_or(Property::Total, |violation| violation.property),
        oracle,
        case,
        trace,
        sibling: None,
        panic: violation.and_then(|violation| violation.panic),
        is_unshrunk: false,
    }
}

/// What is wrong with a machine.
#[derive(Clone)]
#[non_exhaustive]
pub enum MachineFailure {
    /// A case fails in the virtual world; its file, if it was written or read.
    Case(Box<Failure>, Option<PathBuf>),
    /// A shortest path of the exhaustive search, as text.
    Path(String),
    /// A file that is no case.
    Unreadable(String),
}

impl fmt::Display for MachineFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Case(failure, file) => {
                FailureReport::of(failure).fmt(f)?;
                file.as_ref().map_or(Ok(()), |file| {
                    write!(f, "\nas test   MONITOR_SIM_REPLAY={} cargo test", file.display())
                })
            }
            Self::Path(text) => f.write_str(text),
            Self::Unreadable(error) => write!(f, "{error}: mend or remove the file"),
        }
    }
}

/// Prints as `Display` does, so that `unwrap` shows the report.
impl fmt::Debug for MachineFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for MachineFailure {}

/// Makes the tests of a machine: one for each race, one without an aim, the exhaustive search, the
/// cases that failed before, and one that plants each
/// [`MachineMutant`](crate::conform::MachineMutant) and demands that it is found.
///
/// # Examples
/// ```
/// monitor_sim::machine_tests!(monitor_os::Core);
/// ```
#[macro_export]
macro_rules! machine_tests {
    ($machine:expr) => {
        $crate::race_tests!($crate::conform::machine($machine));

        #[test]
        fn exhaustive() {
            $crate::conform::machine($machine).explore().unwrap();
        }

        /// A kit that finds nothing where a bug is planted would prove nothing.
        #[test]
        fn planted_bugs_are_found() {
            let missed: Vec<_> = $crate::conform::MachineMutant::ALL
                .into_iter()
                .filter(|mutant| !$crate::conform::machine($machine).finds(*mutant))
                .collect();
            assert!(missed.is_empty(), "not found: {missed:?}");
        }
    };
}
