//! Runs one race on the virtual system: a stop is requested in the very moment at which the process ends.
//!
//! The case is data: the text can be kept as a regression test, and `monitor-sim replay` draws it.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use monitor_os::Core;
use monitor_sim::case::Case;
use monitor_sim::world;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let case: Case = "
        policy preset=docker restart=always
        process rest lives=1s exits=code=1
        0ms start
        1s stop
    "
    .parse()?;
    let verdict = world::run(&case, Core, 100);
    for line in &verdict.trace {
        println!("{:>5} ms  {} -> {}", line.at.as_millis(), line.event, line.step.state.phase());
    }
    verdict.violation.map_or(Ok(()), |violation| Err(violation.into()))
}
