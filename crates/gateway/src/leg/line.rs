//! An answered call: what its two sides say to each other until one of them ends it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use conference::access::{self, AdmissionError};
use conference::{
    CODECS_ATTRIBUTE, JoinError, Leg, LegEvent, Participant, RULE_ATTRIBUTE, Sharing, Waiting,
};
use room::{Fate, Knock, LAYOUT_ATTRIBUTE, LeaveReason, Permissions, Role};
use rtp::payload::h224::Frame;
use sfu::transport::plain::HandshakeError;
use tokio_util::sync::CancellationToken;
use types::{Identity, LegLayout, MeetingId, ParticipantKind, Timestamp, without_pin};

use super::admission::{KeyEntry, Step};
use super::camera::{Camera, Orders, Steered};
use super::floor::FloorEvent;
use super::keys::{Way, Ways};
use super::media::{Agreed, Session};
use super::prompt::Prompt;
use super::transfer::Inside;
use super::{Refused, wait_until};
use crate::gateway::Shared;
use crate::sip::{
    Call, CallErrorKind, CallEvent, CallHandle, IncomingCall, ReOffer, Status, Target,
};

/// The longest name that is shown, in characters.
const MAX_NAME: usize = 80;
/// Characters of the caller's address in its identity.
const MAX_USER: usize = 32;
/// How often a change of ours is tried that meets the room system's.
const CHANGES: usize = 4;
/// How long a last word is shown before the call ends.
const LAST_WORD: Duration = Duration::from_secs(2);

/// Who is on the other side, as the meeting knows it.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    identity: Identity,
    name: String,
    attributes: BTreeMap<String, String>,
    role: Role,
    /// We called it.
    invited: bool,
    /// From where it calls; `None`: we called it.
    from: Option<IpAddr>,
}

impl Caller {
    pub(super) fn of(
        call: &IncomingCall,
        role: Role,
        layout: LegLayout,
        rule: Option<String>,
    ) -> Self {
        let user = user_of(&call.from);
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
            (RULE_ATTRIBUTE, &shown(&rule.unwrap_or_default())),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
        let identity = identity(&user);
        let (name, from) = (name_of(call), Some(call.source.ip()));
        Self { identity, name, attributes, role, invited: false, from }
    }

