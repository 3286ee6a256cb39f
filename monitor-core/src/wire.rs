//! The fixed-width byte form of states and events, for stores, journals, other languages and
//! fuzzing.
//!
//! The form is little-endian, and its first byte is [`VERSION`]. Values that
//! [`Policy::step`](crate::Policy::step) cannot make are refused.

use core::fmt;

use crate::event::{Event, Found, Grace, Origin, Remains, StopMode};
use crate::exit::{Exit, Outcome, StartFailure};
use crate::run::{RunId, TimerKind, TimerToken};
use crate::signal::Signal;
use crate::state::{Phase, Reason, State};
use crate::time::Millis;

/// The version of both forms. A changed form gets a new version, which is part of the contract of
/// the crate.
pub const VERSION: u8 = 1;

/// The reason why bytes are no state or no event. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes are too few or too many.
    Length {
        /// The number of bytes found.
        found: usize,
        /// The required number of bytes.
        expected: usize,
    },
    /// Another version wrote the bytes.
    Version {
        /// The version found; this crate reads [`VERSION`].
        found: u8,
    },
    /// One byte has no meaning at its position.
    Byte {
        /// The field.
        field: &'static str,
        /// Its position, from 0.
        position: usize,
        /// Its value.
        found: u8,
    },
    /// Each field is possible, but not in this combination.
    Inconsistent {
        /// The phase found.
        phase: Phase,
        /// The reason found.
        reason: Reason,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { found, expected } => {
                write!(f, "length: {found} bytes are not possible: give exactly {expected}")
            }
            Self::Version { found } => write!(
                f,
                "version: {found} is not readable here: use the release that wrote it, or start afresh (this one reads {VERSION})"
            ),
            Self::Byte { field, position, found } => write!(
                f,
                "{field}: byte {position} is {found:#04x}, which means nothing there: the record is damaged"
            ),
            Self::Inconsistent { phase, reason } => write!(
                f,
                "state: phase {phase} cannot go with reason {reason} and the rest: the record is damaged"
            ),
        }
    }
}

impl core::error::Error for DecodeError {}

impl State {
    /// The length of a state's byte form.
    pub const WIRE_LEN: usize = 20;

