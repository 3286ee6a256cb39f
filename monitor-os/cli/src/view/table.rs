//! The units of a monitor as a table for a person.

use std::fmt;

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use super::text::{ByteSize, Time, phase_style};
use crate::report::status_report::UnitSummary;

/// Text in columns that are as wide as their longest cell.
#[derive(Clone, Debug)]
pub(crate) struct Table(Vec<[Cell; COLUMNS]>);

/// A text in one style.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell(pub(crate) String, pub(crate) Style);

/// How many columns there are.
pub(crate) const COLUMNS: usize = 8;

/// The headings of the columns.
pub(crate) const HEADINGS: [&str; COLUMNS] =
    ["UNIT", "PHASE", "PID", "FOR", "RESTARTS", "MEMORY", "LAST EXIT", "NEXT"];

impl Table {
    /// The width of each column on a terminal.
    pub(crate) fn widths(&self) -> [usize; COLUMNS] {
        let mut widths = [0; COLUMNS];
        for row in &self.0 {
            for (width, Cell(text, _)) in widths.iter_mut().zip(row) {
                *width = text.width().max(*width);
            }
        }
        widths
    }

    /// The rows of the units, without the headings.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[Cell; COLUMNS]> {
        self.0.iter().skip(1)
    }
}

/// The table of some units, with headings.
pub(crate) fn table<'a>(units: impl IntoIterator<Item = &'a UnitSummary>) -> Table {
    let head = HEADINGS.map(|heading| Cell(heading.into(), Style::new().dimmed()));
    Table(std::iter::once(head).chain(units.into_iter().map(cells)).collect())
}

/// The cells of a unit.
fn cells(unit: &UnitSummary) -> [Cell; COLUMNS] {
    let plain = |text: String| Cell(text, Style::new());
    let phase = match unit.run {
        0 => unit.phase.clone(),
        run => format!("{} #{run}", unit.phase),
    };
    let next = match unit.left_ms {
        Some(left) => format!("{} in {}", unit.next, Time(left)),
        None => unit.next.clone(),
    };
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    [
        Cell(unit.name.clone(), Style::new().bold()),
        Cell(phase, phase_style(&unit.phase, unit.down)),
        plain(or_dash(unit.pid.map(|pid| pid.to_string()))),
        plain(or_dash(unit.since_ms.map(|since| Time(since).to_string()))),
        plain(unit.restarts.to_string()),
        plain(or_dash(unit.tree.map(|tree| ByteSize(tree.resident_bytes).to_string()))),
        plain(or_dash(unit.last.as_deref().map(short))),
        plain(next),
    ]
}

/// A text cut to [`SHORT`]; `monitor status NAME/UNIT` shows all of it.
fn short(text: &str) -> String {
    let mut short: String = text.chars().take(SHORT).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

/// The longest text in a cell, in characters.
const SHORT: usize = 32;

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for row in &self.0 {
            for (index, (Cell(text, style), width)) in row.iter().zip(widths).enumerate() {
                let gap = if index == 0 { "" } else { "  " };
                // The last column needs no padding.
                let pad = if index + 1 == COLUMNS { 0 } else { width - text.width() };
                write!(f, "{gap}{style}{text}{style:#}{:pad$}", "")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_begin_at_one_place_below_wide_characters() {
        let row = |text: &str| {
            let mut row = std::array::from_fn(|_| Cell("-".into(), Style::new()));
            row[0] = Cell(text.into(), Style::new());
            row
        };
        let table = Table(vec![row("UNIT"), row("\u{5024}\u{5024}e\u{301}")]);
        let rest = "  -".repeat(COLUMNS - 1);
        let expected = format!("UNIT {rest}\n\u{5024}\u{5024}e\u{301}{rest}\n");
        assert_eq!((table.to_string(), table.widths()[0]), (expected, 5));
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        assert_eq!(short("code=3"), "code=3");
        let long = "\u{e9}".repeat(SHORT);
        assert_eq!(short(&long), long);
        assert_eq!(short(&format!("{long}x")), format!("{long}..."));
    }
}
