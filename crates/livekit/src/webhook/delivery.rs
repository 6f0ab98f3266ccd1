//! One message on its way to one URL, however often that takes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conference::access::{Grant, Keys};
use fetch::{Address, Client};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use hyper::{Request, StatusCode};
use livekit_protocol as lk;
use rand::Rng;
use tokio::time::Instant;
use types::{MeetingId, Timestamp};

use super::{WebhookFailure, WebhookStatus};

/// How long a signature is good.
const SIGNED_FOR: Duration = Duration::from_secs(300);

/// What is sent.
pub struct Message {
    pub room: MeetingId,
    event: String,
    id: String,
    body: Bytes,
}

impl Message {
    /// `None` if it has no JSON, which does not happen.
    pub fn new(room: &MeetingId, webhook: &lk::WebhookEvent) -> Option<Self> {
        let body = serde_json::to_vec(webhook)
            .inspect_err(|error| tracing::error!(%error, "a webhook cannot be written"))
            .ok()?;
        let (event, id) = (webhook.event.clone(), webhook.id.clone());
        Some(Self { room: room.clone(), event, id, body: body.into() })
    }

    pub fn size(&self) -> usize {
        self.body.len()
    }
}

/// How often a delivery is tried: pauses double from the first to the longest, each a random share
/// longer or shorter, so that those who failed together do not come back together.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub first: Duration,
    pub longest: Duration,
    /// No try begins later than this after the first.
    pub within: Duration,
}

impl Default for Patience {
    /// A receiver may be restarted; whoever is away for longer asks the server API how things
    /// stand.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(15),
            within: Duration::from_secs(60),
        }
    }
}

/// A URL, and how its deliveries do.
pub struct Target {
    url: Address,
    key: String,
    keys: Arc<Keys>,
    client: Client,
    patience: Patience,
    figures: Mutex<Figures>,
}

struct Figures {
    status: WebhookStatus,
    /// Of all bodies that wait.
    bytes: usize,
}

/// What a queue may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub messages: usize,
    pub bytes: usize,
}

/// A try that failed, and whether another may not.
struct Failure {
    error: String,
    again: bool,
}

impl Target {
    pub fn new(
        url: Address,
        key: String,
        keys: Arc<Keys>,
        client: Client,
        patience: Patience,
    ) -> Self {
        let status = WebhookStatus { url: url.shown(), ..WebhookStatus::default() };
        let figures = Mutex::new(Figures { status, bytes: 0 });
        Self { url, key, keys, client, patience, figures }
    }

    pub fn status(&self) -> WebhookStatus {
        self.figures().status.clone()
    }

    /// Takes a message of so many bytes in, if there is room for it; whether there was.
    pub fn admit(&self, size: usize, bounds: Bounds) -> bool {
        let mut figures = self.figures();
        if figures.status.queued >= bounds.messages || figures.bytes + size > bounds.bytes {
            drop(figures);
            self.failed("the queue is full");
            self.drop_one("full");
            return false;
        }
        figures.status.queued += 1;
        figures.bytes += size;
        metrics::gauge!("plenum_webhook_queued").increment(1.0);
        true
    }

    /// Sends a message until it is taken, refused for good, or tried for long enough.
    pub async fn deliver(&self, message: &Message) {
        let begun = Instant::now();
        let mut pause = self.patience.first;
        let taken = loop {
            match self.send(message).await {
                Ok(()) => break true,
                Err(Failure { error, again }) => {
                    let Message { event, id, .. } = message;
                    tracing::info!(url = ?self.url, event, id, error, again, "a webhook failed");
                    self.failed(&error);
                    if !again || begun.elapsed() + pause > self.patience.within {
                        break false;
                    }
                }
            }
            let share = rand::rng().random_range(0.5..1.5);
            tokio::time::sleep(pause.mul_f64(share)).await;
            pause = (pause * 2).min(self.patience.longest);
        };
        metrics::gauge!("plenum_webhook_queued").decrement(1.0);
        self.let_go(message.size());
        if taken {
            metrics::counter!("plenum_webhook_delivered_total").increment(1);
            self.figures().status.delivered += 1;
        } else {
            tracing::warn!(url = ?self.url, event = message.event, id = message.id,
                "a webhook is given up");
            self.drop_one("given_up");
        }
    }

    async fn send(&self, message: &Message) -> Result<(), Failure> {
        let hash = STANDARD.encode(digest(&SHA256, &message.body));
        let grant = Grant { issuer: self.key.clone(), sha256: Some(hash), ..Grant::default() };
        let for_good = |error: String| Failure { error, again: false };
        let token = self.keys.sign(&grant, SIGNED_FOR, SystemTime::now());
        let token = token.map_err(|error| for_good(error.to_string()))?;
        let request = Request::post(self.url.target())
            // Not `Bearer`: LiveKit's receivers take the header for the token.
            .header(AUTHORIZATION, token)
            // Its own type, so that nobody parses it before the signature was checked.
            .header(CONTENT_TYPE, "application/webhook+json")
            .header(USER_AGENT, concat!("Plenum/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(message.body.clone()))
            .map_err(|error| for_good(error.to_string()))?;
        let answer = self.client.send(&self.url.server, request).await;
        let status = match answer {
            Ok(answer) => answer.status,
            Err(error) => return Err(Failure { error: error.to_string(), again: true }),
        };
        if status.is_success() {
            return Ok(());
        }
        Err(Failure { error: format!("it answered {status}"), again: may_change(status) })
    }

    fn let_go(&self, size: usize) {
        let mut figures = self.figures();
        figures.status.queued -= 1;
        figures.bytes -= size;
    }

    fn failed(&self, error: &str) {
        metrics::counter!("plenum_webhook_failures_total").increment(1);
        let at = Timestamp::of(SystemTime::now());
        self.figures().status.last_error = Some(WebhookFailure { at, error: error.to_owned() });
    }

    fn drop_one(&self, reason: &'static str) {
        metrics::counter!("plenum_webhook_dropped_total", "reason" => reason).increment(1);
        self.figures().status.dropped += 1;
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the same request may be answered otherwise a little later. A redirect is not followed,
/// and a refusal stays one.
fn may_change(status: StatusCode) -> bool {
    let busy = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    busy || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}
