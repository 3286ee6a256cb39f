//! Reports about units and their events, as data and as texts.

pub(crate) mod event_entry;
pub(crate) mod event_formatter;
pub(crate) mod event_text;
pub(crate) mod history;
pub(crate) mod last_lines;
pub(crate) mod log_line;
pub(crate) mod process_tree;
pub(crate) mod status_report;
pub(crate) mod stop_outcome;
pub(crate) mod unit_mode;
