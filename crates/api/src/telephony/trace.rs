//! `/api/v1/dial-plan/trace`: where a call would go, and why.

use axum::Json;
use axum::extract::State;
use conference::booking::Called;
use conference::people::Right;
use conference::store::Search;
use conference::telephony::{
    Call, Decision, DialPlan, DialRule, Direction, Step, Transport, Verdict,
};
use serde::{Deserialize, Serialize};
use types::RecordId;
use utoipa::ToSchema;

use crate::Api;
use crate::caller::Caller;
use crate::kept::{every, words};
use crate::problem::Problem;
use crate::wire::Body;

/// The longest address that is traced, in bytes.
const MAX_ADDRESS: usize = 255;

/// A call that somebody might make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceBody {
    /// Which way it goes.
    #[schema(schema_with = words::direction)]
    direction: Direction,
    /// Who is called: the user, with `@` and the host where that is not ours.
    called: String,
    /// Who calls, in the same form.
    #[serde(default)]
    calling: String,
    /// The id of the trunk that it comes from.
    #[serde(default)]
    trunk: Option<String>,
    /// What carries the signalling.
    #[serde(default)]
    #[schema(schema_with = words::any_transport)]
    transport: Option<Transport>,
    /// Whether a registered device calls.
    #[serde(default)]
    registered: bool,
}

/// Where the call would go.
#[derive(Serialize, ToSchema)]
#[schema(as = Trace)]
pub struct TraceAnswer {
    decision: DecisionAnswer,
    /// What became of each rule, in their order.
    steps: Vec<StepAnswer>,
}

/// Where a call goes.
#[derive(Serialize, ToSchema)]
#[serde(tag = "to", rename_all = "snake_case")]
#[schema(as = Decision)]
enum DecisionAnswer {
    /// Into a meeting, if there is one.
    Meeting {
        /// Its alias or number.
        meeting: String,
    },
    /// To the voice that asks for a meeting's number.
    Ivr {},
    /// Over a trunk.
    Trunk {
        /// The trunk's id.
        trunk: String,
        /// What is called there.
        called: String,
    },
    /// To a device of the house, if there is one.
    Device {
        /// Its extension.
        extension: String,
    },
    /// Nowhere.
    Reject {
        /// Why, as the caller is told.
        cause: String,
        /// SIP's status code.
        status: u16,
    },
}

/// What became of one rule.
#[derive(Serialize, ToSchema)]
#[schema(as = TraceStep)]
struct StepAnswer {
    /// The rule's id.
    rule: String,
    /// The rule's name.
    name: String,
    /// What became of it.
    #[schema(schema_with = words::verdict)]
    verdict: Verdict,
    /// The same for people.
    text: String,
}

impl From<Step> for StepAnswer {
    fn from(step: Step) -> Self {
        let Step { rule, name, verdict } = step;
        Self { rule: rule.to_string(), name, verdict, text: verdict.text().to_owned() }
    }
}

impl From<Decision> for DecisionAnswer {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Meeting(Called::Number(number)) => {
                Self::Meeting { meeting: number.to_string() }
            }
            Decision::Meeting(Called::Alias(alias)) => Self::Meeting { meeting: alias.to_string() },
            Decision::Ivr => Self::Ivr {},
            Decision::Trunk { trunk, called } => {
                Self::Trunk { trunk: trunk.to_string(), called: called.to_string() }
            }
            Decision::Device(extension) => Self::Device { extension: extension.to_string() },
            Decision::Reject(cause) => {
                let word = serde_json::to_value(cause).ok();
                let word = word.as_ref().and_then(|it| it.as_str()).unwrap_or_default().to_owned();
                Self::Reject { cause: word, status: cause.status() }
            }
        }
    }
}

/// Tells where a call would go by the rules that are kept, and what became of each rule.
#[utoipa::path(post, path = "/api/v1/dial-plan/trace", tag = "telephony",
    operation_id = "trace_dial_plan", request_body = TraceBody,
    responses((status = 200, body = TraceAnswer)),
    security(("session" = ["telephony.read"]), ("token" = ["telephony.read"])))]
pub async fn trace(
    State(api): State<Api>,
    caller: Caller,
    body: Body<TraceBody>,
) -> Result<Json<TraceAnswer>, Problem> {
    caller.needs(&api, Right::TelephonyRead).await?;
    let TraceBody { direction, called, calling, trunk, transport, registered } = body.read()?;
    if called.len() > MAX_ADDRESS || calling.len() > MAX_ADDRESS {
        let detail = format!("an address has at most {MAX_ADDRESS} bytes");
        return Err(Problem::bad("malformed", detail));
    }
    let rules = every::<DialRule>(&api, Search::default()).await?;
    let plan = DialPlan::new(rules.into_iter().map(|it| (it.id, it.entity)));
    let trunk = trunk.map(RecordId::new);
    let call = Call { direction, trunk, calling, called, transport, registered };
    let (decision, steps) = plan.decide(&call);
    let steps = steps.into_iter().map(Into::into).collect();
    Ok(Json(TraceAnswer { decision: decision.into(), steps }))
}
