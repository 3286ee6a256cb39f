//! A command that checks the health of a program from outside.

use std::ffi::OsString;

use monitor_core::Millis;

use crate::command::arguments::ArgVector;
use crate::command::command_error::CommandError;

/// A command that runs repeatedly while a program serves, and fails if the program is unhealthy.
///
/// The check has the environment, user, directory and limits of the program. It has no input, and
/// its output is discarded. The next check starts the interval after the end of the last one, so
/// two never run at once. At its timeout a check is killed with its group, which counts as a
/// failure. Any exit status other than 0 is a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    pub(crate) words: ArgVector,
    pub(crate) interval: Millis,
    pub(crate) timeout: Millis,
    pub(crate) retries: u32,
    pub(crate) start_delay: Option<Millis>,
}

impl HealthCheck {
    /// A check every 30 s, with a timeout of 30 s and 3 failures in a row.
    ///
    /// # Errors
    /// Those of [`Command::new`](crate::Command::new).
    pub fn new<I>(program: impl Into<OsString>, args: I) -> Result<Self, CommandError>
    where
        I: IntoIterator<Item: Into<OsString>>,
    {
        let words = ArgVector::new(program, args)?;
        let (interval, timeout) = (Millis::from_secs(30), Millis::from_secs(30));
        Ok(Self { words, interval, timeout, retries: 3, start_delay: None })
    }

    /// Sets the wait between the end of a check and the next one, at least 1 ms.
    ///
    /// # Errors
    /// [`CommandError::HealthZero`].
    pub fn with_interval(mut self, interval: Millis) -> Result<Self, CommandError> {
        self.interval = positive("interval", interval)?;
        Ok(self)
    }

    /// Sets the timeout of a check, at least 1 ms; a check that runs longer is killed.
    ///
    /// # Errors
    /// [`CommandError::HealthZero`].
    pub fn with_timeout(mut self, timeout: Millis) -> Result<Self, CommandError> {
        self.timeout = positive("timeout", timeout)?;
        Ok(self)
    }

    /// Sets the number of failures in a row that make a program unhealthy, at least 1.
    ///
    /// # Errors
    /// [`CommandError::HealthZero`].
    pub fn with_retries(mut self, retries: u32) -> Result<Self, CommandError> {
        if retries == 0 {
            return Err(CommandError::HealthZero { item: "retries" });
        }
        self.retries = retries;
        Ok(self)
    }

    /// Sets the wait from the start of serving to the first check of a run; the default is the
    /// interval.
    #[must_use]
    pub const fn with_start_delay(mut self, delay: Millis) -> Self {
        self.start_delay = Some(delay);
        self
    }
}

const fn positive(item: &'static str, time: Millis) -> Result<Millis, CommandError> {
    if time.as_u32() == 0 { Err(CommandError::HealthZero { item }) } else { Ok(time) }
}
