//! The case: a policy, what each process does, and what is asked when. The artifact of the search.
//!
//! The text form is made to be read, edited and kept:
//!
//! ```text
//! policy restart=always jitter=0%
//! process #1 starts=5ms lives=1s exits=code=1 term=ignored
//! process rest lives=forever
//! saves fail-until=500ms
//! timers late=3ms
//! 0ms start
//! 1s50ms stop grace=5s
//! 2s policy restart=no
//! ```
//!
//! Lines may also say what is expected to come of it: [`mod@crate::expect`]. A `#` between spaces begins a
//! comment.

use std::fmt;
use std::str::FromStr;

use monitor_core::{Event, Exit, Millis, ParseError, Policy, PolicyTextError, StartFailure};

use crate::expect::{self, ExpectError, Expected};

/// Everything that a run of the driver in the virtual world depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The policy in force at the beginning.
    pub policy: Policy,
    /// What the processes do, by run; the last entry serves all later runs. Never empty.
    pub scripts: Vec<Script>,
    /// How late every timer fires.
    pub timers_late: Millis,
    /// Saving fails before this time.
    pub saves_fail_until: Millis,
    /// What draws the jitter.
    pub seed: u64,
    /// What is asked, in the order of time.
    pub inputs: Vec<TimedInput>,
    /// What is expected to come of it.
    pub expected: Expected,
}

/// One thing that is asked or injected at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedInput {
    /// When, from the beginning.
    pub at: Millis,
    /// What.
    pub what: What,
}

/// What can be put into a run from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An event: a wish, or a fact told late, twice or about a run that is over.
    Tell(Event),
    /// Another policy.
    Amend(Policy),
    /// The monitor dies and is started again at once with what it saved. Nothing happens while the last
    /// state is not saved, or before the first run.
    Crash,
    /// The same, and everything that ran is gone.
    Reboot,
}

/// What one process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// How its start goes.
    pub start: Start,
    /// How long it lives if nobody interferes; `None` for ever.
    pub lives: Option<Millis>,
    /// How it ends then.
    pub exits: Exit,
    /// What it does when asked to stop.
    pub on_stop: OnStop,
    /// Whether it leaves something that outlives it, and what that does when asked to stop.
    pub leaves: Option<OnStop>,
    /// When it says that it serves, from its spawn; `None` never.
    pub ready: Option<Millis>,
    /// How often it sends a ping; `None` never.
    pub pings: Option<Millis>,
    /// When a health check fails, from its spawn; `None` never.
    pub unhealthy: Option<Millis>,
}

/// How a start goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The process exists, and it is acknowledged so much later; it may be dead by then.
    After(Millis),
    /// There is no process, which is known so much later.
    Fails(Millis, StartFailure),
}

/// What a process does when it is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStop {
    /// Dies of the signal so much later.
    Dies(Millis),
    /// Nothing.
    Ignores,
}

impl Script {
    /// Starts at once, lives for ever, dies of the stop signal at once.
    pub const OBEDIENT: Self = Self {
        start: Start::After(Millis::ZERO),
        lives: None,
        exits: Exit::Code(0),
        on_stop: OnStop::Dies(Millis::ZERO),
        leaves: None,
        ready: None,
        pings: None,
        unhealthy: None,
    };
}

impl Case {
    /// A case in which nothing is asked and every process is obedient.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            scripts: vec![Script::OBEDIENT],
            timers_late: Millis::ZERO,
            saves_fail_until: Millis::ZERO,
            seed: 0,
            inputs: Vec::new(),
            expected: Expected::default(),
        }
    }

    /// The same with another input, which must not be earlier than the last.
    #[must_use]
    pub fn tell(mut self, at_ms: u32, event: Event) -> Self {
        self.inputs.push(TimedInput { at: Millis::new(at_ms), what: What::Tell(event) });
        self
    }

    /// The script of the `nth` run, from 0.
    #[must_use]
    pub fn script(&self, nth: usize) -> Script {
        let last = self.scripts.len().saturating_sub(1);
        self.scripts.get(nth.min(last)).copied().unwrap_or(Script::OBEDIENT)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "policy {}", self.policy)?;
        let last = self.scripts.len().saturating_sub(1);
        for (nth, script) in self.scripts.iter().enumerate() {
            if nth == last {
                writeln!(f, "process rest{script}")?;
            } else {
                writeln!(f, "process #{}{script}", nth + 1)?;
            }
        }
        if self.timers_late > Millis::ZERO {
            writeln!(f, "timers late={}", self.timers_late)?;
        }
        if self.saves_fail_until > Millis::ZERO {
            writeln!(f, "saves fail-until={}", self.saves_fail_until)?;
        }
        if self.seed > 0 {
            writeln!(f, "seed {}", self.seed)?;
        }
        expect::write_body(f, self)
    }
}

