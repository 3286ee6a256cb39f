//! The policies that `check` explores: every preset, and a covering set of options.

use monitor_core::{
    Counts, Curve, EarlyExit, Millis, OnLimit, Policy, Preset, Readiness, Restart, Retries, Rules,
    Scope, Signal, StartLimit, StartRetry, StartRule, StartsCounted, StopRule, Watchdog,
};

/// Policies that are explored together: the first is in force at the beginning, and each may
/// replace another at any time.
#[derive(Clone, Debug)]
pub struct FamilyMember {
    /// The name in reports.
    pub name: String,
    /// The policies.
    pub policies: Vec<Policy>,
}

/// Returns the whole family. Counts are cut to two, so that exhaustion is reached in a few steps.
#[must_use]
pub fn family() -> Vec<FamilyMember> {
    let mut members: Vec<FamilyMember> = Preset::ALL
        .into_iter()
        .map(|preset| {
            member(preset.name(), &[*preset.builder().build().unwrap_or_default().rules()])
        })
        .collect();
    let plain = *Policy::DEFAULT.rules();
    let always = Rules { restart: Restart::Always, ..plain };
    let retries = |counts| Some(Retries { max: 2, counts });
    let limit =
        |counts, then| Some(StartLimit { burst: 2, window: Millis::from_secs(10), counts, then });
    let everything = Rules {
        retries: retries(Counts::Restarts),
        early_exit: EarlyExit::Failure,
        start: StartRule {
            timeout: Some(Millis::from_secs(1)),
            readiness: Readiness::Notify,
            first: StartRetry::Transient,
            later: StartRetry::Always,
        },
        watchdog: Some(Watchdog { period: Millis::from_secs(2), signal: Signal::ABRT }),
        ..always
    };
    let no_kill = StopRule { grace: None, ..plain.stop };
    let process = StopRule { scope: Scope::Process, ..plain.stop };
    members.push(member("default", &[plain]));
    members.push(member("on-failure:2", &[Rules { retries: retries(Counts::Restarts), ..plain }]));
    members.push(member("everything", &[everything]));
    for then in [OnLimit::Stop, OnLimit::Wait] {
        for counts in [StartsCounted::Automatic, StartsCounted::All] {
            let name = format!("limit {then:?} {counts:?}").to_lowercase();
            members.push(member(&name, &[Rules { limit: limit(counts, then), ..always }]));
        }
    }
    members.push(member("no kill", &[Rules { stop: no_kill, ..always }]));
    members.push(member("process only", &[Rules { stop: process, ..everything }]));
    members.push(member(
        "unless-stopped, then no, then always with everything",
        &[
            Rules { restart: Restart::UnlessStopped, ..plain },
            Rules { restart: Restart::No, ..plain },
            Rules { limit: limit(StartsCounted::All, OnLimit::Wait), ..everything },
        ],
    ));
    members
}

fn member(name: &str, rules: &[Rules]) -> FamilyMember {
    let policies = rules.iter().filter_map(|rules| Policy::try_from(cut(*rules)).ok()).collect();
    FamilyMember { name: name.to_owned(), policies }
}

/// Cuts counts that only make the search longer.
fn cut(mut rules: Rules) -> Rules {
    if let Some(retries) = &mut rules.retries {
        retries.max = retries.max.min(2);
    }
    if let Some(limit) = &mut rules.limit {
        limit.burst = limit.burst.min(2);
    }
    rules.backoff.curve = match rules.backoff.curve {
        Curve::Exponential { initial, factor, .. } => {
            let cap = Millis::new(initial.as_u32().saturating_mul(3));
            Curve::Exponential { initial, factor, cap }
        }
        Curve::Linear { initial, increment, .. } => {
            let cap = initial.saturating_add(increment).saturating_add(increment);
            Curve::Linear { initial, increment, cap }
        }
        Curve::Geometric { initial, cap, .. } => Curve::Geometric { initial, cap, steps: 2 },
        Curve::Constant { delay } => Curve::Constant { delay },
    };
    rules
}
