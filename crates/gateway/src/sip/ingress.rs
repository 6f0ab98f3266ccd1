//! Every message on its way in: bounds first, then reading, then the library's transactions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rsipstack::dialog::DialogId;
use rsipstack::sip::prelude::HeadersExt;
use rsipstack::sip::{HasHeaders, Header, Method, Request, SipMessage, StatusCode, Version};
use rsipstack::transaction::key::TransactionRole;
use rsipstack::transaction::make_tag;
use rsipstack::transport::SipConnection;
use tokio::net::UdpSocket;
use tracing::debug;

use super::dispatch::allow;
use super::endpoint::Shared;
use super::framing::MAX_MESSAGE;
use super::stats::Counters;
use super::{Transport, nat};

/// Header lines in one message; more is no telephone.
const MAX_HEADERS: usize = 256;

/// The longest `Call-ID`, tag or branch line that is kept, in bytes.
const MAX_ID: usize = 512;

/// The longest method that is answered, in bytes: what is longer is no method but noise.
const MAX_METHOD: usize = 64;

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
            Some(message) => {
                let message = nat::mend(message, source, transport, &shared.by_flow());
                return pass(shared, message, connection, source, transport).await;
            }
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

pub(super) fn read(raw: &[u8]) -> Result<SipMessage, Refusal> {
    if raw.len() > MAX_MESSAGE {
        return Err(None);
    }
    let Ok(message) = SipMessage::try_from(raw) else {
        return Err(unreadable(raw).map(Box::new));
    };
    let headers = message.headers();
    let sane = headers.len() <= MAX_HEADERS
        && !is_ambiguous(headers.iter())
        && message.call_id_header().is_ok_and(|id| (1..=MAX_ID).contains(&id.value().len()))
        && message.from_header().is_ok_and(|from| from.tag().is_ok_and(|tag| tag.is_some()))
        && message.to_header().is_ok_and(|to| to.tag().is_ok());
    let method = message.cseq_header().ok().and_then(|cseq| cseq.method().ok());
    match message {
        SipMessage::Response(_) if sane && method.is_some() => Ok(message),
        SipMessage::Response(_) => Err(None),
        SipMessage::Request(request) => {
            let whole = request.headers.iter().all(|header| match header {
                Header::ContentLength(length) => {
                    length.value().trim().parse() == Ok(request.body.len())
                }
                _ => true,
            });
            let status = match request.version {
                Version::V(..) => StatusCode::VersionNotSupported,
                // The library reads `a.b://host` as a host's name.
                Version::V2 if first_line(raw).is_some_and(|line| is_foreign(line.target)) => {
                    StatusCode::UnsupportedUriScheme
                }
                Version::V2 if sane && whole && method == Some(request.method) => {
                    return Ok(request.into());
                }
                Version::V2 => StatusCode::BadRequest,
            };
            // Nobody answers an ACK.
            Err((request.method != Method::Ack).then(|| Box::new((request, status))))
        }
    }
}

/// Whether a header that may stand once stands more than once: two readers could take a
/// different one each.
fn is_ambiguous<'a>(headers: impl Iterator<Item = &'a Header>) -> bool {
    let mut seen = [0_u8; 5];
    for header in headers {
        let [call_id, from, to, cseq, max_forwards] = &mut seen;
        let count = match header {
            Header::CallId(_) => call_id,
            Header::From(_) => from,
            Header::To(_) => to,
            Header::CSeq(_) => cseq,
            Header::MaxForwards(_) => max_forwards,
            _ => continue,
        };
        *count = count.saturating_add(1);
    }
    seen.iter().any(|&count| count > 1)
}

/// The parts of a request's first line.
struct FirstLine<'a> {
    method: &'a str,
    target: &'a str,
    version: &'a str,
    /// From the line's end on.
    rest: &'a [u8],
}

fn first_line(raw: &[u8]) -> Option<FirstLine<'_>> {
    let end = raw.windows(2).position(|window| window == b"\r\n")?;
    let (line, rest) = raw.split_at_checked(end)?;
    let line = std::str::from_utf8(line).ok()?.trim_end();
    let (method, others) = line.split_once([' ', '\t'])?;
    let (target, version) = others.trim().rsplit_once([' ', '\t'])?;
    Some(FirstLine { method, target, version, rest })
}

/// Finds the answer to a request whose first line the library refuses: it reads the rest as if
/// the line were a good one, since for the answer only the headers matter.
fn unreadable(raw: &[u8]) -> Option<(Request, StatusCode)> {
    let FirstLine { method, target, version, rest } = first_line(raw)?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    let is_request = (1..=MAX_METHOD).contains(&method.len()) && method.bytes().all(is_token);
    if !is_request || !version.starts_with("SIP/") || method == "ACK" {
        return None;
    }
    let status = match Method::try_from(method) {
        _ if version != "SIP/2.0" => StatusCode::VersionNotSupported,
        Err(_) => StatusCode::NotImplemented,
        Ok(_) if is_foreign(target) => StatusCode::UnsupportedUriScheme,
        Ok(_) => StatusCode::BadRequest,
    };
    let readable = [b"MESSAGE sip:unreadable.invalid SIP/2.0", rest].concat();
    match SipMessage::try_from(readable.as_slice()) {
        Ok(SipMessage::Request(request)) => Some((request, status)),
        _ => None,
    }
}

/// Whether a URI has a scheme (RFC 3986 section 3.1), and none that we know.
fn is_foreign(uri: &str) -> bool {
    let Some((scheme, _)) = uri.split_once(':') else { return false };
    let is_scheme = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic());
    is_scheme && !["sip", "sips", "tel"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
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
    // The library would answer in the version that was asked in.
    response.version = Version::V2;
    for header in response.headers.iter_mut() {
        if let Header::To(to) = header
            && matches!(to.tag(), Ok(None))
        {
            *to = to.clone().with_tag(make_tag());
        }
    }
    response.headers.push(allow(shared));
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
