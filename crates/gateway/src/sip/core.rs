//! What a call's tasks and handles share, and the task that watches it to its end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rsipstack::dialog::DialogId;
use rsipstack::dialog::dialog::{DialogState, DialogStateReceiver, TerminatedReason};
use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::sip::prelude::HeadersExt;
use rsipstack::sip::{Header, Method, Request, Response};
use rsipstack::transaction::key::TransactionRole;
use tokio::sync::{Notify, mpsc, watch};
use tracing::{Instrument, Span, debug, info};

use super::call::{Advice, CallEvent, FailureKind, code_of, sdp_of};
use super::dispatch::capabilities;
use super::endpoint::Shared;
use super::error::{CallErrorKind, CallId};
use super::proof::Credentials;
use super::register::Flow;
use super::session_timer::{DEFAULT_SE, Due, MIN_SE, Refresher, SessionExpires, SessionTimer};
use super::stats::{Counters, Slot};
use super::subscribe::Watcher;
use super::{Status, Transport};

/// Events that wait for a call's owner. A peer that sends faster than the owner takes loses
/// INFOs, never the end of the call.
pub(super) const EVENTS: usize = 64;

/// How long the last event waits for room.
const LAST_EVENT_WITHIN: Duration = Duration::from_secs(5);

/// How long a request inside a call waits for the ACK that went before it.
const ACK_WITHIN: Duration = Duration::from_secs(1);

/// Where a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Early,
    Answered,
    Confirmed,
    Over,
}

#[derive(Default)]
struct State {
    timer: Option<SessionTimer>,
    local_sdp: Option<Vec<u8>>,
    remote_cseq: u32,
    peer_allows_update: bool,
    bye_reason: Option<String>,
    /// A change of the session is under way, begun by either side.
    changing: bool,
    provisional: bool,
    cancelled: bool,
    failure: Option<FailureKind>,
    advice: Advice,
    /// The CSeq of our last request inside the call.
    local_cseq: u32,
    /// Our reliable provisional response (RFC 3262), and whether it was confirmed.
    reliable: Option<(u32, bool)>,
    /// Transfers that the peer has asked for, and whether one goes on.
    transfers: (u32, bool),
    watcher: Option<Arc<Watcher>>,
    ids: Vec<DialogId>,
    events: Option<mpsc::Sender<CallEvent>>,
    slot: Option<Slot>,
}

/// What is known of the peer when a call begins.
#[derive(Default)]
pub(super) struct Peer {
    /// The CSeq of its last request.
    pub(super) remote_cseq: u32,
    /// The way to it.
    pub(super) flow: Option<Flow>,
    /// Who we are there.
    pub(super) credentials: Option<Credentials>,
}

/// One call.
pub(super) struct CallCore {
    pub(super) id: CallId,
    pub(super) span: Span,
    pub(super) dialog: InviteDialog,
    pub(super) shared: Arc<Shared>,
    /// The way that it came or went.
    pub(super) came: Option<Flow>,
    /// The stream that it keeps to, where it is over one.
    pub(super) flow: Option<Flow>,
    /// Who we are at whoever asks.
    pub(super) credentials: Option<Credentials>,
    state: Mutex<State>,
    timer_changed: Notify,
    provisional_confirmed: Notify,
    confirmed: watch::Sender<bool>,
}

impl std::fmt::Debug for CallCore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallCore").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Holds the right to change the session.
pub(super) struct Change<'a>(&'a CallCore);

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.state().changing = false;
    }
}

