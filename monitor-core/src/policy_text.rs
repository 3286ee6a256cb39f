//! The text form of policies.

use core::fmt;
use core::str::FromStr;

use crate::backoff::{Backoff, Curve, Factor};
use crate::exit::ExitSet;
use crate::names::{Names, choose, name_of};
use crate::parse_error::{ParseError, whole_number};
use crate::policy::{
    Counts, EarlyExit, Forgives, HealthyRule, OnLimit, Policy, PolicyBuilder, PolicyError,
    Readiness, Restart, Retries, Rules, SaveRule, StartLimit, StartRetry, StartsCounted, Watchdog,
};
use crate::preset::Preset;
use crate::scope::Scope;
use crate::signal::Signal;

/// The reason why a text is no policy. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyTextError {
    /// A word cannot be read.
    Parse(ParseError),
    /// The words can be read, but do not make a sound policy together.
    Policy(PolicyError),
}

impl fmt::Display for PolicyTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parse(error) => error.fmt(f),
            Self::Policy(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for PolicyTextError {}

impl From<ParseError> for PolicyTextError {
    fn from(error: ParseError) -> Self {
        Self::Parse(error)
    }
}

impl From<PolicyError> for PolicyTextError {
    fn from(error: PolicyError) -> Self {
        Self::Policy(error)
    }
}

/// Reads `key=value` words on top of [`Policy::DEFAULT`], or of `preset=NAME` if that comes first.
///
/// # Errors
/// [`PolicyTextError`] with the word that cannot be read, or with the unsound item.
impl FromStr for Policy {
    type Err = PolicyTextError;

    fn from_str(text: &str) -> Result<Self, PolicyTextError> {
        let mut words = text.split_whitespace().peekable();
        let preset = words
            .next_if(|word| word.starts_with("preset="))
            .map(|word| word.trim_start_matches("preset=").parse::<Preset>())
            .transpose()?;
        let mut rules = preset.map_or(Self::DEFAULT.rules, |preset| preset.builder().rules);
        let counts = preset.map_or(Counts::Restarts, Preset::counts);
        for word in words {
            set(&mut rules, counts, word)?;
        }
        Ok(PolicyBuilder { rules }.build()?)
    }
}

/// The keys of the text form, in the order in which they are printed.
const KEYS: &str = "write one of preset (first), restart, retries, success, prevent, force, early-exit, backoff, first-delay, skip, jitter, healthy-after, forgive, limit, stop-signal, stop-timeout, kill-window, scope, start-timeout, readiness, first-start, later-start, watchdog, watchdog-signal, save";

fn set(rules: &mut Rules, counts: Counts, word: &str) -> Result<(), ParseError> {
    let (key, value) = word.split_once('=').ok_or_else(|| {
        ParseError::new("policy", word, "write key=value words, such as restart=always")
    })?;
    match key {
        "restart" => {
            let (rule, max) =
                value.split_once(':').map_or((value, None), |(rule, max)| (rule, Some(max)));
            rules.restart = choose("restart", rule, RESTARTS)?;
            if let Some(max) = max {
                rules.retries = parse_retries(max, counts)?;
            }
        }
        "retries" => {
            let (max, counts) = match value.strip_suffix(":runs") {
                Some(max) => (max, Counts::Runs),
                None => (value, Counts::Restarts),
            };
            rules.retries =
                optional(max, |max| Ok(Retries { max: number("retries", max)?, counts }))?;
        }
        "success" => rules.success = value.parse()?,
        "prevent" => rules.prevent = value.parse()?,
        "force" => rules.force = value.parse()?,
        "early-exit" => rules.early_exit = choose("early-exit", value, EARLY_EXITS)?,
        "backoff" => rules.backoff.curve = value.parse()?,
        "first-delay" => rules.backoff.first = optional(value, |value| value.parse())?,
        "skip" => rules.backoff.skip = number("skip", value)?,
        "jitter" => {
            rules.backoff.jitter_percent =
                number("jitter", value.strip_suffix('%').unwrap_or(value))?;
        }
        "healthy-after" => {
            let forgives = rules.healthy.map_or(Forgives::All, |healthy| healthy.forgives);
            rules.healthy =
                optional(value, |after| Ok(HealthyRule { after: after.parse()?, forgives }))?;
        }
        "forgive" => {
            let forgives = choose("forgive", value, FORGIVES)?;
            match &mut rules.healthy {
                Some(healthy) => healthy.forgives = forgives,
                None => {
                    return Err(ParseError::new("forgive", value, "give healthy-after before it"));
                }
            }
        }
        "limit" => rules.limit = optional(value, parse_limit)?,
        "stop-signal" => rules.stop.signal = value.parse()?,
        "stop-timeout" => {
            rules.stop.grace = if value == "never" { None } else { Some(value.parse()?) };
        }
        "kill-window" => rules.stop.kill_window = value.parse()?,
        "scope" => rules.stop.scope = choose("scope", value, SCOPES)?,
        "start-timeout" => rules.start.timeout = optional(value, |value| value.parse())?,
        "readiness" => rules.start.readiness = choose("readiness", value, READINESS)?,
        "first-start" => rules.start.first = choose("first-start", value, START_RETRIES)?,
        "later-start" => rules.start.later = choose("later-start", value, START_RETRIES)?,
        "watchdog" => {
            let signal = rules.watchdog.map_or(Signal::ABRT, |watchdog| watchdog.signal);
            rules.watchdog =
                optional(value, |period| Ok(Watchdog { period: period.parse()?, signal }))?;
        }
        "watchdog-signal" => {
            let signal = value.parse()?;
            match &mut rules.watchdog {
                Some(watchdog) => watchdog.signal = signal,
                None => {
                    return Err(ParseError::new(
                        "watchdog-signal",
                        value,
                        "give watchdog before it",
                    ));
                }
            }
        }
        "save" => rules.save = choose("save", value, SAVES)?,
        "preset" => {
            return Err(ParseError::new("preset", value, "write it first: the rest changes it"));
        }
        _ => return Err(ParseError::new("policy key", key, KEYS)),
    }
    Ok(())
}

/// Prints the differences from [`Policy::DEFAULT`]; the default prints as `restart=on-failure`.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rules, base) = (&self.rules, &Self::DEFAULT.rules);
        write!(f, "restart={}", name_of(RESTARTS, rules.restart))?;
        if let Some(Retries { max, counts }) = rules.retries {
            let runs = if counts == Counts::Runs { ":runs" } else { "" };
            write!(f, " retries={max}{runs}")?;
        }
        let sets = [("success", rules.success), ("prevent", rules.prevent), ("force", rules.force)];
        for (key, set) in sets {
            if set != ExitSet::EMPTY {
                write!(f, " {key}={set}")?;
            }
        }
        if rules.early_exit != base.early_exit {
            write!(f, " early-exit={}", name_of(EARLY_EXITS, rules.early_exit))?;
        }
        let Backoff { curve, first, skip, jitter_percent } = rules.backoff;
        if curve != base.backoff.curve {
            write!(f, " backoff={curve}")?;
        }
        if let Some(first) = first {
            write!(f, " first-delay={first}")?;
        }
        if skip != base.backoff.skip {
            write!(f, " skip={skip}")?;
        }
        if jitter_percent != base.backoff.jitter_percent {
            write!(f, " jitter={jitter_percent}%")?;
        }
        match rules.healthy {
            None => f.write_str(" healthy-after=none")?,
            Some(HealthyRule { after, forgives }) if rules.healthy != base.healthy => {
                write!(f, " healthy-after={after} forgive={}", name_of(FORGIVES, forgives))?;
            }
            Some(_) => {}
        }
        if let Some(StartLimit { burst, window, counts, then }) = rules.limit {
            write!(f, " limit={burst}/{window}:{}", name_of(ON_LIMITS, then))?;
            if counts == StartsCounted::All {
                f.write_str(":all")?;
            }
        }
        let stop = rules.stop;
        if stop.signal != base.stop.signal {
            write!(f, " stop-signal={}", stop.signal)?;
        }
        match stop.grace {
            None => f.write_str(" stop-timeout=never")?,
            Some(grace) if stop.grace != base.stop.grace => write!(f, " stop-timeout={grace}")?,
            Some(_) => {}
        }
        if stop.kill_window != base.stop.kill_window {
            write!(f, " kill-window={}", stop.kill_window)?;
        }
        if stop.scope != base.stop.scope {
            write!(f, " scope={}", stop.scope)?;
        }
        let start = rules.start;
        if let Some(timeout) = start.timeout {
            write!(f, " start-timeout={timeout}")?;
        }
        if start.readiness != base.start.readiness {
            write!(f, " readiness={}", name_of(READINESS, start.readiness))?;
        }
        if start.first != base.start.first {
            write!(f, " first-start={}", name_of(START_RETRIES, start.first))?;
        }
        if start.later != base.start.later {
            write!(f, " later-start={}", name_of(START_RETRIES, start.later))?;
        }
        if let Some(Watchdog { period, signal }) = rules.watchdog {
            write!(f, " watchdog={period}")?;
            if signal != Signal::ABRT {
                write!(f, " watchdog-signal={signal}")?;
            }
        }
        if rules.save != base.save {
            write!(f, " save={}", name_of(SAVES, rules.save))?;
        }
        Ok(())
    }
}

