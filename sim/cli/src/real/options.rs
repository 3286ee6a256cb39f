//! The options of `real`.

use std::path::PathBuf;

use clap::Args;
use monitor_core::Millis;

use crate::options::positive;

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct RealArguments {
    /// Cases to run, each once; without any, cases are drawn until the budget is used up.
    #[arg(value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// How long to go on with cases that are drawn.
    #[arg(long, value_name = "TIME", default_value = "60s", conflicts_with = "files")]
    pub(super) budget: Millis,
    /// How many cases to draw at most.
    #[arg(long, value_name = "N", conflicts_with = "files", value_parser = positive::<u64>)]
    pub(super) cases: Option<u64>,
    /// The first seed; each case takes the next one, and after the largest comes 0.
    #[arg(long, value_name = "SEED", default_value_t = 0, conflicts_with = "files")]
    pub(super) seed: u64,
    /// How many cases run at once.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = positive::<usize>)]
    pub(super) width: usize,
    /// How long a case may take in the virtual world [default: 15s, and 2s for those that are drawn].
    #[arg(long, value_name = "TIME")]
    pub(super) limit: Option<Millis>,
    /// Start and end this many programs instead of cases, while descriptors and processes run out and the disk hangs.
    #[arg(long, value_name = "N", conflicts_with_all = ["files", "kills"],
        value_parser = positive::<u64>)]
    pub(super) cycles: Option<u64>,
    /// Kill the program `monitor` this often instead of cases, at moments that are drawn, and go on.
    #[arg(long, value_name = "N", conflicts_with = "files", group = "killing",
        value_parser = positive::<u32>)]
    pub(super) kills: Option<u32>,
    /// Kill the program `monitor` before each system call of a start and a stop, or before every Nth.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1", group = "killing",
        conflicts_with_all = ["files", "cycles"], value_parser = positive::<usize>)]
    pub(super) steps: Option<usize>,
    /// The program `monitor` to kill [default: the one beside this program].
    #[arg(long, value_name = "PATH", requires = "killing")]
    pub(super) monitor: Option<PathBuf>,
    /// Where cases are saved in which something was wrong.
    #[arg(long, value_name = "DIR", default_value = "monitor-sim-failures")]
    pub(super) out: PathBuf,
}

const AFTER_HELP: &str = "\
Each case runs under the supervisor of monitor-os, with this program as the process that follows the
script. Everything is recorded, and the record must be accepted by the machine and by every oracle. How a
run is reported to have ended must be a way in which it can have ended, no two runs of a unit live at a time,
and afterwards there is no zombie, no descriptor and no process left that was not reported.

Examples:
  monitor-sim real --budget 60s            drawn cases for a minute
  monitor-sim real --cycles 10000          starts and ends while descriptors and processes run out
                                           and the disk hangs, which takes root
  monitor-sim real --kills 500             kill -9 of the monitor at any moment, and go on
  monitor-sim real --steps                 the same at each step of a start and a stop
  monitor-sim real sim/cases/*.txt         the cases of the simulator; what only a virtual world can do is
                                           skipped, and why is said

Status 12 if no case ran: all were skipped, or the budget ended before the first.";

/// How many cases with a fault are shown.
pub(super) const SHOWN_MAX: u64 = 3;
