//! Live control: what a host, or an application's key, does to a meeting that runs.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use conference::{ExecuteError, MeetingSnapshot};
use room::{Act, Ask, Command, LiveChange, Medium, Refusal, Role, RoleError};
use serde::Deserialize;
use serde_json::Value;
use types::Identity;
use utoipa::ToSchema;

use crate::Api;
use crate::authorise::{Steering, WhoAsks, steering};
use crate::join::{unreadable, valid_name};
use crate::problem::Problem;
use crate::roster;

type Body<T> = Result<Json<T>, JsonRejection>;

/// What of somebody is muted; `true` where it is not said.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MuteBody {
    #[serde(default)]
    source: Source,
    muted: Option<bool>,
}

#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MuteSource)]
enum Source {
    #[default]
    Microphone,
    Camera,
    Screen,
}

/// Whether people may unmute themselves afterwards.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MuteAllBody {
    allow_unmute: Option<bool>,
}

/// What a person is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskBody {
    what: What,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AskFor)]
enum What {
    Unmute,
    Camera,
}

/// What is changed of a participant.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ParticipantChange {
    name: Option<String>,
    role: Option<String>,
}

/// What is changed of the meeting.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LiveBody {
    lobby: Option<bool>,
    locked: Option<bool>,
    mute_on_entry: Option<bool>,
    allow_unmute: Option<bool>,
    attendees_listen: Option<bool>,
}

impl Steering {
    pub async fn act(&self, act: Act) -> Result<(), Problem> {
        let (actor, note) = (self.actor.clone(), self.note(&act));
        let done = self.meeting.execute(Command::Steer { actor, act }).await;
        if let Some(note) = note {
            note.write(done.as_ref().err()).await?;
        }
        done.map_err(refused)
    }

    /// How the meeting stands, for who may steer it.
    async fn look(&self) -> Result<MeetingSnapshot, Problem> {
        self.act(Act::Look).await?;
        self.meeting.snapshot().await.ok_or_else(|| refused(ExecuteError::Over))
    }
}

/// An act that is answered without a body.
async fn act(api: &Api, id: &str, who: WhoAsks, act: Act) -> Result<StatusCode, Problem> {
    steering(api, id, who).await?.act(act).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists who is in a running meeting, with their tracks.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/participants", tag = "live",
    operation_id = "list_participants", params(("id" = String, Path)),
    responses((status = 200, body = serde_json::Value)),
    security(("session" = ["live.read"]), ("token" = ["live.read"]), ("livekit" = ["roomAdmin"])))]
pub async fn participants(
    State(api): State<Api>,
    Path(id): Path<String>,
    who_asks: WhoAsks,
) -> Result<Json<Value>, Problem> {
    let snapshot = steering(&api, &id, who_asks).await?.look().await?;
    Ok(Json(roster::participants(&snapshot)))
}

/// Changes a participant's name or role; handing the meeting over is a role as well.
#[utoipa::path(patch, path = "/api/v1/meetings/{id}/participants/{who}", tag = "live",
    operation_id = "change_participant", params(("id" = String, Path), ("who" = String, Path)), request_body = ParticipantChange,
    responses((status = 200, body = serde_json::Value)),
    security(("session" = ["live.steer"]), ("token" = ["live.steer"]), ("livekit" = ["roomAdmin"])))]
pub async fn change(
    State(api): State<Api>,
    Path((id, who)): Path<(String, String)>,
    who_asks: WhoAsks,
    body: Body<ParticipantChange>,
) -> Result<Json<Value>, Problem> {
    let host = steering(&api, &id, who_asks).await?;
    let Json(ParticipantChange { name, role }) = body.map_err(unreadable)?;
    // Both are read before one is changed.
    let name = name.as_deref().map(valid_name).transpose()?;
    let role = role.as_deref().map(read_role).transpose()?;
    host.act(Act::Look).await?;
    let identity = Identity::new(who);
    if let Some(name) = name {
        host.act(Act::Rename { identity: identity.clone(), name }).await?;
    }
    if let Some(role) = role {
        host.act(Act::SetRole { identity: identity.clone(), role }).await?;
    }
    // Not by another look: whoever gave its own role away may not, and still hears what it did.
    let snapshot = host.meeting.snapshot().await.ok_or_else(|| refused(ExecuteError::Over))?;
    let found = snapshot.participants.iter().find(|it| it.identity == identity);
    found
        .map(|it| Json(roster::participant(it)))
        .ok_or_else(|| refused(ExecuteError::Refused(Refusal::NoSuchParticipant(identity))))
}

fn read_role(text: &str) -> Result<Role, Problem> {
    text.parse().map_err(|error: RoleError| {
        let detail = format!("`role` is {text:?}: {error}");
        Problem::new(StatusCode::BAD_REQUEST, "role_invalid", detail)
    })
}

