//! What one process of a case does.

use monitor_core::{Exit, Millis, StartFailure};

/// What one process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// How its start goes.
    pub start: Start,
    /// How long it lives if it is left alone; `None` for ever.
    pub lives: Option<Millis>,
    /// How it ends then.
    pub exits: Exit,
    /// What it does when asked to stop.
    pub on_stop: OnStop,
    /// Whether it leaves something that outlives it, and what that does when asked to stop.
    pub leaves: Option<OnStop>,
    /// When it says that it serves, from its spawn; `None` never.
    pub ready: Option<Millis>,
    /// How often it sends a ping; `None` never.
    pub pings: Option<Millis>,
    /// How often it asks for more time, each time for twice that; `None` never.
    pub extends: Option<Millis>,
    /// When a health check fails, from its spawn; `None` never.
    pub unhealthy: Option<Millis>,
    /// How the monitor is notified of its end.
    pub notice: ExitNotice,
    /// What becomes of signals to it and its group.
    pub signals: SignalDelivery,
    /// For how long something that it started holds its output open after its end.
    pub output: Option<OutputHold>,
}

/// How a monitor is notified of the end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitNotice {
    /// At once. Of ends at the same moment there is one notice.
    Once,
    /// At once, and again a millisecond later.
    Twice,
    /// So much later.
    Late(Millis),
    /// Not at all, until the faults stop.
    Lost,
}

/// What becomes of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalDelivery {
    /// It is delivered.
    Delivered,
    /// The monitor may not send it (EPERM), until the faults stop.
    Refused,
    /// The process has just ended and was reaped by another process (ESRCH): how it ended is not known.
    Missed,
}

/// For how long an output is held open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputHold {
    /// So long.
    For(Millis),
    /// Until the faults stop.
    ForEver,
}

/// How a start goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The process exists, and it is acknowledged so much later; it may be dead by then.
    After(Millis),
    /// There is no process, which is known so much later.
    Fails(Millis, StartFailure),
}

/// What a process does when it is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStop {
    /// Dies of the signal so much later.
    Dies(Millis),
    /// Nothing.
    Ignores,
}

impl Script {
    /// Starts at once, lives for ever, dies of the stop signal at once.
    pub const OBEDIENT: Self = Self {
        start: Start::After(Millis::ZERO),
        lives: None,
        exits: Exit::Code(0),
        on_stop: OnStop::Dies(Millis::ZERO),
        leaves: None,
        ready: None,
        pings: None,
        extends: None,
        unhealthy: None,
        notice: ExitNotice::Once,
        signals: SignalDelivery::Delivered,
        output: None,
    };

    /// Whether it has a fault that `stop-faults` ends.
    #[must_use]
    pub fn is_faulty(&self) -> bool {
        self.notice != ExitNotice::Once
            || self.signals != SignalDelivery::Delivered
            || self.output.is_some()
    }

    /// The same with one fault less each.
    pub fn without_a_fault(self) -> impl Iterator<Item = Self> {
        let plain = Self::OBEDIENT;
        [
            Self { notice: plain.notice, ..self },
            Self { signals: plain.signals, ..self },
            Self { output: plain.output, ..self },
        ]
        .into_iter()
        .filter(move |simpler| *simpler != self)
    }
}
