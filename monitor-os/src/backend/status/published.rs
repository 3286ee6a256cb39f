//! The published status of a unit, written by the reactor's thread and read by the handles.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::backend::status::unit_status::Status;

/// Reads the status of a unit, and waits for changes.
///
/// Each unit has one, so it is small. A `watch` of tokio has eight lists of waiters, and its handle
/// needs another allocation.
#[derive(Debug)]
pub(crate) struct StatusReader {
    pub(crate) name: Arc<str>,
    /// The number of requests that were sent.
    ///
    /// It is locked while a request is sent, so that the reactor handles requests in the counted
    /// order.
    pub(crate) requests: Mutex<u64>,
    published: Mutex<Published>,
    changed: Notify,
}

#[derive(Debug)]
struct Published {
    status: Status,
    /// Whether the status is final.
    closed: bool,
}

impl StatusReader {
    pub(crate) fn new(name: Arc<str>, status: Status) -> Self {
        let published = Mutex::new(Published { status, closed: false });
        Self { name, requests: Mutex::new(0), published, changed: Notify::new() }
    }

    /// A copy of the status.
    pub(crate) fn status(&self) -> Status {
        self.published().status.clone()
    }

    /// Reads the status without a copy.
    pub(crate) fn read<T>(&self, reader: impl FnOnce(&Status) -> T) -> T {
        reader(&self.published().status)
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    /// The last status, if the condition cannot hold any more.
    pub(crate) async fn wait_for(
        &self,
        mut condition: impl FnMut(&Status) -> bool + Send,
    ) -> Result<Status, Status> {
        loop {
            // Made before the read, so that no change between the two is missed.
            let changed = self.changed.notified();
            let (status, closed) = {
                let published = self.published();
                (published.status.clone(), published.closed)
            };
            // Evaluated on a copy, because a condition may read this unit.
            match (condition(&status), closed) {
                (true, _) => return Ok(status),
                (false, true) => return Err(status),
                (false, false) => changed.await,
            }
        }
    }

    /// A panic of another thread leaves the status consistent: only complete values are assigned.
    fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the status of a unit; dropping it makes the status final.
#[derive(Debug)]
pub(crate) struct StatusWriter(Arc<StatusReader>);

impl StatusWriter {
    pub(crate) const fn new(shown: Arc<StatusReader>) -> Self {
        Self(shown)
    }

    /// Changes the status, and wakes the waiters.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.0.published().status);
        self.0.changed.notify_waiters();
    }
}

impl Deref for StatusWriter {
    type Target = StatusReader;

    fn deref(&self) -> &StatusReader {
        &self.0
    }
}

impl Drop for StatusWriter {
    fn drop(&mut self) {
        self.0.published().closed = true;
        self.0.changed.notify_waiters();
    }
}
