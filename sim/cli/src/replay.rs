//! The subcommand `replay`: compares a record with the machine, or runs a case in the virtual
//! world.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use anstream::{eprintln, print, println};
use clap::{Args, ValueEnum};
use monitor_os::Core;
use monitor_os::record::Record;
use monitor_sim::bugs::Bug;
use monitor_sim::case::Case;
use monitor_sim::machine::MachineUnderTest;
use monitor_sim::oracle::{self, TraceLine, Verdict, expectation};
use monitor_sim::replay;
use monitor_sim::report::{self, TraceTable};
use monitor_sim::world::{self, STEPS_MAX};

use crate::exit_status::{INTERNAL, USAGE, VIOLATED};
use crate::input::{Artifact, artifact};

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
        Ok(Artifact::Record(record)) => return replay_record(&record),
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

fn replay_record(record: &Record) -> u8 {
    let Verdict { trace, violation, difference, .. } = replay::replay(record);
    let refused = |objection: &dyn Display| {
        println!("{} steps are accepted, the next one is not\n{objection}", trace.len() - 1);
        VIOLATED
    };
    if let Some(difference) = &difference {
        return refused(difference);
    }
    if let Some(violation) = &violation {
        let event = trace.last().map(TraceLine::event_text).unwrap_or_default();
        return refused(&format_args!("{event}\n{violation}"));
    }
    let units = trace.iter().map(|line| line.unit).collect::<BTreeSet<_>>().len();
    let units = if units == 1 { "of one unit".into() } else { format!("of {units} units") };
    let mut actions = 0;
    trace.iter().for_each(|line| line.step.for_each(|_| actions += 1));
    println!(
        "all {actions} actions in {} steps {units} agree, and no property is violated",
        trace.len()
    );
    0
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
