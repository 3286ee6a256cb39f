//! Each check of the harness is switched off in turn, and the alarm that is named for it must ring:
//! in a campaign, in a check, and in a property test of another crate.

use monitor_core::{Event, Millis, Policy, State, Step};
use monitor_os::{Core, Machine};
use monitor_sim::bugs::{Bug, bug_hunt};
use monitor_sim::case::{Case, ExitNotice, InputKind, Script, SignalDelivery};
use monitor_sim::conform;
use monitor_sim::generate::{self, FromBytes, Race, strategy};
use monitor_sim::machine::MachineUnderTest;
use monitor_sim::model::{Exploration, explore};
use monitor_sim::oracle::{Compare, Property, Verdict};
use monitor_sim::search::alarm::{Alarm, Alarms};
use monitor_sim::search::campaign::Plan;
use monitor_sim::search::canary::{Canary, Evidence, Missed};
use monitor_sim::search::coverage::Measure;
use monitor_sim::search::failure::Failure;
use monitor_sim::search::harness::{Harness, Standard};
use monitor_sim::search::shard::{Shard, ShardFile};
use monitor_sim::search::{merge, shrink};
use monitor_sim::verification::canary_search::{self, CanarySearch};
use monitor_sim::verification::check::{self, Checked};
use monitor_sim::world::{self, Checks, STEPS_MAX};

/// A campaign as `run` runs it: the canaries, then the cases, then what is to be said about them.
fn campaign(harness: impl CanarySearch) -> Alarms {
    let evidence = canary_search::look_for(harness, &Canary::CAMPAIGN);
    let plan = Plan::new("alarms");
    let mut file = ShardFile::new(&plan, Shard::WHOLE, CASES);
    file.canaries = evidence.found;
    file.report = plan.run_by(harness, 0..CASES, Core);
    file.next = CASES;
    let mut alarms = evidence.alarms;
    alarms.add(file.all_alarms(harness));
    alarms
}

const CASES: u64 = 2_000;

/// The canaries of `check`.
fn checked(harness: impl CanarySearch) -> Alarms {
    canary_search::look_for(harness, &Canary::ALL).alarms
}

/// Switched off, the alarm rings in a campaign, in a check and in a property test, and says so in
/// words.
fn rings(harness: impl CanarySearch, alarm: Alarm) {
    let ran = campaign(harness);
    assert!(ran.has(alarm), "a campaign is silent: {ran}");
    let ran = checked(harness);
    assert!(ran.has(alarm), "a check is silent: {ran}");
    let said = conform::check_by(harness, Core, strategy::cases());
    let said = said.err().map_or_else(String::new, |error| error.to_string());
    let line = format!("ALARM {alarm}: {}", alarm.meaning());
    assert!(said.contains(&line), "a property test says {said}");
}

#[test]
fn the_harness_that_ships_is_silent() {
    assert_eq!(campaign(Standard).to_string(), "");
    assert_eq!(checked(Standard).to_string(), "");
}

/// 1. Every choice is the first one.
#[derive(Clone, Copy)]
struct FirstChoice;

impl Harness for FirstChoice {
    fn draw(self, race: Option<Race>, _seed: u64) -> Case {
        match race {
            Some(race) => race.case(&mut FromBytes(&[])),
            None => generate::case(&mut FromBytes(&[])),
        }
    }
}

impl CanarySearch for FirstChoice {}

#[test]
fn choosers_that_do_not_choose_ring() {
    rings(FirstChoice, Alarm::ChoosersDoNotChoose);
    assert!(campaign(FirstChoice).has(Alarm::CoverageBelowFloor));
}

/// 2. Nothing goes wrong in any case.
#[derive(Clone, Copy)]
struct NoFaults;

