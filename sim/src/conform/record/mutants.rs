//! Damages sound records, which proves that the judge finds each damage.

use monitor_core::{Event, Exit, TimerKind, TimerSlot, TimerToken};

use super::record_text::RecordText;
use super::rule::Rule;

/// A way to damage a record, as a wrong driver or a wrong recorder would.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RecordMutant {
    /// The name, such as `fires-early`.
    pub name: &'static str,
    /// The rule that the damaged record violates.
    pub rule: Rule,
    edit: fn(&mut RecordText) -> Option<()>,
}

impl RecordMutant {
    /// Damages a sound record at its first place that allows it; `None` if there is no such place.
    #[must_use]
    pub fn damage(&self, record: &str) -> Option<String> {
        let mut text = RecordText::read(record)?;
        (self.edit)(&mut text)?;
        Some(text.write())
    }
}

/// Returns the ways to damage a record. The judge must find each of them by its rule.
#[must_use]
pub const fn mutants() -> &'static [RecordMutant] {
    MUTANTS
}

const MUTANTS: &[RecordMutant] = &[
    RecordMutant { name: "fires-early", rule: Rule::C11, edit: fires_early },
    RecordMutant { name: "watchdog-fires-early", rule: Rule::C11, edit: watchdog_fires_early },
    RecordMutant { name: "fires-late", rule: Rule::C11, edit: fires_late },
    RecordMutant { name: "fires-twice", rule: Rule::C11, edit: fires_twice },
    RecordMutant { name: "fires-disarmed", rule: Rule::C11, edit: fires_disarmed },
    RecordMutant { name: "fires-never", rule: Rule::C5, edit: fires_never },
    RecordMutant { name: "fires-out-of-order", rule: Rule::C13, edit: fires_out_of_order },
    RecordMutant { name: "shorten-ignored", rule: Rule::C11, edit: shorten_ignored },
    RecordMutant { name: "lengthen-ignored", rule: Rule::C11, edit: lengthen_ignored },
    RecordMutant { name: "delay-too-long", rule: Rule::C9, edit: delay_too_long },
    RecordMutant { name: "delay-too-short", rule: Rule::C9, edit: delay_too_short },
    RecordMutant { name: "delay-missing", rule: Rule::C9, edit: delay_missing },
    RecordMutant { name: "another-run", rule: Rule::C5, edit: another_run },
    RecordMutant { name: "two-statuses", rule: Rule::C5, edit: two_statuses },
    RecordMutant { name: "fact-before-spawn", rule: Rule::C5, edit: fact_before_spawn },
    RecordMutant { name: "started-dropped", rule: Rule::C1, edit: started_dropped },
    RecordMutant { name: "started-twice", rule: Rule::C15, edit: started_twice },
    RecordMutant { name: "released-first", rule: Rule::C17, edit: released_first },
    RecordMutant { name: "released-twice", rule: Rule::C17, edit: released_twice },
    RecordMutant { name: "time-goes-back", rule: Rule::C4, edit: time_goes_back },
    RecordMutant { name: "command-missing", rule: Rule::C1, edit: command_missing },
    RecordMutant { name: "commands-swapped", rule: Rule::C2, edit: commands_swapped },
    RecordMutant { name: "wrong-phase", rule: Rule::C1, edit: wrong_phase },
    RecordMutant { name: "policy-untold", rule: Rule::C1, edit: policy_untold },
    RecordMutant { name: "spawn-unsaved", rule: Rule::C26, edit: spawn_unsaved },
    RecordMutant { name: "recovery-dropped", rule: Rule::C30, edit: recovery_dropped },
];

fn fires_early(text: &mut RecordText) -> Option<()> {
    text.steps().find_map(|line| {
        let is_of_phase = |timer: TimerToken| timer.kind.slot() == TimerSlot::Phase;
        let (arm, timer) = text.set_by(line).filter(|(_, timer)| is_of_phase(*timer))?;
        text.delay(arm, "arm", timer)?;
        let delay = text.0[arm].get("delay_ms")?.as_u64()?;
        fire_before(text, line, text.at(arm) + delay * MICROS_PER_MILLI)
    })
}