    /// Whom we call.
    pub(crate) fn dialled(target: &Target, layout: LegLayout) -> Self {
        let user = without_pin(&target.user);
        let attributes = [
            ("sip.callStatus", "dialing"),
            ("sip.phoneNumber", user),
            (LAYOUT_ATTRIBUTE, layout.as_str()),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let name = shown(&target.shown());
        let attributes = BTreeMap::from(attributes);
        let identity = identity(user);
        let role = Role::default();
        Self { identity, name, attributes, role, invited: true, from: None }
    }

    /// It goes into a meeting as this, and sees others arranged so.
    pub(super) fn comes_as(&mut self, role: Role, layout: LegLayout) {
        self.role = role;
        self.attributes.insert(LAYOUT_ATTRIBUTE.to_owned(), layout.as_str().to_owned());
    }

    /// What is spoken with it.
    pub(super) fn speaks(&mut self, codecs: String) {
        self.attributes.insert(CODECS_ATTRIBUTE.to_owned(), codecs);
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn from(&self) -> Option<IpAddr> {
        self.from
    }

    pub(super) fn participant(&self) -> Participant {
        Participant {
            identity: self.identity.clone(),
            name: self.name.clone(),
            permissions: Permissions {
                // There is nothing on the other side that could read data.
                publish_data: false,
                update_own: false,
                ..Permissions::default()
            },
            role: self.role,
            invited: self.invited,
            attributes: self.attributes.clone(),
        }
    }
}

/// What people are shown of who calls.
pub(super) fn name_of(call: &IncomingCall) -> String {
    let given = call.display_name.as_deref().map(shown).filter(|it| !it.is_empty());
    let name = given.or_else(|| Some(shown(&user_of(&call.from))).filter(|it| !it.is_empty()));
    name.unwrap_or_else(|| call.source.ip().to_string())
}

/// Lets a leg into its meeting, unless it has to wait before it.
pub(super) async fn enter(
    shared: &Shared,
    leg: &mut Leg,
    meeting: &MeetingId,
    caller: &Caller,
) -> Result<Option<Waiting>, JoinError> {
    let knock = Knock {
        identity: caller.identity.clone(),
        name: caller.name.clone(),
        kind: ParticipantKind::Sip,
        role: caller.role,
    };
    let waiting = shared.conference.knock(meeting, knock).await?;
    if waiting.fate() != Some(Fate::Admitted) {
        return Ok(Some(waiting));
    }
    leg.join(meeting, caller.participant()).await?;
    Ok(None)
}

pub(super) fn note_refusal(error: &JoinError) {
    tracing::info!(reason = %error, "a room system is refused");
    metrics::counter!("plenum_sip_refused_total").increment(1);
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

/// An answered call.
pub(super) struct Line {
    pub(super) shared: Arc<Shared>,
    call: Call,
    pub(super) handle: CallHandle,
    pub(super) session: Session,
    pub(super) leg: Leg,
    pub(super) caller: Caller,
    /// What was said last.
    said: Option<Prompt>,
    /// The server stops, or somebody hangs up for us.
    stop: CancellationToken,
    /// When it gets a key frame that it did not ask for.
    pub(super) shown_again: Option<Instant>,
    pub(super) camera: Option<Camera>,
    /// What hosts want of the camera.
    pub(super) orders: Orders,
    pub(super) steered: Option<Steered>,
    /// How it tells the keys of its remote control.
    ways: Ways,
    /// The peer does not know requests for key frames in INFO: it is asked no more.
    deaf: Arc<AtomicBool>,
    /// Its place in the meeting, while it is in.
    pub(super) inside: Option<Inside>,
}

/// How a part of a call ends.
pub(super) enum Done {
    /// It stands before the meeting's door, let in or put out.
    ToDoor,
    /// The room system hung up.
    Goodbye,
    /// The call is over.
    Over,
}

/// What goes on.
pub(super) enum Next {
    Key(char),
    /// A host put it back into the lobby.
    ToLobby,
    /// Its waiting is over.
    Settled(Fate),
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
        mut caller: Caller,
        stop: CancellationToken,
    ) -> Self {
        let (handle, deaf) = (call.handle(), Arc::default());
        let (camera, orders) = (session.camera(), Orders::new());
        caller.speaks(session.spoken());
        Self {
            shared,
            call,
            handle,
            session,
            leg,
            caller,
            said: None,
            stop,
            shown_again: None,
            camera,
            orders,
            steered: None,
            ways: Ways::default(),
            deaf,
            inside: None,
        }
    }

    /// The call goes on, in its meeting and before it, until one side ends it.
    pub(super) async fn run(mut self, meeting: MeetingId, mut waiting: Option<Waiting>) {
        loop {
            let done = match waiting.take() {
                Some(waiting) => self.wait(waiting).await,
                None => self.talk(&meeting).await,
            };
            match done {
                Done::ToDoor => {}
                Done::Goodbye => return self.leg.leave(LeaveReason::ByItself),
                Done::Over => return,
            }
            match enter(&self.shared, &mut self.leg, &meeting, &self.caller).await {
                Ok(waits) => waiting = waits,
                Err(error) => {
                    note_refusal(&error);
                    return hang_up(&self.call).await;
                }
            }
        }
    }

    /// The room system is in its meeting.
    async fn talk(&mut self, meeting: &MeetingId) -> Done {
        tracing::info!(peer = %self.leg.peer(), "a room system is in");
        let (id, role) = (self.handle.id().clone(), self.caller.role);
        self.inside = Some(Inside::new(&self.shared, id, meeting.clone(), role));
        self.show_camera().await;
        let done = self.until_out().await;
        self.inside = None;
        self.steered = None;
        done
    }

    /// The room system waits, with a picture, until a host lets it in.
    async fn wait(&mut self, waiting: Waiting) -> Done {
        tracing::info!(peer = %self.leg.peer(), "a room system waits in the lobby");
        loop {
            // Once more after whatever came: media that are negotiated anew lose the picture.
            self.show(Prompt::Lobby);
            match self.next(None, Some(&waiting)).await {
                Some(Next::Key(_) | Next::ToLobby) | None => {}
                Some(Next::Settled(Fate::Admitted)) => return Done::ToDoor,
                Some(Next::Settled(fate)) => {
                    tracing::info!(?fate, "a room system is not let in");
                    self.show(Prompt::Refused);
                    self.let_read().await;
                    hang_up(&self.call).await;
                    return Done::Over;
                }
                Some(Next::Goodbye) => return Done::Goodbye,
                Some(Next::Over) => return Done::Over,
            }
        }
    }

    /// The room system has to enter the PIN first.
    pub(super) async fn ask_pin(mut self, meeting: MeetingId, source: IpAddr, failed: bool) {
        let mut entry = KeyEntry::pin(failed, Instant::now());
        self.show(if failed { Prompt::Wrong } else { Prompt::Enter(0) });
        loop {
            let prompt = |entry: &KeyEntry| Prompt::Enter(entry.entered().len());
            let Some(pin) = self.entered(&mut entry, prompt).await else { return };
            if self.try_pin(&meeting, source, &pin).await {
                return self.go_in(meeting).await;
            }
            self.show(Prompt::Wrong);
            if !entry.wrong() {
                tracing::info!("three wrong PINs");
                self.let_read().await;
                return self.end().await;
            }
        }
    }

    /// Goes into the meeting, or its lobby.
    pub(super) async fn go_in(mut self, meeting: MeetingId) {
        match enter(&self.shared, &mut self.leg, &meeting, &self.caller).await {
            Ok(waiting) => self.run(meeting, waiting).await,
            Err(error) => {
                note_refusal(&error);
                self.end().await;
            }
        }
    }

    /// Waits until a number or PIN is entered; `None`: the call is over.
    pub(super) async fn entered(
        &mut self,
        entry: &mut KeyEntry,
        prompt: impl Fn(&KeyEntry) -> Prompt,
    ) -> Option<String> {
        loop {
            let step = match self.next(Some(entry.deadline()), None).await {
                Some(Next::Over | Next::Goodbye) => return None,
                Some(Next::Key(key)) => {
                    let step = entry.key(key, Instant::now());
                    if step == Step::Wait {
                        self.show(prompt(entry));
                    }
                    step
                }
                // What was said last stays: only a key answers it.
                Some(Next::ToLobby | Next::Settled(_)) | None => entry.timeout(Instant::now()),
            };
            match step {
                Step::Wait => {}
                Step::GiveUp => {
                    tracing::info!("nobody enters anything");
                    hang_up(&self.call).await;
                    return None;
                }
                Step::Try(digits) => return Some(digits),
            }
        }
    }

    /// Whether this is the PIN, which says who comes as well.
    async fn try_pin(&mut self, meeting: &MeetingId, source: IpAddr, pin: &str) -> bool {
        if !self.shared.may_try_pin(source) {
            return false;
        }
        let visitor = access::Visitor::guest(Some(pin), Timestamp::of(SystemTime::now()));
        match self.shared.conference.directory().admit(meeting, visitor).await {
            Ok(admission) => {
                self.caller.role = admission.place();
                true
            }
            Err(AdmissionError::Busy) => false,
            Err(_) => {
                self.shared.note_wrong_pin(source);
                false
            }
        }
    }

    /// Lets the last word be read, whatever goes on meanwhile, unless the call ends.
    pub(super) async fn let_read(&mut self) {
        let read = Instant::now() + LAST_WORD;
        while Instant::now() < read {
            if let Some(Next::Over | Next::Goodbye) = self.next(Some(read), None).await {
                return;
            }
        }
    }

    /// Shows a prompt, and says it if it is another one than before.
    pub(super) fn show(&mut self, prompt: Prompt) {
        self.leg.prompt(&prompt.text());
        if self.said.as_ref() != Some(&prompt) {
            self.leg.say(prompt.words());
            self.said = Some(prompt);
        }
    }

    /// Takes what happens next; `None` at the deadline and for what needs nothing more.
    pub(super) async fn next(
        &mut self,
        deadline: Option<Instant>,
        waiting: Option<&Waiting>,
    ) -> Option<Next> {
        let settled = async {
            match waiting {
                Some(waiting) => waiting.settled().await,
                None => std::future::pending().await,
            }
        };
        let moves = self.camera.as_ref().and_then(Camera::deadline);
        tokio::select! {
            event = self.call.next() => self.handle_call(event).await,
            event = self.leg.next_event() => self.handle_leg(event).await,
            event = self.session.floor_event() => {
                self.handle_floor(event).await;
                None
            }
            () = self.stop.cancelled() => {
                tracing::info!("hanging up, as was asked or since the server stops");
                hang_up(&self.call).await;
                Some(Next::Over)
            }
            fate = settled => Some(Next::Settled(fate)),
            () = wait_until(self.shown_again) => {
                self.shown_again = None;
                self.leg.needs_key_frame();
                None
            }
            frame = hear(&mut self.camera) => {
                if let Some(camera) = &mut self.camera
                    && let Some(steered) = camera.heard(&frame, Instant::now())
                {
                    if !steered {
                        self.camera = None;
                    }
                    self.show_camera().await;
                }
                None
            }
            order = self.orders.next() => {
                if let Some(camera) = &mut self.camera {
                    camera.obey(order, Instant::now()).await;
                }
                None
            }
            () = wait_until(moves) => {
                if let Some(camera) = &mut self.camera {
                    camera.do_what_is_due(Instant::now()).await;
                }
                None
            }
            () = wait_until(deadline) => None,
        }
    }

    /// The media were agreed on anew.
    async fn update(&mut self, agreed: Agreed) {
        self.follow_camera().await;
        agreed.reach(&mut self.leg).await;
        self.show_camera().await;
    }

    /// Its camera is where it was agreed on last.
    pub(super) async fn follow_camera(&mut self) {
        let before = std::mem::replace(&mut self.camera, self.session.camera());
        if let Some(before) = before {
            before.give_way(self.camera.as_mut(), Instant::now()).await;
        }
    }

    async fn handle_call(&mut self, event: Option<CallEvent>) -> Option<Next> {
        match event {
            Some(CallEvent::ReOffer(offer)) => self.renegotiate(offer).await,
            Some(CallEvent::Confirmed { answer: Some(answer) }) => self.completed(&answer).await,
            Some(CallEvent::Dtmf(tone)) => return self.key(Way::Signalling, tone.digit),
            Some(CallEvent::PictureFastUpdate) => self.leg.needs_key_frame(),
            Some(CallEvent::Transfer(transfer)) => self.transfer(transfer).await,
            Some(CallEvent::Subscribed(subscription)) => self.subscribed(subscription),
            Some(CallEvent::Bye { reason }) => {
                tracing::info!(?reason, "the room system hung up");
                return Some(Next::Goodbye);
            }
            Some(CallEvent::TimedOut) => {
                tracing::info!("the room system's signalling is lost");
                return Some(Next::Over);
            }
            Some(CallEvent::Cancelled | CallEvent::Failed(_)) | None => return Some(Next::Over),
            Some(CallEvent::Confirmed { answer: None }) if self.session.lacks_content() => {
                self.offer_content().await;
            }
            Some(
                CallEvent::Confirmed { answer: None }
                | CallEvent::Info { .. }
                | CallEvent::Ringing { .. }
                | CallEvent::Answered { .. },
            ) => {}
        }
        None
    }

    /// A room system that has a floor and no second picture takes one when it is offered.
    async fn offer_content(&mut self) {
        let offer = self.session.offer();
        match self.handle.re_invite(offer).await {
            Ok(answer) => self.completed(&answer).await,
            Err(error) => tracing::info!(%error, "a room system takes no second picture"),
        }
    }

    async fn renegotiate(&mut self, offer: ReOffer) {
        let Some(sdp) = &offer.sdp else { return offer.accept(self.session.offer()) };
        match self.session.answer(sdp) {
            Ok((answer, agreed)) => {
                offer.accept(answer);
                self.update(agreed).await;
                self.said = None;
            }
            Err(error) => {
                tracing::info!(reason = %error, "a change of the session is refused");
                offer.reject(Status::NOT_ACCEPTABLE_HERE);
            }
        }
    }

    /// Offers the session as it is now: the answer. Where the room system changes it at the same time
    /// its change comes first, and ours after it (RFC 3261 section 14.1).
    pub(super) async fn propose(&mut self) -> Result<Vec<u8>, Refused> {
        for _ in 0..CHANGES {
            let (handle, offer) = (self.handle.clone(), self.session.offer());
            match self.meanwhile(async move { handle.re_invite(offer).await }).await? {
                Err(error) if matches!(error.reason, CallErrorKind::Glare) => {
                    tracing::debug!("the room system changes the session as well: later");
                    self.meanwhile(tokio::time::sleep(self.handle.after_glare())).await?;
                }
                answer => return Ok(answer?),
            }
        }
        Err(Refused::NoAnswer)
    }

    /// Does something that takes a while, and what the room system wants meanwhile; keys that it
    /// presses are lost.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Refused> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                event = self.call.next() => {
                    if let Some(Next::Goodbye | Next::Over) = self.handle_call(event).await {
                        return Err(Refused::GaveUp);
                    }
                }
            }
        }
    }

    /// The answer to an offer of ours, in an ACK.
    async fn completed(&mut self, answer: &[u8]) {
        match self.session.complete(answer) {
            Ok(Some(agreed)) => self.update(agreed).await,
            Ok(None) => {}
            // The session stays as it was (RFC 3264 section 8 has no word for a wrong answer).
            Err(error) => tracing::warn!(reason = %error, "an answer cannot be used"),
        }
    }

    async fn handle_leg(&mut self, event: LegEvent) -> Option<Next> {
        match event {
            LegEvent::Key(key) => return self.key(Way::Event, key),
            LegEvent::HeardKey(key) => return self.key(Way::Sound, key),
            LegEvent::KeyFrameBySignalling => self.ask_key_frame(),
            LegEvent::Lost => {
                tracing::info!("hanging up: no media comes any more");
                hang_up_without_media(&self.call, self.leg.unkeyed()).await;
                return Some(Next::Over);
            }
            LegEvent::Sharing(sharing) => self.follow_sharing(sharing).await,
            LegEvent::Out(LeaveReason::MovedToLobby) => {
                self.follow_sharing(Sharing::Nobody).await;
                return Some(Next::ToLobby);
            }
            LegEvent::Out(reason) => {
                tracing::info!(?reason, "hanging up: the room system is out of the meeting");
                hang_up_without_media(&self.call, self.leg.unkeyed()).await;
                return Some(Next::Over);
            }
        }
        None
    }

    fn key(&mut self, way: Way, key: char) -> Option<Next> {
        self.ways.take(way, key, Instant::now()).then_some(Next::Key(key))
    }

    /// The floor follows whoever asks last: what the room system shows becomes the newest screen of the
    /// meeting, if it may show one.
    async fn handle_floor(&mut self, event: FloorEvent) {
        match event {
            FloorEvent::Wanted => {
                let may = self.leg.share().await;
                tracing::info!(peer = %self.leg.peer(), may, "a room system wants to show a screen");
                self.session.decide(may);
            }
            FloorEvent::Released => self.leg.unshare().await,
            FloorEvent::LetsUs(open) => self.leg.let_content_out(open),
        }
    }

    /// Somebody shows a screen after the room system, or a host stops what it shows.
    async fn follow_sharing(&mut self, sharing: Sharing) {
        self.session.follow_sharing(sharing);
        if sharing != Sharing::Own {
            self.leg.unshare().await;
        }
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

    pub(super) async fn end(self) {
        self.leg.leave(LeaveReason::ByItself);
        hang_up(&self.call).await;
    }
}

