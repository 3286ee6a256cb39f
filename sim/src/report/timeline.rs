//! A trace as lanes over time: what was asked, the phases, the runs, the timers.
//!
//! One layout, drawn as SVG, as a self-contained HTML page, and as a trace for Perfetto and Chrome.
//! Each step has a column, since most races are over within one moment; gaps between moments are
//! compressed, so that milliseconds and hours fit on one line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use monitor_core::{Action, Event, Phase, RunId, TimerSlot};
use monitor_os::Moment;
use serde::Serialize;

use super::html_text::escape;
use crate::oracle::trace::{self, TraceLine};

/// A trace laid out in lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// The moment of each step, in order.
    pub steps: Vec<Moment>,
    /// The spans.
    pub spans: Vec<Span>,
    /// The marks.
    pub marks: Vec<Mark>,
    /// The step that is wrong, if one is.
    pub wrong: Option<usize>,
}

/// Something that lasts, in one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The lane.
    pub lane: Lane,
    /// The step with which it begins.
    pub from: usize,
    /// The step with which it ends, if the trace shows it.
    pub to: Option<usize>,
    /// The label.
    pub label: String,
    /// The text that is shown when the pointer is over it.
    pub detail: String,
    /// The tone, which decides the colour.
    pub tone: Tone,
}

/// Something that happens at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The step.
    pub at: usize,
    /// The label.
    pub label: String,
    /// The step as text, which is shown when the pointer is over it.
    pub detail: String,
}

/// One row of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// The requests.
    Requests,
    /// The phase of the machine.
    Phase,
    /// The process, from its spawn to its exit, and what it leaves until it is released.
    Process,
    /// The phase's timer.
    Timer,
    /// The watchdog.
    Watchdog,
    /// The window of the start limit.
    Window,
}

impl Lane {
    /// All lanes, from top to bottom.
    pub const ALL: [Self; 6] =
        [Self::Requests, Self::Phase, Self::Process, Self::Timer, Self::Watchdog, Self::Window];

    /// The name beside the row.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Phase => "phase",
            Self::Process => "process",
            Self::Timer => "timer",
            Self::Watchdog => "watchdog",
            Self::Window => "window",
        }
    }
}

/// The tone of a span, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// The unit serves.
    Good,
    /// The unit waits.
    Waiting,
    /// The unit goes down.
    Ending,
    /// The unit is down.
    Down,
}

impl Tone {
    const fn colour(self) -> &'static str {
        match self {
            Self::Good => "#9ad29a",
            Self::Waiting => "#f3d27a",
            Self::Ending => "#f0a08c",
            Self::Down => "#d4d8dd",
        }
    }

    const fn of(phase: Phase) -> Self {
        match phase {
            Phase::Activating | Phase::Running | Phase::Healthy => Self::Good,
            Phase::Starting | Phase::BackingOff | Phase::Throttled => Self::Waiting,
            Phase::Cancelling
            | Phase::Aborting
            | Phase::Stopping
            | Phase::Killing
            | Phase::Releasing
            | Phase::Purging => Self::Ending,
            Phase::Idle | Phase::Stopped => Self::Down,
        }
    }
}

impl Timeline {
    /// Lays a trace out. Of several units it is the one that is reported first; if `marked`, which
    /// says that the last step is wrong, it is the one whose step that is.
    #[must_use]
    pub fn new(trace: &[TraceLine], marked: bool) -> Self {
        let shown = if marked { trace.last() } else { trace.first() }.map(|line| line.unit);
        let mut layout = Layout::default();
        for line in trace.iter().filter(|line| Some(line.unit) == shown) {
            layout.step(line);
        }
        layout.finish(marked)
    }
}

#[derive(Default)]
struct Layout {
    /// The number of this step.
    now: usize,
    steps: Vec<Moment>,
    spans: Vec<Span>,
    marks: Vec<Mark>,
    open: BTreeMap<Lane, Span>,
    phase: Phase,
}

