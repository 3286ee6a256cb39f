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
//! What goes wrong in the world is said in the same way: by words of a process, by lines about the whole,
//! and by inputs at their time. More units on the same driver follow their lines `unit`, and inputs name
//! them by their number:
//!
//! ```text
//! policy restart=always
//! process rest notice=lost signals=refused output=3s
//! unit
//! policy restart=on-failure
//! process rest lives=1s notice=late:5s
//! pids 3
//! disk tears
//! 0ms start
//! 0ms @1 start
//! 1s wall +1h
//! 2s suspend 10m
//! 3s crash after=2 down=1s
//! 4s reboot
//! 5s stop-faults
//! ```
//!
//! Lines may also say what is expected to come of it: [`mod@crate::expected`]. A `#` between spaces begins a
//! comment.

use std::fmt;
use std::str::FromStr;

use monitor_core::{
    Event, Exit, Millis, ParseError, Policy, PolicyTextError, StartFailure, whole_number,
};

use crate::expected::{self, Expected, ExpectedError};

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
    /// Further units on the same driver: the units 1, 2 and so on.
    pub others: Vec<Other>,
    /// How many process numbers there are, from 1; `None` for more than are ever used. Numbers that no
    /// process of the case holds are held by strangers.
    pub pids: Option<u8>,
    /// What the disk does when the power goes to what was not made to survive; `None`: it keeps it.
    pub disk: Option<DiskFault>,
    /// What draws the jitter.
    pub seed: u64,
    /// What is asked, in the order of time.
    pub inputs: Vec<TimedInput>,
    /// What is expected to come of it.
    pub expected: Expected,
}

/// A further unit: a policy of its own, and processes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// The policy in force at the beginning.
    pub policy: Policy,
    /// What the processes do, by run; the last entry serves all later runs. None are obedient.
    pub scripts: Vec<Script>,
}

/// What a disk does to a content that no sync has made to survive, when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// It is as it was before.
    Loses,
    /// Of what was written into an empty file there is the beginning.
    Tears,
    /// A new name has survived that was given after the content.
    Reorders,
}

impl DiskFault {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Loses, Self::Tears, Self::Reorders];

    /// The word of the case's text form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loses => "loses",
            Self::Tears => "tears",
            Self::Reorders => "reorders",
        }
    }
}

/// One thing that is asked or injected at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedInput {
    /// When, from the beginning.
    pub at: Millis,
    /// Of which unit, where it concerns one; 0 is the first.
    pub unit: u8,
    /// The input.
    pub kind: InputKind,
}

/// What can be put into a run from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// An event: a request, or a fact reported late, twice or about a run that is over.
    Event(Event),
    /// Another policy.
    Policy(Policy),
    /// The monitor dies and is started again with what it saved. Nothing happens while the last state is
    /// not saved, or before the first run.
    Crash {
        /// After how many of its operations from now on: each spawn, signal and release is one, each save
        /// is five. 0: at once.
        after: u8,
        /// How long it is down. After 0 it has its children still; otherwise others have reaped those that
        /// have ended.
        down: Millis,
    },
    /// The machine is booted: the same, and everything that ran is gone.
    Reboot {
        /// As above.
        after: u8,
    },
    /// From now on nothing goes wrong any more; what was held back is reported. Happens by itself, a minute
    /// after the last input.
    StopFaults,
    /// The wall clock is set.
    Wall(Jump),
    /// The machine sleeps for so long: nothing happens, and the monotonic clock stands still.
    Suspend(Millis),
}

/// By how much the wall clock is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    /// Into the future.
    Ahead(Millis),
    /// Into the past.
    Back(Millis),
}

impl InputKind {
    /// The monitor dies at once, and is started again at once.
    pub const CRASH: Self = Self::Crash { after: 0, down: Millis::ZERO };
    /// The machine is booted at once.
    pub const REBOOT: Self = Self::Reboot { after: 0 };
}

/// What one process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// How its start goes.
    pub start: Start,
    /// How long it lives if it is left alone; `None` for ever.
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
    /// How often it asks for more time, each time for twice that; `None` never.
    pub extends: Option<Millis>,
    /// When a health check fails, from its spawn; `None` never.
    pub unhealthy: Option<Millis>,
    /// How the monitor is notified of its end.
    pub notice: ExitNotice,
    /// What becomes of signals to it and its group.
    pub signals: SignalDelivery,
    /// For how long something that it started holds its output open after its end.
    pub output: Option<OutputHold>,
}

