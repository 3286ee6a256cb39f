//! The kit for drivers: a loop of somebody else on the virtual kernel.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use monitor_core::{Millis, Remains, RunId, Scope, ServiceCommand, Signal, State};
use monitor_os::{
    Driver, Kernel, Moment, ObservedInput, Report, SaveStatus, SignalOutcome, SpawnOutcome, Ticket,
    UnitId,
};

use super::call::Call;
use super::driver_mutant::{DriverMutant, Mutated};
use super::recorder::Recorder;
use super::settings;
use crate::case::definition::Case;
use crate::generate::race::Race;
use crate::generate::seeds;
use crate::oracle::expectation::Difference;
use crate::oracle::policies::policies;
use crate::oracle::verdict::{Oracle, Verdict};
use crate::report::trace_table::TraceTable;
use crate::search::failure::Sibling;
use crate::search::shrink::{self, Subject};
use crate::world::simulation::{self, STEPS_MAX};

/// The virtual kernel, as a driver under test is given it.
pub struct VirtualKernel<'a>(Mutated<Recorder<'a>>);

impl fmt::Debug for VirtualKernel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualKernel").field("calls", &self.0.kernel.calls()).finish()
    }
}

impl Kernel for VirtualKernel<'_> {
    fn spawn(&mut self, at: Moment, unit: UnitId, run: RunId) -> SpawnOutcome {
        self.0.spawn(at, unit, run)
    }

    fn cancel_spawn(&mut self, at: Moment, unit: UnitId, run: RunId, signal: Signal) {
        self.0.cancel_spawn(at, unit, run, signal);
    }

    fn signal(
        &mut self,
        at: Moment,
        unit: UnitId,
        run: RunId,
        signal: Signal,
        scope: Scope,
    ) -> SignalOutcome {
        self.0.signal(at, unit, run, signal, scope)
    }

    fn release(
        &mut self,
        at: Moment,
        unit: UnitId,
        run: RunId,
        signal: Option<Signal>,
        scope: Scope,
    ) -> Option<Remains> {
        self.0.release(at, unit, run, signal, scope)
    }

    fn abandon(&mut self, at: Moment, unit: UnitId, run: RunId) {
        self.0.abandon(at, unit, run);
    }

    fn service(&mut self, at: Moment, unit: UnitId, run: RunId, command: ServiceCommand) {
        self.0.service(at, unit, run, command);
    }

    fn save(&mut self, at: Moment, unit: UnitId, state: State, ticket: Ticket) -> SaveStatus {
        self.0.save(at, unit, state, ticket)
    }

    fn watchdog(&mut self, unit: UnitId, run: RunId) -> Option<Millis> {
        self.0.watchdog(unit, run)
    }

    fn draw(&mut self, jitter: Millis) -> Millis {
        self.0.draw(jitter)
    }

    fn observe(&mut self, report: &Report<'_>) {
        self.0.observe(report);
    }

    fn observe_save(&mut self, at: Moment, unit: UnitId, status: SaveStatus) {
        self.0.observe_save(at, unit, status);
    }

    fn wait(&mut self, deadline: Option<Moment>) -> ObservedInput {
        self.0.wait(deadline)
    }
}

/// What of a driver is compared with the driver of `monitor-os`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Comparison {
    /// Each call to the kernel, in order.
    #[default]
    Strict,
    /// The calls that change the world, in order for each unit.
    ByEffects,
}

/// Runs the loop of a driver on the virtual kernel.
///
/// A loop is right if every oracle is content, no call breaks off, and its calls are those of the
/// driver of `monitor-os`. `MONITOR_SIM_CASES` and `MONITOR_SIM_SEED` set the number of cases and
/// the first seed. `MONITOR_SIM_REPLAY=FILE` runs the case of a file alone.
///
/// A loop that calls the kernel without end is ended and reported. A loop that does not call it any
/// more cannot be ended.
///
/// # Examples
/// ```
/// use monitor_os::Driver;
/// use monitor_sim::conform;
///
/// // Your own loop in the place of this one.
/// conform::driver(|kernel| Driver::new().run(kernel)).with_cases(50).check()?;
/// # Ok::<(), Box<conform::DriverFailure>>(())
/// ```
pub const fn driver<F: Fn(&mut VirtualKernel<'_>)>(run: F) -> DriverKit<F> {
    DriverKit { run, comparison: Comparison::Strict, cases: 500, mutant: None, folder: None }
}

/// A driver under test, and how it is tested.
#[derive(Clone, Debug)]
#[must_use = "nothing is tested before `check` or `hunt`"]
pub struct DriverKit<F> {
    run: F,
    comparison: Comparison,
    cases: u64,
    mutant: Option<DriverMutant>,
    folder: Option<PathBuf>,
}

