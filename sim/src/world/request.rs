//! Which events are requests.

use monitor_core::Event;

pub(super) const fn is_request(event: Event) -> bool {
    matches!(
        event,
        Event::StartRequested
            | Event::StopRequested { .. }
            | Event::RestartRequested { .. }
            | Event::SignalRequested { .. }
            | Event::ResetRequested
            | Event::RetryRequested
    )
}
