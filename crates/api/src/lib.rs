//! L4: HTTP: the project's own REST API, health and metrics, and the page.

mod audit;
mod authorise;
mod authority;
mod booking;
mod caller;
mod camera;
mod control;
mod csv;
mod doors;
mod health;
mod history;
mod join;
mod kept;
mod keys;
mod ladders;
mod legs;
mod limits;
mod live;
mod openapi;
mod page;
mod people;
mod problem;
mod replay;
mod roster;
mod telephony;
mod tickets;
mod waiting;
mod wire;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{any, get};
use conference::access::{Directory, Keyring, Keys, Limiter, Rate};
use conference::booking::{Bookings, Template};
use conference::kept::Keeper;
use conference::people::{Group, People};
use conference::telephony::{Contact, Device, DialRule, Trunk};
use conference::{Conference, Dialler};
use metrics_exporter_prometheus::PrometheusHandle;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use doors::{DoorLimits, Doors, Guarded};
pub use health::Ready;
pub use openapi::description;
use problem::Problem;

/// The largest body of a request: a name, a PIN and room to spare.
const MAX_BODY: usize = 4 << 10;
/// Joins from one address: an office behind one address joins its meeting at nine sharp.
const JOINS: Rate = Rate { burst: 100, interval: Duration::from_millis(500) };
/// Wrong PINs from one address: with four digits, half of all PINs take three weeks.
const WRONG_PINS: Rate = Rate { burst: 10, interval: Duration::from_secs(360) };
/// Wrong sessions, tokens and passwords from one address: behind one address an office signs in.
const WRONG_CREDENTIALS: Rate = Rate { burst: 60, interval: Duration::from_secs(10) };
/// How long a request may take, its body included.
const WITHIN: Duration = Duration::from_secs(10);
/// Addresses that are remembered at a time.
const ADDRESSES: usize = 100_000;

/// What the handlers need.
#[derive(Clone)]
pub struct Api {
    directory: Arc<Directory>,
    keys: Arc<Keys>,
    signing_key: String,
    ready: Ready,
    metrics: PrometheusHandle,
    authority: authority::Root,
    dialler: Option<Arc<dyn Dialler>>,
    conference: Option<Conference>,
    tickets: tickets::Tickets,
    joins: Arc<Mutex<Limiter>>,
    wrong_pins: Arc<Mutex<Limiter>>,
    wrong_credentials: Arc<Mutex<Limiter>>,
    within: Duration,
    people: Option<People>,
    keeper: Option<Keeper>,
    bookings: Option<Bookings>,
    keyring: Option<Keyring>,
    /// Whether browsers reach the server over HTTPS, by itself or through a proxy.
    secure: bool,
    /// `https://host`, as people reach the server, where that is known.
    public_url: Option<String>,
    /// Held while the audit log is verified.
    verifying: Arc<tokio::sync::Mutex<()>>,
    listeners: live::Listeners,
    requests: limits::Requests,
    description: Arc<str>,
}

impl Api {
    /// Handlers for these meetings; tokens are signed with the key `signing_key`, one of `keys`.
    pub fn new(
        directory: Arc<Directory>,
        keys: Arc<Keys>,
        signing_key: String,
        ready: Ready,
        metrics: PrometheusHandle,
    ) -> Self {
        Self {
            directory,
            keys,
            signing_key,
            ready,
            metrics,
            authority: Arc::new(|| None),
            dialler: None,
            conference: None,
            tickets: tickets::Tickets::new(tickets::UNPOLLED),
            joins: limiter(JOINS),
            wrong_pins: limiter(WRONG_PINS),
            wrong_credentials: limiter(WRONG_CREDENTIALS),
            within: WITHIN,
            people: None,
            keeper: None,
            bookings: None,
            keyring: None,
            secure: true,
            public_url: None,
            verifying: Arc::default(),
            listeners: live::Listeners::default(),
            requests: limits::Requests::default(),
            description: openapi::description().into(),
        }
    }

    /// `people` may sign in; without them nobody can. `secure`: browsers come over HTTPS.
    #[must_use]
    pub fn with_people(self, people: People, secure: bool) -> Self {
        Self { people: Some(people), secure, ..self }
    }

    /// People reach the server at `public_url` (`https://host`); `None`: as each request names it.
    #[must_use]
    pub fn with_public_url(self, public_url: Option<String>) -> Self {
        Self { public_url, ..self }
    }

    /// What is kept beside people; without it nothing is.
    #[must_use]
    pub fn with_kept(self, keeper: Keeper, bookings: Bookings, keyring: Keyring) -> Self {
        let (keeper, bookings, keyring) = (Some(keeper), Some(bookings), Some(keyring));
        Self { keeper, bookings, keyring, ..self }
    }

    fn people(&self) -> Result<&People, Problem> {
        self.people.as_ref().ok_or_else(keeps_nothing)
    }

    fn keeper(&self) -> Result<&Keeper, Problem> {
        self.keeper.as_ref().ok_or_else(keeps_nothing)
    }

    fn keyring(&self) -> Result<&Keyring, Problem> {
        self.keyring.as_ref().ok_or_else(keeps_nothing)
    }

    fn bookings(&self) -> Result<&Bookings, Problem> {
        self.bookings.as_ref().ok_or_else(keeps_nothing)
    }

