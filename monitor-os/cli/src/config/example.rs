//! The annotated example of a file, made from the definitions of the options.

use std::fmt::Write;

use super::file::keys;
use super::options::EXAMPLES;

/// An example file with every key, each commented out.
pub(crate) fn example() -> String {
    let mut text = HEAD.to_owned();
    let mut heading = "";
    let keys = keys();
    for arg in keys.get_arguments() {
        let Some(key) = arg.get_long() else { continue };
        let section = arg.get_help_heading().unwrap_or_default();
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let values = arg.get_possible_values();
        let value = EXAMPLES.iter().find(|(name, _)| *name == key).map_or("", |(_, value)| value);
        // Writing to a string cannot fail.
        if section != heading {
            heading = section;
            write!(text, "\n# ---- {section} ----\n").ok();
        }
        text.push('\n');
        comment(&mut text, &help);
        if !values.is_empty() {
            let names: Vec<_> = values.iter().map(|value| value.get_name()).collect();
            comment(&mut text, &format!("One of {}.", names.join(", ")));
        }
        writeln!(text, "#{key} = {value}").ok();
    }
    text
}

/// Writes a paragraph as lines of comment.
fn comment(text: &mut String, paragraph: &str) {
    let mut line = String::from("#");
    for word in paragraph.split_whitespace() {
        if line.len() > 1 && line.len() + word.len() >= WIDTH {
            text.push_str(&line);
            text.push('\n');
            line.truncate(1);
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// The longest line of a comment, in bytes.
const WIDTH: usize = 100;

const HEAD: &str = r#"# A unit for `monitor run --config FILE`, `monitor up FILE` or `monitor up DIRECTORY`.
#
# Every key is the long name of a flag of `monitor run` and has its meaning. A line that begins with
# `#` and a letter shows a key with its default, or with a likely value where it has none. Take the
# `#` away to use it. `monitor check-config FILE` shows what a file configures.
#
# If a file has several units, each has a table with these keys: [unit.web], [unit.db].

# The command: the program and its arguments, one string each. No shell reads it.
command = ["./server", "--port", "80"]
"#;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::config::file::{ReadPhase, read_all, read_one};
    use crate::config::spec::COMMAND;
    use crate::report::unit_mode::UnitMode;

    /// Goal: a key that is added has an example, and no example is of a key that is gone.
    #[test]
    fn every_key_has_an_example() {
        let keys = keys();
        let keys: Vec<_> = keys.get_arguments().filter_map(clap::Arg::get_long).collect();
        let examples: Vec<_> = EXAMPLES.iter().map(|(key, _)| *key).collect();
        assert_eq!(examples, keys, "EXAMPLES in options.rs has one line for each key, in order");
        assert!(!keys.contains(&COMMAND), "`{COMMAND}` is the command");
    }

    /// Goal: the example can be used as it is, and with every key in it.
    #[test]
    fn example_can_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("web.toml");
        let text = example();
        fs::write(&file, &text).unwrap();
        let units = read_all(&file, UnitMode::One, ReadPhase::AtStart).unwrap();
        assert_eq!(units[0].config.words, ["./server", "--port", "80"]);
        let whole: Vec<_> = text
            .lines()
            .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with([' ', '#'])))
            .zip(text.lines())
            .map(|(key, line)| key.unwrap_or(line))
            .collect();
        fs::write(&file, whole.join("\n")).unwrap();
        let written = read_one(&file).unwrap();
        assert_eq!(written.options.stop_signal, Some(monitor_core::Signal::TERM));
        read_all(&file, UnitMode::One, ReadPhase::AtStart).unwrap();
        for (key, _) in EXAMPLES {
            assert!(whole.iter().any(|line| line.starts_with(&format!("{key} = "))), "{key}");
        }
    }

    /// Goal: the copy in the docs is what the program prints. `UPDATE_DOCS=1` writes it.
    #[test]
    fn copy_in_the_docs_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitor.example.toml");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, example()).unwrap();
        }
        let copy = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(copy, example(), "UPDATE_DOCS=1 cargo test writes {}", path.display());
    }
}