/// Prints `constant:1s`, `linear:1s+1s<=10s`, `exponential:100ms*2<=1m`, `geometric:100ms<=5m/10`.
impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant { delay } => write!(f, "constant:{delay}"),
            Self::Linear { initial, increment, cap } => {
                write!(f, "linear:{initial}+{increment}<={cap}")
            }
            Self::Exponential { initial, factor, cap } => {
                write!(f, "exponential:{initial}*{factor}<={cap}")
            }
            Self::Geometric { initial, cap, steps } => {
                write!(f, "geometric:{initial}<={cap}/{steps}")
            }
        }
    }
}

/// Reads the form that `Display` prints.
///
/// # Errors
/// [`ParseError`] with the value.
impl FromStr for Curve {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = || {
            ParseError::new(
                "backoff",
                text,
                "write constant:1s, linear:1s+1s<=10s, exponential:100ms*2<=1m or geometric:100ms<=5m/10",
            )
        };
        let (shape, rest) = text.split_once(':').ok_or_else(error)?;
        if shape == "constant" {
            return Ok(Self::Constant { delay: rest.parse()? });
        }
        let (growth, cap) = rest.split_once("<=").ok_or_else(error)?;
        match shape {
            "linear" => {
                let (initial, increment) = growth.split_once('+').ok_or_else(error)?;
                Ok(Self::Linear {
                    initial: initial.parse()?,
                    increment: increment.parse()?,
                    cap: cap.parse()?,
                })
            }
            "exponential" => {
                let (initial, factor) = growth.split_once('*').ok_or_else(error)?;
                Ok(Self::Exponential {
                    initial: initial.parse()?,
                    factor: factor.parse()?,
                    cap: cap.parse()?,
                })
            }
            "geometric" => {
                let (cap, steps) = cap.split_once('/').ok_or_else(error)?;
                Ok(Self::Geometric {
                    initial: growth.parse()?,
                    cap: cap.parse()?,
                    steps: number("backoff steps", steps)?,
                })
            }
            _ => Err(error()),
        }
    }
}

