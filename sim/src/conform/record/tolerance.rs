//! What a judge accepts of a driver.

use monitor_core::Millis;

use super::timers::WatchdogDelay;

/// What a judge accepts of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// How much later than its deadline a timer may fire.
    ///
    /// A monitor that was suspended for longer looks as if it had passed its deadlines over.
    pub late: Millis,
    /// How the driver chooses the delay of a watchdog.
    pub watchdog: WatchdogDelay,
}

/// Ten seconds, and the watchdog of the run.
impl Default for Tolerance {
    fn default() -> Self {
        Self { late: Millis::from_secs(10), watchdog: WatchdogDelay::OfRun }
    }
}
