//! Where values come from: the file, then the environment over it. Both are reduced to
//! assignments of words to keys, each with its place, so that errors can point at it.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::error::{ConfigError, Nearest, Place};
use super::section::{Key, Section};
use super::setting::Shape;

/// What all variables of ours begin with.
const PREFIX: &str = "PLENUM_";
/// What Kubernetes sets for a service named `plenum`, and the token of the commands: no settings.
const FOREIGN: [&str; 3] = ["PORT", "SERVICE", "API"];
/// The most entries of a section that repeats.
const MAX_ENTRIES: usize = 10_000;

/// The file, and the variables that no section has taken yet.
pub struct Source<'a> {
    path: &'a Path,
    text: &'a str,
    table: DeTable<'a>,
    variables: BTreeMap<String, String>,
    /// Every variable that would have been taken, for the message about one that was not.
    known: Vec<String>,
    sections: Vec<&'static str>,
}

impl<'a> Source<'a> {
    /// Parses the file's text.
    pub fn new(
        path: &'a Path,
        text: &'a str,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            place: place(path, text, error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        })?;
        let variables = env.filter(|(name, _)| name.starts_with(PREFIX)).collect();
        let table = table.into_inner();
        Ok(Self { path, text, table, variables, known: Vec::new(), sections: Vec::new() })
    }

    /// Reads a section that stands once.
    pub fn single<S: Section>(&mut self, dev: bool) -> Result<S, ConfigError> {
        self.sections.push(S::NAME);
        let mut section = S::base(dev);
        let label = format!("[{}]", S::NAME);
        if let Some((key, value)) = self.table.remove_entry(S::NAME) {
            let DeValue::Table(table) = value.into_inner() else {
                return Err(self.not_a_section(&key, &label));
            };
            self.fill(&mut section, &label, &table)?;
        }
        self.override_keys(&mut section, &label, &format!("{PREFIX}{}", S::NAME))?;
        Ok(section)
    }

    /// Reads a section that repeats. The environment may change entries and add new ones after
    /// those of the file.
    pub fn repeated<S: Section>(&mut self, dev: bool) -> Result<Vec<S>, ConfigError> {
        self.sections.push(S::NAME);
        let mut entries = Vec::new();
        let label = |index: usize| format!("[[{}]] number {}", S::NAME, index + 1);
        if let Some((key, value)) = self.table.remove_entry(S::NAME) {
            let DeValue::Array(array) = value.into_inner() else {
                return Err(self.not_a_section(&key, &format!("[[{}]]", S::NAME)));
            };
            for (index, entry) in array.iter().enumerate() {
                let Some(table) = entry.get_ref().as_table() else {
                    return Err(self.not_a_section(&key, &label(index)));
                };
                let mut section = S::base(dev);
                self.fill(&mut section, &label(index), table)?;
                entries.push(section);
            }
        }
        for index in 0..MAX_ENTRIES {
            let prefix = format!("{PREFIX}{}_{}", S::NAME, index + 1);
            match entries.get_mut(index) {
                Some(section) => self.override_keys(section, &label(index), &prefix)?,
                None => {
                    let before = self.variables.len();
                    let mut section = S::base(dev);
                    self.override_keys(&mut section, &label(index), &prefix)?;
                    if self.variables.len() == before {
                        break;
                    }
                    entries.push(section);
                }
            }
        }
        Ok(entries)
    }

    /// Refuses what no section has taken.
    pub fn finish(self) -> Result<(), ConfigError> {
        if let Some(key) = self.table.keys().next() {
            return Err(ConfigError::UnknownSection {
                place: place(self.path, self.text, key.span().start),
                section: key.get_ref().to_string(),
                nearest: Nearest::among(key.get_ref(), self.sections.iter().copied()),
            });
        }
        let foreign = |name: &str| {
            let rest = name.strip_prefix(PREFIX).unwrap_or(name);
            FOREIGN.iter().any(|word| rest.split('_').next() == Some(word))
        };
        match self.variables.into_keys().find(|name| !foreign(name)) {
            Some(name) => {
                let nearest = Nearest::among(&name, self.known.iter().map(String::as_str));
                Err(ConfigError::UnknownVariable { name, nearest })
            }
            None => Ok(()),
        }
    }

    fn fill<S: Section>(
        &self,
        section: &mut S,
        label: &str,
        table: &DeTable<'_>,
    ) -> Result<(), ConfigError> {
        let keys = S::keys();
        for (name, value) in table.iter() {
            let place = place(self.path, self.text, name.span().start);
            let name: &str = name.get_ref();
            let Some(key) = keys.iter().find(|key| key.name == name) else {
                return Err(ConfigError::UnknownKey {
                    place,
                    key: name.to_owned(),
                    section: label.to_owned(),
                    nearest: Nearest::among(name, keys.iter().map(|key| key.name)),
                });
            };
            let set = words_of(value.get_ref(), key.shape)
                .and_then(|words| section.set(name, &words).unwrap_or(Ok(())));
            set.map_err(|message| refused(place, label, key, message))?;
        }
        Ok(())
    }

    fn override_keys<S: Section>(
        &mut self,
        section: &mut S,
        label: &str,
        prefix: &str,
    ) -> Result<(), ConfigError> {
        for key in S::keys() {
            let variable = format!("{prefix}_{}", key.name).to_ascii_uppercase();
            if let Some(text) = self.variables.remove(&variable) {
                let words = match key.shape {
                    Shape::List if text.trim().is_empty() => Vec::new(),
                    Shape::List => text.split(',').map(|word| word.trim().to_owned()).collect(),
                    Shape::Text | Shape::Number | Shape::Flag => vec![text],
                };
                let place = Place::Variable(variable.clone());
                section
                    .set(key.name, &words)
                    .unwrap_or(Ok(()))
                    .map_err(|message| refused(place, label, &key, message))?;
            }
            self.known.push(variable);
        }
        Ok(())
    }

    fn not_a_section(&self, key: &Spanned<DeString<'_>>, label: &str) -> ConfigError {
        ConfigError::Syntax {
            place: place(self.path, self.text, key.span().start),
            message: format!("`{}` is a section: write {label}", key.get_ref()),
        }
    }
}

fn refused(place: Place, label: &str, key: &Key, message: String) -> ConfigError {
    ConfigError::Value { place, section: label.to_owned(), key: key.name.to_owned(), message }
}

fn place(path: &Path, text: &str, offset: usize) -> Place {
    let before = text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
    Place::Line(path.to_owned(), before + 1)
}

/// The words of a value of the right shape.
fn words_of(value: &DeValue<'_>, shape: Shape) -> Result<Vec<String>, String> {
    let words = match (shape, value) {
        (Shape::Text, DeValue::String(text)) => Some(vec![text.to_string()]),
        (Shape::Number, DeValue::Integer(number)) => {
            // Written in another base, the digits alone would be read as another number.
            let number = i64::from_str_radix(number.as_str(), number.radix());
            number.ok().map(|number| vec![number.to_string()])
        }
        (Shape::Flag, DeValue::Boolean(flag)) => Some(vec![flag.to_string()]),
        (Shape::List, DeValue::Array(items)) => {
            items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect()
        }
        _ => None,
    };
    words.ok_or_else(|| format!("{}: give {}", value.type_str(), shape.describe()))
}
