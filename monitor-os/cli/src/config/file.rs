//! Configuration files in TOML.
//!
//! A file has one unit, or a table `[unit.NAME]` for each of several. A key is the long name of a
//! flag, and the parser of the flag reads its value, so flags and keys have one definition and one
//! meaning.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::error::ContextKind;
use clap::{Arg, Args, FromArgMatches};
use monitor_os::StateDir;
use rustix::fs::OFlags;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::config_error::ConfigError;
use super::options::{EXAMPLES, UnitOptions};
use super::spec::{COMMAND, Spec};
use crate::report::unit_mode::UnitMode;

/// A unit as its file configures it.
#[derive(Clone, Debug)]
pub(crate) struct UnitConfig {
    /// The name of the table, or of the file without `.toml`.
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) options: UnitOptions,
    /// The keys beside the command, in the order of their definition, each with its values.
    pub(crate) settings: Vec<(&'static str, Vec<String>)>,
    /// Empty, if the file has no command.
    pub(crate) words: Vec<OsString>,
}

/// A unit with a complete configuration.
#[derive(Clone, Debug)]
pub(crate) struct ResolvedUnit {
    pub(crate) config: UnitConfig,
    pub(crate) spec: Spec,
    /// Whether it is run alone or as one of many.
    pub(crate) mode: UnitMode,
}

/// When a named path is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadPhase {
    /// Before anything runs. The file may be a pipe, for which the monitor waits.
    AtStart,
    /// While units run. Only a regular file is read.
    Again,
}

/// Reads the file of one unit. It may lack the command.
///
/// # Errors
/// All errors in the file.
pub(crate) fn read_one(file: &Path) -> Result<UnitConfig, Vec<ConfigError>> {
    let mut found = read_file(file, &read_named(file, ReadPhase::AtStart)?)?;
    match (found.pop(), found.is_empty()) {
        (Some(ParsedUnit { config, in_table: false, .. }), true) => Ok(config),
        _ => Err(vec![ConfigError::of_file(
            file,
            "it has tables [unit.NAME], and one unit is wanted; run all of them by `monitor up`",
        )]),
    }
}

/// Reads the units of a file, or of the files `*.toml` of a directory, in the order of their names.
///
/// `mode` is the mode of a file without tables. Directories and tables are for a monitor of many
/// units. In a directory, names that begin with a dot and files that are not regular are ignored.
///
/// # Errors
/// All errors in all files.
pub(crate) fn read_all(
    path: &Path,
    mode: UnitMode,
    when: ReadPhase,
) -> Result<Vec<ResolvedUnit>, Vec<ConfigError>> {
    let mode = if path.is_dir() { UnitMode::Many } else { mode };
    let (mut units, mut errors) = (Vec::new(), Vec::new());
    for (file, text) in texts(path, when)? {
        let found = text.and_then(|text| read_file(&file, &text)).unwrap_or_else(|mut found| {
            errors.append(&mut found);
            Vec::new()
        });
        for unit in found {
            match unit.complete(mode) {
                Ok(complete) => units.push(complete),
                Err(mut found) => errors.append(&mut found),
            }
        }
    }
    units.sort_by(|a, b| a.config.name.cmp(&b.config.name));
    for pair in units.windows(2) {
        if let [ResolvedUnit { config: one, .. }, ResolvedUnit { config: other, .. }] = pair
            && one.name == other.name
        {
            let message = format_args!(
                "the unit {:?} is in {} too; give one of them another name",
                one.name,
                one.file.display()
            );
            errors.push(ConfigError::of_file(&other.file, message));
        }
    }
    let mut logs = BTreeMap::new();
    for ResolvedUnit { config, .. } in &units {
        if let Some(log) = &config.options.log
            && let Some(other) = logs.insert(log, &config.name)
        {
            let message = format_args!(
                "the units {other:?} and {:?} have the same log {}, which takes one writer; give \
                 each its own",
                config.name,
                log.display()
            );
            errors.push(ConfigError::of_file(&config.file, message));
        }
    }
    if errors.is_empty() { Ok(units) } else { Err(errors) }
}

type FileText = Result<Rc<str>, Vec<ConfigError>>;