fn watchdog_fires_early(text: &mut RecordText) -> Option<()> {
    // A run keeps its period when the policy changes, and an earlier monitor may have told another.
    if text.0.iter().any(|line| {
        line.contains_key("policy") && line.contains_key("at_us") || line.contains_key("state")
    }) {
        return None;
    }
    text.steps().find_map(|line| {
        let (arm, timer) =
            text.set_by(line).filter(|(_, timer)| timer.kind == TimerKind::Watchdog)?;
        let period = u64::from(text.delay(arm, "arm", timer)?.base.as_u32());
        fire_before(text, line, text.at(arm) + period * MICROS_PER_MILLI)
    })
}

/// Moves a line to the last microsecond before `deadline`, if the line before it is not later.
fn fire_before(text: &mut RecordText, line: usize, deadline: u64) -> Option<()> {
    let before = text.before(line)?;
    (text.at(before) < deadline).then(|| text.set(line, "at_us", deadline - 1))
}

fn fires_late(text: &mut RecordText) -> Option<()> {
    // The period of a watchdog that an earlier monitor has told is not known.
    let is_known = |timer: TimerToken| timer.kind != TimerKind::Watchdog;
    let line = text.steps().find(|&line| text.fired(line).is_some_and(is_known))?;
    text.delay_from(line, TOO_LATE);
    Some(())
}

fn fires_twice(text: &mut RecordText) -> Option<()> {
    let line = text.steps().find(|&line| {
        let again = |timer| text.has_action(line, &format!("arm {timer}"));
        // After a failed save, another event is to be next.
        let saved = !text.0[line].contains_key("save");
        saved && text.fired(line).is_some_and(|timer| !again(timer))
    })?;
    let event = text.event(line).to_owned();
    text.insert_after(line, &event);
    Some(())
}

fn fires_disarmed(text: &mut RecordText) -> Option<()> {
    let (line, timer) = text.steps().find_map(|line| {
        let saved = !text.0[line].contains_key("save");
        let disarms = saved && text.actions(line).any(|action| action == "disarm phase");
        let mut armed = disarms.then_some(line)?;
        loop {
            armed = text.before(armed)?;
            let arms = |kind: TimerKind| text.has_action(armed, &format!("arm {} ", kind.name()));
            let kind = TimerKind::ALL.into_iter().filter(|kind| kind.slot() == TimerSlot::Phase);
            if let Some(kind) = kind.into_iter().find(|kind| arms(*kind)) {
                let beginning = format!("arm {} ", kind.name());
                let run =
                    text.actions(armed).find_map(|action| action.strip_prefix(&*beginning))?;
                let run = run.split(' ').next()?.parse().ok()?;
                return Some((line, TimerToken { run, kind }));
            }
        }
    })?;
    text.insert_after(line, &Event::TimerFired { timer }.to_string());
    Some(())
}

fn fires_never(text: &mut RecordText) -> Option<()> {
    let line = text.steps().find(|&line| {
        let spawns = text.actions(line).find_map(|action| action.strip_prefix("spawn "));
        let next = soon(text, line);
        let next = next.map(|next| text.event(next));
        text.fired(line).is_some()
            && spawns.is_some_and(|run| {
                next.is_some_and(|next| next.split(' ').nth(1) == Some(run) && is_fact(next))
            })
    })?;
    text.0.remove(line);
    Some(())
}

/// The next event of the unit, if it is so near that no deadline is passed over before it.
fn soon(text: &RecordText, line: usize) -> Option<usize> {
    text.next(line).filter(|&next| text.at(next) < text.at(line) + MICROS_PER_SECOND)
}

fn is_fact(event: &str) -> bool {
    ["started", "ready", "exited", "start-failed"].iter().any(|fact| event.starts_with(fact))
}