/// Removes a participant.
#[utoipa::path(delete, path = "/api/v1/meetings/{id}/participants/{who}", tag = "live",
    operation_id = "remove_participant", params(("id" = String, Path), ("who" = String, Path)),
    responses((status = 204, description = "Done")),
    security(("session" = ["live.steer"]), ("token" = ["live.steer"]), ("livekit" = ["roomAdmin"])))]
pub async fn remove(
    State(api): State<Api>,
    Path((id, who)): Path<(String, String)>,
    who_asks: WhoAsks,
) -> Result<StatusCode, Problem> {
    act(&api, &id, who_asks, Act::Remove(Identity::new(who))).await
}

/// Mutes a participant's microphone, camera or screen, or lifts a room system's mute.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/participants/{who}/mute", tag = "live",
    operation_id = "mute_participant", params(("id" = String, Path), ("who" = String, Path)), request_body = MuteBody,
    responses((status = 204, description = "Done")),
    security(("session" = ["live.steer"]), ("token" = ["live.steer"]), ("livekit" = ["roomAdmin"])))]
pub async fn mute(
    State(api): State<Api>,
    Path((id, who)): Path<(String, String)>,
    who_asks: WhoAsks,
    body: Body<MuteBody>,
) -> Result<StatusCode, Problem> {
    let host = steering(&api, &id, who_asks).await?;
    let Json(MuteBody { source, muted }) = body.map_err(unreadable)?;
    let medium = match source {
        Source::Microphone => Medium::Microphone,
        Source::Camera => Medium::Camera,
        Source::Screen => Medium::Screen,
    };
    let (identity, muted) = (Identity::new(who), muted.unwrap_or(true));
    host.act(Act::Mute { identity, medium, muted }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks a person to unmute or to start the camera.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/participants/{who}/ask", tag = "live",
    operation_id = "ask_participant", params(("id" = String, Path), ("who" = String, Path)), request_body = AskBody,
    responses((status = 204, description = "Done")),
    security(("session" = ["live.steer"]), ("token" = ["live.steer"]), ("livekit" = ["roomAdmin"])))]
pub async fn ask(
    State(api): State<Api>,
    Path((id, who)): Path<(String, String)>,
    who_asks: WhoAsks,
    body: Body<AskBody>,
) -> Result<StatusCode, Problem> {
    let host = steering(&api, &id, who_asks).await?;
    let Json(AskBody { what }) = body.map_err(unreadable)?;
    let what = match what {
        What::Unmute => Ask::Unmute,
        What::Camera => Ask::Camera,
    };
    host.act(Act::Ask { identity: Identity::new(who), what }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Moves a participant to the lobby.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/participants/{who}/to-lobby", tag = "live",
    operation_id = "move_to_lobby", params(("id" = String, Path), ("who" = String, Path)),
    responses((status = 204, description = "Done")),
    security(("session" = ["live.steer"]), ("token" = ["live.steer"]), ("livekit" = ["roomAdmin"])))]
pub async fn to_lobby(
    State(api): State<Api>,
    Path((id, who)): Path<(String, String)>,
    who_asks: WhoAsks,
) -> Result<StatusCode, Problem> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since_ms = since.map_or(0, |since| since.as_millis() as i64);
    act(&api, &id, who_asks, Act::ToLobby { identity: Identity::new(who), since_ms }).await
}

/// Mutes all who are no hosts.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/mute-all", tag = "live",
    operation_id = "mute_all", params(("id" = String, Path)), request_body = MuteAllBody,
    responses((status = 204, description = "Done")),
    security(("session" = ["live.steer"]), ("token" = ["live.steer"]), ("livekit" = ["roomAdmin"])))]
pub async fn mute_all(
    State(api): State<Api>,
    Path(id): Path<String>,
    who_asks: WhoAsks,
    body: Body<MuteAllBody>,
) -> Result<StatusCode, Problem> {
    let host = steering(&api, &id, who_asks).await?;
    let Json(MuteAllBody { allow_unmute }) = body.map_err(unreadable)?;
    host.act(Act::MuteAll { allow_unmute }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows who waits, and how the door stands.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/lobby", tag = "live",
    operation_id = "show_lobby", params(("id" = String, Path)),
    responses((status = 200, body = serde_json::Value)),
    security(("session" = ["live.read"]), ("token" = ["live.read"]), ("livekit" = ["roomAdmin"])))]
pub async fn lobby(
    State(api): State<Api>,
    Path(id): Path<String>,
    who_asks: WhoAsks,
) -> Result<Json<Value>, Problem> {
    let snapshot = steering(&api, &id, who_asks).await?.look().await?;
    Ok(Json(roster::lobby(&snapshot.lobby)))
}

/// Lets somebody in who waits.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/lobby/{who}/admit", tag = "live",
    operation_id = "admit", params(("id" = String, Path), ("who" = String, Path)),
    responses((status = 204, description = "Done")),
    security(("session" = ["live.steer"]), ("token" = ["live.steer"]), ("livekit" = ["roomAdmin"])))]