/// The files of a path, each with its text.
fn texts(path: &Path, when: ReadPhase) -> Result<Vec<(PathBuf, FileText)>, Vec<ConfigError>> {
    if !path.is_dir() {
        return Ok(vec![(path.into(), read_named(path, when))]);
    }
    let unreadable = |error: io::Error| {
        vec![ConfigError::of_file(path, format_args!("cannot be read: {error}"))]
    };
    let entries = fs::read_dir(path).map_err(unreadable)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<_> = paths.collect::<io::Result<_>>().map_err(unreadable)?;
    paths.retain(|path| {
        let is_hidden = path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"."));
        path.extension().is_some_and(|end| end == "toml") && !is_hidden
    });
    paths.sort();
    let mut texts = Vec::new();
    for path in paths {
        match read_text(&path, false) {
            Ok(Some(text)) => texts.push((path, Ok(text))),
            Ok(None) => {}
            Err(error) => {
                let error = ConfigError::of_file(&path, format_args!("cannot be read: {error}"));
                texts.push((path, Err(vec![error])));
            }
        }
    }
    if texts.is_empty() {
        let message = "no file in it ends in .toml; write one, see `monitor example-config`";
        return Err(vec![ConfigError::of_file(path, message)]);
    }
    Ok(texts)
}

/// A unit with the text that it was read from.
struct ParsedUnit {
    config: UnitConfig,
    text: Rc<str>,
    /// Where its table begins.
    begin: Range<usize>,
    /// The places of the values of its keys.
    places: Vec<(String, Range<usize>)>,
    in_table: bool,
}

impl ParsedUnit {
    fn complete(self, mode: UnitMode) -> Result<ResolvedUnit, Vec<ConfigError>> {
        let mode = if self.in_table { UnitMode::Many } else { mode };
        let file = self.config.file.clone();
        let at = |bytes, message: &dyn std::fmt::Display| {
            vec![ConfigError::at(&file, &self.text, bytes, message)]
        };
        if self.config.words.is_empty() {
            return Err(at(self.begin, &NO_COMMAND));
        }
        StateDir::check_unit(&self.config.name).map_err(|error| at(self.begin.clone(), &error))?;
        match Spec::new(&self.config.options, self.config.words.clone(), mode) {
            Ok(spec) => Ok(ResolvedUnit { config: self.config, spec, mode }),
            Err(error) => {
                let place =
                    self.places.iter().find(|(key, _)| Some(key.as_str()) == error.option());
                Err(at(
                    place.map_or_else(|| self.begin.clone(), |(_, place)| place.clone()),
                    &error,
                ))
            }
        }
    }
}

/// Opens and reads one file; `None` if it is not regular, unless `may_wait` allows to wait for it.
///
/// # Errors
/// The file cannot be read, is too long, or is no text.
fn read_text(file: &Path, may_wait: bool) -> io::Result<Option<Rc<str>>> {
    // A FIFO or a device could keep the thread for ever.
    let flags = if may_wait { OFlags::empty() } else { OFlags::NONBLOCK | OFlags::NOCTTY };
    let opened =
        OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(file)?;
    if !may_wait && !opened.metadata()?.is_file() {
        return Ok(None);
    }
    let mut text = String::new();
    opened.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        let message = format!("it is longer than {} MiB; split it", BYTES_MAX >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(Some(text.into()))
}

/// Reads a file that was named.
fn read_named(file: &Path, when: ReadPhase) -> Result<Rc<str>, Vec<ConfigError>> {
    let wrong = |message: &dyn std::fmt::Display| vec![ConfigError::of_file(file, message)];
    match read_text(file, when == ReadPhase::AtStart) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(wrong(&"it is no regular file; a running monitor does not wait for it")),
        Err(error) => Err(wrong(&format_args!("cannot be read: {error}"))),
    }
}

