//! The state diagram, drawn from what the exhaustive search has seen.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::ValueEnum;
use monitor_core::Phase;

use crate::model::Exploration;

/// In which language a diagram is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Mermaid, which code hosts render.
    Mermaid,
    /// DOT, which Graphviz renders: `dot -Tsvg`.
    Dot,
}

/// Draws every change of phase with the events that cause it. Phases never reached are dashed.
#[must_use]
pub fn draw(exploration: &Exploration, format: Format) -> String {
    let arrows: BTreeMap<_, _> = exploration
        .phase_changes
        .iter()
        .map(|(&change, names)| (change, names.iter().copied().collect::<Vec<_>>().join(", ")))
        .collect();
    let reached = |phase: Phase| exploration.states.iter().any(|state| state.phase() == phase);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _unfailing = match format {
        Format::Mermaid => mermaid(&mut text, &arrows, reached),
        Format::Dot => dot(&mut text, &arrows, reached),
    };
    text
}

type Arrows = BTreeMap<(Phase, Phase), String>;

fn mermaid(
    text: &mut String,
    arrows: &Arrows,
    reached: impl Fn(Phase) -> bool,
) -> std::fmt::Result {
    // Mermaid takes no hyphens in identifiers.
    let id = |phase: Phase| phase.name().replace('-', "_");
    writeln!(text, "stateDiagram-v2")?;
    writeln!(text, "    classDef unreached stroke-dasharray: 5 5")?;
    for phase in Phase::ALL {
        writeln!(text, "    state \"{phase}\" as {}", id(phase))?;
        if !reached(phase) {
            writeln!(text, "    class {} unreached", id(phase))?;
        }
    }
    writeln!(text, "    [*] --> {}", id(Phase::Idle))?;
    for ((from, to), label) in arrows {
        writeln!(text, "    {} --> {}: {label}", id(*from), id(*to))?;
    }
    Ok(())
}

fn dot(text: &mut String, arrows: &Arrows, reached: impl Fn(Phase) -> bool) -> std::fmt::Result {
    writeln!(text, "digraph monitor {{")?;
    writeln!(text, "    rankdir=LR; node [shape=box, style=rounded];")?;
    for phase in Phase::ALL {
        let style = if reached(phase) { "" } else { " [style=\"rounded,dashed\"]" };
        writeln!(text, "    \"{phase}\"{style};")?;
    }
    for ((from, to), label) in arrows {
        writeln!(text, "    \"{from}\" -> \"{to}\" [label=\"{}\"];", label.replace(", ", "\\n"))?;
    }
    writeln!(text, "}}")
}