impl Layout {
    fn step(&mut self, line: &TraceLine) {
        self.now = self.steps.len();
        self.steps.push(line.at);
        let state = line.step.state;
        let detail = format!("{}\n{state}\n{}", line.event, trace::actions(line.step));
        if line.event.run().is_none() && !matches!(line.event, Event::TimerFired { .. }) {
            self.marks.push(Mark {
                at: self.now,
                label: line.event.to_string(),
                detail: detail.clone(),
            });
        }
        if let Event::TimerFired { timer } = line.event {
            self.close(lane_of(timer.kind.slot()));
        }
        if let Event::Exited { .. } | Event::StartFailed { .. } = line.event
            && state.outcome() != line.before.outcome()
        {
            self.close(Lane::Process);
            let label = format!("{} {}", state.run(), state.outcome());
            self.begin(Lane::Process, label, detail.clone(), Tone::Ending);
        }
        line.step.for_each(|action| match action {
            Action::Spawn { run } => self.begin_run(run, &detail),
            Action::Arm { timer, delay } => {
                let label = format!("{} {delay}", timer.kind);
                self.begin(lane_of(timer.kind.slot()), label, detail.clone(), Tone::Waiting);
            }
            Action::Shorten { timer, delay } => {
                let label = format!("{} at most {delay}", timer.kind);
                self.begin(lane_of(timer.kind.slot()), label, detail.clone(), Tone::Waiting);
            }
            Action::Lengthen { timer, delay } => {
                let label = format!("{} at least {delay}", timer.kind);
                self.begin(lane_of(timer.kind.slot()), label, detail.clone(), Tone::Waiting);
            }
            Action::Disarm { slot } => self.close(lane_of(slot)),
            Action::Persist(_)
            | Action::Signal { .. }
            | Action::Release { .. }
            | Action::CancelSpawn { .. }
            | Action::Abandon { .. }
            | Action::AwaitReady { .. }
            | Action::BeginService { .. }
            | Action::EndService { .. }
            | Action::Emit(_) => {}
        });
        let released = !state.phase().is_releasing();
        if !state.phase().is_live() && released {
            self.close(Lane::Process);
        }
        if state.phase() != self.phase || self.open.is_empty() {
            self.phase = state.phase();
            let label = state.phase().to_string();
            self.begin(Lane::Phase, label, detail, Tone::of(state.phase()));
        }
    }

    fn begin_run(&mut self, run: RunId, detail: &str) {
        self.begin(Lane::Process, format!("run {run}"), detail.to_owned(), Tone::Good);
    }

    fn begin(&mut self, lane: Lane, label: String, detail: String, tone: Tone) {
        self.close(lane);
        let span = Span { lane, from: self.now, to: None, label, detail, tone };
        self.open.insert(lane, span);
    }

    fn close(&mut self, lane: Lane) {
        if let Some(mut span) = self.open.remove(&lane) {
            span.to = Some(self.now);
            self.spans.push(span);
        }
    }

    fn finish(mut self, marked: bool) -> Timeline {
        self.spans.extend(self.open.into_values());
        self.spans.sort_by_key(|span| (span.lane, span.from));
        let wrong = marked.then(|| self.steps.len().checked_sub(1)).flatten();
        Timeline { steps: self.steps, spans: self.spans, marks: self.marks, wrong }
    }
}

const fn lane_of(slot: TimerSlot) -> Lane {
    match slot {
        TimerSlot::Phase => Lane::Timer,
        TimerSlot::Watchdog => Lane::Watchdog,
        TimerSlot::Window => Lane::Window,
    }
}

const LEFT: f64 = 90.0;
const ROW: f64 = 34.0;
const TOP: f64 = 34.0;

/// The least width of a step: that of its time.
const COLUMN: f64 = 70.0;
const LETTER: f64 = 6.2;
const PADDING: f64 = 14.0;

/// The horizontal place of each step, and the end: as wide as what is written in it, and then a gap
/// by the logarithm of the time that passes.
fn places(timeline: &Timeline) -> Vec<f64> {
    let mut widths = vec![COLUMN; timeline.steps.len()];
    let mut write = |step: usize, label: &str| {
        let width = label.chars().count() as f64 * LETTER + PADDING;
        widths[step] = widths[step].max(width);
    };
    for span in &timeline.spans {
        if span.to.is_none_or(|to| to == span.from + 1) {
            write(span.from, &span.label);
        }
    }
    timeline.marks.iter().for_each(|mark| write(mark.at, &mark.label));
    let mut places = Vec::with_capacity(widths.len() + 1);
    let mut x = LEFT;
    for (step, width) in widths.into_iter().enumerate() {
        places.push(x);
        let next = timeline.steps.get(step + 1);
        let gap_ms = next.map_or(0.0, |at| at.nanos_since(timeline.steps[step]) as f64 / 1e6);
        x += width + 30.0 * (1.0 + gap_ms).log10();
    }
    places.push(x);
    places
}

/// Draws the timeline as an SVG image.
#[must_use]
pub fn svg(timeline: &Timeline) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _unfailing = draw(&mut text, timeline);
    text
}

