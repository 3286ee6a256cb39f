//! The judges of the rules: each reads a recording, and never runs anything.
//!
//! They judge order, counts and least durations. A longest duration is never judged, because the
//! machine may be slow. A thing that did not happen within a generous deadline never happens.

use monitor_core::Millis;

use super::recording::{Asking, Process, Recording, seconds, signal_name};
use super::supervisor::{DelayFrom, Remains, Request, StopGrace, Supervisor};

/// The answer of a judge.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The rule holds.
    Holds,
    /// The rule is broken.
    Broken(Finding),
    /// The scene did not come about, such as a stop that came too late. It is to be repeated.
    Missed(String),
}

/// What a rule expected, and what was seen instead.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What the rule expected.
    pub expected: String,
    /// What was seen.
    pub seen: String,
}

/// A judge: reads a recording of a supervisor.
pub type Judge = fn(&Recording, &Supervisor) -> Verdict;

/// How much earlier than declared a thing may be seen: the start of a process is known to a clock
/// tick, and a supervisor reads its clock a little before it makes the process.
pub(super) const TOLERANCE: u64 = 100_000_000;

/// How long a command that only sends a request may be ahead of the supervisor.
const SENT: u64 = 500_000_000;

fn broken(expected: impl Into<String>, seen: impl Into<String>) -> Verdict {
    Verdict::Broken(Finding { expected: expected.into(), seen: seen.into() })
}

/// Judges a recording. What the scene waited for in vain breaks each rule.
pub(super) fn judge(recording: &Recording, supervisor: &Supervisor, judge: Judge) -> Verdict {
    match recording.waited_in_vain() {
        Some(vain) => {
            let runs = describe(&recording.runs());
            broken(vain, format!("it did not happen within the deadline: {runs}"))
        }
        None => judge(recording, supervisor),
    }
}

/// Exactly one run, which lives.
pub(super) fn one_run(recording: &Recording, _: &Supervisor) -> Verdict {
    lives_after(recording, 1)
}

/// Exactly two runs in turn, of which the second lives.
pub(super) fn two_runs(recording: &Recording, _: &Supervisor) -> Verdict {
    lives_after(recording, 2)
}

/// A second run after the first, unless the start was refused.
pub(super) fn starts_after_end(recording: &Recording, _: &Supervisor) -> Verdict {
    let askings = recording.askings();
    let start = askings.iter().find(|asking| asking.request == Request::Start);
    if start.is_some_and(|start| start.refused) {
        return ended_after(recording, 1);
    }
    lives_after(recording, 2)
}

/// Exactly one run, which has ended.
pub(super) fn one_ended_run(recording: &Recording, _: &Supervisor) -> Verdict {
    ended_after(recording, 1)
}

/// One run more than quick ends that the delays are declared for.
pub(super) fn one_run_after_delays(recording: &Recording, supervisor: &Supervisor) -> Verdict {
    let quick = supervisor.restarts.delays.len();
    let runs = recording.runs();
    let askings = recording.askings();
    let restart = askings.iter().find(|asking| asking.request == Request::Restart);
    let (Some(last), Some(restart)) = (quick.checked_sub(1).and_then(|nth| runs.get(nth)), restart)
    else {
        return broken("runs that end quickly, then a restart", "none");
    };
    let due = due(supervisor, last, quick - 1);
    // A run that begins before the delay has passed begins by the request.
    let by_request = runs.get(quick).is_some_and(|next| next.made + TOLERANCE < due);
    let in_time = restart.answered.is_some_and(|at| at < due) || by_request;
    if runs.len() > quick + 1 && !in_time {
        return Verdict::Missed("the restart came after the delay".to_owned());
    }
    lives_after(recording, quick + 1)
}

fn lives_after(recording: &Recording, count: usize) -> Verdict {
    let runs = recording.runs();
    let expected = format!("{}, of which the last lives", plural(count, "run"));
    if runs.len() != count || runs.last().is_some_and(|run| run.gone.is_some()) {
        return broken(expected, describe(&runs));
    }
    no_overlap(&runs).unwrap_or(Verdict::Holds)
}

