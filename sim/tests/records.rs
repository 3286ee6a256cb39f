//! The judge of records accepts each sound record, and finds each damage.

use std::collections::BTreeMap;

use monitor_os::record::RecordReader;
use monitor_sim::case::{Case, InputKind};
use monitor_sim::conform::record::{RecordFault, RecordSummary, Tolerance, mutants, record};
use monitor_sim::generate::{self, Race};
use monitor_sim::world::{self, STEPS_MAX};

/// The record of a case in the virtual world.
fn recorded(case: &Case) -> String {
    let mut out = Vec::new();
    let written = world::record(case, STEPS_MAX, &mut out);
    assert!(written.is_ok(), "{written:?}");
    String::from_utf8_lossy(&out).into_owned()
}

fn judged(text: &str) -> Result<RecordSummary, RecordFault> {
    record(&mut RecordReader::new(text.as_bytes()), Tolerance::default())
}

/// Draws a case whose environment keeps the contract: without made-up facts.
fn sound_case(seed: u64) -> Case {
    let race = Race::ALL.get(seed as usize % (2 * Race::ALL.len())).copied();
    let mut case = generate::draw(race, seed);
    let made_up = |kind| matches!(kind, InputKind::Event(event) if !event.is_request());
    case.inputs.retain(|input| !made_up(input.kind));
    case
}

#[test]
fn a_sound_record_raises_no_false_alarm() {
    let mut crashes = 0;
    for seed in 0..10_000 {
        let text = recorded(&sound_case(seed));
        crashes += text.matches(r#""event":"recovered"#).count();
        if let Err(fault) = judged(&text) {
            panic!("seed {seed}: {fault}\n{text}");
        }
    }
    assert!(crashes > 1_000, "the records have {crashes} crashes only");
}

/// A start whose time is lengthened, and is over all the same.
const EXTENDED: &str = "
    policy readiness=notify start-timeout=1s
    process lives=1m
    0ms start
    500ms extended #1 2s
    4s stop
";

#[test]
fn each_damage_is_found_by_its_rule() {
    let mut found: BTreeMap<&str, u32> = mutants().iter().map(|mutant| (mutant.name, 0)).collect();
    let extended: Case = EXTENDED.parse().unwrap();
    let drawn = (0..1_000).map(sound_case);
    for (number, case) in std::iter::once(extended).chain(drawn).enumerate() {
        let text = recorded(&case);
        for mutant in mutants() {
            let Some(damaged) = mutant.damage(&text) else { continue };
            match judged(&damaged) {
                Err(RecordFault::Violation(violation)) if violation.rule == mutant.rule => {
                    *found.entry(mutant.name).or_default() += 1;
                }
                other => panic!("case {number}: {}: {other:#?}\n{damaged}", mutant.name),
            }
        }
    }
    assert!(found.values().all(|&times| times > 0), "{found:#?}");
}
