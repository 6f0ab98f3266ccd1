//! Requests by method: what concerns a call goes to it, the rest is answered here.
//!
//! The library's dialogs see only what begins, confirms and ends them. They drop UPDATE, INFO
//! and OPTIONS before an answer is confirmed, and cannot say 491 or 422.

use std::sync::Arc;
use std::time::Duration;

use rsipstack::dialog::DialogId;
use rsipstack::dialog::dialog::Dialog;
use rsipstack::sip::prelude::HeadersExt;
use rsipstack::sip::{Header, Method, Request, SipMessage, StatusCode};
use rsipstack::transaction::TransactionReceiver;
use rsipstack::transaction::transaction::Transaction;
use tokio::sync::oneshot;
use tracing::{Instrument, debug};

use super::call::{CallEvent, CallHandle, ReOffer};
use super::core::{CallCore, Stage, cseq_of};
use super::endpoint::Shared;
use super::info::{self, Info};
use super::session_timer::{self, MIN_SE, Refresher, SessionExpires};
use super::stats::Counters;
use super::transfer::{self, Reports, Transfer};
use super::{Status, Transport, incoming, register, subscribe};

/// What we take, in `Allow`.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, SUBSCRIBE";

/// The same where calls may be handed on.
const ALLOW_TRANSFERS: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, SUBSCRIBE, REFER";

/// What we take as a body, in `Accept`.
const ACCEPT: &str =
    "application/sdp, application/media_control+xml, application/dtmf-relay, application/dtmf";

/// How long a call's owner may think about a change.
pub(super) const CHANGE_WITHIN: Duration = Duration::from_secs(10);

pub(super) fn allow(shared: &Shared) -> Header {
    Header::Allow(if shared.transfers { ALLOW_TRANSFERS } else { ALLOW }.into())
}

/// The extensions that we know, for calls and what belongs to them.
pub(super) fn extensions(shared: &Shared) -> &'static [&'static str] {
    if shared.transfers { &["timer", "100rel", "replaces"] } else { &["timer", "100rel"] }
}

/// The headers that tell a peer what we can.
pub(super) fn capabilities(shared: &Shared) -> Vec<Header> {
    vec![allow(shared), Header::Supported(extensions(shared).join(", ").into())]
}

/// A refusal with nothing to add.
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<Header>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, headers: Vec<Header>) -> Self {
        Self { status, headers }
    }
}

/// Takes requests until the endpoint stops.
pub(super) async fn serve(shared: Arc<Shared>, mut transactions: TransactionReceiver) {
    loop {
        let transaction = tokio::select! {
            transaction = transactions.recv() => transaction,
            () = shared.stop.cancelled() => return,
        };
        let Some(transaction) = transaction else { return };
        let shared = shared.clone();
        tokio::spawn(async move {
            if let Err(error) = dispatch(&shared, transaction).await {
                debug!(%error, "a request could not be answered");
            }
        });
    }
}

async fn dispatch(shared: &Arc<Shared>, mut tx: Transaction) -> rsipstack::Result<()> {
    let id = DialogId::try_from(&tx)?;
    if id.local_tag.is_empty() {
        return outside(shared, tx).await;
    }
    let call = shared.calls().get(&id).cloned();
    match call {
        Some(call) => {
            let span = call.span.clone();
            inside(call, tx).instrument(span).await
        }
        None if tx.original.method == Method::Ack => Ok(()),
        None => {
            let watcher = shared.watchers().get(&id).cloned();
            if let (Some(watcher), Method::Subscribe) = (watcher, tx.original.method) {
                return subscribe::again(watcher, tx).await;
            }
            let gone = Refusal::new(StatusCode::CallTransactionDoesNotExist, vec![]);
            refuse(&mut tx, gone).await
        }
    }
}

