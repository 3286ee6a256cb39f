//! The state diagram of the exhaustive search, with the changes of phase that traces have visited.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use monitor_core::Phase;

use super::html_text::escape;
use crate::model::finding::Exploration;
use crate::model::input::event_name;
use crate::oracle::trace::TraceLine;

/// The language of a diagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Mermaid, which code hosts render.
    Mermaid,
    /// DOT, which Graphviz renders: `dot -Tsvg`.
    Dot,
    /// An image, laid out by hand.
    Svg,
}

/// The changes of phase in traces, with their counts and events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visits(BTreeMap<(Phase, Phase), (u64, BTreeSet<&'static str>)>);

impl Visits {
    /// Adds the changes of a trace.
    pub fn add(&mut self, trace: &[TraceLine]) {
        for line in trace {
            let change = (line.before.phase(), line.step.state.phase());
            if change.0 != change.1 {
                let (count, events) = self.0.entry(change).or_default();
                *count += 1;
                events.insert(event_name(line.event));
            }
        }
    }
}

/// One change of phase.
#[derive(Clone, Debug)]
struct Arrow {
    from: Phase,
    to: Phase,
    /// The events that cause it.
    label: String,
    /// How often it was visited; `None` if that is not asked for.
    visits: Option<u64>,
}

/// A diagram to be written.
struct Diagram {
    arrows: Vec<Arrow>,
    reached: BTreeSet<Phase>,
    /// Changes visited, of all; `None` if that is not asked for.
    covered: Option<(usize, usize)>,
}

/// Draws every change of phase with the events that cause it. Phases never reached are dashed. With
/// `visits`, changes that were visited are green and bold with their counts, and the others grey.
#[must_use]
pub fn draw(exploration: &Exploration, format: Format, visits: Option<&Visits>) -> String {
    let mut events = exploration.phase_changes.clone();
    for (&change, (_, names)) in visits.iter().flat_map(|visits| &visits.0) {
        // A trace may have another policy, and so changes that the exploration has not.
        events.entry(change).or_default().extend(names);
    }
    let arrows: Vec<Arrow> = events
        .into_iter()
        .map(|((from, to), names)| Arrow {
            from,
            to,
            label: names.into_iter().collect::<Vec<_>>().join(", "),
            visits: visits.map(|visits| visits.0.get(&(from, to)).map_or(0, |(count, _)| *count)),
        })
        .collect();
    let covered = visits
        .map(|_| (arrows.iter().filter(|arrow| arrow.visits > Some(0)).count(), arrows.len()));
    let reached = exploration.states.iter().map(|state| state.phase());
    let reached = reached.chain(arrows.iter().map(|arrow| arrow.to)).collect();
    let diagram = Diagram { arrows, reached, covered };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _unfailing = match format {
        Format::Mermaid => diagram.mermaid(&mut text),
        Format::Dot => diagram.dot(&mut text),
        Format::Svg => diagram.svg(&mut text),
    };
    text
}

impl Arrow {
    /// The events, and the count if it was visited.
    fn counted(&self) -> String {
        match self.visits {
            Some(count) if count > 0 => format!("{} ({count})", self.label),
            Some(_) | None => self.label.clone(),
        }
    }

    /// Colour and width: visited, not visited, or not asked for.
    const fn style(&self) -> (&'static str, f64) {
        match self.visits {
            Some(0) => ("#b4bbc3", 1.0),
            Some(_) => ("#1a7f37", 2.4),
            None => ("#57606a", 1.2),
        }
    }
}

/// Width and height of a phase's box.
const BOX: (f64, f64) = (96.0, 30.0);

/// Where the phases are: what serves on top, what goes down to the right, what waits at the left.
const fn place(phase: Phase) -> (f64, f64) {
    match phase {
        Phase::Idle => (90.0, 70.0),
        Phase::Starting => (330.0, 70.0),
        Phase::Activating => (570.0, 70.0),
        Phase::Running => (810.0, 70.0),
        Phase::Healthy => (1_050.0, 70.0),
        Phase::Cancelling => (640.0, 175.0),
        Phase::Stopping => (830.0, 230.0),
        Phase::Aborting => (520.0, 270.0),
        Phase::Killing => (1_050.0, 330.0),
        Phase::BackingOff => (90.0, 250.0),
        Phase::Throttled => (90.0, 420.0),
        Phase::Releasing => (560.0, 490.0),
        Phase::Purging => (1_000.0, 520.0),
        Phase::Stopped => (330.0, 580.0),
    }
}