impl<F: Fn(&mut VirtualKernel<'_>)> DriverKit<F> {
    /// Compares only the calls that change the world.
    ///
    /// A driver may then wait, draw and report otherwise than the driver of `monitor-os`.
    pub const fn by_effects(mut self) -> Self {
        self.comparison = Comparison::ByEffects;
        self
    }

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

    /// Plants a bug between the driver and its kernel.
    pub const fn with_mutant(mut self, mutant: DriverMutant) -> Self {
        self.mutant = Some(mutant);
        self
    }

    /// Runs the cases that failed before, then cases for every race and without an aim.
    ///
    /// Returns the number of cases.
    ///
    /// # Errors
    /// The first failure, shrunk.
    pub fn check(&self) -> Result<u64, Box<DriverFailure>> {
        let mut cases = self.regressions()?;
        for race in Race::ALL.into_iter().map(Some).chain([None]) {
            cases += self.hunt(race)?;
        }
        Ok(cases)
    }

    /// Runs the cases that failed before, which each failure adds to; returns their number.
    ///
    /// # Errors
    /// The first failure, or a file that is no case.
    pub fn regressions(&self) -> Result<u64, Box<DriverFailure>> {
        let kept = settings::regressions(&self.folder()).map_err(DriverFailure::unreadable)?;
        for (file, case) in &kept {
            self.judge(case).map_err(|failure| failure.of_file(file))?;
        }
        Ok(kept.len() as u64)
    }

    /// Runs cases that aim at a race, or at nothing; returns their number.
    ///
    /// # Errors
    /// The first failure, shrunk. Its case is kept for [`DriverKit::regressions`], unless a bug is
    /// planted.
    pub fn hunt(&self, race: Option<Race>) -> Result<u64, Box<DriverFailure>> {
        if let Some((file, case)) = settings::replayed().map_err(DriverFailure::unreadable)? {
            self.judge(&case).map_err(|failure| failure.of_file(&file))?;
            return Ok(1);
        }
        let cases = settings::cases(self.cases);
        for seed in seeds(settings::seed(), cases) {
            let case = seeds::draw(race, seed);
            if self.judge(&case).is_err() {
                return Err(self.shrunk(seed, case));
            }
        }
        Ok(cases)
    }

    /// Runs one case.
    ///
    /// # Errors
    /// What is wrong; the case is not shrunk.
    pub fn judge(&self, case: &Case) -> Result<(), Box<DriverFailure>> {
        let trial = self.trial(case, STEPS_MAX);
        let verdict = trial.verdict();
        let Some(kind) = Kind::of(&verdict) else { return Ok(()) };
        Err(Box::new(DriverFailure::of(kind, None, case.clone(), verdict, trial, None)))
    }

    /// Looks for a planted bug in a driver that is right; returns the number of cases until it is
    /// found, or `None`.
    ///
    /// The cases are always the same, whatever `MONITOR_SIM_CASES` and `MONITOR_SIM_SEED` are.
    #[must_use]
    pub fn finds(&self, mutant: DriverMutant) -> Option<u64>
    where
        F: Clone,
    {
        let kit = self.clone().with_mutant(mutant);
        let mut cases = 0;
        for seed in 0..MUTANT_SEEDS {
            for race in Race::ALL.into_iter().map(Some).chain([None]) {
                cases += 1;
                if kit.judge(&seeds::draw(race, seed)).is_err() {
                    return Some(cases);
                }
            }
        }
        None
    }

    fn folder(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(settings::folder)
    }

    fn shrunk(&self, seed: u64, case: Case) -> Box<DriverFailure> {
        let verdict = self.trial(&case, STEPS_MAX).verdict();
        let kind = Kind::of(&verdict);
        let alike = Alike { kit: self, kind };
        let (best, verdict, sibling) = shrink::shrink_by(case, &alike);
        let trial = self.trial(&best, STEPS_MAX);
        let kind = Kind::of(&verdict).unwrap_or(Kind::Difference);
        let mut failure = DriverFailure::of(kind, Some(seed), best, verdict, trial, sibling);
        if self.mutant.is_none() {
            failure.file = settings::keep(&self.folder(), &failure.case).ok();
        }
        Box::new(failure)
    }

    /// Runs a case with the driver under test, and with that of `monitor-os`.
    fn trial(&self, case: &Case, steps_max: usize) -> Trial {
        let mut calls = Vec::new();
        let mut quits = 0;
        let (verdict, panic) = simulation::run_loop(case, steps_max, |kernel| {
            let recorder = Recorder::new(kernel, &mut calls);
            let mut kernel = VirtualKernel(Mutated::new(recorder, self.mutant));
            (self.run)(&mut kernel);
            quits = kernel.0.kernel.quits;
        });
        let mut expected = Vec::new();
        simulation::run_loop(case, steps_max, |kernel| {
            Driver::new().run(&mut Recorder::new(kernel, &mut expected));
        });
        let ended_early = panic.is_none() && quits == 0;
        let difference = if panic.is_some() || ended_early {
            let before = calls[calls.len().saturating_sub(CONTEXT)..].to_vec();
            Some(CallDifference { before, expected: None, actual: None })
        } else {
            match self.comparison {
                Comparison::Strict => first_difference(&calls, &expected),
                Comparison::ByEffects => effects_differ(&calls, &expected),
            }
        };
        Trial { verdict, panic, ended_early, difference }
    }
}

