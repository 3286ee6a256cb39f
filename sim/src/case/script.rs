//! The script of a process.

use monitor_core::{Exit, Millis, StartFailure};

/// The behaviour of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// The course of its start.
    pub start: Start,
    /// Its lifetime if it gets no signal; `None` for ever.
    pub lives: Option<Millis>,
    /// Its exit at the end of that lifetime.
    pub exits: Exit,
    /// Its reaction to the stop signal.
    pub on_stop: OnStop,
    /// The reaction to the stop signal of a group member that outlives it; `None` without such a
    /// member.
    pub leaves: Option<OnStop>,
    /// The time from its spawn to its readiness; `None` never.
    pub ready: Option<Millis>,
    /// The interval of its pings; `None` never.
    pub pings: Option<Millis>,
    /// The interval of its requests for more time, each for twice the interval; `None` never.
    pub extends: Option<Millis>,
    /// The time from its spawn to a failed health check; `None` never.
    pub unhealthy: Option<Millis>,
    /// The notice of its end to the monitor.
    pub notice: ExitNotice,
    /// The delivery of signals to it and its group.
    pub signals: SignalDelivery,
    /// The time for which a child holds its output open after its end.
    pub output: Option<OutputHold>,
}

/// A notice of the end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitNotice {
    /// A notice at once. Ends at one moment share one notice.
    Once,
    /// A notice at once, and a second notice a millisecond later.
    Twice,
    /// A notice after this delay.
    Late(Millis),
    /// No notice until the faults stop.
    Lost,
}

/// The delivery of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalDelivery {
    /// The signal is delivered.
    Delivered,
    /// The kernel refuses the signal (EPERM) until the faults stop.
    Refused,
    /// Another process has just reaped the ended process (ESRCH), so its exit is not known.
    Missed,
}

/// The time for which an output is held open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputHold {
    /// This long.
    For(Millis),
    /// Until the faults stop.
    ForEver,
}

/// The course of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The process exists, and the start is acknowledged after this delay. The process may have
    /// ended before.
    After(Millis),
    /// The start fails, which is known after this delay.
    Fails(Millis, StartFailure),
}

/// The reaction of a process to a stop signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStop {
    /// Dies of the signal after this delay.
    Dies(Millis),
    /// Ignores the signal.
    Ignores,
}

impl Script {
    /// A process that starts at once, lives for ever, and dies of the stop signal at once.
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

    /// Returns whether the script has a fault that `stop-faults` ends.
    #[must_use]
    pub fn is_faulty(&self) -> bool {
        self.notice != ExitNotice::Once
            || self.signals != SignalDelivery::Delivered
            || self.output.is_some()
    }

    /// Returns the scripts with one fault less each.
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
