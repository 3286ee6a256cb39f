//! A counterexample as text.

use std::fmt::Write as _;

use monitor_core::Policy;
use monitor_os::Machine;

use super::trace_table::{ruled, untimed};
use crate::model::exploration;
use crate::model::finding::Counterexample;
use crate::oracle::comparison;
use crate::oracle::verdict::Oracle;

/// Prints a shortest path to a violation. The answer of the reference machine follows the first
/// step that differs from it.
#[must_use]
pub fn counterexample(
    policies: &[Policy],
    machine: &impl Machine,
    oracle: Oracle,
    example: &Counterexample,
) -> String {
    let mut text = format!(
        "FAIL {oracle}\nby exhaustive search: no shorter case exists ({} inputs)\n",
        example.path.len()
    );
    // Writing to a string cannot fail.
    if let Some(panic) = &example.panic {
        let _unfailing = writeln!(text, "panic     {panic}");
    }
    for policy in policies {
        let _unfailing = writeln!(text, "    policy {policy}");
    }
    if example.lap > 0 {
        let _unfailing = writeln!(
            text,
            "the last {} inputs can be repeated for ever, marked below",
            example.lap
        );
    }
    let steps = exploration::walk(policies, machine, &example.path);
    let mut right_so_far = true;
    for (index, (policy, event, before, step)) in steps.iter().enumerate() {
        let mark = if index + example.lap.max(1) >= steps.len() { '>' } else { ' ' };
        let _unfailing = writeln!(text, "{mark} {}", untimed(*event, *before, *step));
        if !right_so_far {
            continue;
        }
        if let Err(mismatch) = comparison::compare(&policies[*policy], *before, *event, *step) {
            right_so_far = false;
            let (phases, actions) = ruled(&mismatch, *before);
            let _unfailing = writeln!(text, "  {:<32}  {phases:<24} {actions}", "the rules say:");
        }
    }
    text
}