impl Harness for NoFaults {
    fn draw(self, race: Option<Race>, seed: u64) -> Case {
        let mut case = generate::draw(race, seed);
        let others = case.others.iter_mut().flat_map(|other| &mut other.scripts);
        for script in case.scripts.iter_mut().chain(others) {
            let Script { notice, signals, output, .. } = Script::OBEDIENT;
            *script = Script { notice, signals, output, ..*script };
        }
        (case.pids, case.disk) = (None, None);
        (case.timers_late, case.saves_fail_until) = (Millis::ZERO, Millis::ZERO);
        case.inputs
            .retain(|input| matches!(input.kind, InputKind::Event(_) | InputKind::Policy(_)));
        case
    }
}

impl CanarySearch for NoFaults {}

#[test]
fn faults_that_are_not_injected_ring() {
    rings(NoFaults, Alarm::NoFaultInjected);
    let ran = campaign(NoFaults);
    assert!(ran.has(Alarm::CoverageBelowFloor), "{ran}");
    assert!(!ran.has(Alarm::ChoosersDoNotChoose), "the choosers choose: {ran}");
}

/// One kind of fault is not injected.
#[derive(Clone, Copy)]
struct NoFaultOf(fn(&mut Script), fn(&InputKind) -> bool);

impl Harness for NoFaultOf {
    fn draw(self, race: Option<Race>, seed: u64) -> Case {
        let mut case = generate::draw(race, seed);
        let others = case.others.iter_mut().flat_map(|other| &mut other.scripts);
        case.scripts.iter_mut().chain(others).for_each(self.0);
        case.inputs.retain(|input| !self.1(&input.kind));
        case
    }
}

impl CanarySearch for NoFaultOf {}

#[test]
fn each_kind_of_fault_is_missed_by_itself() {
    let none = |_: &InputKind| false;
    let dies =
        |kind: &InputKind| matches!(kind, InputKind::Crash { .. } | InputKind::Reboot { .. });
    for (kind, harness) in [
        ("notices", NoFaultOf(|script| script.notice = ExitNotice::Once, none)),
        ("missed signals", NoFaultOf(|script| script.signals = SignalDelivery::Delivered, none)),
        ("outputs", NoFaultOf(|script| script.output = None, none)),
        ("deaths of the monitor", NoFaultOf(|_| (), dies)),
        ("clocks", NoFaultOf(|_| (), |kind| matches!(kind, InputKind::Wall(_)))),
    ] {
        let ran = checked(harness);
        assert!(ran.has(Alarm::NoFaultInjected), "{kind}: {ran}");
        assert!(ran.to_string().contains(kind), "{ran}");
    }
}

/// 3. What is shrunk passes.
#[derive(Clone, Copy)]
struct PassingShrinker;

impl Harness for PassingShrinker {
    fn shrink(
        self,
        seed: u64,
        case: Case,
        property: Property,
        machine: impl MachineUnderTest + Copy,
    ) -> Failure {
        let shrunk = shrink::shrink(seed, case, property, machine);
        let case = Case::new(shrunk.case.policy);
        Failure { case, trace: Vec::new(), ..shrunk }
    }
}

impl CanarySearch for PassingShrinker {}

#[test]
fn a_shrunk_case_that_passes_rings_and_the_drawn_one_is_kept() {
    rings(PassingShrinker, Alarm::ShrunkCasePasses);
    let bug: Bug = "BB-36b".parse().unwrap();
    // A campaign that finds something raises the alarm and keeps the drawn case.
    let plan = Plan::new("alarms");
    let report = plan.run_by(PassingShrinker, 0..400, bug);
    assert!(report.alarms(PassingShrinker).has(Alarm::ShrunkCasePasses));
    for note in report.failures.values().flatten() {
        assert!(note.is_unshrunk);
        assert_eq!(note.case, plan.case(note.index).to_string(), "nothing is lost");
    }
    // The hunt of the bank keeps the drawn case, and its length stays a number.
    let result = bug_hunt::hunt_bug(PassingShrinker, bug, 1, || 0.0);
    assert!(result.is_unshrunk && result.shrunk_len > Some(0), "{result:?}");
    let result = bug_hunt::hunt_bug(Standard, bug, 1, || 0.0);
    assert!(!result.is_unshrunk, "{result:?}");
}