fn read_file(file: &Path, text: &Rc<str>) -> Result<Vec<ParsedUnit>, Vec<ConfigError>> {
    let (root, syntax_errors) = DeTable::parse_recoverable(text);
    if !syntax_errors.is_empty() {
        let errors = syntax_errors.iter().map(|error| {
            ConfigError::at(file, text, error.span().unwrap_or_default(), error.message())
        });
        return Err(errors.collect());
    }
    let root = root.get_ref();
    let mut reader = Reader { file, text, errors: Vec::new() };
    let units: Vec<ParsedUnit> = match root.get("unit") {
        None => {
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            vec![reader.unit(&name, 0..0, root, false)]
        }
        Some(tables) => {
            for key in root.keys().filter(|key| key.get_ref() != "unit") {
                reader.reject(key.span(), "it belongs into one of the tables [unit.NAME]");
            }
            reader.units(tables)
        }
    };
    let mut errors = reader.errors;
    errors.sort_by_key(|&(at, _)| at);
    if errors.is_empty() {
        Ok(units)
    } else {
        Err(errors.into_iter().map(|(_, error)| error).collect())
    }
}

struct Reader<'a> {
    file: &'a Path,
    text: &'a Rc<str>,
    /// With where each begins.
    errors: Vec<(usize, ConfigError)>,
}

impl Reader<'_> {
    fn reject(&mut self, bytes: Range<usize>, message: impl std::fmt::Display) {
        let begin = bytes.start;
        self.errors.push((begin, ConfigError::at(self.file, self.text, bytes, message)));
    }

    fn units(&mut self, tables: &Spanned<DeValue<'_>>) -> Vec<ParsedUnit> {
        let Some(tables) = tables.get_ref().as_table() else {
            self.reject(tables.span(), "write tables, such as [unit.web]");
            return Vec::new();
        };
        let mut units = Vec::new();
        for (name, table) in tables {
            match table.get_ref().as_table() {
                Some(table) => units.push(self.unit(name.get_ref(), name.span(), table, true)),
                None => self.reject(name.span(), "write a table for each unit, such as [unit.web]"),
            }
        }
        units
    }

    /// Reads the keys of a unit as flags.
    fn unit(
        &mut self,
        name: &str,
        begin: Range<usize>,
        table: &DeTable<'_>,
        in_table: bool,
    ) -> ParsedUnit {
        let keys = keys();
        let mut settings = BTreeMap::new();
        let mut flags = Vec::new();
        let mut words = Vec::new();
        let mut places = Vec::new();
        for (key, value) in table {
            if key.get_ref() == COMMAND {
                words = self.command(value);
            } else {
                let mut found = self.flags(&keys, key, value);
                let values =
                    found.iter().filter_map(|flag| Some(flag.split_once('=')?.1.to_owned()));
                settings.insert(key.get_ref().to_string(), values.collect());
                flags.append(&mut found);
            }
            places.push((key.get_ref().to_string(), value.span()));
        }
        let settings = in_order(settings);
        // Each flag was read alone, and none conflicts with another.
        let matches = keys.try_get_matches_from(flags);
        let options = matches.and_then(|matches| UnitOptions::from_arg_matches(&matches));
        let options = options.unwrap_or_else(|error| {
            if self.errors.is_empty() {
                self.reject(begin.clone(), reason(&error));
            }
            UnitOptions::default()
        });
        let file = self.file.into();
        ParsedUnit {
            config: UnitConfig { name: name.into(), file, options, settings, words },
            text: Rc::clone(self.text),
            begin,
            places,
            in_table,
        }
    }

    fn command(&mut self, value: &Spanned<DeValue<'_>>) -> Vec<OsString> {
        let words = value.get_ref().as_array().map(|words| {
            let words = words.iter().map(|word| word.get_ref().as_str().map(OsString::from));
            words.collect::<Option<Vec<_>>>()
        });
        match words.flatten() {
            Some(words) if !words.is_empty() => words,
            Some(_) | None => {
                self.reject(value.span(), NOT_WORDS);
                Vec::new()
            }
        }
    }

    /// The flags of a key; several if its value is an array. Values that cannot be read are
    /// missing.
    fn flags(
        &mut self,
        keys: &clap::Command,
        key: &Spanned<toml::de::DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Vec<String> {
        let Some(arg) = keys.get_arguments().find(|arg| arg.get_long() == Some(key.get_ref()))
        else {
            let message = unknown(keys, key.get_ref());
            self.reject(key.span(), message);
            return Vec::new();
        };
        let repeats = matches!(arg.get_action(), clap::ArgAction::Append);
        let values = match value.get_ref().as_array() {
            Some(values) if repeats => values.iter().collect(),
            Some(_) => {
                self.reject(value.span(), "write one value instead of an array");
                return Vec::new();
            }
            None => vec![value],
        };
        let mut flags = Vec::new();
        for value in values {
            let word = match value.get_ref() {
                DeValue::String(word) => word.as_ref(),
                DeValue::Array(_) | DeValue::Table(_) => {
                    self.reject(value.span(), "write a text, a number, true or false");
                    continue;
                }
                // As it is written.
                DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_) => self.text.get(value.span()).unwrap_or_default(),
            };
            let flag = format!("--{}={word}", key.get_ref());
            match keys.clone().try_get_matches_from([&flag]) {
                Ok(_) => flags.push(flag),
                Err(error) => self.reject(value.span(), reason(&error)),
            }
        }
        flags
    }
}

