//! The text forms of events and their parts.

use core::fmt;
use core::str::FromStr;

use crate::event::{Event, Found, Grace, Origin, Remains, StopMode};
use crate::exit::StartFailure;
use crate::names::named;
use crate::parse_error::{ParseError, whole_number};
use crate::run::{RunId, TimerKind, TimerToken};
use crate::time::{Delay, Millis};

/// Prints the form of case files, such as `stop grace=5s`, `exited #1 code=7`, `fired backoff #1`.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartRequested => f.write_str("start"),
            Self::StopRequested { mode, origin } => {
                f.write_str(match origin {
                    Origin::User => "stop",
                    Origin::Shutdown => "shutdown",
                })?;
                match mode {
                    StopMode::Graceful(grace) => write_grace(f, *grace),
                    StopMode::Kill => f.write_str(" kill"),
                    StopMode::OnNextExit => f.write_str(" on-next-exit"),
                }
            }
            Self::RestartRequested { grace } => {
                f.write_str("restart")?;
                write_grace(f, *grace)
            }
            Self::SignalRequested { signal } => write!(f, "signal {signal}"),
            Self::PolicyChanged => f.write_str("policy-changed"),
            Self::ResetRequested => f.write_str("reset"),
            Self::RetryRequested => f.write_str("retry"),
            Self::Started { run } => write!(f, "started {run}"),
            Self::StartFailed { run, failure } => write!(f, "start-failed {run} {failure}"),
            Self::Ready { run } => write!(f, "ready {run}"),
            Self::Ping { run } => write!(f, "ping {run}"),
            Self::Extended { run, by } => write!(f, "extended {run} {by}"),
            Self::Unhealthy { run } => write!(f, "unhealthy {run}"),
            Self::Exited { run, exit } => write!(f, "exited {run} {exit}"),
            Self::Released { run, remains: Remains::Nothing } => write!(f, "released {run}"),
            Self::Released { run, remains: Remains::Leaked } => write!(f, "released {run} leaked"),
            Self::TimerFired { timer } => write!(f, "fired {timer}"),
            Self::Recovered { run, found } => match found {
                Found::Alive => write!(f, "recovered {run} alive"),
                Found::Exited(exit) => write!(f, "recovered {run} {exit}"),
                Found::Gone => write!(f, "recovered {run} gone"),
                Found::Rebooted => write!(f, "recovered {run} rebooted"),
            },
        }
    }
}

fn write_grace(f: &mut fmt::Formatter<'_>, grace: Grace) -> fmt::Result {
    match grace {
        Grace::Policy => Ok(()),
        Grace::After(delay) => write!(f, " grace={delay}"),
        Grace::Never => f.write_str(" grace=never"),
    }
}

