//! Subscriptions to the conference that a call is in (RFC 6665, RFC 4575): one for each call, in its
//! dialog, or in one of its own from where the call came.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rsipstack::dialog::DialogId;
use rsipstack::sip::prelude::{HeadersExt, ToTypedHeader};
use rsipstack::sip::typed::{From, To};
use rsipstack::sip::{Header, Method, Request, StatusCode, Uri, headers::Route};
use rsipstack::transaction::make_tag;
use rsipstack::transaction::transaction::Transaction;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::core::{CallCore, Stage};
use super::dispatch::{CHANGE_WITHIN, Refusal, refuse, reply, transport_of};
use super::endpoint::Shared;
use super::error::CallId;
use super::incoming::{CONTACT_USER, source_of};
use super::locate::Located;
use super::register::Flow;
use super::request::{Head, exchange, in_uri, request};
use super::{Status, stream};

/// What can be subscribed to.
const EVENT: &str = "conference";
/// The document that tells of it.
const DOCUMENT: &str = "application/conference-info+xml";
/// A subscription's time in seconds: at least, where nothing is said, and at most.
const EXPIRES: (u32, u32, u32) = (60, 3600, 3600);
/// Proxies on the way to who subscribes, at most.
const MAX_ROUTES: usize = 8;

/// A subscription of a call's peer, as the call and the table of subscriptions hold it.
#[derive(Debug)]
pub(super) struct Watcher {
    /// Its dialog, which may be the call's.
    pub(super) id: DialogId,
    until: watch::Sender<Instant>,
}

/// Its peer's place.
enum Peer {
    /// The call's.
    Call,
    Own(Box<Own>),
}

/// A dialog of its own.
struct Own {
    from: From,
    to: To,
    target: Uri,
    routes: Vec<Route>,
    server: Located,
    cseq: AtomicU32,
}

/// A subscription that waits for its answer, and then for what there is to tell. Dropped before it is
/// accepted, it is refused with 403; later, its peer is told that there is no more.
pub struct Subscription {
    core: Arc<CallCore>,
    call: CallId,
    peer: Arc<Peer>,
    until: watch::Receiver<Instant>,
    accepted: Option<oneshot::Sender<()>>,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("call", &self.call).finish_non_exhaustive()
    }
}

/// What a subscription waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Everything is wanted again.
    Whole,
    /// It is over: the call is, or who subscribed wants no more.
    Over,
}

impl Subscription {
    /// Agrees.
    pub fn accept(&mut self) {
        if let Some(accepted) = self.accepted.take() {
            // A peer that has gone meanwhile needs no answer.
            let _ = accepted.send(());
        }
    }

    /// Waits until it is renewed, or over.
    pub async fn next(&mut self) -> Wanted {
        let until = *self.until.borrow_and_update();
        tokio::select! {
            changed = self.until.changed() => match changed {
                Ok(()) if *self.until.borrow() > Instant::now() => Wanted::Whole,
                Ok(()) | Err(_) => Wanted::Over,
            },
            () = tokio::time::sleep_until(until) => Wanted::Over,
        }
    }

    /// Tells; whether the peer took it.
    pub async fn tell(&self, document: String) -> bool {
        let left = self.until.borrow().saturating_duration_since(Instant::now()).as_secs();
        let headers = vec![Header::ContentType(DOCUMENT.into())];
        self.notify(format!("active;expires={left}"), headers, document).await
    }

    /// Tells that there is no more.
    pub async fn end(&self) {
        if matches!(*self.peer, Peer::Call) && self.core.stage() == Stage::Over {
            // Its dialog is gone with the call.
            return;
        }
        self.notify("terminated;reason=noresource".to_owned(), Vec::new(), String::new()).await;
    }

    async fn notify(&self, state: String, more: Vec<Header>, body: String) -> bool {
        let mut headers =
            vec![Header::Event(EVENT.into()), Header::SubscriptionState(state.into())];
        headers.extend(more);
        let answer = match &*self.peer {
            Peer::Call => self.core.ask(Method::Notify, headers, body.into_bytes()).await.ok(),
            Peer::Own(own) => own.ask(&self.core.shared, &self.call, headers, body).await,
        };
        answer.is_some_and(|it| it.status_code.code() < 300)
    }
}

impl Own {
    async fn ask(
        &self,
        shared: &Arc<Shared>,
        call: &CallId,
        headers: Vec<Header>,
        body: String,
    ) -> Option<rsipstack::sip::Response> {
        let Located { transport, address, host } = &self.server;
        stream::connected(shared, *transport, *address, host).await.ok()?;
        let contact = shared.contact(CONTACT_USER, *transport);
        let mut more = vec![Header::Contact(format!("<{contact}>;isfocus").into())];
        more.extend(self.routes.iter().cloned().map(Header::Route));
        more.extend(headers);
        let head = Head {
            method: Method::Notify,
            uri: self.target.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
        };
        let seq = self.cseq.fetch_add(1, Ordering::Relaxed);
        let mut request = request(shared, &self.server, head, (call, seq), more);
        request.body = body.into_bytes();
        exchange(shared, &self.server, request).await
    }
}