/// How a monitor is notified of the end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitNotice {
    /// At once. Of ends at the same moment there is one notice.
    Once,
    /// At once, and again a millisecond later.
    Twice,
    /// So much later.
    Late(Millis),
    /// Not at all, until the faults stop.
    Lost,
}

/// What becomes of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalDelivery {
    /// It is delivered.
    Delivered,
    /// The monitor may not send it (EPERM), until the faults stop.
    Refused,
    /// The process has just ended and was reaped by another process (ESRCH): how it ended is not known.
    Missed,
}

/// For how long an output is held open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputHold {
    /// So long.
    For(Millis),
    /// Until the faults stop.
    ForEver,
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
        extends: None,
        unhealthy: None,
        notice: ExitNotice::Once,
        signals: SignalDelivery::Delivered,
        output: None,
    };

    /// Whether it has a fault that `stop-faults` ends.
    #[must_use]
    pub fn is_faulty(&self) -> bool {
        self.notice != ExitNotice::Once
            || self.signals != SignalDelivery::Delivered
            || self.output.is_some()
    }

    /// The same with one fault less each.
    pub fn without_a_fault(self) -> impl Iterator<Item = Self> {
        let plain = Self::OBEDIENT;
        [
            Self { notice: plain.notice, ..self },
            Self { signals: plain.signals, ..self },
            Self { output: plain.output, ..self },
        ]
        .into_iter()
        .filter(move |simpler| *simpler != self)
    }
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
            others: Vec::new(),
            pids: None,
            disk: None,
            seed: 0,
            inputs: Vec::new(),
            expected: Expected::default(),
        }
    }

    /// The same with another input, which must not be earlier than the last.
    #[must_use]
    pub fn with_event(mut self, at_ms: u32, event: Event) -> Self {
        self.inputs.push(TimedInput {
            at: Millis::new(at_ms),
            unit: 0,
            kind: InputKind::Event(event),
        });
        self
    }

    /// How many units there are.
    #[must_use]
    pub const fn units(&self) -> usize {
        1 + self.others.len()
    }

    /// The policy and the scripts of a unit; of one that there is not, those of the first.
    #[must_use]
    pub fn unit(&self, unit: usize) -> (&Policy, &[Script]) {
        match unit.checked_sub(1).and_then(|other| self.others.get(other)) {
            Some(other) => (&other.policy, &other.scripts),
            None => (&self.policy, &self.scripts),
        }
    }

    /// The script of the `nth` run of a unit, from 0.
    #[must_use]
    pub fn script(&self, unit: usize, nth: usize) -> &Script {
        let (_, scripts) = self.unit(unit);
        scripts.get(nth).or_else(|| scripts.last()).unwrap_or(&Script::OBEDIENT)
    }

    /// Whether it has a fault that `stop-faults` ends.
    #[must_use]
    pub fn is_faulty(&self) -> bool {
        (0..self.units()).any(|unit| self.unit(unit).1.iter().any(Script::is_faulty))
    }

    /// The same with one thing less each that goes wrong around the processes, for shrinking. What scripts
    /// say is simplified by [`Script::without_a_fault`].
    pub fn without_a_fault(&self) -> impl Iterator<Item = Self> + '_ {
        let others = (0..self.others.len()).map(|gone| {
            let mut simpler = self.clone();
            simpler.others.remove(gone);
            simpler.inputs.retain(|input| usize::from(input.unit) != gone + 1);
            for input in &mut simpler.inputs {
                input.unit -= u8::from(usize::from(input.unit) > gone + 1);
            }
            simpler
        });
        let plain = [Self { pids: None, ..self.clone() }, Self { disk: None, ..self.clone() }];
        let milder = (0..self.inputs.len()).flat_map(move |index| {
            let mild = match self.inputs[index].kind {
                InputKind::Crash { after, down } => vec![
                    InputKind::Crash { after: 0, down },
                    InputKind::Crash { after: after / 2, down },
                    InputKind::Crash { after, down: Millis::ZERO },
                ],
                InputKind::Reboot { after } => {
                    vec![InputKind::Reboot { after: 0 }, InputKind::Reboot { after: after / 2 }]
                }
                InputKind::Event(_)
                | InputKind::Policy(_)
                | InputKind::StopFaults
                | InputKind::Wall(_)
                | InputKind::Suspend(_) => Vec::new(),
            };
            mild.into_iter().map(move |kind| {
                let mut simpler = self.clone();
                simpler.inputs[index].kind = kind;
                simpler
            })
        });
        let scripts = (0..self.others.len()).flat_map(move |other| {
            (0..self.others[other].scripts.len()).flat_map(move |index| {
                self.others[other].scripts[index].without_a_fault().map(move |script| {
                    let mut simpler = self.clone();
                    simpler.others[other].scripts[index] = script;
                    simpler
                })
            })
        });
        others.chain(plain).chain(milder).chain(scripts)
    }
}

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
        if self.saves_fail_until > Millis::ZERO {
            writeln!(f, "saves fail-until={}", self.saves_fail_until)?;
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
        expected::write_body(f, self)
    }
}

