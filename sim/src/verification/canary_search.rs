//! Checks of the checks: for each check of the harness a bug that only this check finds.
//!
//! Each canary is searched for twice. If its bug is injected, the search must find it, or the alarm
//! of its check is raised. If no bug is injected, the search must find nothing, or
//! [`Alarm::CanariesOff`] is raised.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use monitor_core::{
    Actions, Event, Grace, Millis, Note, Origin, Phase, Policy, Restart, State, Step, StopMode,
    TimerCommand, TimerKind, TimerToken,
};
use monitor_os::record::RecordReader;
use monitor_os::{Core, Machine};

use super::check;
use crate::case::definition::Case;
use crate::conform::record::{RecordFault, Tolerance, record};
use crate::machine::injected_bug::{InjectedBug, MachineUnderTest};
use crate::model::input::Input;
use crate::oracle::compared::Compared;
use crate::oracle::expectation;
use crate::oracle::fault_effects::FaultEffect;
use crate::oracle::property::Property;
use crate::oracle::verdict::{Oracle, Verdict};
use crate::search::alarm::Alarm;
use crate::search::campaign::{self, Plan};
use crate::search::canary::{Canary, Evidence, Missed};
use crate::search::coverage::{Coverage, Measure};
use crate::search::failure::Failure;
use crate::search::harness::{Harness, Standard};
use crate::search::hunt;
use crate::world::simulation;

/// A harness that searches for its own canaries. A test may replace the search as it replaces the
/// other parts.
pub trait CanarySearch: Harness {
    /// Looks for the bug of a canary, which is injected or, as a control, is not.
    ///
    /// # Errors
    /// What was not found.
    fn look(self, canary: Canary, is_injected: bool) -> Result<String, Missed> {
        look(self, canary, is_injected)
    }
}

impl CanarySearch for Standard {}

/// Looks for the bug of each canary, injected and not.
pub fn look_for(harness: impl CanarySearch, canaries: &[Canary]) -> Evidence {
    let mut evidence = Evidence::default();
    for &canary in canaries {
        // The guard may be the check that is switched off, so it does not catch this panic.
        let look = |is_injected| {
            catch_unwind(AssertUnwindSafe(|| harness.look(canary, is_injected)))
                .unwrap_or_else(|_| Err("the search for it ended in a panic".into()))
        };
        let (injected, control) = (look(true), look(false));
        match injected {
            Ok(what) => {
                evidence.found.insert(canary.name().to_owned(), what);
            }
            Err(what) => evidence.alarms.raise(canary.alarm(), what.to_string()),
        }
        if let Ok(what) = control {
            let detail = format!("{canary}: found where nothing is injected: {what}");
            evidence.alarms.raise(Alarm::CanariesOff, detail);
        }
    }
    evidence
}

/// Looks for the bug of one canary with the parts of `harness`, as [`CanarySearch::look`] does.
///
/// # Errors
/// What was not found.
pub fn look(harness: impl Harness, canary: Canary, is_injected: bool) -> Result<String, Missed> {
    match canary {
        Canary::Choosers => choosers(harness, is_injected),
        Canary::Faults => faults(harness, is_injected),
        Canary::Shrinker => shrinker(harness, is_injected),
        Canary::SecondRun => second_run(harness, is_injected),
        Canary::End => end(harness, is_injected),
        Canary::Reference => reference(harness, is_injected),
        Canary::Coverage => coverage(harness, is_injected),
        Canary::Panics => panics(harness, is_injected),
        Canary::Search => search(harness, is_injected),
        Canary::Liveness => liveness(harness, is_injected),
        Canary::Replay => wrong_record(is_injected),
        Canary::Expectations => wrong_expectation(is_injected),
    }
}

/// An injected answer, where there is one.
type StepFunction = fn(&Policy, State, Event) -> Option<Step>;

/// The machine that ships, except for what the function answers, above a backend that may have an
/// injected bug.
#[derive(Clone, Copy)]
struct CanaryBug {
    step: StepFunction,
    injected_bug: Option<InjectedBug>,
}

impl CanaryBug {
    const NOTHING: Self = Self { step: |_, _, _| None, injected_bug: None };

