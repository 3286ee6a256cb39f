//! The error that all text parsers share, and their parser of whole numbers.

use core::fmt;
use core::str::FromStr;

/// A text that cannot be read, with the kind of the value, the value and the fix.
///
/// Nothing was changed. The error holds the value up to its 40th byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    field: &'static str,
    value: Excerpt,
    fix: &'static str,
}

impl ParseError {
    pub(crate) fn new(field: &'static str, value: &str, fix: &'static str) -> Self {
        Self { field, value: Excerpt::new(value), fix }
    }

    /// The kind of the value.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// The value, cut at 40 bytes.
    #[must_use]
    pub fn value(&self) -> &str {
        self.value.as_str()
    }

    /// The fix.
    #[must_use]
    pub const fn fix(&self) -> &'static str {
        self.fix
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = if self.value.cut { "..." } else { "" };
        write!(f, "{}: {:?}{cut} is not understood: {}", self.field, self.value(), self.fix)
    }
}

impl core::error::Error for ParseError {}

/// The beginning of a text, held without allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Excerpt {
    bytes: [u8; 40],
    len: u8,
    cut: bool,
}

impl Excerpt {
    fn new(text: &str) -> Self {
        let mut bytes = [0; 40];
        let mut len = text.len().min(bytes.len());
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
        Self { bytes, len: len as u8, cut: len < text.len() }
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

/// Reads a number of digits alone; `None` for other characters, or outside the range of the type.
///
/// All texts of this crate read numbers by it. [`str::parse`] accepts a leading `+`, so a typing
/// error would be read, and one number would have two forms.
///
/// # Examples
/// ```
/// use monitor_core::whole_number;
/// assert_eq!(whole_number("7"), Some(7_u8));
/// assert_eq!(whole_number::<u8>("+7"), None);
/// assert_eq!(whole_number::<u8>("256"), None);
/// ```
#[must_use]
pub fn whole_number<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}
