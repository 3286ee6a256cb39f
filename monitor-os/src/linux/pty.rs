//! A terminal of a program's own.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::by_identity::ByIdentity;

/// The terminal on which a command runs: a new one for each run, all of one size.
///
/// It is the controlling terminal of the run's session, so that its keys send signals and its end
/// is a hang-up. Clones share one terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal(ByIdentity<Mutex<TerminalState>>);

#[derive(Debug)]
struct TerminalState {
    size: TerminalSize,
    /// The monitor's side in the current run.
    master: Weak<OwnedFd>,
}

/// The size of a terminal, in characters; 0 means unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TerminalSize {
    /// The number of lines.
    pub rows: u16,
    /// The number of characters in a line.
    pub columns: u16,
}

impl Terminal {
    /// Describes a terminal of this size.
    #[must_use]
    pub fn new(size: TerminalSize) -> Self {
        Self(ByIdentity::new(Mutex::new(TerminalState { size, master: Weak::new() })))
    }

    /// Changes the size for the current run, which gets SIGWINCH, and for later runs.
    pub fn resize(&self, size: TerminalSize) {
        let mut state = self.state();
        state.size = size;
        if let Some(master) = state.master.upgrade() {
            set_size(&master, size);
        }
    }

    /// Makes the terminal of a run: the monitor's side, which does not block, and the program's
    /// side.
    ///
    /// # Errors
    /// No terminal or descriptor left (`ptmx(4)`); nothing changed.
    pub(crate) fn open(&self) -> Result<(Arc<OwnedFd>, OwnedFd), Errno> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        unlockpt(&master)?;
        let program = ioctl_tiocgptpeer(&master, flags)?;
        fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)?;
        let master = Arc::new(master);
        let mut state = self.state();
        set_size(&master, state.size);
        state.master = Arc::downgrade(&master);
        Ok((master, program))
    }

    /// A panic of another thread leaves the size consistent.
    fn state(&self) -> MutexGuard<'_, TerminalState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set_size(master: &OwnedFd, size: TerminalSize) {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // A terminal of this process accepts every size.
    tcsetwinsize(master, size).ok();
}
