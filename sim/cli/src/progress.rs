//! The bar that shows how far a search is.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of so many steps under a message.
pub(crate) fn bar(length: u64, message: &'static str) -> ProgressBar {
    templated(length, "{msg:<22} {wide_bar} {human_pos}/{human_len}  {per_sec}  {eta} left")
        .with_message(message)
}

/// A bar of so many steps, drawn by a template of `indicatif`.
pub(crate) fn templated(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
