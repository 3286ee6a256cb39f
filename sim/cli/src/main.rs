//! The program `monitor-sim`: verifies, replays and draws from a command line.

mod bugs;
mod campaign;
mod check;
mod exit_status;
mod graph;
mod input;
#[cfg(feature = "observe")]
mod observe;
mod options;
mod progress;
#[cfg(feature = "real")]
mod real;
mod replay;
mod timeline;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::bugs::BugsArguments;
use crate::campaign::{MergeArguments, RunArguments};
use crate::check::CheckArguments;
use crate::graph::GraphArguments;
use crate::replay::ReplayArguments;
use crate::timeline::TimelineArguments;

/// Verifies the decisions of a process supervisor: exhaustively, by random races, and against
/// records.
#[derive(Parser)]
#[command(name = "monitor-sim", version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit status:
   0  all is well
   1  `observe`: a supervisor breaks a rule
  10  a property is violated, a record breaks the contract, or a case is not as it expects
  11  the two runs of a case differ
  12  an alarm is raised: a check of the harness is blind (docs/CAMPAIGNS.md lists all alarms)
  13  the merged shards leave a gap: cases that no shard has run
  64  the command line or the input is not understood
  70  a file cannot be read or written
  75  interrupted: the same command goes on from there
 130  interrupted: the same command begins anew

Examples:
  monitor-sim check                        verify everything, print a summary
  monitor-sim bugs --list                  print the known bugs that can be injected
  monitor-sim check --inject BB-36b        inject a bug, and see it found
  monitor-sim replay web.jsonl             judge a record of `monitor run --record`
  monitor-sim replay case.txt              run a case in the virtual world, print every step
  monitor-sim replay --rewrite case.txt    rewrite its expectations from a run
  monitor-sim run --campaign nightly --cases 10000000
                                           hunt for hours; resume, shard and merge
  monitor-sim observe sim/supervisors/*.toml
                                           judge runit, s6 and others by the same rules
  monitor-sim timeline web.jsonl --format html --out web.html
                                           draw a page for a browser
  monitor-sim graph --preset docker > states.mmd
  monitor-sim graph --format svg --visited web.jsonl > visited.svg
                                           mark the changes of phase of a real run";

#[derive(Subcommand)]
enum Command {
    /// Verify everything, and print a summary.
    Check(CheckArguments),
    /// Judge a record of a real supervision against its contract, or run a case, and check every step.
    Replay(ReplayArguments),
    /// Run a campaign of random cases on all cores: resumable, sharded, reproducible.
    Run(RunArguments),
    /// Add up the reports of shards.
    Merge(MergeArguments),
    /// Draw a case or a real record as lanes over time.
    Timeline(TimelineArguments),
    /// Draw the state diagram of a policy from its exhaustive search.
    Graph(GraphArguments),
    /// Run cases on real processes, and check their records.
    #[cfg(feature = "real")]
    Real(real::RealArguments),
    /// Judge other supervisors as they are, by the processes that they run.
    #[cfg(feature = "observe")]
    Observe(observe::ObserveArguments),
    /// Hunt every bug of the bank, and print the engine, the oracle, the time and the length of the
    /// case.
    Bugs(BugsArguments),
}

fn main() -> ExitCode {
    #[cfg(feature = "real")]
    let launcher = {
        // Before anything else: this may be the helper that starts programs, or a program that is
        // started.
        let launcher = monitor_os::Launcher::enter();
        monitor_sim::real::enter();
        #[cfg(feature = "observe")]
        monitor_sim::observe::enter();
        launcher
    };
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nobody else can be told that it could not be printed.
            error.print().ok();
            // A help that was asked for is no error.
            return ExitCode::from(if error.use_stderr() { exit_status::USAGE } else { 0 });
        }
    };
    let code = match arguments.command {
        Command::Check(arguments) => check::check(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Run(arguments) => campaign::run(&arguments),
        Command::Merge(arguments) => campaign::merge(&arguments),
        Command::Timeline(arguments) => timeline::timeline(&arguments),
        Command::Graph(arguments) => graph::graph(&arguments),
        #[cfg(feature = "real")]
        Command::Real(arguments) => real::real(&arguments, &launcher),
        #[cfg(feature = "observe")]
        Command::Observe(arguments) => observe::observe(&arguments),
        Command::Bugs(arguments) => bugs::bugs(&arguments),
    };
    ExitCode::from(code)
}
