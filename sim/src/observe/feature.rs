//! Features of supervisors that scenarios need.

use std::fmt;

use super::supervisor::{
    CrashRuns, PolicyName, Remains, Request, ShutdownRuns, StopGrace, Supervisor,
};

/// A feature that a scenario needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Feature {
    /// A restart policy.
    Policy(PolicyName),
    /// A request.
    Request(Request),
    /// A delay before a restart.
    Delay,
    /// A limit of restarts.
    Limit,
    /// A kill after a grace.
    Kill,
    /// No kill at all.
    NoKill,
    /// A stop brings down what the run leaves, at least this hard.
    RemainsAfterStop(Remains),
    /// What a run leaves is brought down before the next run.
    RemainsAfterExit(Remains),
    /// The end of the supervisor ends its runs.
    ShutdownEndsRuns,
    /// A crash of the supervisor doubles no run.
    CrashSafe,
}

impl Feature {
    /// One feature for each key.
    pub const ALL: [Self; 13] = [
        Self::Policy(PolicyName::Always),
        Self::Policy(PolicyName::OnFailure),
        Self::Policy(PolicyName::Never),
        Self::Request(Request::Start),
        Self::Request(Request::Restart),
        Self::Request(Request::Status),
        Self::Delay,
        Self::Limit,
        Self::Kill,
        Self::RemainsAfterStop(Remains::Ended),
        Self::RemainsAfterExit(Remains::Ended),
        Self::ShutdownEndsRuns,
        Self::CrashSafe,
    ];

    /// Returns the key in the file that says whether a supervisor has the feature.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Policy(PolicyName::Always) => "policies.always",
            Self::Policy(PolicyName::OnFailure) => "policies.on-failure",
            Self::Policy(PolicyName::Never) => "policies.never",
            Self::Policy(PolicyName::Limited) => "policies.limited",
            Self::Request(Request::Stop) => "requests.stop",
            Self::Request(Request::Start) => "requests.start",
            Self::Request(Request::Restart) => "requests.restart",
            Self::Request(Request::Status) => "requests.status",
            Self::Delay => "restarts.delays",
            Self::Limit => "limit",
            Self::Kill | Self::NoKill => "stop.grace",
            Self::RemainsAfterStop(_) => "remains.stop",
            Self::RemainsAfterExit(_) => "remains.exit",
            Self::ShutdownEndsRuns => "shutdown.runs",
            Self::CrashSafe => "crash.runs",
        }
    }

    /// Returns why a supervisor has not got the feature; `None` if it has.
    #[must_use]
    pub fn lack(self, supervisor: &Supervisor) -> Option<Unfit> {
        let missing = || "the file has none".to_owned();
        let reason = match self {
            Self::Policy(policy) => {
                (!supervisor.policies.get_ref().contains_key(&policy)).then(missing)
            }
            Self::Request(request) => supervisor.requests.command(request).is_none().then(missing),
            Self::Delay => supervisor.restarts.delays.is_empty().then(missing),
            Self::Limit => supervisor.limit.is_none().then(missing),
            Self::Kill => (supervisor.stop.grace == StopGrace::Never)
                .then(|| "a run that ignores the stop signal is never killed".to_owned()),
            Self::NoKill => (supervisor.stop.grace != StopGrace::Never)
                .then(|| "a run that ignores the stop signal is killed".to_owned()),
            Self::RemainsAfterStop(least) => less(supervisor.remains.stop, least),
            Self::RemainsAfterExit(least) => less(supervisor.remains.exit, least),
            Self::ShutdownEndsRuns => (supervisor.shutdown.runs == ShutdownRuns::Left)
                .then(|| "the end of the supervisor leaves its runs alone".to_owned()),
            Self::CrashSafe => (supervisor.crash.runs == CrashRuns::Doubled).then(|| {
                "after a crash, the next supervisor begins a second run beside the first".to_owned()
            }),
        };
        let source = supervisor.sources.get(self.key()).map(|source| source.get_ref().clone());
        reason.map(|reason| Unfit { feature: self.key(), reason, source })
    }
}

fn less(is: Remains, least: Remains) -> Option<String> {
    (is < least).then(|| format!("what a run leaves is {is}, and the rule needs {least}"))
}

/// Why a scenario does not apply to a supervisor.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Unfit {
    /// The key of the feature that it lacks.
    pub feature: &'static str,
    /// What the file says about it.
    pub reason: String,
    /// Where the supervisor documents it.
    pub source: Option<String>,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        self.source.as_ref().map_or(Ok(()), |source| write!(f, " ({source})"))
    }
}