/// The shrinker gives back what it is given.
#[derive(Clone, Copy)]
struct IdleShrinker;

impl Harness for IdleShrinker {
    fn shrink(
        self,
        seed: u64,
        case: Case,
        property: Property,
        machine: impl MachineUnderTest + Copy,
    ) -> Failure {
        Failure { case: case.clone(), ..shrink::shrink(seed, case, property, machine) }
    }
}

impl CanarySearch for IdleShrinker {}

#[test]
fn a_shrinker_that_does_not_shrink_rings() {
    rings(IdleShrinker, Alarm::ShrunkCasePasses);
}

/// 4. No second run.
#[derive(Clone, Copy)]
struct NoSecondRun;

impl Harness for NoSecondRun {
    fn is_deterministic(self, _: &Case, _: impl MachineUnderTest + Copy, _: &Verdict) -> bool {
        true
    }
}

impl CanarySearch for NoSecondRun {}

#[test]
fn a_second_run_that_is_skipped_rings() {
    rings(NoSecondRun, Alarm::SecondRunSkipped);
}

/// 5. The canaries sing whatever happens.
#[derive(Clone, Copy)]
struct CanariesOff;

impl Harness for CanariesOff {}

impl CanarySearch for CanariesOff {
    fn look(self, _: Canary, _: bool) -> Result<String, Missed> {
        Ok("found".to_owned())
    }
}

#[test]
fn canaries_that_always_sing_ring() {
    rings(CanariesOff, Alarm::CanariesOff);
}

#[test]
fn canaries_that_do_not_run_ring_in_the_report_and_in_what_is_merged() {
    let plan = Plan::new("alarms");
    let shard = |index, canaries| {
        let shard = Shard { index, count: 2 };
        let mut file = ShardFile::new(&plan, shard, 20);
        file.report = plan.run(shard.range(20), Core);
        file.next = shard.range(20).end;
        file.canaries = canaries;
        file
    };
    let found = canary_search::look_for(Standard, &Canary::CAMPAIGN).found;
    let sound = [shard(0, found.clone()), shard(1, found.clone())];
    assert_eq!(merge::merge(sound).unwrap().alarms.to_string(), "");
    let mut silent = found.clone();
    silent.remove(Canary::End.name());
    for canaries in [silent, Default::default()] {
        assert!(shard(1, canaries.clone()).all_alarms(Standard).has(Alarm::CanariesOff));
        let merged = merge::merge([shard(0, found.clone()), shard(1, canaries)]).unwrap();
        let said = merged.alarms.to_string();
        assert!(merged.alarms.has(Alarm::CanariesOff), "{said}");
        assert!(said.contains("shard 1/2") && said.contains("end"), "{said}");
    }
}

/// 6. The end is not checked.
#[derive(Clone, Copy)]
struct NoEnd;

impl Harness for NoEnd {
    fn run(self, case: &Case, machine: impl MachineUnderTest + Copy) -> Verdict {
        world::run_checked(case, machine, STEPS_MAX, Checks::Steps)
    }
}

impl CanarySearch for NoEnd {}

#[test]
fn an_end_that_is_not_judged_rings() {
    rings(NoEnd, Alarm::EndNotChecked);
}

/// 7. The second machine always agrees.
#[derive(Clone, Copy)]
struct Agreeable;

impl Harness for Agreeable {
    fn reference(self) -> Compare {
        |_, _, _, _| Ok(())
    }
}

impl CanarySearch for Agreeable {}

#[test]
fn a_reference_that_always_agrees_rings() {
    rings(Agreeable, Alarm::ReferenceAlwaysAgrees);
}

/// 8. Nothing is demanded of the coverage.
#[derive(Clone, Copy)]
struct NoFloor;

impl Harness for NoFloor {
    fn floor(self, _: Measure, _: u64) -> u64 {
        0
    }
}

impl CanarySearch for NoFloor {}

#[test]
fn a_coverage_without_a_floor_rings() {
    rings(NoFloor, Alarm::CoverageNotChecked);
}

