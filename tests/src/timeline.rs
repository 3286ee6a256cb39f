//! Readable scenarios: timed inputs with the exact answers of the machine, on a virtual clock.
//!
//! ```text
//! # A crash is followed by a wait, and a stop ends the wait.
//! # Source: where the rule comes from.
//! policy preset=docker restart=always
//!
//! 0ms      start                    => save; spawn #1; emit starting [starting]
//! 2ms      started #1               => save; arm healthy #1 10s; emit started [running]
//! end                               => running (wanted), outcome none, restarts 0, strikes 0, level 0
//! ```
//!
//! - Comments and empty lines stand alone; one comment contains `Source:`. The first other line is
//!   the policy in its text form. The last line is `end`.
//! - An input is a time, an event in its text form or `policy` with another policy, and `=>` with
//!   the commands in order. The commands are separated by `;`, or `-` if there are none. Brackets
//!   contain the new phase, and `stale` or `not-applicable` if the event did not count.
//! - Times never decrease. The three timer slots are simulated. An armed timer must be written as
//!   `fired KIND #RUN` when it is due, and at no other time. What was readable by then may come
//!   before it. A timer with jitter fires at any time in its range. No timer survives until
//!   `recovered`.

use std::fmt;

use monitor_core::{Action, Event, Millis, Monitor, Note, Policy, Step, TimerSlot, TimerToken};

/// An error in a scenario, with its line. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineFailure {
    /// The line, from 1.
    pub line: usize,
    /// The error and its fix.
    pub what: String,
}

impl fmt::Display for TimelineFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Runs a scenario and compares every answer.
///
/// # Errors
/// [`TimelineFailure`] at the first line that cannot be read, breaks the rules of time, or has
/// another answer.
pub fn check(text: &str) -> Result<(), TimelineFailure> {
    walk(text, |expected, found| match expected {
        Some(expected) if words(expected) == words(found) => Ok(()),
        Some(expected) => Err(format!("expected `{expected}`\n   found `{found}`")),
        None => Err(format!("no answer: write `=> {found}`")),
    })
    .map(drop)
}

/// Runs a scenario and returns it with the answers of the machine. Comments and inputs are kept.
///
/// # Errors
/// [`TimelineFailure`] at the first line that cannot be read or breaks the rules of time.
pub fn rewrite(text: &str) -> Result<String, TimelineFailure> {
    walk(text, |_, _| Ok(()))
}

