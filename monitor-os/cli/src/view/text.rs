//! Short texts: times, sizes, counts, and lines of a command.

use std::fmt;

use anstyle::{AnsiColor, Style};

/// The colour of a phase, by its name. Another release may have other names.
pub(super) fn phase_style(phase: &str, down: bool) -> Style {
    match phase {
        "running" | "healthy" => AnsiColor::Green.on_default(),
        "killing" | "purging" | "aborting" => AnsiColor::Red.on_default(),
        _ if down => AnsiColor::Red.on_default(),
        _ => AnsiColor::Yellow.on_default(),
    }
}

pub(super) const fn plural(count: u64, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

/// Milliseconds by the two largest units, `1h2m`, `3m4s`, or as `5.67s` below a minute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub(crate) u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000;
        let (minutes, hours) = (seconds / 60, seconds / 3_600);
        match (hours / 24, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds}.{:02}s", self.0 % 1_000 / 10),
            (0, 0, _) => write!(f, "{minutes}m{}s", seconds % 60),
            (0, _, _) => write!(f, "{hours}h{}m", minutes % 60),
            (days, _, _) => write!(f, "{days}d{}h", hours % 24),
        }
    }
}

/// Bytes with one decimal, in units of 1024.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByteSize(pub(crate) u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shift, unit) = match self.0 {
            0..0x10_0000 => (10, "KiB"),
            0x10_0000..0x4000_0000 => (20, "MiB"),
            0x4000_0000.. => (30, "GiB"),
        };
        let tenths = (self.0 >> (shift - 10)).saturating_mul(10) >> 10;
        write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

/// A line of the command without control characters, so that it cannot affect a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_short() {
        for (ms, text) in [
            (0, "0.00s"),
            (59_999, "59.99s"),
            (60_000, "1m0s"),
            (3_599_999, "59m59s"),
            (3_660_000, "1h1m"),
            (90_000_000, "1d1h"),
        ] {
            assert_eq!(Time(ms).to_string(), text);
        }
        for (bytes, text) in [
            (0, "0.0 KiB"),
            (1_536, "1.5 KiB"),
            (0x10_0000, "1.0 MiB"),
            (0x18_0000, "1.5 MiB"),
            (0x4000_0000, "1.0 GiB"),
            (u64::MAX, "17179869183.9 GiB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }
}