pub async fn admit(
    State(api): State<Api>,
    Path((id, who)): Path<(String, String)>,
    who_asks: WhoAsks,
) -> Result<StatusCode, Problem> {
    act(&api, &id, who_asks, Act::Admit(Identity::new(who))).await
}

/// Sends somebody away who waits.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/lobby/{who}/refuse", tag = "live",
    operation_id = "refuse", params(("id" = String, Path), ("who" = String, Path)),
    responses((status = 204, description = "Done")),
    security(("session" = ["live.steer"]), ("token" = ["live.steer"]), ("livekit" = ["roomAdmin"])))]
pub async fn refuse(
    State(api): State<Api>,
    Path((id, who)): Path<(String, String)>,
    who_asks: WhoAsks,
) -> Result<StatusCode, Problem> {
    act(&api, &id, who_asks, Act::Refuse(Identity::new(who))).await
}

/// Lets all in who wait.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/lobby/admit-all", tag = "live",
    operation_id = "admit_all", params(("id" = String, Path)),
    responses((status = 204, description = "Done")),
    security(("session" = ["live.steer"]), ("token" = ["live.steer"]), ("livekit" = ["roomAdmin"])))]
pub async fn admit_all(
    State(api): State<Api>,
    Path(id): Path<String>,
    who_asks: WhoAsks,
) -> Result<StatusCode, Problem> {
    act(&api, &id, who_asks, Act::AdmitAll).await
}

/// Sends all away who wait.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/lobby/refuse-all", tag = "live",
    operation_id = "refuse_all", params(("id" = String, Path)),
    responses((status = 204, description = "Done")),
    security(("session" = ["live.steer"]), ("token" = ["live.steer"]), ("livekit" = ["roomAdmin"])))]
pub async fn refuse_all(
    State(api): State<Api>,
    Path(id): Path<String>,
    who_asks: WhoAsks,
) -> Result<StatusCode, Problem> {
    act(&api, &id, who_asks, Act::RefuseAll).await
}

/// Locks, opens the lobby, mutes who enters.
#[utoipa::path(patch, path = "/api/v1/meetings/{id}/live", tag = "live",
    operation_id = "set_live", params(("id" = String, Path)), request_body = LiveBody,
    responses((status = 200, body = serde_json::Value)),
    security(("session" = ["live.steer"]), ("token" = ["live.steer"]), ("livekit" = ["roomAdmin"])))]
pub async fn set_live(
    State(api): State<Api>,
    Path(id): Path<String>,
    who_asks: WhoAsks,
    body: Body<LiveBody>,
) -> Result<Json<Value>, Problem> {
    let host = steering(&api, &id, who_asks).await?;
    let Json(body) = body.map_err(unreadable)?;
    let LiveBody { lobby, locked, mute_on_entry, allow_unmute, attendees_listen } = body;
    let change = LiveChange { lobby, locked, mute_on_entry, allow_unmute, attendees_listen };
    host.act(Act::SetLive(change)).await?;
    Ok(Json(roster::live(host.look().await?.lobby.live)))
}

/// Ends the meeting for all.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/end", tag = "live",
    operation_id = "end_meeting", params(("id" = String, Path)),
    responses((status = 204, description = "Done")),
    security(("session" = ["live.steer"]), ("token" = ["live.steer"]), ("livekit" = ["roomAdmin"])))]
pub async fn end(
    State(api): State<Api>,
    Path(id): Path<String>,
    who_asks: WhoAsks,
) -> Result<StatusCode, Problem> {
    act(&api, &id, who_asks, Act::End).await
}

fn refused(error: ExecuteError) -> Problem {
    let detail = error.to_string();
    let (status, code) = match error {
        ExecuteError::Over => (StatusCode::NOT_FOUND, "meeting_not_running"),
        ExecuteError::Refused(refusal) => match refusal {
            Refusal::NotAllowed(_) => (StatusCode::FORBIDDEN, "not_allowed"),
            Refusal::NoSuchParticipant(_) | Refusal::NotInMeeting => {
                (StatusCode::NOT_FOUND, "participant_not_found")
            }
            Refusal::NoSuchTrack(_) => (StatusCode::NOT_FOUND, "track_not_found"),
            Refusal::NotWaiting(_) => (StatusCode::NOT_FOUND, "not_waiting"),
            Refusal::AskInstead => (StatusCode::CONFLICT, "ask_instead"),
            Refusal::MutedItself => (StatusCode::CONFLICT, "muted_itself"),
            Refusal::NoPerson => (StatusCode::CONFLICT, "no_person"),
            Refusal::LobbyFull { .. } => (StatusCode::CONFLICT, "lobby_full"),
            Refusal::TooLong { .. } | Refusal::NoLayout(_) => (StatusCode::BAD_REQUEST, "invalid"),
            Refusal::MeetingFull { .. }
            | Refusal::TooManyTracks { .. }
            | Refusal::NotEncrypted
            | Refusal::HasToWait
            | Refusal::Removed => (StatusCode::CONFLICT, "not_possible"),
        },
    };
    Problem::new(status, code, detail)
}