async fn outside(shared: &Arc<Shared>, mut tx: Transaction) -> rsipstack::Result<()> {
    let refusal = match tx.original.method {
        Method::Ack => return Ok(()),
        Method::Invite => return incoming::invite(shared, tx).await,
        Method::Register => return register::register(shared, tx).await,
        Method::Subscribe => return subscribe::outside(shared, tx).await,
        Method::Options => match options(shared, &tx.original) {
            Ok(headers) => return reply(&mut tx, StatusCode::OK, headers, None).await,
            Err(refusal) => refusal,
        },
        Method::Cancel
        | Method::Bye
        | Method::Info
        | Method::Update
        | Method::PRack
        | Method::Notify => Refusal::new(StatusCode::CallTransactionDoesNotExist, vec![]),
        Method::Message | Method::Publish | Method::Refer => {
            Refusal::new(StatusCode::MethodNotAllowed, vec![allow(shared)])
        }
    };
    Counters::count(&shared.counters.refused_requests);
    refuse(&mut tx, refusal).await
}

async fn inside(call: Arc<CallCore>, mut tx: Transaction) -> rsipstack::Result<()> {
    if tx.original.method == Method::Ack {
        return Ok(());
    }
    if !cseq_of(&tx.original).is_some_and(|cseq| call.in_order(cseq)) {
        return refuse(&mut tx, Refusal::new(StatusCode::ServerInternalError, vec![])).await;
    }
    call.learn_allow(&tx.original);
    match tx.original.method {
        Method::Invite => reinvite(call, tx).await,
        Method::Update => update(call, tx).await,
        Method::Bye => bye(call, tx).await,
        Method::Info => answer_info(&call, tx).await,
        Method::Options => {
            reply(&mut tx, StatusCode::OK, options_headers(&call.shared), None).await
        }
        Method::PRack => prack(&call, tx).await,
        Method::Subscribe => subscribe::inside(call, tx).await,
        Method::Refer if call.shared.transfers => refer(call, tx).await,
        Method::Cancel => {
            refuse(&mut tx, Refusal::new(StatusCode::CallTransactionDoesNotExist, vec![])).await
        }
        _ => {
            let allow = allow(&call.shared);
            refuse(&mut tx, Refusal::new(StatusCode::MethodNotAllowed, vec![allow])).await
        }
    }
}

/// The peer has a provisional response of ours (RFC 3262 section 3).
async fn prack(call: &CallCore, mut tx: Transaction) -> rsipstack::Result<()> {
    let Some((number, invite, Method::Invite)) = tx.original.rack_value() else {
        return refuse(&mut tx, Refusal::new(StatusCode::BadRequest, vec![])).await;
    };
    if !call.confirm_provisional(number, invite) {
        let unknown = Refusal::new(StatusCode::CallTransactionDoesNotExist, vec![]);
        return refuse(&mut tx, unknown).await;
    }
    // Its own offer, which it must not make before our answer, has none (RFC 3262 section 5).
    match tx.original.body.is_empty() {
        true => reply(&mut tx, StatusCode::OK, vec![], None).await,
        false => refuse(&mut tx, Refusal::new(StatusCode::NotAcceptableHere, vec![])).await,
    }
}

/// The peer wants somebody else called. Whether that may be its owner knows.
async fn refer(call: Arc<CallCore>, mut tx: Transaction) -> rsipstack::Result<()> {
    let refused = |status| Refusal::new(status, vec![]);
    let Some((to, replaces)) = transfer::refer_to(&tx.original) else {
        return refuse(&mut tx, refused(StatusCode::BadRequest)).await;
    };
    if !call.is_or_becomes_established().await {
        return refuse(&mut tx, later()).await;
    }
    let Some(number) = call.begin_transfer() else {
        return refuse(&mut tx, refused(StatusCode::RequestPending)).await;
    };
    let unwanted = transfer::wants_no_word(&tx.original);
    let cseq = cseq_of(&tx.original).unwrap_or_default();
    let handle = CallHandle { core: call.clone() };
    let reports = Reports { handle, number, cseq, unwanted };
    let (reply_to, answer) = oneshot::channel();
    call.emit(CallEvent::Transfer(Transfer { to, replaces, reports, reply: reply_to }));
    let status = match tokio::time::timeout(CHANGE_WITHIN, answer).await {
        Ok(Ok(Ok(()))) => {
            let no_word = || Header::Other("Refer-Sub".into(), "false".into());
            let headers = unwanted.then(no_word).into_iter().collect();
            return reply(&mut tx, StatusCode::Accepted, headers, None).await;
        }
        Ok(Ok(Err(status))) => status,
        Ok(Err(_)) => Status::FORBIDDEN,
        Err(_) => Status::SERVER_ERROR,
    };
    refuse(&mut tx, refused(status.wire())).await
}

