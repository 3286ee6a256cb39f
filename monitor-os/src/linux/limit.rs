//! Resource limits of a process.

use std::fmt;
use std::str::FromStr;

use monitor_core::whole_number;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A limit on a resource of each process of a program (`setrlimit(2)`), such as `nofile=1024:4096`.
///
/// The text is `NAME=SOFT:HARD`, or `NAME=BOTH`. A value is a whole number in the kernel's unit
/// (bytes, seconds, a count), or `unlimited`. The names are those of `limits.conf(5)`.
///
/// # Examples
/// ```
/// # use monitor_os::Limit;
/// let limit: Limit = "nofile=1024:4096".parse()?;
/// assert_eq!((limit.name(), limit.to_string()), ("nofile", "nofile=1024:4096".into()));
/// assert_eq!("core=0".parse::<Limit>()?.to_string(), "core=0:0");
/// assert!("nofile=2:1".parse::<Limit>().is_err());
/// # Ok::<(), monitor_os::LimitError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limit {
    name: &'static str,
    resource: Resource,
    /// `None` means unlimited.
    soft: Option<u64>,
    hard: Option<u64>,
}

impl Limit {
    /// The name of the limited resource.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// The current limit on descriptors of this process.
    pub(crate) fn of_descriptors() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        Self { name: "nofile", resource: Resource::Nofile, soft: current, hard: maximum }
    }

    /// The limit with its soft value raised to the hard one.
    pub(crate) const fn raised(self) -> Self {
        Self { soft: self.hard, ..self }
    }

    /// Applies the limit to this process.
    ///
    /// # Errors
    /// EPERM: it raises the hard limit, which needs `CAP_SYS_RESOURCE`.
    pub(crate) fn put_in_force(self) -> Result<(), Errno> {
        setrlimit(self.resource, Rlimit { current: self.soft, maximum: self.hard })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        for (separator, value) in [('=', self.soft), (':', self.hard)] {
            match value {
                Some(value) => write!(f, "{separator}{value}")?,
                None => write!(f, "{separator}{UNLIMITED}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Limit {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let error = |fix| LimitError { text: text.into(), fix };
        let (name, values) = text.split_once('=').ok_or_else(|| error(Fix::Form))?;
        let known = RESOURCES.into_iter().find(|&(known, _)| known == name);
        let (name, resource) = known.ok_or_else(|| error(Fix::Name))?;
        let value = |text: &str| match text {
            UNLIMITED => Ok(None),
            number => whole_number(number).map(Some).ok_or_else(|| error(Fix::Form)),
        };
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        let (soft, hard) = (value(soft)?, value(hard)?);
        if hard.is_some_and(|hard| soft.is_none_or(|soft| soft > hard)) {
            return Err(error(Fix::Order));
        }
        Ok(Self { name, resource, soft, hard })
    }
}

/// Error of a text that is no [`Limit`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LimitError {
    text: String,
    fix: Fix,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fix {
    Form,
    Name,
    Order,
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no limit: ", self.text)?;
        match self.fix {
            Fix::Form => {
                f.write_str("write NAME=SOFT:HARD, such as nofile=1024:4096 or core=unlimited")
            }
            Fix::Order => f.write_str("the soft limit is above the hard one"),
            Fix::Name => {
                f.write_str("the names are")?;
                RESOURCES.iter().try_for_each(|(name, _)| write!(f, " {name}"))
            }
        }
    }
}

impl std::error::Error for LimitError {}

const UNLIMITED: &str = "unlimited";

const RESOURCES: [(&str, Resource); 16] = [
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_go_round() {
        for text in [
            "nofile=0:0",
            "core=0:unlimited",
            "stack=unlimited:unlimited",
            "cpu=1:18446744073709551614",
        ] {
            assert_eq!(text.parse::<Limit>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn errors_say_what_to_do() {
        for (text, word) in [
            ("nofile", "NAME=SOFT:HARD"),
            ("nofile=", "NAME=SOFT:HARD"),
            ("nofile=1:", "NAME=SOFT:HARD"),
            ("nofile=-1", "NAME=SOFT:HARD"),
            ("nofile=+1", "NAME=SOFT:HARD"),
            ("files=1", "nofile"),
            ("core=unlimited:1", "above the hard one"),
        ] {
            let error = text.parse::<Limit>().unwrap_err().to_string();
            assert!(error.contains(word) && error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