/// The point on the border of a box at `from` that looks to `to`.
fn border(from: (f64, f64), to: (f64, f64)) -> (f64, f64) {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let scale = (BOX.0 / 2.0 / dx.abs().max(1e-9)).min(BOX.1 / 2.0 / dy.abs().max(1e-9));
    (from.0 + dx * scale, from.1 + dy * scale)
}

impl Diagram {
    fn mermaid(&self, text: &mut String) -> fmt::Result {
        // Mermaid takes no hyphens in identifiers.
        let id = |phase: Phase| phase.name().replace('-', "_");
        writeln!(text, "stateDiagram-v2")?;
        if let Some((visited, all)) = self.covered {
            writeln!(text, "    %% {visited} of {all} changes visited")?;
        }
        writeln!(text, "    classDef unreached stroke-dasharray: 5 5")?;
        for phase in Phase::ALL {
            writeln!(text, "    state \"{phase}\" as {}", id(phase))?;
            if !self.reached.contains(&phase) {
                writeln!(text, "    class {} unreached", id(phase))?;
            }
        }
        writeln!(text, "    [*] --> {}", id(Phase::Idle))?;
        for arrow in &self.arrows {
            writeln!(text, "    {} --> {}: {}", id(arrow.from), id(arrow.to), arrow.counted())?;
        }
        Ok(())
    }

    fn dot(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "digraph monitor {{")?;
        writeln!(text, "    rankdir=LR; node [shape=box, style=rounded];")?;
        if let Some((visited, all)) = self.covered {
            writeln!(text, "    label=\"{visited} of {all} changes visited\";")?;
        }
        for phase in Phase::ALL {
            let style =
                if self.reached.contains(&phase) { "" } else { " [style=\"rounded,dashed\"]" };
            writeln!(text, "    \"{phase}\"{style};")?;
        }
        for arrow in &self.arrows {
            let label = arrow.counted().replace(", ", "\\n");
            let style = match arrow.visits {
                None => String::new(),
                Some(_) => {
                    let (colour, width) = arrow.style();
                    format!(", color=\"{colour}\", penwidth={width}")
                }
            };
            writeln!(
                text,
                "    \"{}\" -> \"{}\" [label=\"{label}\"{style}];",
                arrow.from, arrow.to
            )?;
        }
        writeln!(text, "}}")
    }

    fn svg(&self, text: &mut String) -> fmt::Result {
        const WIDTH: usize = 1_180;
        const TABLE_TOP: usize = 650;
        let rows = self.arrows.len().div_ceil(2);
        let height = TABLE_TOP + 24 + rows * 15;
        writeln!(
            text,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="12">"#
        )?;
        writeln!(text, r#"<rect width="100%" height="100%" fill="white"/><defs>"#)?;
        let mut colours: Vec<_> = self.arrows.iter().map(|arrow| arrow.style().0).collect();
        colours.sort_unstable();
        colours.dedup();
        for colour in colours {
            writeln!(
                text,
                r#"<marker id="a{}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto"><path d="M 0 0 L 8 4 L 0 8 z" fill="{colour}"/></marker>"#,
                &colour[1..]
            )?;
        }
        writeln!(text, "</defs>")?;
        // What was visited lies over what was not.
        let mut order: Vec<&Arrow> = self.arrows.iter().collect();
        order.sort_by_key(|arrow| arrow.visits);
        order.into_iter().try_for_each(|arrow| arrow.svg(text))?;
        for phase in Phase::ALL {
            let (x, y) = place(phase);
            let (width, height) = BOX;
            let dash =
                if self.reached.contains(&phase) { "" } else { r#" stroke-dasharray="5 4""# };
            writeln!(
                text,
                r##"<rect x="{}" y="{}" width="{width}" height="{height}" rx="7" fill="#f6f8fa" stroke="#24292f"{dash}/><text x="{x}" y="{}" text-anchor="middle">{phase}</text>"##,
                x - width / 2.0,
                y - height / 2.0,
                y + 4.0
            )?;
        }
        if let Some((visited, all)) = self.covered {
            let percent = visited * 100 / all.max(1);
            writeln!(
                text,
                r##"<text x="{}" y="28" text-anchor="end" font-size="15" fill="#1a7f37">{visited} of {all} changes of phase visited ({percent} %)</text>"##,
                WIDTH - 20
            )?;
        }
        for (index, arrow) in self.arrows.iter().enumerate() {
            let (x, y) = (20 + index / rows * 590, TABLE_TOP + 20 + index % rows * 15);
            let colour = arrow.style().0;
            let Arrow { from, to, .. } = arrow;
            let label = arrow.counted();
            writeln!(
                text,
                r##"<text x="{x}" y="{y}" font-size="10.5" fill="{colour}">{from} &gt; {to}: {}</text>"##,
                escape(&label)
            )?;
        }
        writeln!(text, "</svg>")
    }
}

impl Arrow {
    /// A curve to the left of the straight line, so that both directions can be told apart.
    fn svg(&self, text: &mut String) -> fmt::Result {
        let (from, to) = (place(self.from), place(self.to));
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy).max(1.0);
        // Along the top row, long ways pass under the boxes between.
        let bend =
            if from.1 == to.1 && length > 300.0 { length * 0.22 } else { 14.0 + length * 0.05 };
        let side = if from.1 == to.1 && length > 300.0 && dx > 0.0 { 1.0 } else { -1.0 };
        let control = (
            f64::midpoint(from.0, to.0) - side * dy / length * bend,
            f64::midpoint(from.1, to.1) + side * dx / length * bend,
        );
        let (begin, end) = (border(from, control), border(to, control));
        let (colour, width) = self.style();
        writeln!(
            text,
            r#"<g><title>{} &gt; {}: {}</title><path d="M {:.1} {:.1} Q {:.1} {:.1} {:.1} {:.1}" fill="none" stroke="{colour}" stroke-width="{width}" marker-end="url(#a{})"/>"#,
            self.from,
            self.to,
            escape(&self.counted()),
            begin.0,
            begin.1,
            control.0,
            control.1,
            end.0,
            end.1,
            &colour[1..]
        )?;
        if let Some(count) = self.visits.filter(|&count| count > 0) {
            let middle = |a: f64, b: f64, c: f64| 0.25 * a + 0.5 * b + 0.25 * c;
            let x = middle(begin.0, control.0, end.0);
            let y = middle(begin.1, control.1, end.1) + 3.5;
            writeln!(
                text,
                r#"<text x="{x:.1}" y="{y:.1}" text-anchor="middle" font-size="11" font-weight="bold" fill="{colour}" stroke="white" stroke-width="3" paint-order="stroke">{count}</text>"#
            )?;
        }
        writeln!(text, "</g>")
    }
}

