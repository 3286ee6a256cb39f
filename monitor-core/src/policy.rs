//! The rules of supervision. A policy is checked when it is built, so each policy is sound.

use core::fmt;

use crate::backoff::{Backoff, Curve, Factor, STEPS_MAX};
use crate::exit::ExitSet;
use crate::scope::Scope;
use crate::signal::Signal;
use crate::time::Millis;

/// The checked rules by which one process is supervised.
///
/// [`PolicyBuilder::build`] refuses unsound rules. The text form (`Display`, `FromStr`) lists the
/// differences from [`Policy::DEFAULT`] as `key=value` words. Case files use it.
///
/// # Examples
/// ```
/// use monitor_core::{Policy, Restart};
/// let policy: Policy = "restart=always backoff=exponential:100ms*2<=30s jitter=0".parse()?;
/// assert_eq!(policy.rules().restart, Restart::Always);
/// assert_eq!(policy.to_string().parse(), Ok(policy));
/// # Ok::<(), monitor_core::PolicyTextError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Rules", into = "Rules"))]
pub struct Policy {
    pub(crate) rules: Rules,
}

/// The items of a policy, as plain data; [`PolicyBuilder`] turns them into a [`Policy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case", deny_unknown_fields))]
pub struct Rules {
    /// The ends of a run after which another run follows.
    pub restart: Restart,
    /// The bound on restarts, in a row or in all; `None` for no bound.
    pub retries: Option<Retries>,
    /// Exits that count as success, beside exit code 0.
    pub success: ExitSet,
    /// Exits after which no restart follows, whatever the restart rule says.
    pub prevent: ExitSet,
    /// Exits after which a restart always follows, unless prevented.
    pub force: ExitSet,
    /// The meaning of an exit before the run was healthy.
    pub early_exit: EarlyExit,
    /// The delay before the next attempt.
    pub backoff: Backoff,
    /// The condition of a healthy run, and the failures that it forgives; `None` for never.
    pub healthy: Option<HealthyRule>,
    /// The bound on starts in a window of time; `None` for no bound.
    pub limit: Option<StartLimit>,
    /// The way in which a run is brought down.
    pub stop: StopRule,
    /// The way in which a run is brought up.
    pub start: StartRule,
    /// The longest silence of a serving process; `None` for no watchdog.
    pub watchdog: Option<Watchdog>,
    /// Whether a start may happen if its state could not be saved.
    pub save: SaveRule,
}

/// The ends of a run after which another run follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Restart {
    /// None.
    No,
    /// Failures: an exit that is no success, a fault, a failed start.
    OnFailure,
    /// All ends. A process that a user stopped comes back with the next boot.
    Always,
    /// All ends. A process that a user stopped stays down, even after a boot.
    UnlessStopped,
}

/// A bound on automatic restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Retries {
    /// The bound; zero for no retry.
    pub max: u16,
    /// The meaning of the bound.
    pub counts: Counts,
}

/// The meaning of the number in `on-failure:3`.
///
/// # Source
/// seed.md B39, D33, Q3: the seed allowed N runs. Later systems allow N restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Counts {
    /// Three restarts after the first run.
    #[default]
    Restarts,
    /// Three runs in all, the first included.
    Runs,
}

/// The meaning of an exit before the run was healthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum EarlyExit {
    /// The exit status decides.
    #[default]
    ByStatus,
    /// A failure, even with exit code 0: supervisord's `startsecs`.
    Failure,
}

/// The condition of a healthy run, and the failures that it forgives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HealthyRule {
    /// The time for which the process must have served without a break, at least 1 ms. A run of
    /// exactly this length is healthy.
    pub after: Millis,
    /// The failures that are forgiven.
    pub forgives: Forgives,
}

/// The failures that a healthy run forgives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Forgives {
    /// The growth of the delay.
    Delay,
    /// The growth of the delay, and the retries used.
    All,
}

/// A bound on starts in a window of time that opens with a counted start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StartLimit {
    /// The number of starts that the window allows, 1 to 254.
    pub burst: u8,
    /// The time for which the window stays open, at least 1 ms.
    pub window: Millis,
    /// The starts that count.
    pub counts: StartsCounted,
    /// The result of one start too many.
    pub then: OnLimit,
}

