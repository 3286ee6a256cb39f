//! The restart behaviour of well-known systems, as policies.

use core::fmt;
use core::str::FromStr;

use crate::backoff::{Backoff, Curve, Factor};
use crate::exit::ExitSet;
use crate::parse_error::ParseError;
use crate::policy::{
    Counts, EarlyExit, Forgives, HealthyRule, OnLimit, Policy, PolicyBuilder, Readiness, Restart,
    Retries, Rules, StartLimit, StartRetry, StartRule, StartsCounted, StopRule,
};
use crate::scope::Scope;
use crate::signal::Signal;
use crate::time::Millis;

/// The rules of a well-known system, from which a policy can start.
///
/// Timelines under `tests/timelines/` pin each preset. They name their sources, and the differences
/// between the preset and its model.
///
/// # Examples
/// ```
/// use monitor_core::{Preset, Restart};
/// let policy = Preset::Kubelet.builder().restart(Restart::OnFailure).build()?;
/// # Ok::<(), monitor_core::PolicyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Preset {
    /// Docker's `containerMonitor` of 2014, the seed: 200 ms first, doubling without a cap,
    /// forgiven by a run of more than 10 s. N means runs, and a failed first start is not retried.
    #[cfg_attr(feature = "serde", serde(rename = "docker-2014"))]
    Docker2014,
    /// Docker today: 100 ms doubling to 1 min, forgiven by 10 s, N restarts in all.
    Docker,
    /// Podman: no delay (1 ms here, so that a crash loop is bounded), N restarts in all.
    Podman,
    /// The kubelet: at once, then 10 s doubling to 5 min, forgiven by 10 min.
    Kubelet,
    /// systemd: 100 ms always, at most 5 starts of any kind in 10 s, 90 s to start and to stop.
    Systemd,
    /// s6: at once after a second of service, else after 1 s; exit 125 is final; never kills.
    S6,
    /// supervisord: 1 s, 2 s, 3 s for starts that do not last a second, then fatal; else at once.
    Supervisord,
    /// Nomad's service jobs: 15 s and up to 25 % more, at most 2 restarts in 30 min.
    Nomad,
    /// pm2: at once; given up at the 16th run that does not last a second.
    Pm2,
}

impl Preset {
    /// All presets.
    pub const ALL: [Self; 9] = [
        Self::Docker2014,
        Self::Docker,
        Self::Podman,
        Self::Kubelet,
        Self::Systemd,
        Self::S6,
        Self::Supervisord,
        Self::Nomad,
        Self::Pm2,
    ];

