//! L4: HTTP: the project's own REST API, health and metrics, and the page.

mod authority;
mod doors;
mod health;
mod join;
mod legs;
mod page;
mod problem;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{any, get, post};
use conference::Dialler;
use conference::access::{Directory, Keys, Limiter, Rate};
use metrics_exporter_prometheus::PrometheusHandle;

pub use doors::{DoorLimits, Doors, Guarded};
pub use health::Ready;

/// The largest body of a request: a name, a PIN and room to spare.
const MAX_BODY: usize = 4 << 10;
/// Joins from one address: an office behind one address joins its meeting at nine sharp.
const JOINS: Rate = Rate { burst: 100, interval: Duration::from_millis(500) };
/// Wrong PINs from one address: with four digits, half of all PINs take three weeks.
const WRONG_PINS: Rate = Rate { burst: 10, interval: Duration::from_secs(360) };
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
    joins: Arc<Mutex<Limiter>>,
    wrong_pins: Arc<Mutex<Limiter>>,
    within: Duration,
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
            joins: Arc::new(Mutex::new(Limiter::new(JOINS, ADDRESSES))),
            wrong_pins: Arc::new(Mutex::new(Limiter::new(WRONG_PINS, ADDRESSES))),
            within: WITHIN,
        }
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

/// All routes. Has to be served with the client's address as connection information.
pub fn router(state: Api) -> Router {
    always()
        .route("/api/v1/meetings/{id}/join", post(join::join))
        .route("/api/v1/meetings/{id}/legs", post(legs::call))
        .route(
            "/api/v1/meetings/{id}/legs/{leg}",
            get(legs::show).patch(legs::change).delete(legs::hang_up),
        )
        .route("/api/{*rest}", any(problem::no_such_endpoint))
        .fallback(page::page)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::from_fn_with_state(state.within, problem::in_time))
        .with_state(state)
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
mod tests;
