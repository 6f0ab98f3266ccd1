//! `/api/v1/trunk-states`: how the trunks stand now.

use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use conference::people::Right;
use conference::telephony::{Enrolment, Reach, Transport, TrunkServer, TrunkState};
use serde::Serialize;
use types::Timestamp;
use utoipa::ToSchema;

use crate::Api;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::wire::written;

/// How the trunks stand.
#[derive(Serialize, ToSchema)]
#[schema(as = TrunkStateList)]
pub struct TrunkStatesAnswer {
    /// By their names.
    items: Vec<TrunkStateAnswer>,
}

/// How a trunk stands.
#[derive(Serialize, ToSchema)]
#[schema(as = TrunkState)]
struct TrunkStateAnswer {
    /// The trunk's id.
    trunk: String,
    /// Its name.
    name: String,
    /// Its servers in the order in which they are tried, as far as they are known.
    servers: Vec<TrunkServerAnswer>,
    /// `registered`; `failed`, and it is tried again; or `none`: we do not register there now.
    #[schema(value_type = String)]
    registration: Enrolment,
    /// When we are registered no more, unless we register again.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<String>,
    /// What is wrong with its name or its registration.
    problem: Option<String>,
    /// Calls over it now, in both directions.
    calls: u32,
}

/// One server of a trunk.
#[derive(Serialize, ToSchema)]
#[schema(as = TrunkServer)]
struct TrunkServerAnswer {
    /// Its address and port.
    address: String,
    /// What carries the signalling: `udp`, `tcp` or `tls`.
    #[schema(value_type = String)]
    transport: Transport,
    /// `up`; `down`, and calls go to others first; or `unknown`: nobody has asked yet.
    #[schema(value_type = String)]
    state: Reach,
    /// Why it is down.
    problem: Option<String>,
}

impl TrunkStateAnswer {
    fn of(state: TrunkState, now: SystemTime) -> Self {
        let servers = state.servers.into_iter().map(|it| {
            let TrunkServer { address, transport, reach, problem } = it;
            TrunkServerAnswer { address: address.to_string(), transport, state: reach, problem }
        });
        Self {
            trunk: state.trunk.to_string(),
            name: state.name,
            servers: servers.collect(),
            registration: state.enrolment,
            expires_at: state.remains.map(|it| written(Timestamp::of(now + it))),
            problem: state.problem,
            calls: state.calls,
        }
    }
}

/// Tells of each trunk whether its servers are there, and whether we are registered.
#[utoipa::path(get, path = "/api/v1/trunk-states", tag = "telephony",
    operation_id = "list_trunk_states",
    responses((status = 200, body = TrunkStatesAnswer)),
    security(("session" = ["telephony.read"]), ("token" = ["telephony.read"])))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<TrunkStatesAnswer>, Problem> {
    caller.needs(&api, Right::TelephonyRead).await?;
    let states = api.dialler.as_ref().map(|it| it.trunks()).unwrap_or_default();
    let now = SystemTime::now();
    let items = states.into_iter().map(|it| TrunkStateAnswer::of(it, now)).collect();
    Ok(Json(TrunkStatesAnswer { items }))
}
