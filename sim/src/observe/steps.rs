//! Scripts and steps that several scenarios share.

use monitor_core::{Exit, Millis, Signal};

use super::rules;
use super::scenario::Step::{self, Answers, Ask, BeforeRestart, Begun, Down, Pause, Send};
use super::supervisor::Request::{Restart, Start, Stop};
use super::supervisor::{StopGrace, Supervisor};
use crate::case::script::{OnStop, Script};

/// A run that lives until it is stopped.
pub(super) const STEADY: Script = Script::OBEDIENT;

/// A run that ends at once with code 1.
pub(super) const QUICK: Script =
    Script { lives: Some(Millis::new(50)), exits: Exit::Code(1), ..STEADY };

/// A run that ends a while after the stop signal, and before any grace.
pub(super) const SLOW: Script = Script { on_stop: OnStop::Dies(Millis::new(1_500)), ..STEADY };

/// A run that ignores the stop signal.
pub(super) const STUBBORN: Script = Script { on_stop: OnStop::Ignores, ..STEADY };

/// A run that ends itself by a signal that cannot be caught.
pub(super) const KILLED: Exit = Exit::Signal(Signal::KILL);

/// A run that lives long enough not to count as quick, then ends.
pub(super) const fn settled(supervisor: &Supervisor, exits: Exit) -> Script {
    let lives = supervisor.restarts.settles.0.saturating_add(Millis::new(500));
    Script { lives: Some(lives), exits, ..STEADY }
}

/// So many scripts, then another.
pub(super) fn then(count: usize, script: Script, last: Script) -> Vec<Script> {
    let mut scripts = vec![script; count];
    scripts.push(last);
    scripts
}

/// The number of delays to measure: all that are declared, at least three, and none that the limit
/// forbids.
pub(super) fn measured_delays(supervisor: &Supervisor) -> usize {
    let declared = supervisor.restarts.delays.len().max(3);
    match &supervisor.limit {
        Some(_) => declared.min(rules::runs_to_limit(supervisor) - 1),
        None => declared,
    }
}

pub(super) const fn half_the_grace(supervisor: &Supervisor) -> Millis {
    match supervisor.stop.grace {
        StopGrace::After(grace) => Millis::new(grace.as_u32() / 2),
        StopGrace::Never => Millis::ZERO,
    }
}

/// The time until the end of a run is not quick any more.
pub(super) const fn settling(supervisor: &Supervisor) -> Step {
    Pause(supervisor.restarts.settles.0.saturating_add(Millis::new(500)))
}

/// A run that leaves a member of its group.
pub(super) const fn leaving(member: OnStop, script: Script) -> Script {
    Script { leaves: Some(member), ..script }
}

/// Rounds of a quick end and a stop, each a little closer to the restart.
pub(super) fn rounds() -> Vec<Step> {
    let leads = [150, 60, 20, 0];
    let mut steps = Vec::new();
    for (nth, lead) in leads.into_iter().enumerate() {
        if nth > 0 {
            steps.push(Ask(Start));
        }
        steps.extend([BeforeRestart(Millis::new(lead)), Ask(Stop), Down]);
    }
    steps
}

/// A burst of requests, all answered, then others.
pub(super) fn burst(last: &[Step]) -> Vec<Step> {
    let gap = Pause(Millis::new(30));
    let requests = [Restart, Stop, Start, Restart, Restart, Stop, Start];
    let sent = requests.into_iter().flat_map(|request| [Send(request), gap]);
    std::iter::once(Begun(1)).chain(sent).chain([Answers]).chain(last.iter().copied()).collect()
}
