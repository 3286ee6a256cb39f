//! The policy in force at each step of a run.

use monitor_core::{Event, Policy};
use monitor_os::Moment;

use super::trace::TraceLine;
use crate::case::definition::Case;
use crate::case::input::{InputKind, TimedInput};

/// The policy in force at each step of a run of the case.
#[must_use]
pub fn policies(case: &Case, trace: &[TraceLine]) -> Vec<Policy> {
    (0..trace.len()).map(|index| policy_at(case, trace, index)).collect()
}

/// The last policy that was put in force by then.
fn policy_at(case: &Case, trace: &[TraceLine], index: usize) -> Policy {
    let TraceLine { unit, at, .. } = trace[index];
    let its = |input: &&TimedInput| u32::from(input.unit) == unit.as_u32();
    let given = case.inputs.iter().filter(its).filter_map(|input| {
        let due = at >= Moment::ORIGIN.after(input.at);
        if let InputKind::Policy(policy) = input.kind { due.then_some(policy) } else { None }
    });
    // Of several at one moment those that come later are not in force yet.
    let changes = |line: &&TraceLine| line.unit == unit && line.event == Event::PolicyChanged;
    let later = trace[index + 1..].iter().take_while(|line| line.at == at).filter(changes).count();
    let given: Vec<Policy> = given.collect();
    let last = given.len().checked_sub(1 + later);
    last.map_or_else(|| *case.unit(unit.as_u32() as usize).0, |last| given[last])
}
