//! A command that asks from outside whether a program is well.

use std::ffi::OsString;

use monitor_core::Millis;

use crate::command::arguments::ArgVector;
use crate::command::command_error::CommandError;

/// A command that is run while a program serves, and fails where that is not well.
///
/// It has the environment, user, directory and limits of the program, no input, and nobody reads its output. It is run
/// again the interval after its last end, so there are never two. At its timeout it is killed with its group, which
/// counts as a failure, as does every exit status but 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    pub(crate) words: ArgVector,
    pub(crate) interval: Millis,
    pub(crate) timeout: Millis,
    pub(crate) retries: u32,
    pub(crate) start_delay: Option<Millis>,
}

impl HealthCheck {
    /// A check every 30 s, which may take 30 s; three failures in a row make a program unhealthy.
    ///
    /// # Errors
    /// As [`Command::new`](crate::Command::new).
    pub fn new<I>(program: impl Into<OsString>, args: I) -> Result<Self, CommandError>
    where
        I: IntoIterator<Item: Into<OsString>>,
    {
        let words = ArgVector::new(program, args)?;
        let (interval, timeout) = (Millis::from_secs(30), Millis::from_secs(30));
        Ok(Self { words, interval, timeout, retries: 3, start_delay: None })
    }

    /// Waits this long between the end of a check and the next one, at least 1 ms.
    ///
    /// # Errors
    /// [`CommandError::HealthZero`].
    pub fn with_interval(mut self, interval: Millis) -> Result<Self, CommandError> {
        self.interval = positive("interval", interval)?;
        Ok(self)
    }

    /// Kills a check that takes longer, at least 1 ms.
    ///
    /// # Errors
    /// [`CommandError::HealthZero`].
    pub fn with_timeout(mut self, timeout: Millis) -> Result<Self, CommandError> {
        self.timeout = positive("timeout", timeout)?;
        Ok(self)
    }

    /// How many failures in a row make a program unhealthy, at least 1.
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

    /// Waits this long before the first check of a run, from the moment at which it serves; else the interval.
    #[must_use]
    pub const fn with_start_delay(mut self, delay: Millis) -> Self {
        self.start_delay = Some(delay);
        self
    }
}

const fn positive(item: &'static str, time: Millis) -> Result<Millis, CommandError> {
    if time.as_u32() == 0 { Err(CommandError::HealthZero { item }) } else { Ok(time) }
}
