//! The subcommand `timeline`: draws a case or a real record.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anstream::eprintln;
use clap::{Args, ValueEnum};
use monitor_sim::report::TraceTable;
use monitor_sim::report::timeline::{self, Timeline};

use crate::exit_status::INTERNAL;
use crate::input;

#[derive(Args)]
pub(crate) struct TimelineArguments {
    /// A record (JSON lines) or a case (text or JSON); `-` reads the standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The format of the timeline.
    #[arg(long, value_enum, default_value_t = TimelineFormat::Text)]
    format: TimelineFormat,
    /// The file to write; the standard output by default.
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum TimelineFormat {
    /// A table: time, input, phase, actions.
    Text,
    /// An SVG image.
    Svg,
    /// A self-contained HTML page: the image, and the table under it.
    Html,
    /// A trace for Perfetto (ui.perfetto.dev) or the tracing page of Chrome.
    Perfetto,
}

pub(crate) fn timeline(arguments: &TimelineArguments) -> u8 {
    let name = arguments.file.display().to_string();
    let trace = match input::steps(&arguments.file) {
        Ok(steps) => steps,
        Err(code) => return code,
    };
    let lanes = Timeline::new(&trace, false);
    let text = match arguments.format {
        TimelineFormat::Text => TraceTable { trace: &trace, marked: false }.to_string(),
        TimelineFormat::Svg => timeline::svg(&lanes),
        TimelineFormat::Html => timeline::html(&lanes, &name, &trace),
        TimelineFormat::Perfetto => timeline::perfetto(&lanes),
    };
    let written = match &arguments.out {
        Some(path) => fs::write(path, text).map_err(|error| (path.display().to_string(), error)),
        None => io::stdout()
            .write_all(text.as_bytes())
            .map_err(|error| ("standard output".to_owned(), error)),
    };
    match written {
        Ok(()) => 0,
        Err((_, error)) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err((place, error)) => {
            eprintln!("monitor-sim: {place}: {error}: give a file that can be written");
            INTERNAL
        }
    }
}
