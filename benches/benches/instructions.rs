//! The instructions that the machine executes for one event of a recorded log, and its allocations.
//!
//! The figures do not depend on the load of the computer. The machine must allocate nothing.
//!
//! The program runs itself under valgrind, once for each loop, and subtracts the empty loop. For
//! the transition itself it counts only the instructions inside it. It fails above the bound.
//! Without valgrind it prints a message, and fails only if it was called with `--require`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the figures are the result")]

use std::env::{args, current_exe};
use std::fmt;
use std::hint::black_box;
use std::io;
use std::process::{Command, ExitCode};

use benches::{EVENTS, Mix, deliver, empty, recorded_mix, replay, stand_still};
use monitor_core::Policy;

fn main() -> ExitCode {
    let words: Vec<String> = args().skip(1).collect();
    if let Some(role) = words.iter().find_map(|word| Role::named(word)) {
        role.play(&recorded_mix());
        return ExitCode::SUCCESS;
    }
    let wanted = |flag: &str| words.iter().any(|word| word == flag);
    if wanted("--list") {
        return ExitCode::SUCCESS;
    }
    if wanted("--test") || !wanted("--bench") {
        println!("instructions: tried, not measured");
        Role::Step.play(&recorded_mix());
        return ExitCode::SUCCESS;
    }
    match measure() {
        Ok(within) if within => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(MeasureError::NoValgrind(error)) if !wanted("--require") => {
            println!("instructions: skipped, because valgrind cannot be run: {error}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("instructions: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the figures, and returns whether they are within their bounds.
fn measure() -> Result<bool, MeasureError> {
    let per_event = |role, scope| {
        let base = instructions(Role::Empty, scope)?;
        let spent = instructions(role, scope)?.saturating_sub(base);
        Ok::<f64, MeasureError>(spent as f64 / EVENTS as f64)
    };
    let step = per_event(Role::Step, Scope::Step)?;
    let looped = per_event(Role::Step, Scope::Program)?;
    let floor = per_event(Role::Floor, Scope::Program)?;
    let delivered = per_event(Role::Deliver, Scope::Program)?;
    let allocations = allocations(Role::Deliver)?.abs_diff(allocations(Role::Empty)?);
    println!("step: {step:.1} instructions/event, at most {INSTRUCTIONS_MAX} are allowed");
    println!(
        "with the loop that calls it: {looped:.1}; the loop with a transition that does nothing: \
         {floor:.1}; with the commands visited: {delivered:.1}"
    );
    println!("allocations in {EVENTS} events: {allocations}, none are allowed");
    Ok(step <= INSTRUCTIONS_MAX && allocations == 0)
}

/// The instructions that are counted.
#[derive(Clone, Copy)]
enum Scope {
    /// The instructions of the whole program.
    Program,
    /// The instructions of `Policy::step` and of the functions that it calls.
    Step,
}

/// The loop that the program runs under valgrind.
#[derive(Clone, Copy)]
enum Role {
    Empty,
    Floor,
    Step,
    Deliver,
}

impl Role {
    const ALL: [Self; 4] = [Self::Empty, Self::Floor, Self::Step, Self::Deliver];

    /// The argument that selects the role; all have one length, so that reading them costs the
    /// same.
    const fn name(self) -> &'static str {
        match self {
            Self::Empty => "role=empty",
            Self::Floor => "role=floor",
            Self::Step => "role=steps",
            Self::Deliver => "role=visit",
        }
    }

    fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == word)
    }

    fn play(self, mix: &Mix) {
        match self {
            Self::Empty => empty(mix),
            Self::Floor => drop(black_box(replay(mix, stand_still))),
            Self::Step => drop(black_box(replay(mix, Policy::step))),
            Self::Deliver => drop(black_box(deliver(mix, Policy::step))),
        }
    }
}

/// All instructions of the program in this role.
fn instructions(role: Role, scope: Scope) -> Result<u64, MeasureError> {
    let mut options = vec!["--tool=callgrind", "--callgrind-out-file=/dev/null"];
    if let Scope::Step = scope {
        options.push("--toggle-collect=*Policy>::step");
    }
    valgrind(role, &options, "Collected : ")
}

/// All heap allocations of the program in this role.
fn allocations(role: Role) -> Result<u64, MeasureError> {
    valgrind(role, &["--tool=memcheck", "--leak-check=no"], "total heap usage: ")
}

/// Runs this program under valgrind and reads the number after `label` in its report.
fn valgrind(role: Role, options: &[&str], label: &'static str) -> Result<u64, MeasureError> {
    let program = current_exe().map_err(MeasureError::NoValgrind)?;
    let output = Command::new("valgrind")
        .args(options)
        .arg(program)
        .arg(role.name())
        .output()
        .map_err(MeasureError::NoValgrind)?;
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    let number = report.split_once(label).and_then(|(_, rest)| {
        let digits = rest.split_whitespace().next()?.replace(',', "");
        digits.parse().ok()
    });
    match number {
        Some(number) if output.status.success() => Ok(number),
        Some(_) | None => Err(MeasureError::NoFigure { label, report }),
    }
}

enum MeasureError {
    NoValgrind(io::Error),
    NoFigure { label: &'static str, report: String },
}

impl fmt::Display for MeasureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoValgrind(error) => write!(f, "valgrind cannot be run: {error}"),
            Self::NoFigure { label, report } => {
                write!(f, "no `{label}` in what valgrind reported:\n{report}")
            }
        }
    }
}

/// The bound on a decision, for the transition and the functions that it calls.
const INSTRUCTIONS_MAX: f64 = 80.0;
