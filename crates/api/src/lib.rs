//! L4: HTTP: the project's own REST API, health and metrics, and the page.

mod health;
mod join;
mod page;
mod problem;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{any, get, post};
use conference::access::{Directory, Keys, Limiter, Rate};
use metrics_exporter_prometheus::PrometheusHandle;

pub use health::Ready;

/// The largest body of a request: a name, a PIN and room to spare.
const MAX_BODY: usize = 4 << 10;
/// Joins from one address: an office behind one address joins its meeting at nine sharp.
const JOINS: Rate = Rate { burst: 100, interval: Duration::from_millis(500) };
/// Wrong PINs from one address: with four digits, half of all PINs take three weeks.
const WRONG_PINS: Rate = Rate { burst: 10, interval: Duration::from_secs(360) };
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
    joins: Arc<Mutex<Limiter>>,
    wrong_pins: Arc<Mutex<Limiter>>,
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
            joins: Arc::new(Mutex::new(Limiter::new(JOINS, ADDRESSES))),
            wrong_pins: Arc::new(Mutex::new(Limiter::new(WRONG_PINS, ADDRESSES))),
        }
    }
}

/// All routes. Has to be served with the client's address as connection information.
pub fn router(state: Api) -> Router {
    Router::new()
        .route("/api/v1/meetings/{id}/join", post(join::join))
        .route("/api/{*rest}", any(problem::no_such_endpoint))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(page::page)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(state)
}

#[cfg(test)]
mod tests;
