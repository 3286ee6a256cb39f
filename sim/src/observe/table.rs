//! Prints a matrix as a text or as JSON.

use std::fmt;

use serde_json::{Value, json};

use super::feature::Unfit;
use super::matrix::{Cell, Column, Matrix, Tally};
use super::scenario::Scenario;

impl Cell {
    /// Returns the word of the cell.
    #[must_use]
    pub fn word(&self) -> String {
        let tally = match self {
            Self::Unfit(unfit) => return format!("unfit: {}", unfit.feature),
            Self::Played(tally) => tally,
        };
        let Tally { held, broken, .. } = *tally;
        match tally {
            Tally { error: Some(_), .. } => "ERROR".to_owned(),
            Tally { declared: Some(_), .. } if broken > 0 => {
                format!("differs {broken}/{}", tally.runs())
            }
            _ if broken > 0 => format!("RED {broken}/{}", tally.runs()),
            _ if held > 0 => "ok".to_owned(),
            _ => "unclear".to_owned(),
        }
    }
}

/// Prints the table, then a note for each cell that is not `ok`.
impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_table(f)?;
        for column in &self.columns {
            if let Some(missing) = column.not_installed() {
                writeln!(f, "\n{}: {missing}", column.name)?;
            }
            self.write_unfit(f, column)?;
            for (scenario, cell) in self.scenarios.iter().zip(&column.cells) {
                write_note(f, column, scenario, cell)?;
            }
        }
        Ok(())
    }
}

impl Matrix {
    fn write_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |nth: usize| {
            let cell = move |column: &Column| {
                column.cells.get(nth).map_or_else(|| "-".to_owned(), Cell::word)
            };
            self.columns.iter().map(cell).collect::<Vec<_>>()
        };
        let rows: Vec<_> = (0..self.scenarios.len()).map(row).collect();
        let first = self.scenarios.iter().map(|scenario| scenario.id.len() + 2).max().unwrap_or(0);
        let width = |nth: usize, column: &Column| {
            let words = rows.iter().filter_map(|row| row.get(nth)).map(String::len);
            words.chain([column.name.len()]).max().unwrap_or(0)
        };
        let widths: Vec<_> =
            self.columns.iter().enumerate().map(|(nth, column)| width(nth, column)).collect();
        let mut line = |head: &str, words: &mut dyn Iterator<Item = &str>| {
            let mut text = format!("{head:first$}");
            for (word, width) in words.zip(&widths) {
                text.push_str(&format!("  {word:width$}"));
            }
            writeln!(f, "{}", text.trim_end())
        };
        line("rule", &mut self.columns.iter().map(|column| column.name.as_str()))?;
        let mut class = None;
        for (scenario, row) in self.scenarios.iter().zip(&rows) {
            if class.replace(scenario.class) != Some(scenario.class) {
                line(scenario.class.name(), &mut std::iter::empty())?;
            }
            line(&format!("  {}", scenario.id), &mut row.iter().map(String::as_str))?;
        }
        Ok(())
    }

    /// Prints a line for each feature that a supervisor lacks, with the rules that need it.
    fn write_unfit(&self, f: &mut fmt::Formatter<'_>, column: &Column) -> fmt::Result {
        let mut lacks: Vec<(&Unfit, Vec<&str>)> = Vec::new();
        for (scenario, cell) in self.scenarios.iter().zip(&column.cells) {
            let Cell::Unfit(unfit) = cell else { continue };
            match lacks.iter_mut().find(|(known, _)| *known == unfit) {
                Some((_, rules)) => rules.push(scenario.id),
                None => lacks.push((unfit, vec![scenario.id])),
            }
        }
        for (unfit, rules) in lacks {
            writeln!(f, "\n{}, unfit: {}: {unfit}", column.name, unfit.feature)?;
            writeln!(f, "  rules     {}", rules.join(", "))?;
        }
        Ok(())
    }

    /// Returns the matrix as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let rules = self.scenarios.iter().map(
            |scenario| json!({ "id": scenario.id, "class": scenario.class, "rule": scenario.rule }),
        );
        let supervisors = self.columns.iter().map(|column| {
            let cells = self.scenarios.iter().zip(&column.cells).map(|(scenario, cell)| {
                let recording = match cell {
                    Cell::Played(tally) => tally.recording.as_ref(),
                    Cell::Unfit(_) => None,
                };
                let cell = json!({
                    "word": cell.word(), "result": cell,
                    "facts": recording.map(|recording| &recording.facts),
                });
                (scenario.id.to_owned(), cell)
            });
            json!({
                "name": column.name,
                "file": column.file.display().to_string(),
                "not-installed": column.not_installed(),
                "cells": cells.collect::<serde_json::Map<_, _>>(),
            })
        });
        json!({
            "rules": rules.collect::<Vec<_>>(),
            "supervisors": supervisors.collect::<Vec<_>>(),
            "red": self.is_red(),
        })
    }
}