/// The starts that a start limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum StartsCounted {
    /// Starts by the monitor itself: users cannot lock themselves out (BB-172).
    #[default]
    Automatic,
    /// All starts, those of users included: systemd's `StartLimitBurst`.
    All,
}

/// The result of reaching the start limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum OnLimit {
    /// The supervision gives up.
    #[default]
    Stop,
    /// The next start waits for the end of the window.
    Wait,
}

/// The way in which a run is brought down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StopRule {
    /// The signal that asks the process to end.
    pub signal: Signal,
    /// The time before the kill; `None` for no kill.
    pub grace: Option<Millis>,
    /// The time before a kill is repeated and reported, at least 1 ms.
    pub kill_window: Millis,
    /// The processes that the stop reaches.
    pub scope: Scope,
}

/// The way in which a run is brought up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StartRule {
    /// The longest time until the process serves; `None` for no bound.
    pub timeout: Option<Millis>,
    /// The condition under which a process serves.
    pub readiness: Readiness,
    /// The failures of the first start after a user's request that are retried.
    pub first: StartRetry,
    /// The failures of a later, automatic start that are retried.
    pub later: StartRetry,
}

/// The condition under which a process serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Readiness {
    /// It exists.
    #[default]
    Exec,
    /// It reports readiness; an exit before that is a failure.
    Notify,
}

/// The failed starts that count as failed runs; other failures end the supervision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum StartRetry {
    /// None.
    Never,
    /// Failures after which another attempt can succeed.
    Transient,
    /// All.
    Always,
}

/// The longest silence of a serving process, and the signal that follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Watchdog {
    /// The longest time between two pings while the process serves, at least 1 ms. A changed period
    /// counts from the next run on: see [`Event::PolicyChanged`](crate::Event::PolicyChanged).
    pub period: Millis,
    /// The signal that is sent then; the grace and the kill of the stop rule follow.
    pub signal: Signal,
}

/// Whether a start may happen if its state could not be saved. A stop never waits for a save.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum SaveRule {
    /// It may.
    #[default]
    Optional,
    /// It may not: the driver reports a transient start failure instead.
    Required,
}

impl Policy {
    /// The default rules: restart on failure, after 100 ms doubling to one minute with 10 % jitter.
    ///
    /// A run of 10 s forgives earlier failures. A stop is `TERM`, 10 s and the kill, to the whole
    /// group. Transient start failures are retried.
    pub const DEFAULT: Self = Self {
        rules: Rules {
            restart: Restart::OnFailure,
            retries: None,
            success: ExitSet::EMPTY,
            prevent: ExitSet::EMPTY,
            force: ExitSet::EMPTY,
            early_exit: EarlyExit::ByStatus,
            backoff: Backoff {
                curve: Curve::Exponential {
                    initial: Millis::new(100),
                    factor: Factor::DOUBLE,
                    cap: Millis::from_mins(1),
                },
                first: None,
                skip: 0,
                jitter_percent: 10,
            },
            healthy: Some(HealthyRule { after: Millis::from_secs(10), forgives: Forgives::All }),
            limit: None,
            stop: StopRule {
                signal: Signal::TERM,
                grace: Some(Millis::from_secs(10)),
                kill_window: Millis::from_secs(10),
                scope: Scope::Group,
            },
            start: StartRule {
                timeout: None,
                readiness: Readiness::Exec,
                first: StartRetry::Transient,
                later: StartRetry::Transient,
            },
            watchdog: None,
            save: SaveRule::Optional,
        },
    };

    /// A builder that starts from [`Policy::DEFAULT`].
    pub const fn builder() -> PolicyBuilder {
        PolicyBuilder { rules: Self::DEFAULT.rules }
    }

    /// A builder that starts from this policy.
    pub const fn to_builder(self) -> PolicyBuilder {
        PolicyBuilder { rules: self.rules }
    }

    /// The items of the policy.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl From<Policy> for Rules {
    fn from(policy: Policy) -> Self {
        policy.rules
    }
}

/// # Errors
/// As [`PolicyBuilder::build`].
impl TryFrom<Rules> for Policy {
    type Error = PolicyError;

    fn try_from(rules: Rules) -> Result<Self, PolicyError> {
        PolicyBuilder { rules }.build()
    }
}

