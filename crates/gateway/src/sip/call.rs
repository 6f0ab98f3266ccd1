//! A call as its leg sees it: events that come, and what can be done.

use std::sync::Arc;
use std::time::Duration;

use rsipstack::sip::prelude::HeadersExt;
use rsipstack::sip::typed::Contact;
use rsipstack::sip::{Header, Method, Response, StatusCode};
use rsipstack::transaction::key::TransactionRole;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use super::core::{CallCore, Stage};
use super::error::{CallError, CallErrorKind, CallId};
use super::proof::Challenge;
use super::subscribe::Subscription;
use super::transfer::Transfer;
use super::{Status, info};

/// How long an answer to a request of ours inside a call may take, as seen by the caller of it.
/// The transaction itself goes on for its 32 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// A touch tone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tone {
    /// `0` to `9`, `*`, `#`, `A` to `D`.
    pub digit: char,
    /// How long the key was held, in milliseconds; at most 5000.
    pub duration_ms: u16,
}

/// Why a call that we began was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// 486 or 600.
    Busy,
    /// 603 or 403.
    Declined,
    /// It rang too long, or the peer says that it did (408, 480, 487).
    TimedOut,
    /// Nothing answers at the address, or its name is not known.
    Unreachable,
    /// 404, 604, 410 or 484.
    NotFound,
    /// Any other refusal, with its status.
    Refused(u16),
    /// We took it back.
    Cancelled,
}

impl FailureKind {
    pub(super) fn of(status: u16) -> Self {
        match status {
            486 | 600 => Self::Busy,
            403 | 603 => Self::Declined,
            408 | 480 | 487 => Self::TimedOut,
            404 | 410 | 484 | 604 => Self::NotFound,
            other => Self::Refused(other),
        }
    }
}

/// Addresses of one redirection that are looked at.
const MAX_CONTACTS: usize = 5;
/// The longest session interval that a peer may insist on, in seconds.
const MAX_INTERVAL: u32 = 86_400;
/// The longest that a server is left alone because it says so.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// What the refusal of a call of ours says for whoever makes it again. Its `Debug` has no addresses in
/// it, as PINs may stand there.
#[derive(Clone, Default)]
pub struct Advice {
    /// Who are we (401, 407)?
    pub challenge: Option<Challenge>,
    /// Who is to be called instead (3xx), in the order of choice. Not for logs.
    pub contacts: Vec<String>,
    /// The least session interval that is taken (422), in seconds.
    pub interval: Option<u32>,
    /// For how long nobody is to call there (503).
    pub retry_after: Option<Duration>,
}

impl Advice {
    /// Whether a refusal with this status says such a thing.
    pub(super) fn comes_with(status: u16) -> bool {
        matches!(status, 300..=399 | 401 | 407 | 422 | 503)
    }

    pub(super) fn of(response: &Response) -> Self {
        let status = code_of(&response.status_code);
        let number = |named: &str| {
            let value = response.header_value(named)?;
            // `Retry-After` may have a comment and parameters.
            value.split([';', '(', ' ']).next()?.parse::<u32>().ok()
        };
        let mut advice = Self::default();
        match status {
            300..=399 => {
                let mut contacts = response.typed_contact_headers().unwrap_or_default();
                // Whoever has no word on it is as good as any.
                let wish = |it: &Contact| it.q().unwrap_or(1.0);
                contacts.sort_by(|a, b| wish(b).total_cmp(&wish(a)));
                let contacts = contacts.into_iter().take(MAX_CONTACTS);
                advice.contacts = contacts.map(|it| it.uri.to_string()).collect();
            }
            401 | 407 => advice.challenge = Some(Challenge::of(response)),
            422 => advice.interval = number("Min-SE").filter(|it| *it <= MAX_INTERVAL),
            503 => {
                let seconds = number("Retry-After").map(|it| Duration::from_secs(it.into()));
                advice.retry_after = seconds.map(|it| it.min(MAX_RETRY_AFTER));
            }
            _ => {}
        }
        advice
    }
}

impl std::fmt::Debug for Advice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Advice")
            .field("challenged", &self.challenge.is_some())
            .field("contacts", &self.contacts.len())
            .field("interval", &self.interval)
            .field("retry_after", &self.retry_after)
            .finish()
    }
}

