//! The subcommand `replay`: judges a record against its contract, or runs a case in the virtual
//! world.

use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anstream::{eprintln, print, println};
use clap::{Args, ValueEnum};
use monitor_core::Millis;
use monitor_os::Core;
use monitor_os::record::RecordReader;
use monitor_sim::bugs::Bug;
use monitor_sim::case::Case;
use monitor_sim::conform::record::{
    ContractViolation, RecordFault, RecordSummary, Tolerance, WatchdogDelay, record,
};
use monitor_sim::machine::MachineUnderTest;
use monitor_sim::oracle::{self, expectation};
use monitor_sim::report::{self, TraceTable};
use monitor_sim::world::{self, STEPS_MAX};

use crate::exit_status::{INTERNAL, USAGE, VIOLATED};
use crate::input::{Artifact, RecordSource, artifact};
use crate::progress::templated;

#[derive(Args)]
pub(crate) struct ReplayArguments {
    /// A record (JSON lines) or a case (text or JSON); `-` reads the standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Inject this bug of the bank into the run, such as BB-1. `monitor-sim bugs --list` prints all
    /// ids.
    #[arg(long, value_name = "ID")]
    inject: Option<Bug>,
    /// Print the case in another form, and do not run it.
    #[arg(long, value_enum, value_name = "FORM")]
    emit: Option<Form>,
    /// Rewrite the expectations in the file from a run of the case. Comments are kept.
    #[arg(long, conflicts_with_all = ["emit", "inject"])]
    rewrite: bool,
    /// Accept timers of a record that fire so much later than their deadlines. Give more for a
    /// monitor that was suspended.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    late: Millis,
    /// How the driver of a record chooses the delay of a watchdog (rule C10).
    #[arg(long, value_enum, value_name = "CHOICE", default_value = "run")]
    watchdog: Watchdog,
    /// Print the result about a record as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Watchdog {
    /// The period that the program was told at its start.
    Run,
    /// The delay of the command, because the driver tells programs no period.
    Command,
}

#[derive(Clone, Copy, ValueEnum)]
enum Form {
    /// A complete Rust test.
    Rust,
    /// JSON by sim/docs/case.schema.json.
    Json,
    /// Tidied text.
    Text,
}

pub(crate) fn replay(arguments: &ReplayArguments) -> u8 {
    if arguments.rewrite {
        return rewrite(&arguments.file);
    }
    let case = match artifact(&arguments.file) {
        Ok(Artifact::Case(case)) => case,
        Ok(Artifact::Record(source)) => return replay_record(source, arguments),
        Err(code) => return code,
    };
    match (arguments.emit, arguments.inject) {
        (Some(Form::Rust), _) => print!("{}", report::rust_test(&case)),
        (Some(Form::Json), _) => println!("{}", case.to_json()),
        (Some(Form::Text), _) => print!("{case}"),
        (None, Some(bug)) => return replay_case(&case, bug),
        (None, None) => return replay_case(&case, Core),
    }
    0
}

fn rewrite(path: &Path) -> u8 {
    let name = path.display();
    let unreadable = |error| {
        eprintln!("monitor-sim: {name}: {error}: give a file that can be read and written");
        INTERNAL
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return unreadable(error),
    };
    let case: Case = match text.parse() {
        Ok(case) => case,
        Err(error) => {
            eprintln!(
                "monitor-sim: {name}: {error}: only a case in its text form can be rewritten"
            );
            return USAGE;
        }
    };
    let trace = world::run(&case, Core, STEPS_MAX).trace;
    match fs::write(path, expectation::rewrite(&text, &case, &trace)) {
        Ok(()) => 0,
        Err(error) => unreadable(error),
    }
}

fn replay_record(source: RecordSource, arguments: &ReplayArguments) -> u8 {
    let tolerance = Tolerance {
        late: arguments.late,
        watchdog: match arguments.watchdog {
            Watchdog::Run => WatchdogDelay::OfRun,
            Watchdog::Command => WatchdogDelay::OfCommand,
        },
    };
    let length = source.length.unwrap_or_default();
    let bar = templated(length, "{wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left");
    let bytes = BufReader::with_capacity(BUFFER, bar.wrap_read(source.bytes));
    let result = record(&mut RecordReader::new(bytes), tolerance);
    bar.finish_and_clear();
    match result {
        Err(RecordFault::Violation(violation)) => {
            if arguments.json {
                println!("{}", violation_json(&violation));
            } else {
                println!("{violation}");
            }
            VIOLATED
        }
        Err(fault) => {
            eprintln!("monitor-sim: {}: {fault}", arguments.file.display());
            USAGE
        }
        Ok(summary) => {
            if arguments.json {
                println!("{}", summary_json(&summary));
            } else {
                print_summary(&summary);
            }
            0
        }
    }
}

fn print_summary(summary: &RecordSummary) {
    let RecordSummary { steps, actions, units, unanswered, .. } = summary;
    let units = if *units == 1 { "of one unit".into() } else { format!("of {units} units") };
    println!("all {actions} actions in {steps} steps {units} keep the contract");
    for unanswered in unanswered {
        println!("  {unanswered}");
    }
}

fn summary_json(summary: &RecordSummary) -> serde_json::Value {
    let RecordSummary { steps, actions, units, unanswered, .. } = summary;
    let unanswered: Vec<_> = unanswered
        .iter()
        .map(|unanswered| {
            serde_json::json!({
                "unit": unanswered.unit.as_u32(),
                "name": unanswered.name,
                "command": unanswered.command.to_string(),
            })
        })
        .collect();
    serde_json::json!({
        "steps": steps,
        "actions": actions,
        "units": units,
        "unanswered": unanswered,
        "violation": null,
    })
}

fn violation_json(violation: &ContractViolation) -> serde_json::Value {
    let ContractViolation { line, at_us, unit, name, rule, expected, seen, before, .. } = violation;
    serde_json::json!({
        "violation": {
            "line": line,
            "at_us": at_us,
            "unit": unit.as_u32(),
            "name": name,
            "rule": rule.id(),
            "expected": expected,
            "seen": seen,
            "before": before,
        },
    })
}

fn replay_case(case: &Case, machine: impl MachineUnderTest + Copy) -> u8 {
    let verdict = world::judge(case, machine, STEPS_MAX);
    let trace = &verdict.trace;
    let (policies, marked) = (oracle::policies(case, trace), verdict.violation.is_some());
    print!("{case}{}", TraceTable { trace, policies: &policies, marked });
    if let Some(difference) = &verdict.difference {
        println!("{difference}");
    }
    match verdict.oracle() {
        Some(oracle) => println!("FAIL {oracle}"),
        None => {
            let cut = if trace.len() >= STEPS_MAX { ", cut there" } else { "" };
            println!("{} steps{cut}; no property is violated", trace.len());
        }
    }
    if let Some(panic) = verdict.violation.as_ref().and_then(|violation| violation.panic.as_ref()) {
        println!("panic     {panic}");
    }
    if verdict.is_accepted() { 0 } else { VIOLATED }
}

/// Few reads for a long record.
const BUFFER: usize = 1 << 18;