    /// The name of the session's cookie: browsers hold the prefix to HTTPS and to this host.
    fn cookie_name(&self) -> &'static str {
        if self.secure { "__Host-plenum" } else { "plenum" }
    }

    /// `conference` runs the meetings; without one there is no lobby, and nothing to steer.
    #[must_use]
    pub fn with_conference(self, conference: Conference) -> Self {
        Self { conference: Some(conference), ..self }
    }

    /// `dialler` calls room systems; without one none can be called.
    #[must_use]
    pub fn with_dialler(self, dialler: Option<Arc<dyn Dialler>>) -> Self {
        Self { dialler, ..self }
    }

    /// `root` gives the local authority's root certificate, PEM, while there is one.
    #[must_use]
    pub fn with_authority(
        self,
        root: impl Fn() -> Option<Arc<str>> + Send + Sync + 'static,
    ) -> Self {
        Self { authority: Arc::new(root), ..self }
    }
}

fn keeps_nothing() -> Problem {
    let detail = "this server keeps no accounts";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
}

fn limiter(rate: Rate) -> Arc<Mutex<Limiter>> {
    Arc::new(Mutex::new(Limiter::new(rate, ADDRESSES)))
}

/// All routes. Has to be served with the client's address as connection information.
pub fn router(state: Api) -> Router {
    let (described, _) = routes().split_for_parts();
    let (once, moderation) = (
        axum::middleware::from_fn_with_state(state.clone(), replay::once),
        axum::middleware::from_fn_with_state(state.clone(), limits::in_moderation),
    );
    described
        .method_not_allowed_fallback(problem::no_such_method)
        .merge(always())
        .route("/api/{*rest}", any(problem::no_such_endpoint))
        .fallback(page::page)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(once)
        .layer(moderation.clone())
        .layer(axum::middleware::from_fn_with_state(state.within, problem::in_time))
        .merge(
            patient().split_for_parts().0.layer(DefaultBodyLimit::max(MAX_BODY)).layer(moderation),
        )
        .layer(axum::middleware::from_fn(problem::shaped))
        .with_state(state)
}

/// What waits longer than other requests may take, and has no body that could drip in.
fn patient() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(waiting::poll, waiting::leave))
}

/// Everything else that the description describes.
fn routes() -> OpenApiRouter<Api> {
    use people::{accounts, session, sessions, tokens};
    OpenApiRouter::new()
        .routes(routes!(openapi::show))
        .routes(routes!(join::join))
        .routes(routes!(legs::call))
        .routes(routes!(legs::show, legs::change, legs::hang_up))
        .routes(routes!(session::sign_in, session::show, session::sign_out))
        .routes(routes!(session::password))
        .routes(routes!(session::begin_factor))
        .routes(routes!(session::confirm_factor))
        .routes(routes!(session::remove_factor))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::end))
        .routes(routes!(accounts::list, accounts::create))
        .routes(routes!(accounts::show, accounts::change, accounts::remove))
        .routes(routes!(accounts::reset_password))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::end))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::show, keys::change, keys::remove))
        .routes(routes!(keys::rotate))
        .routes(routes!(audit::list))
        .routes(routes!(audit::verify))
        .merge(steering())
        .merge(looking_back())
        .merge(booked().layer(DefaultBodyLimit::max(kept::MAX_BODY)))
        .merge(kept::routes::<Group>())
        .merge(kept::routes::<Template>())
        .merge(kept::routes::<Device>())
        .merge(kept::routes::<Trunk>())
        .merge(kept::routes::<DialRule>())
        .merge(kept::routes::<Contact>())
        .routes(routes!(telephony::trace::trace))
        .routes(routes!(telephony::presence::list))
        .routes(routes!(telephony::trunk_states::list))
}

/// Meetings as they are booked.
fn booked() -> OpenApiRouter<Api> {
    use booking::{invitation, meetings};
    OpenApiRouter::new()
        .routes(routes!(meetings::list, meetings::create))
        .routes(routes!(meetings::show, meetings::change, meetings::remove))
        .routes(routes!(meetings::personal, meetings::change_personal))
        .routes(routes!(invitation::text))
        .routes(routes!(invitation::calendar))
}

/// What was, and what happens just now.
fn looking_back() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(history::meetings))
        .routes(routes!(history::participants_of))
        .routes(routes!(history::participants))
        .routes(routes!(history::legs))
        .routes(routes!(history::quality))
        .routes(routes!(history::meetings_file))
        .routes(routes!(history::participants_file))
        .routes(routes!(history::legs_file))
        .routes(routes!(ladders::list))
        .routes(routes!(ladders::draw))
        .routes(routes!(ladders::pcap))
        .routes(routes!(live::events))
        .routes(routes!(live::meetings))
}

/// What hosts do to a meeting that runs.
fn steering() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(control::participants))
        .routes(routes!(control::change, control::remove))
        .routes(routes!(control::mute))
        .routes(routes!(camera::steer))
        .routes(routes!(control::ask))
        .routes(routes!(control::to_lobby))
        .routes(routes!(control::mute_all))
        .routes(routes!(control::lobby))
        .routes(routes!(control::admit_all))
        .routes(routes!(control::refuse_all))
        .routes(routes!(control::admit))
        .routes(routes!(control::refuse))
        .routes(routes!(control::set_live))
        .routes(routes!(control::end))
}

/// What is answered over plain HTTP even where everything else is told to use HTTPS: monitoring
/// and the root certificate, without which nobody gets as far as HTTPS.
pub fn router_in_clear(state: Api) -> Router {
    always().with_state(state)
}

fn always() -> Router<Api> {
    Router::new()
        .route("/authority.pem", get(authority::root))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
}

#[cfg(test)]
mod lobby_tests;
#[cfg(test)]
mod tests;
