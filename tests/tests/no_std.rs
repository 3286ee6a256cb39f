//! The core needs neither `std` nor `alloc`, nor any other crate.

use std::fs;
use std::path::Path;

/// The code of a source without its tests and comments.
fn code(source: &str) -> String {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Goal: no dependency on an allocator or an operating system is added unnoticed.
/// Method: read the sources, because a target without `std` may not be installed; docs/SEED.md has
/// the command for a machine with such a target.
#[test]
fn the_core_names_neither_std_nor_alloc() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../monitor-core");
    let lib = fs::read_to_string(root.join("src/lib.rs")).unwrap();
    assert!(lib.contains("#![cfg_attr(not(test), no_std)]"));
    let mut files = 0;
    for entry in fs::read_dir(root.join("src")).unwrap() {
        let path = entry.unwrap().path();
        let code = code(&fs::read_to_string(&path).unwrap());
        for word in ["std::", "alloc::", "extern crate", "unsafe "] {
            let found = code.lines().find(|line| line.contains(word));
            assert_eq!(found, None, "{} has {word}", path.display());
        }
        files += 1;
    }
    assert!(files > 10, "the sources were found");
}

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
