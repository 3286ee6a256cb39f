//! The options of `real`.

use std::path::PathBuf;

use clap::Args;
use monitor_core::Millis;

use crate::options::positive;

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct RealArguments {
    /// Cases to run, each once. Without any, cases are drawn until the budget is used up.
    #[arg(value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// The time for drawn cases.
    #[arg(long, value_name = "TIME", default_value = "60s", conflicts_with = "files")]
    pub(super) budget: Millis,
    /// The most cases to draw.
    #[arg(long, value_name = "N", conflicts_with = "files", value_parser = positive::<u64>)]
    pub(super) cases: Option<u64>,
    /// The first seed. Each case takes the next seed; after the largest comes 0.
    #[arg(long, value_name = "SEED", default_value_t = 0, conflicts_with = "files")]
    pub(super) seed: u64,
    /// The number of cases that run at once.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = positive::<usize>)]
    pub(super) width: usize,
    /// The longest duration of a case in the virtual world [default: 15s, and 2s for drawn cases].
    #[arg(long, value_name = "TIME")]
    pub(super) limit: Option<Millis>,
    /// Start and end this many programs instead of cases, while descriptors, processes and the disk
    /// run short.
    #[arg(long, value_name = "N", conflicts_with_all = ["files", "kills"],
        value_parser = positive::<u64>)]
    pub(super) cycles: Option<u64>,
    /// Kill the program `monitor` this often instead of cases, at drawn moments, and start the next
    /// one.
    #[arg(long, value_name = "N", conflicts_with = "files", group = "killing",
        value_parser = positive::<u32>)]
    pub(super) kills: Option<u32>,
    /// Kill the program `monitor` before each system call of a start and a stop, or before every
    /// Nth.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1", group = "killing",
        conflicts_with_all = ["files", "cycles"], value_parser = positive::<usize>)]
    pub(super) steps: Option<usize>,
    /// The program `monitor` to kill [default: the one beside this program].
    #[arg(long, value_name = "PATH", requires = "killing")]
    pub(super) monitor: Option<PathBuf>,
    /// The folder for cases with a fault.
    #[arg(long, value_name = "DIR", default_value = "monitor-sim-failures")]
    pub(super) out: PathBuf,
}

const AFTER_HELP: &str = "\
Each case runs under the supervisor of monitor-os. The process that follows the script is this program.
The machine and every oracle must accept each recorded step. A reported status must be one that the run can
have had. No two runs of a unit may live at a time. Afterwards no zombie, no descriptor and no unreported
process may be left.

Examples:
  monitor-sim real --budget 60s            drawn cases for a minute
  monitor-sim real --cycles 10000          starts and ends while descriptors and processes run out
                                           and the disk hangs, which takes root
  monitor-sim real --kills 500             kill -9 of the monitor at random moments
  monitor-sim real --steps                 kill -9 before each system call of a start and a stop
  monitor-sim real sim/cases/*.txt         the cases of the simulator; those that need a virtual world are
                                           skipped, each with its reason

The exit status is 12 if no case ran: all were skipped, or the budget ended before the first.";

/// The number of shown cases with a fault.
pub(super) const SHOWN_MAX: u64 = 3;
