//! Progress bars.

use indicatif::{ProgressBar, ProgressStyle};

/// Makes a bar of `length` steps under a message.
pub(crate) fn bar(length: u64, message: &'static str) -> ProgressBar {
    templated(length, "{msg:<22} {wide_bar} {human_pos}/{human_len}  {per_sec}  {eta} left")
        .with_message(message)
}

/// Makes a bar of `length` steps, drawn by a template of `indicatif`.
pub(crate) fn templated(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
