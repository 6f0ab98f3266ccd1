//! The page's files.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

const SECURITY: [(header::HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, web::CONTENT_SECURITY_POLICY),
];
const PERMISSIONS: &str =
    "camera=(self), microphone=(self), display-capture=(self), geolocation=()";
/// Names of such files carry a hash of their content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Any path that nothing else answers.
pub async fn page(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let Some(file) = web::file(uri.path()) else {
        return secured((StatusCode::NOT_FOUND, "not found\n").into_response());
    };
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|tag| *tag == file.etag);
    let caching = if file.immutable { FOR_EVER } else { "no-cache" };
    let described = [
        (header::CONTENT_TYPE, file.mime.to_owned()),
        (header::ETAG, file.etag),
        (header::CACHE_CONTROL, caching.to_owned()),
        // LiveKit's clients look at the server's root from pages of other origins.
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*".to_owned()),
    ];
    if known {
        return secured((StatusCode::NOT_MODIFIED, described).into_response());
    }
    secured((described, file.bytes.into_owned()).into_response())
}

fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in SECURITY {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("permissions-policy", HeaderValue::from_static(PERMISSIONS));
    response
}