/// The seeds of the cases in which a planted bug is looked for; most are found within ten.
const MUTANT_SEEDS: u64 = 500;

/// A driver that fails in one way.
struct Alike<'a, F> {
    kit: &'a DriverKit<F>,
    kind: Option<Kind>,
}

impl<F: Fn(&mut VirtualKernel<'_>)> Subject for Alike<'_, F> {
    fn run(&self, case: &Case, steps_max: usize) -> Verdict {
        self.kit.trial(case, steps_max).verdict()
    }

    fn fails(&self, verdict: &Verdict) -> bool {
        Kind::of(verdict) == self.kind
    }
}

/// In which way a driver fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Oracle(Oracle),
    Difference,
}

impl Kind {
    fn of(verdict: &Verdict) -> Option<Self> {
        let differs = verdict.difference.is_some().then_some(Self::Difference);
        verdict.oracle().map(Self::Oracle).or(differs)
    }
}

/// One case, run by two drivers.
struct Trial {
    verdict: Verdict,
    panic: Option<String>,
    ended_early: bool,
    difference: Option<CallDifference>,
}

impl Trial {
    fn verdict(&self) -> Verdict {
        let mut verdict = self.verdict.clone();
        let step = verdict.trace.len();
        let told = |expected: &str, actual: String| Difference {
            step,
            expected: expected.to_owned(),
            actual,
        };
        verdict.difference = match (&self.panic, self.ended_early, &self.difference) {
            (Some(panic), ..) => Some(told("a driver that goes on until `Quit`", panic.clone())),
            (None, true, _) => {
                Some(told("a loop that ends at `Quit`", "a loop that ended before".to_owned()))
            }
            (None, false, Some(found)) => {
                Some(told(&text(found.expected.as_ref()), text(found.actual.as_ref())))
            }
            (None, false, None) => None,
        };
        if self.panic.is_some() || self.ended_early {
            // The end of a run that broke off is no finding of its own.
            verdict.violation = None;
        }
        verdict
    }
}

fn text(call: Option<&Call>) -> String {
    call.map_or_else(|| "nothing more".to_owned(), ToString::to_string)
}

/// The first difference between the calls of two drivers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CallDifference {
    /// The calls before it, the last ones.
    pub before: Vec<Call>,
    /// The call of the driver of `monitor-os`, if it has one more.
    pub expected: Option<Call>,
    /// The call of the driver under test, if it has one more.
    pub actual: Option<Call>,
}

/// How many calls are shown before a difference.
const CONTEXT: usize = 5;

fn first_difference(actual: &[Call], expected: &[Call]) -> Option<CallDifference> {
    let index =
        actual.iter().zip(expected).position(|(actual, expected)| actual != expected).or_else(
            || (actual.len() != expected.len()).then(|| actual.len().min(expected.len())),
        )?;
    Some(CallDifference {
        before: expected[index.saturating_sub(CONTEXT)..index].to_vec(),
        expected: expected.get(index).cloned(),
        actual: actual.get(index).cloned(),
    })
}

/// The first difference between the effects of two drivers on one unit.
fn effects_differ(actual: &[Call], expected: &[Call]) -> Option<CallDifference> {
    let by_unit = |calls: &[Call]| {
        let mut units: BTreeMap<Option<UnitId>, Vec<Call>> = BTreeMap::new();
        for call in calls.iter().filter(|call| call.is_effect()) {
            units.entry(call.unit).or_default().push(call.clone());
        }
        units
    };
    let (actual, expected) = (by_unit(actual), by_unit(expected));
    let none = Vec::new();
    actual.keys().chain(expected.keys()).find_map(|unit| {
        let of = |calls: &BTreeMap<_, Vec<Call>>| calls.get(unit).unwrap_or(&none).clone();
        first_difference(&of(&actual), &of(&expected))
    })
}

