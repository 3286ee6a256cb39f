//! The behaviour while a sink takes nothing.

/// Behaviour while a sink takes nothing, because its reader is slow or its disk is full.
///
/// A disk that hangs in the middle of a write holds up all captured streams of the supervisor, and
/// nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SlowSink {
    /// Reading stops, so the program waits when its pipe is full (64 KiB).
    ///
    /// A failed write is retried every second.
    #[default]
    Block,
    /// Lines for that sink are dropped and counted.
    ///
    /// A line reports their number when the sink takes bytes again.
    DropNewest,
}
