//! `plenum meeting`: meetings as they are booked.

use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::kept::{find, given, list, or_none, show, text};
use super::remote::{AdminError, Remote, encoded, with_query};
use super::settings::Settings;
use super::template::Template;
use super::{Common, account, output};

/// The fields of a list.
const LISTED: [&str; 6] = ["alias", "number", "name", "kind", "schedule.start", "schedule.rrule"];

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List meetings: one's own, or everybody's for those who may see them.
    List {
        /// Only those that contain this.
        search: Option<String>,
    },
    /// Show a meeting.
    Show {
        /// Its alias, number or id.
        meeting: String,
    },
    /// Book a meeting; its number is made.
    Create {
        /// As people know it.
        name: String,
        /// The template that its settings begin with.
        #[arg(long)]
        template: Option<String>,
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Change a meeting; what is left out stays.
    Change {
        /// Its alias, number or id.
        meeting: String,
        /// Another name.
        #[arg(long)]
        rename: Option<String>,
        #[command(flatten)]
        options: Box<Options>,
    },
    /// Remove a meeting; if it runs, it is over.
    Remove {
        /// Its alias, number or id.
        meeting: String,
    },
    /// Print what is sent to those who are invited.
    Invitation {
        /// Its alias, number or id.
        meeting: String,
        /// As an entry for calendars.
        #[arg(long)]
        ics: bool,
        /// In which language.
        #[arg(long, value_parser = ["en", "ru"], default_value = "en")]
        language: String,
    },
    /// Show one's own room, which is made at the first time, or change it.
    Personal {
        #[command(flatten)]
        options: Box<Options>,
    },
}

#[derive(Debug, Args)]
pub struct Options {
    /// The end of its link; one that nobody guesses if left out.
    #[arg(long)]
    alias: Option<String>,
    /// What it is about.
    #[arg(long)]
    description: Option<String>,
    /// The account that it belongs to; one's own if left out.
    #[arg(long)]
    owner: Option<String>,
    /// The local time at which it begins, such as 2030-03-04T09:00.
    #[arg(long)]
    start: Option<String>,
    /// The length of each occurrence.
    #[arg(long)]
    minutes: Option<u32>,
    /// The time zone, such as Europe/Berlin.
    #[arg(long)]
    time_zone: Option<String>,
    /// How it recurs, such as FREQ=WEEKLY; an empty one: once.
    #[arg(long)]
    rrule: Option<String>,
    /// The local start of an occurrence that does not take place; give it once for each. An empty
    /// one: all do.
    #[arg(long = "exdate")]
    exdates: Vec<String>,
    /// Have it always there, without a schedule.
    #[arg(long, conflicts_with_all = ["start", "minutes", "time_zone", "rrule", "exdates"])]
    always: bool,
    /// 4 to 10 digits that guests are asked for; an empty one: nothing is asked.
    #[arg(long)]
    guest_pin: Option<String>,
    /// 4 to 10 digits that make a host; an empty one: nobody becomes host by PIN.
    #[arg(long)]
    host_pin: Option<String>,
    /// Who is invited: an e-mail address or an account's name, with `=host` or `=presenter` behind
    /// it for what they are; give it once for each. An empty one: nobody is.
    #[arg(long = "invite")]
    invited: Vec<String>,
    #[command(flatten)]
    settings: Settings,
}

impl Options {
    async fn fields(self, remote: &Remote) -> Result<Map<String, Value>, AdminError> {
        let owner = match &self.owner {
            Some(name) => Some(output::text(&account::find(remote, name).await?, "id").into()),
            None => None,
        };
        let invited = self.invited.iter().filter(|it| !it.is_empty());
        let invited: Vec<Value> = invited.map(|it| invitee(it)).collect();
        let mut fields = self.settings.fields();
        fields.extend(given([
            ("alias", text(self.alias)),
            ("description", text(self.description)),
            ("owner", owner),
            ("schedule.start", text(self.start)),
            ("schedule.minutes", self.minutes.map(Value::from)),
            ("schedule.time_zone", text(self.time_zone)),
            ("schedule.rrule", or_none(self.rrule)),
            ("schedule.exdates", list(self.exdates)),
            ("guest_pin", or_none(self.guest_pin)),
            ("host_pin", or_none(self.host_pin)),
            ("invited", (!self.invited.is_empty()).then(|| invited.into())),
        ]));
        if self.always {
            fields.insert("schedule".to_owned(), Value::Null);
        }
        Ok(fields)
    }
}

/// Somebody who is invited, as `anna@example.org` or `boris=host`.
fn invitee(text: &str) -> Value {
    let (who, role) = text.split_once('=').unwrap_or((text, "attendee"));
    let key = if who.contains('@') { "email" } else { "account" };
    json!({ key: who, "role": role })
}

fn path(meeting: &str) -> String {
    format!("/api/v1/meetings/{}", encoded(meeting))
}

pub async fn run(command: Command, common: &Common) -> Result<(), AdminError> {
    let remote = Remote::signed_in(common)?;
    match command {
        Command::List { search } => {
            let query: Vec<_> = search.into_iter().map(|it| ("q", it)).collect();
            let meetings = remote.all("/api/v1/meetings", &query).await?;
            if common.json {
                println!("{meetings}");
            } else {
                output::table(&meetings, &LISTED);
            }
        }
        Command::Show { meeting } => show(common, &remote.get(&path(&meeting)).await?),
        Command::Create { name, template, options } => {
            let mut fields = options.fields(&remote).await?;
            fields.insert("name".to_owned(), name.into());
            if let Some(template) = &template {
                let found = find::<Template>(&remote, template).await?;
                fields.insert("template".to_owned(), output::at(&found, "id").clone());
            }
            show(common, &remote.send(Method::POST, "/api/v1/meetings", fields.into()).await?);
        }
        Command::Change { meeting, rename, options } => {
            let mut fields = options.fields(&remote).await?;
            fields.extend(rename.map(|it| ("name".to_owned(), it.into())));
            show(common, &remote.send(Method::PATCH, &path(&meeting), fields.into()).await?);
        }
        Command::Remove { meeting } => {
            remote.delete(&path(&meeting)).await?;
            if !common.json {
                println!("{meeting} is no meeting any more.");
            }
        }
        Command::Invitation { meeting, ics, language } => {
            invitation(&remote, &meeting, ics, language, common).await?;
        }
        Command::Personal { options } => {
            let path = "/api/v1/account/meeting";
            let room = remote.send(Method::PUT, path, json!({})).await?;
            let fields = options.fields(&remote).await?;
            let room = match fields.is_empty() {
                true => room,
                false => remote.send(Method::PATCH, path, fields.into()).await?,
            };
            show(common, &room);
        }
    }
    Ok(())
}

async fn invitation(
    remote: &Remote,
    meeting: &str,
    ics: bool,
    language: String,
    common: &Common,
) -> Result<(), AdminError> {
    let file = if ics { "invitation.ics" } else { "invitation" };
    let path = format!("{}/{file}", path(meeting));
    let mut text = Vec::new();
    let query = [("language", language)].into_iter();
    remote
        .follow(&with_query(&path, query), |part| {
            text.extend_from_slice(part);
            Ok(true)
        })
        .await?;
    let text = String::from_utf8_lossy(&text);
    if common.json {
        println!("{}", json!({ "invitation": text }));
    } else {
        print!("{text}");
    }
    Ok(())
}
