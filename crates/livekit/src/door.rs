//! Who knocks too often: refused requests and joins from one address, and requests that never end.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use conference::access::{Limiter, Rate, TooMany};

/// Requests of one address that may be refused: a page with an old token tries some times, and
/// an office's pages all at once.
const REFUSED: Rate = Rate { burst: 200, interval: Duration::from_millis(200) };
/// Sessions that one address may begin: after a restart a whole office comes back within seconds.
const JOINS: Rate = Rate { burst: 1000, interval: Duration::from_millis(50) };
/// Addresses that are remembered at a time.
const ADDRESSES: usize = 100_000;
/// How long a request may take, its body included. A WebSocket is answered when it begins.
const WITHIN: Duration = Duration::from_secs(15);

/// The door's memory, the same for all its routes.
#[derive(Clone)]
pub struct Door {
    refused: Arc<Mutex<Limiter>>,
    joins: Arc<Mutex<Limiter>>,
    within: Duration,
}

impl Default for Door {
    fn default() -> Self {
        let limiter = |rate| Arc::new(Mutex::new(Limiter::new(rate, ADDRESSES)));
        Self { refused: limiter(REFUSED), joins: limiter(JOINS), within: WITHIN }
    }
}

impl Door {
    fn enter(&self, address: IpAddr, joins: bool, now: Instant) -> Result<(), TooMany> {
        lock(&self.refused).check(address, now)?;
        if joins { lock(&self.joins).take(address, now) } else { Ok(()) }
    }
}

/// Lets a request in, unless its address was refused too often lately.
pub async fn guard(State(door): State<Door>, request: Request, next: Next) -> Response {
    let client = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|it| it.0.ip());
    let joins = request.headers().contains_key(header::UPGRADE);
    if let Some(address) = client
        && let Err(too_many) = door.enter(address, joins, Instant::now())
    {
        metrics::counter!("plenum_livekit_rate_limited_total").increment(1);
        let seconds = too_many.retry_after.as_secs() + 1;
        let retry = [(header::RETRY_AFTER, seconds.to_string())];
        return (StatusCode::TOO_MANY_REQUESTS, retry, "too many requests").into_response();
    }
    let Ok(response) = tokio::time::timeout(door.within, next.run(request)).await else {
        metrics::counter!("plenum_livekit_timeouts_total").increment(1);
        return (StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response();
    };
    if let Some(address) = client
        && is_refusal(response.status())
    {
        lock(&door.refused).charge(address, Instant::now());
    }
    response
}

/// What somebody sends who has no business here. Whoever asks for a room that is gone has.
fn is_refusal(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
    )
}

fn lock(limiter: &Mutex<Limiter>) -> std::sync::MutexGuard<'_, Limiter> {
    limiter.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    async fn ask(door: &Door, path: &str, host: u8, upgrade: bool) -> (u16, bool) {
        let routes = Router::new()
            .route("/good", get(|| async {}))
            .route("/bad", get(|| async { StatusCode::UNAUTHORIZED }))
            .route("/slow", get(std::future::pending::<()>))
            .layer(axum::middleware::from_fn_with_state(door.clone(), guard));
        let mut request = Request::get(path);
        if upgrade {
            request = request.header(header::UPGRADE, "websocket");
        }
        let mut request = request.body(Body::empty()).unwrap();
        let client = SocketAddr::from(([192, 0, 2, host], 9));
        request.extensions_mut().insert(ConnectInfo(client));
        let response = routes.oneshot(request).await.unwrap();
        (response.status().as_u16(), response.headers().contains_key(header::RETRY_AFTER))
    }

    #[tokio::test]
    async fn an_address_that_is_refused_too_often_waits_and_its_neighbour_does_not() {
        let door = Door::default();
        let mut told = 0;
        while ask(&door, "/bad", 1, false).await == (401, false) {
            told += 1;
            assert!(told < 1000, "a flood is never stopped");
        }
        assert!(told >= REFUSED.burst, "stopped after {told}");
        assert_eq!(ask(&door, "/good", 1, false).await, (429, true));
        assert_eq!(ask(&door, "/good", 2, false).await, (200, false));
    }

    #[tokio::test]
    async fn sessions_are_counted_and_other_requests_are_not() {
        let door = Door::default();
        let mut begun = 0;
        while ask(&door, "/good", 1, true).await == (200, false) {
            begun += 1;
            assert!(begun < 5000, "a flood is never stopped");
        }
        assert!(begun >= JOINS.burst, "stopped after {begun}");
        assert_eq!(ask(&door, "/good", 1, false).await, (200, false));
    }

    #[tokio::test]
    async fn a_request_that_never_ends_is_ended() {
        let door = Door { within: Duration::from_millis(20), ..Door::default() };
        assert_eq!(ask(&door, "/slow", 1, false).await, (408, false));
    }
}
