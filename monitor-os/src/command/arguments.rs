//! A program and its arguments, as the kernel takes them.

use std::ffi::{CStr, CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use crate::command::command_error::CommandError;

/// A program and its arguments, in one piece of memory as the kernel has them (`/proc/PID/cmdline`): a NUL byte ends each.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ArgVector(Arc<[u8]>);

impl ArgVector {
    /// Joins a program and its arguments.
    ///
    /// # Errors
    /// [`CommandError::ProgramEmpty`], [`CommandError::NulInProgram`], [`CommandError::NulInArgument`].
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

/// The text with a NUL byte at its end; `None` if it has one within.
pub(crate) fn c_string(text: OsString) -> Option<CString> {
    CString::new(text.into_vec()).ok()
}
