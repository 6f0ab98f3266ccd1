//! `plenum key`: keys of applications that speak LiveKit's protocol.

use axum::http::Method;
use clap::Subcommand;
use serde_json::{Value, json};

use super::remote::{AdminError, Remote, encoded};
use super::{Common, output};

/// The fields of a list.
const LISTED: [&str; 5] = ["id", "name", "create_rooms", "sip_call", "changed_at"];

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List keys that are kept; those of the configuration stand there.
    List,
    /// Show a key, without its secrets.
    Show {
        /// Its name or id.
        key: String,
    },
    /// Make a key; its secret is printed once.
    Create {
        /// What it is for.
        name: String,
        /// Let its tokens create rooms.
        #[arg(long)]
        create_rooms: bool,
        /// Let its tokens have room systems called.
        #[arg(long)]
        sip_call: bool,
    },
    /// Change a key; what is left out stays.
    Change {
        /// Its name or id.
        key: String,
        /// Another name.
        #[arg(long)]
        rename: Option<String>,
        /// Whether its tokens may create rooms.
        #[arg(long)]
        create_rooms: Option<bool>,
        /// Whether its tokens may have room systems called.
        #[arg(long)]
        sip_call: Option<bool>,
    },
    /// Give a key a new secret, printed once; the older ones go on for a while.
    Rotate {
        /// Its name or id.
        key: String,
        /// Hours for which tokens of the older secrets are still taken.
        #[arg(long, default_value_t = 24)]
        overlap_hours: u32,
    },
    /// Remove a key: its tokens are refused from now on.
    Remove {
        /// Its name or id.
        key: String,
    },
}

pub async fn run(command: Command, common: &Common) -> Result<(), AdminError> {
    let remote = Remote::signed_in(common)?;
    match command {
        Command::List => {
            let list = remote.all("/api/v1/keys", &[]).await?;
            if common.json {
                println!("{list}");
            } else {
                output::table(&list, &LISTED);
            }
        }
        Command::Show { key } => show(common, &find(&remote, &key).await?),
        Command::Create { name, create_rooms, sip_call } => {
            let body = json!({ "name": name, "create_rooms": create_rooms, "sip_call": sip_call });
            made(common, &remote.send(Method::POST, "/api/v1/keys", body).await?);
        }
        Command::Change { key, rename, create_rooms, sip_call } => {
            let body =
                json!({ "name": rename, "create_rooms": create_rooms, "sip_call": sip_call });
            show(common, &remote.send(Method::PATCH, &path(&remote, &key).await?, body).await?);
        }
        Command::Rotate { key, overlap_hours } => {
            let body = json!({ "overlap_hours": overlap_hours });
            let path = format!("{}/rotate", path(&remote, &key).await?);
            made(common, &remote.send(Method::POST, &path, body).await?);
        }
        Command::Remove { key } => {
            remote.delete(&path(&remote, &key).await?).await?;
            if !common.json {
                println!("The key is removed; its tokens are refused from now on.");
            }
        }
    }
    Ok(())
}

/// The key of a name or id.
async fn find(remote: &Remote, key: &str) -> Result<Value, AdminError> {
    let list = remote.all("/api/v1/keys", &[]).await?;
    let is_meant = |it: &&Value| {
        output::text(it, "id") == key || output::text(it, "name").eq_ignore_ascii_case(key)
    };
    let found = list.as_array().into_iter().flatten().find(is_meant).cloned();
    found.ok_or_else(|| AdminError::missing(format!("there is no key {key}")))
}

async fn path(remote: &Remote, key: &str) -> Result<String, AdminError> {
    let id = output::text(&find(remote, key).await?, "id");
    Ok(format!("/api/v1/keys/{}", encoded(&id)))
}

fn show(common: &Common, key: &Value) {
    if common.json {
        println!("{key}");
    } else {
        output::fields(key);
    }
}

fn made(common: &Common, made: &Value) {
    if common.json {
        println!("{made}");
    } else {
        println!("The key: {}", output::text(&made["key"], "id"));
        println!("Its secret, shown once: {}", output::text(made, "secret"));
    }
}
