//! Calls that come in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use rsipstack::dialog::DialogId;
use rsipstack::sip::prelude::{HeadersExt, ToTypedHeader};
use rsipstack::sip::{Header, Request, StatusCode, Uri};
use rsipstack::transaction::transaction::Transaction;
use rsipstack::transport::SipConnection;
use tokio::sync::mpsc;
use tracing::{Instrument, debug, info};
use types::without_pin;

use super::call::{Call, CallEvent, CallHandle};
use super::core::{CallCore, Peer, Stage, cseq_of};
use super::dispatch::{
    Refusal, capabilities, extensions, offer_of, refuse, takes_sdp, timer_headers, timer_of,
    transport_of,
};
use super::endpoint::Shared;
use super::error::{CallError, CallErrorKind, CallId};
use super::register::{Flow, shortened};
use super::session_timer::{Refresher, SessionExpires};
use super::stats::{Counters, Slot};
use super::transfer::Replaces;
use super::{Status, Transport};

/// The user part of our own address. What was dialled may hold a PIN, and is not repeated.
pub(super) const CONTACT_USER: &str = "plenum";

/// What comes in.
#[derive(Debug)]
pub enum Incoming {
    /// Someone calls.
    Call(IncomingCall),
}

/// A call that waits for an answer. Dropped, it is refused with 480. Its `Debug` has neither
/// keys nor PINs in it.
pub struct IncomingCall {
    /// The user part that was dialled, percent-decoded by the peer's own rules only: it may hold
    /// `meeting**pin`. Not for logs.
    pub user: Option<String>,
    /// The host that was dialled.
    pub host: String,
    /// The whole request URI. Not for logs.
    pub request_uri: String,
    /// The caller's own address, as it claims.
    pub from: String,
    /// The caller's user, as it claims, with `@` and the host where that is not ours.
    pub calling: String,
    /// The caller's name, as it claims.
    pub display_name: Option<String>,
    /// The tag of `From`.
    pub from_tag: String,
    /// The URI of `To`. Not for logs.
    pub to: String,
    /// The caller's `User-Agent`, as far as it is shown.
    pub user_agent: Option<String>,
    /// Where the call came from.
    pub source: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// Whether keys in its SDP are safe from listeners on the last hop.
    pub secure: bool,
    /// The SDP offer; without one, accept with an offer of ours.
    pub offer: Option<Vec<u8>>,
    /// The call that this one is to replace (RFC 3891): it takes its place once it is answered.
    pub replaces: Option<CallHandle>,
    /// Provisional responses have to be confirmed (RFC 3262).
    reliable: bool,
    call: Option<Call>,
    timer: Option<SessionExpires>,
}

impl std::fmt::Debug for IncomingCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IncomingCall")
            .field("id", &self.id())
            .field("dialled", &self.user.as_deref().map(without_pin))
            .field("source", &self.source)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl IncomingCall {
    /// Its `Call-ID`.
    #[must_use]
    pub fn id(&self) -> Option<&CallId> {
        self.call.as_ref().map(Call::id)
    }

    /// Waits until the caller gives up (`None`: it already has).
    pub async fn next(&mut self) -> Option<CallEvent> {
        match &mut self.call {
            Some(call) => call.next().await,
            None => None,
        }
    }

    /// Says that it rings (180), so that it comes through where the caller insists on that.
    ///
    /// # Errors
    /// [`CallErrorKind::Ended`].
    pub fn ringing(&self) -> Result<(), CallError> {
        let Some(call) = &self.call else { return Ok(()) };
        let core = waiting(call)?;
        let rung = match (self.reliable, &self.offer) {
            (false, _) => {
                core.dialog.ringing(None, None).map_err(|it| CallErrorKind::Stack(it.into()))
            }
            (true, Some(_)) => core.ring_reliably(),
            // It would have to carry our offer (RFC 3262 section 5); the answer is soon enough.
            (true, None) => Ok(()),
        };
        rung.map_err(|reason| CallError { call: core.id.clone(), reason })
    }

    /// Answers with SDP: the answer to the caller's offer, or our own offer where it made none.
    ///
    /// # Errors
    /// [`CallErrorKind::Ended`] when the caller has given up meanwhile.
    pub fn accept(mut self, sdp: Vec<u8>) -> Result<Call, AcceptError> {
        let Some(call) = self.call.take() else { return Err(AcceptError::Answered) };
        let core = waiting(&call)?.clone();
        let mut headers = capabilities(&core.shared);
        headers.extend(timer_headers(self.timer));
        headers.push(Header::ContentType("application/sdp".into()));
        // Whoever wants to know who else is there may subscribe (RFC 4579 section 3.1).
        let contact = core.shared.contact(CONTACT_USER, self.transport);
        headers.push(Header::Contact(format!("<{contact}>;isfocus").into()));
        core.set_local_sdp(sdp.clone());
        core.dialog.accept(Some(headers), Some(sdp)).map_err(|error| CallError {
            call: core.id.clone(),
            reason: CallErrorKind::Stack(error.into()),
        })?;
        core.start_timer(self.timer, Refresher::Uas);
        Ok(call)
    }

    /// Refuses. `reason` goes to the peer in words (RFC 3326).
    pub fn reject(mut self, status: Status, reason: Option<&str>) {
        if let Some(call) = self.call.take() {
            refuse_call(&call, status, reason);
        }
    }
}

