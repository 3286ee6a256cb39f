//! The committed corpus of the fuzz targets, run by the functions that the targets run.

use std::path::Path;
use std::{fs, io, panic};

use monitor_sim::fuzz;

fn run(target: &str, check: fn(&[u8])) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
    let mut paths: Vec<_> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    assert!(paths.len() >= 10, "the corpus of {target} is gone");
    for path in paths {
        let bytes = fs::read(&path)?;
        let outcome = panic::catch_unwind(|| check(&bytes));
        assert!(outcome.is_ok(), "{}", path.display());
    }
    Ok(())
}

#[test]
fn cases_drawn_from_bytes_violate_nothing() -> io::Result<()> {
    run("case", fuzz::case)
}

#[test]
fn whatever_can_be_read_survives_and_has_an_answer() -> io::Result<()> {
    run("wire", fuzz::wire)
}

#[test]
fn whatever_is_a_case_is_printed_as_itself() -> io::Result<()> {
    run("text", fuzz::text)
}