    const fn step(is_injected: bool, step: StepFunction) -> Self {
        if is_injected { Self { step, injected_bug: None } } else { Self::NOTHING }
    }

    const fn backend(is_injected: bool, bug: InjectedBug) -> Self {
        if is_injected { Self { injected_bug: Some(bug), ..Self::NOTHING } } else { Self::NOTHING }
    }
}

impl Machine for CanaryBug {
    fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
        (self.step)(policy, state, event).unwrap_or_else(|| policy.step(state, event))
    }
}

impl MachineUnderTest for CanaryBug {
    fn injected_bug(&self) -> Option<InjectedBug> {
        self.injected_bug
    }
}

/// An answer that every oracle refuses.
const fn refused(state: State) -> Step {
    let actions = Actions { persist: true, ..Actions::NONE };
    Step { state, actions, note: Note::NotApplicable }
}

/// How many cases a canary may take.
const CASES_MAX: u64 = 2_000;

/// What only a chooser that chooses asks for: none is the first choice of its kind.
const CHOSEN: [(&str, StepFunction); 8] = [
    ("reset", |_, state, event| (event == Event::ResetRequested).then(|| refused(state))),
    ("retry", |_, state, event| (event == Event::RetryRequested).then(|| refused(state))),
    ("policy-changed", |_, state, event| (event == Event::PolicyChanged).then(|| refused(state))),
    ("restart", |_, state, event| {
        matches!(event, Event::RestartRequested { .. }).then(|| refused(state))
    }),
    ("an event of another run", |_, state, event| {
        event.run().is_some_and(|run| run != state.run()).then(|| refused(state))
    }),
    ("another restart rule", |policy, state, event| {
        let is_other = policy.rules().restart != Restart::Always;
        (is_other && event == Event::StartRequested).then(|| refused(state))
    }),
    ("another grace", |_, state, event| {
        let is_other =
            |mode| matches!(mode, StopMode::Graceful(Grace::After(grace)) if grace > Millis::ZERO);
        matches!(event, Event::StopRequested { mode, .. } if is_other(mode)).then(|| refused(state))
    }),
    ("another origin", |_, state, event| {
        let is_other = |origin| origin == Origin::Shutdown;
        matches!(event, Event::StopRequested { origin, .. } if is_other(origin))
            .then(|| refused(state))
    }),
];

fn choosers(harness: impl Harness, is_injected: bool) -> Result<String, Missed> {
    each(CHOSEN, |step| hunt(harness, CanaryBug::step(is_injected, step)))
}

/// What only an injected fault shows, one for each kind of fault.
const FAULTS: [(&str, InjectedBug); 7] = [
    ("lost notices", InjectedBug::TrustsNotices),
    ("missed signals", InjectedBug::NobodyIsSent),
    ("held outputs", InjectedBug::EndIsEndOfOutput),
    ("reused pids", InjectedBug::ForwardsByNumber),
    ("deaths of the monitor", InjectedBug::AdoptsBlindly),
    ("losses of power", InjectedBug::SavesInPlace),
    ("set clocks", InjectedBug::WallClock),
];

/// What each kind of fault leaves where it took effect.
const EFFECTS: [(&str, FaultEffect); 12] = [
    ("lost notices", FaultEffect::NoticeLost),
    ("double notices", FaultEffect::NoticeTwice),
    ("late notices", FaultEffect::NoticeLate),
    ("refused signals", FaultEffect::SignalRefused),
    ("missed signals", FaultEffect::SignalMissed),
    ("held outputs", FaultEffect::OutputHeld),
    ("pids exhausted", FaultEffect::PidsExhausted),
    ("deaths of the monitor in a step", FaultEffect::DeathInAStep),
    ("deaths of the monitor in a save", FaultEffect::DeathInASave),
    ("losses of power", FaultEffect::ContentLost),
    ("set clocks", FaultEffect::WallJump),
    ("sleeps of the machine", FaultEffect::Sleep),
];

