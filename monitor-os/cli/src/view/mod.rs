//! Printing for a person: texts, tables, lines, and the streams that take them.

pub(crate) mod diagnostics;
pub(crate) mod event_line;
pub(crate) mod line_queue;
pub(crate) mod status_view;
pub(crate) mod table;
pub(crate) mod terminal;
pub(crate) mod text;
