//! Every reachable state of the machine, under every policy of the family, breaks no property; and
//! the search can fail, because it finds each bug that is injected.

use std::path::{Path, PathBuf};
use std::{env, fs};

use monitor_os::Core;
use monitor_sim::bugs::{Layer, bank};
use monitor_sim::model::{self, family};
use monitor_sim::oracle::Oracle;
use monitor_sim::report;
use monitor_sim::search::harness::Standard;
use monitor_sim::verification::check::{self, Explored};

#[test]
fn no_reachable_state_breaks_a_property() {
    let explored = check::explore_family_on(Standard, 3, &Core, || {});
    assert_eq!(explored.len(), family().len());
    if env::var_os("UPDATE_COUNTS").is_none() {
        assert_eq!(counts(&explored), fs::read_to_string(record()).unwrap());
    }
    for found in explored {
        if let Some(example) = found.counterexample {
            let policies = &found.member.policies;
            let oracle = Oracle::Property(example.property);
            let report = report::counterexample(policies, &Core, oracle, &example);
            panic!("{}\n{report}", found.member.name);
        }
        assert!(found.states > 50, "{}: the search has stopped short", found.member.name);
    }
}

#[test]
fn every_bug_put_in_is_found_with_a_shortest_case() {
    for bug in bank::self_test().filter(|bug| bug.layer == Layer::Core) {
        let found = family().into_iter().find_map(|member| {
            let example = model::explore(&member.policies, &bug).counterexample?;
            Some((member.policies, example))
        });
        let (policies, example) = found.unwrap_or_else(|| panic!("{bug} was not found"));
        let oracle = Oracle::Property(example.property);
        let report = report::counterexample(&policies, &bug, oracle, &example);
        assert!(example.path.len() <= 6, "{bug}:\n{report}");
        assert_eq!(report.matches("the rules say:").count(), 1, "{bug}:\n{report}");
    }
}

/// A change of the machine, of the oracles or of the environment shows as a diff of these numbers;
/// the number of threads does not.
#[test]
fn the_counts_are_the_ones_on_record() {
    let path = record();
    let one_thread = counts(&check::explore_family_on(Standard, 1, &Core, || {}));
    if env::var_os("UPDATE_COUNTS").is_some() {
        fs::write(&path, &one_thread).unwrap();
    }
    assert_eq!(one_thread, fs::read_to_string(&path).unwrap(), "UPDATE_COUNTS=1 accepts the left");
}

fn record() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exhaustive.txt")
}

fn counts(explored: &[Explored]) -> String {
    let mut text = format!(
        "{:<52} {:>8} {:>13} {:>11} {:>10} {:>10}\n",
        "policy", "states", "search states", "transitions", "effective", "race pairs"
    );
    for found in explored {
        let Explored { states, search_states, transitions, effective, race_pairs, .. } = found;
        text += &format!(
            "{:<52} {states:>8} {search_states:>13} {transitions:>11} {effective:>10} {race_pairs:>10}\n",
            found.member.name
        );
    }
    text
}