/// Prints `2` or `1.5`.
impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, hundredths) = (self.hundredths() / 100, self.hundredths() % 100);
        match (hundredths, hundredths % 10) {
            (0, _) => write!(f, "{whole}"),
            (_, 0) => write!(f, "{whole}.{}", hundredths / 10),
            _ => write!(f, "{whole}.{hundredths:02}"),
        }
    }
}

/// Reads `2`, `1.5` or `1.25`.
///
/// # Errors
/// [`ParseError`] with the value.
impl FromStr for Factor {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = || ParseError::new("factor", text, "write a number such as 2, 1.5 or 1.25");
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let whole: u16 = whole_number(whole).ok_or_else(error)?;
        let tenths = if fraction.len() == 1 { 10 } else { 1 };
        let fraction: u16 = match fraction.len() {
            1 | 2 => whole_number(fraction).ok_or_else(error)?,
            _ => return Err(error()),
        };
        whole
            .checked_mul(100)
            .and_then(|hundredths| hundredths.checked_add(fraction * tenths))
            .map(Self::from_hundredths)
            .ok_or_else(error)
    }
}

impl Restart {
    /// Reads `no`, `on-failure`, `on-failure:3`, `always` or `unless-stopped`; `counts` gives the
    /// meaning of the number.
    ///
    /// # Errors
    /// [`ParseError`] with the value.
    pub fn parse_with_retries(
        text: &str,
        counts: Counts,
    ) -> Result<(Self, Option<Retries>), ParseError> {
        match text.split_once(':') {
            None => Ok((choose("restart", text, RESTARTS)?, None)),
            Some((rule, max)) => {
                Ok((choose("restart", rule, RESTARTS)?, parse_retries(max, counts)?))
            }
        }
    }
}