/// What the other side says of its camera.
async fn hear(camera: &mut Option<Camera>) -> Frame {
    match camera {
        Some(camera) => camera.hear().await,
        None => std::future::pending().await,
    }
}

/// Its media are gone: where they never had keys, it is told so.
async fn hang_up_without_media(call: &Call, unkeyed: Option<HandshakeError>) {
    let Some(why) = unkeyed else { return hang_up(call).await };
    tracing::warn!(%why, "a room system has no media");
    if let Err(error) = call.handle().bye_since(&why.to_string()).await {
        tracing::debug!(%error, "hanging up");
    }
}

pub(super) async fn hang_up(call: &Call) {
    if let Err(error) = call.handle().bye().await {
        tracing::debug!(%error, "hanging up");
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
    fn who_is_called_is_shown_without_the_pin() {
        for address in ["board**2718281828@example.org", "board%2A%2a2718281828@example.org"] {
            let caller = Caller::dialled(&Target::read(address).unwrap(), LegLayout::Grid);
            assert_eq!(caller.attributes["sip.phoneNumber"], "board", "{address}");
            assert!(caller.identity().as_str().starts_with("sip_board_"), "{caller:?}");
            assert!(!format!("{caller:?}").contains("2718281828"), "{caller:?}");
        }
    }
}
