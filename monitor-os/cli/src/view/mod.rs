//! What is printed, and how it gets to the terminal.

pub(crate) mod diagnostics;
pub(crate) mod event_line;
pub(crate) mod line_queue;
pub(crate) mod status_view;
pub(crate) mod table;
pub(crate) mod terminal;
pub(crate) mod text;