impl fmt::Display for TimedInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.at)?;
        if self.unit > 0 {
            write!(f, "@{} ", self.unit)?;
        }
        self.kind.fmt(f)
    }
}

/// Prints the words of an input line, without its time and its unit.
impl fmt::Display for InputKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |f: &mut fmt::Formatter<'_>, name: &str, after: u8, down: Millis| {
            f.write_str(name)?;
            if after > 0 {
                write!(f, " after={after}")?;
            }
            if down > Millis::ZERO { write!(f, " down={down}") } else { Ok(()) }
        };
        match *self {
            Self::Event(event) => event.fmt(f),
            Self::Policy(policy) => write!(f, "policy {policy}"),
            Self::Crash { after, down } => words(f, "crash", after, down),
            Self::Reboot { after } => words(f, "reboot", after, Millis::ZERO),
            Self::StopFaults => f.write_str("stop-faults"),
            Self::Wall(Jump::Ahead(by)) => write!(f, "wall +{by}"),
            Self::Wall(Jump::Back(by)) => write!(f, "wall -{by}"),
            Self::Suspend(time) => write!(f, "suspend {time}"),
        }
    }
}

/// Reads what `Display` prints.
///
/// # Errors
/// [`CaseErrorKind`] naming the word.
impl FromStr for InputKind {
    type Err = CaseErrorKind;

    fn from_str(words: &str) -> Result<Self, CaseErrorKind> {
        let words = words.trim();
        let (head, rest) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
        let rest = rest.trim();
        let mut after = 0;
        let mut down = Millis::ZERO;
        if matches!(head, "crash" | "reboot") {
            for word in rest.split_whitespace() {
                match word.split_once('=') {
                    Some(("after", value)) => after = small(word, value)?,
                    Some(("down", value)) if head == "crash" => down = value.parse()?,
                    _ => return Err(CaseErrorKind::Key(word.to_owned())),
                }
            }
        }
        Ok(match head {
            "policy" => Self::Policy(rest.parse()?),
            "crash" => Self::Crash { after, down },
            "reboot" => Self::Reboot { after },
            "stop-faults" if rest.is_empty() => Self::StopFaults,
            "suspend" => Self::Suspend(rest.parse()?),
            "wall" => Self::Wall(match (rest.strip_prefix('+'), rest.strip_prefix('-')) {
                (Some(by), _) => Jump::Ahead(by.parse()?),
                (None, Some(by)) => Jump::Back(by.parse()?),
                (None, None) => return Err(CaseErrorKind::Jump(rest.to_owned())),
            }),
            _ => Self::Event(words.parse()?),
        })
    }
}

