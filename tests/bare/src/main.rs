//! Runs the machine of `monitor-core` with nothing but the processor: no std, no allocator and no C library.
//!
//! It ends with 0 if the machine decides as it should: a failed run is restarted, and a stop in the backoff is final.
#![no_std]
#![no_main]

mod processor;

use monitor_core::{Event, Exit, Monitor, Phase, Policy, Remains, RunId};

/// Where the kernel begins to run the program.
fn main() -> u8 {
    let Ok(policy) = "preset=docker restart=always".parse::<Policy>() else { return 1 };
    let mut monitor = Monitor::new(policy);
    let run = RunId::new(1);
    let events = [
        (Event::StartRequested, Phase::Starting),
        (Event::Started { run }, Phase::Running),
        (Event::Exited { run, exit: Exit::Code(7) }, Phase::Releasing),
        (Event::Released { run, remains: Remains::Nothing }, Phase::BackingOff),
        (Event::stop(), Phase::Stopped),
    ];
    for (event, phase) in events {
        if monitor.handle(event).state.phase() != phase {
            return 2;
        }
    }
    0
}
