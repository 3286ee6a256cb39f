//! The end of a run as kind and value, and sets of exits for exit-status rules.

use core::fmt;
use core::str::FromStr;

use crate::parse_error::{ParseError, whole_number};
use crate::signal::Signal;

/// The end of a process: kind and value, never one number for both.
///
/// # Source
/// `wait(2)`; seed.md Q9; invariant I6 of the bug bank. Others have shown a death by signal or an
/// unknown status as 0 (BB-51, BB-52, BB-55).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Exit {
    /// The process called `exit` with this status, 0 to 255.
    Code(u8),
    /// This signal ended the process.
    Signal(Signal),
    /// The process is gone, and its exit is unknown. Never a success.
    Unknown,
}

impl Exit {
    /// The status by the shell's convention: the code, 128 + the signal, or 255 if unknown.
    #[must_use]
    pub const fn shell_status(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal.number(),
            Self::Unknown => 255,
        }
    }
}

/// Prints `code=7`, `signal=KILL` or `unknown`.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "code={code}"),
            Self::Signal(signal) => write!(f, "signal={signal}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Reads `code=7`, `signal=KILL` or `unknown`.
///
/// # Errors
/// [`ParseError`] with the value.
impl FromStr for Exit {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.split_once('=') {
            Some(("code", code)) => whole_number(code)
                .map(Self::Code)
                .ok_or_else(|| ParseError::new("code", code, "write an exit status from 0 to 255")),
            Some(("signal", signal)) => signal.parse().map(Self::Signal),
            None if text == "unknown" => Ok(Self::Unknown),
            Some(_) | None => {
                Err(ParseError::new("exit", text, "write code=N, signal=NAME or unknown"))
            }
        }
    }
}

/// The kind of a start failure, as far as a policy depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum StartFailure {
    /// Another attempt can succeed: no process slot, no memory, text file busy.
    Transient,
    /// No attempt succeeds before a repair: no such file, not executable, bad configuration.
    Permanent,
}

impl StartFailure {
    /// The name in texts: `transient` or `permanent`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
        }
    }
}

impl fmt::Display for StartFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The known end of the current run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Outcome {
    /// The run has not ended, or no run existed.
    #[default]
    None,
    /// The process ended.
    Exited(Exit),
    /// The process never existed.
    StartFailed(StartFailure),
}

/// Prints `none`, the exit, or `start failed (permanent)`.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Exited(exit) => exit.fmt(f),
            Self::StartFailed(failure) => write!(f, "start failed ({failure})"),
        }
    }
}

/// A set of exit codes and signals, for exit-status rules.
///
/// An unknown exit is in no set, so no rule matches it.
///
/// # Examples
/// ```
/// use monitor_core::{Exit, ExitSet, Signal};
/// let set: ExitSet = "2,64-78,SIGHUP".parse()?;
/// assert!(set.contains(Exit::Code(70)) && set.contains(Exit::Signal(Signal::HUP)));
/// assert!(!set.contains(Exit::Unknown));
/// assert_eq!(set.to_string(), "2,64-78,SIGHUP");
/// # Ok::<(), monitor_core::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ExitSet {
    codes: [u64; 4],
    /// Bit n stands for signal n + 1.
    signals: u64,
}

impl ExitSet {
    /// The set without any exit.
    pub const EMPTY: Self = Self { codes: [0; 4], signals: 0 };

    /// Adds the exit code `code`.
    #[must_use]
    pub const fn with_code(mut self, code: u8) -> Self {
        self.codes[(code >> 6) as usize] |= 1 << (code & 63);
        self
    }

    /// Adds a death by `signal`.
    #[must_use]
    pub const fn with_signal(mut self, signal: Signal) -> Self {
        self.signals |= 1 << (signal.number() - 1);
        self
    }

    /// Whether `exit` is in the set; [`Exit::Unknown`] never is.
    #[must_use]
    pub const fn contains(&self, exit: Exit) -> bool {
        match exit {
            Exit::Code(code) => self.codes[(code >> 6) as usize] >> (code & 63) & 1 == 1,
            Exit::Signal(signal) => self.signals >> (signal.number() - 1) & 1 == 1,
            Exit::Unknown => false,
        }
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.signals == 0
            && self.codes[0] == 0
            && self.codes[1] == 0
            && self.codes[2] == 0
            && self.codes[3] == 0
    }
}

/// Prints codes, ranges and signals, `2,64-78,SIGHUP`, or `none`.
impl fmt::Display for ExitSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let has = |code: Option<u8>| code.is_some_and(|code| self.contains(Exit::Code(code)));
        let mut comma = "";
        for code in (0..=u8::MAX).filter(|&code| has(Some(code))) {
            match (has(code.checked_sub(1)), has(code.checked_add(1))) {
                (false, false) => write!(f, "{comma}{code}")?,
                (false, true) => write!(f, "{comma}{code}-")?,
                (true, true) => {}
                (true, false) => write!(f, "{code}")?,
            }
            comma = ",";
        }
        for signal in (1..=64).filter_map(Signal::new) {
            if self.contains(Exit::Signal(signal)) {
                match signal.name() {
                    Some(name) => write!(f, "{comma}SIG{name}")?,
                    None => write!(f, "{comma}SIG{}", signal.number())?,
                }
                comma = ",";
            }
        }
        Ok(())
    }
}

