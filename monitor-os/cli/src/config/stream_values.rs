//! The values of options for streams, and how each is read.

use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use monitor_core::whole_number;
use monitor_os::{Rotation, SlowSink};

/// The source of standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StdinOption {
    Inherit,
    Null,
    Pipe,
    File(PathBuf),
}

impl fmt::Display for StdinOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inherit => f.write_str("inherit"),
            Self::Null => f.write_str("null"),
            Self::Pipe => f.write_str("pipe"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl FromStr for StdinOption {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "inherit" => Ok(Self::Inherit),
            "null" => Ok(Self::Null),
            "pipe" => Ok(Self::Pipe),
            text => path(text).map(Self::File).ok_or("write inherit, null, pipe or file:PATH"),
        }
    }
}

/// The target of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OutputOption {
    Inherit,
    Null,
    Log,
    Stdout,
    File(PathBuf),
}

impl fmt::Display for OutputOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inherit => f.write_str("inherit"),
            Self::Null => f.write_str("null"),
            Self::Log => f.write_str("log"),
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl FromStr for OutputOption {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "inherit" => Ok(Self::Inherit),
            "null" => Ok(Self::Null),
            "log" => Ok(Self::Log),
            "stdout" => Ok(Self::Stdout),
            text => path(text)
                .map(Self::File)
                .ok_or("write inherit, null, log, file:PATH, or for stderr stdout"),
        }
    }
}

fn path(text: &str) -> Option<PathBuf> {
    text.strip_prefix("file:").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// What happens while a log accepts nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhenSlow {
    /// The command waits when its pipe is full
    Block,
    /// The monitor drops new lines; a line says how many
    Drop,
}

impl From<WhenSlow> for SlowSink {
    fn from(slow: WhenSlow) -> Self {
        match slow {
            WhenSlow::Block => Self::Block,
            WhenSlow::Drop => Self::DropNewest,
        }
    }
}

/// A number of bytes: `4096`, `64K`, `10M`, `1G`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingSize(pub(crate) usize);

impl FromStr for RingSize {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shift = match text.as_bytes().last() {
            Some(b'K') => 10,
            Some(b'M') => 20,
            Some(b'G') => 30,
            Some(_) | None => 0,
        };
        let digits = if shift == 0 { text } else { text.get(..text.len() - 1).unwrap_or_default() };
        let size = whole_number::<usize>(digits).and_then(|number| number.checked_mul(1 << shift));
        size.map(Self).ok_or("write bytes such as 4096, 64K, 10M or 1G")
    }
}

/// Reads `SIZE:COUNT`.
pub(crate) fn rotation(text: &str) -> Result<Rotation, &'static str> {
    let parts = text.split_once(':').and_then(|(size, kept)| {
        let size = size.parse::<RingSize>().ok()?;
        let size_bytes = NonZeroU64::new(u64::try_from(size.0).ok()?)?;
        Some(Rotation { size_bytes, kept: whole_number(kept)? })
    });
    parts.ok_or("write SIZE:COUNT, such as 10M:5, for 5 old files of at most 10 MiB")
}

/// How many bytes of captured lines the monitor keeps by default.
pub(crate) const RING_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_rotations_are_read() {
        for (text, size) in
            [("0", 0), ("4096", 4096), ("64K", 65536), ("2M", 2 << 20), ("1G", 1 << 30)]
        {
            assert_eq!(text.parse(), Ok(RingSize(size)));
        }
        for text in ["", "K", "1T", "-1", "+1", "64 K", "99999999999G"] {
            assert!(text.parse::<RingSize>().is_err(), "{text}");
        }
        assert_eq!(
            rotation("10M:5").map(|r| (r.size_bytes.get(), r.kept.get())),
            Ok((10 << 20, 5))
        );
        for text in ["10M", "10M:0", "0:5", "10M:x", "10M:+5", ":"] {
            assert!(rotation(text).is_err(), "{text}");
        }
    }

    #[test]
    fn places_are_read() {
        assert_eq!("file:/x y".parse(), Ok(OutputOption::File("/x y".into())));
        assert_eq!("pipe".parse(), Ok(StdinOption::Pipe));
        for text in ["", "file:", "/x", "pipe"] {
            assert!(text.parse::<OutputOption>().is_err(), "{text}");
        }
    }
}
