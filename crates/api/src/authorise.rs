//! Who may steer a meeting: the one place that decides it.

use std::net::IpAddr;
use std::time::SystemTime;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use conference::access::Grant;
use conference::people::{ApiToken, Right};
use conference::store::{self, ActorKind, Batch, Outcome, Target};
use conference::{Conference, ExecuteError, MeetingHandle};
use room::{Act, Actor};
use types::{Identity, MeetingId};

use crate::Api;
use crate::caller::{self, Caller, now};
use crate::problem::{Problem, store_failed};

/// Who asks to steer.
pub enum WhoAsks {
    /// An account of the house.
    Account(Box<Caller>),
    /// Whoever holds a LiveKit token.
    Holder {
        /// The token.
        token: String,
        /// From where.
        from: IpAddr,
    },
}

impl FromRequestParts<Api> for WhoAsks {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        match bearer(&parts.headers).filter(|it| !it.starts_with(ApiToken::PREFIX)) {
            Some(token) => {
                Ok(Self::Holder { token: token.to_owned(), from: caller::client(parts)? })
            }
            None if api.people.is_none() => Err(unauthorized(
                "send a token for this meeting: Authorization: Bearer …".to_owned(),
            )),
            None => Caller::from_request_parts(parts, api).await.map(|it| Self::Account(it.into())),
        }
    }
}

/// A running meeting, and who wants to steer it. Whether it may, the meeting's rules say.
pub struct Steering {
    pub meeting: MeetingHandle,
    pub actor: Actor,
    /// For the audit log; `None` where this server keeps none.
    store: Option<store::Records>,
    name: store::Actor,
    from: Option<IpAddr>,
}

/// Finds out who asks: it acts with the rights of its token or account.
pub async fn steering(api: &Api, id: &str, who: WhoAsks) -> Result<Steering, Problem> {
    let (actor, name, from, id) = match who {
        WhoAsks::Account(caller) => {
            let right = if caller.changes() { Right::LiveSteer } else { Right::LiveRead };
            let who = caller.needs(api, right).await?;
            let id = MeetingId::parse(id).map_err(|_| not_running())?;
            (Actor::Server, who.actor(), who.from, id)
        }
        WhoAsks::Holder { token, from } => {
            let (grant, id) = granted(api, id, &token)?;
            let name = name_of(&grant);
            (actor_of(grant)?, name, Some(from), id)
        }
    };
    let meeting = conference(api)?.find(&id).ok_or_else(not_running)?;
    let store = api.people.as_ref().map(|it| it.records().clone());
    Ok(Steering { meeting, actor, store, name, from })
}

fn actor_of(grant: Grant) -> Result<Actor, Problem> {
    let admin = grant.video.room_admin;
    match grant.identity {
        Some(identity) => Ok(Actor::Holder { identity, admin }),
        None if admin => Ok(Actor::Server),
        None => {
            let detail = "the token has to grant roomAdmin for this meeting, or name a host";
            Err(Problem::new(StatusCode::FORBIDDEN, "not_allowed", detail))
        }
    }
}

/// A participant by its identity, an application by its key.
pub fn name_of(grant: &Grant) -> store::Actor {
    match &grant.identity {
        Some(identity) => store::Actor {
            kind: ActorKind::Participant,
            id: identity.to_string(),
            name: grant.name.clone(),
        },
        None => store::Actor {
            kind: ActorKind::Key,
            id: grant.issuer.clone(),
            name: grant.issuer.clone(),
        },
    }
}

fn not_running() -> Problem {
    let detail = "nobody is in the meeting now: there is nothing to steer";
    Problem::new(StatusCode::NOT_FOUND, "meeting_not_running", detail)
}

/// An act that is about to be done.
pub struct Note {
    store: store::Records,
    act: store::Act,
}

impl Steering {
    /// What the audit log will say of an act; looking is none.
    pub fn note(&self, act: &Act) -> Option<Note> {
        let store = self.store.clone().filter(|_| *act != Act::Look)?;
        let act = store::Act::live(now(), self.name.clone(), act, self.meeting.id(), self.from);
        Some(Note { store, act })
    }

    /// What the audit log will say of whose camera was steered.
    pub fn note_of_camera(&self, whose: &Identity) -> Option<Note> {
        let note = self.note(&Act::End)?;
        let act = store::Act { action: "live.camera".to_owned(), ..note.act };
        Some(Note { act, ..note }.on("participant", whose.to_string(), String::new()))
    }
}

impl Note {
    /// An act of this actor in a meeting; `None` where this server keeps no log.
    pub fn of(
        api: &Api,
        actor: store::Actor,
        from: Option<IpAddr>,
        action: &str,
        meeting: &MeetingId,
    ) -> Option<Self> {
        let store = api.people.as_ref()?.records().clone();
        let target =
            Target { kind: "meeting".to_owned(), id: meeting.to_string(), name: String::new() };
        let act = store::Act {
            at: now(),
            actor,
            action: action.to_owned(),
            target,
            from,
            outcome: Outcome::Done,
            detail: serde_json::json!({ "meeting": meeting.as_str() }).to_string(),
        };
        Some(Self { store, act })
    }

    /// What it was done to, where that is not its meeting.
    #[must_use]
    pub fn on(mut self, kind: &str, id: String, name: String) -> Self {
        self.act.target = Target { kind: kind.to_owned(), id, name };
        self
    }

    /// It was not done, and why, for people.
    #[must_use]
    pub fn refused(mut self, meeting: &MeetingId, why: &str) -> Self {
        self.act.outcome = Outcome::Refused;
        let detail = serde_json::json!({ "meeting": meeting.as_str(), "why": why });
        self.act.detail = detail.to_string();
        self
    }

    /// Writes it down as done, or as refused.
    pub async fn write(mut self, error: Option<&ExecuteError>) -> Result<(), Problem> {
        if error.is_some() {
            self.act.outcome = Outcome::Refused;
        }
        self.store.write(Batch::new(self.act), now()).await.map_err(store_failed)
    }
}

/// The meetings at work.
pub fn conference(api: &Api) -> Result<&Conference, Problem> {
    api.conference.as_ref().ok_or_else(|| {
        let detail = "this server runs no meetings now";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    })
}

/// A token that is good for this meeting.
pub fn granted(api: &Api, id: &str, token: &str) -> Result<(Grant, MeetingId), Problem> {
    let grant = api
        .keys
        .verify(token, SystemTime::now())
        .map_err(|error| unauthorized(error.to_string()))?;
    let meeting = meeting_id(api, id);
    let named = grant.video.room.as_deref().and_then(|it| meeting_id(api, it));
    match meeting {
        Some(meeting) if named.as_ref() == Some(&meeting) => Ok((grant, meeting)),
        _ => {
            let detail = "the token is not for this meeting";
            Err(Problem::new(StatusCode::FORBIDDEN, "not_allowed", detail))
        }
    }
}

/// The meeting of a path: of one that was booked, its alias or its number may stand there.
pub fn meeting_id(api: &Api, text: &str) -> Option<MeetingId> {
    MeetingId::parse(text).ok().map(|it| api.directory.canonical(&it))
}

/// The token of a request.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn unauthorized(detail: String) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "token_invalid", detail)
}