/// The same case again and again, and a good one.
#[derive(Clone, Copy)]
struct OneSeed;

impl Harness for OneSeed {
    fn draw(self, race: Option<Race>, _seed: u64) -> Case {
        generate::draw(race, 1)
    }
}

impl CanarySearch for OneSeed {}

#[test]
fn too_little_coverage_rings_by_the_length_of_the_campaign() {
    let ran = |cases| Plan::new("alarms").run_by(OneSeed, 0..cases, Core).alarms(OneSeed);
    assert!(ran(CASES).has(Alarm::CoverageBelowFloor));
    for cases in [0, 1, 10, 13] {
        assert!(ran(cases).is_empty(), "{cases} cases cannot meet much");
    }
}

/// 9. A panic is not caught.
#[derive(Clone, Copy)]
struct NoCatch;

impl Harness for NoCatch {
    fn run(self, case: &Case, machine: impl MachineUnderTest + Copy) -> Verdict {
        let verdict = world::run(case, machine, STEPS_MAX);
        let panic = verdict.violation.as_ref().and_then(|violation| violation.panic.as_ref());
        assert_eq!(panic, None, "it goes on");
        verdict
    }
}

impl CanarySearch for NoCatch {}

/// A panic is caught, and nothing is said about it.
#[derive(Clone, Copy)]
struct SilentCatch;

impl Harness for SilentCatch {
    fn explore(self, policies: &[Policy], machine: &impl Machine) -> Exploration {
        let mut found = explore(policies, machine);
        found.counterexample =
            found.counterexample.filter(|example| example.property != Property::NoPanic);
        found
    }
}

impl CanarySearch for SilentCatch {}

#[test]
fn a_panic_that_is_not_caught_or_not_found_rings() {
    rings(NoCatch, Alarm::PanicNotCaught);
    rings(SilentCatch, Alarm::PanicNotCaught);
}

/// The exhaustive search finds nothing.
#[derive(Clone, Copy)]
struct NoSearch;

impl Harness for NoSearch {
    fn explore(self, policies: &[Policy], machine: &impl Machine) -> Exploration {
        let mut found = explore(policies, machine);
        found.counterexample = None;
        found
    }
}

impl CanarySearch for NoSearch {}

/// It finds wrong steps, and does not check liveness.
#[derive(Clone, Copy)]
struct NoLongRun;

impl Harness for NoLongRun {
    fn explore(self, policies: &[Policy], machine: &impl Machine) -> Exploration {
        let mut found = explore(policies, machine);
        let is_step = |property| property != Property::StopEnds;
        found.counterexample = found.counterexample.filter(|example| is_step(example.property));
        found
    }
}

impl CanarySearch for NoLongRun {}

#[test]
fn an_exhaustive_search_that_is_blind_rings() {
    let ran = checked(NoSearch);
    assert!(ran.has(Alarm::SearchMissesSteps) && ran.has(Alarm::LivenessNotChecked), "{ran}");
    let ran = checked(NoLongRun);
    assert!(!ran.has(Alarm::SearchMissesSteps) && ran.has(Alarm::LivenessNotChecked), "{ran}");
    // Nothing was explored, hunted or injected.
    let evidence = canary_search::look_for(Standard, &Canary::ALL);
    let ran = check::alarms(Standard, &nothing_done(evidence));
    assert!(ran.has(Alarm::SearchMissesSteps) && ran.has(Alarm::BankTooSmall), "{ran}");
}

const fn nothing_done(evidence: Evidence) -> Checked {
    Checked {
        evidence,
        explored: Vec::new(),
        hunted: Vec::new(),
        cases: 0,
        doubled: 0,
        doubled_due: 0,
        tested: Vec::new(),
    }
}

