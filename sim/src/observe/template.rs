//! Texts with named placeholders.

use std::fmt;

use serde::Deserialize;

/// A part of a scene that a text may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Placeholder {
    /// The folder of the scene, which nothing else uses.
    Dir,
    /// The name of the unit.
    Name,
    /// The program that the supervisor runs: the path of a file without arguments.
    Program,
    /// The text that the file has for the restart policy of the scenario.
    Policy,
}

impl Placeholder {
    /// All placeholders.
    pub const ALL: [Self; 4] = [Self::Dir, Self::Name, Self::Program, Self::Policy];

    /// Returns the word between the braces.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dir => "dir",
            Self::Name => "name",
            Self::Program => "program",
            Self::Policy => "policy",
        }
    }
}

/// A text with placeholders such as `{dir}`. `{{` and `}}` stand for braces.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(Placeholder),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemplateError {
    /// No placeholder has this name.
    Unknown(String),
    /// A brace that opens is not closed.
    Open,
    /// A brace closes that was not opened.
    Close,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => {
                write!(f, "there is no placeholder {{{word}}}: write one of")?;
                for placeholder in Placeholder::ALL {
                    write!(f, " {{{}}}", placeholder.word())?;
                }
                f.write_str(", or {{ for a brace")
            }
            Self::Open => f.write_str("a brace is not closed: write } after the name, or {{"),
            Self::Close => f.write_str("a brace closes that was not opened: write }} for a brace"),
        }
    }
}

impl std::error::Error for TemplateError {}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Self, TemplateError> {
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text.as_str());
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = from.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = from.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else if let Some(after) = from.strip_prefix('{') {
                let (word, after) = after.split_once('}').ok_or(TemplateError::Open)?;
                let known = Placeholder::ALL.into_iter().find(|known| known.word() == word);
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(Part::Placeholder(
                    known.ok_or_else(|| TemplateError::Unknown(word.to_owned()))?,
                ));
                rest = after;
            } else {
                return Err(TemplateError::Close);
            }
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        Ok(Self(parts))
    }
}

impl Template {
    /// Returns the text with each placeholder replaced.
    pub fn fill(&self, value: impl Fn(Placeholder) -> String) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Placeholder(placeholder) => value(*placeholder),
        });
        parts.collect()
    }

    /// Returns whether the text names this placeholder.
    #[must_use]
    pub fn names(&self, placeholder: Placeholder) -> bool {
        self.0.contains(&Part::Placeholder(placeholder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, String> {
        let template = Template::try_from(text.to_owned()).map_err(|error| error.to_string())?;
        Ok(template.fill(|placeholder| placeholder.word().to_uppercase()))
    }

    #[test]
    fn placeholders_are_replaced_and_braces_stay() {
        assert_eq!(filled("{dir}/a {name}{{x}} {policy}").unwrap(), "DIR/a NAME{x} POLICY");
        assert_eq!(filled("").unwrap(), "");
    }

    #[test]
    fn unknown_placeholders_and_single_braces_are_refused() {
        let unknown = filled("{folder}/x").unwrap_err();
        assert_eq!(
            unknown,
            "there is no placeholder {folder}: write one of {dir} {name} {program} {policy}, or {{ \
             for a brace"
        );
        assert!(filled("{dir").unwrap_err().contains("not closed"));
        assert!(filled("dir}").unwrap_err().contains("not opened"));
    }
}