/// Reads the form that `Display` prints. White space separates words.
///
/// # Errors
/// [`ParseError`] with the missing or wrong word.
impl FromStr for Event {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut words = Words(text.split_whitespace());
        let name = words.next("event", "write one, such as start, stop, exited #1 code=0")?;
        let event = match name {
            "start" => Self::StartRequested,
            "stop" | "shutdown" => Self::StopRequested {
                mode: match words.optional() {
                    Some("kill") => StopMode::Kill,
                    Some("on-next-exit") => StopMode::OnNextExit,
                    word => StopMode::Graceful(parse_grace(word)?),
                },
                origin: if name == "stop" { Origin::User } else { Origin::Shutdown },
            },
            "restart" => Self::RestartRequested { grace: parse_grace(words.optional())? },
            "signal" => Self::SignalRequested {
                signal: words.next("signal", "write a name or number after it")?.parse()?,
            },
            "policy-changed" => Self::PolicyChanged,
            "reset" => Self::ResetRequested,
            "retry" => Self::RetryRequested,
            "started" => Self::Started { run: words.run()? },
            "start-failed" => Self::StartFailed {
                run: words.run()?,
                failure: words.next("failure", "write transient or permanent")?.parse()?,
            },
            "ready" => Self::Ready { run: words.run()? },
            "ping" => Self::Ping { run: words.run()? },
            "extended" => Self::Extended {
                run: words.run()?,
                by: words.next("time", "write how long, such as 30s")?.parse()?,
            },
            "unhealthy" => Self::Unhealthy { run: words.run()? },
            "exited" => Self::Exited {
                run: words.run()?,
                exit: words.next("exit", "write code=N, signal=NAME or unknown")?.parse()?,
            },
            "released" => Self::Released {
                run: words.run()?,
                remains: match words.optional() {
                    None => Remains::Nothing,
                    Some("leaked") => Remains::Leaked,
                    Some(word) => {
                        return Err(ParseError::new(
                            "remains",
                            word,
                            "write leaked or nothing at all",
                        ));
                    }
                },
            },
            "fired" => {
                let kind = words.next("timer", TIMER_FIX)?.parse()?;
                Self::TimerFired { timer: TimerToken { run: words.run()?, kind } }
            }
            "recovered" => Self::Recovered {
                run: words.run()?,
                found: match words.next("found", FOUND_FIX)? {
                    "alive" => Found::Alive,
                    "gone" => Found::Gone,
                    "rebooted" => Found::Rebooted,
                    word => word
                        .parse()
                        .map(Found::Exited)
                        .map_err(|_| ParseError::new("found", word, FOUND_FIX))?,
                },
            },
            _ => {
                return Err(ParseError::new(
                    "event",
                    name,
                    "write start, stop, shutdown, restart, signal, policy-changed, reset, retry, started, start-failed, ready, ping, extended, unhealthy, exited, released, fired or recovered",
                ));
            }
        };
        match words.optional() {
            None => Ok(event),
            Some(word) => {
                Err(ParseError::new("event", word, "remove it: the event ends before it"))
            }
        }
    }
}

const TIMER_FIX: &str =
    "write start-timeout, healthy, stop-grace, kill-window, backoff, watchdog or window";
const FOUND_FIX: &str = "write alive, gone, rebooted, code=N, signal=NAME or unknown";

struct Words<'a>(core::str::SplitWhitespace<'a>);

impl<'a> Words<'a> {
    fn next(&mut self, field: &'static str, fix: &'static str) -> Result<&'a str, ParseError> {
        self.0.next().ok_or_else(|| ParseError::new(field, "", fix))
    }

    fn optional(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    fn run(&mut self) -> Result<RunId, ParseError> {
        self.next("run", "write the run as #1")?.parse()
    }
}

fn parse_grace(word: Option<&str>) -> Result<Grace, ParseError> {
    match word.map(|word| (word, word.strip_prefix("grace="))) {
        None => Ok(Grace::Policy),
        Some((_, Some("never"))) => Ok(Grace::Never),
        Some((_, Some(delay))) => delay.parse().map(Grace::After),
        Some((word, None)) => Err(ParseError::new(
            "stop",
            word,
            "write grace=5s, grace=never, kill, on-next-exit or nothing",
        )),
    }
}

/// Reads `#3`.
///
/// # Errors
/// [`ParseError`] with the value.
impl FromStr for RunId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        text.strip_prefix('#')
            .and_then(whole_number)
            .map(Self::new)
            .ok_or_else(|| ParseError::new("run", text, "write the run as #1"))
    }
}

/// Reads the name of a kind, such as `backoff`.
///
/// # Errors
/// [`ParseError`] with the value and the known kinds.
impl FromStr for TimerKind {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| ParseError::new("timer", text, TIMER_FIX))
    }
}

/// Reads `transient` or `permanent`.
///
/// # Errors
/// [`ParseError`] with the value.
impl FromStr for StartFailure {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        named(&[(Self::Transient, "transient"), (Self::Permanent, "permanent")], text)
            .ok_or_else(|| ParseError::new("failure", text, "write transient or permanent"))
    }
}