/// Reads a comma list of codes (`2`), ranges (`64-78`) and signals (`SIGHUP`, `SIG40`), or `none`.
///
/// # Errors
/// [`ParseError`] with the wrong part.
impl FromStr for ExitSet {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        const FIX: &str = "write codes, ranges and signals such as 2,64-78,SIGHUP, or none";
        if text == "none" {
            return Ok(Self::EMPTY);
        }
        let mut set = Self::EMPTY;
        for part in text.split(',') {
            let error = || ParseError::new("exit set", part, FIX);
            if let Some(signal) = part.strip_prefix("SIG") {
                set = set.with_signal(signal.parse().map_err(|_| error())?);
                continue;
            }
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: u8 = whole_number(first).ok_or_else(error)?;
            let last: u8 = whole_number(last).ok_or_else(error)?;
            if first > last {
                return Err(error());
            }
            for code in first..=last {
                set = set.with_code(code);
            }
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_printed_with_its_kind_and_has_a_shell_status() {
        for (text, status) in [
            ("code=0", 0),
            ("code=7", 7),
            ("code=255", 255),
            ("signal=HUP", 129),
            ("signal=KILL", 137),
            ("signal=64", 192),
            ("unknown", 255),
        ] {
            let exit: Exit = text.parse().unwrap();
            assert_eq!((exit.to_string().as_str(), exit.shell_status()), (text, status));
        }
    }

    #[test]
    fn what_is_no_exit_is_refused_with_its_field_value_and_fix() {
        let (code, signal, exit) = (
            "write an exit status from 0 to 255",
            "write a name such as TERM or a number from 1 to 64",
            "write code=N, signal=NAME or unknown",
        );
        for (text, field, value, fix) in [
            ("code=256", "code", "256", code),
            ("code=", "code", "", code),
            ("signal=65", "signal", "65", signal),
            ("status=7", "exit", "status=7", exit),
            ("unknown=7", "exit", "unknown=7", exit),
            ("7", "exit", "7", exit),
            ("", "exit", "", exit),
        ] {
            assert_eq!(text.parse::<Exit>(), Err(ParseError::new(field, value, fix)), "{text}");
        }
    }

    #[test]
    fn outcomes_are_printed_as_they_stand_in_sentences() {
        for (outcome, text) in [
            (Outcome::None, "none"),
            (Outcome::Exited(Exit::Code(1)), "code=1"),
            (Outcome::StartFailed(StartFailure::Transient), "start failed (transient)"),
            (Outcome::StartFailed(StartFailure::Permanent), "start failed (permanent)"),
        ] {
            assert_eq!(outcome.to_string(), text);
        }
    }

    /// Every code and every signal, alone in a set.
    #[test]
    fn a_set_holds_what_it_was_given_and_nothing_else() {
        assert!(ExitSet::EMPTY.is_empty());
        let codes = (0..=u8::MAX).map(|code| (Exit::Code(code), ExitSet::EMPTY.with_code(code)));
        let signals = (1..=64)
            .filter_map(Signal::new)
            .map(|signal| (Exit::Signal(signal), ExitSet::EMPTY.with_signal(signal)));
        let alone: Vec<_> = codes.chain(signals).collect();
        assert_eq!(alone.len(), 256 + 64);
        for (given, set) in &alone {
            assert!(!set.is_empty(), "{given}");
            assert!(!set.contains(Exit::Unknown), "{given}");
            for (exit, _) in &alone {
                assert_eq!(set.contains(*exit), exit == given, "{exit} in the set of {given}");
            }
        }
    }

    #[test]
    fn a_set_grows_and_keeps_what_it_had() {
        let set = ExitSet::EMPTY
            .with_code(3)
            .with_code(2)
            .with_signal(Signal::TERM)
            .with_signal(Signal::HUP)
            .with_code(2)
            .with_signal(Signal::HUP);
        assert_eq!(set.to_string(), "2-3,SIGHUP,SIGTERM");
    }

    #[test]
    fn a_set_is_printed_in_order_with_the_longest_ranges() {
        for (text, printed) in [
            ("none", "none"),
            ("0", "0"),
            ("255", "255"),
            ("0-255", "0-255"),
            ("0,2,255", "0,2,255"),
            ("0-63,65-127,254-255", "0-63,65-127,254-255"),
            ("78-78,3,2,1", "1-3,78"),
            ("SIGKILL", "SIGKILL"),
            ("SIG64,SIG9,SIGhup", "SIGHUP,SIGKILL,SIG64"),
            ("SIGHUP,64-78,2", "2,64-78,SIGHUP"),
        ] {
            let set: ExitSet = text.parse().unwrap();
            assert_eq!(set.to_string(), printed, "{text}");
            assert_eq!(printed.parse(), Ok(set), "{text}");
        }
    }

    #[test]
    fn a_set_with_a_wrong_part_is_refused_and_the_part_named() {
        let fix = "write codes, ranges and signals such as 2,64-78,SIGHUP, or none";
        for (text, part) in [
            ("", ""),
            ("1,,2", ""),
            ("1,256", "256"),
            ("78-64", "78-64"),
            ("1-", "1-"),
            ("SIGNAL,1", "SIGNAL"),
            ("2,HUP", "HUP"),
            ("none,1", "none"),
        ] {
            assert_eq!(text.parse::<ExitSet>(), Err(ParseError::new("exit set", part, fix)));
        }
    }
}
