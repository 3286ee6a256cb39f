//! Signals by number, with their common names.

use core::fmt;
use core::num::NonZeroU8;
use core::str::FromStr;

use crate::parse_error::{ParseError, whole_number};

/// A signal number, 1 to 64 (Linux, `signal(7)`).
///
/// # Examples
/// ```
/// use monitor_core::Signal;
/// assert_eq!("SIGTERM".parse(), Ok(Signal::TERM));
/// assert_eq!("9".parse(), Ok(Signal::KILL));
/// assert_eq!(Signal::new(0), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "u8", into = "u8"))]
pub struct Signal(NonZeroU8);

impl Signal {
    /// Terminal hang-up; by convention a request to reload the configuration.
    pub const HUP: Self = Self::known(1);
    /// Interrupt from the keyboard.
    pub const INT: Self = Self::known(2);
    /// Quit from the keyboard.
    pub const QUIT: Self = Self::known(3);
    /// Abort. It dumps core by default, so watchdogs send it.
    pub const ABRT: Self = Self::known(6);
    /// Kill; cannot be caught or ignored.
    pub const KILL: Self = Self::known(9);
    /// Broken pipe.
    pub const PIPE: Self = Self::known(13);
    /// Termination; the default signal of a stop.
    pub const TERM: Self = Self::known(15);

    /// The signal with this number, or `None` outside 1 to 64.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        match NonZeroU8::new(number) {
            Some(nonzero) if number <= 64 => Some(Self(nonzero)),
            _ => None,
        }
    }

    /// The number, 1 to 64.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0.get()
    }

    /// The name without `SIG`, if the number has one on every Linux architecture but MIPS, Alpha,
    /// SPARC and PA-RISC. Real-time signals have none.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        let mut i = 0;
        while i < NAMES.len() {
            if NAMES[i].0 == self.0.get() {
                return Some(NAMES[i].1);
            }
            i += 1;
        }
        None
    }

    const fn known(number: u8) -> Self {
        match Self::new(number) {
            Some(signal) => signal,
            None => Self(NonZeroU8::MIN),
        }
    }
}

/// Prints `TERM`, or the number where there is no name.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Reads `TERM`, `SIGTERM` or `15`, in upper or lower case.
///
/// # Errors
/// [`ParseError`] with the value, if it is neither a name nor a number from 1 to 64.
impl FromStr for Signal {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bare = match text.get(..3) {
            Some(prefix) if prefix.eq_ignore_ascii_case("SIG") => &text[3..],
            _ => text,
        };
        NAMES
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(bare))
            .map(|(number, _)| *number)
            .or_else(|| whole_number(text))
            .and_then(Self::new)
            .ok_or_else(|| {
                ParseError::new(
                    "signal",
                    text,
                    "write a name such as TERM or a number from 1 to 64",
                )
            })
    }
}

impl From<Signal> for u8 {
    fn from(signal: Signal) -> Self {
        signal.number()
    }
}

/// # Errors
/// [`SignalOutOfRange`] outside 1 to 64.
impl TryFrom<u8> for Signal {
    type Error = SignalOutOfRange;

    fn try_from(number: u8) -> Result<Self, SignalOutOfRange> {
        Self::new(number).ok_or(SignalOutOfRange { number })
    }
}

/// A number outside the signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalOutOfRange {
    /// The given number.
    pub number: u8,
}

impl fmt::Display for SignalOutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signal: {} is no signal: give a number from 1 to 64", self.number)
    }
}

impl core::error::Error for SignalOutOfRange {}

/// `signal(7)`, x86 and ARM column; the order of the numbers.
const NAMES: [(u8, &str); 31] = [
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (4, "ILL"),
    (5, "TRAP"),
    (6, "ABRT"),
    (7, "BUS"),
    (8, "FPE"),
    (9, "KILL"),
    (10, "USR1"),
    (11, "SEGV"),
    (12, "USR2"),
    (13, "PIPE"),
    (14, "ALRM"),
    (15, "TERM"),
    (16, "STKFLT"),
    (17, "CHLD"),
    (18, "CONT"),
    (19, "STOP"),
    (20, "TSTP"),
    (21, "TTIN"),
    (22, "TTOU"),
    (23, "URG"),
    (24, "XCPU"),
    (25, "XFSZ"),
    (26, "VTALRM"),
    (27, "PROF"),
    (28, "WINCH"),
    (29, "IO"),
    (30, "PWR"),
    (31, "SYS"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_read_by_name_and_number_and_printed_by_name() {
        for (texts, number, printed) in [
            (["HUP", "SIGHUP", "1"], 1, "HUP"),
            (["term", "sigterm", "15"], 15, "TERM"),
            (["Kill", "SigKill", "9"], 9, "KILL"),
            (["SYS", "SIGSYS", "31"], 31, "SYS"),
            (["32", "032", "0032"], 32, "32"),
            (["64", "064", "0064"], 64, "64"),
        ] {
            let signal = Signal::new(number).unwrap();
            assert_eq!(texts.map(str::parse), [Ok(signal); 3]);
            assert_eq!((signal.number(), u8::from(signal)), (number, number));
            assert_eq!(Signal::try_from(number), Ok(signal));
            assert_eq!(signal.to_string(), printed);
        }
    }

    #[test]
    fn every_name_has_its_number_and_every_other_number_has_none() {
        for number in 1..=64 {
            let name = Signal::new(number).unwrap().name();
            let expected = NAMES.iter().find(|(known, _)| *known == number);
            assert_eq!(name, expected.map(|(_, name)| *name), "{number}");
        }
    }

    #[test]
    fn constants_have_the_numbers_of_linux() {
        let constants = [
            Signal::HUP,
            Signal::INT,
            Signal::QUIT,
            Signal::ABRT,
            Signal::KILL,
            Signal::PIPE,
            Signal::TERM,
        ];
        assert_eq!(constants.map(Signal::number), [1, 2, 3, 6, 9, 13, 15]);
    }

    #[test]
    fn what_is_no_signal_is_refused_with_its_value_and_fix() {
        let fix = "write a name such as TERM or a number from 1 to 64";
        for text in ["", "0", "65", "256", "-1", "+9", "SIG", "SIG9", "TERMINATE", "SIGSIGTERM"] {
            let error = ParseError::new("signal", text, fix);
            assert_eq!(text.parse::<Signal>(), Err(error), "{text:?}");
        }
        for number in [0, 65, 255] {
            let error = Signal::try_from(number).unwrap_err();
            assert_eq!(error, SignalOutOfRange { number });
            assert_eq!(
                error.to_string(),
                format!("signal: {number} is no signal: give a number from 1 to 64")
            );
        }
    }
}
