//! Every message on its way in: bounds first, then reading, then the library's transactions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rsipstack::dialog::DialogId;
use rsipstack::sip::prelude::HeadersExt;
use rsipstack::sip::{HasHeaders, Header, Method, Request, SipMessage, StatusCode};
use rsipstack::transaction::key::TransactionRole;
use rsipstack::transaction::make_tag;
use rsipstack::transport::SipConnection;
use tokio::net::UdpSocket;
use tracing::debug;

use super::Transport;
use super::dispatch::allow;
use super::endpoint::Shared;
use super::framing::MAX_MESSAGE;
use super::stats::Counters;

/// Header lines in one message; more is no telephone.
const MAX_HEADERS: usize = 256;

/// The longest `Call-ID`, tag or branch line that is kept, in bytes.
const MAX_ID: usize = 512;

/// Reads a UDP socket until the endpoint stops.
pub(super) async fn serve_udp(shared: Arc<Shared>, socket: Arc<UdpSocket>, reply: SipConnection) {
    let mut buffer = vec![0; MAX_MESSAGE + 1];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = shared.stop.cancelled() => return,
        };
        // An error is about a datagram of ours that came back as ICMP.
        let Ok((length, source)) = received else { continue };
        let Some(message) = buffer.get(..length) else { continue };
        if !shared.packets_allow(source) {
            continue;
        }
        if message.iter().all(u8::is_ascii_whitespace) {
            // A keep-alive (RFC 5626 section 4.4.1 has the double one answered).
            if message == b"\r\n\r\n" {
                let _ = socket.try_send_to(b"\r\n", source);
            }
            continue;
        }
        accept(&shared, message, &reply, source, Transport::Udp).await;
    }
}

/// Takes one message. What cannot be read is dropped, what can be answered is.
pub(super) async fn accept(
    shared: &Arc<Shared>,
    raw: &[u8],
    connection: &SipConnection,
    source: SocketAddr,
    transport: Transport,
) {
    let refusal = match read(raw) {
        Ok(message) => match received_from(message, source, transport) {
            Some(message) => return pass(shared, message, connection, source, transport).await,
            None => None,
        },
        Err(refusal) => refusal,
    };
    Counters::count(&shared.counters.malformed);
    let Some((request, status)) = refusal.map(|refusal| *refusal) else {
        debug!(%source, %transport, "dropped a message that cannot be read");
        return;
    };
    if !shared.requests_allow(source, false) {
        return;
    }
    debug!(%source, %transport, status = status.code(), "refused a request without its state");
    if let Some(SipMessage::Request(request)) = received_from(request.into(), source, transport) {
        refuse(shared, request, status, connection).await;
    }
}

/// A request that could be read so far that it can be answered, and the answer.
type Refusal = Option<Box<(Request, StatusCode)>>;

fn read(raw: &[u8]) -> Result<SipMessage, Refusal> {
    if raw.len() > MAX_MESSAGE {
        return Err(None);
    }
    let Ok(message) = SipMessage::try_from(raw) else {
        return Err(unknown_method(raw)
            .map(|request| (request, StatusCode::NotImplemented))
            .map(Box::new));
    };
    let headers = message.headers();
    let sane = headers.len() <= MAX_HEADERS
        && message.call_id_header().is_ok_and(|id| (1..=MAX_ID).contains(&id.value().len()))
        && message.from_header().is_ok_and(|from| from.tag().is_ok_and(|tag| tag.is_some()))
        && message.to_header().is_ok_and(|to| to.tag().is_ok());
    let method = message.cseq_header().ok().and_then(|cseq| cseq.method().ok());
    match message {
        SipMessage::Response(_) if sane && method.is_some() => Ok(message),
        SipMessage::Response(_) => Err(None),
        SipMessage::Request(request) => {
            let declared = request.headers.iter().find_map(|header| match header {
                Header::ContentLength(length) => Some(length.value().trim().parse::<usize>()),
                _ => None,
            });
            let whole = match declared {
                None => true,
                Some(length) => length == Ok(request.body.len()),
            };
            if sane && whole && method == Some(request.method) {
                return Ok(request.into());
            }
            // Nobody answers an ACK.
            let answerable = request.method != Method::Ack;
            Err(answerable.then(|| Box::new((request, StatusCode::BadRequest))))
        }
    }
}

/// Reads a request whose method the library does not know, as if it were one that it does: for
/// the answer only the headers matter.
fn unknown_method(raw: &[u8]) -> Option<Request> {
    let space = raw.iter().position(|&byte| byte == b' ')?;
    let (method, rest) = raw.split_at_checked(space)?;
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte);
    if !(1..=32).contains(&method.len()) || !method.iter().all(is_token) {
        return None;
    }
    if Method::try_from(method).is_ok() {
        return None;
    }
    match SipMessage::try_from([b"MESSAGE", rest].concat().as_slice()) {
        Ok(SipMessage::Request(request)) => Some(request),
        _ => None,
    }
}

/// Notes in the Via where a request came from (RFC 3261 section 18.2.1, RFC 3581).
fn received_from(
    message: SipMessage,
    source: SocketAddr,
    transport: Transport,
) -> Option<SipMessage> {
    SipConnection::update_msg_received(message, source, transport.wire()).ok()
}

/// Answers without a transaction; a retransmission is answered again.
async fn refuse(
    shared: &Arc<Shared>,
    request: Request,
    status: StatusCode,
    connection: &SipConnection,
) {
    let mut response = shared.endpoint.make_response(&request, status, None);
    for header in response.headers.iter_mut() {
        if let Header::To(to) = header
            && matches!(to.tag(), Ok(None))
        {
            *to = to.clone().with_tag(make_tag());
        }
    }
    response.headers.push(allow());
    if let Err(error) = connection.send(response.into(), None).await {
        debug!(%error, "a refusal could not be sent");
    }
}

async fn pass(
    shared: &Arc<Shared>,
    message: SipMessage,
    connection: &SipConnection,
    source: SocketAddr,
    transport: Transport,
) {
    if let SipMessage::Request(request) = &message {
        let known = DialogId::try_from((request, TransactionRole::Server))
            .is_ok_and(|id| shared.calls().contains_key(&id));
        // What ends or confirms something is let through: it only ever frees.
        let frees = matches!(request.method, Method::Ack | Method::Cancel | Method::Bye);
        if !shared.requests_allow(source, known || frees) {
            return;
        }
    }
    let from = transport.sip_addr(source);
    if let Err(error) =
        shared.endpoint.on_received_message(message, connection.clone(), &from).await
    {
        Counters::count(&shared.counters.malformed);
        debug!(%source, %transport, %error, "the SIP library refused a message");
    }
}

impl Shared {
    /// Whether a source may send one more packet, or open one more stream.
    pub(super) fn packets_allow(&self, source: SocketAddr) -> bool {
        self.within(&self.packets, source)
    }

    /// Whether a source may make one more request, in a known call or outside of any.
    fn requests_allow(&self, source: SocketAddr, known: bool) -> bool {
        self.within(if known { &self.known_requests } else { &self.requests }, source)
    }

    fn within(
        &self,
        limiter: &std::sync::Mutex<super::limit::Limiter>,
        source: SocketAddr,
    ) -> bool {
        let mut limiter = limiter.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let allowed = limiter.allow(source.ip(), Instant::now());
        if !allowed {
            Counters::count(&self.counters.rate_limited);
        }
        allowed
    }
}
