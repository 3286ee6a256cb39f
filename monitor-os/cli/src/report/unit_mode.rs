//! Whether a monitor has one unit or many.

/// Whether a monitor has one unit or many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnitMode {
    One,
    Many,
}