fn walk(
    text: &str,
    compare: impl Fn(Option<&str>, &str) -> Result<(), String>,
) -> Result<String, TimelineFailure> {
    let mut world: Option<TimelineWorld> = None;
    let mut output = String::new();
    let (mut sourced, mut ended) = (false, false);
    for (line, row) in text.lines().enumerate() {
        let fail = |what: String| TimelineFailure { line: line + 1, what };
        let row = row.trim();
        sourced |= row.starts_with('#') && row.contains("Source:");
        if row.is_empty() || row.starts_with('#') {
            output.push_str(row);
        } else if ended {
            return Err(fail("nothing may follow `end`: remove it".into()));
        } else if let Some(world) = &mut world {
            let (input, expected) = match row.split_once("=>") {
                Some((input, expected)) => (input.trim(), Some(expected.trim())),
                None => (row, None),
            };
            let (time, event) = input.split_once(char::is_whitespace).unwrap_or((input, ""));
            ended = time == "end";
            let found = if ended { world.end() } else { world.take(time, event.trim()) };
            let found = found.map_err(fail)?;
            compare(expected, &found).map_err(fail)?;
            output.push_str(&format!("{time:<8} {:<24} => {found}", event.trim()));
        } else {
            let policy = row.strip_prefix("policy ").ok_or_else(|| {
                fail("begin with `policy`, such as `policy restart=always`".into())
            })?;
            let policy = policy.parse().map_err(|error| fail(format!("{error}")))?;
            world = Some(TimelineWorld::new(policy));
            output.push_str(row);
        }
        output.push('\n');
    }
    let what = match (sourced, ended) {
        (false, _) => "no source: write a comment `# Source: ...`",
        (_, false) => "no end: write `end` after the last input",
        (true, true) => return Ok(output),
    };
    Err(TimelineFailure { line: text.lines().count(), what: what.into() })
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// The machine, the time, and the driver's three deadlines.
struct TimelineWorld {
    monitor: Monitor,
    now: u64,
    slots: [Option<Armed>; TimerSlot::ALL.len()],
}

#[derive(Clone, Copy)]
struct Armed {
    timer: TimerToken,
    earliest: u64,
    latest: u64,
}

impl TimelineWorld {
    const fn new(policy: Policy) -> Self {
        Self { monitor: Monitor::new(policy), now: 0, slots: [None; 3] }
    }

    fn take(&mut self, time: &str, input: &str) -> Result<String, String> {
        let time: Millis = time.parse().map_err(|error| format!("{error}"))?;
        let at = u64::from(time.as_u32());
        if at < self.now {
            return Err(format!("{at}ms is before {}ms: times must not go back", self.now));
        }
        let step = if let Some(policy) = input.strip_prefix("policy ") {
            let policy = policy.parse().map_err(|error| format!("{error}"))?;
            self.advance(at, None)?;
            self.monitor.set_policy(policy)
        } else {
            let event: Event = input.parse().map_err(|error| format!("{error}"))?;
            let fired = if let Event::TimerFired { timer } = event { Some(timer) } else { None };
            if matches!(event, Event::Recovered { .. }) {
                self.slots = [None; 3];
            }
            self.advance(at, fired)?;
            self.monitor.handle(event)
        };
        Ok(self.execute(step))
    }

    /// Moves the clock, and empties the slot of the timer that fires.
    fn advance(&mut self, at: u64, fired: Option<TimerToken>) -> Result<(), String> {
        for armed in self.slots.iter().flatten() {
            let Armed { timer, latest, .. } = armed;
            if *latest < at {
                return Err(format!(
                    "a due timer is left out: write `{latest}ms fired {timer}` before"
                ));
            }
        }
        if let Some(timer) = fired {
            let slot = &mut self.slots[timer.kind.slot() as usize];
            match slot.filter(|armed| armed.timer == timer) {
                Some(armed) if armed.earliest <= at => *slot = None,
                Some(armed) => {
                    return Err(format!("{timer} is due at {}ms, not yet", armed.earliest));
                }
                None => return Err(format!("{timer} is not armed: remove the line")),
            }
        }
        self.now = at;
        Ok(())
    }

    fn execute(&mut self, step: Step) -> String {
        let mut commands = Vec::new();
        step.for_each(|action| {
            commands.push(action.to_string());
            self.set_timer(action);
        });
        if commands.is_empty() {
            commands.push("-".into());
        }
        let note = match step.note {
            Note::Applied => String::new(),
            Note::Stale | Note::NotApplicable => format!(", {}", step.note.name()),
        };
        format!("{} [{}{note}]", commands.join("; "), step.state.phase())
    }

    fn set_timer(&mut self, action: Action) {
        let after = |delay: Millis| self.now + u64::from(delay.as_u32());
        match action {
            Action::Arm { timer, delay } => {
                let (earliest, latest) = (after(delay.base), after(delay.longest()));
                self.slots[timer.kind.slot() as usize] = Some(Armed { timer, earliest, latest });
            }
            Action::Shorten { timer, delay } => {
                let due = after(delay);
                let slot = &mut self.slots[timer.kind.slot() as usize];
                let (earliest, latest) =
                    slot.map_or((due, due), |armed| (armed.earliest, armed.latest));
                let (earliest, latest) = (earliest.min(due), latest.min(due));
                *slot = Some(Armed { timer, earliest, latest });
            }
            Action::Lengthen { timer, delay } => {
                let due = after(delay);
                if let Some(armed) = &mut self.slots[timer.kind.slot() as usize] {
                    (armed.earliest, armed.latest) =
                        (armed.earliest.max(due), armed.latest.max(due));
                }
            }
            Action::Disarm { slot } => self.slots[slot as usize] = None,
            Action::Persist(_) | Action::Spawn { .. } | Action::Signal { .. } => {}
            Action::Release { .. } | Action::CancelSpawn { .. } | Action::Abandon { .. } => {}
            Action::AwaitReady { .. } | Action::BeginService { .. } | Action::EndService { .. } => {
            }
            Action::Emit(_) => {}
        }
    }

    fn end(&mut self) -> Result<String, String> {
        // What is due now fires before the end.
        self.advance(self.now + 1, None)?;
        let state = self.monitor.state();
        let (phase, reason, outcome) = (state.phase(), state.reason(), state.outcome());
        let (restarts, strikes, level) = (state.restarts(), state.strikes(), state.level());
        Ok(format!(
            "{phase} ({reason}), outcome {outcome}, restarts {restarts}, strikes {strikes}, level {level}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
# Source: this file.
policy restart=always jitter=0 backoff=constant:1s healthy-after=none
0ms   start              => save; spawn #1; emit starting [starting]
0ms   exited #1 code=1   => save; release #1 TERM group; end-service #1; arm stop-grace #1 10s; emit exited [releasing]
5ms   released #1        => save; arm backoff #1 1s; emit backing-off [backing-off]
1005ms fired backoff #1  => save; spawn #2; emit starting [starting]
end => starting (wanted), outcome none, restarts 1, strikes 1, level 1
";

    fn failure(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from} is in the scenario");
        check(&GOOD.replace(from, to)).expect_err("the change must be found").to_string()
    }

    #[test]
    fn a_right_scenario_passes_and_survives_its_rewriting() {
        assert_eq!(check(GOOD), Ok(()));
        let rewritten = rewrite(GOOD).unwrap();
        assert_eq!(check(&rewritten), Ok(()));
        assert_eq!(rewrite(&rewritten).unwrap(), rewritten);
    }

    #[test]
    fn a_wrong_answer_is_shown_beside_the_right_one() {
        let found = failure("spawn #2; emit", "emit");
        assert_eq!(
            found,
            "line 6: expected `save; emit starting [starting]`\n   found `save; spawn #2; emit starting [starting]`"
        );
        assert!(failure("[backing-off]", "[stopped]").starts_with("line 5: expected"));
        assert!(failure("restarts 1", "restarts 2").starts_with("line 7: expected"));
        assert!(failure(" => save; spawn #2; emit starting [starting]", "").contains("no answer"));
    }

    #[test]
    fn rewriting_mends_answers_and_nothing_else() {
        let broken = GOOD.replace("spawn #2; ", "").replace("# Source", "# kept\n# Source");
        let mended = rewrite(&broken).unwrap();
        assert!(mended.starts_with("# kept\n") && mended.contains("spawn #2; emit"));
    }

    #[test]
    fn timers_fire_when_they_are_due() {
        assert_eq!(failure("1005ms", "1004ms"), "line 6: backoff #1 is due at 1005ms, not yet");
        let late = failure("1005ms", "1006ms");
        assert_eq!(late, "line 6: a due timer is left out: write `1005ms fired backoff #1` before");
        let left_out = failure("1005ms fired backoff #1 ", "1006ms stop ");
        assert!(left_out.contains("left out"), "a timer is not passed over: {left_out}");
        let readable = failure("1005ms fired backoff #1 ", "1005ms stop ");
        assert!(!readable.contains("left out"), "what is readable comes first: {readable}");
        let unknown = failure("fired backoff", "fired watchdog");
        assert_eq!(unknown, "line 6: watchdog #1 is not armed: remove the line");
        let end = failure("1s; emit backing-off [backing-off]\n1005ms fired backoff #1", "\n#");
        assert!(end.starts_with("line 5"), "{end}");
    }

    #[test]
    fn jitter_may_be_drawn_from_its_whole_range_only() {
        for (time, fits) in [(1004, false), (1005, true), (1050, true), (1105, true), (1106, false)]
        {
            let text =
                GOOD.replace("jitter=0", "jitter=10%").replace("1005ms", &format!("{time}ms"));
            assert_eq!(rewrite(&text).is_ok(), fits, "{time}");
        }
    }

    #[test]
    fn errors_of_form_name_line_and_fix() {
        assert_eq!(
            failure("5ms   rel", "0ms   rel").lines().count(),
            1,
            "the backoff moves as well"
        );
        assert_eq!(failure("1005ms", "1ms"), "line 6: 1ms is before 5ms: times must not go back");
        assert!(failure("1005ms", "soon").starts_with("line 6: duration: \"soon\""));
        assert!(failure("start   ", "begin   ").starts_with("line 3: event: \"begin\""));
        assert!(failure("always", "often").starts_with("line 2: restart: \"often\""));
        assert!(failure("policy ", "").starts_with("line 2: begin with `policy`"));
        assert!(failure("Source:", "").contains("no source"));
        assert!(failure("\nend =>", "\n# end").contains("no end"));
        assert!(failure("level 1\n", "level 1\n2s stop => -").contains("nothing may follow"));
    }
}