fn faults(harness: impl Harness, is_injected: bool) -> Result<String, Missed> {
    let found = each(FAULTS, |bug| hunt(harness, CanaryBug::backend(is_injected, bug)))?;
    let mut missing = EFFECTS.to_vec();
    for seed in 0..CASES_MAX {
        let fault_effects = harness.run(&harness.draw(None, seed), Core).fault_effects;
        missing.retain(|&(_, effect)| !fault_effects.has(effect));
        if missing.is_empty() {
            return Ok(found);
        }
    }
    let missing: Vec<&str> = missing.into_iter().map(|(name, _)| name).collect();
    Err(format!("in {CASES_MAX} cases there were no {}", missing.join(", ")).into())
}

/// The first case that violates anything.
fn hunt(harness: impl Harness, machine: CanaryBug) -> Option<String> {
    let found = |seed: &u64| harness.run(&harness.draw(None, *seed), machine).violated().is_some();
    (0..CASES_MAX).find(found).map(|seed| format!("case {seed}"))
}

/// All of them must be found.
fn each<T, const N: usize>(
    bugs: [(&str, T); N],
    find: impl Fn(T) -> Option<String>,
) -> Result<String, Missed> {
    let (mut found, mut missed) = (Vec::new(), Vec::new());
    for (name, bug) in bugs {
        match find(bug) {
            Some(place) => found.push(format!("{name} in {place}")),
            None => missed.push(name),
        }
    }
    if missed.is_empty() {
        Ok(found.join(", "))
    } else {
        Err(format!(
            "in {CASES_MAX} cases nothing showed the bugs injected at: {}",
            missed.join(", ")
        )
        .into())
    }
}

/// Wrong for a reset.
fn wrong_reset(_: &Policy, state: State, event: Event) -> Option<Step> {
    (event == Event::ResetRequested).then(|| refused(state))
}

/// A reset behind everything that a shrinker can take away.
const LONG: &str = "
    policy restart=always
    process #1 lives=2s exits=code=1
    process rest term=500ms notice=late:7ms
    0ms start
    10ms signal HUP
    20ms policy restart=on-failure
    30ms restart
    3s signal HUP
    4s stop
    5s start
    6s reset
    7s stop
";

fn shrinker(harness: impl Harness, is_injected: bool) -> Result<String, Missed> {
    let (case, machine) = (read(LONG)?, CanaryBug::step(is_injected, wrong_reset));
    let property =
        harness.run(&case, machine).violated().ok_or("the injected bug was not found")?;
    let failure = hunt::confirm(harness, 0, case.clone(), property, machine);
    // This run does not depend on the code that shrinks and confirms.
    let again = harness.run(&failure.case, machine).violated();
    let (before, after) = (case.inputs.len(), failure.case.inputs.len());
    let believed = hunt::confirm(Passing(harness), 0, case, property, machine);
    if !believed.is_unshrunk {
        return Err("a shortened case that passes was believed".into());
    }
    match again {
        _ if failure.is_unshrunk => Err("a shortened case did not fail as the drawn one".into()),
        Some(found) if found == property && after * 2 < before => {
            Ok(format!("{property}, shrunk from {before} to {after} inputs"))
        }
        Some(found) if found == property => {
            Err(format!("{before} inputs were shrunk to {after}").into())
        }
        _ => Err(format!("a case that violates {property} was shrunk to one that does not").into()),
    }
}

/// A shrinker whose cases pass.
#[derive(Clone, Copy)]
struct Passing<H>(H);

impl<H: Harness> Harness for Passing<H> {
    fn run(self, case: &Case, machine: impl MachineUnderTest + Copy) -> Verdict {
        self.0.run(case, machine)
    }

    fn shrink(
        self,
        seed: u64,
        case: Case,
        property: Property,
        _machine: impl MachineUnderTest + Copy,
    ) -> Failure {
        Failure {
            seed,
            aim: None,
            property,
            oracle: Oracle::Property(property),
            case: Case::new(case.policy),
            trace: Vec::new(),
            sibling: None,
            panic: None,
            is_unshrunk: false,
        }
    }
}

/// The timer of the healthy run is not armed. No oracle sees that.
fn forgets_healthy(policy: &Policy, state: State, event: Event) -> Option<Step> {
    let mut step = policy.step(state, event);
    let arms = matches!(step.actions.timer, TimerCommand::Arm(_));
    (arms && step.state.phase().timer() == Some(TimerKind::Healthy)).then(|| {
        step.actions.timer = TimerCommand::Keep;
        step
    })
}

