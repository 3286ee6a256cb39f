//! The types, functions and modules that `docs/GLOSSARY.md` names exist.

use std::fs;
use std::path::Path;

/// Goal: the glossary names only existing items. Method: follow each path of its last column from
/// the folder of its crate, and look for the item in the module at its end and in those below it.
#[test]
fn every_item_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let glossary = fs::read_to_string(root.join("docs/GLOSSARY.md")).unwrap();
    let rows = glossary.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    let mut named = 0;
    for row in rows {
        let [_, term, meaning, path, _] = row.split('|').map(str::trim).collect::<Vec<_>>()[..]
        else {
            panic!("a row has a term, a meaning and a path: {row}")
        };
        assert!(meaning.ends_with('.'), "the meaning of {term:?} is a sentence");
        let path = path.strip_prefix('`').and_then(|path| path.strip_suffix('`'));
        let path = path.unwrap_or_else(|| panic!("the path of {term:?} stands in backticks"));
        if let Err(segment) = find(root, path) {
            panic!("{term}: there is no `{segment}` of `{path}`");
        }
        named += 1;
    }
    assert!(named > 40, "only {named} terms");
}

#[test]
fn an_item_that_does_not_exist_is_not_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    assert_eq!(find(root, "monitor_core::Step"), Ok(()));
    for (path, missing) in [
        ("monitor_nothing::Step", "monitor_nothing"),
        ("monitor_core::nothing::Step", "nothing"),
        ("monitor_core::Stepp", "Stepp"),
        ("monitor_core::Step::Nothing", "Nothing"),
        ("monitor_core::Nothing::Release", "Nothing"),
        ("monitor_os::linux::Supervisor", "Supervisor"),
        // A field, not an item.
        ("monitor_core::actions", "actions"),
    ] {
        assert_eq!(find(root, path), Err(missing.to_owned()), "{path}");
    }
}

/// Looks a path up in the sources of its crate; returns the first segment that is missing.
fn find(root: &Path, path: &str) -> Result<(), String> {
    let mut segments = path.split("::");
    let name = segments.next().unwrap_or_default();
    let folder = match name {
        "monitor_core" => "monitor-core/src",
        "monitor_os" => "monitor-os/src",
        "monitor_sim" => "sim/src",
        other => return Err(other.to_owned()),
    };
    let mut module = root.join(folder);
    let mut parent = "";
    for segment in segments {
        let [file, folder] = [module.join(segment).with_extension("rs"), module.join(segment)];
        if file.exists() || folder.exists() {
            module = folder;
        } else {
            let mut sources = fs::read_to_string(module.with_extension("rs")).unwrap_or_default();
            read_all(&module, &mut sources);
            let is_there = if parent.starts_with(char::is_uppercase) {
                is_variant(&sources, parent, segment)
            } else {
                is_item(&sources, segment)
            };
            if !is_there {
                return Err(segment.to_owned());
            }
        }
        parent = segment;
    }
    Ok(())
}

/// Whether the sources define an item of this name.
fn is_item(sources: &str, name: &str) -> bool {
    const KINDS: [&str; 7] = ["struct", "enum", "trait", "fn", "mod", "type", "const"];
    sources.lines().any(|line| KINDS.iter().any(|kind| defines(line, kind, name)))
}

/// Whether the sources define an enum of this name with this variant.
fn is_variant(sources: &str, parent: &str, name: &str) -> bool {
    let mut lines = sources.lines().skip_while(|line| !defines(line, "enum", parent));
    let mut variants = lines.by_ref().skip(1).take_while(|line| *line != "}");
    variants.any(|line| head(line.trim_start()) == name)
}

/// Whether a line defines an item: `pub(super) struct Name`, for example.
fn defines(line: &str, kind: &str, name: &str) -> bool {
    let mut words = line
        .split_whitespace()
        .skip_while(|word| word.starts_with("pub") || *word == "const" && kind != "const");
    words.next() == Some(kind) && words.next().is_some_and(|word| head(word) == name)
}

/// The identifier at the beginning of a text.
fn head(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

fn read_all(folder: &Path, into: &mut String) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            read_all(&path, into);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            into.push_str(&fs::read_to_string(path).unwrap_or_default());
            into.push('\n');
        }
    }
}