/// Collects the items of a policy and checks them together.
///
/// # Examples
/// ```
/// use monitor_core::{Counts, Policy, Restart, Retries};
/// let policy = Policy::builder()
///     .restart(Restart::OnFailure)
///     .retries(Some(Retries { max: 3, counts: Counts::Restarts }))
///     .build()?;
/// # Ok::<(), monitor_core::PolicyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct PolicyBuilder {
    pub(crate) rules: Rules,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $kind:ty,)*) => {
        $($(#[$doc])*
        pub const fn $name(mut self, $name: $kind) -> Self {
            self.rules.$name = $name;
            self
        })*
    };
}

impl PolicyBuilder {
    setters! {
        /// Sets the ends of a run after which another run follows.
        restart: Restart,
        /// Sets the bound on automatic restarts.
        retries: Option<Retries>,
        /// Sets the exits that count as success, beside exit code 0.
        success: ExitSet,
        /// Sets the exits after which no restart follows.
        prevent: ExitSet,
        /// Sets the exits after which a restart always follows.
        force: ExitSet,
        /// Sets the meaning of an exit before the run was healthy.
        early_exit: EarlyExit,
        /// Sets the delay before the next attempt.
        backoff: Backoff,
        /// Sets the condition of a healthy run, and the failures that it forgives.
        healthy: Option<HealthyRule>,
        /// Sets the bound on starts in a window of time.
        limit: Option<StartLimit>,
        /// Sets the way in which a run is brought down.
        stop: StopRule,
        /// Sets the way in which a run is brought up.
        start: StartRule,
        /// Sets the longest silence of a serving process.
        watchdog: Option<Watchdog>,
        /// Sets whether a start may happen if its state could not be saved.
        save: SaveRule,
    }

    /// Sets all items at once.
    pub const fn rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Checks the items and makes the policy.
    ///
    /// # Errors
    /// [`PolicyError`] names the unsound item and the fix. The builder is unchanged.
    pub const fn build(self) -> Result<Policy, PolicyError> {
        let rules = self.rules;
        if let Err(error) = check_backoff(&rules) {
            return Err(error);
        }
        if let Some(healthy) = rules.healthy
            && healthy.after.as_u32() == 0
        {
            return Err(PolicyError::Zero { item: "healthy-after" });
        }
        if rules.stop.kill_window.as_u32() == 0 {
            return Err(PolicyError::Zero { item: "kill-window" });
        }
        if let Some(watchdog) = rules.watchdog
            && watchdog.period.as_u32() == 0
        {
            return Err(PolicyError::Zero { item: "watchdog" });
        }
        if let Some(timeout) = rules.start.timeout
            && timeout.as_u32() == 0
        {
            return Err(PolicyError::Zero { item: "start-timeout" });
        }
        if let Some(limit) = rules.limit {
            if limit.window.as_u32() == 0 {
                return Err(PolicyError::Zero { item: "limit" });
            }
            if limit.burst == 0 || limit.burst > STEPS_MAX {
                return Err(PolicyError::OutOfRange {
                    item: "limit",
                    value: limit.burst as u32,
                    min: 1,
                    max: STEPS_MAX as u32,
                });
            }
        }
        Ok(Policy { rules })
    }
}

const fn check_backoff(rules: &Rules) -> Result<(), PolicyError> {
    let Backoff { curve, skip, jitter_percent, .. } = rules.backoff;
    if skip > 1 {
        return Err(PolicyError::OutOfRange { item: "skip", value: skip as u32, min: 0, max: 1 });
    }
    if jitter_percent > 100 {
        return Err(PolicyError::OutOfRange {
            item: "jitter",
            value: jitter_percent as u32,
            min: 0,
            max: 100,
        });
    }
    match curve {
        Curve::Constant { delay } => {
            if delay.as_u32() == 0 && rules.retries.is_none() && rules.limit.is_none() {
                return Err(PolicyError::HotLoop);
            }
            return Ok(());
        }
        Curve::Exponential { factor, .. } => {
            let hundredths = factor.hundredths();
            if hundredths < 101 || hundredths > 10_000 {
                return Err(PolicyError::FactorOutOfRange { factor });
            }
        }
        Curve::Linear { increment, .. } => {
            if increment.as_u32() == 0 {
                return Err(PolicyError::Zero { item: "backoff increment" });
            }
        }
        Curve::Geometric { steps, .. } => {
            if steps == 0 || steps > STEPS_MAX {
                return Err(PolicyError::OutOfRange {
                    item: "backoff steps",
                    value: steps as u32,
                    min: 1,
                    max: STEPS_MAX as u32,
                });
            }
        }
    }
    if curve.initial().as_u32() == 0 {
        return Err(PolicyError::Zero { item: "backoff initial" });
    }
    if curve.cap().as_u32() < curve.initial().as_u32() {
        return Err(PolicyError::CapBelowInitial { initial: curve.initial(), cap: curve.cap() });
    }
    if curve.at(STEPS_MAX).as_u32() < curve.cap().as_u32() {
        return Err(PolicyError::CapOutOfReach { cap: curve.cap(), reached: curve.at(STEPS_MAX) });
    }
    Ok(())
}

