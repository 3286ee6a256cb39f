//! The files of a failing case: the case itself, and its pictures.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::timeline::{self, Timeline};
use crate::search::failure::Failure;

/// The files of a saved failure: the case and its pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SavedFailure {
    /// The case, as text.
    pub case: PathBuf,
    /// Its timeline as an image.
    pub svg: PathBuf,
    /// Its timeline as a page.
    pub html: PathBuf,
}

/// Writes a failing case and its pictures into a folder, which is made if it is not there.
///
/// # Errors
/// What the file system says; some of the files may have been written.
pub fn save(failure: &Failure, folder: &Path) -> io::Result<SavedFailure> {
    let Failure { seed, property, case, trace, .. } = failure;
    let file = |kind: &str| folder.join(format!("{property}-{seed}.{kind}"));
    let saved = SavedFailure { case: file("txt"), svg: file("svg"), html: file("html") };
    let lanes = Timeline::new(trace, true);
    fs::create_dir_all(folder)?;
    fs::write(&saved.case, case.to_string())?;
    fs::write(&saved.svg, timeline::svg(&lanes))?;
    fs::write(&saved.html, timeline::html(&lanes, property.name(), trace))?;
    Ok(saved)
}
