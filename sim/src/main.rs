//! The `monitor-sim` program.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstream::{eprintln, println};
use clap::{Parser, Subcommand};
use monitor_core::{Policy, Preset};
use monitor_os::{Core, Machine};
use monitor_sim::graph::{self, Format};
use monitor_sim::hunt::{Failure, STEPS_MAX};
use monitor_sim::saboteur::Saboteur;
use monitor_sim::schedule::Schedule;
use monitor_sim::screen::{FailureScreen, Table};
use monitor_sim::{check, model, world};
