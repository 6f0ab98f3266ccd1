//! Requests of ours outside of calls: OPTIONS, to see whether a server is there, and REGISTER.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use conference::random_id;
use rsipstack::sip::prelude::HeadersExt;
use rsipstack::sip::{Header, Host, Method, Request, Response, SipMessage, Uri, typed};
use rsipstack::transaction::key::{TransactionKey, TransactionRole};
use rsipstack::transaction::transaction::Transaction;
use rsipstack::transaction::{make_tag, make_via_branch};
use tracing::debug;

use super::dispatch::allow;
use super::endpoint::{Shared, SipEndpoint};
use super::error::CallId;
use super::locate::Located;
use super::proof::{Challenge, Credentials, Proof};
use super::stream;

/// A server that does not answer OPTIONS within this time is not there: three retransmissions.
const CHECK_WITHIN: Duration = Duration::from_secs(3);
/// A registrar may ask a database.
const REGISTER_WITHIN: Duration = Duration::from_secs(6);
/// A registration of ours is given for this long at most, in seconds.
const MAX_EXPIRES: u32 = 86_400;
/// Contacts of an answer that are looked at.
const MAX_CONTACTS: usize = 64;
/// Characters of a refusal's words that are shown.
const MAX_WORDS: usize = 100;

/// What registers: the same for all requests of one registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registering {
    /// The registrar's domain as it stands in an address: a host, or `host:port`.
    pub domain: String,
    /// Who we are there, also in the address that is registered.
    pub credentials: Credentials,
    /// The user part of our contact, by which calls are known that come over this registration.
    pub contact: String,
    /// Its `Call-ID`, the same for all of them (RFC 3261 section 10.2).
    pub call_id: String,
    /// Its place among them; two are used at most.
    pub sequence: u32,
    /// For how long, in seconds; 0: no more.
    pub expires: u32,
}

/// Why a server's answer is not what was wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It does not answer, or no connection to it can be opened.
    #[error("it does not answer")]
    Silent,
    /// It says no.
    #[error("it answers {status} {words}")]
    Refused {
        /// The final status.
        status: u16,
        /// Its words.
        words: String,
    },
    /// It asks for a password, and does not take ours.
    #[error("it does not take our user and password")]
    WrongPassword,
    /// It asks who we are in a way that we cannot answer.
    #[error("it asks for a password in a way that is not known here: MD5 and SHA-256 are")]
    UnknownChallenge,
}

impl SipEndpoint {
    /// Asks a server whether it is there. Whatever it answers, it is, unless it says that it cannot
    /// serve now.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn check(&self, server: &Located, domain: &str) -> Result<(), AskError> {
        let shared = &self.shared;
        let uri = uri(&format!("sip:{domain}"))?;
        let from = shared.contact("plenum", server.transport);
        let head = Head::outside(Method::Options, uri.clone(), from, uri);
        let call = CallId(random_id(""));
        let accept = vec![Header::Accept("application/sdp".into())];
        let asked = ask(shared, server, head, (&call, 1), accept);
        let response = bounded(CHECK_WITHIN, asked).await?;
        match response.status_code.code() {
            408 | 503 => Err(refused(&response)),
            _ => Ok(()),
        }
    }

    /// Registers at a server: for how many seconds it did.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn register(
        &self,
        server: &Located,
        registering: &Registering,
    ) -> Result<u32, AskError> {
        bounded(REGISTER_WITHIN, register(&self.shared, server, registering)).await
    }
}

async fn bounded<T>(
    within: Duration,
    work: impl Future<Output = Result<T, AskError>>,
) -> Result<T, AskError> {
    tokio::time::timeout(within, work).await.unwrap_or(Err(AskError::Silent))
}

async fn register(
    shared: &Arc<Shared>,
    server: &Located,
    registering: &Registering,
) -> Result<u32, AskError> {
    let Registering { domain, credentials, contact, call_id, sequence, .. } = registering;
    let call = CallId(call_id.clone());
    let (mut expires, mut sequence) = (registering.expires, *sequence);
    let mut proof: Option<Proof> = None;
    let contact = shared.contact(contact, server.transport);
    // Once as it is, once with a proof, and once more where its nonce was old or the time too short.
    for _ in 0..3 {
        let registrar = uri(&format!("sip:{domain}"))?;
        let address = uri(&format!("sip:{}@{domain}", credentials.user))?;
        let mut headers = vec![
            Header::Contact(format!("<{contact}>;expires={expires}").into()),
            Header::Expires(expires.to_string().into()),
            allow(shared),
        ];
        headers.extend(proof.as_ref().map(|it| it.header("REGISTER", &registrar.to_string())));
        let head = Head::outside(Method::Register, registrar, address.clone(), address);
        let response = ask(shared, server, head, (&call, sequence), headers).await?;
        sequence += 1;
        match response.status_code.code() {
            200..=299 => return Ok(granted(&response, &contact, expires)),
            401 | 407 => {
                let challenge = Challenge::of(&response);
                if proof.is_some() && !challenge.is_stale() {
                    return Err(AskError::WrongPassword);
                }
                let new = Proof::new(challenge, credentials.clone());
                proof = Some(new.ok_or(AskError::UnknownChallenge)?);
            }
            423 => {
                let least = response.headers.iter().find_map(|header| match header {
                    Header::MinExpires(least) => least.value().trim().parse::<u32>().ok(),
                    _ => None,
                });
                let least = least.filter(|it| *it > expires && *it <= MAX_EXPIRES);
                expires = least.ok_or_else(|| refused(&response))?;
            }
            _ => return Err(refused(&response)),
        }
    }
    Err(AskError::WrongPassword)
}