/// Reads `100ms` or `100ms..110ms`.
///
/// # Errors
/// [`ParseError`] with the value.
impl FromStr for Delay {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (base, longest) = text.split_once("..").unwrap_or((text, text));
        let (base, longest): (Millis, Millis) = (base.parse()?, longest.parse()?);
        match longest.as_u32().checked_sub(base.as_u32()) {
            Some(jitter) => Ok(Self { base, jitter: Millis::new(jitter) }),
            None => {
                Err(ParseError::new("delay", text, "write the shorter one first: 100ms..110ms"))
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Every event in every form, as it is printed.
    pub(crate) const EVENTS: [&str; 43] = [
        "start",
        "stop",
        "stop grace=5s",
        "stop grace=never",
        "stop kill",
        "stop on-next-exit",
        "shutdown",
        "shutdown grace=1m30s",
        "shutdown grace=never",
        "shutdown kill",
        "shutdown on-next-exit",
        "restart",
        "restart grace=5s",
        "restart grace=never",
        "signal HUP",
        "signal 40",
        "policy-changed",
        "reset",
        "retry",
        "started #1",
        "start-failed #1 transient",
        "start-failed #1 permanent",
        "ready #1",
        "ping #1",
        "extended #1 30s",
        "unhealthy #1",
        "exited #1 code=0",
        "exited #4294967295 signal=KILL",
        "exited #1 unknown",
        "released #1",
        "released #1 leaked",
        "fired start-timeout #1",
        "fired healthy #1",
        "fired stop-grace #1",
        "fired kill-window #1",
        "fired backoff #1",
        "fired watchdog #1",
        "fired window #1",
        "recovered #1 alive",
        "recovered #1 gone",
        "recovered #1 rebooted",
        "recovered #1 code=7",
        "recovered #1 signal=64",
    ];

    #[test]
    fn events_survive_their_text_form() {
        for text in EVENTS {
            assert_eq!(text.parse::<Event>().unwrap().to_string(), text);
        }
        assert_eq!("  stop\tgrace=5s ".parse::<Event>().unwrap().to_string(), "stop grace=5s");
    }

    /// Wrong texts, each with the field and the value in its error.
    #[test]
    fn what_is_no_event_is_refused() {
        for (text, field, value) in [
            ("", "event", ""),
            ("launch", "event", "launch"),
            ("start now", "event", "now"),
            ("stop kill now", "event", "now"),
            ("stop later", "stop", "later"),
            ("stop grace=", "duration", ""),
            ("stop grace=5", "duration", "5"),
            ("restart kill", "stop", "kill"),
            ("signal", "signal", ""),
            ("signal 65", "signal", "65"),
            ("started", "run", ""),
            ("started 1", "run", "1"),
            ("started #-1", "run", "#-1"),
            ("started #4294967296", "run", "#4294967296"),
            ("start-failed #1", "failure", ""),
            ("start-failed #1 odd", "failure", "odd"),
            ("exited #1", "exit", ""),
            ("exited #1 code=256", "code", "256"),
            ("released #1 odd", "remains", "odd"),
            ("fired", "timer", ""),
            ("fired alarm #1", "timer", "alarm"),
            ("recovered #1", "found", ""),
            ("recovered #1 odd", "found", "odd"),
        ] {
            let error = text.parse::<Event>().unwrap_err();
            assert_eq!((error.field(), error.value()), (field, value), "{text}");
        }
    }

    #[test]
    fn delays_survive_their_text_form() {
        for text in ["0ms", "100ms", "100ms..110ms", "0ms..1s"] {
            assert_eq!(text.parse::<Delay>().unwrap().to_string(), text);
        }
        assert_eq!("1s..1s".parse(), Ok(Delay::exact(Millis::from_secs(1))));
        for (text, field) in
            [("2s..1s", "delay"), ("1s..", "duration"), ("..1s", "duration"), ("1s..x", "duration")]
        {
            assert_eq!(text.parse::<Delay>().unwrap_err().field(), field, "{text}");
        }
    }
}
