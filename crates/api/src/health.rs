//! Whether the program lives, whether it takes meetings, and what it counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use crate::Api;

/// Whether the program takes meetings: set once everything listens, cleared when it stops.
#[derive(Clone, Debug, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    /// Says whether meetings are taken from now on.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }
}

/// `GET /healthz`: answers while the program runs.
pub async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200 while meetings are taken.
pub async fn ready(State(api): State<Api>) -> (StatusCode, &'static str) {
    if api.ready.0.load(Ordering::Relaxed) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting or stopping\n")
    }
}

/// `GET /metrics`: Prometheus' text format.
pub async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], api.metrics.render())
}