fn fires_out_of_order(text: &mut RecordText) -> Option<()> {
    let (line, next) = text.steps().find_map(|line| {
        let next = text.next(line)?;
        let timers = (text.fired(line)?, text.fired(next)?);
        let other_slots = timers.0.kind.slot() != timers.1.kind.slot();
        let armed_before = text.set_by(next).is_some_and(|(arm, _)| arm < line);
        let known = timers.0.kind != TimerKind::Watchdog && timers.1.kind != TimerKind::Watchdog;
        (text.at(line) == text.at(next) && other_slots && armed_before && known)
            .then_some((line, next))
    })?;
    text.0.swap(line, next);
    Some(())
}

/// The timer fires later than its shortened deadline allows.
fn shorten_ignored(text: &mut RecordText) -> Option<()> {
    let line = text.steps().find(|&line| {
        let set = text.set_by(line);
        set.is_some_and(|(set, timer)| text.delay(set, "shorten", timer).is_some())
    })?;
    text.delay_from(line, TOO_LATE);
    Some(())
}

/// The timer fires before its lengthened deadline.
fn lengthen_ignored(text: &mut RecordText) -> Option<()> {
    text.steps().find_map(|line| {
        let (set, timer) = text.set_by(line)?;
        let by = u64::from(text.delay(set, "lengthen", timer)?.base.as_u32());
        fire_before(text, line, text.at(set) + by * MICROS_PER_MILLI)
    })
}

/// Finds the line that has armed a timer of a phase, and the range of its delay.
fn drawn(text: &RecordText) -> Option<(usize, monitor_core::Delay)> {
    text.steps().find_map(|line| {
        text.0[line].get("delay_ms")?;
        let arm = text.actions(line).find(|action| {
            action.starts_with("arm ")
                && !action.contains(" watchdog ")
                && !action.contains(" window ")
        })?;
        Some((line, arm.rsplit(' ').next()?.parse().ok()?))
    })
}

fn delay_too_long(text: &mut RecordText) -> Option<()> {
    let (line, range) = drawn(text)?;
    let most = u64::from(range.base.as_u32()) + u64::from(range.jitter.as_u32());
    text.set(line, "delay_ms", most + 1);
    Some(())
}

fn delay_too_short(text: &mut RecordText) -> Option<()> {
    let (line, range) = drawn(text)?;
    text.set(line, "delay_ms", range.base.as_u32().checked_sub(1)?);
    Some(())
}

fn delay_missing(text: &mut RecordText) -> Option<()> {
    let (line, _) = drawn(text)?;
    text.0[line].remove("delay_ms").map(drop)
}

fn another_run(text: &mut RecordText) -> Option<()> {
    let line = text.steps().find(|&line| text.event(line).starts_with("exited #"))?;
    let event = text.event(line).replacen('#', "#9", 1);
    text.set(line, "event", event);
    Some(())
}

fn two_statuses(text: &mut RecordText) -> Option<()> {
    let (line, event) = text.steps().find_map(|line| match text.event(line).parse() {
        Ok(Event::Exited { run, exit })
            if exit != Exit::Unknown && text.has_action(line, "save") =>
        {
            let exit = Exit::Code(if exit == Exit::Code(7) { 8 } else { 7 });
            Some((line, Event::Exited { run, exit }))
        }
        Ok(_) | Err(_) => None,
    })?;
    text.insert_after(line, &event.to_string());
    Some(())
}

fn fact_before_spawn(text: &mut RecordText) -> Option<()> {
    let line = text.steps().next().filter(|_| !text.0[0].contains_key("state"))?;
    let event = "ping #1";
    text.insert_after(line, event);
    text.0.swap(line, line + 1);
    Some(())
}

fn started_dropped(text: &mut RecordText) -> Option<()> {
    let line = text.steps().find(|&line| {
        let next = soon(text, line);
        text.event(line).starts_with("started #")
            && text.has_action(line, "emit started")
            && next.is_some_and(|next| {
                text.event(next).starts_with("stop") && text.has_action(next, "signal ")
            })
    })?;
    text.0.remove(line);
    Some(())
}