    /// The byte form: version, phase, reason, level, starts, outcome (kind, value), 0, run,
    /// restarts, strikes, 0, 0.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::WIRE_LEN] {
        let [kind, value] = match self.outcome {
            Outcome::None => [0, 0],
            Outcome::Exited(Exit::Code(code)) => [1, code],
            Outcome::Exited(Exit::Signal(signal)) => [2, signal.number()],
            Outcome::Exited(Exit::Unknown) => [3, 0],
            Outcome::StartFailed(StartFailure::Transient) => [4, 0],
            Outcome::StartFailed(StartFailure::Permanent) => [5, 0],
        };
        let [r0, r1, r2, r3] = self.run.as_u32().to_le_bytes();
        let [n0, n1, n2, n3] = self.restarts.to_le_bytes();
        let [s0, s1] = self.strikes.to_le_bytes();
        let (phase, reason) = (self.phase as u8, self.reason as u8);
        [
            VERSION,
            phase,
            reason,
            self.level,
            self.starts,
            kind,
            value,
            0,
            r0,
            r1,
            r2,
            r3,
            n0,
            n1,
            n2,
            n3,
            s0,
            s1,
            0,
            0,
        ]
    }

    /// Reads the byte form.
    ///
    /// # Errors
    /// [`DecodeError`] for another length or version, a byte without meaning, and an impossible
    /// combination of fields.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let bytes: &[u8; Self::WIRE_LEN] = bytes
            .try_into()
            .map_err(|_| DecodeError::Length { found: bytes.len(), expected: Self::WIRE_LEN })?;
        let &[
            version,
            phase,
            reason,
            level,
            starts,
            kind,
            value,
            z0,
            r0,
            r1,
            r2,
            r3,
            n0,
            n1,
            n2,
            n3,
            s0,
            s1,
            z1,
            z2,
        ] = bytes;
        check_version(version)?;
        let byte = |field, position| DecodeError::Byte { field, position, found: bytes[position] };
        let state = Self {
            phase: *Phase::ALL.get(usize::from(phase)).ok_or_else(|| byte("phase", 1))?,
            reason: *Reason::ALL.get(usize::from(reason)).ok_or_else(|| byte("reason", 2))?,
            level,
            starts,
            outcome: match (kind, value) {
                (0, 0) => Outcome::None,
                (1, code) => Outcome::Exited(Exit::Code(code)),
                (2, signal) => Outcome::Exited(Exit::Signal(
                    Signal::new(signal).ok_or_else(|| byte("outcome value", 6))?,
                )),
                (3, 0) => Outcome::Exited(Exit::Unknown),
                (4, 0) => Outcome::StartFailed(StartFailure::Transient),
                (5, 0) => Outcome::StartFailed(StartFailure::Permanent),
                (0 | 3 | 4 | 5, _) => return Err(byte("outcome value", 6)),
                (_, _) => return Err(byte("outcome kind", 5)),
            },
            run: RunId::new(u32::from_le_bytes([r0, r1, r2, r3])),
            restarts: u32::from_le_bytes([n0, n1, n2, n3]),
            strikes: u16::from_le_bytes([s0, s1]),
        };
        for (position, padding) in [(7, z0), (18, z1), (19, z2)] {
            if padding != 0 {
                return Err(byte("padding", position));
            }
        }
        if state.is_consistent() {
            Ok(state)
        } else {
            Err(DecodeError::Inconsistent { phase: state.phase, reason: state.reason })
        }
    }

    /// Whether a run of the machine can make this state.
    #[must_use]
    pub const fn is_consistent(self) -> bool {
        let ran = self.run.as_u32() > 0;
        let ended = !matches!(self.outcome, Outcome::None);
        let reason = self.reason;
        if !ran && (self.starts > 0 || self.strikes > 0 || self.restarts > 0) {
            return false;
        }
        match self.phase {
            Phase::Idle => matches!(reason, Reason::Created) && !ran && !ended,
            Phase::Starting | Phase::Activating | Phase::Running | Phase::Healthy => {
                ran && !ended && (matches!(reason, Reason::Wanted) || reason.is_stop())
            }
            Phase::Cancelling | Phase::Aborting | Phase::Stopping | Phase::Killing => {
                ran && !ended && !matches!(reason, Reason::Created) && !reason.is_verdict()
            }
            Phase::Releasing => {
                ran && ended && !matches!(reason, Reason::Created) && !reason.is_verdict()
            }
            // A verdict stays when a run that counted as over is found alive.
            Phase::Purging => ran && ended && !matches!(reason, Reason::Created),
            Phase::BackingOff => {
                ran && ended && (matches!(reason, Reason::Wanted) || reason.is_fault())
            }
            Phase::Throttled => {
                let asked = matches!(reason, Reason::Wanted | Reason::RestartRequested);
                ran && ended && (asked || reason.is_fault())
            }
            Phase::Stopped => {
                (reason.is_stop() && ran == ended) || (reason.is_verdict() && ran && ended)
            }
        }
    }
}

impl From<State> for [u8; State::WIRE_LEN] {
    fn from(state: State) -> Self {
        state.to_bytes()
    }
}

/// # Errors
/// As [`State::from_bytes`].
impl TryFrom<[u8; Self::WIRE_LEN]> for State {
    type Error = DecodeError;

    fn try_from(bytes: [u8; Self::WIRE_LEN]) -> Result<Self, DecodeError> {
        Self::from_bytes(&bytes)
    }
}

impl Event {
    /// The length of an event's byte form.
    pub const WIRE_LEN: usize = 12;