/// The keys of a unit, as flags.
pub(crate) fn keys() -> clap::Command {
    let keys = clap::Command::new("unit").no_binary_name(true).disable_help_flag(true);
    UnitOptions::augment_args(keys)
}

/// Settings in the order in which the keys are defined.
fn in_order(mut settings: BTreeMap<String, Vec<String>>) -> Vec<(&'static str, Vec<String>)> {
    let names = EXAMPLES.iter().map(|(name, _)| *name);
    names.filter_map(|name| Some((name, settings.remove(name)?))).collect()
}

/// The reason of an error about the value of a flag, without the flag.
fn reason(error: &clap::Error) -> String {
    if let Some(source) = std::error::Error::source(error) {
        return source.to_string();
    }
    match error.get(ContextKind::ValidValue).map(ToString::to_string) {
        Some(valid) if !valid.is_empty() => format!("write one of {valid}"),
        Some(_) | None => "it needs a value; write one, or leave it out".into(),
    }
}

fn unknown(keys: &clap::Command, key: &str) -> String {
    // The command is no flag, and may be what was meant.
    let keys = keys.clone().arg(Arg::new(COMMAND).long(COMMAND));
    let error = keys.try_get_matches_from([format!("--{key}")]).err();
    let near = error.as_ref().and_then(|error| error.get(ContextKind::SuggestedArg));
    match near {
        Some(near) => format!(
            "there is no key `{key}`; did you mean `{}`?",
            near.to_string().trim_start_matches('-')
        ),
        None => format!("there is no key `{key}`; `monitor example-config` names all"),
    }
}

/// The longest file: many times what a thousand units take.
const BYTES_MAX: u64 = 16 << 20;
const NO_COMMAND: &str =
    r#"it has no command; write command = ["./server", "--port", "80"], one string for each word"#;
const NOT_WORDS: &str = r#"write the command as an array of strings, such as ["./server", "--port", "80"]; a line is not split into words, for that write ["sh", "-c", "LINE"]"#;

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    /// Goal: no file fills the memory.
    #[test]
    fn file_that_is_too_long_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (length, fits) in [(BYTES_MAX, true), (BYTES_MAX + 1, false), (1 << 40, false)] {
            file.as_file().set_len(length).unwrap();
            let read = read_text(file.path(), false);
            assert_eq!(read.is_ok(), fits, "{length}");
            assert!(fits || read.unwrap_err().to_string().contains("16 MiB"));
        }
    }

    /// Goal: a flag that may be repeated is an array, or one value; each error in it has its
    /// place.
    #[test]
    fn repeated_flags_are_arrays() {
        let keys = clap::Command::new("unit").no_binary_name(true);
        let arg = Arg::new("n").long("n").action(ArgAction::Append);
        let keys = keys.arg(arg.value_parser(clap::value_parser!(u8)));
        let text: Rc<str> = "n = [1, 'x', 2, []]\n".into();
        let (table, _) = DeTable::parse_recoverable(&text);
        let mut reader = Reader { file: Path::new("f"), text: &text, errors: Vec::new() };
        let mut flags = Vec::new();
        for (key, value) in table.get_ref() {
            flags.append(&mut reader.flags(&keys, key, value));
        }
        assert_eq!(flags, ["--n=1", "--n=2"]);
        assert_eq!(reader.errors.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [8, 16]);
    }
}
