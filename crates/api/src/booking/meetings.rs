//! `/api/v1/meetings`: meetings as they are booked. Everybody's, or one's own, as the rights of whoever
//! asks say.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use conference::Conference;
use conference::booking::{
    Invitee, Meeting, MeetingKind, MeetingRole, PinChange, Schedule, Template, Wanted,
};
use conference::people::{Account, Right, account_name};
use conference::problem::{ProblemCode, Problems};
use conference::store::Found;
use room::{Command, LeaveReason};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::{MeetingId, RecordId};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{Object, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::settings::SettingsFields;
use crate::Api;
use crate::caller::{Caller, now};
use crate::kept::{change_of, changed, fields_of, given, read_fields, words};
use crate::problem::{Problem, invalid, kept_failed, store_failed};
use crate::wire::{Asked, Body, ListQuery, Page, Versioned, expected, record_id, written};

/// A meeting to be booked. Without a schedule it is always there.
// No Debug: it may hold PINs.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MeetingFields)]
pub struct Fields {
    /// As people know it, 200 characters at most.
    name: String,
    /// The end of its link: letters, digits, '-', '_' and '.', with a letter; left out, it gets one
    /// that nobody guesses.
    #[serde(default)]
    alias: Option<String>,
    /// What it is about.
    #[serde(default)]
    description: String,
    /// The id of the account that it belongs to, which is a host of it; left out, one's own. Others'
    /// need `meetings.write`.
    #[serde(default)]
    owner: Option<String>,
    /// When it takes place; null: always.
    #[serde(default)]
    schedule: Option<ScheduleFields>,
    /// 4 to 10 digits that guests are asked for; null: nothing is asked. Never answered.
    #[serde(default, skip_serializing, deserialize_with = "given")]
    #[schema(value_type = Option<String>, write_only)]
    guest_pin: Option<Option<String>>,
    /// 4 to 10 digits that make whoever knows them a host; null: nobody becomes host by PIN. Never
    /// answered.
    #[serde(default, skip_serializing, deserialize_with = "given")]
    #[schema(value_type = Option<String>, write_only)]
    host_pin: Option<Option<String>>,
    /// Who is invited.
    #[serde(default)]
    invited: Vec<InviteeFields>,
    #[serde(default)]
    settings: SettingsFields,
    /// The id of the template that a new meeting's settings begin with.
    #[serde(default)]
    template: Option<String>,
}

/// When a meeting takes place.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Schedule)]
pub struct ScheduleFields {
    /// The local time at which the first occurrence begins, such as 2030-03-04T09:00.
    start: String,
    /// The length of each occurrence.
    #[schema(minimum = 1, maximum = 10_080)]
    minutes: u32,
    /// The time zone by its IANA name, such as Europe/Berlin.
    time_zone: String,
    /// How it recurs, such as FREQ=WEEKLY;BYDAY=MO (RFC 5545); null: it takes place once.
    #[serde(default)]
    rrule: Option<String>,
    /// Local starts of occurrences that do not take place.
    #[serde(default)]
    exdates: Vec<String>,
}

/// Somebody who is invited: an account, an e-mail address, or both.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Invitee)]
pub struct InviteeFields {
    /// The id of their account, or the name that they sign in with; answered is the id.
    #[serde(default)]
    account: Option<String>,
    #[serde(default)]
    email: Option<String>,
    /// As people know them.
    #[serde(default)]
    name: String,
    /// What they are in the meeting; a host who is signed in needs no PIN.
    #[serde(default)]
    #[schema(schema_with = words::meeting_role)]
    role: MeetingRole,
}

/// What is changed of a meeting.
pub struct MeetingChange;

impl PartialSchema for MeetingChange {
    fn schema() -> RefOr<Schema> {
        let fields: Object = change_of(fields_of::<Fields>());
        RefOr::T(Schema::Object(fields))
    }
}

impl ToSchema for MeetingChange {
    fn name() -> std::borrow::Cow<'static, str> {
        "MeetingChange".into()
    }
}