    /// The byte form: version, event, two small values, the run, a duration.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::WIRE_LEN] {
        let none = RunId::NONE;
        let (tag, a, b, run, millis) = match self {
            Self::StartRequested => (0, 0, 0, none, 0),
            Self::StopRequested { mode, origin } => {
                let (mode, millis) = match mode {
                    StopMode::Graceful(grace) => grace_bytes(grace),
                    StopMode::Kill => (3, 0),
                    StopMode::OnNextExit => (4, 0),
                };
                (1, mode, origin as u8, none, millis)
            }
            Self::RestartRequested { grace } => {
                let (grace, millis) = grace_bytes(grace);
                (2, grace, 0, none, millis)
            }
            Self::SignalRequested { signal } => (3, signal.number(), 0, none, 0),
            Self::PolicyChanged => (4, 0, 0, none, 0),
            Self::ResetRequested => (5, 0, 0, none, 0),
            Self::RetryRequested => (6, 0, 0, none, 0),
            Self::Started { run } => (7, 0, 0, run, 0),
            Self::StartFailed { run, failure } => (8, failure as u8, 0, run, 0),
            Self::Ready { run } => (9, 0, 0, run, 0),
            Self::Ping { run } => (10, 0, 0, run, 0),
            Self::Unhealthy { run } => (11, 0, 0, run, 0),
            Self::Exited { run, exit } => {
                let (kind, value) = exit_bytes(exit);
                (12, kind, value, run, 0)
            }
            Self::Released { run, remains } => (13, remains as u8, 0, run, 0),
            Self::TimerFired { timer } => (14, timer.kind as u8, 0, timer.run, 0),
            Self::Recovered { run, found } => {
                let (kind, value) = match found {
                    Found::Exited(exit) => exit_bytes(exit),
                    Found::Alive => (3, 0),
                    Found::Gone => (4, 0),
                    Found::Rebooted => (5, 0),
                };
                (15, kind, value, run, 0)
            }
            Self::Extended { run, by } => (16, 0, 0, run, by.as_u32()),
        };
        let [r0, r1, r2, r3] = run.as_u32().to_le_bytes();
        let [m0, m1, m2, m3] = u32::to_le_bytes(millis);
        [VERSION, tag, a, b, r0, r1, r2, r3, m0, m1, m2, m3]
    }

    /// Reads the byte form.
    ///
    /// # Errors
    /// [`DecodeError`] for another length or version, and for a byte without meaning.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let bytes: &[u8; Self::WIRE_LEN] = bytes
            .try_into()
            .map_err(|_| DecodeError::Length { found: bytes.len(), expected: Self::WIRE_LEN })?;
        let &[version, tag, a, b, r0, r1, r2, r3, m0, m1, m2, m3] = bytes;
        check_version(version)?;
        let byte = |field, position| DecodeError::Byte { field, position, found: bytes[position] };
        let run = RunId::new(u32::from_le_bytes([r0, r1, r2, r3]));
        let millis = u32::from_le_bytes([m0, m1, m2, m3]);
        let event = match tag {
            0 => Self::StartRequested,
            1 => Self::StopRequested {
                mode: match a {
                    3 => StopMode::Kill,
                    4 => StopMode::OnNextExit,
                    _ => StopMode::Graceful(grace_from(a, millis).ok_or_else(|| byte("mode", 2))?),
                },
                origin: match b {
                    0 => Origin::User,
                    1 => Origin::Shutdown,
                    _ => return Err(byte("origin", 3)),
                },
            },
            2 => Self::RestartRequested {
                grace: grace_from(a, millis).ok_or_else(|| byte("grace", 2))?,
            },
            3 => Self::SignalRequested { signal: Signal::new(a).ok_or_else(|| byte("signal", 2))? },
            4 => Self::PolicyChanged,
            5 => Self::ResetRequested,
            6 => Self::RetryRequested,
            7 => Self::Started { run },
            8 => Self::StartFailed {
                run,
                failure: match a {
                    0 => StartFailure::Transient,
                    1 => StartFailure::Permanent,
                    _ => return Err(byte("failure", 2)),
                },
            },
            9 => Self::Ready { run },
            10 => Self::Ping { run },
            11 => Self::Unhealthy { run },
            12 => Self::Exited { run, exit: exit_from(a, b).ok_or_else(|| byte("exit", 2))? },
            13 => Self::Released {
                run,
                remains: match a {
                    0 => Remains::Nothing,
                    1 => Remains::Leaked,
                    _ => return Err(byte("remains", 2)),
                },
            },
            14 => Self::TimerFired {
                timer: TimerToken {
                    run,
                    kind: *TimerKind::ALL
                        .get(usize::from(a))
                        .ok_or_else(|| byte("timer kind", 2))?,
                },
            },
            15 => Self::Recovered {
                run,
                found: match a {
                    3 => Found::Alive,
                    4 => Found::Gone,
                    5 => Found::Rebooted,
                    _ => Found::Exited(exit_from(a, b).ok_or_else(|| byte("found", 2))?),
                },
            },
            16 => Self::Extended { run, by: Millis::new(millis) },
            _ => return Err(byte("event", 1)),
        };
        // Each value has one form: bytes that the event does not use must be zero.
        let canonical = event.to_bytes();
        match (0..Self::WIRE_LEN).find(|&position| bytes[position] != canonical[position]) {
            Some(position) => Err(byte("padding", position)),
            None => Ok(event),
        }
    }
}

const fn check_version(found: u8) -> Result<(), DecodeError> {
    if found == VERSION { Ok(()) } else { Err(DecodeError::Version { found }) }
}

const fn grace_bytes(grace: Grace) -> (u8, u32) {
    match grace {
        Grace::Policy => (0, 0),
        Grace::After(delay) => (1, delay.as_u32()),
        Grace::Never => (2, 0),
    }
}

const fn grace_from(kind: u8, millis: u32) -> Option<Grace> {
    match kind {
        0 => Some(Grace::Policy),
        1 => Some(Grace::After(Millis::new(millis))),
        2 => Some(Grace::Never),
        _ => None,
    }
}

