//! Parsers of option values that several subcommands share.

use std::fmt::Display;
use std::str::FromStr;

/// Reads a count from 1. With zero nothing would run, and silence would look like success.
pub(crate) fn positive<N>(text: &str) -> Result<N, String>
where
    N: FromStr<Err: Display> + Default + PartialEq,
{
    match text.parse() {
        Ok(number) if number == N::default() => {
            Err("nothing would run: give a whole number from 1".to_owned())
        }
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}: give a whole number from 1")),
    }
}
