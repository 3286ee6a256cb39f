//! The core needs no other crate. That it needs no `std` and no `alloc` is shown by the program in `tests/bare`.

use std::fs;

#[test]
fn the_core_depends_on_nothing_that_is_not_optional() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../monitor-core/Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    let dependencies = manifest.split("\n[dependencies]\n").nth(1).unwrap();
    for line in dependencies.lines().take_while(|line| !line.starts_with('[')) {
        assert!(line.is_empty() || line.contains("optional = true"), "{line}");
    }
    assert!(manifest.contains("\ndefault = []\n"), "no feature is on by default");
}