/// The reason why rules are unsound. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// A duration is zero, but must not be.
    Zero {
        /// The item.
        item: &'static str,
    },
    /// A number is outside its bounds.
    OutOfRange {
        /// The item.
        item: &'static str,
        /// The given number.
        value: u32,
        /// The smallest allowed number.
        min: u32,
        /// The largest allowed number.
        max: u32,
    },
    /// A factor is outside 1.01 to 100.
    FactorOutOfRange {
        /// The given factor.
        factor: Factor,
    },
    /// The longest delay is shorter than the first.
    CapBelowInitial {
        /// The first delay.
        initial: Millis,
        /// The longest delay.
        cap: Millis,
    },
    /// The delay grows too slowly to reach its cap in 254 steps.
    CapOutOfReach {
        /// The given cap.
        cap: Millis,
        /// The delay after 254 steps.
        reached: Millis,
    },
    /// There is no delay, no retry budget and no start limit: a crash loop would run at full speed.
    HotLoop,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero { item } => write!(f, "{item}: 0 is not possible: give at least 1ms"),
            Self::OutOfRange { item, value, min, max } => {
                write!(f, "{item}: {value} is out of range: give a number from {min} to {max}")
            }
            Self::FactorOutOfRange { factor } => {
                write!(f, "backoff factor: {factor} is out of range: give a number from 1.01 to 100")
            }
            Self::CapBelowInitial { initial, cap } => write!(
                f,
                "backoff: the longest delay {cap} is below the first, {initial}: raise it or lower the first"
            ),
            Self::CapOutOfReach { cap, reached } => write!(
                f,
                "backoff: after 254 steps the delay is only {reached} of {cap}: let it grow faster"
            ),
            Self::HotLoop => f.write_str(
                "backoff: no delay, no retries and no limit would restart a crashing process at full speed: give one of them",
            ),
        }
    }
}