impl CallCore {
    pub(super) fn new(
        shared: Arc<Shared>,
        dialog: InviteDialog,
        slot: Slot,
        peer: Peer,
    ) -> (Arc<Self>, mpsc::Receiver<CallEvent>) {
        let Peer { remote_cseq, flow, credentials } = peer;
        let (came, flow) = (flow, flow.filter(|it| it.transport != Transport::Udp));
        let (events, receiver) = mpsc::channel(EVENTS);
        let id = CallId(dialog.id().call_id);
        let span = tracing::info_span!("sip_call", call = %id);
        let state =
            State { events: Some(events), slot: Some(slot), remote_cseq, ..State::default() };
        let core = Arc::new(Self {
            id,
            span,
            dialog,
            shared,
            came,
            flow,
            credentials,
            state: Mutex::new(state),
            timer_changed: Notify::new(),
            provisional_confirmed: Notify::new(),
            confirmed: watch::Sender::new(false),
        });
        (core, receiver)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stage(&self) -> Stage {
        match self.dialog.state() {
            DialogState::Terminated(..) => Stage::Over,
            _ if self.state().events.is_none() => Stage::Over,
            DialogState::Confirmed(..) => Stage::Confirmed,
            DialogState::WaitAck(..) => Stage::Answered,
            _ => Stage::Early,
        }
    }

    /// The CSeq of the next request of ours; the library has used those up to `library`.
    pub(super) fn next_cseq(&self, library: u32) -> u32 {
        let mut state = self.state();
        state.local_cseq = state.local_cseq.max(library).saturating_add(1);
        state.local_cseq
    }

    /// Whether the call is established, or is so within a moment: an ACK and the request after
    /// it are handled by two tasks, and the second may be first.
    pub(super) async fn is_or_becomes_established(&self) -> bool {
        if self.stage() == Stage::Answered {
            let mut confirmed = self.confirmed.subscribe();
            // In time or not, the stage tells.
            let _ = tokio::time::timeout(ACK_WITHIN, confirmed.wait_for(|done| *done)).await;
        }
        self.stage() == Stage::Confirmed
    }

    /// Makes requests with this dialog id find the call, unless it is over.
    pub(super) fn register(self: &Arc<Self>, id: DialogId) {
        // All of it under the lock: whoever ends the call meanwhile takes out what is in by then.
        let mut state = self.state();
        if state.events.is_some() {
            state.ids.push(id.clone());
            self.shared.calls().insert(id, self.clone());
        }
    }

    /// Tells the owner, if there is room.
    pub(super) fn emit(&self, event: CallEvent) {
        let events = self.state().events.clone();
        if events.is_some_and(|events| events.try_send(event).is_err()) {
            Counters::count(&self.shared.counters.lost_events);
        }
    }

    /// Ends the call towards its owner and forgets it. The first one to call this decides.
    pub(super) fn finish(&self, last: Option<CallEvent>) {
        let (events, ids, slot, watcher) = {
            let mut state = self.state();
            state.timer = None;
            let ids = std::mem::take(&mut state.ids);
            (state.events.take(), ids, state.slot.take(), state.watcher.take())
        };
        if let Some(watcher) = watcher {
            self.shared.watchers().remove(&watcher.id);
        }
        for id in &ids {
            self.shared.calls().remove(id);
            self.shared.dialogs.remove_dialog(id);
        }
        self.shared.dialogs.remove_dialog(&self.dialog.id());
        self.shared.by_flow().remove(self.id.as_str());
        self.timer_changed.notify_one();
        drop(slot);
        if let (Some(events), Some(last)) = (events, last) {
            info!(parent: &self.span, event = ?last, "call is over");
            if let Err(mpsc::error::TrySendError::Full(last)) = events.try_send(last) {
                tokio::spawn(async move {
                    // An owner that takes nothing for so long is lost itself.
                    let _ = events.send_timeout(last, LAST_EVENT_WITHIN).await;
                });
            }
        }
    }

    /// Whether a request's CSeq is in order (RFC 3261 section 12.2.2); remembers it if so.
    pub(super) fn in_order(&self, cseq: u32) -> bool {
        let mut state = self.state();
        let in_order = cseq > state.remote_cseq;
        state.remote_cseq = state.remote_cseq.max(cseq);
        in_order
    }

    /// The right to change the session, unless someone is doing so.
    pub(super) fn begin_change(&self) -> Option<Change<'_>> {
        let mut state = self.state();
        if state.changing {
            return None;
        }
        state.changing = true;
        Some(Change(self))
    }

    pub(super) fn set_local_sdp(&self, sdp: Vec<u8>) {
        self.state().local_sdp = Some(sdp);
    }

    pub(super) fn set_bye_reason(&self, reason: Option<String>) {
        self.state().bye_reason = reason;
    }

    /// Learns from a request or response of the peer whether it takes UPDATE.
    pub(super) fn learn_allow(&self, message: &impl HeadersExt) {
        let allows = message.headers().iter().any(|header| match header {
            Header::Allow(allow) => {
                allow.value().split(',').any(|method| method.trim().eq_ignore_ascii_case("UPDATE"))
            }
            _ => false,
        });
        if allows {
            self.state().peer_allows_update = true;
        }
    }