/// A machine that is wrong in every second case.
#[derive(Clone, Copy)]
struct Nondeterministic<'a> {
    machine: CanaryBug,
    begun: &'a Cell<u32>,
}

impl Machine for Nondeterministic<'_> {
    fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
        if state == State::INITIAL && event == Event::StartRequested {
            self.begun.set(self.begun.get() + 1);
        }
        let is_wrong = self.begun.get().is_multiple_of(2);
        if is_wrong { self.machine.step(policy, state, event) } else { policy.step(state, event) }
    }
}

impl MachineUnderTest for Nondeterministic<'_> {}

/// How many cases of a campaign, or from seeds, are run twice for the canary.
const TWICE_MAX: u64 = 4;

fn second_run(harness: impl Harness, is_injected: bool) -> Result<String, Missed> {
    let begun = Cell::new(0);
    let machine =
        Nondeterministic { machine: CanaryBug::step(is_injected, forgets_healthy), begun: &begun };
    let plan = Plan::new("canary");
    let differs = |nth: &u64| {
        begun.set(0);
        let index = nth * campaign::DOUBLED_EVERY;
        plan.run_by(harness, index..index + 1, machine).unequal > 0
    };
    let in_a_campaign = (0..TWICE_MAX).find(differs);
    let in_a_check = (0..TWICE_MAX).find_map(|seed| {
        begun.set(0);
        check::first_nondeterminism(harness, [seed], machine).err()
    });
    match (in_a_campaign, in_a_check) {
        (Some(_), Some(differs)) => Ok(format!("{}, in a campaign and from seeds", differs.0)),
        (None, Some(_)) => Err("a campaign has not seen that its cases differ".into()),
        (_, None) => Err("a case that was run twice has not been seen to differ".into()),
    }
}

/// The end of the grace is passed over, so that nothing will ever happen again. No step is wrong.
fn loses_the_timer(_: &Policy, state: State, event: Event) -> Option<Step> {
    let fires = |timer: TimerToken| (timer.kind, timer.run) == (TimerKind::StopGrace, state.run());
    let over = state.phase() == Phase::Stopping
        && matches!(event, Event::TimerFired { timer } if fires(timer));
    over.then_some(Step { state, actions: Actions::NONE, note: Note::Applied })
}

fn end(harness: impl Harness, is_injected: bool) -> Result<String, Missed> {
    let stubborn = "
        policy restart=always stop-timeout=1s
        process rest term=ignored
        0ms start
        5ms stop
    ";
    let short = "
        policy restart=no
        process rest lives=1s
        0ms start
    ";
    for (text, machine, owed) in [
        (stubborn, CanaryBug::step(is_injected, loses_the_timer), Property::StopEnds),
        (short, CanaryBug::backend(is_injected, InjectedBug::NeverReaps), Property::ReapedOnce),
    ] {
        match harness.run(&read(text)?, machine).violated() {
            Some(found) if found == owed => {}
            found => {
                let found = found.map_or("nothing", Property::name);
                return Err(format!("{owed} is violated at the end, and {found} was found").into());
            }
        }
    }
    Ok(format!("{} and {}", Property::StopEnds, Property::ReapedOnce))
}

const HEALTHY: &str = "
    policy restart=always
    process rest
    0ms start
    1m stop
";

pub(crate) fn reference(harness: impl Harness, is_injected: bool) -> Result<String, Missed> {
    let machine = CanaryBug::step(is_injected, forgets_healthy);
    let compared = Compared::by(machine, harness.reference());
    let verdict = harness.run(&read(HEALTHY)?, &compared);
    match (compared.mismatch(), verdict.violated()) {
        (Some(found), None) => Ok(format!("a wrong answer to {}", found.event)),
        (Some(_), Some(property)) => Err(format!("{property} saw the injected bug as well").into()),
        (None, _) => Err("a timer that is not armed agreed with the rules".into()),
    }
}

