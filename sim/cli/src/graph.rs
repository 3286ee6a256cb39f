//! The subcommand `graph`: draws the state diagram of a policy.

use std::path::PathBuf;

use anstream::print;
use clap::{Args, ValueEnum};
use monitor_core::{Policy, Preset};
use monitor_os::Core;
use monitor_sim::model;
use monitor_sim::report::graph::{self, Visits};

use crate::input;

#[derive(Args)]
pub(crate) struct GraphArguments {
    /// The policy of a well-known system.
    #[arg(long, value_name = "NAME", conflicts_with = "policy")]
    preset: Option<Preset>,
    /// A policy as `key=value` words, such as 'restart=always retries=2'.
    #[arg(long, value_name = "WORDS")]
    policy: Option<Policy>,
    /// The language of the diagram.
    #[arg(long, value_enum, default_value_t = GraphFormat::Mermaid)]
    format: GraphFormat,
    /// Mark the changes that this record or case has visited. May be given several times. The first
    /// file gives the policy by default.
    #[arg(long, value_name = "FILE")]
    visited: Vec<PathBuf>,
}

pub(crate) fn graph(arguments: &GraphArguments) -> u8 {
    let preset = arguments.preset.map(|preset| preset.builder().build().unwrap_or_default());
    let mut policy = arguments.policy.or(preset);
    let mut visits = Visits::default();
    for file in &arguments.visited {
        let trace = match input::steps(file) {
            Ok(steps) => steps,
            Err(code) => return code,
        };
        policy = policy.or_else(|| trace.first().map(|line| line.policy));
        visits.add(&trace);
    }
    let exploration = model::explore(&[policy.unwrap_or_default()], &Core);
    let visits = if arguments.visited.is_empty() { None } else { Some(&visits) };
    print!("{}", graph::draw(&exploration, arguments.format.into(), visits));
    0
}

/// The language of a diagram, as the command line names it.
#[derive(Clone, Copy, ValueEnum)]
enum GraphFormat {
    /// Mermaid, which code hosts render.
    Mermaid,
    /// DOT, which Graphviz renders: `dot -Tsvg`.
    Dot,
    /// An SVG image.
    Svg,
}

impl From<GraphFormat> for graph::Format {
    fn from(format: GraphFormat) -> Self {
        match format {
            GraphFormat::Mermaid => Self::Mermaid,
            GraphFormat::Dot => Self::Dot,
            GraphFormat::Svg => Self::Svg,
        }
    }
}
