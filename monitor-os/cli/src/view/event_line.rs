//! Event entries as lines for a person.

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use monitor_core::Event;
use monitor_os::{LogRing, UnitEvent};

use super::text::printable;
use crate::report::event_entry::EventEntry;
use crate::report::last_lines::{failed, last_of};
use crate::report::unit_mode::UnitMode;

/// How lifecycle lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventsFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// The last lines of a run that failed, once all of them were read.
pub(crate) fn last_lines_of_failure(
    notice: &UnitEvent,
    ring: &LogRing,
    mode: UnitMode,
) -> Vec<String> {
    if !matches!(notice.event, Event::Released { .. })
        || !failed(notice.before, notice.status.policy())
    {
        return Vec::new();
    }
    let unit = before_text(&notice.name, mode);
    let dim = Style::new().dimmed();
    let lines = last_of(ring, notice.before.run(), FAILURE_LINES);
    let shown = lines.iter().map(|line| {
        format!(
            "{dim}monitor:           |{dim:#} {unit}{}",
            printable(&String::from_utf8_lossy(&line.text))
        )
    });
    shown.collect()
}

/// How many lines of a failed run are shown.
const FAILURE_LINES: usize = 10;

/// An entry as a line for a person, in colour, with the name of the unit where there are many;
/// `None` for an entry without text.
pub(crate) fn event_line(entry: &EventEntry, mode: UnitMode) -> Option<String> {
    let text = entry.text.as_deref()?;
    let time = entry.at().to_string();
    let (dim, style) = (Style::new().dimmed(), style(&entry.event));
    let unit = before_text(&entry.unit, mode);
    Some(format!("{dim}monitor: {time:>9}{dim:#}  {unit}{style}{text}{style:#}"))
}

/// The name of a unit where there are many.
fn before_text(unit: &str, mode: UnitMode) -> String {
    match mode {
        UnitMode::One => String::new(),
        UnitMode::Many => format!("{unit}: "),
    }
}

/// The colour of an event, by its name. An unknown name of another release has none.
fn style(event: &str) -> Style {
    match event {
        "started" | "ready" | "healthy" => AnsiColor::Green.on_default(),
        "stopping" | "backing-off" | "throttled" => AnsiColor::Yellow.on_default(),
        "killing" | "unkillable" | "start-failed" | "gave-up" => AnsiColor::Red.on_default(),
        _ => Style::new(),
    }
}
