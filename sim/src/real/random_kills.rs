//! Kills the monitor at random moments. The next monitor must find the running process, and never
//! start a second.

use std::io;
use std::path::Path;
use std::time::Duration;

use monitor_core::{Exit, Millis};

use super::crash_session::{CrashSession, SessionEnd, pause};
use crate::case::script::{OnStop, Script};
use crate::generate::choices::{Choices as _, Seeded};

/// The result of killed monitors.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Kills {
    /// Monitors that were killed.
    pub killed: u32,
    /// Monitors that were killed while their process lived.
    pub orphans: u32,
    /// Runs of the processes.
    pub runs: u32,
    /// The faults.
    pub faults: Vec<String>,
}

/// Kills a monitor so many times, then lets the next one go on, and stops that.
///
/// `monitor` is that program, `program` one that calls [`enter`](super::enter). What the process
/// does, and when the monitor dies, is drawn from `seed`; but the time is real.
///
/// # Errors
/// No temporary folder can be made, or a program cannot be started.
pub fn kill_monitors(monitor: &Path, program: &Path, seed: u64, times: u32) -> io::Result<Kills> {
    let mut choices = Seeded::new(seed);
    let moment = [0, 1, 2, 3, 5, 8, 13, 21].map(Millis::new);
    let script = Script {
        lives: (choices.below(2) == 0).then(|| choices.pick(&moment)),
        exits: choices.pick(&[Exit::Code(0), Exit::Code(1)]),
        on_stop: choices.pick(&[
            OnStop::Dies(Millis::ZERO),
            OnStop::Dies(Millis::new(5)),
            OnStop::Ignores,
        ]),
        leaves: (choices.below(4) == 0).then_some(OnStop::Dies(Millis::ZERO)),
        ..Script::OBEDIENT
    };
    let session = CrashSession::new(monitor, program, script)?;
    let mut kills = Kills::default();
    for _ in 0..times {
        let mut running = session.command()?.spawn()?;
        // Most of what can go wrong does so in the first milliseconds of a monitor or of a run.
        let micros = u64::from(choices.below(30_000));
        pause(Duration::from_micros(micros));
        running.kill()?;
        running.wait()?;
        kills.killed += 1;
        kills.orphans += u32::from(session.remembered()?.is_some_and(|unit| unit.pid.is_some()));
    }
    kills.faults = session.finish(SessionEnd::Asked)?.faults;
    kills.runs = session.begun()?;
    Ok(kills)
}