impl fmt::Display for TimedInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at, self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tell(event) => event.fmt(f),
            Self::Amend(policy) => write!(f, "policy {policy}"),
            Self::Crash => f.write_str("crash"),
            Self::Reboot => f.write_str("reboot"),
        }
    }
}

/// Prints what differs from [`Script::OBEDIENT`], each word with a space before it.
impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.start {
            Start::After(Millis::ZERO) => {}
            Start::After(delay) => write!(f, " starts={delay}")?,
            Start::Fails(delay, failure) => write!(f, " fails={failure}:{delay}")?,
        }
        if let Some(lives) = self.lives {
            write!(f, " lives={lives}")?;
        }
        if self.exits != Self::OBEDIENT.exits {
            write!(f, " exits={}", self.exits)?;
        }
        if self.on_stop != Self::OBEDIENT.on_stop {
            write!(f, " term={}", self.on_stop)?;
        }
        if let Some(leaves) = self.leaves {
            write!(f, " leaves={leaves}")?;
        }
        for (key, value) in
            [("ready", self.ready), ("pings", self.pings), ("unhealthy", self.unhealthy)]
        {
            if let Some(value) = value {
                write!(f, " {key}={value}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for OnStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dies(delay) => delay.fmt(f),
            Self::Ignores => f.write_str("ignored"),
        }
    }
}

/// Reads what `Display` prints.
///
/// # Errors
/// [`CaseErrorKind`] naming the word.
impl FromStr for Script {
    type Err = CaseErrorKind;

    fn from_str(words: &str) -> Result<Self, CaseErrorKind> {
        read_script(words)
    }
}

/// Why a text is no case. Nothing was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub kind: CaseErrorKind,
}

/// What is wrong with a line of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseErrorKind {
    /// A word cannot be read.
    Word(ParseError),
    /// The policy is unsound.
    Policy(PolicyTextError),
    /// The line begins with something else than a time, `policy`, `process`, `timers`, `saves`, `seed`,
    /// `then`, `end`.
    Line(String),
    /// A key is not known.
    Key(String),
    /// The time is earlier than that of the line before.
    Backwards {
        /// The time of the line.
        at: Millis,
        /// The time of the line before.
        before: Millis,
    },
    /// There is no `policy` line before the first input.
    NoPolicy,
    /// What is expected cannot be read.
    Expected(ExpectError),
}

impl fmt::Display for CaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.kind)
    }
}

impl std::error::Error for CaseErrorKind {}

impl fmt::Display for CaseErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(error) => error.fmt(f),
            Self::Policy(error) => error.fmt(f),
            Self::Line(word) => write!(
                f,
                "{word:?} begins no line: write policy, process, timers, saves, seed, then, end, or a time such as 50ms and what is asked then"
            ),
            Self::Key(word) => write!(
                f,
                "{word:?} is no word of this line: write key=value with starts, fails, lives, exits, term, leaves, ready, pings, unhealthy (process), late (timers), fail-until (saves)"
            ),
            Self::Backwards { at, before } => {
                write!(
                    f,
                    "{at} is before {before}, the time of the line above: order the lines by time"
                )
            }
            Self::Expected(error) => error.fmt(f),
            Self::NoPolicy => f.write_str(
                "there is no policy yet: begin with a line such as `policy restart=always`",
            ),
        }
    }
}

impl std::error::Error for CaseError {}

impl From<ParseError> for CaseErrorKind {
    fn from(error: ParseError) -> Self {
        Self::Word(error)
    }
}

impl From<ExpectError> for CaseErrorKind {
    fn from(error: ExpectError) -> Self {
        Self::Expected(error)
    }
}

impl From<PolicyTextError> for CaseErrorKind {
    fn from(error: PolicyTextError) -> Self {
        Self::Policy(error)
    }
}

/// Reads what `Display` prints; empty lines, lines that begin with `#` and comments at the end of a line
/// are passed over.
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
            let line = expect::without_comment(line);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            read_line(&mut case, line).map_err(|kind| CaseError { line: index + 1, kind })?;
        }
        case.ok_or_else(|| CaseError { line: lines.max(1), kind: CaseErrorKind::NoPolicy })
    }
}