/// For how long we are registered (RFC 3261 section 10.3, step 8).
fn granted(response: &Response, contact: &Uri, asked: u32) -> u32 {
    let contacts = response.typed_contact_headers().unwrap_or_default();
    let ours = contacts.iter().take(MAX_CONTACTS).find(|it| it.uri.user() == contact.user());
    let expires = ours.and_then(|it| it.expires()).or_else(|| {
        response.headers.iter().find_map(|header| match header {
            Header::Expires(expires) => expires.value().trim().parse().ok(),
            _ => None,
        })
    });
    expires.unwrap_or(asked).min(MAX_EXPIRES)
}

fn refused(response: &Response) -> AskError {
    let words = response.status_code.to_string();
    let code = response.status_code.code();
    let words = words.trim_start_matches(&code.to_string()).trim();
    let words = words.chars().filter(|it| !it.is_control()).take(MAX_WORDS).collect();
    AskError::Refused { status: code, words }
}

fn uri(text: &str) -> Result<Uri, AskError> {
    Uri::try_from(text).map_err(|_| AskError::Silent)
}

/// The lines that say what is asked of whom.
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) from: typed::From,
    pub(super) to: typed::To,
}

impl Head {
    /// Outside of any call, where nobody has answered yet.
    fn outside(method: Method, uri: Uri, from: Uri, to: Uri) -> Self {
        let from = Uri { params: Vec::new(), ..from };
        let from = typed::From { display_name: None, uri: from, params: Vec::new() };
        let to = typed::To { display_name: None, uri: to, params: Vec::new() };
        Self { method, uri, from: from.with_tag(make_tag()), to }
    }
}

/// One request to its final response. Its transaction ends with its caller's patience.
async fn ask(
    shared: &Arc<Shared>,
    server: &Located,
    head: Head,
    (call, sequence): (&CallId, u32),
    more: Vec<Header>,
) -> Result<Response, AskError> {
    let Located { transport, address, host } = server;
    if !shared.can_dial(*transport) {
        debug!(to = %address, %transport, "a request is not sent: its transport is switched off");
        return Err(AskError::Silent);
    }
    if let Err(error) = stream::connected(shared, *transport, *address, host).await {
        debug!(to = %address, %transport, %error, "a request is not sent");
        return Err(AskError::Silent);
    }
    let request = request(shared, server, head, (call, sequence), more);
    exchange(shared, server, request).await.ok_or(AskError::Silent)
}

/// Sends a request where a stream is open if one is needed, and waits for its final response.
pub(super) async fn exchange(
    shared: &Shared,
    server: &Located,
    request: Request,
) -> Option<Response> {
    let unsent = |error: &rsipstack::Error| {
        debug!(to = %server.address, transport = %server.transport, %error, "a request is not sent");
    };
    let key = TransactionKey::from_request(&request, TransactionRole::Client);
    let key = key.inspect_err(unsent).ok()?;
    let mut transaction = Transaction::new_client(key, request, shared.endpoint.clone(), None);
    transaction.destination = Some(server.transport.sip_addr(server.address));
    transaction.send().await.inspect_err(unsent).ok()?;
    while let Some(message) = transaction.receive().await {
        if let SipMessage::Response(response) = message
            && response.status_code.code() >= 200
        {
            return Some(response);
        }
    }
    None
}

/// A request as we write it.
pub(super) fn request(
    shared: &Shared,
    server: &Located,
    head: Head,
    (call, seq): (&CallId, u32),
    more: Vec<Header>,
) -> Request {
    let Head { method, uri, from, to } = head;
    let us = shared.contact("plenum", server.transport).host_with_port;
    let via = typed::Via {
        version: rsipstack::sip::Version::V2,
        transport: server.transport.wire(),
        uri: us.into(),
        params: vec![make_via_branch(), rsipstack::sip::Param::Rport(None)],
    };
    let id = Some(call.as_str().to_owned().into());
    let mut request = shared.endpoint.make_request(method, uri, via, from, to, seq, id);
    for header in more {
        request.headers.push(header);
    }
    request
}

/// An address as it stands in a URI.
pub(super) fn in_uri(ip: IpAddr) -> String {
    Host::IpAddr(ip).to_string()
}
