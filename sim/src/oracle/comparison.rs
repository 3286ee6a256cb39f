//! Compares a step of the machine with the reference machine.

use std::fmt;

use monitor_core::{Action, Event, Millis, Note, Policy, State, Step, TimerKind};

use super::reference::rules::step;
use super::reference::state::{RefAction, RefService, RefState, RefTimer};

/// A step in which a machine and the reference machine differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Mismatch {
    /// The policy.
    pub policy: Policy,
    /// The state before.
    pub state: State,
    /// The event.
    pub event: Event,
    /// The answer of the machine.
    pub step: Step,
    /// The answer of the reference machine.
    pub expected: (RefState, Vec<RefAction>, Note),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, state, event, step, expected: (unit, actions, note) } = self;
        writeln!(f, "policy {policy}\nin {state}, at {event}")?;
        writeln!(f, "machine   {}, {:?}", step.note.name(), step.state)?;
        step.for_each(|action| {
            // The formatter's error comes back with the next line.
            let _written = write!(f, "  {action}");
        });
        writeln!(f, "\nreference {}, {} {unit:?}", note.name(), unit.phase())?;
        write!(f, "  {actions:?}")
    }
}

impl std::error::Error for Mismatch {}

/// Compares one answer of a machine with that of the reference machine.
///
/// # Errors
/// [`Mismatch`] if phase, reason, outcome, a counter, the note or a command differs.
pub fn compare(
    policy: &Policy,
    state: State,
    event: Event,
    answer: Step,
) -> Result<(), Box<Mismatch>> {
    let expected = step(policy, &RefState::from(state), event);
    let mut commands = Vec::new();
    answer.for_each(|action| commands.push(translate(action)));
    let agree = RefState::from(answer.state).view() == expected.0.view()
        && answer.note == expected.2
        && commands.len() == expected.1.len()
        && commands.iter().zip(&expected.1).all(|(&a, &b)| alike(a, b));
    if agree {
        return Ok(());
    }
    Err(Box::new(Mismatch { policy: *policy, state, event, step: answer, expected }))
}

const fn translate(action: Action) -> RefAction {
    match action {
        Action::Persist(_) => RefAction::Save,
        Action::Spawn { run } => RefAction::Spawn(run.as_u32()),
        Action::Signal { run, signal, scope } => RefAction::Signal(run.as_u32(), signal, scope),
        Action::Release { run, signal, scope } => RefAction::Release(run.as_u32(), signal, scope),
        Action::CancelSpawn { run, signal } => RefAction::Cancel(run.as_u32(), signal),
        Action::Abandon { run } => RefAction::Abandon(run.as_u32()),
        Action::AwaitReady { run } => RefAction::Service(run.as_u32(), RefService::Awaited),
        Action::BeginService { run } => RefAction::Service(run.as_u32(), RefService::Begins),
        Action::EndService { run } => RefAction::Service(run.as_u32(), RefService::Ends),
        Action::Disarm { slot } => RefAction::Timer(slot, RefTimer::Empty),
        Action::Arm { timer, delay } => {
            RefAction::Timer(timer.kind.slot(), RefTimer::Set(timer.kind, delay))
        }
        Action::Shorten { timer, delay } => {
            RefAction::Timer(timer.kind.slot(), RefTimer::Sooner(timer.kind, delay))
        }
        Action::Lengthen { timer, delay } => {
            RefAction::Timer(timer.kind.slot(), RefTimer::Later(timer.kind, delay))
        }
        Action::Emit(lifecycle) => RefAction::Emit(lifecycle),
    }
}

/// Compares two actions. Delays of the backoff may differ by a millisecond per day.
pub(super) fn alike(a: RefAction, b: RefAction) -> bool {
    use RefTimer::Set;
    use TimerKind::Backoff;
    match (a, b) {
        (RefAction::Timer(_, Set(Backoff, a)), RefAction::Timer(_, Set(Backoff, b))) => {
            let near = |a: Millis, b: Millis| {
                a.as_u32().abs_diff(b.as_u32()) <= 1 + a.as_u32() / 86_400_000
            };
            near(a.base, b.base) && near(a.jitter, b.jitter)
        }
        (a, b) => a == b,
    }
}

/// A comparison of one answer with the reference machine, such as [`compare`].
pub type Compare = fn(&Policy, State, Event, Step) -> Result<(), Box<Mismatch>>;