/// Every row of a check counts its cases against those asked for, whatever the reason of the
/// difference.
#[test]
fn a_check_that_runs_no_case_or_too_few_rings() {
    let nothing = nothing_done(Evidence::default());
    let ran = check::alarms(Standard, &nothing);
    assert!(ran.has(Alarm::CasesMissing), "nothing ran: {ran}");
    let hunted = |cases: u64| check::hunt_races(Standard, 0..cases, Core, || ());
    let whole = Checked { hunted: hunted(3), cases: 3, doubled: 3, doubled_due: 3, ..nothing };
    let ran = check::alarms(Standard, &whole);
    assert!(!ran.has(Alarm::CasesMissing), "all ran: {ran}");
    let rings = |checked: Checked, row: &str| {
        let said = check::alarms(Standard, &checked).to_string();
        assert!(said.contains("ALARM cases-missing") && said.contains(row), "{row}: {said}");
    };
    let mut one_row = whole.clone();
    one_row.hunted[4].hunt.cases = 0;
    rings(one_row, "stop-between-timer-and-spawn: 0 cases ran, and 3 were asked for");
    let mut no_row = whole.clone();
    no_row.hunted.pop();
    rings(no_row, "anything: 0 cases ran");
    rings(Checked { hunted: hunted(0), ..whole.clone() }, "double-stop: 0 cases ran");
    rings(Checked { cases: 4, ..whole.clone() }, "crowd: 3 cases ran, and 4 were asked for");
    rings(Checked { doubled: 0, ..whole }, "second runs: 0 cases ran");
}

/// The cases of one race do not aim at it.
#[derive(Clone, Copy)]
struct NoRace(Race);

impl Harness for NoRace {
    fn draw(self, race: Option<Race>, seed: u64) -> Case {
        let case = generate::draw(race, seed);
        if race == Some(self.0) { Case::new(case.policy) } else { case }
    }
}

impl CanarySearch for NoRace {}

#[test]
fn a_race_that_never_takes_place_rings_and_is_named() {
    for race in Race::ALL {
        let harness = NoRace(race);
        let checked = Checked {
            hunted: check::hunt_races(harness, 0..100, Core, || ()),
            cases: 100,
            ..nothing_done(Evidence::default())
        };
        let ran = check::alarms(harness, &checked);
        let seen = format!("never took place: {race}\n");
        assert!(ran.has(Alarm::CoverageBelowFloor) && ran.to_string().contains(&seen), "{ran}");
        let report = Plan::new("alarms").run_by(harness, 0..CASES, Core);
        let ran = report.alarms(harness);
        assert!(ran.has(Alarm::CoverageBelowFloor), "{race} in a campaign: {ran}");
    }
}

/// A machine that has no answer to a reset.
#[derive(Clone, Copy)]
struct Partial;

impl MachineUnderTest for Partial {}

impl Machine for Partial {
    fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
        assert_ne!(event, Event::ResetRequested, "no answer");
        Core.step(policy, state, event)
    }
}

#[test]
fn a_panic_is_a_finding_of_every_engine_and_no_end_of_it() {
    // In a campaign, which goes on,
    let report = Plan::new("alarms").run(0..200, Partial);
    assert_eq!(report.cases, 200);
    let notes = &report.failures[Property::NoPanic.name()];
    assert!(notes.iter().all(|note| note.panic.as_ref().unwrap().contains("no answer")));
    // The campaign has shrunk the case, and the case can be run again.
    let case: Case = notes[0].case.parse().unwrap();
    assert!(case.inputs.len() <= 2, "{case}");
    let again = world::run(&case, Partial, STEPS_MAX);
    assert_eq!(again.violated(), Some(Property::NoPanic));
    // A property test reports the panic.
    let report = conform::check(Partial, strategy::cases()).unwrap_err().to_string();
    assert!(report.starts_with("FAIL no-panic (I36)"), "{report}");
    assert!(report.contains("\npanic     ") && report.contains("no answer"), "{report}");
    // The exhaustive search reports the panic on every thread.
    let explored = check::explore_family_on(Standard, 2, &Partial, || ());
    for found in explored {
        let example = found.counterexample.unwrap();
        assert_eq!((example.property, example.path.len()), (Property::NoPanic, 1));
        assert!(example.panic.unwrap().contains("no answer"));
    }
}
