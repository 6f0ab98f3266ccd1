//! Room systems that register (RFC 3261 section 10): a REGISTER as its owner sees it, and its answer.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rsipstack::sip::prelude::{HeadersExt, ToTypedHeader};
use rsipstack::sip::typed::Contact;
use rsipstack::sip::uri::Param;
use rsipstack::sip::{Header, Request, Scheme, StatusCode};
use rsipstack::transaction::transaction::Transaction;
use tokio::sync::oneshot;
use tracing::debug;

use super::core::cseq_of;
use super::dispatch::{Refusal, allow, capabilities, refuse, reply, transport_of};
use super::endpoint::Shared;
use super::incoming::{required, source_of};
use super::{Status, Transport};

/// Contacts in one request; a device has one or two.
const MAX_CONTACTS: usize = 8;
/// Proxies that a request may have come through.
const MAX_PATH: usize = 8;
/// The longest contact, instance or path that is kept, in bytes.
const MAX_TEXT: usize = 512;
/// Characters of a peer's text that are kept, shown or logged.
const MAX_SHOWN: usize = 200;
/// How long the owner may think.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The way that a peer's messages come, which is the way to it: through its NAT, and over the stream
/// that it opened (RFC 5626).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Over what.
    pub transport: Transport,
    /// The other end.
    pub peer: SocketAddr,
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport, self.peer)
    }
}

/// Where somebody wants to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedContact {
    /// The URI.
    pub uri: String,
    /// Which of many devices of the same kind it is (RFC 5626 section 4.1).
    pub instance: Option<String>,
    /// Seconds; 0: no more.
    pub expires: Option<u32>,
}

/// What a REGISTER wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// To know what is registered.
    Ask,
    /// To be registered nowhere any more.
    Forget,
    /// To be called there, or there no more.
    Bind(Vec<WantedContact>),
}

/// A REGISTER, as far as it can be read. It proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The user part of the address that is registered.
    pub user: String,
    /// The way that it came.
    pub flow: Flow,
    /// What it wants.
    pub wish: Wish,
    /// Its `Call-ID`: one for all requests of a device between two starts of it.
    pub call_id: String,
    /// Its place among them.
    pub cseq: u32,
    /// What the device calls itself.
    pub agent: Option<String>,
    /// The proxies that it came through, the next one first (RFC 3327).
    pub path: Vec<String>,
    /// The values of `Authorization`. Not for logs.
    pub credentials: Vec<String>,
}

/// A REGISTER that waits for its answer.
#[derive(Debug)]
pub struct Register {
    /// What it says.
    pub registration: Registration,
    reply: oneshot::Sender<RegisterAnswer>,
}

impl Register {
    /// Answers it.
    pub fn answer(self, answer: RegisterAnswer) {
        // One that nobody waits for any more comes again.
        let _ = self.reply.send(answer);
    }
}

/// The answer to a REGISTER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterAnswer {
    /// It is done; what is registered now, with the seconds that are left.
    Done(Vec<(String, u32)>),
    /// It has to show that it knows the password.
    Challenge {
        /// Where.
        realm: &'static str,
        /// What the proof has to be about.
        nonce: String,
        /// How it is computed.
        algorithm: &'static str,
        /// Whether only the nonce was wrong.
        stale: bool,
    },
    /// It would register for too short a time: the least, in seconds.
    TooBrief(u32),
    /// Anything else.
    Refused(Status),
}

/// Answers a REGISTER, if somebody keeps what is registered.
pub(super) async fn register(shared: &Arc<Shared>, mut tx: Transaction) -> rsipstack::Result<()> {
    let Some(registers) = &shared.registers else {
        return refuse(&mut tx, Refusal::new(StatusCode::MethodNotAllowed, vec![allow(shared)]))
            .await;
    };
    let registration = match read(shared, &tx) {
        Ok(registration) => registration,
        Err(refusal) => return refuse(&mut tx, refusal).await,
    };
    let path = registration.path.clone();
    let (sender, answer) = oneshot::channel();
    let overloaded = || {
        let retry = Header::RetryAfter("30".into());
        Refusal::new(StatusCode::ServiceUnavailable, vec![retry])
    };
    if registers.try_send(Register { registration, reply: sender }).is_err() {
        return refuse(&mut tx, overloaded()).await;
    }
    let refusal = match tokio::time::timeout(ANSWER_WITHIN, answer).await {
        Ok(Ok(RegisterAnswer::Done(bindings))) => {
            let headers = done(shared, bindings, path);
            return reply(&mut tx, StatusCode::OK, headers, None).await;
        }
        Ok(Ok(RegisterAnswer::Challenge { realm, nonce, algorithm, stale })) => {
            let stale = if stale { ", stale=true" } else { "" };
            let challenge = format!(
                "Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={algorithm}, \
                 qop=\"auth\"{stale}"
            );
            let header = Header::WwwAuthenticate(challenge.into());
            Refusal::new(StatusCode::Unauthorized, vec![header])
        }
        Ok(Ok(RegisterAnswer::TooBrief(least))) => {
            let header = Header::MinExpires(least.to_string().into());
            Refusal::new(StatusCode::IntervalTooBrief, vec![header])
        }
        Ok(Ok(RegisterAnswer::Refused(status))) => Refusal::new(status.wire(), vec![]),
        Ok(Err(_)) | Err(_) => overloaded(),
    };
    debug!(status = refusal.status.code(), "a registration is not done");
    refuse(&mut tx, refusal).await
}

