//! The answers of a monitor to all 64 signals, and the wait for them.

use std::io;

use monitor_core::Signal;
use nix::sys::signal::{SigSet, Signal as NativeSignal};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::linux::signals::{Signals, ignored};

/// Answer of a monitor to a signal; [`SignalAnswer::of`] is the table of all 64.
///
/// No signal leaves a program without a monitor. A stop ends the programs first. If a signal kills
/// the monitor itself, the program of a unit in a [`StateDir`](crate::StateDir) continues for the
/// next monitor. The kernel kills any other program, unless it has changed its credentials: see
/// [`Launcher`](crate::Launcher).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignalAnswer {
    /// Stops the programs by their policies, then ends the monitor: TERM, QUIT, PWR and 37
    /// (RTMIN+3).
    ///
    /// LXC halts its containers by PWR. RTMIN+3 halts systemd.
    Stop,
    /// Stops as [`SignalAnswer::Stop`]; the second INT kills the programs at once.
    Interrupt,
    /// Reads the files again, if the monitor has files; otherwise stops: HUP.
    HangUp,
    /// Has no effect, though by default it would kill the monitor.
    ///
    /// These are USR1, USR2, ALRM, STKFLT, XCPU, XFSZ, VTALRM, PROF, IO and the other real-time
    /// signals.
    Ignore,
    /// Has the kernel's default effect, which does not kill.
    ///
    /// CHLD, URG and WINCH do nothing. TSTP, TTIN, TTOU and CONT stop and continue the monitor. A
    /// program in Rust ignores PIPE from its start.
    Default,
    /// Kills the monitor, because the monitor itself is at fault: ILL, TRAP, ABRT, BUS, FPE, SEGV,
    /// SYS.
    Fault,
    /// Cannot be caught: KILL and STOP.
    Uncatchable,
    /// Belongs to the C library, which prevents its blocking: 32 and 33.
    ///
    /// The signal kills while the library does not use it.
    Library,
}

impl SignalAnswer {
    /// Returns the answer to a signal, by the numbers of x86 and ARM.
    ///
    /// # Source
    /// `signal(7)`; `lxc.container.conf(5)`, `lxc.signal.halt`; `systemd(1)`, SIGRTMIN+3;
    /// `nptl(7)`.
    #[must_use]
    pub const fn of(signal: Signal) -> Self {
        match signal.number() {
            3 | 15 | 30 | 37 => Self::Stop,
            2 => Self::Interrupt,
            1 => Self::HangUp,
            10 | 12 | 14 | 16 | 24..=27 | 29 | 34..=36 | 38.. => Self::Ignore,
            13 | 17 | 18 | 20..=23 | 28 => Self::Default,
            4..=8 | 11 | 31 => Self::Fault,
            9 | 19 => Self::Uncatchable,
            0 | 32 | 33 => Self::Library,
        }
    }

    /// Whether a monitor that forwards signals forwards this one to its program instead of
    /// answering it.
    ///
    /// These are HUP, QUIT, USR1, USR2, ALRM, CONT and WINCH.
    #[must_use]
    pub const fn is_forwarded(signal: Signal) -> bool {
        matches!(signal.number(), 1 | 3 | 10 | 12 | 14 | 18 | 28)
    }

    const fn is_waited_for(self) -> bool {
        match self {
            Self::Stop | Self::Interrupt | Self::HangUp | Self::Ignore => true,
            Self::Default | Self::Fault | Self::Uncatchable | Self::Library => false,
        }
    }
}

/// The signals to this process that a monitor answers, waited for instead of handled.
///
/// Make it in the first thread, before any other is started, so that all threads block the signals.
/// Wait on a thread that has no other work. A signal that was ignored at the start of the program
/// stays ignored, as `nohup` needs.
#[derive(Debug)]
pub struct StopSignals {
    signals: Signals,
    /// Bit n - 1 stands for signal n.
    ignored: u64,
}

impl StopSignals {
    /// Blocks the answered signals in the calling thread and in the threads that it starts later.
    ///
    /// These are all signals with the answer [`SignalAnswer::Stop`],
    /// [`Interrupt`](SignalAnswer::Interrupt), [`HangUp`](SignalAnswer::HangUp) or
    /// [`Ignore`](SignalAnswer::Ignore). [`SignalAnswer::of`] gives the answer to a received
    /// signal.
    ///
    /// # Errors
    /// No descriptor left, no memory (`signalfd(2)`), or no `/proc`; the signals may be blocked
    /// even then.
    pub fn new() -> io::Result<Self> {
        Self::of(|signal| SignalAnswer::of(signal).is_waited_for())
    }

    /// Blocks the answered signals, and those that [`SignalAnswer::is_forwarded`] adds: CONT and
    /// WINCH.
    ///
    /// The first process of a PID namespace gets only signals that it waits for. Such a process
    /// therefore gets CONT and WINCH too.
    ///
    /// # Errors
    /// Those of [`StopSignals::new`].
    pub fn and_others() -> io::Result<Self> {
        Self::of(|signal| {
            SignalAnswer::of(signal).is_waited_for() || SignalAnswer::is_forwarded(signal)
        })
    }

    fn of(is_meant: impl Fn(Signal) -> bool) -> io::Result<Self> {
        // Real-time signals cannot be added by name, so the set starts with all and removes named
        // ones.
        let mut signals = SigSet::all();
        for named in NativeSignal::iterator() {
            let number = u8::try_from(named as i32).ok().and_then(Signal::new);
            if !number.is_some_and(&is_meant) {
                signals.remove(named);
            }
        }
        Ok(Self { ignored: ignored()?, signals: Signals::new(&signals)? })
    }

    /// Blocks the calling thread until signals have come.
    ///
    /// Several signals of one kind can appear as one. The list may be empty, because ignored
    /// signals are left out.
    ///
    /// # Errors
    /// None is known for this descriptor (`poll(2)`, `read(2)`).
    pub fn wait(&self) -> io::Result<Vec<Signal>> {
        match poll(&mut [PollFd::new(&self.signals, PollFlags::IN)], None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let numbers = self.signals.drain()?;
        let heard = numbers.into_iter().filter_map(Signal::new);
        Ok(heard.filter(|signal| self.ignored >> (signal.number() - 1) & 1 == 0).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Goal: each number has the documented answer.
    #[test]
    fn all_signals_have_an_answer() {
        use SignalAnswer::{Default, Fault, HangUp, Ignore, Interrupt, Library, Stop, Uncatchable};
        let named = [
            (Stop, "TERM QUIT PWR 37"),
            (Interrupt, "INT"),
            (HangUp, "HUP"),
            (Ignore, "USR1 USR2 ALRM STKFLT XCPU XFSZ VTALRM PROF IO"),
            (Default, "CHLD URG WINCH TSTP TTIN TTOU CONT PIPE"),
            (Fault, "ILL TRAP ABRT BUS FPE SEGV SYS"),
            (Uncatchable, "KILL STOP"),
            (Library, "32 33"),
        ];
        let mut expected: BTreeMap<u8, _> = (34..=64).map(|number| (number, Ignore)).collect();
        for (answer, names) in named {
            for name in names.split(' ') {
                expected.insert(name.parse::<Signal>().unwrap().number(), answer);
            }
        }
        assert!(expected.keys().copied().eq(1..=64));
        for (number, answer) in expected {
            assert_eq!(SignalAnswer::of(Signal::new(number).unwrap()), answer, "{number}");
        }
    }
}
