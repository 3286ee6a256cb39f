//! The steps of a recorded unit, to be drawn.

use std::io::BufRead;

use monitor_core::{Policy, State};
use monitor_os::record::{RecordError, RecordLine, RecordReader};
use monitor_os::{Moment, UnitId};

use crate::oracle::trace::TraceLine;

/// Returns the steps of the first unit of a record by the machine, and the policy in force at each
/// step.
///
/// # Errors
/// A line cannot be read.
pub fn trace(
    reader: &mut RecordReader<impl BufRead>,
) -> Result<(Vec<TraceLine>, Vec<Policy>), RecordError> {
    let mut trace = Vec::new();
    let mut policies = Vec::new();
    let mut first: Option<(UnitId, Policy, State)> = None;
    while let Some((_, line)) = reader.read()? {
        match (line, &mut first) {
            (RecordLine::Head { unit, policy, state, .. }, first)
                if first.is_none_or(|first| first.0 == unit) =>
            {
                *first = Some((unit, policy, state));
            }
            (RecordLine::PolicyChanged { unit, policy, .. }, Some(known)) if unit == known.0 => {
                known.1 = policy;
            }
            (RecordLine::Step(recorded), Some((unit, policy, state))) if recorded.unit == *unit => {
                let (before, event) = (*state, recorded.event);
                let step = policy.step(before, event);
                *state = step.state;
                let at = Moment::from_nanos(recorded.at_us.saturating_mul(NANOS_PER_MICRO));
                trace.push(TraceLine { at, unit: *unit, event, before, step });
                policies.push(*policy);
            }
            (
                RecordLine::Head { .. } | RecordLine::PolicyChanged { .. } | RecordLine::Step(_),
                _,
            ) => {}
        }
    }
    Ok((trace, policies))
}

const NANOS_PER_MICRO: u64 = 1_000;