    /// Starts the timer that was agreed on, or restarts it.
    pub(super) fn start_timer(&self, agreed: Option<SessionExpires>, we_are: Refresher) {
        self.state().timer = agreed.map(|agreed| {
            SessionTimer::new(agreed.seconds, agreed.refresher == Some(we_are), Instant::now())
        });
        self.timer_changed.notify_one();
    }

    /// Takes the session timer from the answer to a request of ours (RFC 4028 section 7.2).
    pub(super) fn session_answered(&self, response: &Response) {
        let agreed = response
            .session_expires_header()
            .and_then(|header| SessionExpires::parse(header.value()));
        self.learn_allow(response);
        self.start_timer(agreed, Refresher::Uac);
    }

    /// The headers of an offer of ours inside the call.
    pub(super) fn offer_headers(&self) -> Vec<Header> {
        let mut headers = self.refresh_headers();
        headers.push(Header::ContentType("application/sdp".into()));
        headers
    }

    fn refresh_headers(&self) -> Vec<Header> {
        let mut headers = capabilities(&self.shared);
        if self.state().timer.is_some() {
            let asked = SessionExpires { seconds: DEFAULT_SE, refresher: Some(Refresher::Uac) };
            headers.push(Header::SessionExpires(asked.to_string().into()));
            headers.push(Header::MinSE(MIN_SE.to_string().into()));
        }
        headers
    }

    /// Ends the call by whatever its stage asks for; a BYE tells the reason, as its header has it.
    pub(super) async fn hang_up(&self, reason: Option<String>) {
        match self.stage() {
            Stage::Over => return self.finish(None),
            Stage::Early if self.dialog.role() == TransactionRole::Client => return self.cancel(),
            Stage::Early => {
                let status = Status::TEMPORARILY_UNAVAILABLE.wire();
                if let Err(error) = self.dialog.reject(Some(status), None) {
                    debug!(parent: &self.span, %error, "refusal not sent");
                }
            }
            Stage::Confirmed => self.say_bye(reason).await,
            Stage::Answered => {
                let headers = reason.map(|it| vec![Header::Reason(it.into())]);
                if let Err(error) = self.dialog.bye_with_headers(headers).await {
                    debug!(parent: &self.span, %error, "BYE failed; the call is over all the same");
                }
            }
        }
        self.finish(None);
    }

    /// Takes back a call of ours.
    pub(super) fn cancel(&self) {
        self.give_up(FailureKind::Cancelled);
    }

    /// Takes back a call of ours for the reason that its owner is told.
    pub(super) fn give_up(&self, why: FailureKind) {
        if self.stage() != Stage::Early || self.dialog.role() != TransactionRole::Client {
            return;
        }
        self.state().failure.get_or_insert(why);
        let dialog = self.dialog.clone();
        tokio::spawn(
            async move {
                if let Err(error) = dialog.cancel().await {
                    debug!(%error, "CANCEL failed");
                }
            }
            .instrument(self.span.clone()),
        );
        self.state().cancelled = true;
        self.timer_changed.notify_one();
    }

    /// A call that was given up is over, whether or not the peer has said so.
    pub(super) fn finish_given_up(&self) {
        let why = self.state().failure.unwrap_or(FailureKind::Cancelled);
        self.finish(Some(CallEvent::Failed(why)));
    }

    /// Whether a call of ours was refused in a way that says how it may be made again, and its owner
    /// was not told yet: whoever attends to it has the response.
    pub(super) fn awaits_advice(&self) -> bool {
        let advised = match self.dialog.state() {
            DialogState::Terminated(_, TerminatedReason::ProxyAuthRequired) => true,
            DialogState::Terminated(_, TerminatedReason::UasOther(status)) => {
                Advice::comes_with(code_of(&status))
            }
            _ => false,
        };
        advised && !*self.confirmed.borrow() && self.state().events.is_some()
    }

    /// A call of ours was refused: it is over, and may be made again.
    pub(super) fn advised(&self, response: &Response) {
        let failure = {
            let mut state = self.state();
            state.advice = Advice::of(response);
            match (state.failure, code_of(&response.status_code)) {
                (Some(failure), _) => failure,
                // The library's own word for a stream that broke.
                (None, 503) if !state.provisional => FailureKind::Unreachable,
                (None, code) => FailureKind::of(code),
            }
        };
        self.finish(Some(CallEvent::Failed(failure)));
    }

