//! `/api/v1/events` and `/api/v1/live`: what happens in meetings, as it happens, and which run now.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use conference::people::Right;
use conference::{Event, News, Subscription};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use types::{MeetingId, RecordId, Timestamp};
use utoipa::{IntoParams, ToSchema};

use crate::Api;
use crate::authorise::conference;
use crate::caller::Caller;
use crate::history::read_meeting;
use crate::problem::Problem;
use crate::wire::{Asked, written};

/// Who listens at a time, on the whole server: each costs a connection and a copy of each event.
const MAX_LISTENERS: usize = 200;
/// Who listens at a time with one account: an operator has some pages open, and a script.
const MAX_OF_ACCOUNT: usize = 10;
/// How often a silent stream says that it is alive: proxies give up after some 60 seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often it is looked at whether the listener still may.
const CHECK: Duration = Duration::from_secs(30);

const _: () = assert!(MAX_OF_ACCOUNT < MAX_LISTENERS);

/// Everybody who listens to events.
#[derive(Clone, Debug, Default)]
pub struct Listeners(Arc<Mutex<HashMap<RecordId, usize>>>);

/// A place among the listeners, for as long as it is held.
#[derive(Debug)]
struct Listener {
    all: Listeners,
    account: RecordId,
}

impl Listeners {
    fn lock(&self) -> MutexGuard<'_, HashMap<RecordId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, account: &RecordId) -> Result<Listener, Problem> {
        let mut by_account = self.lock();
        let own = by_account.get(account).copied().unwrap_or(0);
        if own >= MAX_OF_ACCOUNT || by_account.values().sum::<usize>() >= MAX_LISTENERS {
            let detail = format!(
                "at most {MAX_OF_ACCOUNT} streams of events for an account and {MAX_LISTENERS} for \
                 the server are open at a time: close one"
            );
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_listeners", detail);
            return Err(Problem { retry_after: Some(30), ..problem });
        }
        by_account.insert(account.clone(), own + 1);
        Ok(Listener { all: self.clone(), account: account.clone() })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut by_account = self.all.lock();
        if let Some(own) = by_account.get_mut(&self.account) {
            *own -= 1;
            if *own == 0 {
                by_account.remove(&self.account);
            }
        }
    }
}

/// Whose events are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Of this meeting alone.
    #[param(max_length = 64)]
    meeting: Option<String>,
}

/// A stream of events to one listener.
struct Telling {
    api: Api,
    /// By which the listener showed who it is.
    parts: Parts,
    subscription: Subscription,
    meeting: Option<MeetingId>,
    checks: Interval,
    _place: Listener,
}

impl Telling {
    /// The next thing to tell; `None` ends the stream.
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            tokio::select! {
                news = self.subscription.next() => match news? {
                    News::Event(event) => {
                        let wanted = self.meeting.as_ref().is_none_or(|it| *it == event.meeting);
                        if wanted && let Some(told) = told(&event) {
                            return Some(told);
                        }
                    }
                    News::Missed(count) => return Some(missed(count)),
                },
                _ = self.checks.tick() => {
                    if !self.still_may().await {
                        return None;
                    }
                }
            }
        }
    }

    /// Its session or token may have ended, or its role have changed.
    async fn still_may(&mut self) -> bool {
        match Caller::from_request_parts(&mut self.parts, &self.api).await {
            Ok(caller) => caller.principal.has(Right::LiveRead),
            // That the database is away says nothing of the listener.
            Err(problem) => problem.status == StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

fn told(event: &Event) -> Option<sse::Event> {
    let data = serde_json::to_value(event).ok()?;
    let word = data.get("event")?.as_str()?.to_owned();
    Some(sse::Event::default().event(word).id(event.number.to_string()).data(data.to_string()))
}

fn missed(count: u64) -> sse::Event {
    let data = serde_json::json!({ "event": "missed", "count": count });
    sse::Event::default().event("missed").data(data.to_string())
}

fn stream(telling: Telling) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    unfold(telling, |mut telling| async move {
        let event = telling.next().await?;
        Some((Ok(event), telling))
    })
}

/// Tells what happens in meetings from now on, as server-sent events: `event` is what happened, `id`
/// its number, `data` JSON. Numbers count up without gaps; `missed` tells a listener that was too
/// slow how many it has lost. The stream ends with the session or the token.
#[utoipa::path(get, path = "/api/v1/events", tag = "live", operation_id = "follow_events",
    params(EventsQuery),
    responses((status = 200, description = "Events for as long as the listener stays", body = String,
        content_type = "text/event-stream")),
    security(("session" = ["live.read"]), ("token" = ["live.read"])))]
