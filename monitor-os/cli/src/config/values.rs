//! The values of options, and how each is read.

use std::net::Ipv4Addr;

use clap::ValueEnum;
use clap::builder::PossibleValuesParser;
use monitor_core::{Millis, Preset, Scope, StartLimit, whole_number};
use monitor_os::{ContainmentMode, LinePattern, OnCrash, PatternError, ReadyBy};

/// What happens to a command that outlived its monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnCrashOption {
    /// The command goes on, under this monitor
    Adopt,
    /// The monitor kills the command with its group; the policy decides what follows
    Kill,
}

impl From<OnCrashOption> for OnCrash {
    fn from(leftover: OnCrashOption) -> Self {
        match leftover {
            OnCrashOption::Adopt => Self::Adopt,
            OnCrashOption::Kill => Self::Kill,
        }
    }
}

/// The processes that a stop signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScopeOption {
    /// The main process alone
    Process,
    /// The main process and all that it started, as far as --containment holds them
    Group,
}

impl From<ScopeOption> for Scope {
    fn from(scope: ScopeOption) -> Self {
        match scope {
            ScopeOption::Process => Self::Process,
            ScopeOption::Group => Self::Group,
        }
    }
}

/// How everything that a command starts is contained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ContainmentOption {
    /// A control group where one may be made, else the process group
    Auto,
    /// A control group, which no process leaves; without one the start fails
    Cgroup,
    /// The process group, and the orphans that left it
    Group,
}

impl From<ContainmentOption> for ContainmentMode {
    fn from(containment: ContainmentOption) -> Self {
        match containment {
            ContainmentOption::Auto => Self::Auto,
            ContainmentOption::Cgroup => Self::Cgroup,
            ContainmentOption::Group => Self::Group,
        }
    }
}

/// A duration, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OrNever(pub(crate) Option<Millis>);

pub(super) fn time_or_none(text: &str) -> Result<OrNever, String> {
    time_or("none", text)
}

pub(super) fn time_or_never(text: &str) -> Result<OrNever, String> {
    time_or("never", text)
}

fn time_or(word: &str, text: &str) -> Result<OrNever, String> {
    if text == word {
        return Ok(OrNever(None));
    }
    match text.parse() {
        Ok(time) => Ok(OrNever(Some(time))),
        Err(error) => Err(format!("{error}, or {word}")),
    }
}

/// How a program shows that it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReadyOption {
    /// By its start.
    Start,
    By(ReadyBy),
    Line(LinePattern),
}

pub(super) fn ready(text: &str) -> Result<ReadyOption, String> {
    let by = match text.split_once(':') {
        None if text == "none" => return Ok(ReadyOption::Start),
        Some(("line", pattern)) => {
            return pattern
                .parse()
                .map(ReadyOption::Line)
                .map_err(|error: PatternError| error.to_string());
        }
        None if text == "notify" => Some(ReadyBy::Notify),
        Some(("fd", number)) => whole_number(number).map(ReadyBy::Descriptor),
        Some(("tcp", place)) => {
            let local = whole_number(place).map(|port| (Ipv4Addr::LOCALHOST, port).into());
            local.or_else(|| place.parse().ok()).map(ReadyBy::Tcp)
        }
        Some(_) | None => None,
    };
    by.map(ReadyOption::By).ok_or_else(|| {
        "write none, notify, fd:3, tcp:8080, tcp:10.0.0.1:8080, tcp:[::1]:8080 or line:PATTERN"
            .into()
    })
}

pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = parts.ok_or("write NAME=VALUE")?;
    Ok((name.into(), value.into()))
}

pub(super) fn octal(text: &str) -> Result<u16, String> {
    u16::from_str_radix(text, 8).map_err(|_| "write octal digits, such as 027".into())
}

pub(super) fn percent(text: &str) -> Result<u8, String> {
    match whole_number(text.strip_suffix('%').unwrap_or(text)) {
        Some(percent @ 0..=100) => Ok(percent),
        Some(_) | None => Err("write a number from 0 to 100".into()),
    }
}

pub(super) fn limit(text: &str) -> Result<StartLimit, String> {
    let policy: monitor_core::Policy = format!("limit={text}")
        .parse()
        .map_err(|error: monitor_core::PolicyTextError| error.to_string())?;
    policy
        .rules()
        .limit
        .ok_or_else(|| "write 5/10s or 5/10s:wait, or leave it out for no limit".into())
}

pub(super) fn preset_names() -> PossibleValuesParser {
    PossibleValuesParser::new(Preset::ALL.map(Preset::name))
}
