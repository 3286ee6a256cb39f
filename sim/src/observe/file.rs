//! Reads the file of a supervisor, and names each mistake with its line and its key.

use std::fmt;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use super::feature::Feature;
use super::supervisor::{PolicyName, Supervisor};
use super::template::Placeholder;

/// A mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileMistake {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; `None` for the file as a whole.
    pub line: Option<usize>,
    /// The key on that line.
    pub key: Option<String>,
    /// What is wrong, and how to correct it.
    pub message: String,
}

impl fmt::Display for FileMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for FileMistake {}

/// Reads a supervisor from the text of its file. `rules` are the names of all rules.
///
/// # Errors
/// The first mistake.
pub fn parse(file: &Path, text: &str, rules: &[&str]) -> Result<Supervisor, FileMistake> {
    let at = |bytes: Option<Range<usize>>, message: String| mistake(file, text, bytes, message);
    let supervisor: Supervisor =
        toml::from_str(text).map_err(|error| at(error.span(), explain(error.message())))?;
    match check(&supervisor, rules) {
        Ok(()) => Ok(supervisor),
        Err((bytes, message)) => Err(at(bytes, message)),
    }
}

/// Says where the keys are described, if the parser says only what is wrong.
fn explain(message: &str) -> String {
    let message = message.trim_end();
    if message.contains(": write") {
        return message.to_owned();
    }
    format!("{message}; sim/docs/OBSERVE.md describes each key")
}

type Fault = (Option<Range<usize>>, String);

fn check(supervisor: &Supervisor, rules: &[&str]) -> Result<(), Fault> {
    let fault = |bytes: Range<usize>, message: &str| Err((Some(bytes), message.to_owned()));
    let name = &supervisor.name;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    if name.get_ref().is_empty() || !name.get_ref().chars().all(is_plain) {
        return fault(name.span(), "a name heads a column: write letters, digits, '-', '_' or '.'");
    }
    let programs = &supervisor.programs;
    if programs.get_ref().is_empty() {
        return fault(programs.span(), "no program is named: write those that must be installed");
    }
    let policies = &supervisor.policies;
    if !policies.get_ref().contains_key(&PolicyName::Always) {
        return fault(policies.span(), "most scenarios need the policy: write always = \"...\"");
    }
    if policies.get_ref().values().any(|policy| policy.names(Placeholder::Policy)) {
        return fault(policies.span(), "a policy has itself as a part: leave out {policy}");
    }
    if let Some(limit) = &supervisor.limit {
        if limit.get_ref().restarts == 0 {
            return fault(limit.span(), "a limit of 0 restarts is no limit: write 1 or more");
        }
        if !policies.get_ref().contains_key(&PolicyName::Limited) {
            return fault(limit.span(), "a limit needs its policy: write [policies] limited");
        }
    }
    check_paths(supervisor)?;
    if let Some(status) = &supervisor.requests.status {
        for text in [&status.up, &status.down] {
            if text.get_ref().is_empty() {
                return fault(
                    text.span(),
                    "each output has it: write a text that only this state has",
                );
            }
        }
    }
    for deviation in &supervisor.deviations {
        let rule = &deviation.rule;
        if !rules.contains(&rule.get_ref().as_str()) {
            let message = "there is no rule of this name: `monitor-sim observe --list` has all";
            return fault(rule.span(), message);
        }
    }
    for (key, source) in &supervisor.sources {
        if !Feature::ALL.iter().any(|feature| feature.key() == key) {
            let known: Vec<_> = Feature::ALL.iter().map(|feature| feature.key()).collect();
            let message = format!("there is no such feature: write one of {}", known.join(", "));
            return Err((Some(source.span()), message));
        }
    }
    Ok(())
}

fn check_paths(supervisor: &Supervisor) -> Result<(), Fault> {
    let fault = |bytes: Range<usize>, message: &str| Err((Some(bytes), message.to_owned()));
    for file in &supervisor.files {
        if file.path.get_ref().names(Placeholder::Dir) {
            return fault(file.path.span(), "paths begin in the folder: leave out {dir}");
        }
        let path = file.path.get_ref().fill(|placeholder| placeholder.word().to_owned());
        let parts = Path::new(&path).components();
        if path.is_empty() || !parts.into_iter().all(|part| matches!(part, Component::Normal(_))) {
            return fault(
                file.path.span(),
                "it is outside of the folder: write a path without a first / and without ..",
            );
        }
    }
    Ok(())
}

fn mistake(file: &Path, text: &str, bytes: Option<Range<usize>>, message: String) -> FileMistake {
    // A key that is missing at the top has no place.
    let place = bytes.filter(|bytes| bytes.start > 0 || !message.starts_with("missing field"));
    let start = place.map(|bytes| bytes.start.min(text.len()));
    let line = start.and_then(|start| text.get(..start)).map(|before| before.matches('\n').count());
    let shown = line.and_then(|line| text.lines().nth(line)).unwrap_or_default().trim();
    let key = shown.split_once('=').map_or(shown, |(key, _)| key).trim();
    FileMistake {
        file: file.into(),
        line: line.map(|line| line + 1),
        key: (!key.is_empty() && !key.starts_with('#')).then(|| key.to_owned()),
        message,
    }
}