const fn exit_bytes(exit: Exit) -> (u8, u8) {
    match exit {
        Exit::Code(code) => (0, code),
        Exit::Signal(signal) => (1, signal.number()),
        Exit::Unknown => (2, 0),
    }
}

fn exit_from(kind: u8, value: u8) -> Option<Exit> {
    match kind {
        0 => Some(Exit::Code(value)),
        1 => Signal::new(value).map(Exit::Signal),
        2 => Some(Exit::Unknown),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::EVENTS;

    #[test]
    fn the_numbers_of_phases_reasons_and_timers_are_their_places() {
        for (place, phase) in Phase::ALL.into_iter().enumerate() {
            assert_eq!(phase as usize, place);
        }
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
        for (place, kind) in TimerKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
    }

    #[test]
    fn damage_is_named_with_its_place() {
        let mut bytes = State::INITIAL.to_bytes();
        bytes[1] = 99;
        let error = DecodeError::Byte { field: "phase", position: 1, found: 99 };
        assert_eq!(State::from_bytes(&bytes), Err(error));
        assert_eq!(
            State::from_bytes(&bytes[..3]),
            Err(DecodeError::Length { found: 3, expected: 20 })
        );
        bytes[0] = 7;
        assert_eq!(State::from_bytes(&bytes), Err(DecodeError::Version { found: 7 }));
    }

    /// The reasons of a phase: before the first run, during a run, after its end.
    #[test]
    fn only_states_that_some_run_makes_are_read() {
        let exit = Outcome::Exited(Exit::Code(1));
        for phase in Phase::ALL {
            for (run, outcome) in [(0, Outcome::None), (0, exit), (1, Outcome::None), (1, exit)] {
                let expected = match (phase, run, outcome) {
                    (Phase::Idle, 0, Outcome::None) => "created",
                    (
                        Phase::Starting | Phase::Activating | Phase::Running | Phase::Healthy,
                        1,
                        Outcome::None,
                    ) => "wanted stop-requested shutdown-requested",
                    (
                        Phase::Cancelling | Phase::Aborting | Phase::Stopping | Phase::Killing,
                        1,
                        Outcome::None,
                    )
                    | (Phase::Releasing, 1, Outcome::Exited(_)) => {
                        "wanted start-timeout watchdog unhealthy early-exit restart-requested stop-requested shutdown-requested"
                    }
                    (Phase::Purging, 1, Outcome::Exited(_)) => {
                        "wanted start-timeout watchdog unhealthy early-exit restart-requested stop-requested shutdown-requested completed prevented exhausted start-limit start-failed"
                    }
                    (Phase::BackingOff, 1, Outcome::Exited(_)) => {
                        "wanted start-timeout watchdog unhealthy early-exit"
                    }
                    (Phase::Throttled, 1, Outcome::Exited(_)) => {
                        "wanted start-timeout watchdog unhealthy early-exit restart-requested"
                    }
                    (Phase::Stopped, 0, Outcome::None) => "stop-requested shutdown-requested",
                    (Phase::Stopped, 1, Outcome::Exited(_)) => {
                        "stop-requested shutdown-requested completed prevented exhausted start-limit start-failed"
                    }
                    (_, _, _) => "",
                };
                let run = RunId::new(run);
                let mut read = Vec::new();
                for reason in Reason::ALL {
                    let state = State { phase, reason, run, outcome, ..State::INITIAL };
                    match State::from_bytes(&state.to_bytes()) {
                        Ok(same) => {
                            assert_eq!(same, state);
                            read.push(reason.name());
                        }
                        Err(error) => {
                            assert_eq!(error, DecodeError::Inconsistent { phase, reason })
                        }
                    }
                }
                assert_eq!(read.join(" "), expected, "{phase} {run}, outcome {outcome}");
            }
        }
    }

    #[test]
    fn nothing_is_counted_before_the_first_run() {
        let plain = State::INITIAL;
        for state in [
            State { restarts: 1, ..plain },
            State { strikes: 1, ..plain },
            State { starts: 1, ..plain },
        ] {
            assert!(!state.is_consistent(), "{state:?}");
            let (phase, reason, run) = (Phase::Starting, Reason::Wanted, RunId::new(1));
            assert!(State { phase, reason, run, ..state }.is_consistent(), "{state:?}");
        }
    }

    /// The contract of version 1, byte for byte.
    #[test]
    fn the_layout_is_as_published() {
        let state = State {
            phase: Phase::BackingOff,
            reason: Reason::Watchdog,
            level: 4,
            starts: 2,
            outcome: Outcome::Exited(Exit::Signal(Signal::KILL)),
            run: RunId::new(0x0403_0201),
            restarts: 0x0807_0605,
            strikes: 0x0a09,
        };
        let bytes = [1, 11, 3, 4, 2, 2, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 0];
        assert_eq!(<[u8; State::WIRE_LEN]>::from(state), bytes);
        assert_eq!(State::try_from(bytes), Ok(state));
        let event: Event = "shutdown grace=67305985ms".parse().unwrap();
        assert_eq!(event.to_bytes(), [1, 1, 1, 1, 0, 0, 0, 0, 1, 2, 3, 4]);
        let event: Event = "exited #67305985 signal=KILL".parse().unwrap();
        assert_eq!(event.to_bytes(), [1, 12, 1, 9, 1, 2, 3, 4, 0, 0, 0, 0]);
    }

    #[test]
    fn every_outcome_and_every_event_survive_the_wire() {
        let (phase, reason, run) = (Phase::Releasing, Reason::Wanted, RunId::new(1));
        for outcome in [
            Outcome::Exited(Exit::Code(0)),
            Outcome::Exited(Exit::Code(255)),
            Outcome::Exited(Exit::Signal(Signal::HUP)),
            Outcome::Exited(Exit::Unknown),
            Outcome::StartFailed(StartFailure::Transient),
            Outcome::StartFailed(StartFailure::Permanent),
        ] {
            let state = State { phase, reason, run, outcome, ..State::INITIAL };
            assert_eq!(State::from_bytes(&state.to_bytes()), Ok(state));
        }
        for text in EVENTS {
            let event: Event = text.parse().unwrap();
            assert_eq!(Event::from_bytes(&event.to_bytes()), Ok(event), "{text}");
        }
    }

    /// Goal: no two byte forms mean the same, so that no damage passes as the original value.
    /// Method: each byte set to each value is refused, or is read as a value with exactly these
    /// bytes.
    #[test]
    fn a_damaged_form_is_refused_or_another_value() {
        fn damages<const N: usize>(bytes: [u8; N]) -> impl Iterator<Item = [u8; N]> {
            (0..N).flat_map(move |position| {
                (0..=u8::MAX).map(move |byte| {
                    let mut damaged = bytes;
                    damaged[position] = byte;
                    damaged
                })
            })
        }
        let running = State {
            phase: Phase::Running,
            reason: Reason::Wanted,
            run: RunId::new(1),
            ..State::INITIAL
        };
        let outcome = Outcome::StartFailed(StartFailure::Transient);
        let releasing = State { phase: Phase::Releasing, outcome, ..running };
        for damaged in [State::INITIAL, running, releasing].map(State::to_bytes).map(damages) {
            for bytes in damaged {
                if let Ok(state) = State::from_bytes(&bytes) {
                    assert_eq!(state.to_bytes(), bytes);
                }
            }
        }
        for text in EVENTS {
            let event: Event = text.parse().unwrap();
            for bytes in damages(event.to_bytes()) {
                if let Ok(event) = Event::from_bytes(&bytes) {
                    assert_eq!(event.to_bytes(), bytes, "{event}");
                }
            }
        }
    }

    #[test]
    fn every_cut_is_refused() {
        let (state, event) = (State::INITIAL.to_bytes(), Event::StartRequested.to_bytes());
        for found in 0..state.len() {
            let error = DecodeError::Length { found, expected: State::WIRE_LEN };
            assert_eq!(State::from_bytes(&state[..found]), Err(error));
        }
        for found in 0..event.len() {
            let error = DecodeError::Length { found, expected: Event::WIRE_LEN };
            assert_eq!(Event::from_bytes(&event[..found]), Err(error));
        }
    }

    #[test]
    fn errors_say_what_is_wrong_with_the_bytes() {
        let (phase, reason) = (Phase::Running, Reason::Exhausted);
        for (error, text) in [
            (
                DecodeError::Length { found: 3, expected: 20 },
                "length: 3 bytes are not possible: give exactly 20",
            ),
            (
                DecodeError::Version { found: 7 },
                "version: 7 is not readable here: use the release that wrote it, or start afresh (this one reads 1)",
            ),
            (
                DecodeError::Byte { field: "phase", position: 1, found: 99 },
                "phase: byte 1 is 0x63, which means nothing there: the record is damaged",
            ),
            (
                DecodeError::Inconsistent { phase, reason },
                "state: phase running cannot go with reason exhausted and the rest: the record is damaged",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