/// What happens to a call. The stream of events ends when the call is over. Its `Debug` has no
/// SDP in it, as keys stand there.
pub enum CallEvent {
    /// A call of ours rings (180) or sends early media (183, with SDP).
    Ringing {
        /// 180 to 183.
        status: u16,
        /// Early SDP.
        sdp: Option<Vec<u8>>,
    },
    /// A call of ours is answered.
    Answered {
        /// The answer to our offer.
        sdp: Vec<u8>,
    },
    /// A call of ours failed. Last event.
    Failed(FailureKind),
    /// The peer has confirmed our answer (ACK), of the call or of a change to it.
    Confirmed {
        /// The answer to our offer, where the peer had made none.
        answer: Option<Vec<u8>>,
    },
    /// The peer changes the session (re-INVITE or UPDATE). Answer it within 10 s.
    ReOffer(ReOffer),
    /// An INFO whose type we take and that is no tone and no key frame request.
    Info {
        /// Its type.
        content_type: Option<String>,
        /// Its body.
        body: Vec<u8>,
    },
    /// A touch tone in an INFO.
    Dtmf(Tone),
    /// The peer asks for a key frame (RFC 5168).
    PictureFastUpdate,
    /// The peer wants somebody else called (REFER). Answer it within 10 s.
    Transfer(Transfer),
    /// The peer wants to know who is in the conference. Answer it within 10 s.
    Subscribed(Subscription),
    /// The caller hung up before we answered. Last event.
    Cancelled,
    /// The peer hung up. Last event.
    Bye {
        /// Its `Reason` header.
        reason: Option<String>,
    },
    /// The peer did not confirm, or did not refresh the session in time. Last event.
    TimedOut,
}

impl std::fmt::Debug for CallEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ringing { status, sdp } => {
                let early_media = sdp.is_some();
                write!(f, "Ringing({status}, early media: {early_media})")
            }
            Self::Answered { .. } => f.write_str("Answered"),
            Self::Failed(kind) => write!(f, "Failed({kind:?})"),
            Self::Confirmed { answer } => write!(f, "Confirmed(answer: {})", answer.is_some()),
            Self::ReOffer(offer) => write!(f, "ReOffer(offer: {})", offer.sdp.is_some()),
            Self::Info { content_type, .. } => write!(f, "Info({content_type:?})"),
            // A tone may be part of a PIN.
            Self::Dtmf(_) => f.write_str("Dtmf"),
            Self::PictureFastUpdate => f.write_str("PictureFastUpdate"),
            Self::Transfer(_) => f.write_str("Transfer"),
            Self::Subscribed(_) => f.write_str("Subscribed"),
            Self::Cancelled => f.write_str("Cancelled"),
            Self::Bye { reason } => write!(f, "Bye({reason:?})"),
            Self::TimedOut => f.write_str("TimedOut"),
        }
    }
}

/// A change of the session that waits for its answer. Dropped, it is refused with 488.
pub struct ReOffer {
    /// The new offer. Without one, answer with an offer of ours; the peer's answer to it comes
    /// as [`CallEvent::Confirmed`].
    pub sdp: Option<Vec<u8>>,
    pub(super) reply: oneshot::Sender<Result<Vec<u8>, Status>>,
}

impl ReOffer {
    /// Agrees with this SDP.
    pub fn accept(self, sdp: Vec<u8>) {
        // A peer that has gone meanwhile needs no answer.
        let _ = self.reply.send(Ok(sdp));
    }

    /// Refuses; the session stays as it was.
    pub fn reject(self, status: Status) {
        let _ = self.reply.send(Err(status));
    }
}

/// A call: its events, and its handle. Dropped, it is hung up.
#[derive(Debug)]
pub struct Call {
    pub(super) handle: CallHandle,
    pub(super) events: mpsc::Receiver<CallEvent>,
}

impl Call {
    /// Its `Call-ID`.
    #[must_use]
    pub fn id(&self) -> &CallId {
        &self.handle.core.id
    }

    /// The next event; `None` when the call is over and every event was taken.
    pub async fn next(&mut self) -> Option<CallEvent> {
        self.events.recv().await
    }

    /// What the refusal said, where a call of ours was refused.
    #[must_use]
    pub fn advice(&self) -> Advice {
        self.handle.core.advice()
    }

    /// What can be done to it, for other tasks.
    #[must_use]
    pub fn handle(&self) -> CallHandle {
        self.handle.clone()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.handle.core.abandon();
    }
}

/// What can be done to a call.
#[derive(Debug, Clone)]
pub struct CallHandle {
    pub(super) core: Arc<CallCore>,
}

impl CallHandle {
    /// Its `Call-ID`.
    #[must_use]
    pub fn id(&self) -> &CallId {
        &self.core.id
    }

    /// Hangs up: BYE when it is established, CANCEL when a call of ours is not answered, 480
    /// when we have not answered one. Returns when the peer has agreed, or after 8 s.
    ///
    /// # Errors
    /// [`CallErrorKind::TimedOut`]; the call is over nevertheless.
    pub async fn bye(&self) -> Result<(), CallError> {
        self.hang_up(None).await
    }

