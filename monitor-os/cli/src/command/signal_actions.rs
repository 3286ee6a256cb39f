//! The actions of signals to `monitor run` and `monitor up`.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use monitor_core::Signal;
use monitor_os::{SignalAnswer, StopSignals};
use nix::sys::signal::{SigSet, SigmaskHow};

use crate::view::diagnostics;
use crate::view::diagnostics::{MONITOR_FAILED, say};

/// The action of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignalAction {
    /// Stops the commands as their policies say, and ends the monitor.
    Stop,
    /// Kills the commands at once, and ends the monitor.
    Kill,
    /// Reads the files again; without files, stops.
    Reload,
    /// Forwards the signal to the command.
    Forward(Signal),
}

/// Whether signals are forwarded to the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forwarding {
    On,
    Off,
    /// The command line has no option for it.
    Impossible,
}

/// Follows the signals to the monitor on a thread of its own, from before anything that may block.
///
/// The actions of signals that come while the monitor starts are carried out when the units exist.
/// If that takes longer than [`START_LIMIT`] after a stop, as where a disk hangs, the program ends.
/// A kill ends it at once.
#[derive(Clone)]
pub(crate) struct SignalFollower(Arc<FollowerShared>);

struct FollowerShared {
    state: Mutex<FollowerState>,
    /// Signals that the units exist.
    served: Condvar,
}

enum FollowerState {
    /// The units do not exist yet; these actions follow when they do.
    Starting(Vec<SignalAction>),
    Serving(Box<dyn FnMut(SignalAction) + Send>),
}

impl fmt::Debug for SignalFollower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignalFollower")
    }
}

impl SignalFollower {
    /// Starts the thread, which ends with the program and blocks all signals.
    ///
    /// # Errors
    /// No thread or memory left; nothing was started.
    pub(crate) fn begin(signals: StopSignals, forwarding: Forwarding) -> io::Result<Self> {
        let follower = Self(Arc::new(FollowerShared {
            state: Mutex::new(FollowerState::Starting(Vec::new())),
            served: Condvar::new(),
        }));
        let own = follower.clone();
        // Blocked before it begins: others block further signals later, which no thread may get
        // then.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let thread = thread::Builder::new()
            .name("monitor-signals".into())
            .spawn(move || follow(&signals, forwarding, |action| own.carry_out(action)));
        before.thread_set_mask()?;
        thread.map(|_| follower)
    }

    /// The units exist: carries out what was asked for until now, and from now on.
    pub(crate) fn serve(&self, mut carry_out: impl FnMut(SignalAction) + Send + 'static) {
        let mut state = self.lock();
        if let FollowerState::Starting(actions) = &mut *state {
            actions.drain(..).for_each(&mut carry_out);
        }
        *state = FollowerState::Serving(Box::new(carry_out));
        drop(state);
        self.0.served.notify_all();
    }

    fn carry_out(&self, action: SignalAction) {
        match &mut *self.lock() {
            FollowerState::Serving(carry_out) => carry_out(action),
            FollowerState::Starting(actions) => {
                match action {
                    SignalAction::Kill => give_up("killed while it started"),
                    SignalAction::Stop if !actions.contains(&action) => self.begin_limit(),
                    SignalAction::Stop | SignalAction::Reload | SignalAction::Forward(_) => {}
                }
                if !actions.contains(&action) {
                    actions.push(action);
                }
            }
        }
    }

    /// Ends the program unless the units exist in time.
    fn begin_limit(&self) {
        let own = self.clone();
        let limit = move || {
            let starts = |state: &mut FollowerState| matches!(state, FollowerState::Starting(_));
            let waited = own.0.served.wait_timeout_while(own.lock(), START_LIMIT, starts);
            let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if matches!(&*state, FollowerState::Starting(_)) {
                give_up("stopped while it started: a file that it opens takes longer than 5s");
            }
        };
        // It inherits the mask of this thread, which blocks all signals.
        if thread::Builder::new().name("monitor-start".into()).spawn(limit).is_err() {
            give_up("stopped while it started");
        }
    }

    /// A panic elsewhere leaves the state whole.
    fn lock(&self) -> MutexGuard<'_, FollowerState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the program, of which the main thread may hang in a call.
fn give_up(why: &str) -> ! {
    say(&format_args!("monitor: {why}; no program was started"));
    diagnostics::flush();
    process::exit(MONITOR_FAILED.into());
}

/// Carries out what signals to the monitor ask for, by the table of [`SignalAnswer`], until the
/// program ends. One that asks for nothing is said when it comes first.
fn follow(signals: &StopSignals, forwarding: Forwarding, mut carry_out: impl FnMut(SignalAction)) {
    let mut interrupts = 0_u32;
    let mut said = BTreeSet::new();
    while let Ok(arrived) = signals.wait() {
        for signal in arrived {
            if forwarding == Forwarding::On && SignalAnswer::is_forwarded(signal) {
                carry_out(SignalAction::Forward(signal));
                continue;
            }
            match SignalAnswer::of(signal) {
                SignalAnswer::Stop => carry_out(SignalAction::Stop),
                SignalAnswer::Interrupt => {
                    interrupts = interrupts.saturating_add(1);
                    carry_out(if interrupts >= 2 {
                        SignalAction::Kill
                    } else {
                        SignalAction::Stop
                    });
                }
                SignalAnswer::HangUp => carry_out(SignalAction::Reload),
                // Of these only what is ignored can come; a later release may have other answers.
                SignalAnswer::Ignore
                | SignalAnswer::Default
                | SignalAnswer::Fault
                | SignalAnswer::Uncatchable
                | SignalAnswer::Library
                | _ => {
                    if said.insert(signal) {
                        say_ignored(signal, forwarding);
                    }
                }
            }
        }
    }
}

fn say_ignored(signal: Signal, forwarding: Forwarding) {
    let hint = if forwarding == Forwarding::Off && SignalAnswer::is_forwarded(signal) {
        "; --forward-signals gives it on to the command"
    } else {
        ""
    };
    say(&format_args!("monitor: ignored signal {signal}, which asks a monitor for nothing{hint}"));
}

/// How long a start may go on after a stop was asked for.
const START_LIMIT: Duration = Duration::from_secs(5);
