//! What `monitor run` and `monitor up` are asked for by signals.

use std::collections::BTreeSet;

use monitor_core::Signal;
use monitor_os::{SignalAnswer, StopSignals};

use crate::diagnostics::say;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignalAction {
    /// To stop the programs as their policies say, and to end.
    Stop,
    /// To kill the programs at once, and to end.
    Kill,
    /// To read the files again; without files, to stop.
    Reload,
    /// To give the signal on to the program.
    Forward(Signal),
}

/// Whether signals are forwarded to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forwarding {
    On,
    Off,
    /// There is no option for it.
    Impossible,
}

/// Carries out what signals to the monitor ask for, by the table of [`SignalAnswer`], until the program ends.
/// One that asks for nothing is said when it comes first.
pub(crate) fn follow(
    signals: &StopSignals,
    forwarding: Forwarding,
    mut carry_out: impl FnMut(SignalAction),
) {
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