impl core::error::Error for PolicyError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_sound(backoff: Backoff) -> bool {
        Policy::builder().restart(Restart::Always).backoff(backoff).build().is_ok()
    }

    /// Each bound with values just inside and just outside.
    #[test]
    fn bounds_are_where_they_are_said_to_be() {
        let plain = Policy::DEFAULT.rules().backoff;
        for (skip, sound) in [(0, true), (1, true), (2, false)] {
            assert_eq!(is_sound(Backoff { skip, ..plain }), sound, "skip {skip}");
        }
        for (jitter_percent, sound) in [(0, true), (100, true), (101, false), (255, false)] {
            assert_eq!(is_sound(Backoff { jitter_percent, ..plain }), sound, "{jitter_percent} %");
        }
        let (initial, cap) = (Millis::new(100), Millis::new(900));
        for (hundredths, sound) in
            [(0, false), (100, false), (101, true), (10_000, true), (10_001, false)]
        {
            let factor = Factor::from_hundredths(hundredths);
            let curve = Curve::Exponential { initial, factor, cap };
            assert_eq!(is_sound(Backoff { curve, ..plain }), sound, "factor {hundredths}");
        }
        for (steps, sound) in [(0, false), (1, true), (STEPS_MAX, true), (STEPS_MAX + 1, false)] {
            let curve = Curve::Geometric { initial, cap, steps };
            assert_eq!(is_sound(Backoff { curve, ..plain }), sound, "{steps} steps");
        }
        // From 100 ms by 1 ms: the last step that a level can hold reaches 354 ms.
        for (cap, sound) in [(99, false), (100, true), (354, true), (355, false)] {
            let (increment, cap) = (Millis::new(1), Millis::new(cap));
            let curve = Curve::Linear { initial, increment, cap };
            assert_eq!(is_sound(Backoff { curve, ..plain }), sound, "cap {cap}");
        }
        for (burst, sound) in [(0, false), (1, true), (STEPS_MAX, true), (STEPS_MAX + 1, false)] {
            let window = Millis::from_secs(10);
            let counts = StartsCounted::All;
            let limit = StartLimit { burst, window, counts, then: OnLimit::Stop };
            let built = Policy::builder().limit(Some(limit)).build();
            assert_eq!(built.is_ok(), sound, "burst {burst}");
        }
    }

    #[test]
    fn what_must_not_be_zero_is_refused_by_its_name() {
        let zero = Millis::ZERO;
        let rules = Policy::DEFAULT.rules;
        let healthy = HealthyRule { after: zero, forgives: Forgives::All };
        let limit =
            StartLimit { burst: 1, window: zero, counts: StartsCounted::All, then: OnLimit::Stop };
        let watchdog = Watchdog { period: zero, signal: Signal::ABRT };
        let linear =
            Curve::Linear { initial: Millis::new(1), increment: zero, cap: Millis::new(9) };
        let geometric = Curve::Geometric { initial: zero, cap: Millis::new(9), steps: 3 };
        let build = Policy::builder;
        for (builder, item) in [
            (build().healthy(Some(healthy)), "healthy-after"),
            (build().limit(Some(limit)), "limit"),
            (build().watchdog(Some(watchdog)), "watchdog"),
            (build().stop(StopRule { kill_window: zero, ..rules.stop }), "kill-window"),
            (build().start(StartRule { timeout: Some(zero), ..rules.start }), "start-timeout"),
            (build().backoff(Backoff { curve: linear, ..rules.backoff }), "backoff increment"),
            (build().backoff(Backoff { curve: geometric, ..rules.backoff }), "backoff initial"),
        ] {
            assert_eq!(builder.build(), Err(PolicyError::Zero { item }));
        }
    }

    /// A policy without a delay needs one of the two bounds. Without any it is a crash loop.
    #[test]
    fn no_delay_needs_a_bound() {
        let hot = "restart=always backoff=constant:0ms";
        for (bound, sound) in [
            ("", false),
            (" retries=3", true),
            (" limit=5/10s", true),
            (" retries=3 limit=5/10s", true),
        ] {
            assert_eq!(format!("{hot}{bound}").parse::<Policy>().is_ok(), sound, "{bound}");
        }
        let bound = "restart=always backoff=constant:1ms";
        assert!(bound.parse::<Policy>().is_ok());
    }

    #[test]
    fn an_error_names_item_value_and_fix() {
        for (policy, error) in [
            ("kill-window=0ms", "kill-window: 0 is not possible: give at least 1ms"),
            ("jitter=101%", "jitter: 101 is out of range: give a number from 0 to 100"),
            ("skip=2", "skip: 2 is out of range: give a number from 0 to 1"),
            ("limit=255/10s", "limit: 255 is out of range: give a number from 1 to 254"),
            (
                "backoff=geometric:1s<=9s/0",
                "backoff steps: 0 is out of range: give a number from 1 to 254",
            ),
            (
                "backoff=exponential:1s*1<=9s",
                "backoff factor: 1 is out of range: give a number from 1.01 to 100",
            ),
            (
                "backoff=linear:2s+1s<=1s",
                "backoff: the longest delay 1s is below the first, 2s: raise it or lower the first",
            ),
            (
                "backoff=linear:100ms+1ms<=1s",
                "backoff: after 254 steps the delay is only 354ms of 1s: let it grow faster",
            ),
            (
                "backoff=constant:0ms",
                "backoff: no delay, no retries and no limit would restart a crashing process at full speed: give one of them",
            ),
        ] {
            assert_eq!(policy.parse::<Policy>().unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn a_policy_and_its_rules_are_the_same() {
        let policy: Policy = "restart=always watchdog=2s save=required".parse().unwrap();
        let rules = Rules::from(policy);
        assert_eq!(&rules, policy.rules());
        assert_eq!(Policy::try_from(rules), Ok(policy));
        assert_eq!(policy.to_builder().build(), Ok(policy));
        assert_eq!(Policy::builder().rules(rules).build(), Ok(policy));
        assert_eq!(Policy::builder().build(), Ok(Policy::DEFAULT));
    }
}