/// Why a call could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// It was answered before.
    #[error("the call has its answer")]
    Answered,
    /// The call itself says why.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Drop for IncomingCall {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            refuse_call(&call, Status::TEMPORARILY_UNAVAILABLE, None);
        }
    }
}

fn waiting(call: &Call) -> Result<&Arc<CallCore>, CallError> {
    let core = &call.handle.core;
    match core.stage() {
        Stage::Early => Ok(core),
        _ => Err(CallError { call: core.id.clone(), reason: CallErrorKind::Ended }),
    }
}

fn refuse_call(call: &Call, status: Status, reason: Option<&str>) {
    let core = &call.handle.core;
    if core.stage() == Stage::Early {
        let quoted = reason.map(|text| {
            let text: String =
                text.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect();
            format!("SIP;cause={};text=\"{text}\"", status.code())
        });
        info!(parent: &core.span, status = status.code(), "call refused");
        if let Err(error) = core.dialog.reject(Some(status.wire()), quoted) {
            debug!(parent: &core.span, %error, "refusal not sent");
        }
    }
    core.finish(None);
}

/// An INVITE outside of any call.
pub(super) async fn invite(shared: &Arc<Shared>, mut tx: Transaction) -> rsipstack::Result<()> {
    match begin(shared, &tx) {
        Ok((core, incoming)) => {
            let span = core.span.clone();
            answer(shared, core, incoming, tx).instrument(span).await
        }
        Err(refusal) => {
            Counters::count(&shared.counters.refused_requests);
            refuse(&mut tx, refusal).await
        }
    }
}

async fn answer(
    shared: &Arc<Shared>,
    core: Arc<CallCore>,
    incoming: IncomingCall,
    mut tx: Transaction,
) -> rsipstack::Result<()> {
    info!(
        source = %incoming.source,
        transport = %incoming.transport,
        dialled = incoming.user.as_deref().map(|it| shortened(without_pin(it))),
        agent = incoming.user_agent,
        late_offer = incoming.offer.is_none(),
        "call comes in"
    );
    // At once: a caller repeats its INVITE after half a second.
    tx.send_trying().await?;
    if let Err(error) = shared.incoming.try_send(Incoming::Call(incoming)) {
        Counters::count(&shared.counters.refused_calls);
        let (mpsc::error::TrySendError::Full(Incoming::Call(incoming))
        | mpsc::error::TrySendError::Closed(Incoming::Call(incoming))) = error;
        incoming.reject(Status::SERVICE_UNAVAILABLE, None);
    }
    core.dialog.clone().handle(&mut tx).await
}

