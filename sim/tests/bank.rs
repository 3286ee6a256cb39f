//! `sim/docs/BUGS.md` is the bank as it is.

use std::path::Path;
use std::{env, fs};

use monitor_sim::bugs::bank;

#[test]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/BUGS.md");
    if env::var_os("UPDATE_BUGS").is_some() {
        fs::write(&path, bank::page()).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, bank::page(), "run with UPDATE_BUGS=1 and read the diff");
}
