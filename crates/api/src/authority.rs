//! The local authority's root certificate, for browsers to install.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::Api;
use crate::problem::Problem;

/// Gives the root, PEM, while there is one.
pub type Root = Arc<dyn Fn() -> Option<Arc<str>> + Send + Sync>;

/// `GET /authority.pem`.
pub async fn root(State(api): State<Api>) -> Response {
    let Some(pem) = (api.authority)() else {
        let detail = "the server has no local authority: its certificate comes from elsewhere";
        return Problem::new(StatusCode::NOT_FOUND, "no_authority", detail).into_response();
    };
    let described = [
        (header::CONTENT_TYPE, "application/x-pem-file"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"plenum-authority.pem\""),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (described, pem.to_string()).into_response()
}