fn started_twice(text: &mut RecordText) -> Option<()> {
    let line = text.steps().find(|&line| {
        text.event(line).starts_with("started #") && text.has_action(line, "emit started")
    })?;
    let event = text.event(line).to_owned();
    text.insert_after(line, &event);
    Some(())
}

fn released_first(text: &mut RecordText) -> Option<()> {
    let (line, next) = text.steps().find_map(|line| {
        let next = text.next(line)?;
        let swaps = text.event(line).starts_with("exited #")
            && text.has_action(line, "release #")
            && text.event(next).starts_with("released #");
        swaps.then_some((line, next))
    })?;
    let (first, second) = (text.at(line), text.at(next));
    text.0.swap(line, next);
    text.set(line, "at_us", first);
    text.set(next, "at_us", second);
    Some(())
}

fn released_twice(text: &mut RecordText) -> Option<()> {
    let line = text.steps().find(|&line| text.event(line).starts_with("released #"))?;
    let event = text.event(line).to_owned();
    text.insert_after(line, &event);
    Some(())
}

fn time_goes_back(text: &mut RecordText) -> Option<()> {
    let (line, at) = text.steps().find_map(|line| {
        let before = text.before(line)?;
        Some((line, text.at(before).checked_sub(1)?))
    })?;
    text.set(line, "at_us", at);
    Some(())
}

fn command_missing(text: &mut RecordText) -> Option<()> {
    edit_actions(text, 1, |actions| drop(actions.pop()))
}

fn commands_swapped(text: &mut RecordText) -> Option<()> {
    edit_actions(text, 2, |actions| actions.swap(0, 1))
}

/// Edits the commands of the first line that has so many.
fn edit_actions(
    text: &mut RecordText,
    least: usize,
    edit: impl FnOnce(&mut Vec<serde_json::Value>),
) -> Option<()> {
    let line = text.steps().find(|&line| text.actions(line).count() >= least)?;
    edit(text.0[line].get_mut("actions")?.as_array_mut()?);
    Some(())
}

fn wrong_phase(text: &mut RecordText) -> Option<()> {
    let line = text.steps().next()?;
    let phase = if text.text(line, "phase") == "running" { "stopped" } else { "running" };
    text.set(line, "phase", phase);
    Some(())
}

fn policy_untold(text: &mut RecordText) -> Option<()> {
    let line = text.steps().find(|&line| {
        let is_told = text.event(line) == "policy-changed";
        let changed = line.checked_sub(1).is_some_and(|before| {
            text.0[before].contains_key("policy") && text.0[before].contains_key("at_us")
        });
        let next = soon(text, line);
        let next = next.map(|next| text.event(next));
        is_told && changed && next.is_some_and(|next| next != "policy-changed")
    })?;
    text.0.remove(line);
    Some(())
}

/// A program runs although its start could not be saved.
fn spawn_unsaved(text: &mut RecordText) -> Option<()> {
    let policies = || text.0.iter().filter(|line| line.contains_key("policy"));
    let required = |policy: &str| policy.contains("save=required");
    if !policies().all(|line| line["policy"].as_str().is_some_and(required)) {
        return None;
    }
    let line = text.steps().find(|&line| {
        let next = text.next(line).map(|next| text.event(next));
        text.has_action(line, "spawn #")
            && next
                .is_some_and(|next| !next.starts_with("start-failed") && !next.starts_with("fired"))
    })?;
    text.set(line, "save", "failed");
    Some(())
}

fn recovery_dropped(text: &mut RecordText) -> Option<()> {
    let line = text.steps().find(|&line| {
        text.event(line).starts_with("recovered")
            && text.next(line).is_some()
            && line.checked_sub(1).is_some_and(|head| text.0[head].contains_key("state"))
    })?;
    text.0.remove(line);
    Some(())
}

const MICROS_PER_MILLI: u64 = 1_000;

const MICROS_PER_SECOND: u64 = 1_000_000;

/// More than a judge accepts by default.
const TOO_LATE: u64 = 10_000_001;