/// A meeting as it was booked.
#[derive(Serialize, ToSchema)]
#[schema(as = Meeting)]
pub struct MeetingAnswer {
    id: String,
    /// The end of its link, and what can be dialled where there are letters.
    alias: String,
    /// What is dialled where there are digits alone.
    number: String,
    name: String,
    description: String,
    /// The id of the account that it belongs to.
    owner: String,
    #[schema(schema_with = words::meeting_kind)]
    kind: MeetingKind,
    schedule: Option<ScheduleFields>,
    /// Whether guests are asked for a PIN.
    has_guest_pin: bool,
    /// Whether a PIN makes hosts.
    has_host_pin: bool,
    invited: Vec<InviteeFields>,
    settings: SettingsFields,
    /// The id of the template that it was made from.
    template: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    changed_at: String,
}

impl From<Found<Meeting>> for MeetingAnswer {
    fn from(found: Found<Meeting>) -> Self {
        let (id, alias) = (found.id.to_string(), found.entity.alias.to_string());
        let (number, kind) = (found.entity.number.to_string(), found.entity.kind);
        let owner = found.entity.owner.to_string();
        let has_guest_pin = found.entity.guest_pin.is_some();
        let has_host_pin = found.entity.host_pin.is_some();
        let (created_at, changed_at) = (written(found.created_at), written(found.changed_at));
        let Fields { name, description, schedule, invited, settings, template, .. } =
            fields(found.entity);
        Self {
            id,
            alias,
            number,
            name,
            description,
            owner,
            kind,
            schedule,
            has_guest_pin,
            has_host_pin,
            invited,
            settings,
            template,
            created_at,
            changed_at,
        }
    }
}

fn fields(meeting: Meeting) -> Fields {
    let schedule = meeting.schedule.map(|it| {
        let Schedule { start, minutes, time_zone, rrule, exdates } = it;
        ScheduleFields { start, minutes, time_zone, rrule, exdates }
    });
    let invitee = |it: Invitee| {
        let Invitee { account, email, name, role } = it;
        InviteeFields { account: account.map(|it| it.to_string()), email, name, role }
    };
    Fields {
        name: meeting.name,
        alias: Some(meeting.alias.to_string()),
        description: meeting.description,
        owner: Some(meeting.owner.to_string()),
        schedule,
        guest_pin: None,
        host_pin: None,
        invited: meeting.invited.into_iter().map(invitee).collect(),
        settings: meeting.settings.into(),
        template: meeting.template.map(|it| it.to_string()),
    }
}

impl Fields {
    fn read(self) -> Result<Wanted, Problem> {
        let mut problems = Problems::new();
        let alias = self.alias.as_deref().and_then(|it| {
            let read = MeetingId::parse(it);
            read.map_err(|error| problems.add("alias", ProblemCode::Format, error.to_string())).ok()
        });
        let settings = self.settings.read(&mut problems);
        problems.into_result().map_err(invalid)?;
        let schedule = self.schedule.map(|it| {
            let ScheduleFields { start, minutes, time_zone, rrule, exdates } = it;
            Schedule { start, minutes, time_zone, rrule, exdates }
        });
        let invitee = |it: InviteeFields| {
            let InviteeFields { account, email, name, role } = it;
            Invitee { account: account.map(RecordId::new), email, name, role }
        };
        Ok(Wanted {
            name: self.name,
            alias,
            description: self.description,
            owner: self.owner.map(RecordId::new),
            schedule,
            guest_pin: pin(self.guest_pin),
            host_pin: pin(self.host_pin),
            invited: self.invited.into_iter().map(invitee).collect(),
            settings,
            template: self.template.map(RecordId::new),
        })
    }
}

