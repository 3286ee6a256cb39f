//! What the program says on standard error of its own work.

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

/// The diagnostics of a monitor: until this is dropped, nobody who has something to say waits for standard error.
///
/// Lifecycle lines, mistakes of a reload, panics and what `MONITOR_LOG` asks for go through one
/// [`LineQueue`]. Dropping this writes what waits, as long as somebody reads: see [`LineQueue::flush`].
#[derive(Debug)]
pub(crate) struct Diagnostics(());

impl Diagnostics {
    /// Begins to put into the queue what [`say`] is given, panics, and what `MONITOR_LOG` asks for. The mark of lost
    /// lines has the form of the events.
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
        // It is begun once.
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

/// Writes what waits, as long as somebody reads.
pub(crate) fn flush() {
    if let Some(queue) = QUEUE.get() {
        // Without a reader there is nowhere to report it.
        queue.flush().ok();
    }
}

static QUEUE: OnceLock<LineQueue> = OnceLock::new();

/// Writes a line to standard error. If that is closed or full, the line is lost, and nothing else may
/// suffer from it.
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

/// Writes a text, with its colours if they are wanted, which they are on a terminal.
///
/// # Errors
/// What the stream says.
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

/// Shows what the library traces, if `MONITOR_LOG` asks for it. A wrong filter is reported, and stops nothing.
fn init_log() {
    let Ok(words) = env::var("MONITOR_LOG") else {
        return;
    };
    let filter = match EnvFilter::try_new(&words) {
        Ok(filter) => filter,
        Err(error) => {
            say(&format_args!(
                "monitor: MONITOR_LOG: {words:?} is not understood: {error}; write such as monitor_os=debug"
            ));
            return;
        }
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Traced)
        .with_ansi(io::stderr().is_terminal())
        // Its own complaint would go to standard error past the queue.
        .log_internal_errors(false)
        .finish();
    // It can be set once, and nobody has done it before.
    tracing::subscriber::set_global_default(subscriber).ok();
}

/// Takes what is traced, an event with each write, on whichever thread that happens.
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
