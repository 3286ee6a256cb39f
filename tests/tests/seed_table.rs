//! `docs/SEED.md` stays true: each id has one row, and each test that it names exists.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Rust sources of the workspace, in one text.
fn sources(folder: &Path, text: &mut String) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            sources(&path, text)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

fn code_spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Goal: the tests that the page names exist.
/// Method: read its rows, and look up each code span of the last column.
#[test]
fn each_id_has_one_row_that_names_what_exists() {
    let page = fs::read_to_string(root().join("docs/SEED.md")).unwrap();
    let mut code = String::new();
    sources(&root(), &mut code).unwrap();
    let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in page.lines().filter(|row| row.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let id = cells[0];
        let number = id.get(1..).is_some_and(|rest| rest.parse::<u8>().is_ok());
        if !number || !id.starts_with(['B', 'D', 'Q']) {
            continue;
        }
        *rows.entry(id).or_default() += 1;
        if cells.len() != 4 {
            wrong.push(format!("{id}: {} cells instead of 4", cells.len()));
            continue;
        }
        let shown_by = cells[3];
        let tests: Vec<&str> = code_spans(shown_by).collect();
        if tests.is_empty() && !["backend", "by construction"].contains(&shown_by) {
            wrong.push(format!("{id}: name a test, `backend` or `by construction`"));
        }
        if shown_by == "backend"
            && !row.contains("backend, not shown yet")
            && !row.contains("backend's, not shown yet")
        {
            wrong.push(format!("{id}: say that it is not shown yet"));
        }
        for test in tests {
            let exists = if test.contains('/') {
                root().join("tests/timelines").join(test).is_file()
            } else {
                code.contains(&format!("fn {test}()")) || code.contains(&format!("fn {test}("))
            };
            if !exists {
                wrong.push(format!("{id}: there is no {test}"));
            }
        }
    }
    for (letter, count) in [('B', 65), ('D', 52), ('Q', 12)] {
        for number in 1..=count {
            let id = format!("{letter}{number}");
            match rows.remove(id.as_str()) {
                Some(1) => {}
                Some(times) => wrong.push(format!("{id} has {times} rows")),
                None => wrong.push(format!("{id} has no row")),
            }
        }
    }
    wrong.extend(rows.keys().map(|id| format!("{id} is no id of the seed")));
    assert!(wrong.is_empty(), "docs/SEED.md:\n{}", wrong.join("\n"));
}

#[test]
fn each_timeline_of_the_seed_has_one_file() {
    let folder = root().join("tests/timelines/docker-2014");
    let names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    for number in 1..=19 {
        let prefix = format!("t{number:02}-");
        let files = names.iter().filter(|name| name.starts_with(&prefix)).count();
        assert_eq!(files, 1, "T{number}");
    }
}
