//! The scenarios under `timelines/`: the rules of each preset, with their source, as text.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use monitor_core::Preset;
use tests::timeline;

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "txt") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("timelines")
}

fn updating() -> bool {
    env::var_os("UPDATE_TIMELINES").is_some()
}

/// Goal: the machine answers each scenario exactly as written.
/// Method: run all files, and report all failures together.
#[test]
fn every_timeline_is_answered_as_written() {
    let update = updating();
    let mut failures = Vec::new();
    for path in files(&root()).unwrap() {
        let text = fs::read_to_string(&path).unwrap();
        let result = if update {
            timeline::rewrite(&text).map(|text| fs::write(&path, text).unwrap())
        } else {
            timeline::check(&text)
        };
        if let Err(failure) = result {
            let name = path.strip_prefix(root()).unwrap_or(&path).display();
            failures.push(format!("tests/timelines/{name}, {failure}"));
        }
    }
    assert!(
        failures.is_empty(),
        "{}\n\nIf the machine is right, accept its answers with\n    UPDATE_TIMELINES=1 cargo test -p tests --test timelines\nand read the diff.",
        failures.join("\n")
    );
}

#[test]
fn each_preset_has_timelines_of_its_own() {
    if updating() {
        return; // The files are being written.
    }
    for preset in Preset::ALL {
        let found = files(&root().join(preset.name())).unwrap();
        assert!(found.len() >= 2, "{preset}: {} files", found.len());
        for path in found {
            let text = fs::read_to_string(&path).unwrap();
            let policy = format!("\npolicy preset={preset}");
            assert!(text.contains(&policy), "{}: no line `{}`", path.display(), policy.trim());
        }
    }
}
