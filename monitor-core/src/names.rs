//! Values that have one name each in a text form.

use crate::parse_error::ParseError;

/// Values with their names; the last member is the fix for an unknown name.
pub(crate) type Names<T, const N: usize> = ([(T, &'static str); N], &'static str);

pub(crate) fn named<T: Copy>(names: &[(T, &str)], text: &str) -> Option<T> {
    names.iter().find(|(_, name)| *name == text).map(|(value, _)| *value)
}

pub(crate) fn choose<T: Copy, const N: usize>(
    field: &'static str,
    text: &str,
    (names, fix): Names<T, N>,
) -> Result<T, ParseError> {
    named(&names, text).ok_or_else(|| ParseError::new(field, text, fix))
}

pub(crate) fn name_of<T: Copy + PartialEq, const N: usize>(
    (names, _): Names<T, N>,
    value: T,
) -> &'static str {
    names.iter().find(|(other, _)| *other == value).map_or("", |(_, name)| name)
}