/// A bound of 0 means no bound, as in Docker (seed.md B39).
fn parse_retries(max: &str, counts: Counts) -> Result<Option<Retries>, ParseError> {
    let max = number("restart", max)?;
    Ok((max > 0).then_some(Retries { max, counts }))
}

fn parse_limit(text: &str) -> Result<StartLimit, ParseError> {
    let error = || ParseError::new("limit", text, "write 5/10s, 5/10s:wait or 5/10s:stop:all");
    let mut parts = text.split(':');
    let (burst, window) = parts.next().and_then(|part| part.split_once('/')).ok_or_else(error)?;
    let then = parts.next().map_or(Ok(OnLimit::Stop), |then| choose("limit", then, ON_LIMITS))?;
    let counts = match parts.next() {
        None => StartsCounted::Automatic,
        Some("all") => StartsCounted::All,
        Some(_) => return Err(error()),
    };
    if parts.next().is_some() {
        return Err(error());
    }
    Ok(StartLimit { burst: number("limit", burst)?, window: window.parse()?, counts, then })
}

fn optional<T>(
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, ParseError>,
) -> Result<Option<T>, ParseError> {
    if text == "none" { Ok(None) } else { parse(text).map(Some) }
}

fn number<T: FromStr>(field: &'static str, text: &str) -> Result<T, ParseError> {
    whole_number(text).ok_or_else(|| {
        ParseError::new(field, text, "write a whole number, in digits alone, that is not too large")
    })
}

const RESTARTS: Names<Restart, 4> = (
    [
        (Restart::No, "no"),
        (Restart::OnFailure, "on-failure"),
        (Restart::Always, "always"),
        (Restart::UnlessStopped, "unless-stopped"),
    ],
    "write no, on-failure, on-failure:3, always or unless-stopped",
);

const EARLY_EXITS: Names<EarlyExit, 2> = (
    [(EarlyExit::ByStatus, "by-status"), (EarlyExit::Failure, "failure")],
    "write by-status or failure",
);

const FORGIVES: Names<Forgives, 2> =
    ([(Forgives::Delay, "delay"), (Forgives::All, "all")], "write delay or all");

const ON_LIMITS: Names<OnLimit, 2> =
    ([(OnLimit::Stop, "stop"), (OnLimit::Wait, "wait")], "write stop or wait");

const SCOPES: Names<Scope, 2> =
    ([(Scope::Process, "process"), (Scope::Group, "group")], "write process or group");

const READINESS: Names<Readiness, 2> =
    ([(Readiness::Exec, "exec"), (Readiness::Notify, "notify")], "write exec or notify");

const START_RETRIES: Names<StartRetry, 3> = (
    [
        (StartRetry::Never, "never"),
        (StartRetry::Transient, "transient"),
        (StartRetry::Always, "always"),
    ],
    "write never, transient or always",
);

