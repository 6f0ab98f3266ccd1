//! What can be wrong with a configuration, said so that it can be put right.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the file, on this line (from 1).
    Line(PathBuf, usize),
    /// In this environment variable.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// The known word nearest to an unknown one, if one is near enough to have been meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest(pub Option<String>);

impl fmt::Display for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(word) => write!(f, ": did you mean `{word}`?"),
            None => Ok(()),
        }
    }
}

impl Nearest {
    /// Looks for `word` among `known`: more than a third of its letters wrong is another word.
    pub fn among<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let limit = (word.chars().count() / 3).max(1);
        let nearest = known
            .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
            .min_by_key(|(distance, _)| *distance)
            .filter(|(distance, _)| *distance <= limit);
        Self(nearest.map(|(_, candidate)| candidate.to_owned()))
    }
}

/// The configuration is refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no TOML.
    #[error("{place}: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        message: String,
    },
    /// No section has this name.
    #[error("{place}: unknown section `{section}`{nearest}")]
    UnknownSection {
        /// Where.
        place: Place,
        /// The name.
        section: String,
        /// What may have been meant.
        nearest: Nearest,
    },
    /// The section has no such key.
    #[error("{place}: unknown key `{key}` in {section}{nearest}")]
    UnknownKey {
        /// Where.
        place: Place,
        /// The key.
        key: String,
        /// The section, in its brackets.
        section: String,
        /// What may have been meant.
        nearest: Nearest,
    },
    /// No key has this environment variable.
    #[error("unknown environment variable {name}{nearest}")]
    UnknownVariable {
        /// The variable.
        name: String,
        /// What may have been meant.
        nearest: Nearest,
    },
    /// A value is not allowed.
    #[error("{place}: `{key}` in {section} is {message}")]
    Value {
        /// Where.
        place: Place,
        /// The section, in its brackets.
        section: String,
        /// The key.
        key: String,
        /// What was found and what is allowed.
        message: String,
    },
    /// Values that are right alone are wrong together.
    #[error("{section}: {message}")]
    Conflict {
        /// The section, in its brackets; the number of the entry for lists.
        section: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// A secret cannot be read from its file.
    #[error("{section}: cannot read {}: {source}", path.display())]
    Secret {
        /// The section.
        section: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Peers could not be told where to send.
    #[error(
        "no address is known under which browsers and room systems reach this server: set \
         `announced_addresses` in [sfu], or listen on an address instead of a wildcard"
    )]
    NoAddress,
}
