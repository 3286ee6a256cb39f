//! The smallest driver: it asks the machine, obeys, and jumps to the next deadline when nothing else is pending.
//!
//! The job stands for a process: it fails twice, then succeeds.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::{BTreeMap, VecDeque};

use monitor_core::{Action, Event, Exit, Monitor, Policy, Remains, RunId};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let policy: Policy = "restart=on-failure retries=5 backoff=exponential:100ms*2<=1m".parse()?;
    let mut monitor = Monitor::new(policy);
    let mut now_ms = 0;
    // One deadline for each slot: arming a timer replaces the one before.
    let mut timers = BTreeMap::new();
    let mut events = VecDeque::from([Event::StartRequested]);
    loop {
        let event = if let Some(event) = events.pop_front() {
            event
        } else if let Some((slot, (timer, due_ms))) =
            timers.iter().map(|(&slot, &entry)| (slot, entry)).min_by_key(|&(_, (_, due))| due)
        {
            timers.remove(&slot);
            now_ms = due_ms;
            Event::TimerFired { timer }
        } else {
            break;
        };
        monitor.handle(event).for_each(|action| match action {
            Action::Spawn { run } => {
                events.push_back(Event::Started { run });
                events.push_back(Event::Exited { run, exit: job(run) });
            }
            Action::Release { run, .. } => {
                events.push_back(Event::Released { run, remains: Remains::Nothing });
            }
            Action::Arm { timer, delay } => {
                // A real driver draws the jitter; this one takes the shortest delay.
                let due_ms = now_ms + u64::from(delay.base.as_u32());
                timers.insert(timer.kind.slot(), (timer, due_ms));
            }
            Action::Disarm { slot } => {
                timers.remove(&slot);
            }
            // No stop is requested here, nothing outlives the loop that a state could be saved for, and a
            // job has no health check.
            Action::Signal { .. }
            | Action::CancelSpawn { .. }
            | Action::Abandon { .. }
            | Action::AwaitReady { .. }
            | Action::BeginService { .. }
            | Action::EndService { .. }
            | Action::Shorten { .. }
            | Action::Lengthen { .. }
            | Action::Persist(_) => {}
            Action::Emit(lifecycle) => println!("{now_ms:>5} ms  {lifecycle}"),
        });
    }
    println!("          {}", monitor.explain());
    Ok(())
}

/// The exit of a run.
fn job(run: RunId) -> Exit {
    Exit::Code(if run < RunId::new(3) { 7 } else { 0 })
}
