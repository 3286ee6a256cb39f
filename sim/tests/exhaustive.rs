//! Every reachable state of the machine, under every policy of the family, breaks no property; and the
//! search can fail, because it finds each bug that is put in.

use monitor_os::Core;
use monitor_sim::check;
use monitor_sim::family::family;
use monitor_sim::model;
use monitor_sim::saboteur::Saboteur;
use monitor_sim::screen;

#[test]
fn no_reachable_state_breaks_a_property() {
    let explored = check::explore_family(&Core, || {});
    assert_eq!(explored.len(), family().len());
    for found in explored {
        if let Some(example) = found.counterexample {
            let policies = &found.member.policies;
            panic!("{}\n{}", found.member.name, screen::counterexample(policies, &Core, &example));
        }
        assert!(found.states > 50, "{}: the search has stopped short", found.member.name);
    }
}

#[test]
fn every_bug_put_in_is_found_with_a_shortest_case() {
    for saboteur in Saboteur::ALL {
        let shortest = family().into_iter().find_map(|member| {
            model::explore(&member.policies, &saboteur).counterexample.map(|found| found.path.len())
        });
        assert!(shortest.is_some_and(|inputs| inputs <= 6), "{saboteur}: {shortest:?}");
    }
}

#[test]
fn equal_searches_count_the_same() {
    let policy = [family()[0].policies[0]];
    let (first, second) = (model::explore(&policy, &Core), model::explore(&policy, &Core));
    assert_eq!((first.nodes, first.transitions), (second.nodes, second.transitions));
    assert_eq!(first.phase_changes, second.phase_changes);
}
