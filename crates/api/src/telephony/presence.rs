//! `/api/v1/presence`: which devices can be called now.

use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use conference::people::Right;
use conference::telephony::{self, Presence, Present, Registered};
use serde::Serialize;
use types::Timestamp;
use utoipa::ToSchema;

use crate::Api;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::wire::written;

/// The devices that are registered; all others are offline.
#[derive(Serialize, ToSchema)]
#[schema(as = PresenceList)]
pub struct PresenceAnswer {
    /// By their names.
    items: Vec<PresentAnswer>,
}

/// A device that is registered.
#[derive(Serialize, ToSchema)]
#[schema(as = PresentDevice)]
struct PresentAnswer {
    /// The device's id.
    device: String,
    /// Its name.
    name: String,
    /// What is dialled to call it.
    extension: String,
    /// `online`, or `in_call` while it is in a call with this server.
    #[schema(value_type = String)]
    presence: Presence,
    /// Where it is registered, the latest first; it may be at several places.
    registered: Vec<RegisteredAnswer>,
}

/// One place where a device is registered.
#[derive(Serialize, ToSchema)]
#[schema(as = RegisteredDevice)]
struct RegisteredAnswer {
    /// The address and port that it comes from, and is called at.
    from: String,
    /// What carries its signalling: `udp`, `tcp` or `tls`.
    #[schema(value_type = String)]
    transport: telephony::Transport,
    /// What it calls itself.
    agent: Option<String>,
    /// When it is registered no more, unless it registers again.
    #[schema(value_type = String, format = DateTime)]
    expires_at: String,
}

impl PresentAnswer {
    fn of(present: Present, now: SystemTime) -> Self {
        let Present { device, name, extension, presence, registered } = present;
        let registered = registered.into_iter().map(|it| {
            let Registered { from, transport, agent, remains } = it;
            let expires_at = written(Timestamp::of(now + remains));
            RegisteredAnswer { from: from.to_string(), transport, agent, expires_at }
        });
        Self {
            device: device.to_string(),
            name,
            extension: extension.to_string(),
            presence,
            registered: registered.collect(),
        }
    }
}

/// Tells which devices are registered, and which of these are in a call.
#[utoipa::path(get, path = "/api/v1/presence", tag = "telephony", operation_id = "list_presence",
    responses((status = 200, body = PresenceAnswer)),
    security(("session" = ["telephony.read"]), ("token" = ["telephony.read"])))]
pub async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<PresenceAnswer>, Problem> {
    caller.needs(&api, Right::TelephonyRead).await?;
    let present = api.dialler.as_ref().map(|it| it.present()).unwrap_or_default();
    let now = SystemTime::now();
    let items = present.into_iter().map(|it| PresentAnswer::of(it, now)).collect();
    Ok(Json(PresenceAnswer { items }))
}
