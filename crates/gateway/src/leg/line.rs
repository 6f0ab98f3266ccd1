//! An answered call: what its two sides say to each other until one of them ends it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use conference::access::Role;
use conference::{JoinError, Leg, LegEvent, Participant};
use room::{LAYOUT_ATTRIBUTE, LeaveReason, Permissions};
use tokio_util::sync::CancellationToken;
use types::{Identity, LegLayout, MeetingId};

use super::admission::{PinEntry, Step};
use super::media::Session;
use crate::gateway::Shared;
use crate::sip::{
    Call, CallErrorKind, CallEvent, CallHandle, IncomingCall, ReOffer, Status, Target,
};

/// The longest name that is shown, in characters.
const MAX_NAME: usize = 80;
/// Characters of the caller's address in its identity.
const MAX_USER: usize = 32;
/// How long a wrong PIN is shown before the call ends.
const LAST_WORD: Duration = Duration::from_secs(2);

/// Who is on the other side, as the meeting knows it.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    identity: Identity,
    name: String,
    attributes: BTreeMap<String, String>,
    host: bool,
}

impl Caller {
    pub(super) fn of(call: &IncomingCall, host: bool, layout: LegLayout) -> Self {
        let user = user_of(&call.from);
        let name = call.display_name.as_deref().map(shown).filter(|it| !it.is_empty());
        let id = call.id().map(ToString::to_string).unwrap_or_default();
        let attributes = [
            ("sip.callID", id.as_str()),
            ("sip.callIDFull", id.as_str()),
            ("sip.callTag", call.from_tag.as_str()),
            ("sip.callStatus", "active"),
            ("sip.phoneNumber", user.as_str()),
            ("sip.transport", &call.transport.to_string()),
            ("sip.userAgent", &shown(call.user_agent.as_deref().unwrap_or_default())),
            (LAYOUT_ATTRIBUTE, layout.as_str()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
        let identity = identity(&user);
        let name = name.or_else(|| Some(shown(&user)).filter(|it| !it.is_empty()));
        let name = name.unwrap_or_else(|| call.source.ip().to_string());
        Self { identity, name, attributes, host }
    }

    /// Whom we call.
    pub(crate) fn dialled(target: &Target, layout: LegLayout) -> Self {
        let attributes = [
            ("sip.callStatus", "dialing"),
            ("sip.phoneNumber", target.user.as_str()),
            (LAYOUT_ATTRIBUTE, layout.as_str()),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let name = shown(&target.shown());
        let attributes = BTreeMap::from(attributes);
        Self { identity: identity(&target.user), name, attributes, host: false }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn participant(&self) -> Participant {
        Participant {
            identity: self.identity.clone(),
            name: self.name.clone(),
            permissions: Permissions {
                // There is nothing on the other side that could read data.
                publish_data: false,
                update_own: false,
                host: self.host,
                ..Permissions::default()
            },
            attributes: self.attributes.clone(),
        }
    }
}

/// Two calls of one system are two participants: an identity is of a call.
fn identity(user: &str) -> Identity {
    let short: String = user.chars().filter(|it| it.is_alphanumeric()).take(MAX_USER).collect();
    Identity::new(format!("sip_{short}_{:08x}", rand::random::<u32>()))
}

/// The user part of an address, or its host where it has none.
fn user_of(address: &str) -> String {
    let rest = address.split_once(':').map_or(address, |(_, rest)| rest);
    rest.split('@').next().unwrap_or_default().split(';').next().unwrap_or_default().to_owned()
}

/// A peer's text as it may be shown.
fn shown(text: &str) -> String {
    let words = text.split(|it: char| it.is_whitespace() || it.is_control());
    let words: Vec<&str> = words.filter(|it| !it.is_empty()).collect();
    words.join(" ").chars().take(MAX_NAME).collect()
}

/// Who stands before a meeting.
pub(super) struct Visitor {
    pub(super) meeting: MeetingId,
    pub(super) caller: Caller,
    pub(super) source: IpAddr,
}

/// An answered call.
pub(super) struct Line {
    shared: Arc<Shared>,
    call: Call,
    handle: CallHandle,
    session: Session,
    leg: Leg,
    /// The server stops, or somebody hangs up for us.
    stop: CancellationToken,
    /// The peer does not know requests for key frames in INFO: it is asked no more.
    deaf: Arc<AtomicBool>,
}

/// What goes on.
enum Next {
    Key(char),
    /// The room system hung up.
    Goodbye,
    Over,
}

impl Line {
    pub(super) fn new(
        shared: Arc<Shared>,
        call: Call,
        session: Session,
        leg: Leg,
        stop: CancellationToken,
    ) -> Self {
        let handle = call.handle();
        Self { shared, call, handle, session, leg, stop, deaf: Arc::default() }
    }

    /// The room system is in its meeting, until one side ends it.
    pub(super) async fn talk(mut self) {
        tracing::info!(peer = %self.leg.peer(), "a room system is in");
        loop {
            match self.next(None).await {
                Some(Next::Key(_)) | None => {}
                Some(Next::Goodbye) => return self.leg.leave(LeaveReason::ByItself),
                Some(Next::Over) => return,
            }
        }
    }

    /// The room system has to enter the PIN first.
    pub(super) async fn ask_pin(mut self, mut visitor: Visitor, failed: bool) {
        let mut entry = PinEntry::new(failed, Instant::now());
        self.show(if failed { Prompt::Wrong } else { Prompt::Enter(0) });
        loop {
            let step = match self.next(Some(entry.deadline())).await {
                Some(Next::Over | Next::Goodbye) => return,
                Some(Next::Key(key)) => {
                    let step = entry.key(key, Instant::now());
                    if step == Step::Wait {
                        self.show(Prompt::Enter(entry.entered()));
                    }
                    step
                }
                // What was said last stays: only a key answers it.
                None => entry.timeout(Instant::now()),
            };
            match step {
                Step::Wait => {}
                Step::GiveUp => {
                    tracing::info!("nobody enters the PIN");
                    return self.end().await;
                }
                Step::Try(pin) => match self.try_pin(&mut visitor, &pin).await {
                    Ok(true) => return self.talk().await,
                    Ok(false) if entry.wrong() => self.show(Prompt::Wrong),
                    Ok(false) => {
                        tracing::info!("three wrong PINs");
                        self.show(Prompt::Wrong);
                        let seen = tokio::time::Instant::now() + LAST_WORD;
                        while self.next(Some(seen.into_std())).await.is_some() {}
                        return self.end().await;
                    }
                    Err(error) => {
                        tracing::info!(reason = %error, "a room system is refused");
                        metrics::counter!("plenum_sip_refused_total").increment(1);
                        return self.end().await;
                    }
                },
            }
        }
    }

    /// Whether the PIN let it in.
    async fn try_pin(&mut self, visitor: &mut Visitor, pin: &str) -> Result<bool, JoinError> {
        let Visitor { meeting, caller, source } = visitor;
        if !self.shared.may_try_pin(*source) {
            return Ok(false);
        }
        match self.shared.conference.directory().admit(meeting, Some(pin)) {
            Ok(admission) => {
                caller.host = admission.role == Role::Host;
                self.leg.join(meeting, caller.participant()).await?;
                Ok(true)
            }
            Err(_) => {
                self.shared.note_wrong_pin(*source);
                Ok(false)
            }
        }
    }

    fn show(&mut self, prompt: Prompt) {
        self.leg.prompt(&prompt.text());
    }

    /// Takes what happens next; `None` at the deadline and for what needs nothing more.
    async fn next(&mut self, deadline: Option<Instant>) -> Option<Next> {
        let deadline = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = self.call.next() => self.handle_call(event).await,
            event = self.leg.next_event() => self.handle_leg(event).await,
            () = self.stop.cancelled() => {
                tracing::info!("hanging up, as was asked or since the server stops");
                hang_up(&self.call).await;
                Some(Next::Over)
            }
            () = deadline => None,
        }
    }

    async fn handle_call(&mut self, event: Option<CallEvent>) -> Option<Next> {
        match event {
            Some(CallEvent::ReOffer(offer)) => self.renegotiate(offer).await,
            Some(CallEvent::Confirmed { answer: Some(answer) }) => self.completed(&answer).await,
            Some(CallEvent::Dtmf(tone)) => return Some(Next::Key(tone.digit)),
            Some(CallEvent::PictureFastUpdate) => self.leg.needs_key_frame(),
            Some(CallEvent::Bye { reason }) => {
                tracing::info!(?reason, "the room system hung up");
                return Some(Next::Goodbye);
            }
            Some(CallEvent::TimedOut) => {
                tracing::info!("the room system's signalling is lost");
                return Some(Next::Over);
            }
            Some(CallEvent::Cancelled | CallEvent::Failed(_)) | None => return Some(Next::Over),
            Some(
                CallEvent::Confirmed { answer: None }
                | CallEvent::Info { .. }
                | CallEvent::Ringing { .. }
                | CallEvent::Answered { .. },
            ) => {}
        }
        None
    }

    async fn renegotiate(&mut self, offer: ReOffer) {
        let Some(sdp) = &offer.sdp else { return offer.accept(self.session.offer()) };
        match self.session.answer(sdp) {
            Ok((answer, agreed)) => {
                offer.accept(answer);
                self.leg.update(agreed.media, agreed.format).await;
            }
            Err(error) => {
                tracing::info!(reason = %error, "a change of the session is refused");
                offer.reject(Status::NOT_ACCEPTABLE_HERE);
            }
        }
    }

    /// The answer to an offer of ours, in an ACK.
    async fn completed(&mut self, answer: &[u8]) {
        match self.session.complete(answer) {
            Ok(Some(agreed)) => self.leg.update(agreed.media, agreed.format).await,
            Ok(None) => {}
            // The session stays as it was (RFC 3264 section 8 has no word for a wrong answer).
            Err(error) => tracing::warn!(reason = %error, "an answer cannot be used"),
        }
    }

    async fn handle_leg(&mut self, event: LegEvent) -> Option<Next> {
        match event {
            LegEvent::Key(key) => return Some(Next::Key(key)),
            LegEvent::KeyFrameBySignalling => self.ask_key_frame(),
            LegEvent::Lost => {
                tracing::info!("hanging up: no media comes any more");
                hang_up(&self.call).await;
                return Some(Next::Over);
            }
            LegEvent::Out(reason) => {
                tracing::info!(?reason, "hanging up: the room system is out of the meeting");
                hang_up(&self.call).await;
                return Some(Next::Over);
            }
        }
        None
    }

    fn ask_key_frame(&self) {
        if self.deaf.load(Ordering::Relaxed) {
            return;
        }
        let (handle, deaf) = (self.handle.clone(), self.deaf.clone());
        tokio::spawn(async move {
            if let Err(error) = handle.picture_fast_update().await
                && matches!(error.reason, CallErrorKind::Refused(_))
            {
                tracing::debug!(%error, "the room system cannot be asked for key frames");
                deaf.store(true, Ordering::Relaxed);
            }
        });
    }

    async fn end(self) {
        self.leg.leave(LeaveReason::ByItself);
        hang_up(&self.call).await;
    }
}

pub(super) async fn hang_up(call: &Call) {
    if let Err(error) = call.handle().bye().await {
        tracing::debug!(%error, "hanging up");
    }
}

/// What a room system sees before it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prompt {
    /// So many digits were entered.
    Enter(usize),
    /// The PIN was wrong.
    Wrong,
}

impl Prompt {
    /// In the languages of all who may stand before it, a line each.
    fn text(self) -> String {
        match self {
            Self::Enter(0) => "Введите PIN и #\nEnter the PIN and #".to_owned(),
            Self::Enter(digits) => "●".repeat(digits),
            Self::Wrong => "Неверный PIN\nWrong PIN".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_callers_are_made_fit_to_be_shown() {
        assert_eq!(shown("  Зал \u{7} заседаний\t1 "), "Зал заседаний 1");
        assert_eq!(shown(&"x".repeat(500)).len(), MAX_NAME);
        assert_eq!(user_of("sip:room@198.51.100.7:5060"), "room");
        assert_eq!(user_of("tel:+7495;phone-context=x"), "+7495");
        assert_eq!(user_of("sip:198.51.100.7"), "198.51.100.7");
    }

    #[test]
    fn a_prompt_never_shows_the_pin() {
        assert_eq!(Prompt::Enter(4).text(), "●●●●");
    }
}
