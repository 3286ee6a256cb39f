//! The machine printed into the documentation of `monitor-core`: a change of behaviour is a diff.

use std::path::Path;
use std::{env, fs, io};

use tests::table;

const ACCEPT: &str = "If the change is wanted, accept it with\n    INSTA_UPDATE=always cargo test -p tests --test table\nand read the diff.";

/// Compares `page` with the file in `monitor-core/docs`, or writes it there if changes are accepted.
fn same_as_published(name: &str, page: &str) -> io::Result<bool> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../monitor-core/docs").join(name);
    if env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        fs::write(&path, page)?;
    }
    Ok(fs::read_to_string(&path).is_ok_and(|published| published == page))
}

#[test]
fn every_answer_is_as_printed() {
    let page = table::answers().unwrap();
    insta::with_settings!({ description => ACCEPT }, {
        insta::assert_snapshot!("table", page);
    });
    assert!(
        same_as_published("table.md", &page).unwrap(),
        "monitor-core/docs/table.md is old. {ACCEPT}"
    );
}

#[test]
fn every_change_of_phase_is_as_drawn() {
    let page = table::diagrams().unwrap();
    insta::with_settings!({ description => ACCEPT }, {
        insta::assert_snapshot!("states", page);
    });
    assert!(
        same_as_published("states.md", &page).unwrap(),
        "monitor-core/docs/states.md is old. {ACCEPT}"
    );
}