    /// Hangs up as [`Self::bye`] does, and tells why in the BYE (RFC 3326): the session that was
    /// agreed on cannot be had. `why` is shown to people, and has no quotes in it.
    ///
    /// # Errors
    /// As [`Self::bye`].
    pub async fn bye_since(&self, why: &str) -> Result<(), CallError> {
        let status = Status::NOT_ACCEPTABLE_HERE.code();
        self.hang_up(Some(format!("SIP;cause={status};text=\"{why}\""))).await
    }

    async fn hang_up(&self, reason: Option<String>) -> Result<(), CallError> {
        let core = self.core.clone();
        let span = core.span.clone();
        // On its own: the request goes on when nobody waits any more.
        let sent = tokio::spawn(async move { core.hang_up(reason).await }.instrument(span));
        match tokio::time::timeout(ANSWER_WITHIN, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(self.error(CallErrorKind::TimedOut)),
        }
    }

    /// Takes back a call of ours that is not answered. Its last event is
    /// [`FailureKind::Cancelled`]; an answer that crosses is hung up.
    pub fn cancel(&self) {
        self.core.cancel();
    }

    /// Asks the peer for a key frame (RFC 5168).
    ///
    /// # Errors
    /// [`CallErrorKind::Refused`] when the peer does not know this (415, 501): do not ask again.
    pub async fn picture_fast_update(&self) -> Result<(), CallError> {
        let headers = vec![Header::ContentType(info::MEDIA_CONTROL.into())];
        let body = info::PICTURE_FAST_UPDATE.as_bytes().to_vec();
        self.answered(Method::Info, headers, body).await?;
        Ok(())
    }

    /// Changes the session with a new offer; gives back the peer's answer.
    ///
    /// # Errors
    /// [`CallErrorKind::Glare`] when the peer is changing it as well; a refusal leaves the
    /// session as it was.
    pub async fn re_invite(&self, sdp: Vec<u8>) -> Result<Vec<u8>, CallError> {
        let Some(_changing) = self.core.begin_change() else {
            return Err(self.error(CallErrorKind::Glare));
        };
        let headers = self.core.offer_headers();
        let response = self.answered(Method::Invite, headers, sdp.clone()).await?;
        self.core.set_local_sdp(sdp);
        self.core.session_answered(&response);
        Ok(response.body)
    }

    /// How long to wait before a change that met the peer's is tried again (RFC 3261 section 14.1):
    /// another time than the peer waits.
    #[must_use]
    pub fn after_glare(&self) -> Duration {
        let ours = self.core.dialog.role() == TransactionRole::Client;
        // In steps of 10 ms.
        let steps = if ours { rand::random_range(210..=400) } else { rand::random_range(0..=200) };
        Duration::from_millis(steps * 10)
    }

    /// Tells the peer how a transfer that it has asked for stands.
    ///
    /// # Errors
    /// The peer does not want to know, or is gone: tell it no more.
    pub(super) async fn notify(
        &self,
        headers: Vec<Header>,
        body: Vec<u8>,
    ) -> Result<(), CallError> {
        self.answered(Method::Notify, headers, body).await.map(|_| ())
    }

    /// Runs a request to its final response, on its own, so that nothing is left half sent.
    async fn answered(
        &self,
        method: Method,
        headers: Vec<Header>,
        body: Vec<u8>,
    ) -> Result<Response, CallError> {
        if self.core.stage() != Stage::Confirmed {
            return Err(self.error(CallErrorKind::NotEstablished));
        }
        let core = self.core.clone();
        let request = async move { core.ask(method, headers, body).await };
        let sent = tokio::spawn(request.instrument(self.core.span.clone()));
        let response = match tokio::time::timeout(ANSWER_WITHIN, sent).await {
            Err(_) | Ok(Err(_)) => return Err(self.error(CallErrorKind::TimedOut)),
            Ok(Ok(Err(error))) => return Err(self.error(error)),
            Ok(Ok(Ok(response))) => response,
        };
        match response.status_code.code() {
            200..=299 => Ok(response),
            491 => Err(self.error(CallErrorKind::Glare)),
            // The library's own word for silence.
            408 => Err(self.error(CallErrorKind::TimedOut)),
            // The peer knows of no such call (RFC 3261 section 12.2.1.2).
            481 => {
                self.core.finish(Some(CallEvent::Bye { reason: None }));
                Err(self.error(CallErrorKind::Ended))
            }
            code => Err(self.error(CallErrorKind::Refused(code))),
        }
    }

    fn error(&self, reason: CallErrorKind) -> CallError {
        let reason = match self.core.stage() {
            Stage::Over => CallErrorKind::Ended,
            _ => reason,
        };
        CallError { call: self.core.id.clone(), reason }
    }
}

/// The body of a message when it is SDP.
pub(super) fn sdp_of(response: &Response) -> Option<Vec<u8>> {
    (!response.body.is_empty()).then(|| response.body.clone())
}

/// A response's status as a number.
pub(super) fn code_of(status: &StatusCode) -> u16 {
    status.code()
}
