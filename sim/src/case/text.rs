//! The text form of a case.

use std::fmt;
use std::str::FromStr;

use monitor_core::{Millis, whole_number};

use super::body;
use super::definition::{Case, DiskFault, Other};
use super::error::{CaseError, CaseErrorKind};
use super::expected_error::ExpectedError;
use super::input::{InputKind, TimedInput};
use super::input_text::small;

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for unit in 0..self.units() {
            if unit > 0 {
                writeln!(f, "unit")?;
            }
            let (policy, scripts) = self.unit(unit);
            writeln!(f, "policy {policy}")?;
            let last = scripts.len().saturating_sub(1);
            for (nth, script) in scripts.iter().enumerate() {
                if nth == last {
                    writeln!(f, "process rest{script}")?;
                } else {
                    writeln!(f, "process #{}{script}", nth + 1)?;
                }
            }
        }
        if self.timers_late > Millis::ZERO {
            writeln!(f, "timers late={}", self.timers_late)?;
        }
        if self.handling_takes > Millis::ZERO {
            writeln!(f, "handling takes={}", self.handling_takes)?;
        }
        let saves = [("fail-until", self.saves_fail_until), ("take", self.saves_take)];
        for (key, time) in saves.into_iter().filter(|&(_, time)| time > Millis::ZERO) {
            writeln!(f, "saves {key}={time}")?;
        }
        if let Some(pids) = self.pids {
            writeln!(f, "pids {pids}")?;
        }
        if let Some(disk) = self.disk {
            writeln!(f, "disk {}", disk.name())?;
        }
        if self.seed > 0 {
            writeln!(f, "seed {}", self.seed)?;
        }
        body::write_body(f, self)
    }
}

/// Reads what `Display` prints; empty lines, lines that begin with `#` and comments at the end of a
/// line are passed over.
///
/// # Errors
/// [`CaseError`] naming the line and what is wrong with it.
impl FromStr for Case {
    type Err = CaseError;

    fn from_str(text: &str) -> Result<Self, CaseError> {
        let mut case: Option<Self> = None;
        let mut lines = 0;
        for (index, line) in text.lines().enumerate() {
            lines = index + 1;
            let line = body::without_comment(line);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            read_line(&mut case, line).map_err(|kind| CaseError { line: index + 1, kind })?;
        }
        case.ok_or_else(|| CaseError { line: lines.max(1), kind: CaseErrorKind::NoPolicy })
    }
}

/// The words with which a line begins that has no time.
const HEADS: [&str; 11] = [
    "policy", "process", "unit", "timers", "handling", "saves", "pids", "disk", "seed", "then",
    "end",
];

