//! Every case in `sim/cases` does what it says, step by step, and violates nothing.

use std::path::Path;
use std::{env, fs};

use monitor_os::Core;
use monitor_sim::case::Case;
use monitor_sim::oracle::expectation;
use monitor_sim::world::{self, STEPS_MAX};

#[test]
fn every_case_is_as_it_expects() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 20, "the cases are gone");
    for path in paths {
        let name = path.display();
        let text = fs::read_to_string(&path).unwrap();
        let case: Case = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        let verdict = world::run(&case, Core, STEPS_MAX);
        assert_eq!(verdict.violated(), None, "{name}");
        if env::var_os("UPDATE_CASES").is_some() {
            fs::write(&path, expectation::rewrite(&text, &case, &verdict.trace)).unwrap();
            continue;
        }
        assert!(!case.expected.steps.is_empty(), "{name} expects nothing: run with UPDATE_CASES=1");
        if let Err(difference) = expectation::compare(&case, &verdict.trace) {
            panic!("{name}: {difference}\nUPDATE_CASES=1 accepts what happens; read the diff");
        }
    }
}