    /// The name in texts and on command lines: `docker-2014`, `docker` and so on.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker2014 => "docker-2014",
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Kubelet => "kubelet",
            Self::Systemd => "systemd",
            Self::S6 => "s6",
            Self::Supervisord => "supervisord",
            Self::Nomad => "nomad",
            Self::Pm2 => "pm2",
        }
    }

    /// A builder with the rules of the preset.
    pub const fn builder(self) -> PolicyBuilder {
        PolicyBuilder { rules: self.rules() }
    }

    /// The meaning of the N in `on-failure:N` for this system.
    #[must_use]
    pub const fn counts(self) -> Counts {
        match self {
            Self::Docker2014 => Counts::Runs,
            Self::Docker
            | Self::Podman
            | Self::Kubelet
            | Self::Systemd
            | Self::S6
            | Self::Supervisord
            | Self::Nomad
            | Self::Pm2 => Counts::Restarts,
        }
    }

    const fn rules(self) -> Rules {
        const TEN_SECONDS: Millis = Millis::from_secs(10);
        const SECOND: Millis = Millis::from_secs(1);
        match self {
            Self::Docker2014 => Rules {
                restart: Restart::No,
                backoff: Backoff { skip: 1, ..doubling(Millis::new(100), Millis::MAX) },
                // Strictly more than 10 s, in whole milliseconds (seed.md B33, Q2).
                healthy: Some(HealthyRule {
                    after: Millis::new(10_001),
                    forgives: Forgives::Delay,
                }),
                start: starts(StartRetry::Never, StartRetry::Always),
                ..BASE
            },
            Self::Docker => Rules {
                restart: Restart::No,
                backoff: doubling(Millis::new(100), Millis::from_mins(1)),
                healthy: Some(HealthyRule { after: TEN_SECONDS, forgives: Forgives::Delay }),
                start: starts(StartRetry::Never, StartRetry::Never),
                ..BASE
            },
            Self::Podman => Rules {
                restart: Restart::No,
                backoff: constant(Millis::new(1)),
                start: starts(StartRetry::Never, StartRetry::Never),
                ..BASE
            },
            Self::Kubelet => Rules {
                restart: Restart::Always,
                backoff: Backoff {
                    first: Some(Millis::ZERO),
                    ..doubling(TEN_SECONDS, Millis::from_mins(5))
                },
                healthy: Some(HealthyRule {
                    after: Millis::from_mins(10),
                    forgives: Forgives::Delay,
                }),
                stop: StopRule { grace: Some(Millis::from_secs(30)), ..BASE.stop },
                start: starts(StartRetry::Always, StartRetry::Always),
                ..BASE
            },
            Self::Systemd => Rules {
                restart: Restart::No,
                success: ExitSet::EMPTY
                    .with_signal(Signal::HUP)
                    .with_signal(Signal::INT)
                    .with_signal(Signal::TERM)
                    .with_signal(Signal::PIPE),
                backoff: constant(Millis::new(100)),
                limit: Some(StartLimit {
                    burst: 5,
                    window: TEN_SECONDS,
                    counts: StartsCounted::All,
                    then: OnLimit::Stop,
                }),
                stop: StopRule {
                    grace: Some(Millis::from_secs(90)),
                    kill_window: Millis::from_secs(90),
                    ..BASE.stop
                },
                start: StartRule {
                    timeout: Some(Millis::from_secs(90)),
                    ..starts(StartRetry::Always, StartRetry::Always)
                },
                ..BASE
            },
            Self::S6 => Rules {
                restart: Restart::Always,
                prevent: ExitSet::EMPTY.with_code(125),
                backoff: Backoff { first: Some(Millis::ZERO), skip: 1, ..constant(SECOND) },
                healthy: Some(HealthyRule { after: SECOND, forgives: Forgives::Delay }),
                stop: StopRule { grace: None, scope: Scope::Process, ..BASE.stop },
                start: starts(StartRetry::Always, StartRetry::Always),
                ..BASE
            },
            Self::Supervisord => Rules {
                retries: Some(Retries { max: 3, counts: Counts::Restarts }),
                early_exit: EarlyExit::Failure,
                backoff: Backoff {
                    curve: Curve::Linear {
                        initial: SECOND,
                        increment: SECOND,
                        cap: Millis::from_secs(255),
                    },
                    first: Some(Millis::ZERO),
                    skip: 1,
                    jitter_percent: 0,
                },
                healthy: Some(HealthyRule { after: SECOND, forgives: Forgives::All }),
                stop: StopRule { scope: Scope::Process, ..BASE.stop },
                start: starts(StartRetry::Always, StartRetry::Always),
                ..BASE
            },
            Self::Nomad => Rules {
                restart: Restart::Always,
                backoff: Backoff { jitter_percent: 25, ..constant(Millis::from_secs(15)) },
                limit: Some(StartLimit {
                    burst: 2,
                    window: Millis::from_mins(30),
                    counts: StartsCounted::Automatic,
                    then: OnLimit::Stop,
                }),
                stop: StopRule { grace: Some(Millis::from_secs(5)), ..BASE.stop },
                ..BASE
            },
            Self::Pm2 => Rules {
                restart: Restart::Always,
                retries: Some(Retries { max: 16, counts: Counts::Runs }),
                backoff: constant(Millis::ZERO),
                healthy: Some(HealthyRule { after: SECOND, forgives: Forgives::All }),
                stop: StopRule {
                    signal: Signal::INT,
                    grace: Some(Millis::new(1_600)),
                    ..BASE.stop
                },
                start: starts(StartRetry::Never, StartRetry::Never),
                ..BASE
            },
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads the name of a preset.
///
/// # Errors
/// [`ParseError`] with the value and the known names.
impl FromStr for Preset {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL.into_iter().find(|preset| preset.name() == text).ok_or_else(|| {
            ParseError::new(
                "preset",
                text,
                "give docker-2014, docker, podman, kubelet, systemd, s6, supervisord, nomad or pm2",
            )
        })
    }
}

/// The rules of a system where its preset says nothing else.
///
/// They restart on failure without a bound. Only code 0 is a success, and nothing is forgiven. A
/// stop is `TERM`, 10 s and the kill. Transient start failures are retried.
const BASE: Rules = Rules { healthy: None, ..Policy::DEFAULT.rules };

const fn constant(delay: Millis) -> Backoff {
    Backoff { curve: Curve::Constant { delay }, first: None, skip: 0, jitter_percent: 0 }
}

const fn doubling(initial: Millis, cap: Millis) -> Backoff {
    Backoff {
        curve: Curve::Exponential { initial, factor: Factor::DOUBLE, cap },
        first: None,
        skip: 0,
        jitter_percent: 0,
    }
}

const fn starts(first: StartRetry, later: StartRetry) -> StartRule {
    StartRule { timeout: None, readiness: Readiness::Exec, first, later }
}

// A preset that cannot be built does not compile.
const _: () = {
    let mut i = 0;
    while i < Preset::ALL.len() {
        assert!(Preset::ALL[i].builder().build().is_ok(), "every preset is sound");
        i += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules of each preset; a rule that is not listed is as in [`Policy::DEFAULT`].
    #[test]
    fn presets_are_what_their_text_says() {
        let table = [
            (
                "docker-2014",
                "restart=no backoff=exponential:100ms*2<=49d17h2m47s295ms skip=1 jitter=0% healthy-after=10s1ms forgive=delay first-start=never later-start=always",
            ),
            (
                "docker",
                "restart=no jitter=0% healthy-after=10s forgive=delay first-start=never later-start=never",
            ),
            (
                "podman",
                "restart=no backoff=constant:1ms jitter=0% healthy-after=none first-start=never later-start=never",
            ),
            (
                "kubelet",
                "restart=always backoff=exponential:10s*2<=5m first-delay=0ms jitter=0% healthy-after=10m forgive=delay stop-timeout=30s first-start=always later-start=always",
            ),
            (
                "systemd",
                "restart=no success=SIGHUP,SIGINT,SIGPIPE,SIGTERM backoff=constant:100ms jitter=0% healthy-after=none limit=5/10s:stop:all stop-timeout=1m30s kill-window=1m30s start-timeout=1m30s first-start=always later-start=always",
            ),
            (
                "s6",
                "restart=always prevent=125 backoff=constant:1s first-delay=0ms skip=1 jitter=0% healthy-after=1s forgive=delay stop-timeout=never scope=process first-start=always later-start=always",
            ),
            (
                "supervisord",
                "restart=on-failure retries=3 early-exit=failure backoff=linear:1s+1s<=4m15s first-delay=0ms skip=1 jitter=0% healthy-after=1s forgive=all scope=process first-start=always later-start=always",
            ),
            (
                "nomad",
                "restart=always backoff=constant:15s jitter=25% healthy-after=none limit=2/30m:stop stop-timeout=5s",
            ),
            (
                "pm2",
                "restart=always retries=16:runs backoff=constant:0ms jitter=0% healthy-after=1s forgive=all stop-signal=INT stop-timeout=1s600ms first-start=never later-start=never",
            ),
        ];
        for (preset, (name, text)) in Preset::ALL.into_iter().zip(table) {
            assert_eq!((preset.to_string().as_str(), name.parse()), (name, Ok(preset)));
            let policy = preset.builder().build().unwrap();
            assert_eq!(policy.to_string(), text);
            assert_eq!(text.parse(), Ok(policy), "{name}");
        }
        assert_eq!("upstart".parse::<Preset>().unwrap_err().value(), "upstart");
    }

    #[test]
    fn only_the_ancestor_counted_runs() {
        let (ancestor, others) = Preset::ALL.split_first().unwrap();
        assert_eq!(ancestor.counts(), Counts::Runs);
        assert!(others.iter().all(|preset| preset.counts() == Counts::Restarts));
    }
}
