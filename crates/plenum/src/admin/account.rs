//! `plenum account`: the people of the house.

use axum::http::Method;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::remote::{AdminError, Remote, encoded};
use super::sign_in::ask;
use super::{Common, output};

/// The fields of a list.
const LISTED: [&str; 6] = ["name", "display_name", "role", "email", "disabled", "signed_in_at"];

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List accounts.
    List {
        /// Only those whose name or address contains this.
        search: Option<String>,
    },
    /// Show an account.
    Show {
        /// Its name.
        name: String,
    },
    /// Make an account; its first password is printed once.
    Create {
        /// What they sign in with.
        name: String,
        /// What others see; the name if left out.
        #[arg(long)]
        display_name: Option<String>,
        /// Where invitations go.
        #[arg(long)]
        email: Option<String>,
        /// What they are.
        #[arg(long, default_value = "user")]
        role: Role,
        /// Ask for the first password instead of making one.
        #[arg(long)]
        ask_password: bool,
    },
    /// Change an account.
    Change {
        /// Its name.
        name: String,
        /// What others see.
        #[arg(long)]
        display_name: Option<String>,
        /// Where invitations go; an empty text removes it.
        #[arg(long)]
        email: Option<String>,
        /// What they are.
        #[arg(long)]
        role: Option<Role>,
        /// Keep them out, and end their sessions.
        #[arg(long, conflicts_with = "enable")]
        disable: bool,
        /// Let them in again.
        #[arg(long)]
        enable: bool,
    },
    /// Give somebody a new password, printed once; their sessions end.
    ResetPassword {
        /// Their name.
        name: String,
        /// Remove the second factor too, as when the device is lost.
        #[arg(long)]
        second_factor_too: bool,
    },
    /// Remove an account with its sessions and tokens.
    Remove {
        /// Its name.
        name: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Role {
    /// Configures everything.
    Administrator,
    /// Sees everything that runs and steers it; configures nothing.
    Operator,
    /// Reads the audit log, no more.
    Auditor,
    /// Makes meetings for others to come to.
    Organiser,
    /// Takes part.
    User,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::Organiser => "organiser",
            Self::User => "user",
        }
    }
}

pub async fn run(command: Command, common: &Common) -> Result<(), AdminError> {
    let remote = Remote::signed_in(common)?;
    match command {
        Command::List { search } => {
            let query: Vec<_> = search.into_iter().map(|it| ("q", it)).collect();
            let list = remote.all("/api/v1/accounts", &query).await?;
            show_list(common, &list);
        }
        Command::Show { name } => {
            let account = find(&remote, &name).await?;
            show(common, &account);
        }
        Command::Create { name, display_name, email, role, ask_password } => {
            let password = ask_password.then(|| ask("First password: ")).transpose()?;
            let body = json!({
                "name": name, "display_name": display_name, "email": email, "role": role.word(),
                "password": password,
            });
            let made = remote.send(Method::POST, "/api/v1/accounts", body).await?;
            show_made(common, &made, &format!("{name} is an account now."));
        }
        Command::Change { name, display_name, email, role, disable, enable } => {
            let path = path(&find(&remote, &name).await?);
            let disabled = (disable || enable).then_some(disable);
            let body = json!({
                "display_name": display_name, "email": email, "role": role.map(Role::word),
                "disabled": disabled,
            });
            let account = remote.send(Method::PATCH, &path, body).await?;
            show(common, &account);
        }
        Command::ResetPassword { name, second_factor_too } => {
            let path = format!("{}/password", path(&find(&remote, &name).await?));
            let body = json!({ "second_factor_too": second_factor_too });
            let made = remote.send(Method::POST, &path, body).await?;
            show_made(common, &made, &format!("{name} has a new password."));
        }
        Command::Remove { name } => {
            remote.delete(&path(&find(&remote, &name).await?)).await?;
            if !common.json {
                println!("{name} is no account any more.");
            }
        }
    }
    Ok(())
}

fn show_list(common: &Common, list: &Value) {
    if common.json {
        println!("{list}");
    } else {
        output::table(list, &LISTED);
    }
}

fn show(common: &Common, account: &Value) {
    if common.json {
        println!("{account}");
    } else {
        output::fields(account);
    }
}

/// Tells a password that was made, which nobody sees again.
fn show_made(common: &Common, made: &Value, done: &str) {
    if common.json {
        println!("{made}");
        return;
    }
    println!("{done}");
    if let Some(password) = output::at(made, "password").as_str() {
        println!("First password, shown once, to be changed at the first sign-in: {password}");
    }
}

fn path(account: &Value) -> String {
    format!("/api/v1/accounts/{}", encoded(&output::text(account, "id")))
}

/// The account of a name or id.
pub async fn find(remote: &Remote, name: &str) -> Result<Value, AdminError> {
    let query = [("q", name.to_owned())];
    let list = remote.all("/api/v1/accounts", &query).await?;
    let wanted = name.trim().to_lowercase();
    let is_it = |it: &&Value| *output::at(it, "name") == wanted.as_str();
    let found = list.as_array().and_then(|list| list.iter().find(is_it)).cloned();
    found.ok_or_else(|| AdminError::missing(format!("there is no account {name}")))
}