/// Checks an INVITE and makes a call of it.
fn begin(shared: &Arc<Shared>, tx: &Transaction) -> Result<(Arc<CallCore>, IncomingCall), Refusal> {
    let request = &tx.original;
    let bad = || Refusal::new(StatusCode::BadRequest, vec![]);
    if !shared.is_ours(&request.uri) {
        return Err(Refusal::new(StatusCode::NotFound, vec![]));
    }
    required(shared, request)?;
    if !takes_sdp(request) {
        return Err(Refusal::new(StatusCode::NotAcceptable, vec![]));
    }
    let offer = offer_of(request)?;
    let timer = timer_of(request)?;
    let replaces = replaced(shared, request)?;
    let cseq = cseq_of(request).ok_or_else(bad)?;
    let id = DialogId::try_from(tx).map_err(|_| bad())?;
    // The same request by two ways (RFC 3261 section 8.2.2.2).
    let merged = shared
        .calls()
        .keys()
        .any(|known| known.call_id == id.call_id && known.remote_tag == id.remote_tag);
    if merged {
        return Err(Refusal::new(StatusCode::LoopDetected, vec![]));
    }
    let active: fn(&Counters) -> &AtomicUsize = |counters| &counters.active_calls;
    let Some(slot) = Slot::take(&shared.counters, active, shared.limits.calls) else {
        Counters::count(&shared.counters.refused_calls);
        let retry = Header::RetryAfter("30".into());
        return Err(Refusal::new(StatusCode::ServiceUnavailable, vec![retry]));
    };
    let transport = transport_of(tx);
    let source = source_of(tx, transport).ok_or_else(bad)?;
    let from = request.from_header().and_then(|from| from.typed()).map_err(|_| bad())?;
    let to = request.to_header().and_then(|to| to.typed()).map_err(|_| bad())?;
    let (states, watched) = shared.dialogs.new_dialog_state_channel();
    let contact = shared.contact(CONTACT_USER, transport);
    let dialog = shared
        .dialogs
        .get_or_create_server_invite(tx, states, None, Some(contact))
        .map_err(|_| bad())?;
    let flow = Some(Flow { transport, peer: source });
    let peer = Peer { remote_cseq: cseq, flow, credentials: None };
    let (core, events) = CallCore::new(shared.clone(), dialog.clone(), slot, peer);
    core.register(dialog.id());
    core.learn_allow(request);
    tokio::spawn(core.clone().watch(watched));
    let call = Call { handle: CallHandle { core: core.clone() }, events };
    let incoming = IncomingCall {
        user: request.uri.user().map(ToOwned::to_owned),
        host: request.uri.host().to_string(),
        request_uri: request.uri.to_string(),
        from: bare(&from.uri),
        calling: calling(shared, &from.uri, &request.uri),
        display_name: from.display_name.filter(|name| !name.is_empty()),
        from_tag: id.remote_tag,
        to: bare(&to.uri),
        user_agent: request.user_agent_header().map(|agent| shortened(agent.value())),
        source,
        transport,
        secure: transport == Transport::Tls,
        offer,
        replaces,
        reliable: request.header_contains_token("Require", "100rel"),
        call: Some(call),
        timer,
    };
    Ok((core, incoming))
}

/// Refuses extensions that the caller insists on and we lack (RFC 3261 section 8.2.2.3).
pub(super) fn required(shared: &Shared, request: &Request) -> Result<(), Refusal> {
    let known = extensions(shared);
    let lacking: Vec<_> = request
        .headers
        .iter()
        .filter_map(|header| match header {
            Header::Require(require) => Some(require.value().split(',')),
            _ => None,
        })
        .flatten()
        .map(str::trim)
        .filter(|option| {
            !option.is_empty() && !known.iter().any(|it| it.eq_ignore_ascii_case(option))
        })
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let unsupported = Header::Unsupported(lacking.join(", ").into());
    Err(Refusal::new(StatusCode::BadExtension, vec![unsupported]))
}

/// The call that this one is to replace, where calls may be handed on; else it is one like any other
/// (RFC 3891 section 3).
fn replaced(shared: &Shared, request: &Request) -> Result<Option<CallHandle>, Refusal> {
    let refused = |status| Err(Refusal::new(status, vec![]));
    if !shared.transfers {
        return Ok(None);
    }
    let Replaces { call, to, from, early_only } = match Replaces::of(request) {
        None => return Ok(None),
        Some(None) => return refused(StatusCode::BadRequest),
        Some(Some(replaces)) => replaces,
    };
    let id = DialogId { call_id: call, local_tag: to, remote_tag: from };
    let found = shared.calls().get(&id).cloned();
    match found.map(|core| (core.stage(), core)) {
        Some((Stage::Confirmed, _)) if early_only => refused(StatusCode::BusyHere),
        Some((Stage::Confirmed, core)) => Ok(Some(CallHandle { core })),
        _ => refused(StatusCode::CallTransactionDoesNotExist),
    }
}

/// Where a request came from: the stream's other end, or what we noted in its Via.
pub(super) fn source_of(tx: &Transaction, transport: Transport) -> Option<SocketAddr> {
    if transport == Transport::Udp {
        let via = tx.original.via_header().ok()?;
        let (_, address) = SipConnection::parse_target_from_via(via).ok()?;
        return address.try_into().ok();
    }
    tx.connection.as_ref()?.get_remote_addr()?.get_socketaddr().ok()
}

/// Who calls: a user, with the host where that is neither ours nor the one that was dialled, which is
/// ours as well. Whoever has no user is its host, as telephone numbers are.
fn calling(shared: &Shared, from: &Uri, dialled: &Uri) -> String {
    let host = from.host().to_string();
    let ours = shared.is_named(from) || host.eq_ignore_ascii_case(&dialled.host().to_string());
    match from.user() {
        Some(user) if ours => user.to_owned(),
        Some(user) => format!("{user}@{host}"),
        None => host,
    }
}

/// A URI without its parameters.
fn bare(uri: &Uri) -> String {
    Uri { params: Vec::new(), headers: Vec::new(), ..uri.clone() }.to_string()
}
