//! The runner of a test file that has its own `main`: its tests may be skipped, and its program is
//! the helper that starts others.
//!
//! ```ignore
//! trials! { another_user_is_refused }
//!
//! fn another_user_is_refused() -> Outcome {
//!     require_root("become another user")?;
//!     Ok(())
//! }
//! ```
//!
//! A test that is missing in the list is dead code, which the lints refuse.

use std::process::ExitCode;
use std::thread;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use monitor_os::Launcher;
use rustix::process::geteuid;

/// The result of a test that may be skipped. A failure is a panic.
pub(crate) type Outcome = Result<(), Skipped>;

/// The reason for which a test was not run, which the runner prints beside its name.
#[derive(Debug)]
pub(crate) struct Skipped(pub(crate) String);

/// Skips the test where a condition does not hold.
pub(crate) fn require(condition: bool, otherwise: &str) -> Outcome {
    if condition { Ok(()) } else { Err(Skipped(otherwise.to_owned())) }
}

/// Skips the test where it does not run as root.
pub(crate) fn require_root(to: &str) -> Outcome {
    require(geteuid().is_root(), &format!("it takes root to {to}"))
}

/// A type that a test returns.
pub(crate) trait IntoOutcome {
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Ok(self)
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

/// This program as the helper, which [`run`] makes it.
pub(crate) fn launcher() -> Launcher {
    Launcher::at("/proc/self/exe")
}

/// Makes a test of a function.
pub(crate) fn trial<T: IntoOutcome + 'static>(name: &'static str, test: fn() -> T) -> Trial {
    Trial::ignorable_test(name, move || {
        // The report of a panic has the name of its thread.
        let thread = thread::Builder::new().name(name.to_owned());
        match thread.spawn(move || test().into_outcome()).unwrap().join() {
            Ok(Ok(())) => Ok(Completion::Completed),
            Ok(Err(Skipped(reason))) => Ok(Completion::ignored_with(reason)),
            Err(_) => Err(Failed::without_message()),
        }
    })
}

/// Runs the tests, or one of the `processes` that a test starts by its name, or the helper that
/// starts a program.
pub(crate) fn run(processes: &[(&str, fn())], trials: Vec<Trial>) -> ExitCode {
    // First of all: it does not return in the helper.
    let _launcher = Launcher::enter();
    let word = std::env::args().nth(1);
    match processes.iter().find(|(name, _)| Some(*name) == word.as_deref()) {
        Some((_, process)) => {
            process();
            ExitCode::SUCCESS
        }
        None => libtest_mimic::run(&Arguments::from_args(), trials).exit_code(),
    }
}

/// Makes `main` of the names of tests. `processes` are functions that a test runs in another
/// process of this program, by their name as its first argument.
macro_rules! trials {
    ($($test:path),* $(,)?) => {
        trials! { processes: []; $($test),* }
    };
    (processes: [$($process:path),*]; $($test:path),* $(,)?) => {
        fn main() -> std::process::ExitCode {
            trials::run(
                &[$((stringify!($process), $process)),*],
                vec![$(trials::trial(stringify!($test), $test)),*],
            )
        }
    };
}
pub(crate) use trials;
