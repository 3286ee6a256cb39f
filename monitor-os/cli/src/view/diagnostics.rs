//! The diagnostics of the program on standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::env;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::panic;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::thread;

use anstream::adapter::strip_str;
use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use tracing_subscriber::EnvFilter;

use super::event_line::EventsFormat;
use super::line_queue::{LineQueue, Loss};

/// The diagnostics of a monitor. Until this is dropped, no thread waits for standard error.
///
/// Lifecycle lines, errors of a reload, panics and the traces of `MONITOR_LOG` go through one
/// [`LineQueue`]. Dropping this writes pending lines, as long as somebody reads: see
/// [`LineQueue::flush`].
#[derive(Debug)]
pub(crate) struct Diagnostics(());

impl Diagnostics {
    /// Begins to queue the lines of [`say`], panics, and the traces of `MONITOR_LOG`. The mark of
    /// lost lines has the form of the events.
    ///
    /// # Errors
    /// No descriptor, thread or memory left.
    pub(crate) fn begin(events: EventsFormat) -> io::Result<Self> {
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        let loss = match events {
            EventsFormat::Text => Loss::Mark,
            EventsFormat::Json => Loss::MarkJson,
        };
        let queue = LineQueue::begin("monitor-stderr", stderr, loss)?;
        // The program begins it once.
        QUEUE.set(queue).ok();
        panic::set_hook(Box::new(|panic| {
            let thread = thread::current();
            let name = thread.name().unwrap_or("unnamed");
            say(&format_args!("monitor: thread {name:?} {panic}"));
            let backtrace = Backtrace::capture();
            if backtrace.status() == BacktraceStatus::Captured {
                say(&backtrace);
            }
        }));
        init_log();
        Ok(Self(()))
    }
}

impl Drop for Diagnostics {
    fn drop(&mut self) {
        flush();
    }
}

/// Writes pending lines, as long as somebody reads.
pub(crate) fn flush() {
    if let Some(queue) = QUEUE.get() {
        // Without a reader there is nowhere to report it.
        queue.flush().ok();
    }
}

static QUEUE: OnceLock<LineQueue> = OnceLock::new();

/// Writes a line to standard error. If that is closed or full, the line is lost.
pub(crate) fn say(line: &dyn fmt::Display) {
    let text = format!("{line}\n");
    match QUEUE.get() {
        Some(queue) => {
            queue.put(coloured(text, AutoStream::choice(&io::stderr())).into_bytes());
        }
        None => {
            put(io::stderr(), text).ok();
        }
    }
}

/// Writes a text, on a terminal with its colours.
///
/// # Errors
/// The error of the stream.
pub(crate) fn put(mut stream: impl RawStream, text: String) -> io::Result<()> {
    let text = coloured(text, AutoStream::choice(&stream));
    // One write, so that lines of others do not get in between.
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

fn coloured(text: String, choice: ColorChoice) -> String {
    match choice {
        ColorChoice::Never => strip_str(&text).to_string(),
        ColorChoice::Auto | ColorChoice::AlwaysAnsi | ColorChoice::Always => text,
    }
}

/// Shows the traces of the library that `MONITOR_LOG` selects. A wrong filter is reported, and
/// stops nothing.
fn init_log() {
    let Ok(words) = env::var("MONITOR_LOG") else {
        return;
    };
    let filter = match EnvFilter::try_new(&words) {
        Ok(filter) => filter,
        Err(error) => {
            say(&format_args!(
                "monitor: MONITOR_LOG: {words:?} is not understood: {error}; write such as \
                 monitor_os=debug"
            ));
            return;
        }
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Traced)
        .with_ansi(io::stderr().is_terminal())
        // Internal errors would go to standard error past the queue.
        .log_internal_errors(false)
        .finish();
    // This is the only place that sets it.
    tracing::subscriber::set_global_default(subscriber).ok();
}

/// Queues traces, one event with each write, from any thread.
struct Traced;

impl Write for Traced {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        if let Some(queue) = QUEUE.get() {
            queue.put(event.to_vec());
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The exit status of a monitor that failed.
pub(crate) const MONITOR_FAILED: u8 = 125;

/// Says why a monitor failed, and returns the exit status for it.
pub(crate) fn monitor_failed(error: &dyn fmt::Display) -> ExitCode {
    say(&format_args!("monitor: {error}"));
    ExitCode::from(MONITOR_FAILED)
}

/// Says why a command failed that runs no monitor, and returns the exit status for it.
pub(crate) fn failed(error: &dyn fmt::Display) -> ExitCode {
    say(&format_args!("monitor: {error}"));
    ExitCode::FAILURE
}
