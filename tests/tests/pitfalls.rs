//! The tests that `docs/PITFALLS.md` names exist.

use std::fs;
use std::path::Path;

#[test]
fn every_test_that_is_named_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let table = fs::read_to_string(root.join("docs/PITFALLS.md")).unwrap();
    let mut sources = String::new();
    for folder in ["monitor-os/src", "monitor-os/tests", "monitor-os/cli", "sim/tests"] {
        read_all(&root.join(folder), &mut sources);
    }
    let rows = table.lines().filter(|line| line.matches('|').count() == 5);
    let named = rows.flat_map(|row| row.rsplit('|').nth(1).unwrap().split('`').skip(1).step_by(2));
    let named: Vec<&str> = named.collect();
    assert!(named.len() > 40, "only {} tests are named", named.len());
    for name in named {
        assert!(sources.contains(&format!("fn {name}()")), "there is no test `{name}`");
    }
}

fn read_all(folder: &Path, into: &mut String) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            read_all(&path, into);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            into.push_str(&fs::read_to_string(path).unwrap_or_default());
        }
    }
}
