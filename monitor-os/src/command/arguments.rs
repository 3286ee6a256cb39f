//! The argument vector: a program and its arguments, in the form that the kernel takes.

use std::ffi::{CStr, CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use crate::command::command_error::CommandError;

/// A program and its arguments in one piece of memory, with a NUL byte after each.
///
/// The kernel has the vector in this form (`/proc/PID/cmdline`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ArgVector(Arc<[u8]>);

impl ArgVector {
    /// Joins a program and its arguments.
    ///
    /// # Errors
    /// [`CommandError::ProgramEmpty`], [`CommandError::NulInProgram`],
    /// [`CommandError::NulInArgument`].
    pub(crate) fn new<I>(program: impl Into<OsString>, args: I) -> Result<Self, CommandError>
    where
        I: IntoIterator<Item: Into<OsString>>,
    {
        let program = c_string(program.into()).ok_or(CommandError::NulInProgram)?;
        if program.is_empty() {
            return Err(CommandError::ProgramEmpty);
        }
        let mut words = program.into_bytes_with_nul();
        for (index, arg) in (0..).zip(args) {
            let arg = c_string(arg.into()).ok_or(CommandError::NulInArgument { index })?;
            words.extend_from_slice(arg.as_bytes_with_nul());
        }
        Ok(Self(words.into()))
    }

    /// The program, then its arguments.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &CStr> {
        let words = self.0.split_inclusive(|&byte| byte == 0);
        words.filter_map(|word| CStr::from_bytes_with_nul(word).ok())
    }
}

/// The text with a NUL byte at its end; `None` if the text contains a NUL byte.
pub(crate) fn c_string(text: OsString) -> Option<CString> {
    CString::new(text.into_vec()).ok()
}
