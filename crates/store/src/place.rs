//! Which database an URL names, and what may be said of it in a log.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use conference::store::StoreError;

use crate::failure::unavailable;

/// Which database's SQL is spoken. The texts are the same but for the few that ask for this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// Where a database is.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) dialect: Dialect,
    /// For sqlx; holds the password.
    pub(crate) url: String,
    /// For people.
    pub(crate) label: String,
    /// SQLite's file.
    file: Option<PathBuf>,
    /// What must never be told.
    secrets: Vec<String>,
}

impl Place {
    pub(crate) fn parse(url: &str) -> Result<Self, StoreError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            return Self::sqlite(path);
        }
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        match rest {
            Some(rest) => Ok(Self::postgres(url, rest)),
            // The text may hold a password, so it is not repeated.
            None => Err(unavailable(
                "its URL must begin with sqlite: or postgres://, such as sqlite:/path/plenum.db",
            )),
        }
    }

    fn sqlite(path: &str) -> Result<Self, StoreError> {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.contains(['?', '#']) {
            return Err(unavailable("sqlite: wants a path after it, without ? and #"));
        }
        let decoded = decode(path);
        let file = std::path::absolute(&decoded)
            .map_err(|error| unavailable(format!("{decoded}: {error}")))?;
        let Some(text) = file.to_str() else {
            return Err(unavailable(format!("{}: the path is no Unicode text", file.display())));
        };
        let url = format!("sqlite:{}?mode=rw", encode(text));
        let label = format!("sqlite:{text}");
        Ok(Self { dialect: Dialect::Sqlite, url, label, file: Some(file), secrets: Vec::new() })
    }

    fn postgres(url: &str, rest: &str) -> Self {
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        // From the last @ on: a password may hold one.
        let (user, host) = before.rsplit_once('@').unwrap_or(("", before));
        let password = user.split_once(':').map(|it| it.1);
        let in_query = query.split('&').filter_map(|it| it.strip_prefix("password="));
        let mut secrets = Vec::new();
        for secret in password.into_iter().chain(in_query).filter(|it| !it.is_empty()) {
            secrets.extend([secret.to_owned(), decode(secret)]);
        }
        let label = format!("postgres://{host}");
        Self { dialect: Dialect::Postgres, url: url.to_owned(), label, file: None, secrets }
    }

    /// Makes SQLite's file where there is none, for its owner alone: it holds what proves people to
    /// be themselves. SQLite gives its other files the same rights.
    pub(crate) fn create(&self) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Ok(()) };
        let made = file.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| touch(file));
        made.map_err(|error| unavailable(format!("{}: {error}", file.display())))
    }

    /// Whether there is something to open; of a server that shows when it is called.
    pub(crate) fn exists(&self) -> bool {
        self.file.as_ref().is_none_or(|it| it.exists())
    }

    /// The error's text without a password.
    pub(crate) fn hush(&self, error: StoreError) -> StoreError {
        let StoreError::Unavailable(mut text) = error else { return error };
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), "***");
        }
        StoreError::Unavailable(text)
    }
}

fn touch(file: &Path) -> std::io::Result<()> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(file).map(drop)
}

/// Percent-encodes what has a meaning in a URL.
fn encode(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if c.is_ascii_control()
            || matches!(c, ' ' | '"' | '#' | '%' | '<' | '>' | '?' | '`' | '{' | '}' | '\\')
        {
            out.push_str(&format!("%{:02X}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// Undoes percent-encoding; what is none stays.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| byte == b'%');
        let value = hex.and_then(|it| std::str::from_utf8(it).ok());
        match value.and_then(|it| u8::from_str_radix(it, 16).ok()) {
            Some(value) => {
                out.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_hold_what_a_url_cannot() {
        let place = Place::parse("sqlite:/var/lib/a%20b/100%.db").unwrap();
        assert_eq!(place.file.as_deref(), Some(Path::new("/var/lib/a b/100%.db")));
        assert_eq!(place.url, "sqlite:/var/lib/a%20b/100%25.db?mode=rw");
        let long = Place::parse("sqlite:///var/lib/plenum.db").unwrap();
        assert_eq!(long.label, "sqlite:/var/lib/plenum.db");
    }

    #[test]
    fn a_password_is_never_told() {
        for url in [
            "postgres://anna:hush%21@db.example/plenum?sslmode=require",
            "postgresql://db.example/plenum?user=anna&password=hush%21",
        ] {
            let place = Place::parse(url).unwrap();
            assert_eq!(place.label, "postgres://db.example/plenum", "{url}");
            let told = place.hush(unavailable("no entry for hush%21, hush! at all")).to_string();
            assert_eq!(told, "the database: no entry for ***, *** at all");
        }
        let error = Place::parse("mysql://anna:hush@db.example/plenum").err().unwrap();
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}