/// A SUBSCRIBE in a call's dialog.
pub(super) async fn inside(core: Arc<CallCore>, tx: Transaction) -> rsipstack::Result<()> {
    let id = core.dialog.id();
    subscribe(core, tx, id, Peer::Call).await
}

/// A SUBSCRIBE outside of any dialog: it is for the call that came, or went, the same way.
pub(super) async fn outside(shared: &Arc<Shared>, mut tx: Transaction) -> rsipstack::Result<()> {
    let transport = transport_of(&tx);
    let flow = source_of(&tx, transport).map(|peer| Flow { transport, peer });
    let calls: Vec<_> = shared.calls().values().cloned().collect();
    let call = calls.into_iter().find(|it| it.came == flow && it.stage() == Stage::Confirmed);
    let (Some(core), Some(flow)) = (call.filter(|_| flow.is_some()), flow) else {
        return refuse(&mut tx, Refusal::new(Status::FORBIDDEN.wire(), vec![])).await;
    };
    let tag = make_tag();
    let Some((id, own)) = own(&tx.original, flow, tag.as_ref()) else {
        return refuse(&mut tx, Refusal::new(StatusCode::BadRequest, vec![])).await;
    };
    if let Ok(to) = tx.original.to_header().cloned() {
        tx.original.headers.unique_push(to.with_tag(tag).into());
    }
    subscribe(core, tx, id, Peer::Own(Box::new(own))).await
}

/// A SUBSCRIBE in a dialog that one of its own has made.
pub(super) async fn again(watcher: Arc<Watcher>, mut tx: Transaction) -> rsipstack::Result<()> {
    let seconds = expires(&tx.original);
    watcher.until.send_replace(Instant::now() + Duration::from_secs(seconds.into()));
    reply(&mut tx, StatusCode::OK, vec![Header::Expires(seconds.to_string().into())], None).await
}

async fn subscribe(
    core: Arc<CallCore>,
    mut tx: Transaction,
    id: DialogId,
    peer: Peer,
) -> rsipstack::Result<()> {
    let event = tx.original.header_value("Event").unwrap_or_default();
    if !event.split(';').next().is_some_and(|it| it.trim().eq_ignore_ascii_case(EVENT)) {
        let events = Header::Other("Allow-Events".into(), EVENT.into());
        return refuse(&mut tx, Refusal::new(StatusCode::BadEvent, vec![events])).await;
    }
    if let Some(watcher) = core.watcher().filter(|it| it.id == id) {
        return again(watcher, tx).await;
    }
    let seconds = expires(&tx.original);
    let until = Instant::now() + Duration::from_secs(seconds.into());
    let (sender, until) = watch::channel(until);
    let (accept, accepted) = oneshot::channel();
    let call = CallId(id.call_id.clone());
    let peer = Arc::new(peer);
    let subscription =
        Subscription { core: core.clone(), call, peer, until, accepted: Some(accept) };
    core.emit(super::CallEvent::Subscribed(subscription));
    if !matches!(tokio::time::timeout(CHANGE_WITHIN, accepted).await, Ok(Ok(()))) {
        return refuse(&mut tx, Refusal::new(Status::FORBIDDEN.wire(), vec![])).await;
    }
    // The one before it ends.
    core.watched_by(Watcher { id, until: sender });
    let contact = core.shared.contact(CONTACT_USER, transport_of(&tx));
    let headers = vec![
        Header::Expires(seconds.to_string().into()),
        Header::Contact(format!("<{contact}>;isfocus").into()),
    ];
    reply(&mut tx, StatusCode::OK, headers, None).await
}

/// For how long, in seconds; 0: no more.
fn expires(request: &Request) -> u32 {
    let (least, usual, most) = EXPIRES;
    let asked = request.header_value("Expires").and_then(|it| it.parse().ok());
    match asked.unwrap_or(usual) {
        0 => 0,
        seconds => seconds.clamp(least, most),
    }
}

/// The dialog that a request outside of any begins.
fn own(request: &Request, flow: Flow, tag: &str) -> Option<(DialogId, Own)> {
    let from = request.from_header().ok()?.typed().ok()?;
    let to = request.to_header().ok()?.typed().ok()?;
    let remote_tag = from.tag()?.to_string();
    let call_id = request.call_id_header().ok()?.value().to_owned();
    let target = request.typed_contact_headers().ok()?.first()?.uri.clone();
    let routes = request.record_route_headers().into_iter().take(MAX_ROUTES);
    let routes = routes.map(|it| Route::from(it.value().to_owned())).collect();
    let us = From { display_name: to.display_name, uri: to.uri, params: Vec::new() };
    let own = Own {
        from: us.with_tag(tag.to_owned().into()),
        to: To { display_name: from.display_name, uri: from.uri, params: from.params },
        target,
        routes,
        // The way back is the way that it came.
        server: Located {
            transport: flow.transport,
            address: flow.peer,
            host: in_uri(flow.peer.ip()),
        },
        cseq: AtomicU32::new(1),
    };
    Some((DialogId { call_id, local_tag: tag.to_owned(), remote_tag }, own))
}
