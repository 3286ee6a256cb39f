//! What is shown of a unit: the reactor's thread writes it, and the handles read it and wait for it.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::status::Status;

/// A unit as its handles see it. There is one for each unit, so it is small: a `watch` of the other library has eight
/// lists of waiters, and its handle another allocation.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) name: Arc<str>,
    /// How many wishes were sent. Locked while sending, so that they are heard in the order of counting.
    pub(super) wishes: Mutex<u64>,
    now: Mutex<Now>,
    changed: Notify,
}

#[derive(Debug)]
struct Now {
    status: Status,
    /// Whether nothing will change any more.
    over: bool,
}

impl Shown {
    pub(super) fn new(name: Arc<str>, status: Status) -> Self {
        let now = Mutex::new(Now { status, over: false });
        Self { name, wishes: Mutex::new(0), now, changed: Notify::new() }
    }

    /// How it is.
    pub(super) fn status(&self) -> Status {
        self.now().status.clone()
    }

    /// Asks something of how it is, without a copy.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&Status) -> T) -> T {
        question(&self.now().status)
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    /// The last status, if it will not hold.
    pub(super) async fn wait_for(
        &self,
        mut condition: impl FnMut(&Status) -> bool + Send,
    ) -> Result<Status, Status> {
        loop {
            // Made before the look, so that no change between the two goes unheard.
            let changed = self.changed.notified();
            let (status, over) = {
                let now = self.now();
                (now.status.clone(), now.over)
            };
            // Asked of a copy: a condition may look at the unit itself.
            match (condition(&status), over) {
                (true, _) => return Ok(status),
                (false, true) => return Err(status),
                (false, false) => changed.await,
            }
        }
    }

    /// A panic elsewhere leaves it whole: it is written field by field, from values that are ready.
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end at which it is written. When it is dropped, nothing will change any more.
#[derive(Debug)]
pub(super) struct Showing(Arc<Shown>);

impl Showing {
    pub(super) const fn new(shown: Arc<Shown>) -> Self {
        Self(shown)
    }

    /// Changes it, and wakes those who wait.
    pub(super) fn change(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.0.now().status);
        self.0.changed.notify_waiters();
    }
}

impl Deref for Showing {
    type Target = Shown;

    fn deref(&self) -> &Shown {
        &self.0
    }
}

impl Drop for Showing {
    fn drop(&mut self) {
        self.0.now().over = true;
        self.0.changed.notify_waiters();
    }
}