fn small(word: &str, value: &str) -> Result<u8, CaseErrorKind> {
    whole_number(value).ok_or_else(|| CaseErrorKind::Number(word.to_owned()))
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
        for (key, value) in [
            ("ready", self.ready),
            ("pings", self.pings),
            ("extends", self.extends),
            ("unhealthy", self.unhealthy),
        ] {
            if let Some(value) = value {
                write!(f, " {key}={value}")?;
            }
        }
        match self.notice {
            ExitNotice::Once => {}
            ExitNotice::Twice => f.write_str(" notice=twice")?,
            ExitNotice::Late(delay) => write!(f, " notice=late:{delay}")?,
            ExitNotice::Lost => f.write_str(" notice=lost")?,
        }
        match self.signals {
            SignalDelivery::Delivered => {}
            SignalDelivery::Refused => f.write_str(" signals=refused")?,
            SignalDelivery::Missed => f.write_str(" signals=missed")?,
        }
        match self.output {
            None => Ok(()),
            Some(OutputHold::For(time)) => write!(f, " output={time}"),
            Some(OutputHold::ForEver) => f.write_str(" output=forever"),
        }
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
    /// The line begins with something else than a time, `policy`, `process`, `unit`, `timers`, `saves`,
    /// `pids`, `disk`, `seed`, `then`, `end`.
    Line(String),
    /// The number in this word cannot be read, or is too large.
    Number(String),
    /// The value of this word is not one of those that there are.
    Value(String),
    /// The jump of the wall clock has no sign.
    Jump(String),
    /// There is no unit of this number.
    NoUnit(String),
    /// This happens to the monitor or its machine, and not to a unit.
    NotOfAUnit(String),
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
    Expected(ExpectedError),
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
            // What can be asked of the world stands beside the events.
            Self::Word(error) if error.field() == "event" => {
                write!(f, "{error}; or policy, crash, reboot, stop-faults, wall or suspend")
            }
            Self::Word(error) => error.fmt(f),
            Self::Policy(error) => error.fmt(f),
            Self::Line(word) => write!(
                f,
                "{word:?} begins no line: write policy, process, unit, timers, saves, pids, disk, seed, then, end, or a time such as 50ms and what is asked then"
            ),
            Self::Number(word) => {
                write!(
                    f,
                    "{word:?} is no number of this kind: write one from 0 to 255, of pids from 1"
                )
            }
            Self::Value(word) => write!(
                f,
                "{word:?} is not known: write notice=twice, notice=late:5s or notice=lost, signals=refused or signals=missed, disk loses, disk tears or disk reorders"
            ),
            Self::Jump(word) => {
                write!(f, "{word:?} is no jump: write wall +1h or wall -1h")
            }
            Self::NotOfAUnit(words) => {
                write!(f, "{words:?} concerns the whole machine: write it without a unit")
            }
            Self::NoUnit(word) => write!(
                f,
                "{word:?} names no unit: write @N with N from 1 to the number of `unit` lines, or nothing for the first"
            ),
            Self::Key(word) => write!(
                f,
                "{word:?} is no word of this line: write key=value with starts, fails, lives, exits, term, leaves, ready, pings, extends, unhealthy, notice, signals, output (process), late (timers), fail-until (saves), after, down (crash), after (reboot)"
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

impl From<ExpectedError> for CaseErrorKind {
    fn from(error: ExpectedError) -> Self {
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
            let line = expected::without_comment(line);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            read_line(&mut case, line).map_err(|kind| CaseError { line: index + 1, kind })?;
        }
        case.ok_or_else(|| CaseError { line: lines.max(1), kind: CaseErrorKind::NoPolicy })
    }
}

fn read_line(case: &mut Option<Case>, line: &str) -> Result<(), CaseErrorKind> {
    let (line, answer) = expected::split(line);
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
        "saves" => case.saves_fail_until = read_key(rest, "fail-until")?.parse()?,
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
            if !is_timed {
                return Err(CaseErrorKind::Line(head.to_owned()));
            }
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
            "extends" => script.extends = never_or(value, "never")?,
            "unhealthy" => script.unhealthy = never_or(value, "never")?,
            "notice" => {
                script.notice = match (value, value.strip_prefix("late:")) {
                    ("twice", _) => ExitNotice::Twice,
                    ("lost", _) => ExitNotice::Lost,
                    (_, Some(delay)) => ExitNotice::Late(delay.parse()?),
                    (_, None) => return Err(CaseErrorKind::Value(word.to_owned())),
                };
            }
            "signals" => {
                script.signals = match value {
                    "refused" => SignalDelivery::Refused,
                    "missed" => SignalDelivery::Missed,
                    _ => return Err(CaseErrorKind::Value(word.to_owned())),
                };
            }
            "output" => {
                script.output =
                    Some(never_or(value, "forever")?.map_or(OutputHold::ForEver, OutputHold::For));
            }
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
unit
policy restart=on-failure
process #1 notice=twice signals=refused output=forever
process #2 notice=late:5s signals=missed output=3s
process rest notice=lost
timers late=3ms
saves fail-until=500ms
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
            ("policy restart=always\npids 0", "line 2: \"pids 0\" is no number"),
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