async fn bye(call: Arc<CallCore>, mut tx: Transaction) -> rsipstack::Result<()> {
    let reason = tx.original.reason_header().map(|reason| reason.value().to_owned());
    if call.stage() == Stage::Early {
        // The INVITE must not stay without its final response (RFC 3261 section 15.1.2).
        call.dialog.reject(Some(StatusCode::RequestTerminated), None)?;
        call.finish(Some(CallEvent::Bye { reason }));
        return reply(&mut tx, StatusCode::OK, vec![], None).await;
    }
    call.set_bye_reason(reason);
    call.dialog.clone().handle(&mut tx).await
}

async fn answer_info(call: &CallCore, mut tx: Transaction) -> rsipstack::Result<()> {
    let content_type = content_type(&tx.original);
    let event = match info::parse(content_type.as_deref(), &tx.original.body) {
        Info::PictureFastUpdate => CallEvent::PictureFastUpdate,
        Info::Dtmf(tone) => CallEvent::Dtmf(tone),
        Info::Other => CallEvent::Info { content_type, body: tx.original.body.clone() },
        Info::Unsupported => {
            let accept = Header::Accept(info::ACCEPTED.into());
            let unsupported = Refusal::new(StatusCode::UnsupportedMediaType, vec![accept]);
            return refuse(&mut tx, unsupported).await;
        }
    };
    call.emit(event);
    reply(&mut tx, StatusCode::OK, vec![], None).await
}

/// A change of the session by UPDATE (RFC 3311), or a mere refresh of its timer.
async fn update(call: Arc<CallCore>, mut tx: Transaction) -> rsipstack::Result<()> {
    let timer = match timer_of(&tx.original) {
        Ok(timer) => timer,
        Err(refusal) => return refuse(&mut tx, refusal).await,
    };
    if tx.original.body.is_empty() {
        let mut headers = timer_headers(timer);
        headers.push(Header::Contact(contact(&call, &tx).into()));
        call.start_timer_if(timer);
        refresh_target(&call, &tx.original);
        return reply(&mut tx, StatusCode::OK, headers, None).await;
    }
    if !call.is_or_becomes_established().await {
        // The first offer may have no answer yet (RFC 3311 section 5.2).
        return refuse(&mut tx, later()).await;
    }
    let agreed = agree(&call, &mut tx, timer).await;
    match agreed {
        Ok((headers, sdp)) => reply(&mut tx, StatusCode::OK, headers, Some(sdp)).await,
        Err(refusal) => refuse(&mut tx, refusal).await,
    }
}