/// Accounts that are named instead of given by their ids: who invites may not list accounts. One that
/// there is not stays as it is, and is told with everything else that is wrong.
async fn resolved(api: &Api, mut fields: Fields) -> Result<Fields, Problem> {
    let records = api.keeper()?.records();
    for invitee in &mut fields.invited {
        let name = invitee.account.as_deref().and_then(|it| account_name(it).ok());
        let Some(name) = name.filter(|it| record_id(it).is_err()) else { continue };
        let found = records.find::<Account>(Account::NAME, &name).await.map_err(store_failed)?;
        if let Some(found) = found {
            invitee.account = Some(found.id.to_string());
            if invitee.name.is_empty() {
                invitee.name = found.entity.display_name;
            }
        }
    }
    Ok(fields)
}

fn pin(given: Option<Option<String>>) -> PinChange {
    match given {
        None => PinChange::Keep,
        Some(None) => PinChange::Remove,
        Some(Some(pin)) => PinChange::Set(pin),
    }
}

/// Lists meetings: one's own, or everybody's with `meetings.read`.
#[utoipa::path(get, path = "/api/v1/meetings", tag = "meetings", operation_id = "list_meetings",
    params(ListQuery), responses((status = 200, body = Page<MeetingAnswer>)),
    security(("session" = ["meetings.own.read"]), ("token" = ["meetings.own.read"])))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(query): Asked<ListQuery>,
) -> Result<Json<Page<MeetingAnswer>>, Problem> {
    let who = caller.needs_one(&api, [Right::MeetingsOwn, Right::MeetingsRead]).await?;
    let found = api.bookings()?.list(who, query.search()?).await.map_err(kept_failed)?;
    Ok(Page::of(found, MeetingAnswer::from))
}

/// Books a meeting, under a random number.
#[utoipa::path(post, path = "/api/v1/meetings", tag = "meetings", operation_id = "create_meeting",
    request_body = Fields, responses((status = 201, body = MeetingAnswer)),
    security(("session" = ["meetings.own.write"]), ("token" = ["meetings.own.write"])))]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body<Value>,
) -> Result<Versioned<MeetingAnswer>, Problem> {
    let who = caller.needs_one(&api, WRITE).await?;
    let mut sent = body.read()?;
    if let Some(settings) = from_template(&api, &sent).await?
        && let Value::Object(fields) = &mut sent
    {
        let change = fields.remove("settings").unwrap_or_else(|| Value::Object(Default::default()));
        let settings: SettingsFields = changed(&settings, change, &[])?;
        let settings = serde_json::to_value(settings).unwrap_or_default();
        fields.insert("settings".to_owned(), settings);
    }
    let wanted = resolved(&api, read_fields(sent)?).await?.read()?;
    let found = api.bookings()?.create(who, wanted, now()).await.map_err(kept_failed)?;
    Ok(Versioned(StatusCode::CREATED, found.version, found.into()))
}

/// The settings that a new meeting begins with.
async fn from_template(api: &Api, sent: &Value) -> Result<Option<SettingsFields>, Problem> {
    let Some(id) = sent.get("template").and_then(Value::as_str) else { return Ok(None) };
    let found = api.keeper()?.get::<Template>(&RecordId::new(id), None).await;
    // That there is none is told with everything else that is wrong.
    Ok(found.ok().map(|it| it.entity.settings.into()))
}

/// The rights by which somebody may write: everybody's meetings, or one's own.
const WRITE: [Right; 2] = [Right::MeetingsOwnWrite, Right::MeetingsWrite];

/// Shows a meeting by its id, alias or number.
#[utoipa::path(get, path = "/api/v1/meetings/{id}", tag = "meetings", operation_id = "get_meeting",
    params(("id" = String, Path)), responses((status = 200, body = MeetingAnswer)),
    security(("session" = ["meetings.own.read"]), ("token" = ["meetings.own.read"])))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Versioned<MeetingAnswer>, Problem> {
    let who = caller.needs_one(&api, [Right::MeetingsOwn, Right::MeetingsRead]).await?;
    let found = api.bookings()?.show(who, &id, None).await.map_err(kept_failed)?;
    Ok(Versioned(StatusCode::OK, found.version, found.into()))
}