const SAVES: Names<SaveRule, 2> = (
    [(SaveRule::Optional, "optional"), (SaveRule::Required, "required")],
    "write optional or required",
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::text::tests::EVENTS;

    /// A number has no sign, in any position.
    #[test]
    fn a_sign_too_many_is_never_read() {
        let factors = ["retries=3:runs backoff=exponential:1s*1.25<=9s skip=1", "signal 1"];
        for text in EVENTS.iter().chain(&POLICIES).chain(&factors) {
            for place in (0..=text.len()).filter(|&place| text.is_char_boundary(place)) {
                let (head, tail) = text.split_at(place);
                let text = format!("{head}+{tail}");
                assert!(text.parse::<Event>().is_err(), "{text}");
                assert!(text.parse::<Policy>().is_err(), "{text}");
            }
        }
    }

    #[test]
    fn an_error_names_field_value_and_fix() {
        let Err(error) = "restart=sometimes".parse::<Policy>() else {
            panic!("there is no such rule");
        };
        let PolicyTextError::Parse(word) = error else {
            panic!("it is about one word");
        };
        assert_eq!((word.field(), word.value()), ("restart", "sometimes"));
        assert_eq!(word.fix(), "write no, on-failure, on-failure:3, always or unless-stopped");
        assert_eq!(
            error.to_string(),
            "restart: \"sometimes\" is not understood: write no, on-failure, on-failure:3, always or unless-stopped"
        );
    }

    /// At the 40th byte, or before the character at that byte.
    #[test]
    fn a_long_value_is_cut_between_characters() {
        let whole = "x".repeat(40);
        for (value, kept, shown) in [
            (whole.clone(), whole.as_str(), format!("{whole:?}")),
            (format!("{whole}y"), &whole, format!("{whole:?}...")),
            (format!("{}\u{20ac}", &whole[1..]), &whole[1..], format!("{:?}...", &whole[1..])),
        ] {
            let error = ParseError::new("word", &value, "write less");
            assert_eq!(error.value(), kept);
            assert_eq!(error.to_string(), format!("word: {shown} is not understood: write less"));
        }
    }

    /// Every key with a value other than the default.
    const POLICIES: [&str; 36] = [
        "restart=no",
        "restart=on-failure",
        "restart=always",
        "restart=unless-stopped",
        "restart=always retries=3",
        "restart=always retries=0",
        "restart=always retries=3:runs",
        "restart=always success=1",
        "restart=always prevent=2-5",
        "restart=always force=SIGHUP",
        "restart=always early-exit=failure",
        "restart=always backoff=constant:1s",
        "restart=always backoff=linear:1s+2s<=9s",
        "restart=always backoff=exponential:1s*1.5<=9s",
        "restart=always backoff=geometric:1s<=9s/3",
        "restart=always first-delay=0ms",
        "restart=always skip=1",
        "restart=always jitter=25%",
        "restart=always healthy-after=none",
        "restart=always healthy-after=5s forgive=all",
        "restart=always healthy-after=10s forgive=delay",
        "restart=always limit=5/10s:stop",
        "restart=always limit=5/10s:wait",
        "restart=always limit=5/10s:wait:all",
        "restart=always stop-signal=INT",
        "restart=always stop-timeout=5s",
        "restart=always stop-timeout=never",
        "restart=always kill-window=5s",
        "restart=always scope=process",
        "restart=always start-timeout=5s",
        "restart=always readiness=notify",
        "restart=always first-start=never",
        "restart=always later-start=always",
        "restart=always watchdog=2s",
        "restart=always watchdog=2s watchdog-signal=INT",
        "restart=always save=required",
    ];

    #[test]
    fn policies_survive_their_text_form() {
        for words in POLICIES {
            assert_eq!(words.parse::<Policy>().unwrap().to_string(), words);
        }
    }

    #[test]
    fn words_may_be_shorter_than_printed_and_the_last_one_counts() {
        for (words, printed) in [
            ("", "restart=on-failure"),
            ("restart=on-failure:0", "restart=on-failure"),
            ("restart=always:3", "restart=always retries=3"),
            ("retries=3 retries=none", "restart=on-failure"),
            ("success=1 success=none", "restart=on-failure"),
            ("early-exit=failure early-exit=by-status", "restart=on-failure"),
            ("first-delay=1s first-delay=none", "restart=on-failure"),
            ("jitter=0", "restart=on-failure jitter=0%"),
            ("jitter=10", "restart=on-failure"),
            ("healthy-after=10s forgive=all", "restart=on-failure"),
            ("healthy-after=5s", "restart=on-failure healthy-after=5s forgive=all"),
            ("forgive=delay healthy-after=5s", "restart=on-failure healthy-after=5s forgive=delay"),
            ("limit=5/10s", "restart=on-failure limit=5/10s:stop"),
            ("limit=5/10s limit=none", "restart=on-failure"),
            ("stop-timeout=10s", "restart=on-failure"),
            (
                "watchdog=2s watchdog-signal=INT watchdog=3s",
                "restart=on-failure watchdog=3s watchdog-signal=INT",
            ),
            ("watchdog=2s watchdog=none", "restart=on-failure"),
        ] {
            assert_eq!(words.parse::<Policy>().unwrap().to_string(), printed, "{words}");
        }
    }

    /// Wrong texts, each with the field and the value in its error.
    #[test]
    fn what_is_no_policy_is_refused() {
        for (text, field, value) in [
            ("always", "policy", "always"),
            ("speed=9", "policy key", "speed"),
            ("restart=", "restart", ""),
            ("restart=always:x", "restart", "x"),
            ("restart=always:65536", "restart", "65536"),
            ("retries=x", "retries", "x"),
            ("retries=3:turns", "retries", "3:turns"),
            ("success=256", "exit set", "256"),
            ("early-exit=no", "early-exit", "no"),
            ("backoff=1s", "backoff", "1s"),
            ("backoff=cubic:1s<=9s", "backoff", "cubic:1s<=9s"),
            ("backoff=linear:1s+1s", "backoff", "linear:1s+1s"),
            ("backoff=linear:1s<=9s", "backoff", "linear:1s<=9s"),
            ("backoff=exponential:1s<=9s", "backoff", "exponential:1s<=9s"),
            ("backoff=geometric:1s<=9s", "backoff", "geometric:1s<=9s"),
            ("backoff=geometric:1s<=9s/256", "backoff steps", "256"),
            ("backoff=exponential:1s*x<=9s", "factor", "x"),
            ("first-delay=x", "duration", "x"),
            ("skip=256", "skip", "256"),
            ("jitter=x%", "jitter", "x"),
            ("healthy-after=x", "duration", "x"),
            ("forgive=retries", "forgive", "retries"),
            ("healthy-after=none forgive=all", "forgive", "all"),
            ("limit=5", "limit", "5"),
            ("limit=x/10s", "limit", "x"),
            ("limit=5/10s:halt", "limit", "halt"),
            ("limit=5/10s:stop:some", "limit", "5/10s:stop:some"),
            ("limit=5/10s:stop:all:more", "limit", "5/10s:stop:all:more"),
            ("stop-signal=x", "signal", "x"),
            ("scope=all", "scope", "all"),
            ("readiness=now", "readiness", "now"),
            ("first-start=no", "first-start", "no"),
            ("later-start=no", "later-start", "no"),
            ("watchdog-signal=INT", "watchdog-signal", "INT"),
            ("save=no", "save", "no"),
            ("preset=upstart", "preset", "upstart"),
            ("restart=no preset=s6", "preset", "s6"),
        ] {
            match text.parse::<Policy>() {
                Err(PolicyTextError::Parse(error)) => {
                    assert_eq!((error.field(), error.value()), (field, value), "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_preset_is_the_ground_for_the_words_after_it() {
        for (text, same) in [
            (
                "preset=podman",
                "restart=no backoff=constant:1ms jitter=0 healthy-after=none first-start=never later-start=never",
            ),
            (
                "preset=docker restart=always:3",
                "restart=always retries=3 jitter=0 forgive=delay first-start=never later-start=never",
            ),
            (
                "preset=docker-2014 restart=always:3",
                "preset=docker-2014 restart=always retries=3:runs",
            ),
        ] {
            assert_eq!(text.parse::<Policy>(), same.parse(), "{text}");
        }
    }

    #[test]
    fn a_restart_rule_is_read_with_its_bound() {
        let retries = |max, counts| Some(Retries { max, counts });
        for (text, counts, read) in [
            ("no", Counts::Runs, (Restart::No, None)),
            ("on-failure:0", Counts::Runs, (Restart::OnFailure, None)),
            ("on-failure:1", Counts::Runs, (Restart::OnFailure, retries(1, Counts::Runs))),
            ("always:3", Counts::Restarts, (Restart::Always, retries(3, Counts::Restarts))),
        ] {
            assert_eq!(Restart::parse_with_retries(text, counts), Ok(read), "{text}");
        }
        for text in ["", "never", "on-failure:", "on-failure:x"] {
            assert!(Restart::parse_with_retries(text, Counts::Runs).is_err(), "{text}");
        }
    }

    #[test]
    fn factors_are_printed_with_no_more_digits_than_needed() {
        for (text, hundredths, printed) in [
            ("2", 200, "2"),
            ("2.0", 200, "2"),
            ("10", 1_000, "10"),
            ("1.5", 150, "1.5"),
            ("1.50", 150, "1.5"),
            ("1.05", 105, "1.05"),
            ("1.25", 125, "1.25"),
            ("655.35", 65_535, "655.35"),
        ] {
            let factor: Factor = text.parse().unwrap();
            assert_eq!((factor.hundredths(), factor.to_string().as_str()), (hundredths, printed));
        }
        for text in ["", "x", "1.", ".5", "1.x", "1.255", "655.36", "656", "-1"] {
            assert_eq!(text.parse::<Factor>().unwrap_err().value(), text);
        }
    }
}