/// A change of the session by INVITE (RFC 3261 section 14.2).
async fn reinvite(call: Arc<CallCore>, mut tx: Transaction) -> rsipstack::Result<()> {
    tx.send_trying().await?;
    let timer = match timer_of(&tx.original) {
        Ok(timer) => timer,
        Err(refusal) => return refuse(&mut tx, refusal).await,
    };
    if !call.is_or_becomes_established().await {
        return refuse(&mut tx, later()).await;
    }
    match agree(&call, &mut tx, timer).await {
        Ok((headers, sdp)) => reply(&mut tx, StatusCode::OK, headers, Some(sdp)).await?,
        Err(refusal) => return refuse(&mut tx, refusal).await,
    }
    let offered = !tx.original.body.is_empty();
    let acknowledged = async {
        while let Some(message) = tx.receive().await {
            if let SipMessage::Request(request) = message
                && request.method == Method::Ack
            {
                return Some(request.body);
            }
        }
        None
    };
    let within = call.shared.limits.transaction();
    match tokio::time::timeout(within, acknowledged).await.ok().flatten() {
        Some(body) => {
            let answer = Some(body).filter(|body| !offered && !body.is_empty());
            call.emit(CallEvent::Confirmed { answer });
            Ok(())
        }
        None if call.stage() == Stage::Over => Ok(()),
        None => {
            debug!("a change of the session was not acknowledged");
            call.finish(Some(CallEvent::TimedOut));
            call.say_bye(None).await;
            Ok(())
        }
    }
}

/// Has the owner answer an offer.
async fn agree(
    call: &CallCore,
    tx: &mut Transaction,
    timer: Option<SessionExpires>,
) -> Result<(Vec<Header>, Vec<u8>), Refusal> {
    let sdp = offer_of(&tx.original)?;
    let Some(_changing) = call.begin_change() else {
        return Err(Refusal::new(StatusCode::RequestPending, vec![]));
    };
    let (sender, answer) = oneshot::channel();
    call.emit(CallEvent::ReOffer(ReOffer { sdp, reply: sender }));
    let answer = match tokio::time::timeout(CHANGE_WITHIN, answer).await {
        Ok(Ok(Ok(answer))) => answer,
        Ok(Ok(Err(status))) => return Err(Refusal::new(status.wire(), vec![])),
        Ok(Err(_)) => return Err(Refusal::new(Status::NOT_ACCEPTABLE_HERE.wire(), vec![])),
        Err(_) => return Err(Refusal::new(Status::SERVER_ERROR.wire(), vec![])),
    };
    call.set_local_sdp(answer.clone());
    call.start_timer_if(timer);
    refresh_target(call, &tx.original);
    let mut headers = timer_headers(timer);
    headers.push(Header::Contact(contact(call, tx).into()));
    headers.push(Header::ContentType("application/sdp".into()));
    headers.extend(capabilities(&call.shared));
    Ok((headers, answer))
}

impl CallCore {
    /// Restarts the timer by a request of the peer's. One without the header leaves it alone:
    /// some devices refresh without repeating it.
    fn start_timer_if(&self, agreed: Option<SessionExpires>) {
        if agreed.is_some() {
            self.start_timer(agreed, Refresher::Uas);
        }
    }
}

/// The SDP of a request, if any.
pub(super) fn offer_of(request: &Request) -> Result<Option<Vec<u8>>, Refusal> {
    if request.body.is_empty() {
        return Ok(None);
    }
    let is_sdp = content_type(request).is_some_and(|text| {
        text.split(';')
            .next()
            .is_some_and(|text| text.trim().eq_ignore_ascii_case("application/sdp"))
    });
    if is_sdp {
        return Ok(Some(request.body.clone()));
    }
    let accept = Header::Accept("application/sdp".into());
    Err(Refusal::new(StatusCode::UnsupportedMediaType, vec![accept]))
}

/// Whether a caller takes SDP in an answer: it does unless its `Accept` says otherwise
/// (RFC 3261 section 20.1).
pub(super) fn takes_sdp(request: &Request) -> bool {
    let mut ranges = request.headers.iter().filter_map(|header| match header {
        Header::Accept(accept) => Some(accept.value()),
        _ => None,
    });
    let Some(first) = ranges.next() else { return true };
    std::iter::once(first)
        .chain(ranges)
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim())
        .any(|range| {
            ["application/sdp", "application/*", "*/*"]
                .iter()
                .any(|known| range.eq_ignore_ascii_case(known))
        })
}

