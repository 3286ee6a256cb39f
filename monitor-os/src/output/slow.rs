//! What happens while a sink takes nothing.

/// What happens while a sink takes nothing: its reader is slow, or its disk is full.
///
/// A disk that hangs in the middle of a write holds up all captured streams of the supervisor, and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Slow {
    /// Nothing is read, so that the program waits when its pipe is full (64 KiB). A write that failed is tried
    /// again every second.
    #[default]
    Block,
    /// What comes is dropped for that sink and counted, and a line says how many are missing when it takes
    /// something again.
    DropNewest,
}
