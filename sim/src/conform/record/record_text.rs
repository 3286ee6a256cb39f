//! A record as lines that can be edited.

use std::str::FromStr;

use monitor_core::{Delay, Event, TimerToken};
use serde_json::{Map, Value};

/// The lines of a record.
#[derive(Clone, Debug)]
pub(super) struct RecordText(pub(super) Vec<Map<String, Value>>);

impl RecordText {
    /// Reads the lines; `None` if one is no JSON object.
    pub(super) fn read(text: &str) -> Option<Self> {
        text.lines().map(|line| serde_json::from_str(line).ok()).collect::<Option<_>>().map(Self)
    }

    pub(super) fn write(&self) -> String {
        self.0.iter().map(|line| format!("{}\n", Value::from(line.clone()))).collect()
    }

    pub(super) fn text(&self, line: usize, field: &str) -> &str {
        self.0.get(line).and_then(|line| line.get(field)?.as_str()).unwrap_or_default()
    }

    pub(super) fn event(&self, line: usize) -> &str {
        self.text(line, "event")
    }

    /// The timer that fires in a line.
    pub(super) fn fired(&self, line: usize) -> Option<TimerToken> {
        match self.event(line).parse() {
            Ok(Event::TimerFired { timer }) => Some(timer),
            Ok(_) | Err(_) => None,
        }
    }

    pub(super) fn at(&self, line: usize) -> u64 {
        self.0.get(line).and_then(|line| line.get("at_us")?.as_u64()).unwrap_or_default()
    }

    pub(super) fn set(&mut self, line: usize, field: &str, value: impl Into<Value>) {
        self.0[line].insert(field.to_owned(), value.into());
    }

    /// Moves the times of a line and of all later ones.
    pub(super) fn delay_from(&mut self, line: usize, by: u64) {
        for line in line..self.0.len() {
            if self.0[line].contains_key("at_us") {
                let at = self.at(line);
                self.set(line, "at_us", at + by);
            }
        }
    }

    pub(super) fn actions(&self, line: usize) -> impl Iterator<Item = &str> {
        let actions = self.0.get(line).and_then(|line| line.get("actions")?.as_array());
        actions.into_iter().flatten().filter_map(Value::as_str)
    }

    pub(super) fn has_action(&self, line: usize, beginning: &str) -> bool {
        self.actions(line).any(|action| action.starts_with(beginning))
    }

    /// The delay by which a line sets a timer with this command.
    pub(super) fn delay(&self, line: usize, command: &str, timer: TimerToken) -> Option<Delay> {
        let beginning = format!("{command} {timer} ");
        let delay = self.actions(line).find_map(|action| action.strip_prefix(&*beginning))?;
        Delay::from_str(delay).ok()
    }

    /// The lines with an event.
    pub(super) fn steps(&self) -> impl Iterator<Item = usize> + use<> {
        let is_step = |line: &Map<String, Value>| line.contains_key("event");
        let steps: Vec<_> = self.0.iter().map(is_step).enumerate().collect();
        steps.into_iter().filter_map(|(line, is_step)| is_step.then_some(line))
    }

    /// The previous event of the same unit under the same monitor.
    pub(super) fn before(&self, line: usize) -> Option<usize> {
        let unit = self.0.get(line)?.get("unit");
        (0..line)
            .rev()
            .find(|&other| self.0[other].get("unit") == unit)
            .filter(|&other| self.0[other].contains_key("event"))
    }

    /// The next line of the same unit, if it is an event.
    pub(super) fn next(&self, line: usize) -> Option<usize> {
        let unit = self.0.get(line)?.get("unit");
        let next = (line + 1..self.0.len()).find(|&other| self.0[other].get("unit") == unit)?;
        self.0[next].contains_key("event").then_some(next)
    }

    /// The last line before `line` that sets or empties the slot of its timer, and the line's timer.
    pub(super) fn set_by(&self, line: usize) -> Option<(usize, TimerToken)> {
        let timer = self.fired(line)?;
        let name = timer.to_string();
        let mut other = line;
        loop {
            other = self.before(other)?;
            let about = |action: &str| {
                action.split_once(' ').is_some_and(|(_, rest)| {
                    rest.strip_prefix(&*name).is_some_and(|rest| rest.starts_with(' '))
                })
            };
            if self.actions(other).any(about) {
                return Some((other, timer));
            }
        }
    }

    /// A line with the place of another, and another event that changes nothing.
    pub(super) fn insert_after(&mut self, line: usize, event: &str) {
        let mut fresh = self.0[line].clone();
        fresh.insert("event".to_owned(), event.into());
        fresh.insert("actions".to_owned(), Value::Array(Vec::new()));
        fresh.remove("delay_ms");
        fresh.remove("save");
        self.0.insert(line + 1, fresh);
    }
}
