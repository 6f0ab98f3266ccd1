//! `/api/v1/meetings/{id}/invitation`: what is sent to those who are invited.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use conference::booking::invitation::ics::{self, Event, Method};
use conference::booking::invitation::text::{GuestPin, Invitation, Language, plain};
use conference::booking::invitation::{Party, uid};
use conference::booking::{Meeting, Timetable};
use conference::people::{Account, Right};
use conference::store::Found;
use serde::Deserialize;
use types::RecordId;
use utoipa::{IntoParams, ToSchema};

use crate::Api;
use crate::caller::{Caller, now};
use crate::problem::{Problem, invalid, kept_failed, store_failed};
use crate::wire::Asked;

/// How an invitation is written.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct InvitationQuery {
    /// In which language; English if left out.
    #[param(inline)]
    language: Option<Tongue>,
}

/// A language.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[schema(as = Language)]
enum Tongue {
    #[serde(rename = "en")]
    English,
    #[serde(rename = "ru")]
    Russian,
}

impl InvitationQuery {
    fn language(&self) -> Language {
        match self.language {
            None | Some(Tongue::English) => Language::English,
            Some(Tongue::Russian) => Language::Russian,
        }
    }
}

/// An invitation as a text, for a mail or a chat. The link is that of the address by which this is
/// asked for.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/invitation", tag = "meetings",
    operation_id = "get_invitation", params(("id" = String, Path), InvitationQuery),
    responses((status = 200, body = String, content_type = "text/plain")),
    security(("session" = ["meetings.own.read"]), ("token" = ["meetings.own.read"])))]
pub async fn text(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Asked(query): Asked<InvitationQuery>,
) -> Result<Response, Problem> {
    let letter = Letter::of(&api, &caller, &id, &headers).await?;
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((kind, letter.text(query.language())).into_response())
}

/// An invitation as an entry for calendars (iCalendar), of a meeting that has a schedule.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/invitation.ics", tag = "meetings",
    operation_id = "get_invitation_ics", params(("id" = String, Path), InvitationQuery),
    responses((status = 200, body = String, content_type = "text/calendar"),
        (status = 409, description = "It has no schedule, or nobody who can invite")),
    security(("session" = ["meetings.own.read"]), ("token" = ["meetings.own.read"])))]
pub async fn calendar(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Asked(query): Asked<InvitationQuery>,
) -> Result<Response, Problem> {
    let letter = Letter::of(&api, &caller, &id, &headers).await?;
    let calendar = letter.calendar(&api, query.language()).await?;
    let kind = [(header::CONTENT_TYPE, ics::content_type(Method::Request))];
    Ok((kind, calendar).into_response())
}

/// All that an invitation is made of.
struct Letter {
    found: Found<Meeting>,
    timetable: Option<Timetable>,
    organizer: Option<Account>,
    /// Without port.
    host: String,
    link: String,
}

impl Letter {
    async fn of(
        api: &Api,
        caller: &Caller,
        id: &str,
        headers: &HeaderMap,
    ) -> Result<Self, Problem> {
        let who = caller.needs_one(api, [Right::MeetingsOwn, Right::MeetingsRead]).await?;
        let found = api.bookings()?.show(who, id, None).await.map_err(kept_failed)?;
        let schedule = found.entity.schedule.as_ref();
        let timetable = schedule.map(|it| it.timetable()).transpose().map_err(invalid)?;
        let organizer = account(api, &found.entity.owner).await?;
        let root = match &api.public_url {
            Some(url) => url.clone(),
            None => {
                let scheme = if api.secure { "https" } else { "http" };
                format!("{scheme}://{}", authority(headers)?)
            }
        };
        let link = format!("{root}/m/{}", found.entity.alias);
        let authority = root.split_once("//").map_or(root.as_str(), |it| it.1);
        let host = authority.rsplit_once(':').filter(|it| !it.1.ends_with(']'));
        let host = host.map_or(authority, |it| it.0).to_owned();
        Ok(Self { found, timetable, organizer, host, link })
    }

    fn text(&self, language: Language) -> String {
        let meeting = &self.found.entity;
        let organizer = self.organizer.as_ref().map_or("", |it| &it.display_name);
        plain(
            &Invitation {
                organizer,
                name: &meeting.name,
                description: &meeting.description,
                link: &self.link,
                number: &meeting.number,
                alias: &meeting.alias,
                sip_host: meeting.settings.room_systems.then_some(&self.host),
                e2ee: meeting.settings.e2ee,
                pin: match meeting.guest_pin {
                    Some(_) => GuestPin::Asked,
                    None => GuestPin::NotAsked,
                },
                timetable: self.timetable.as_ref(),
            },
            language,
        )
    }

    async fn calendar(&self, api: &Api, language: Language) -> Result<String, Problem> {
        let conflict = |code, detail: &str| Problem::new(StatusCode::CONFLICT, code, detail);
        let no_schedule = "the meeting has no schedule: there is nothing to enter into a calendar";
        let timetable =
            self.timetable.as_ref().ok_or_else(|| conflict("not_scheduled", no_schedule))?;
        let account = self.organizer.as_ref();
        let organizer = Party {
            name: account.map(|it| it.display_name.clone()).unwrap_or_default(),
            email: account.and_then(|it| it.email.clone()).unwrap_or_default(),
        };
        let meeting = &self.found.entity;
        let mut attendees = Vec::new();
        for invitee in &meeting.invited {
            let account = match (&invitee.email, &invitee.account) {
                (None, Some(id)) => account_email(api, id).await?,
                _ => None,
            };
            if let Some(email) = invitee.email.clone().or(account) {
                attendees.push(Party { name: invitee.name.clone(), email });
            }
        }
        let event = Event {
            uid: &uid(&self.found.id, &self.host),
            version: self.found.version,
            now: now(),
            name: &meeting.name,
            text: &self.text(language),
            link: &self.link,
            organizer: &organizer,
            attendees: &attendees,
            timetable,
        };
        let no_email = "who invites has no e-mail address: give the meeting's owner one";
        let written = ics::calendar(&event, Method::Request);
        written.map_err(|_| conflict("no_email", no_email))
    }
}

async fn account(api: &Api, id: &RecordId) -> Result<Option<Account>, Problem> {
    let found = api.people()?.records().get::<Account>(id).await.map_err(store_failed)?;
    Ok(found.map(|it| it.entity))
}

async fn account_email(api: &Api, id: &RecordId) -> Result<Option<String>, Problem> {
    Ok(account(api, id).await?.and_then(|it| it.email))
}

/// The host and port by which this server is asked.
fn authority(headers: &HeaderMap) -> Result<&str, Problem> {
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if host.is_empty() || host.len() > 255 || !host.bytes().all(plain) {
        let detail = "the request's Host is no name or address of a server";
        return Err(Problem::bad("host_invalid", detail));
    }
    Ok(host)
}
