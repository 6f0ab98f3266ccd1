//! What is kept as it is given: every kind of it has the same commands, and options of its own.

use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::remote::{AdminError, Remote, encoded};
use super::{Common, output};

/// A kind, by the options that its commands have.
pub trait Kind: Args {
    /// Where the API has them.
    const PATH: &'static str;
    /// One of them, for people.
    const WORD: &'static str;
    /// The fields of a list.
    const LISTED: &'static [&'static str];

    /// The fields that these options set.
    async fn fields(self, remote: &Remote) -> Result<Map<String, Value>, AdminError>;
}

#[derive(Debug, Subcommand)]
pub enum Command<K: Kind> {
    /// List them.
    List {
        /// Only those that contain this.
        search: Option<String>,
    },
    /// Show one.
    Show {
        /// Its name or id.
        name: String,
    },
    /// Make one.
    Create {
        /// Its name.
        name: String,
        #[command(flatten)]
        options: K,
    },
    /// Change one; what is left out stays.
    Change {
        /// Its name or id.
        name: String,
        /// Another name.
        #[arg(long)]
        rename: Option<String>,
        #[command(flatten)]
        options: K,
    },
    /// Remove one.
    Remove {
        /// Its name or id.
        name: String,
    },
}

pub async fn run<K: Kind>(command: Command<K>, common: &Common) -> Result<(), AdminError> {
    let remote = Remote::signed_in(common)?;
    match command {
        Command::List { search } => {
            let query: Vec<_> = search.into_iter().map(|it| ("q", it)).collect();
            let list = remote.all(K::PATH, &query).await?;
            if common.json {
                println!("{list}");
            } else {
                output::table(&list, K::LISTED);
            }
        }
        Command::Show { name } => show(common, &find::<K>(&remote, &name).await?),
        Command::Create { name, options } => {
            let mut fields = options.fields(&remote).await?;
            fields.insert("name".to_owned(), name.into());
            show(common, &remote.send(Method::POST, K::PATH, fields.into()).await?);
        }
        Command::Change { name, rename, options } => {
            let path = path::<K>(&find::<K>(&remote, &name).await?);
            let mut fields = options.fields(&remote).await?;
            fields.extend(rename.map(|it| ("name".to_owned(), it.into())));
            show(common, &remote.send(Method::PATCH, &path, fields.into()).await?);
        }
        Command::Remove { name } => {
            remote.delete(&path::<K>(&find::<K>(&remote, &name).await?)).await?;
            if !common.json {
                println!("{name} is no {} any more.", K::WORD);
            }
        }
    }
    Ok(())
}

/// Prints one thing.
pub fn show(common: &Common, thing: &Value) {
    if common.json {
        println!("{thing}");
    } else {
        output::fields(thing);
    }
}

fn path<K: Kind>(found: &Value) -> String {
    format!("{}/{}", K::PATH, encoded(&output::text(found, "id")))
}

/// The one of a name or id.
pub async fn find<K: Kind>(remote: &Remote, name: &str) -> Result<Value, AdminError> {
    let name = name.trim();
    if is_id(name) {
        return remote.get(&format!("{}/{name}", K::PATH)).await;
    }
    let list = remote.all(K::PATH, &[("q", name.to_owned())]).await?;
    let wanted = name.to_lowercase();
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut found = list.iter().filter(|it| output::text(it, "name").to_lowercase() == wanted);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.clone()),
        (Some(_), Some(_)) => {
            let detail = format!("more than one {} is called {name}: give its id", K::WORD);
            Err(AdminError::Other(detail))
        }
        (None, _) => Err(AdminError::missing(format!("there is no {} {name}", K::WORD))),
    }
}

/// Whether this is written as ids are: a UUID.
fn is_id(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-')
}

/// Fields that were given, by their names; a name with a dot is that of a field within a field.
pub fn given<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let mut given = Map::new();
    for (name, value) in fields {
        if let Some(value) = value {
            put(&mut given, name, value);
        }
    }
    given
}

fn put(into: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        None => drop(into.insert(name.to_owned(), value)),
        Some((outer, inner)) => {
            let entry = into.entry(outer).or_insert_with(|| Map::new().into());
            if let Value::Object(entry) = entry {
                put(entry, inner, value);
            }
        }
    }
}

/// A text that was given.
pub fn text(text: Option<String>) -> Option<Value> {
    text.map(Value::from)
}

/// A text that was given; an empty one takes the field away.
pub fn or_none(text: Option<String>) -> Option<Value> {
    text.map(|it| if it.is_empty() { Value::Null } else { it.into() })
}

/// A list that was given; one empty entry stands for an empty list.
pub fn list(entries: Vec<String>) -> Option<Value> {
    let listed: Vec<String> = entries.iter().filter(|it| !it.is_empty()).cloned().collect();
    (!entries.is_empty()).then(|| listed.into())
}

/// A number that was given; 0 takes the field away.
pub fn number(number: Option<u32>) -> Option<Value> {
    number.map(|it| if it == 0 { Value::Null } else { it.into() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_not_given_is_not_sent() {
        let sent = given([
            ("name", None),
            ("notes", or_none(Some(String::new()))),
            ("settings.lobby", Some(true.into())),
            ("settings.limits.minutes", number(Some(0))),
            ("settings.limits.participants", number(Some(5))),
            ("networks", list(vec![String::new()])),
            ("codecs", list(Vec::new())),
        ]);
        let limits = json!({ "minutes": null, "participants": 5 });
        let expected = json!({
            "notes": null, "settings": { "lobby": true, "limits": limits }, "networks": [],
        });
        assert_eq!(Value::Object(sent), expected);
    }
}
