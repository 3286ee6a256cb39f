//! The stream of events of units, bounded so that a slow reader delays no other part.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use crate::backend::status::unit_status::UnitEvent;
use crate::block_on::block_on;

/// Stream of the events of one unit or of all units.
///
/// [`Unit::events`](crate::Unit::events) and [`Supervisor::events`](crate::Supervisor::events) make
/// it.
///
/// The supervisor never waits for a reader. The stream keeps the last [`Events::CAPACITY`] unread
/// notices and drops older ones. The first notice after such a gap counts the dropped ones in
/// [`UnitEvent::missed`]. The newest notice is never dropped. Each notice carries the status of its
/// unit.
#[derive(Debug)]
pub struct Events {
    shared: Arc<EventChannel>,
}

/// The end into which the reactor's thread puts notices; dropping it ends the stream.
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
    notices: VecDeque<UnitEvent>,
    reader: Option<Waker>,
    /// Whether the supervisor has ended.
    over: bool,
}

/// Makes both ends of a stream.
pub(crate) fn events() -> (Subscriber, Events) {
    let shared = Arc::new(EventChannel::default());
    (Subscriber { shared: Arc::downgrade(&shared) }, Events { shared })
}

impl Events {
    /// The most unread notices that a stream keeps, of some 400 bytes each.
    pub const CAPACITY: usize = 4096;

    /// Waits for the next notice; `None` when the supervisor has ended. A cancelled wait loses
    /// nothing.
    pub async fn next(&mut self) -> Option<UnitEvent> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Waits for the next notice on a thread outside of async code.
    pub fn blocking_next(&mut self) -> Option<UnitEvent> {
        block_on(self.next())
    }

    fn poll_next(&self, context: &Context<'_>) -> Poll<Option<UnitEvent>> {
        let mut queue = self.shared.lock();
        match queue.notices.pop_front() {
            Some(notice) => {
                if queue.notices.is_empty() {
                    // A burst's memory is released.
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
    pub(crate) fn notify(&self, notice: &UnitEvent) -> bool {
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

/// Releases the lock, then wakes the reader, because a waker may run the reader at once.
fn wake(mut queue: MutexGuard<'_, EventQueue>) {
    let reader = queue.reader.take();
    drop(queue);
    if let Some(reader) = reader {
        reader.wake();
    }
}

impl EventChannel {
    /// A panic of another thread leaves the queue consistent.
    fn lock(&self) -> MutexGuard<'_, EventQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const CAPACITY_KEPT: usize = 64;
