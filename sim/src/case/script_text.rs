//! The text form of a script.

use std::fmt;
use std::str::FromStr;

use monitor_core::{Millis, ParseError};

use super::error::CaseErrorKind;
use super::script::{ExitNotice, OnStop, OutputHold, Script, SignalDelivery, Start};

/// Prints what differs from [`Script::OBEDIENT`], each word with a space before it.
impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.start {
            Start::After(Millis::ZERO) => {}
            Start::After(delay) => write!(f, " starts={delay}")?,
            Start::Fails(delay, failure) => write!(f, " fails={failure}:{delay}")?,
        }
        if let Some(lives) = self.lives {
            write!(f, " lives={lives}")?;
        }
        if self.exits != Self::OBEDIENT.exits {
            write!(f, " exits={}", self.exits)?;
        }
        if self.on_stop != Self::OBEDIENT.on_stop {
            write!(f, " term={}", self.on_stop)?;
        }
        if let Some(leaves) = self.leaves {
            write!(f, " leaves={leaves}")?;
        }
        for (key, value) in [
            ("ready", self.ready),
            ("pings", self.pings),
            ("extends", self.extends),
            ("unhealthy", self.unhealthy),
        ] {
            if let Some(value) = value {
                write!(f, " {key}={value}")?;
            }
        }
        match self.notice {
            ExitNotice::Once => {}
            ExitNotice::Twice => f.write_str(" notice=twice")?,
            ExitNotice::Late(delay) => write!(f, " notice=late:{delay}")?,
            ExitNotice::Lost => f.write_str(" notice=lost")?,
        }
        match self.signals {
            SignalDelivery::Delivered => {}
            SignalDelivery::Refused => f.write_str(" signals=refused")?,
            SignalDelivery::Missed => f.write_str(" signals=missed")?,
        }
        match self.output {
            None => Ok(()),
            Some(OutputHold::For(time)) => write!(f, " output={time}"),
            Some(OutputHold::ForEver) => f.write_str(" output=forever"),
        }
    }
}

impl fmt::Display for OnStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dies(delay) => delay.fmt(f),
            Self::Ignores => f.write_str("ignored"),
        }
    }
}

/// Reads what `Display` prints.
///
/// # Errors
/// [`CaseErrorKind`] naming the word.
impl FromStr for Script {
    type Err = CaseErrorKind;

    fn from_str(words: &str) -> Result<Self, CaseErrorKind> {
        read_script(words)
    }
}

fn read_script(rest: &str) -> Result<Script, CaseErrorKind> {
    let mut script = Script::OBEDIENT;
    for word in rest.split_whitespace() {
        let (key, value) =
            word.split_once('=').ok_or_else(|| CaseErrorKind::Key(word.to_owned()))?;
        match key {
            "starts" => script.start = Start::After(value.parse()?),
            "fails" => {
                let (failure, delay) = value.split_once(':').unwrap_or((value, "0ms"));
                script.start = Start::Fails(delay.parse()?, failure.parse()?);
            }
            "lives" => script.lives = never_or(value, "forever")?,
            "exits" => script.exits = value.parse()?,
            "term" => script.on_stop = read_on_stop(value)?,
            "leaves" => script.leaves = Some(read_on_stop(value)?),
            "ready" => script.ready = never_or(value, "never")?,
            "pings" => script.pings = never_or(value, "never")?,
            "extends" => script.extends = never_or(value, "never")?,
            "unhealthy" => script.unhealthy = never_or(value, "never")?,
            "notice" => {
                script.notice = match (value, value.strip_prefix("late:")) {
                    ("twice", _) => ExitNotice::Twice,
                    ("lost", _) => ExitNotice::Lost,
                    (_, Some(delay)) => ExitNotice::Late(delay.parse()?),
                    (_, None) => return Err(CaseErrorKind::Value(word.to_owned())),
                };
            }
            "signals" => {
                script.signals = match value {
                    "refused" => SignalDelivery::Refused,
                    "missed" => SignalDelivery::Missed,
                    _ => return Err(CaseErrorKind::Value(word.to_owned())),
                };
            }
            "output" => {
                script.output =
                    Some(never_or(value, "forever")?.map_or(OutputHold::ForEver, OutputHold::For));
            }
            _ => return Err(CaseErrorKind::Key(word.to_owned())),
        }
    }
    Ok(script)
}

fn read_on_stop(value: &str) -> Result<OnStop, ParseError> {
    if value == "ignored" { Ok(OnStop::Ignores) } else { value.parse().map(OnStop::Dies) }
}

fn never_or(value: &str, never: &str) -> Result<Option<Millis>, ParseError> {
    if value == never { Ok(None) } else { value.parse().map(Some) }
}