fn read_line(case: &mut Option<Case>, line: &str) -> Result<(), CaseErrorKind> {
    let (line, answer) = body::split(line);
    let (head, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let is_timed = head.starts_with(|c: char| c.is_ascii_digit());
    if answer.is_some() && !is_timed && !matches!(head, "then" | "end") {
        return Err(ExpectedError::NoStep(line.to_owned()).into());
    }
    if head == "policy" {
        let policy = rest.parse()?;
        match case {
            Some(case) => match case.others.last_mut() {
                Some(other) => other.policy = policy,
                None => case.policy = policy,
            },
            None => *case = Some(Case { scripts: Vec::new(), ..Case::new(policy) }),
        }
        return Ok(());
    }
    if !is_timed && !HEADS.contains(&head) {
        return Err(CaseErrorKind::Line(head.to_owned()));
    }
    let case = case.as_mut().ok_or(CaseErrorKind::NoPolicy)?;
    match head {
        // The first word names the run; its number is its place among the lines.
        "process" => {
            let words = rest.trim_start().split_once(char::is_whitespace);
            let script = words.map_or("", |(_, words)| words).parse()?;
            match case.others.last_mut() {
                Some(other) => other.scripts.push(script),
                None => case.scripts.push(script),
            }
        }
        "unit" => case.others.push(Other { policy: case.policy, scripts: Vec::new() }),
        "timers" => case.timers_late = read_key(rest, "late")?.parse()?,
        "handling" => case.handling_takes = read_key(rest, "takes")?.parse()?,
        "saves" => match read_key(rest, "take") {
            Ok(time) => case.saves_take = time.parse()?,
            Err(_) => case.saves_fail_until = read_key(rest, "fail-until")?.parse()?,
        },
        "pids" => {
            let pids = small(line, rest.trim())?;
            case.pids = Some(pids).filter(|&pids| pids > 0);
            case.pids.ok_or_else(|| CaseErrorKind::Number(line.to_owned()))?;
        }
        "disk" => case.disk = Some(read_disk(rest.trim())?),
        "seed" => {
            case.seed = whole_number(rest).ok_or_else(|| CaseErrorKind::Line(line.to_owned()))?;
        }
        "then" => case.expected.then(rest, answer)?,
        "end" => {
            let end = answer.ok_or_else(|| ExpectedError::NoAnswer(head.to_owned()))?;
            case.expected.end = Some(end.to_owned());
        }
        _ => {
            let at: Millis = head.parse()?;
            let before = case.inputs.last().map_or(Millis::ZERO, |input| input.at);
            if at < before {
                return Err(CaseErrorKind::Backwards { at, before });
            }
            let rest = rest.trim();
            let (unit, words) = match rest.split_once(char::is_whitespace) {
                Some((unit, words)) if unit.starts_with('@') => (read_unit(unit, case)?, words),
                _ => (0, rest),
            };
            let kind = words.parse()?;
            if unit > 0 && !matches!(kind, InputKind::Event(_) | InputKind::Policy(_)) {
                return Err(CaseErrorKind::NotOfAUnit(words.trim().to_owned()));
            }
            case.inputs.push(TimedInput { at, unit, kind });
            if let Some(answer) = answer {
                case.expected.answered(case.inputs.len() - 1, kind, answer)?;
            }
        }
    }
    Ok(())
}

fn read_unit(word: &str, case: &Case) -> Result<u8, CaseErrorKind> {
    let number = word.strip_prefix('@').and_then(whole_number);
    number
        .filter(|&unit: &u8| unit > 0 && usize::from(unit) < case.units())
        .ok_or_else(|| CaseErrorKind::NoUnit(word.to_owned()))
}

pub(crate) fn read_disk(word: &str) -> Result<DiskFault, CaseErrorKind> {
    let known = DiskFault::ALL.into_iter().find(|fault| fault.name() == word);
    known.ok_or_else(|| CaseErrorKind::Value(word.to_owned()))
}

fn read_key<'a>(rest: &'a str, key: &str) -> Result<&'a str, CaseErrorKind> {
    rest.trim()
        .split_once('=')
        .filter(|(found, _)| *found == key)
        .map(|(_, value)| value)
        .ok_or_else(|| CaseErrorKind::Key(rest.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
policy restart=always jitter=0%
process #1 starts=5ms lives=1s exits=code=1 term=ignored leaves=2s
process rest fails=permanent:0ms
unit
policy restart=on-failure
process #1 notice=twice signals=refused output=forever
process #2 notice=late:5s signals=missed output=3s
process rest notice=lost
timers late=3ms
handling takes=2ms
saves fail-until=500ms
saves take=40ms
pids 3
disk tears
seed 7
0ms start
0ms @1 start
1s50ms stop grace=5s
2s policy restart=no
3s crash
3s crash after=2 down=1s
4s reboot
4s reboot after=3
5s wall +1h
5s wall -1h
6s suspend 10m
7s stop-faults
";

    #[test]
    fn a_case_survives_its_text_form() {
        let case: Case = TEXT.parse().unwrap();
        assert_eq!(case.to_string(), TEXT);
    }

    #[test]
    fn errors_name_line_value_and_fix() {
        for (text, expected) in [
            ("0ms start", "line 1: there is no policy yet"),
            ("policy restart=always\n5ms start\n1ms stop", "line 3: 1ms is before 5ms"),
            ("policy restart=always\nhello", "line 2: \"hello\" begins no line"),
            ("policy restart=always\nprocess #1 eats=1s", "line 2: \"eats=1s\" is no word"),
            ("policy restart=always\n5ms leap", "line 2: event: \"leap\""),
            ("", "line 1: there is no policy yet"),
            ("policy restart=always\n5ms @1 start", "line 2: \"@1\" names no unit"),
            (
                "policy restart=no\nunit\n5ms @1 stop-faults",
                "line 3: \"stop-faults\" concerns the whole",
            ),
            ("policy restart=always\npids 0", "line 2: \"pids 0\" has no number that fits"),
            ("policy restart=always\ndisk eats", "line 2: \"eats\" is not known"),
            ("policy restart=always\nprocess #1 notice=maybe", "line 2: \"notice=maybe\" is not"),
            ("policy restart=always\n5ms wall 1h", "line 2: \"1h\" is no jump"),
            ("policy restart=always\n5ms crash up=1s", "line 2: \"up=1s\" is no word"),
        ] {
            let error = text.parse::<Case>().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