fn done(shared: &Shared, bindings: Vec<(String, u32)>, path: Vec<String>) -> Vec<Header> {
    let mut headers = capabilities(shared);
    headers.extend(
        bindings
            .into_iter()
            .map(|(uri, seconds)| Header::Contact(format!("<{uri}>;expires={seconds}").into())),
    );
    // Whoever put itself in between is told that it is heeded (RFC 3327 section 5.3).
    headers.extend(path.into_iter().map(|it| Header::Path(it.into())));
    headers
}

fn read(shared: &Shared, tx: &Transaction) -> Result<Registration, Refusal> {
    let request = &tx.original;
    let bad = || Refusal::new(StatusCode::BadRequest, vec![]);
    if !shared.is_ours(&request.uri) {
        return Err(Refusal::new(StatusCode::NotFound, vec![]));
    }
    required(shared, request)?;
    let to = request.to_header().and_then(|to| to.typed()).map_err(|_| bad())?;
    let transport = transport_of(tx);
    let peer = source_of(tx, transport).ok_or_else(bad)?;
    let fits = |text: &str| text.len() <= MAX_TEXT && !text.contains(char::is_control);
    let path: Vec<String> = request
        .headers
        .iter()
        .filter_map(|header| match header {
            Header::Path(path) => Some(path.value().to_owned()),
            _ => None,
        })
        .collect();
    if path.len() > MAX_PATH || !path.iter().all(|it| fits(it)) {
        return Err(bad());
    }
    let credentials = request.headers.iter().filter_map(|header| match header {
        Header::Authorization(credentials) => Some(credentials.value().to_owned()),
        _ => None,
    });
    Ok(Registration {
        user: to.uri.user().unwrap_or_default().to_owned(),
        flow: Flow { transport, peer },
        wish: wish(request).filter(|wish| wish.fits(fits)).ok_or_else(bad)?,
        call_id: request.call_id_header().map_err(|_| bad())?.value().to_owned(),
        cseq: cseq_of(request).ok_or_else(bad)?,
        agent: request.user_agent_header().map(|agent| shortened(agent.value())),
        path,
        credentials: credentials.take(MAX_CONTACTS).collect(),
    })
}

/// A peer's text as it is kept, shown and logged: no peer fills the log with one message.
pub(super) fn shortened(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(MAX_SHOWN).collect()
}

fn wish(request: &Request) -> Option<Wish> {
    let expires = request.headers.iter().find_map(|header| match header {
        Header::Expires(expires) => Some(expires.value().trim()),
        _ => None,
    });
    // What is no number is taken for an hour (RFC 3261 section 20.19).
    let expires = expires.map(|it| it.parse().unwrap_or(3600));
    let contacts = request.typed_contact_headers().ok()?;
    let is_all =
        |contact: &Contact| matches!(&contact.uri.scheme, Some(Scheme::Other(it)) if it == "*");
    if contacts.iter().any(is_all) {
        // RFC 3261 section 10.3, step 6.
        return (contacts.len() == 1 && expires == Some(0)).then_some(Wish::Forget);
    }
    if contacts.is_empty() {
        return Some(Wish::Ask);
    }
    let wanted = contacts.iter().map(|contact| {
        let sip = matches!(contact.uri.scheme, None | Some(Scheme::Sip | Scheme::Sips));
        sip.then(|| WantedContact {
            uri: contact.uri.to_string(),
            instance: instance(contact),
            expires: contact.expires().or(expires),
        })
    });
    (contacts.len() <= MAX_CONTACTS).then_some(Wish::Bind(wanted.collect::<Option<_>>()?))
}

fn instance(contact: &Contact) -> Option<String> {
    contact.params.iter().find_map(|param| match param {
        Param::Other(name, Some(value)) if name.0.eq_ignore_ascii_case("+sip.instance") => {
            Some(value.0.trim_matches('"').to_owned())
        }
        _ => None,
    })
}

impl Wish {
    /// Whether everything in it is a text that may be kept.
    fn fits(&self, fits: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Ask | Self::Forget => true,
            Self::Bind(contacts) => contacts.iter().all(|contact| {
                let instance = contact.instance.as_deref().unwrap_or_default();
                // It stands between angle brackets again.
                fits(&contact.uri) && !contact.uri.contains(['<', '>', '"']) && fits(instance)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_calls_itself_is_kept_in_short() {
        assert_eq!(shortened("Room/1 \u{7}(x)"), "Room/1 (x)");
        assert_eq!(shortened(&"я".repeat(60_000)).chars().count(), MAX_SHOWN);
    }
}
