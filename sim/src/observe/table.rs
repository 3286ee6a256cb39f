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
