//! Chooses what `real` runs: cases, cycles or kills.

use anstream::eprintln;
use monitor_os::Launcher;

use super::options::RealArguments;
use super::{cases, cycles, kills};
use crate::exit_status::INTERNAL;

/// Runs what the arguments ask for; returns the exit status.
pub(crate) fn real(arguments: &RealArguments, launcher: &Launcher) -> u8 {
    let code = if let Some(cycles) = arguments.cycles {
        cycles::cycle(launcher, cycles)
    } else if let Some(times) = arguments.kills {
        kills::kill(arguments, times)
    } else if let Some(every) = arguments.steps {
        kills::step(arguments, every)
    } else if arguments.files.is_empty() {
        cases::drawn(arguments, launcher)
    } else {
        cases::given(arguments, launcher)
    };
    code.unwrap_or_else(|error| {
        eprintln!(
            "monitor-sim: {error}: the kernel's own limits are in the way, or /proc is missing"
        );
        INTERNAL
    })
}