fn read_line(case: &mut Option<Case>, line: &str) -> Result<(), CaseErrorKind> {
    let (line, answer) = expect::split(line);
    let (head, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let is_timed = head.starts_with(|c: char| c.is_ascii_digit());
    if answer.is_some() && !is_timed && !matches!(head, "then" | "end") {
        return Err(ExpectError::NoStep(line.to_owned()).into());
    }
    if head == "policy" {
        let policy = rest.parse()?;
        match case {
            Some(case) => case.policy = policy,
            None => *case = Some(Case { scripts: Vec::new(), ..Case::new(policy) }),
        }
        return Ok(());
    }
    let case = case.as_mut().ok_or(CaseErrorKind::NoPolicy)?;
    match head {
        // The first word names the run; its number is its place among the lines.
        "process" => {
            let words = rest.trim_start().split_once(char::is_whitespace);
            case.scripts.push(words.map_or("", |(_, words)| words).parse()?);
        }
        "timers" => case.timers_late = read_key(rest, "late")?.parse()?,
        "saves" => case.saves_fail_until = read_key(rest, "fail-until")?.parse()?,
        "seed" => {
            case.seed = rest.parse().map_err(|_| CaseErrorKind::Line(line.to_owned()))?;
        }
        "then" => case.expected.then(rest, answer)?,
        "end" => {
            let end = answer.ok_or_else(|| ExpectError::NoAnswer(head.to_owned()))?;
            case.expected.end = Some(end.to_owned());
        }
        _ => {
            if !is_timed {
                return Err(CaseErrorKind::Line(head.to_owned()));
            }
            let at: Millis = head.parse()?;
            let before = case.inputs.last().map_or(Millis::ZERO, |input| input.at);
            if at < before {
                return Err(CaseErrorKind::Backwards { at, before });
            }
            let rest = rest.trim();
            let what = match (rest, rest.strip_prefix("policy ")) {
                ("crash", _) => What::Crash,
                ("reboot", _) => What::Reboot,
                (_, Some(policy)) => What::Amend(policy.parse()?),
                (_, None) => What::Tell(rest.parse()?),
            };
            case.inputs.push(TimedInput { at, what });
            if let Some(answer) = answer {
                case.expected.answered(case.inputs.len() - 1, what, answer)?;
            }
        }
    }
    Ok(())
}

fn read_key<'a>(rest: &'a str, key: &str) -> Result<&'a str, CaseErrorKind> {
    rest.trim()
        .split_once('=')
        .filter(|(found, _)| *found == key)
        .map(|(_, value)| value)
        .ok_or_else(|| CaseErrorKind::Key(rest.to_owned()))
}

fn read_script(rest: &str) -> Result<Script, CaseErrorKind> {
    let mut script = Script::OBEDIENT;
    for word in rest.split_whitespace() {
        let (key, value) =
            word.split_once('=').ok_or_else(|| CaseErrorKind::Key(word.to_owned()))?;
        match key {
            "starts" => script.start = Start::After(value.parse()?),
            "fails" => {
                let (failure, delay) = value.split_once(':').unwrap_or((value, "0ms"));
                script.start = Start::Fails(delay.parse()?, failure.parse()?);
            }
            "lives" => script.lives = never_or(value, "forever")?,
            "exits" => script.exits = value.parse()?,
            "term" => script.on_stop = read_on_stop(value)?,
            "leaves" => script.leaves = Some(read_on_stop(value)?),
            "ready" => script.ready = never_or(value, "never")?,
            "pings" => script.pings = never_or(value, "never")?,
            "unhealthy" => script.unhealthy = never_or(value, "never")?,
            _ => return Err(CaseErrorKind::Key(word.to_owned())),
        }
    }
    Ok(script)
}

fn read_on_stop(value: &str) -> Result<OnStop, ParseError> {
    if value == "ignored" { Ok(OnStop::Ignores) } else { value.parse().map(OnStop::Dies) }
}

fn never_or(value: &str, never: &str) -> Result<Option<Millis>, ParseError> {
    if value == never { Ok(None) } else { value.parse().map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
policy restart=always jitter=0%
process #1 starts=5ms lives=1s exits=code=1 term=ignored leaves=2s
process rest fails=permanent:0ms
timers late=3ms
saves fail-until=500ms
seed 7
0ms start
1s50ms stop grace=5s
2s policy restart=no
3s crash
4s reboot
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
        ] {
            let error = text.parse::<Case>().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