    pub(super) fn advice(&self) -> Advice {
        self.state().advice.clone()
    }

    /// The owner has dropped the call.
    pub(super) fn abandon(self: &Arc<Self>) {
        if self.state().events.is_none() {
            return;
        }
        // Without a runtime everything is going down, sockets included.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let core = self.clone();
            runtime.spawn(async move { core.hang_up(None).await }.instrument(self.span.clone()));
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.state().cancelled
    }

    pub(super) fn has_provisional(&self) -> bool {
        self.state().provisional
    }

    /// Says that it rings, again and again until the peer has confirmed that (RFC 3262 section 3).
    ///
    /// # Errors
    /// The message cannot be sent.
    pub(super) fn ring_reliably(self: &Arc<Self>) -> Result<(), CallErrorKind> {
        let number = rand::random_range(1..=0x7fff_ffff);
        {
            let mut state = self.state();
            if state.reliable.is_some() {
                return Ok(());
            }
            state.reliable = Some((number, false));
        }
        let core = self.clone();
        let ring = move || {
            let headers =
                vec![Header::Require("100rel".into()), Header::RSeq(number.to_string().into())];
            let rung = core.dialog.ringing(Some(headers), None);
            rung.map_err(|error| CallErrorKind::Stack(error.into()))
        };
        ring()?;
        let core = self.clone();
        let repeat = async move {
            let limits = &core.shared.limits;
            let mut pause = limits.round_trip;
            loop {
                tokio::select! {
                    () = core.provisional_confirmed.notified() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                if core.stage() != Stage::Early {
                    return;
                }
                pause *= 2;
                if pause >= limits.transaction() || ring().is_err() {
                    info!("nobody confirms that it rings");
                    let _ = core.dialog.reject(Some(Status::SERVER_ERROR.wire()), None);
                    return core.finish(Some(CallEvent::TimedOut));
                }
            }
        };
        tokio::spawn(repeat.instrument(self.span.clone()));
        Ok(())
    }

    /// The peer confirms a reliable provisional response of ours, the one to an INVITE of this number:
    /// whether there is such a one.
    pub(super) fn confirm_provisional(&self, number: u32, invite: u32) -> bool {
        let sent = self.dialog.initial_request();
        let known = match &mut self.state().reliable {
            Some((ours, confirmed)) if *ours == number && cseq_of(&sent) == Some(invite) => {
                !std::mem::replace(confirmed, true)
            }
            _ => false,
        };
        if known {
            self.provisional_confirmed.notify_one();
        }
        known
    }

    /// Begins a transfer that the peer asks for, unless another goes on: which one it is, from 1 on.
    pub(super) fn begin_transfer(&self) -> Option<u32> {
        let mut state = self.state();
        let (count, going_on) = &mut state.transfers;
        if std::mem::replace(going_on, true) {
            return None;
        }
        *count = count.saturating_add(1);
        Some(*count)
    }

    /// Who has subscribed to the conference that the call is in.
    pub(super) fn watcher(&self) -> Option<Arc<Watcher>> {
        self.state().watcher.clone()
    }

    /// Somebody else has, in the place of whoever had before.
    pub(super) fn watched_by(&self, watcher: Watcher) {
        let watcher = Arc::new(watcher);
        let before = {
            let mut state = self.state();
            if state.events.is_none() {
                return;
            }
            state.watcher.replace(watcher.clone())
        };
        let mut watchers = self.shared.watchers();
        if let Some(before) = before {
            watchers.remove(&before.id);
        }
        watchers.insert(watcher.id.clone(), watcher);
    }

    pub(super) fn end_transfer(&self) {
        self.state().transfers.1 = false;
    }

    /// Watches the dialog and the session timer until the call is over.
    pub(super) async fn watch(self: Arc<Self>, mut states: DialogStateReceiver) {
        loop {
            let deadline = self.state().timer.map(|timer| timer.deadline());
            let expiry = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                state = states.recv() => match state {
                    Some(state) => {
                        if self.follow(state) {
                            return;
                        }
                    }
                    None => return self.finish(None),
                },
                () = expiry => self.clone().timer_due(),
                () = self.timer_changed.notified() => {
                    if self.state().events.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Turns a state of the library's dialog into events; says whether the call is over.
    fn follow(self: &Arc<Self>, state: DialogState) -> bool {
        match state {
            DialogState::Early(_, response) if self.dialog.role() == TransactionRole::Client => {
                self.early(&response);
            }
            DialogState::Confirmed(id, response) => {
                if self.confirmed.send_replace(true) {
                    return false;
                }
                match self.dialog.role() {
                    TransactionRole::Client => {
                        self.register(id);
                        self.session_answered(&response);
                        self.emit(CallEvent::Answered { sdp: response.body });
                    }
                    TransactionRole::Server => {
                        let offered = !self.dialog.initial_request().body.is_empty();
                        let ack = self.dialog.last_remote_ack();
                        let answer = ack.map(|ack| ack.body).filter(|body| !body.is_empty());
                        self.emit(CallEvent::Confirmed { answer: answer.filter(|_| !offered) });
                    }
                }
            }
            DialogState::Trying(_) => self.state().provisional = true,
            // Whoever attends to the call has the response, with what it asks for.
            DialogState::Terminated(..) if self.awaits_advice() => {}
            DialogState::Terminated(_, reason) => {
                self.finish(self.last_event(reason));
                return true;
            }
            _ => {}
        }
        false
    }

    fn early(self: &Arc<Self>, response: &Response) {
        self.state().provisional = true;
        self.learn_allow(response);
        if let Ok(id) = DialogId::try_from((response, TransactionRole::Client)) {
            let known = self.state().ids.contains(&id);
            // A handful of forks at most: each is an entry in the table.
            if !known && !id.remote_tag.is_empty() && self.state().ids.len() < 8 {
                self.register(id);
            }
        }
        let status = code_of(&response.status_code);
        self.emit(CallEvent::Ringing { status, sdp: sdp_of(response) });
    }

    fn last_event(&self, reason: TerminatedReason) -> Option<CallEvent> {
        let state = self.state();
        match (reason, self.dialog.role()) {
            (TerminatedReason::UacCancel, TransactionRole::Server) => Some(CallEvent::Cancelled),
            (TerminatedReason::UacBye, TransactionRole::Server)
            | (TerminatedReason::UasBye, TransactionRole::Client) => {
                Some(CallEvent::Bye { reason: state.bye_reason.clone() })
            }
            (TerminatedReason::Timeout, _) => Some(CallEvent::TimedOut),
            (_, TransactionRole::Server) => None,
            // Our own BYE.
            (TerminatedReason::UacBye, TransactionRole::Client) => None,
            (reason, TransactionRole::Client) => {
                let kind = match (state.failure, reason) {
                    (Some(kind), _) => kind,
                    (None, TerminatedReason::UasOther(status)) => match code_of(&status) {
                        // The library's own word for silence.
                        408 | 503 if !state.provisional => FailureKind::Unreachable,
                        code => FailureKind::of(code),
                    },
                    (None, TerminatedReason::ProxyAuthRequired) => FailureKind::Refused(407),
                    (None, TerminatedReason::UacCancel) => FailureKind::Cancelled,
                    (None, _) => FailureKind::Unreachable,
                };
                Some(CallEvent::Failed(kind))
            }
        }
    }

    fn timer_due(self: Arc<Self>) {
        let due = self.state().timer.as_mut().and_then(|timer| timer.poll(Instant::now()));
        let span = self.span.clone();
        match due {
            None => {}
            Some(Due::Expired) => {
                info!(parent: &span, "the session was not refreshed");
                self.finish(Some(CallEvent::TimedOut));
                tokio::spawn(async move { self.say_bye(None).await }.instrument(span));
            }
            Some(Due::Refresh) => {
                tokio::spawn(async move { self.refresh().await }.instrument(span));
            }
        }
    }

    /// Refreshes the session: by UPDATE where the peer takes it, as that changes nothing else.
    async fn refresh(&self) {
        if self.stage() != Stage::Confirmed {
            return;
        }
        let (update, sdp) = {
            let state = self.state();
            (state.peer_allows_update, state.local_sdp.clone())
        };
        let answer = if update {
            self.ask(Method::Update, self.refresh_headers(), Vec::new()).await
        } else {
            let Some(_changing) = self.begin_change() else { return };
            self.ask(Method::Invite, self.offer_headers(), sdp.unwrap_or_default()).await
        };
        match answer {
            Ok(response) if (200..300).contains(&code_of(&response.status_code)) => {
                self.session_answered(&response);
            }
            Ok(response) if code_of(&response.status_code) == 481 => {
                self.finish(Some(CallEvent::Bye { reason: None }));
            }
            Ok(_) => debug!("the refresh was refused; it is repeated before the session expires"),
            Err(error) => debug!(%error, "the refresh failed"),
        }
    }
}

/// A request's CSeq number.
pub(super) fn cseq_of(request: &Request) -> Option<u32> {
    request.cseq_header().ok()?.seq().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Call, Dial, Incoming, SipConfig, SipEndpoint};

    const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";

    /// Both ends of an established call, by an INVITE with a session timer.
    async fn call() -> (SipEndpoint, Call, Call) {
        let loopback = "127.0.0.1:0".parse().unwrap();
        let config = SipConfig { udp: vec![loopback], ..SipConfig::default() };
        let (endpoint, mut incoming) = SipEndpoint::start(config).await.unwrap();
        let (_, address) = endpoint.local_addrs()[0];
        let dial = Dial::new(format!("room@{address}"), "board".to_owned(), SDP.into());
        let mut caller = endpoint.dial(dial).await.unwrap();
        let Some(Incoming::Call(ringing)) = incoming.recv().await else { panic!("no call") };
        let mut called = ringing.accept(SDP.into()).unwrap();
        assert!(matches!(caller.next().await, Some(CallEvent::Answered { .. })));
        assert!(matches!(called.next().await, Some(CallEvent::Confirmed { .. })));
        (endpoint, caller, called)
    }

    /// As if the call were that old.
    fn age(call: &Call, seconds: u64, we_refresh: bool) {
        let core = &call.handle.core;
        let then = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        core.state().timer = Some(SessionTimer::new(90, we_refresh, then));
        core.timer_changed.notify_one();
    }

    async fn refreshed(call: &Call) {
        let due = || call.handle.core.state().timer.map(|timer| timer.deadline());
        let fresh = async {
            while due().is_none_or(|due| due < Instant::now() + Duration::from_secs(600)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), fresh).await.expect("not refreshed");
    }

    #[tokio::test]
    async fn a_session_is_refreshed_by_update_and_by_reinvite() {
        let (_endpoint, caller, mut called) = call().await;
        assert!(caller.handle.core.state().timer.is_some(), "the timer was agreed on");
        age(&caller, 46, true);
        refreshed(&caller).await;
        caller.handle.core.state().peer_allows_update = false;
        caller.handle.core.set_local_sdp(SDP.into());
        age(&caller, 46, true);
        let Some(CallEvent::ReOffer(offer)) = called.next().await else { panic!("no offer") };
        assert_eq!(offer.sdp.as_deref(), Some(SDP.as_bytes()));
        offer.accept(SDP.into());
        refreshed(&caller).await;
        refreshed(&called).await;
    }

    #[tokio::test]
    async fn an_answer_that_comes_after_the_end_leaves_nothing_behind() {
        let (endpoint, caller, called) = call().await;
        for call in [&caller, &called] {
            call.handle.core.finish(None);
        }
        let core = &caller.handle.core;
        core.register(core.dialog.id());
        assert!(endpoint.shared.calls().is_empty());
    }

    #[tokio::test]
    async fn whose_call_it_is_waits_longer_after_glare() {
        let (_endpoint, caller, called) = call().await;
        for _ in 0..100 {
            let [ours, theirs] = [&caller, &called].map(|it| it.handle().after_glare().as_millis());
            assert!((2100..=4000).contains(&ours) && theirs <= 2000, "{ours} {theirs}");
        }
    }

    #[tokio::test]
    async fn a_session_that_nobody_refreshes_ends_on_both_sides() {
        let (endpoint, mut caller, mut called) = call().await;
        age(&called, 91, false);
        assert!(matches!(called.next().await, Some(CallEvent::TimedOut)));
        assert!(called.next().await.is_none());
        assert!(matches!(caller.next().await, Some(CallEvent::Bye { .. })));
        assert!(caller.next().await.is_none());
        assert_eq!(endpoint.stats().active_calls, 0);
        assert!(endpoint.shared.calls().is_empty() && endpoint.shared.dialogs.is_empty());
    }
}
