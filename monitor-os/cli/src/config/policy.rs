//! Makes a policy of options: the preset first, then rules in text form, then single options.

use std::fmt;

use monitor_core::{
    Curve, Factor, Forgives, HealthyRule, Millis, Policy, PolicyError, PolicyTextError, Preset,
    Readiness, Restart, Rules,
};

use super::options::UnitOptions;
use super::values::{OrNever, ReadyOption};

/// The reason for which options make no policy, and how to correct them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OptionsError {
    /// The text of `--policy` cannot be read.
    Policy(PolicyTextError),
    /// The value of `--restart` cannot be read.
    Restart(monitor_core::ParseError),
    /// Each option is valid, and no policy has such rules.
    Rules(PolicyError),
}

/// A rule that waits for notifications, for a process that was started without a notify socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotNotified(&'static str);

/// The reason for which a policy is not changed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ChangeError {
    /// The rules cannot be read, or no policy has them.
    Text(PolicyTextError),
    /// See [`NotNotified`].
    NotNotified(NotNotified),
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(error) => error.fmt(f),
            Self::NotNotified(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for NotNotified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} waits for notifications, and the process was started without a notify socket; \
             give the rule to `monitor run` or write it into the file, and restart",
            self.0
        )
    }
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(error) => error.fmt(f),
            Self::Restart(error) => {
                write!(f, "{:?} is not understood: {}", error.value(), error.fix())
            }
            Self::Rules(error) => write!(f, "no policy has these rules: {error}"),
        }
    }
}

impl OptionsError {
    /// The option to correct; `None` if it may be one of several.
    pub(crate) const fn option(&self) -> Option<&'static str> {
        match self {
            Self::Policy(_) => Some("policy"),
            Self::Restart(_) => Some("restart"),
            Self::Rules(_) => None,
        }
    }
}

/// The policy of some options.
pub(crate) fn policy(options: &UnitOptions) -> Result<Policy, OptionsError> {
    let preset = options.preset.as_deref().and_then(|name| name.parse::<Preset>().ok());
    let mut words = String::new();
    if let Some(preset) = preset {
        words = format!("preset={preset} ");
    }
    words.push_str(options.policy.as_deref().unwrap_or_default());
    let base = if words.is_empty() {
        Policy::DEFAULT
    } else {
        words.parse().map_err(OptionsError::Policy)?
    };
    let mut rules = *base.rules();
    if let Some(restart) = &options.restart {
        let counts = preset.map(Preset::counts).unwrap_or_default();
        let (restart, retries) =
            Restart::parse_with_retries(restart, counts).map_err(OptionsError::Restart)?;
        rules.restart = restart;
        rules.retries = retries.or(rules.retries);
    }
    change_backoff(&mut rules, options);
    change_rest(&mut rules, options);
    let policy = rules.try_into().map_err(OptionsError::Rules)?;
    Ok(policy)
}

/// The policy with some rules changed, in the text form. A preset in the first place replaces the
/// whole policy.
///
/// # Errors
/// The first word that is not understood, or the reason for which no policy has such rules.
pub(crate) fn changed(policy: &Policy, rules: &[String]) -> Result<Policy, ChangeError> {
    let words = rules.join(" ");
    let text =
        if words.trim_start().starts_with("preset=") { words } else { format!("{policy} {words}") };
    let changed = text.parse().map_err(ChangeError::Text)?;
    check_notifications(policy, &changed).map_err(ChangeError::NotNotified)?;
    Ok(changed)
}

/// Checks that the running process has the notify socket that the changed rules wait for.
fn check_notifications(policy: &Policy, changed: &Policy) -> Result<(), NotNotified> {
    let (before, after) = (policy.rules(), changed.rules());
    if after.start.readiness == Readiness::Notify && before.start.readiness != Readiness::Notify {
        return Err(NotNotified("readiness=notify"));
    }
    Ok(())
}

const fn change_backoff(rules: &mut Rules, options: &UnitOptions) {
    let curve = &mut rules.backoff.curve;
    if let Some(first) = options.backoff_initial {
        match curve {
            Curve::Constant { delay } => *delay = first,
            Curve::Linear { initial, .. }
            | Curve::Exponential { initial, .. }
            | Curve::Geometric { initial, .. } => *initial = first,
        }
    }
    if let Some(longest) = options.backoff_max {
        match curve {
            Curve::Constant { delay } => *curve = doubling(*delay, longest),
            Curve::Linear { cap, .. }
            | Curve::Exponential { cap, .. }
            | Curve::Geometric { cap, .. } => *cap = longest,
        }
    }
    if let Some(by) = options.backoff_factor {
        let initial = curve.at(0);
        let cap = match *curve {
            Curve::Constant { delay } => delay,
            Curve::Linear { cap, .. }
            | Curve::Exponential { cap, .. }
            | Curve::Geometric { cap, .. } => cap,
        };
        *curve = Curve::Exponential { initial, factor: by, cap };
    }
    if let Some(percent) = options.jitter {
        rules.backoff.jitter_percent = percent;
    }
}

const fn doubling(initial: Millis, cap: Millis) -> Curve {
    Curve::Exponential { initial, factor: Factor::DOUBLE, cap }
}

fn change_rest(rules: &mut Rules, options: &UnitOptions) {
    if let Some(OrNever(after)) = options.healthy_after {
        let forgives = rules.healthy.map_or(Forgives::All, |healthy| healthy.forgives);
        rules.healthy = after.map(|after| HealthyRule { after, forgives });
    }
    if let Some(limit) = options.start_limit {
        rules.limit = Some(limit);
    }
    if let Some(OrNever(timeout)) = options.start_timeout {
        rules.start.timeout = timeout;
    }
    if let Some(OrNever(grace)) = options.stop_timeout {
        rules.stop.grace = grace;
    }
    set(
        &mut rules.start.readiness,
        options.ready.as_ref().map(|sign| match sign {
            ReadyOption::Start => Readiness::Exec,
            ReadyOption::By(_) | ReadyOption::Line(_) => Readiness::Notify,
        }),
    );
    set(&mut rules.stop.signal, options.stop_signal);
    set(&mut rules.stop.kill_window, options.kill_window);
    set(&mut rules.stop.scope, options.scope.map(Into::into));
    set(&mut rules.success, options.success);
    set(&mut rules.prevent, options.prevent);
    set(&mut rules.force, options.force);
}

fn set<T>(item: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *item = value;
    }
}