fn coverage(harness: impl Harness, is_injected: bool) -> Result<String, Missed> {
    let demands = |measure: Measure| {
        let met = Measure::ALL
            .map(|other| Some(if other == measure && is_injected { 0 } else { u64::MAX }));
        let coverage = Coverage { cases: 100_000, met };
        coverage
            .alarms(|measure, cases| harness.floor(measure, cases))
            .has(Alarm::CoverageBelowFloor)
    };
    match Measure::ALL.into_iter().find(|&measure| !demands(measure)) {
        None => Ok("100000 cases that met nothing".to_owned()),
        Some(measure) => Err(format!("100000 cases may meet no {measure}").into()),
    }
}

#[expect(clippy::panic, reason = "it is injected")]
fn panics_at_reset(_: &Policy, _: State, event: Event) -> Option<Step> {
    (event == Event::ResetRequested).then(|| panic!("injected"))
}

fn panics(harness: impl Harness, is_injected: bool) -> Result<String, Missed> {
    let machine = CanaryBug::step(is_injected, panics_at_reset);
    let verdict = harness.run(&read(LONG)?, machine);
    let last = verdict.trace.last().map(|line| line.event);
    let violated = verdict.violated();
    let message = verdict.violation.and_then(|violation| violation.panic).unwrap_or_default();
    if violated != Some(Property::NoPanic)
        || last != Some(Event::ResetRequested)
        || !message.contains("injected")
    {
        return Err("a panic in the virtual world is no finding".into());
    }
    let example = harness.explore(&[Policy::DEFAULT], &machine).counterexample;
    match example.filter(|example| example.property == Property::NoPanic) {
        Some(example) if example.path == [Input::Event(Event::ResetRequested)] => {
            Ok(format!("{}, in the virtual world and in the exhaustive search", Property::NoPanic))
        }
        _ => Err("a panic in the exhaustive search is no finding".into()),
    }
}

fn search(harness: impl Harness, is_injected: bool) -> Result<String, Missed> {
    let machine = CanaryBug::step(is_injected, |_, state, event| {
        let deep =
            state.phase() == Phase::BackingOff && matches!(event, Event::StopRequested { .. });
        deep.then(|| refused(state))
    });
    let found = harness.explore(&[Policy::DEFAULT], &machine).counterexample;
    let example = found.ok_or("a wrong answer to a stop in the wait was not found")?;
    Ok(format!("{} after {} inputs", example.property, example.path.len()))
}

fn liveness(harness: impl Harness, is_injected: bool) -> Result<String, Missed> {
    let machine = CanaryBug::step(is_injected, loses_the_timer);
    let found = harness.explore(&[Policy::DEFAULT], &machine).counterexample;
    match found {
        Some(example) if example.property == Property::StopEnds => {
            Ok(format!("{} after {} inputs", example.property, example.path.len()))
        }
        _ => Err("a stop without an end was not found".into()),
    }
}

fn wrong_record(is_injected: bool) -> Result<String, Missed> {
    let spawn = if is_injected { "" } else { r#""spawn #1","# };
    let text = format!(
        r#"{{"record":1,"unit":0,"name":"canary","policy":"restart=always"}}
{{"at_us":0,"unit":0,"event":"start","phase":"starting","actions":["save",{spawn}"emit starting"]}}"#
    );
    match record(&mut RecordReader::new(text.as_bytes()), Tolerance::default()) {
        Err(RecordFault::Violation(violation)) => Ok(format!("line {}", violation.line)),
        Err(fault @ RecordFault::Unreadable(_)) => Err(fault.to_string().into()),
        Ok(_) => Err("a record of a start without a spawn was accepted".into()),
    }
}

fn wrong_expectation(is_injected: bool) -> Result<String, Missed> {
    let case = read(HEALTHY)?;
    let trace = simulation::trace(&case, Core, simulation::STEPS_MAX);
    let right = expectation::rewrite(HEALTHY, &case, &trace);
    let text = if is_injected { right.replace("spawn #1; ", "") } else { right };
    match expectation::compare(&read(&text)?, &trace) {
        Err(_) => Ok("a start that expects no spawn".to_owned()),
        Ok(()) => Err("a start that expects no spawn was accepted".into()),
    }
}

fn read(text: &str) -> Result<Case, Missed> {
    text.parse().map_err(|error| format!("the canary's case: {error}").into())
}
