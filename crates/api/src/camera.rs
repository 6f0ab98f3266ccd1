//! A host steers the camera of a room system.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use conference::{CameraOrder, CameraRefusal, DialRefusal, Motion, Way};
use room::Act;
use serde::Deserialize;
use types::Identity;
use utoipa::ToSchema;

use crate::Api;
use crate::authorise::{WhoAsks, steering};
use crate::join::unreadable;
use crate::problem::Problem;

/// Places that a camera keeps (H.281).
const PLACES: u8 = 16;

/// What the camera is to do: move until it is told to stop, for five seconds at most; or keep or take one
/// of 16 places, counted from 0. Empty: it stops.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CameraBody {
    pan: Option<Pan>,
    tilt: Option<Tilt>,
    zoom: Option<Zoom>,
    store: Option<u8>,
    recall: Option<u8>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CameraPan)]
enum Pan {
    Left,
    Right,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CameraTilt)]
enum Tilt {
    Down,
    Up,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CameraZoom)]
enum Zoom {
    Out,
    In,
}

impl CameraBody {
    fn order(&self) -> Result<CameraOrder, Problem> {
        let place = self.store.or(self.recall);
        let motion = Motion {
            pan: self.pan.map(|it| if matches!(it, Pan::Left) { Way::Minus } else { Way::Plus }),
            tilt: self.tilt.map(|it| if matches!(it, Tilt::Down) { Way::Minus } else { Way::Plus }),
            zoom: self.zoom.map(|it| if matches!(it, Zoom::Out) { Way::Minus } else { Way::Plus }),
        };
        let moves = motion != Motion::default();
        let two = (self.store.is_some() && self.recall.is_some()) || (moves && place.is_some());
        if two || place.is_some_and(|it| it >= PLACES) {
            let detail = "give a motion, or one place from 0 to 15 to store or to recall";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid", detail));
        }
        Ok(match (self.store, self.recall) {
            (Some(place), _) => CameraOrder::Store(place),
            (_, Some(place)) => CameraOrder::Recall(place),
            _ if moves => CameraOrder::Move(motion),
            _ => CameraOrder::Stop,
        })
    }
}

/// Steers the camera of a room system that lets it be steered.
#[utoipa::path(post, path = "/api/v1/meetings/{id}/participants/{who}/camera", tag = "live",
    operation_id = "steer_camera", params(("id" = String, Path), ("who" = String, Path)), request_body = CameraBody,
    responses((status = 204, description = "Sent")),
    security(("session" = ["live.steer"]), ("token" = ["live.steer"]), ("livekit" = ["roomAdmin"])))]
pub async fn steer(
    State(api): State<Api>,
    Path((id, who)): Path<(String, String)>,
    who_asks: WhoAsks,
    body: Result<Json<CameraBody>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let host = steering(&api, &id, who_asks).await?;
    let Json(body) = body.map_err(unreadable)?;
    let order = body.order()?;
    host.act(Act::Look).await?;
    let unavailable = || {
        let detail = DialRefusal::Unavailable.to_string();
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    };
    let dialler = api.dialler.as_deref().ok_or_else(unavailable)?;
    let identity = Identity::new(who);
    dialler.steer_camera(host.meeting.id(), &identity, order).map_err(refused)?;
    // A motion is one act, which its stop belongs to.
    if let Some(note) = host.note_of_camera(&identity).filter(|_| order != CameraOrder::Stop) {
        note.write(None).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

fn refused(refusal: CameraRefusal) -> Problem {
    let detail = refusal.to_string();
    match refusal {
        CameraRefusal::NoCamera => Problem::new(StatusCode::CONFLICT, "no_camera", detail),
        CameraRefusal::Busy => Problem::new(StatusCode::TOO_MANY_REQUESTS, "busy", detail),
    }
}