pub async fn events(
    State(api): State<Api>,
    caller: Caller,
    Asked(query): Asked<EventsQuery>,
    parts: Parts,
) -> Result<Response, Problem> {
    let principal = caller.needs(&api, Right::LiveRead).await?;
    let meeting = query.meeting.as_deref().map(read_meeting).transpose()?;
    let place = api.listeners.admit(&principal.account)?;
    let subscription = conference(&api)?.events();
    let mut checks = interval_at(Instant::now() + CHECK, CHECK);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let telling = Telling { api, parts, subscription, meeting, checks, _place: place };
    let events = Sse::new(stream(telling)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    let mut response = events.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A proxy like nginx would hold events back until it has a pageful.
    let unbuffered = HeaderName::from_static("x-accel-buffering");
    headers.insert(unbuffered, HeaderValue::from_static("no"));
    Ok(response)
}

/// A meeting that runs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LiveMeeting)]
pub struct LiveAnswer {
    /// What people type and room systems dial.
    meeting: String,
    /// What people read.
    name: String,
    /// The meeting as it runs now.
    sid: String,
    #[schema(format = DateTime)]
    started_at: String,
    /// How many are in it, without hidden ones.
    participants: u32,
    /// Those of them that send sound or picture.
    publishers: u32,
    /// How many wait in the lobby.
    waiting: usize,
    /// Nobody new comes in.
    locked: bool,
}

/// All that run.
#[derive(Debug, Serialize, ToSchema)]
pub struct LiveMeetings {
    /// The latest first.
    items: Vec<LiveAnswer>,
}

/// Lists the meetings that run now.
#[utoipa::path(get, path = "/api/v1/live/meetings", tag = "live",
    operation_id = "list_live_meetings", responses((status = 200, body = LiveMeetings)),
    security(("session" = ["live.read"]), ("token" = ["live.read"])))]
pub async fn meetings(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<LiveMeetings>, Problem> {
    caller.needs(&api, Right::LiveRead).await?;
    let conference = conference(&api)?;
    let mut snapshots = conference.snapshots().await;
    snapshots.sort_by(|a, b| {
        let key = |it: &conference::MeetingSnapshot| it.meeting.created_at_ms;
        key(b).cmp(&key(a)).then_with(|| a.meeting.id.cmp(&b.meeting.id))
    });
    let name = |id: &str| {
        let settings = MeetingId::parse(id).ok().and_then(|id| conference.directory().find(&id));
        settings.map_or_else(|| id.to_owned(), |it| it.name)
    };
    let items = snapshots.into_iter().map(|it| LiveAnswer {
        name: name(&it.meeting.id),
        meeting: it.meeting.id,
        sid: it.meeting.sid,
        started_at: written(Timestamp(it.meeting.created_at_ms)),
        participants: it.meeting.participants,
        publishers: it.meeting.publishers,
        waiting: it.lobby.waiting.len(),
        locked: it.lobby.live.locked,
    });
    Ok(Json(LiveMeetings { items: items.collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_listen_as_may_and_a_place_is_free_again_when_one_goes() {
        let listeners = Listeners::default();
        let account = |number: usize| RecordId::new(number.to_string());
        let mut places: Vec<Listener> = (0..MAX_LISTENERS)
            .map(|number| listeners.admit(&account(number / MAX_OF_ACCOUNT)).unwrap())
            .collect();
        let full = listeners.admit(&account(1_000)).unwrap_err();
        assert_eq!((full.status.as_u16(), full.code), (429, "too_many_listeners"));
        places.pop();
        let own = listeners.admit(&account(0)).unwrap_err();
        assert_eq!(own.code, "too_many_listeners", "an account has its own bound");
        places.push(listeners.admit(&account(1_000)).unwrap());
        drop(places);
        assert!(listeners.lock().is_empty());
    }
}