/// A case that a driver fails.
#[derive(Clone)]
#[non_exhaustive]
pub struct DriverFailure {
    /// The seed that drew the unshrunk case; `None` for a case of a file.
    pub seed: Option<u64>,
    /// The case.
    pub case: Case,
    /// The reported steps, and the objections of the oracles.
    pub verdict: Verdict,
    /// The first difference from the driver of `monitor-os`.
    pub difference: Option<CallDifference>,
    /// The file of the case, if it was written or read.
    pub file: Option<PathBuf>,
    sibling: Option<Sibling>,
    /// A file that could not be read, instead of all else.
    unreadable: Option<String>,
}

impl DriverFailure {
    fn of(
        kind: Kind,
        seed: Option<u64>,
        case: Case,
        verdict: Verdict,
        trial: Trial,
        sibling: Option<Sibling>,
    ) -> Self {
        let difference = trial.difference.filter(|_| kind == Kind::Difference);
        Self { seed, case, verdict, difference, file: None, sibling, unreadable: None }
    }

    fn unreadable(error: String) -> Box<Self> {
        let case = Case::new(monitor_core::Policy::DEFAULT);
        Box::new(Self {
            seed: None,
            case,
            verdict: Verdict::default(),
            difference: None,
            file: None,
            sibling: None,
            unreadable: Some(error),
        })
    }

    fn of_file(mut self: Box<Self>, file: &std::path::Path) -> Box<Self> {
        self.file = Some(file.to_owned());
        self
    }
}

/// Prints the objection, the first difference, the case, the reported steps, and how to replay.
impl fmt::Display for DriverFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, case, verdict, difference, file, sibling, unreadable } = self;
        if let Some(error) = unreadable {
            return write!(f, "{error}: mend or remove the file");
        }
        let oracle = verdict.oracle();
        match (&oracle, &verdict.difference) {
            (Some(oracle), _) => writeln!(f, "FAIL {oracle}")?,
            (None, Some(_)) => {
                writeln!(
                    f,
                    "FAIL contract: the driver does not do what the driver of monitor-os does"
                )?;
            }
            (None, None) => writeln!(f, "FAIL")?,
        }
        for call in difference.iter().flat_map(|found| &found.before) {
            writeln!(f, "    {call}")?;
        }
        match (oracle, difference, &verdict.difference) {
            (None, Some(CallDifference { expected, actual, .. }), _)
                if expected.is_some() || actual.is_some() =>
            {
                writeln!(f, "  - {}", text(expected.as_ref()))?;
                writeln!(f, "  + {}", text(actual.as_ref()))?;
                writeln!(f, "  (- as the driver of monitor-os, + as this driver)")?;
                let call = expected.as_ref().or(actual.as_ref());
                writeln!(f, "rules     {} of CONTRACT.md", call.map_or("", Call::rules))?;
            }
            (None, _, Some(found)) => {
                writeln!(f, "  expected  {}", found.expected)?;
                writeln!(f, "  actual    {}", found.actual)?;
            }
            (Some(_), _, _) | (None, _, None) => {}
        }
        if let Some(seed) = seed {
            writeln!(f, "seed {seed}, shrunk to this case:")?;
        }
        for line in case.to_string().lines() {
            writeln!(f, "    {line}")?;
        }
        let policies = &policies(case, &verdict.trace);
        TraceTable { trace: &verdict.trace, policies, marked: oracle.is_some() }.fmt(f)?;
        if let Some(sibling) = sibling {
            writeln!(f, "passes    {sibling}")?;
        }
        match file {
            Some(file) => write!(f, "replay    MONITOR_SIM_REPLAY={} cargo test", file.display()),
            None => {
                write!(f, "replay    save the case, and run MONITOR_SIM_REPLAY=FILE cargo test")
            }
        }
    }
}

/// Prints as `Display` does, so that `unwrap` shows the report.
impl fmt::Debug for DriverFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for DriverFailure {}

/// Makes the tests of a driver: one for each race, one without an aim, one for the cases that failed
/// before, and one that plants each [`DriverMutant`] and demands that it is found.
///
/// # Examples
/// ```
/// monitor_sim::driver_tests!(|kernel| monitor_os::Driver::new().run(kernel));
/// ```
///
/// `driver_tests!(by_effects: ...)` compares only the calls that change the world, and plants no
/// bugs.
#[macro_export]
macro_rules! driver_tests {
    (by_effects: $run:expr) => {
        $crate::race_tests!($crate::conform::driver($run).by_effects());
    };
    ($run:expr) => {
        $crate::race_tests!($crate::conform::driver($run));

        /// A kit that finds nothing where a bug is planted would prove nothing.
        #[test]
        fn planted_bugs_are_found() {
            let missed: Vec<_> = $crate::conform::DriverMutant::ALL
                .into_iter()
                .filter(|mutant| $crate::conform::driver($run).finds(*mutant).is_none())
                .collect();
            assert!(missed.is_empty(), "planted, and not found: {missed:?}");
        }
    };
}