fn write_note(
    f: &mut fmt::Formatter<'_>,
    column: &Column,
    scenario: &Scenario,
    cell: &Cell,
) -> fmt::Result {
    let head = |f: &mut fmt::Formatter<'_>| {
        writeln!(f, "\n{}, {}: {}", column.name, scenario.id, cell.word())?;
        writeln!(f, "  rule      {}", scenario.rule)
    };
    let tally = match cell {
        Cell::Unfit(_) => return Ok(()),
        Cell::Played(tally) => tally,
    };
    if let Some(error) = &tally.error {
        head(f)?;
        return writeln!(f, "  error     {error}");
    }
    if let Some(finding) = &tally.finding {
        head(f)?;
        writeln!(f, "  expected  {}", finding.expected)?;
        writeln!(f, "  seen      {}", finding.seen)?;
        writeln!(f, "  in        {} of {} runs", tally.broken, tally.runs())?;
    }
    if let (Some(declared), true) = (&tally.declared, tally.broken > 0) {
        writeln!(f, "  declared  {declared}")?;
    } else if let Some(recording) = &tally.recording {
        for line in recording.to_string().lines() {
            writeln!(f, "    {line}")?;
        }
    }
    if let (Some(declared), 0) = (&tally.declared, tally.broken) {
        head(f)?;
        writeln!(f, "  declared  {declared}")?;
        writeln!(f, "  seen      the rule held in {} of {} runs", tally.held, tally.runs())?;
    }
    if let Some(reason) = &tally.missed_because {
        if tally.finding.is_none() {
            head(f)?;
        }
        writeln!(f, "  missed    {} of {} runs: {reason}", tally.missed, tally.runs())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::recording::{Fact, Recording, TimedFact};
    use super::super::rules::Finding;
    use super::super::suite::scenario;
    use super::*;

    fn broken(broken: u32, declared: Option<&str>) -> Cell {
        let finding = Finding { expected: "1 run".to_owned(), seen: "2 runs".to_owned() };
        let fact = TimedFact { at: 1_250_000_000, fact: Fact::Gone { pid: 7 } };
        Cell::Played(Tally {
            held: 10 - broken,
            broken,
            finding: Some(finding),
            recording: Some(Recording { facts: vec![fact] }),
            declared: declared.map(str::to_owned),
            ..Tally::default()
        })
    }

    fn column(name: &str, cells: Vec<Cell>) -> Column {
        Column { name: name.to_owned(), file: PathBuf::new(), missing: None, cells }
    }

    fn matrix() -> Matrix {
        let held = |held| Cell::Played(Tally { held, ..Tally::default() });
        let lack = Unfit { feature: "limit", reason: "the file has none".to_owned(), source: None };
        let missed = Tally { missed: 1, missed_because: Some("late".into()), ..Tally::default() };
        let away = Some(("gone".to_owned(), Some("package".to_owned())));
        Matrix {
            scenarios: ["starts-once", "stop-twice"].into_iter().filter_map(scenario).collect(),
            columns: vec![
                column("a", vec![held(10), broken(3, None)]),
                column("b", vec![broken(10, Some("so be it (page 1)")), Cell::Unfit(lack)]),
                column("c", vec![Cell::Played(missed), held(1)]),
                Column { missing: away, ..column("d", Vec::new()) },
            ],
        }
    }

    #[test]
    fn table_has_a_note_for_each_cell_that_is_not_ok() {
        let text = matrix().to_string();
        let expected = "\
rule           a         b              c        d
start
  starts-once  ok        differs 10/10  unclear  -
stop
  stop-twice   RED 3/10  unfit: limit   ok       -

a, stop-twice: RED 3/10
  rule      Two stops at once end the run once, and no run begins afterwards.
  expected  1 run
  seen      2 runs
  in        3 of 10 runs
      1.250 s  7 gone

b, unfit: limit: the file has none
  rules     stop-twice

b, starts-once: differs 10/10
  rule      A program that lives is started once.
  expected  1 run
  seen      2 runs
  in        10 of 10 runs
  declared  so be it (page 1)

c, starts-once: unclear
  rule      A program that lives is started once.
  missed    1 of 1 runs: late

d: not installed: gone (Debian package package)
";
        assert_eq!(text, expected);
    }

    #[test]
    fn json_has_the_facts_of_red_cells() {
        let json = matrix().to_json();
        assert_eq!(json["red"], true);
        assert_eq!(json["supervisors"][0]["cells"]["stop-twice"]["word"], "RED 3/10");
        assert_eq!(json["supervisors"][0]["cells"]["stop-twice"]["facts"][0]["at"], 1_250_000_000);
        assert_eq!(
            json["supervisors"][3]["not-installed"],
            "not installed: gone (Debian package package)"
        );
    }
}