#[cfg(test)]
mod tests {
    use monitor_core::Policy;
    use monitor_os::Core;

    use super::*;
    use crate::case::definition::Case;
    use crate::model::exploration;
    use crate::world::simulation;

    fn drawn(format: Format) -> String {
        let case: Case = "policy restart=no\nprocess rest\n0ms start\n1s stop".parse().unwrap();
        let trace = simulation::run(&case, Core, 100).trace;
        let mut visits = Visits::default();
        visits.add(&trace);
        visits.add(&trace);
        draw(&exploration::explore(&[Policy::DEFAULT], &Core), format, Some(&visits))
    }

    #[test]
    fn what_was_visited_is_counted_in_every_format() {
        let svg = drawn(Format::Svg);
        assert!(
            svg.contains("idle &gt; starting: restart, start (2)") && svg.ends_with("</svg>\n"),
            "{svg}"
        );
        assert!(svg.contains(">5 of "), "start, started, stop, exited, released: {svg}");
        assert!(drawn(Format::Mermaid).contains("idle --> starting: restart, start (2)"));
        let dot = drawn(Format::Dot);
        assert!(dot.contains("start (2)\", color=\"#1a7f37\""), "{dot}");
        assert!(dot.contains("color=\"#b4bbc3\""), "what was not visited is grey");
    }

    #[test]
    fn without_visits_nothing_is_counted() {
        let exploration = exploration::explore(&[Policy::DEFAULT], &Core);
        for format in [Format::Mermaid, Format::Dot, Format::Svg] {
            let text = draw(&exploration, format, None);
            assert!(!text.contains("visited") && !text.contains("#1a7f37"), "{text}");
        }
    }
}
