use axum::body::Body;
use axum::routing::get;
use tower::ServiceExt;

use super::*;

/// Where a request to plain HTTP is sent: host, path, the Location of a 308.
async fn sent_to(uri: &str, host: Option<&str>, port: u16) -> Result<String, StatusCode> {
    let routes = redirecting(Router::new().route("/healthz", get(|| async { "ok" })), port);
    let mut request = Request::post(uri);
    if let Some(host) = host {
        request = request.header(header::HOST, host);
    }
    let answer = routes.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    match answer.status() {
        StatusCode::PERMANENT_REDIRECT => {
            Ok(answer.headers()[header::LOCATION].to_str().unwrap().to_owned())
        }
        status => Err(status),
    }
}

#[tokio::test]
async fn plain_http_points_to_the_same_host_and_path_over_https() {
    for (uri, host, port, location) in [
        (
            "/m/board?x=1",
            "plenum.example.org:7880",
            7443,
            "https://plenum.example.org:7443/m/board?x=1",
        ),
        ("/", "192.0.2.1", 7443, "https://192.0.2.1:7443/"),
        ("/rtc/v1", "[2001:db8::7]:7880", 443, "https://[2001:db8::7]/rtc/v1"),
        ("http://other.example.org:80/a", "ignored", 443, "https://other.example.org/a"),
    ] {
        assert_eq!(sent_to(uri, Some(host), port).await.as_deref(), Ok(location));
    }
}

#[tokio::test]
async fn a_request_without_a_host_is_told_so() {
    for host in [None, Some(""), Some("a b"), Some("a/b")] {
        assert_eq!(sent_to("/", host, 443).await, Err(StatusCode::BAD_REQUEST), "{host:?}");
    }
    let method = sent_to("/healthz", Some("a"), 443).await;
    assert_eq!(method, Err(StatusCode::METHOD_NOT_ALLOWED), "own routes stay");
}
