//! The stream of what happens to units: bounded, so that a slow reader holds nobody up.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use crate::backend::status::unit_status::Notice;
use crate::block_on::block_on;

/// A stream of what happens to a unit, or to all; made by [`Unit::events`](crate::Unit::events) and
/// [`Supervisor::events`](crate::Supervisor::events).
///
/// The supervisor never waits for a reader. It keeps the last [`Events::CAPACITY`] unread notices and drops
/// older ones. The first notice after such a gap counts them in [`Notice::missed`]. The newest notice of
/// all is never dropped, and each carries the status of its unit.
#[derive(Debug)]
pub struct Events {
    shared: Arc<EventChannel>,
}

/// The end into which the reactor's thread puts notices. Dropped, it ends the stream.
#[derive(Debug)]
pub(crate) struct Subscriber {
    shared: Weak<EventChannel>,
}

#[derive(Debug, Default)]
struct EventChannel {
    queue: Mutex<EventQueue>,
}

#[derive(Debug, Default)]
struct EventQueue {
    notices: VecDeque<Notice>,
    reader: Option<Waker>,
    /// Whether the supervisor has ended.
    over: bool,
}

/// Both ends of a stream.
pub(crate) fn events() -> (Subscriber, Events) {
    let shared = Arc::new(EventChannel::default());
    (Subscriber { shared: Arc::downgrade(&shared) }, Events { shared })
}

impl Events {
    /// How many unread notices a stream keeps, of some 400 bytes each.
    pub const CAPACITY: usize = 4096;

    /// The next one; `None` when the supervisor has ended. Cancelling the wait loses nothing.
    pub async fn next(&mut self) -> Option<Notice> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The same for a thread outside of async code.
    pub fn blocking_next(&mut self) -> Option<Notice> {
        block_on(self.next())
    }

    fn poll_next(&self, context: &Context<'_>) -> Poll<Option<Notice>> {
        let mut queue = self.shared.lock();
        match queue.notices.pop_front() {
            Some(notice) => {
                if queue.notices.is_empty() {
                    // The memory of a burst is given back.
                    queue.notices.shrink_to(CAPACITY_KEPT);
                }
                Poll::Ready(Some(notice))
            }
            None if queue.over => Poll::Ready(None),
            None => {
                queue.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Subscriber {
    /// Puts a notice into the stream; returns whether the stream still has a reader.
    pub(crate) fn notify(&self, notice: &Notice) -> bool {
        let Some(shared) = self.shared.upgrade() else {
            return false;
        };
        let mut queue = shared.lock();
        queue.notices.push_back(notice.clone());
        if queue.notices.len() > Events::CAPACITY
            && let Some(dropped) = queue.notices.pop_front()
            && let Some(first) = queue.notices.front_mut()
        {
            first.missed += dropped.missed + 1;
        }
        wake(queue);
        true
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            let mut queue = shared.lock();
            queue.over = true;
            wake(queue);
        }
    }
}

/// Wakes the reader after the lock is released, since a waker may run the reader at once.
fn wake(mut queue: MutexGuard<'_, EventQueue>) {
    let reader = queue.reader.take();
    drop(queue);
    if let Some(reader) = reader {
        reader.wake();
    }
}

impl EventChannel {
    /// A panic elsewhere leaves the queue whole.
    fn lock(&self) -> MutexGuard<'_, EventQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const CAPACITY_KEPT: usize = 64;
