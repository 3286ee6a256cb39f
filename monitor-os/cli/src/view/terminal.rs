//! The terminal of the monitor in raw mode, for a command that runs on a terminal of its own.

use std::io::stdin;
use std::thread;

use monitor_os::{Terminal, TerminalSize};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use rustix::termios::{
    OptionalActions, OutputModes, QueueSelector, Termios, tcflush, tcgetattr, tcgetwinsize,
    tcsetattr,
};

/// A terminal in raw mode. Keys go to the command as they are. Dropping this restores the terminal.
#[derive(Debug)]
pub(crate) struct RawTerminal {
    before: Option<Termios>,
}

impl RawTerminal {
    /// Sets the terminal to raw mode, if the standard input is one, and passes its size on to the
    /// command's terminal. Every other thread must block SIGWINCH.
    pub(crate) fn enter(to: Terminal) -> Self {
        let before = tcgetattr(stdin()).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            // The monitor's own lines begin at the left, and those of the command are not changed
            // by it.
            raw.output_modes |= before.output_modes & (OutputModes::OPOST | OutputModes::ONLCR);
            tcsetattr(stdin(), OptionalActions::Flush, &raw).ok();
            let mut resized = SigSet::empty();
            resized.add(Signal::SIGWINCH);
            // Without either the command keeps the size that it had.
            if resized.thread_block().is_ok()
                && let Ok(signals) = SignalFd::new(&resized)
            {
                let follow = move || {
                    while signals.read_signal().is_ok() {
                        to.resize(size());
                    }
                };
                // Ends with the program: it has nothing to clean up.
                drop(thread::Builder::new().name("monitor-size".into()).spawn(follow));
            }
        }
        Self { before }
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // Keys that were typed for the command are not for a shell. `Flush` would do the same,
            // and wait until the terminal has taken all output: one that is stopped (Ctrl-S) never
            // has. A terminal that is gone needs nothing.
            tcflush(stdin(), QueueSelector::IFlush).ok();
            tcsetattr(stdin(), OptionalActions::Now, before).ok();
        }
    }
}

/// The size of the monitor's terminal, or the default size for another input.
pub(crate) fn size() -> TerminalSize {
    tcgetwinsize(stdin()).map_or_else(
        |_| TerminalSize::default(),
        |size| TerminalSize { rows: size.ws_row, columns: size.ws_col },
    )
}
