//! `/api/v1/meetings/{id}/lobby/{ticket}`: somebody who waits asks how it stands, or goes.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use conference::{JoinError, Waiting};
use room::{Fate, Knock, Refusal};
use serde::Serialize;
use types::{MeetingId, ParticipantKind};
use utoipa::ToSchema;

use crate::Api;
use crate::authorise::meeting_id;
use crate::join::{Entry, JoinAnswer, MeetingAnswer, not_found};
use crate::problem::Problem;
use crate::tickets::Ticket;

/// How long a poll waits for news: shorter than what lies between gives a silent request.
const POLL: Duration = Duration::from_secs(25);

/// Lets somebody in, or has it wait.
pub async fn enter(api: &Api, meeting: MeetingId, entry: Entry) -> Result<Response, Problem> {
    let Some(conference) = api.conference.as_ref().filter(|it| it.has_door(&meeting)) else {
        return entry.answer(api);
    };
    let (identity, name, role) = (entry.identity().clone(), entry.name().to_owned(), entry.role());
    let knock = Knock { identity, name, kind: ParticipantKind::Standard, role };
    let waiting = conference.knock(&meeting, knock).await.map_err(shut)?;
    if waiting.fate() == Some(Fate::Admitted) {
        return entry.answer(api);
    }
    let shown = entry.meeting().clone();
    let ticket = Ticket { meeting, waiting, entry };
    let ticket = api.tickets.issue(ticket).ok_or_else(lobby_full)?;
    Ok(waiting_on(ticket, Some(shown)))
}

fn shut(error: JoinError) -> Problem {
    match error {
        JoinError::NoSuchMeeting => not_found(),
        JoinError::NotNow => Problem::new(StatusCode::FORBIDDEN, "not_now", error.to_string()),
        JoinError::Refused(Refusal::LobbyFull { .. }) => lobby_full(),
        JoinError::Refused(Refusal::Removed) => removed(),
        JoinError::Refused(refusal) => {
            Problem::new(StatusCode::FORBIDDEN, "not_allowed", refusal.to_string())
        }
        JoinError::Stopping | JoinError::NoPorts => {
            let detail = "the server is shutting down: try again in a minute";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
        }
    }
}

fn lobby_full() -> Problem {
    let detail = "too many wait for this meeting: try again in a minute";
    Problem {
        retry_after: Some(60),
        ..Problem::new(StatusCode::TOO_MANY_REQUESTS, "lobby_full", detail)
    }
}

fn removed() -> Problem {
    let detail = "a host has removed you from this meeting";
    Problem::new(StatusCode::FORBIDDEN, "removed", detail)
}

/// Somebody has to wait until a host lets it in.
#[derive(Serialize, ToSchema)]
pub struct WaitingAnswer {
    waiting: WaitingFor,
    /// The meeting; only when the wait begins.
    meeting: Option<MeetingAnswer>,
}

/// How one waits.
#[derive(Serialize, ToSchema)]
struct WaitingFor {
    /// Ask GET /api/v1/meetings/{id}/lobby/{ticket} with it, again and again.
    ticket: String,
    /// Seconds that an answer may take.
    poll: u64,
}

fn waiting_on(ticket: String, meeting: Option<MeetingAnswer>) -> Response {
    let waiting = WaitingFor { ticket, poll: POLL.as_secs() };
    (StatusCode::ACCEPTED, Json(WaitingAnswer { waiting, meeting })).into_response()
}

/// Waits for a host's decision: once there is one, as joining answers; 202 while there is none.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/lobby/{who}", tag = "meetings",
    operation_id = "wait_in_lobby", params(("id" = String, Path), ("who" = String, Path, description = "The ticket")),
    responses((status = 200, body = JoinAnswer), (status = 202, body = WaitingAnswer),
        (status = 410, description = "The meeting has ended")),
    security(()))]
pub async fn poll(
    State(api): State<Api>,
    Path((id, ticket)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let meeting = meeting_id(&api, &id).ok_or_else(no_ticket)?;
    let poll = api.tickets.poll(&meeting, &ticket).ok_or_else(no_ticket)?;
    let Ticket { waiting, entry, .. } = &*poll.ticket;
    match fate(waiting).await {
        None => Ok(waiting_on(ticket, None)),
        Some(Fate::Admitted) => entry.answer(&api),
        Some(Fate::Refused) => {
            let detail = "the host did not let you in";
            Err(Problem::new(StatusCode::FORBIDDEN, "refused", detail))
        }
        Some(Fate::Over) => {
            let detail = "the meeting has ended";
            Err(Problem::new(StatusCode::GONE, "meeting_over", detail))
        }
    }
}

async fn fate(waiting: &Waiting) -> Option<Fate> {
    match waiting.fate() {
        Some(fate) => Some(fate),
        None => tokio::time::timeout(POLL, waiting.settled()).await.ok(),
    }
}

/// Waits no more.
#[utoipa::path(delete, path = "/api/v1/meetings/{id}/lobby/{who}", tag = "meetings",
    operation_id = "leave_lobby", params(("id" = String, Path), ("who" = String, Path, description = "The ticket")),
    responses((status = 204, description = "Gone")), security(()))]
pub async fn leave(
    State(api): State<Api>,
    Path((id, ticket)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let meeting = meeting_id(&api, &id).ok_or_else(no_ticket)?;
    let there = api.tickets.take_back(&meeting, &ticket);
    if there { Ok(StatusCode::NO_CONTENT) } else { Err(no_ticket()) }
}

fn no_ticket() -> Problem {
    let detail = "nobody waits with this ticket: ask to join again";
    Problem::new(StatusCode::NOT_FOUND, "ticket_not_found", detail)
}