/// What we say to the session timer of a request (RFC 4028 section 9).
pub(super) fn timer_of(request: &Request) -> Result<Option<SessionExpires>, Refusal> {
    let asked =
        request.session_expires_header().and_then(|header| SessionExpires::parse(header.value()));
    let supports = request.header_contains_token("Supported", "timer")
        || request.header_contains_token("Require", "timer");
    session_timer::answer(asked, supports).map_err(|_| {
        let minimum = Header::MinSE(MIN_SE.to_string().into());
        Refusal::new(StatusCode::SessionIntervalTooSmall, vec![minimum])
    })
}

/// The headers that agree to a session timer.
pub(super) fn timer_headers(agreed: Option<SessionExpires>) -> Vec<Header> {
    let Some(agreed) = agreed else { return Vec::new() };
    let mut headers = vec![Header::SessionExpires(agreed.to_string().into())];
    if agreed.refresher == Some(Refresher::Uac) {
        headers.push(Header::Require("timer".into()));
    }
    headers
}

/// Answers OPTIONS as an INVITE would be (RFC 3261 section 11.2). CUCM's keep-alive has
/// Max-Forwards 0: it is for us, and not forwarded.
fn options(shared: &Shared, request: &Request) -> Result<Vec<Header>, Refusal> {
    if !shared.is_ours(&request.uri) {
        return Err(Refusal::new(StatusCode::NotFound, vec![]));
    }
    incoming::required(shared, request)?;
    Ok(options_headers(shared))
}

fn options_headers(shared: &Shared) -> Vec<Header> {
    let mut headers = capabilities(shared);
    headers.push(Header::Accept(ACCEPT.into()));
    headers
}

fn later() -> Refusal {
    Refusal::new(StatusCode::ServerInternalError, vec![Header::RetryAfter("3".into())])
}

fn content_type(request: &Request) -> Option<String> {
    request.headers.iter().find_map(|header| match header {
        Header::ContentType(content_type) => Some(content_type.value().to_owned()),
        _ => None,
    })
}

/// A peer may move with a change of the session (RFC 3261 section 12.2.2).
fn refresh_target(call: &CallCore, request: &Request) {
    let Ok(contacts) = request.typed_contact_headers() else { return };
    if let (Some(contact), Ok(header)) = (contacts.first(), request.contact_header()) {
        let dialog = Dialog::Invite(call.dialog.clone());
        dialog.set_remote_target(contact.uri.clone(), Some(header.clone()));
    }
}

fn contact(call: &CallCore, tx: &Transaction) -> String {
    let uri = call.shared.contact(incoming::CONTACT_USER, transport_of(tx));
    format!("<{uri}>")
}

/// What a request came over.
pub(super) fn transport_of(tx: &Transaction) -> Transport {
    let address = tx.connection.as_ref().map(|connection| connection.get_addr());
    match address.and_then(|address| address.r#type) {
        Some(rsipstack::sip::Transport::Tls) => Transport::Tls,
        Some(rsipstack::sip::Transport::Tcp) => Transport::Tcp,
        _ => Transport::Udp,
    }
}

/// Answers for good. A refused INVITE is followed to its ACK, so that the refusal is repeated
/// until it has come.
pub(super) async fn refuse(tx: &mut Transaction, refusal: Refusal) -> rsipstack::Result<()> {
    reply(tx, refusal.status, refusal.headers, None).await?;
    if tx.original.method == Method::Invite {
        let within = tx.endpoint_inner.option.t1x64;
        let acknowledged = async {
            while let Some(message) = tx.receive().await {
                if matches!(message, SipMessage::Request(request) if request.method == Method::Ack)
                {
                    return;
                }
            }
        };
        // A peer that never acknowledges is forgotten.
        let _ = tokio::time::timeout(within, acknowledged).await;
    }
    Ok(())
}

pub(super) async fn reply(
    tx: &mut Transaction,
    status: StatusCode,
    headers: Vec<Header>,
    body: Option<Vec<u8>>,
) -> rsipstack::Result<()> {
    tx.reply_with(status, headers, body).await
}