fn ended_after(recording: &Recording, count: usize) -> Verdict {
    let runs = recording.runs();
    if runs.len() != count || runs.iter().any(|run| run.gone.is_none()) {
        return broken(format!("{}, each ended", plural(count, "run")), describe(&runs));
    }
    no_overlap(&runs).unwrap_or(Verdict::Holds)
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn describe(runs: &[Process]) -> String {
    let living = runs.iter().filter(|run| run.gone.is_none()).count();
    let began = plural(runs.len(), "run");
    match runs.last() {
        None => "no run began".to_owned(),
        Some(last) => {
            format!("{began}, of which {living} live; the last began at {}", seconds(last.made))
        }
    }
}

/// No run began while another lived.
pub(super) fn never_overlap(recording: &Recording, _: &Supervisor) -> Verdict {
    no_overlap(&recording.runs()).unwrap_or(Verdict::Holds)
}

fn no_overlap(runs: &[Process]) -> Option<Verdict> {
    let (nth, run) = runs.iter().enumerate().find(|(_, run)| run.overlaps)?;
    let seen = format!("run {} began at {} while another lived", nth + 1, seconds(run.made));
    Some(broken("one run at a time", seen))
}

/// Least delays between runs.
pub(super) fn delays_pass(recording: &Recording, supervisor: &Supervisor) -> Verdict {
    let runs = recording.runs();
    for (nth, pair) in runs.windows(2).enumerate() {
        if let [before, next] = pair {
            let due = due(supervisor, before, nth);
            if next.made + TOLERANCE < due {
                let delay = supervisor.delay(nth);
                let early = seconds(due - next.made);
                return broken(
                    format!("run {} begins after a delay of at least {delay}", nth + 2),
                    format!("it began {early} too early, at {}", seconds(next.made)),
                );
            }
        }
    }
    Verdict::Holds
}

/// The earliest moment of the run that follows the `nth` quick end, from 0.
pub(super) fn due(supervisor: &Supervisor, before: &Process, nth: usize) -> u64 {
    let from = match supervisor.restarts.from {
        DelayFrom::Start => before.made,
        // A run that was killed says nothing before its end, and is seen to be gone later.
        DelayFrom::End => {
            before.ending.as_ref().map(|(at, _)| *at).or(before.gone).unwrap_or(before.began)
        }
    };
    from + nanos(supervisor.delay(nth))
}

pub(super) const fn nanos(span: Millis) -> u64 {
    span.as_u32() as u64 * 1_000_000
}

/// As many runs as the limit allows, then none.
pub(super) fn gives_up(recording: &Recording, supervisor: &Supervisor) -> Verdict {
    ended_after(recording, runs_to_limit(supervisor))
}

/// A run after the limit was reached, on request.
pub(super) fn starts_after_limit(recording: &Recording, supervisor: &Supervisor) -> Verdict {
    lives_after(recording, runs_to_limit(supervisor) + 1)
}

/// The number of runs until the supervisor gives up.
pub(super) fn runs_to_limit(supervisor: &Supervisor) -> usize {
    let restarts = supervisor.limit.as_ref().map_or(0, |limit| limit.get_ref().restarts);
    usize::try_from(restarts).unwrap_or(usize::MAX - 1) + 1
}

/// Nothing lives after the last stop, and nothing begins between the answer of a stop and the next
/// request for a run.
pub(super) fn stays_down(recording: &Recording, _: &Supervisor) -> Verdict {
    let runs = recording.runs();
    if runs.iter().any(|run| run.gone.is_none()) {
        return broken("no run lives after the stop", describe(&runs));
    }
    let askings = recording.askings();
    for stop in askings.iter().filter(|asking| asking.request == Request::Stop) {
        let Some(answered) = stop.answered else {
            return broken("a stop that is answered", "it was not answered");
        };
        // A restart that was asked for before is over with the stop, whenever it is answered.
        let asks_for_run = |asking: &&Asking| {
            matches!(asking.request, Request::Start | Request::Restart) && asking.asked > stop.asked
        };
        let until = askings.iter().find(asks_for_run).map_or(u64::MAX, |asking| asking.asked);
        let late = answered + SENT..until.saturating_sub(TOLERANCE);
        if let Some(late) = runs.iter().find(|run| late.contains(&run.made)) {
            let seen = format!(
                "a run began at {}, {} after the stop was answered",
                seconds(late.made),
                seconds(late.made - answered)
            );
            return broken("no run begins after the stop", seen);
        }
    }
    Verdict::Holds
}

fn last_stop(askings: &[Asking]) -> Option<&Asking> {
    askings.iter().rev().find(|asking| asking.request == Request::Stop)
}

fn first_stop(askings: &[Asking]) -> Option<&Asking> {
    askings.iter().find(|asking| asking.request == Request::Stop)
}

/// Nothing begins after a stop that came while a restart waited for the end of the run.
pub(super) fn stop_in_restart(recording: &Recording, supervisor: &Supervisor) -> Verdict {
    match stays_down(recording, supervisor) {
        Verdict::Holds if recording.runs().len() > 1 => {
            Verdict::Missed("the next run began before the stop was answered".to_owned())
        }
        other @ (Verdict::Holds | Verdict::Broken(_) | Verdict::Missed(_)) => other,
    }
}

/// Exactly one run, which ended, and nothing after the stop.
pub(super) fn one_run_stays_down(recording: &Recording, supervisor: &Supervisor) -> Verdict {
    match stays_down(recording, supervisor) {
        Verdict::Holds => ended_after(recording, 1),
        other @ (Verdict::Broken(_) | Verdict::Missed(_)) => other,
    }
}

/// Nothing begins after a stop in the delay before the next run.
pub(super) fn stop_in_delay(recording: &Recording, supervisor: &Supervisor) -> Verdict {
    let quick = supervisor.restarts.delays.len();
    let runs = recording.runs();
    if runs.len() > quick {
        let askings = recording.askings();
        let answered = last_stop(&askings).and_then(|stop| stop.answered);
        let is_early =
            runs.iter().skip(quick).all(|run| answered.is_none_or(|at| run.made <= at + SENT));
        if is_early {
            return Verdict::Missed("the next run began before the stop was answered".to_owned());
        }
    }
    stays_down(recording, supervisor)
}

/// The first signal of a stop is the declared one.
pub(super) fn stop_signal(recording: &Recording, supervisor: &Supervisor) -> Verdict {
    let runs = recording.runs();
    let expected = supervisor.stop.signal.0;
    match runs.first().and_then(|run| run.signals.first()) {
        Some(&(_, signal)) if signal == expected.number() => Verdict::Holds,
        Some(&(_, signal)) => broken(format!("{expected} first"), signal_name(signal)),
        None => broken(format!("{expected} first"), "no signal was received"),
    }
}

/// A run that ignores the stop signal is killed, not before the grace has passed.
pub(super) fn killed_after_grace(recording: &Recording, supervisor: &Supervisor) -> Verdict {
    let StopGrace::After(grace) = supervisor.stop.grace else {
        return Verdict::Missed("the supervisor never kills".to_owned());
    };
    let (runs, askings) = (recording.runs(), recording.askings());
    let (Some(run), Some(stop)) = (runs.first(), first_stop(&askings)) else {
        return broken("a run and a stop", "none");
    };
    let Some(gone) = run.gone else {
        return broken("the run is killed", "it lives");
    };
    if run.signals.is_empty() {
        return broken(format!("{} before the kill", supervisor.stop.signal.0), "no signal");
    }
    if gone + TOLERANCE < stop.asked + nanos(grace) {
        let after = seconds(gone.saturating_sub(stop.asked));
        return broken(
            format!("the kill comes {grace} after the stop or later"),
            format!("the run was gone {after} after the stop was asked for"),
        );
    }
    one_run_stays_down(recording, supervisor)
}

/// A run that ignores the stop signal lives on.
pub(super) fn never_killed(recording: &Recording, _: &Supervisor) -> Verdict {
    lives_after(recording, 1)
}

/// The status says up and down only when it is so.
pub(super) fn status_is_true(recording: &Recording, supervisor: &Supervisor) -> Verdict {
    let Some(status) = &supervisor.requests.status else {
        return Verdict::Missed("there is no status".to_owned());
    };
    let runs = recording.runs();
    let mut said = (false, false);
    for asking in recording.askings().iter().filter(|asking| asking.request == Request::Status) {
        let Some(answered) = asking.answered else { continue };
        let line = asking.output.lines().next().unwrap_or_default();
        let is_up = asking.output.contains(status.up.get_ref());
        let is_down = asking.output.contains(status.down.get_ref());
        said = (said.0 || is_up, said.1 || is_down);
        // A run that was seen to be gone a little later may have been gone already.
        let lived_on = runs.iter().find(|run| {
            run.made < asking.asked && run.gone.is_none_or(|gone| gone > answered + SENT)
        });
        if is_down && let Some(run) = lived_on {
            let seen = format!("{line:?} at {}, while run {} lived on", seconds(answered), run.pid);
            return broken("the status says down only if no run lives", seen);
        }
        let lived = runs.iter().any(|run| {
            run.made < answered && run.gone.is_none_or(|gone| gone + SENT > asking.asked)
        });
        if is_up && !lived {
            let seen = format!("{line:?} at {}, while no run lived", seconds(answered));
            return broken("the status says up only if a run lives", seen);
        }
    }
    match said {
        (true, true) => Verdict::Holds,
        (up, down) => {
            broken("the status says up, and after the stop down", format!("up: {up}, down: {down}"))
        }
    }
}

/// What a run left is gone after the stop.
pub(super) fn nothing_remains(recording: &Recording, supervisor: &Supervisor) -> Verdict {
    let members = recording.members();
    if members.is_empty() {
        return Verdict::Missed("the run was stopped before it left a process".to_owned());
    }
    match members.iter().find(|member| member.gone.is_none()) {
        Some(member) => {
            let expected = match supervisor.remains.stop {
                Remains::Left | Remains::Ended => "what the run left ends with it",
                Remains::Killed => "what the run left is killed",
            };
            broken(expected, format!("process {} lives on after the stop", member.pid))
        }
        None => one_run_stays_down(recording, supervisor),
    }
}

/// What a run left is gone when the next one begins.
pub(super) fn nothing_remains_for_next(recording: &Recording, _: &Supervisor) -> Verdict {
    let (runs, members) = (recording.runs(), recording.members());
    let (Some(member), Some(next)) = (members.first(), runs.get(1)) else {
        return broken("a run that leaves a process, and the next one", describe(&runs));
    };
    match member.gone {
        Some(gone) if gone <= next.began + SENT => Verdict::Holds,
        Some(_) | None => broken(
            "what the first run left is gone when the second begins",
            format!("process {} lived when run 2 began at {}", member.pid, seconds(next.made)),
        ),
    }
}

/// Each run has ended.
pub(super) fn all_ended(recording: &Recording, _: &Supervisor) -> Verdict {
    let runs = recording.runs();
    if runs.iter().any(|run| run.gone.is_none()) {
        return broken("no run lives", describe(&runs));
    }
    Verdict::Holds
}

/// Exactly one run lives, and no two lived at a time.
pub(super) fn one_lives(recording: &Recording, _: &Supervisor) -> Verdict {
    let runs = recording.runs();
    if let Some(verdict) = no_overlap(&runs) {
        return verdict;
    }
    if runs.iter().filter(|run| run.gone.is_none()).count() == 1 {
        return Verdict::Holds;
    }
    broken("one run lives", describe(&runs))
}
