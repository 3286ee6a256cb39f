//! A case as a Rust test.

use std::fmt::Write as _;

use crate::case::definition::Case;

/// Prints the case as a complete Rust test for any crate that depends on `monitor-sim`.
#[must_use]
pub fn rust_test(case: &Case) -> String {
    let mut text = String::from("#[test]\nfn this_case_violates_nothing() {\n");
    text.push_str("    let case: monitor_sim::case::Case = \"\n");
    for line in case.to_string().lines() {
        // Writing to a string cannot fail.
        let _unfailing = writeln!(text, "        {line}");
    }
    text.push_str("    \"\n    .parse()\n    .unwrap();\n");
    text.push_str("    let verdict = monitor_sim::world::run(&case, monitor_os::Core, 400);\n");
    text.push_str("    assert_eq!(verdict.violated(), None);\n}\n");
    text
}
