//! Catches panics of a machine under test and keeps them as findings.
//!
//! A search first asks the bare machine, because catching slows its hot loop. If something panics,
//! the search runs once more with a [`Guarded`] machine, which shows the step without an answer.
//!
//! Catching needs a build whose panics unwind, as those of this workspace do. A build with
//! `panic = "abort"` ends at the first panic.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use monitor_core::{Actions, Event, Note, Policy, State, Step};
use monitor_os::Machine;

use super::injected_bug::{InjectedBug, MachineUnderTest};

/// Runs `ask` and returns its panic as one line: the message, and where it was raised.
///
/// Nothing is printed. Panics of other threads, and those outside of `ask`, go to the hook that was
/// installed before.
///
/// # Errors
/// The line.
pub(crate) fn catch<T>(ask: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if CATCHING.get() {
                LAST.set(Some(line(panic)));
            } else {
                before(panic);
            }
        }));
    });
    let nested = CATCHING.replace(true);
    // After a panic, callers drop the machine under test, or ask it again from the beginning.
    let outcome = catch_unwind(AssertUnwindSafe(ask));
    CATCHING.set(nested);
    outcome.map_err(|payload| LAST.take().unwrap_or_else(|| text(&*payload)))
}

thread_local! {
    /// Set while [`catch`] catches the panics of this thread.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// The last caught panic.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn line(panic: &PanicHookInfo<'_>) -> String {
    let message = text(panic.payload()).split_whitespace().collect::<Vec<_>>().join(" ");
    panic.location().map_or_else(|| message.clone(), |place| format!("{message} ({place})"))
}

fn text(payload: &(dyn Any + Send)) -> String {
    let fixed = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    fixed
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// A machine whose panics are kept. Instead of a panic it answers that the event does not apply.
pub(crate) struct Guarded<'a> {
    machine: &'a dyn Machine,
    injected_bug: Option<InjectedBug>,
    refusal: Actions,
    panic: OnceCell<String>,
}

impl<'a> Guarded<'a> {
    /// Guards a machine under a backend with this injected bug. Instead of a panic it answers
    /// without an action.
    #[must_use]
    pub(crate) const fn new(machine: &'a dyn Machine, injected_bug: Option<InjectedBug>) -> Self {
        Self { machine, injected_bug, refusal: Actions::NONE, panic: OnceCell::new() }
    }

    /// Guards a machine for the exhaustive engine. Instead of a panic it gives an answer that every
    /// oracle refuses, so that the search ends there.
    #[must_use]
    pub(crate) const fn refusing(machine: &'a dyn Machine) -> Self {
        let refusal = Actions { persist: true, ..Actions::NONE };
        Self { machine, injected_bug: None, refusal, panic: OnceCell::new() }
    }

    /// Returns the first panic so far.
    #[must_use]
    pub(crate) fn panic(&self) -> Option<&str> {
        self.panic.get().map(String::as_str)
    }
}

impl Machine for &Guarded<'_> {
    fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
        catch(|| self.machine.step(policy, state, event)).unwrap_or_else(|line| {
            self.panic.get_or_init(|| line);
            Step { state, actions: self.refusal, note: Note::NotApplicable }
        })
    }
}

impl MachineUnderTest for &Guarded<'_> {
    fn injected_bug(&self) -> Option<InjectedBug> {
        self.injected_bug
    }
}

impl std::fmt::Debug for Guarded<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { injected_bug, refusal, panic, .. } = self;
        f.debug_struct("Guarded")
            .field("injected_bug", injected_bug)
            .field("refusal", refusal)
            .field("panic", panic)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_panic_comes_back_with_its_message_and_place_on_every_thread() {
        let asked = |n: u32| move || catch(|| assert_ne!(n, n, "no answer to\n{n}"));
        let threads: Vec<_> = (0..4).map(|n| (n, thread::spawn(asked(n)))).collect();
        for (n, thread) in threads {
            let line = thread.join().unwrap().unwrap_err();
            assert!(line.contains(&format!("no answer to {n}")), "{line}");
            assert!(line.contains("guard.rs:"), "{line}");
        }
        assert_eq!(catch(|| 5), Ok(5));
    }

    #[test]
    fn a_nested_catch_leaves_the_outer_one_as_it_is() {
        let outer = catch(|| {
            catch(|| panic!("inner")).unwrap_err();
            panic!("outer");
        });
        assert!(outer.unwrap_err().starts_with("outer ("));
    }
}