/// Changes a meeting: what is left out stays, null takes away.
#[utoipa::path(patch, path = "/api/v1/meetings/{id}", tag = "meetings",
    operation_id = "change_meeting",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = MeetingChange, responses((status = 200, body = MeetingAnswer)),
    security(("session" = ["meetings.own.write"]), ("token" = ["meetings.own.write"])))]
pub async fn change(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body<Value>,
) -> Result<Versioned<MeetingAnswer>, Problem> {
    let who = caller.needs_one(&api, WRITE).await?;
    let (version, bookings) = (expected(&headers)?, api.bookings()?);
    let before = bookings.show(who, &id, version).await.map_err(kept_failed)?;
    let wanted = wanted(&api, &before.entity, body.read()?).await?;
    let found = bookings.change(who, before, wanted, now()).await.map_err(kept_failed)?;
    Ok(Versioned(StatusCode::OK, found.version, found.into()))
}

/// A meeting as it is to be: what is left out stays, null takes away.
async fn wanted(api: &Api, before: &Meeting, sent: Value) -> Result<Wanted, Problem> {
    let wanted = changed(&fields(before.clone()), sent, &[])?;
    let wanted = resolved(api, wanted).await?.read()?;
    if wanted.template != before.template {
        let mut problems = Problems::new();
        let text = "a meeting keeps the template that it was made from";
        problems.add("template", ProblemCode::Conflict, text);
        return Err(invalid(problems));
    }
    Ok(wanted)
}

/// Removes a meeting; if it runs, it is over.
#[utoipa::path(delete, path = "/api/v1/meetings/{id}", tag = "meetings",
    operation_id = "remove_meeting",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "It is gone")),
    security(("session" = ["meetings.own.write"]), ("token" = ["meetings.own.write"])))]
pub async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let who = caller.needs_one(&api, WRITE).await?;
    let (version, bookings) = (expected(&headers)?, api.bookings()?);
    let found = bookings.show(who, &id, version).await.map_err(kept_failed)?;
    bookings.remove(who, &found, now()).await.map_err(kept_failed)?;
    if let Some(conference) = &api.conference {
        end(conference, &found.entity.alias).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn end(conference: &Conference, alias: &MeetingId) {
    if let Some(running) = conference.find(alias) {
        // It may have ended by itself meanwhile.
        let _ = running.execute(Command::End(LeaveReason::MeetingEnded)).await;
    }
}

/// One's own room, which is made at the first time that it is asked for.
#[utoipa::path(put, path = "/api/v1/account/meeting", tag = "meetings",
    operation_id = "open_personal_meeting",
    responses((status = 200, body = MeetingAnswer), (status = 201, body = MeetingAnswer)),
    security(("session" = ["meetings.own.read"]), ("token" = ["meetings.own.read"])))]
pub async fn personal(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Versioned<MeetingAnswer>, Problem> {
    let who = caller.needs(&api, Right::MeetingsOwn).await?;
    let (found, made) = api.bookings()?.personal(who, now()).await.map_err(kept_failed)?;
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Versioned(status, found.version, found.into()))
}

/// Changes one's own room: what is left out stays, null takes away. Alias, owner, schedule and who is
/// called stay as they are.
#[utoipa::path(patch, path = "/api/v1/account/meeting", tag = "meetings",
    operation_id = "change_personal_meeting", params(("If-Match" = Option<String>, Header)),
    request_body = MeetingChange, responses((status = 200, body = MeetingAnswer)),
    security(("session" = ["meetings.personal.write"]), ("token" = ["meetings.personal.write"])))]
pub async fn change_personal(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    body: Body<Value>,
) -> Result<Versioned<MeetingAnswer>, Problem> {
    let who = caller.needs(&api, Right::MeetingsPersonal).await?;
    let (version, bookings) = (expected(&headers)?, api.bookings()?);
    let before = bookings.show_personal(who, version).await.map_err(kept_failed)?;
    let wanted = wanted(&api, &before.entity, body.read()?).await?;
    let found = bookings.change_personal(who, before, wanted, now()).await.map_err(kept_failed)?;
    Ok(Versioned(StatusCode::OK, found.version, found.into()))
}