fn draw(text: &mut String, timeline: &Timeline) -> std::fmt::Result {
    let places = places(timeline);
    let end = places.last().copied().unwrap_or(LEFT) + 8.0;
    let height = TOP + ROW * Lane::ALL.len() as f64 + 12.0;
    let bottom = height - 12.0;
    writeln!(
        text,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{end:.0}" height="{height:.0}" viewBox="0 0 {end:.0} {height:.0}" font-family="system-ui, sans-serif" font-size="11">"#
    )?;
    writeln!(text, r#"<rect width="100%" height="100%" fill="white"/>"#)?;
    if let Some(step) = timeline.wrong {
        let (x, width) = (places[step], places[step + 1] - places[step]);
        writeln!(
            text,
            r##"<g><title>this step is wrong</title><rect x="{x:.0}" y="22" width="{width:.0}" height="{:.0}" fill="#fdeaea" stroke="#d33" stroke-dasharray="4 3"/></g>"##,
            bottom - 22.0
        )?;
    }
    for (row, lane) in Lane::ALL.into_iter().enumerate() {
        let y = TOP + ROW * row as f64;
        writeln!(text, r##"<text x="6" y="{:.0}" fill="#555">{}</text>"##, y + 20.0, lane.name())?;
        let line = y + ROW;
        writeln!(
            text,
            r##"<line x1="0" x2="{end:.0}" y1="{line:.0}" y2="{line:.0}" stroke="#eee"/>"##
        )?;
    }
    let mut before = None;
    for (&at, x) in timeline.steps.iter().zip(&places) {
        // Steps of one moment stand under its time together.
        if before.replace(at) != Some(at) {
            writeln!(
                text,
                r##"<line x1="{x:.0}" x2="{x:.0}" y1="22" y2="{bottom:.0}" stroke="#e6e6e6"/><text x="{x:.0}" y="16" fill="#777">{at}</text>"##
            )?;
        }
    }
    for span in &timeline.spans {
        let row = Lane::ALL.iter().position(|&lane| lane == span.lane).unwrap_or(0);
        let (x, y) = (places[span.from], TOP + ROW * row as f64 + 5.0);
        let width = places[span.to.unwrap_or(timeline.steps.len())] - x;
        writeln!(
            text,
            r##"<g><title>{}</title><rect x="{x:.0}" y="{y:.0}" width="{:.0}" height="24" rx="3" fill="{}" stroke="#888" stroke-width="0.5"/><text x="{:.0}" y="{:.0}">{}</text></g>"##,
            escape(&span.detail),
            width.max(3.0),
            span.tone.colour(),
            x + 4.0,
            y + 16.0,
            escape(&fitting(&span.label, width))
        )?;
    }
    for mark in &timeline.marks {
        let x = places[mark.at];
        writeln!(
            text,
            r##"<g><title>{}</title><path d="M {x:.0} {TOP} l 6 10 l -12 0 z" fill="#3267c8"/><text x="{:.0}" y="{:.0}" fill="#1d448c">{}</text></g>"##,
            escape(&mark.detail),
            x + 8.0,
            TOP + 24.0,
            escape(&mark.label)
        )?;
    }
    writeln!(text, "</svg>")
}

/// As much of a label as a width has room for, and a sign of what is cut.
fn fitting(label: &str, width: f64) -> String {
    let fits = ((width - 8.0) / LETTER).max(0.0) as usize;
    match fits {
        0..3 => String::new(),
        _ if label.chars().count() <= fits => label.to_owned(),
        _ => label.chars().take(fits - 1).chain(['…']).collect(),
    }
}

/// A page without anything from elsewhere: the picture, and the table of steps under it.
#[must_use]
pub fn html(timeline: &Timeline, title: &str, trace: &[TraceLine]) -> String {
    let mut rows = String::new();
    let wrong = timeline.wrong.map(|_| trace.len() - 1);
    for (step, line) in trace.iter().enumerate() {
        let class = if wrong == Some(step) { " class=\"wrong\"" } else { "" };
        // Writing to a string cannot fail.
        let _unfailing = writeln!(
            rows,
            "<tr{class}><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            line.at,
            escape(&line.event_text()),
            escape(&trace::phases(line.before, line.step)),
            escape(&trace::actions(line.step))
        );
    }
    format!(
        r#"<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 14px system-ui, sans-serif; margin: 1.5rem; color: #222 }}
.picture {{ overflow-x: auto; border: 1px solid #ddd }}
.picture g:hover rect {{ stroke-width: 2; stroke: #333 }}
table {{ border-collapse: collapse; margin-top: 1.5rem; font: 12px ui-monospace, monospace }}
td, th {{ text-align: left; padding: 3px 12px 3px 0; border-bottom: 1px solid #eee; white-space: pre }}
tr.wrong {{ background: #fdeaea }}
</style></head><body>
<h1>{title}</h1>
<p>Each step has a column; the time between them is compressed. Hover over a bar or a mark for the step behind it.</p>
<div class="picture">
{picture}</div>
<table><thead><tr><th>time</th><th>input</th><th>phase</th><th>actions</th></tr></thead><tbody>
{rows}</tbody></table>
</body></html>
"#,
        title = escape(title),
        picture = svg(timeline)
    )
}

/// The trace format of Chrome, which Perfetto reads as well: a track a lane, times as they were.
#[must_use]
pub fn perfetto(timeline: &Timeline) -> String {
    let track = |lane: Lane| Lane::ALL.iter().position(|&other| other == lane).unwrap_or(0);
    let micros = |at: Moment| at.as_nanos() / 1_000;
    let end = timeline.steps.last().copied().unwrap_or_default();
    let at = |step: Option<usize>| micros(step.map_or(end, |step| timeline.steps[step]));
    let named = Lane::ALL.into_iter().map(|lane| {
        serde_json::json!({
            "name": "thread_name", "ph": "M", "pid": 1, "tid": track(lane),
            "args": { "name": lane.name() },
        })
    });
    let spans = timeline.spans.iter().map(|span| {
        serde_json::json!({
            "name": span.label, "cat": span.lane, "ph": "X", "pid": 1, "tid": track(span.lane),
            "ts": at(Some(span.from)), "dur": at(span.to) - at(Some(span.from)),
            "args": { "step": span.detail },
        })
    });
    let marks = timeline.marks.iter().map(|mark| {
        serde_json::json!({
            "name": mark.label, "cat": Lane::Requests, "ph": "i", "s": "p", "pid": 1,
            "tid": track(Lane::Requests), "ts": at(Some(mark.at)), "args": { "step": mark.detail },
        })
    });
    let events: Vec<_> = named.chain(spans).chain(marks).collect();
    serde_json::json!({ "traceEvents": events, "displayTimeUnit": "ms" }).to_string()
}

#[cfg(test)]
mod tests {
    use monitor_os::Core;

    use super::*;
    use crate::case::definition::Case;
    use crate::world::simulation;

    fn trace() -> Vec<TraceLine> {
        let case: Case = "
            policy restart=always jitter=0
            process rest lives=1s exits=code=1
            0ms start
            1s50ms stop"
            .parse()
            .unwrap();
        simulation::run(&case, Core, 100).trace
    }

    #[test]
    fn a_crash_and_a_stop_in_the_wait_have_their_spans() {
        let timeline = Timeline::new(&trace(), false);
        let at = |step: usize| timeline.steps[step].as_millis();
        let process: Vec<_> =
            timeline.spans.iter().filter(|span| span.lane == Lane::Process).collect();
        assert_eq!(process[0].label, "run #1");
        assert_eq!((at(process[0].from), process[0].to.map(at)), (0, Some(1_000)));
        let wait = timeline.spans.iter().find(|span| span.label == "backoff 100ms").unwrap();
        assert_eq!((at(wait.from), wait.to.map(at)), (1_000, Some(1_050)));
        let requests: Vec<_> = timeline.marks.iter().map(|mark| mark.label.as_str()).collect();
        assert_eq!(requests, ["start", "stop"]);
        assert_eq!(timeline.wrong, None);
    }

    /// Goal: a race within one moment can be read. Method: three requests at once; nothing is
    /// written over anything.
    #[test]
    fn steps_of_one_moment_stand_side_by_side() {
        let case: Case = "policy restart=no\n0ms start\n0ms stop\n0ms stop".parse().unwrap();
        let trace = simulation::run(&case, Core, 100).trace;
        let timeline = Timeline::new(&trace, true);
        let places = places(&timeline);
        for mark in &timeline.marks {
            let room = places[mark.at + 1] - places[mark.at];
            assert!(mark.label.len() as f64 * LETTER < room, "{mark:?} in {room}");
        }
        assert_eq!(timeline.wrong, Some(trace.len() - 1));
        let picture = svg(&timeline);
        assert_eq!(picture.matches("this step is wrong").count(), 1);
        assert_eq!(picture.matches(">0.000s<").count(), 1, "the time stands once");
    }

    #[test]
    fn what_does_not_fit_is_cut_with_a_sign() {
        assert_eq!(fitting("stop-grace 10s", 100.0), "stop-grace 10s");
        assert_eq!(fitting("stop-grace 10s", 60.0), "stop-gr…");
        assert_eq!(fitting("stop-grace 10s", 20.0), "");
    }

    #[test]
    fn pictures_are_well_formed_and_escaped() {
        let trace = trace();
        let timeline = Timeline::new(&trace, false);
        let page = html(&timeline, "a < b", &trace);
        assert!(!page.contains("class=\"wrong\""));
        let marked = html(&Timeline::new(&trace, true), "a < b", &trace);
        assert_eq!(marked.matches("class=\"wrong\"").count(), 1);
        assert!(page.contains("<title>a &lt; b</title>") && page.contains("</svg>"));
        assert_eq!(page.matches("<g>").count(), page.matches("</g>").count());
        let json: serde_json::Value = serde_json::from_str(&perfetto(&timeline)).unwrap();
        let events = json["traceEvents"].as_array().unwrap();
        assert_eq!(events.len(), Lane::ALL.len() + timeline.spans.len() + timeline.marks.len());
    }
}
