//! Calls that go out.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use conference::random_id;
use conference::telephony::CallAddress;
use rsipstack::dialog::invitation::{InviteAsyncResult, InviteOption};
use rsipstack::sip::event_packages::percent_decode;
use rsipstack::sip::typed::Route;
use rsipstack::sip::uri::ParamsExt;
use rsipstack::sip::{Header, Host, Scheme, Uri};
use rsipstack::transport::SipAddr;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{Instrument, debug, info};
use types::without_pin;

use super::call::{Call, CallEvent, CallHandle, FailureKind};
use super::core::{CallCore, Peer, Stage};
use super::dispatch::capabilities;
use super::endpoint::{Shared, SipEndpoint};
use super::error::{CallId, DialError};
use super::incoming::CONTACT_USER;
use super::locate::{LocateError, Located};
use super::proof::Proof;
use super::register::Flow;
use super::request::in_uri;
use super::session_timer::{DEFAULT_SE, MIN_SE, SessionExpires};
use super::stats::{Counters, Slot};
use super::{Transport, stream};

/// How often the deadlines of a ringing call are looked at.
const TICK: Duration = Duration::from_millis(100);

/// The longest address that is dialled, in bytes.
const MAX_ADDRESS: usize = 512;

/// A call to be made. Its `Debug` has neither keys nor PINs in it.
#[derive(Clone)]
pub struct Dial {
    /// The address: `sip:` or `sips:`, or without a scheme `user@host`.
    pub to: String,
    /// Our user part in `From`, such as the meeting's id.
    pub from: String,
    /// The name that the peer shows.
    pub display_name: Option<String>,
    /// The SDP offer.
    pub offer: Vec<u8>,
    /// Over what; without it as the address says, and then UDP.
    pub transport: Option<Transport>,
    /// The way to somebody who registered; without it the way is found by the address.
    pub flow: Option<Flow>,
    /// Proxies on that way, as they named themselves.
    pub route: Vec<String>,
    /// Who is sent the request, `host` or `host:port`, whomever the address names.
    pub next_hop: Option<Hop>,
    /// How long nothing at all may be heard; without it as long as the endpoint's limits say.
    pub no_answer: Option<Duration>,
    /// The call that is made again, where its refusal said how.
    pub again: Option<CallId>,
    /// Who we are, where that was asked.
    pub proof: Option<Proof>,
    /// The session interval that is asked for, in seconds.
    pub interval: u32,
    /// The call of the peer's in whose place this one comes (RFC 3891), as whoever has sent us there
    /// wrote it.
    pub replaces: Option<String>,
}

impl Dial {
    /// A call to an address, by its own way.
    #[must_use]
    pub fn new(to: String, from: String, offer: Vec<u8>) -> Self {
        Self {
            to,
            from,
            display_name: None,
            offer,
            transport: None,
            flow: None,
            route: Vec::new(),
            next_hop: None,
            no_answer: None,
            again: None,
            proof: None,
            interval: DEFAULT_SE,
            replaces: None,
        }
    }
}

impl std::fmt::Debug for Dial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dial")
            .field("to", &without_pin(&self.to))
            .field("transport", &self.transport)
            .field("flow", &self.flow)
            .field("next_hop", &self.next_hop)
            .field("proof", &self.proof)
            .finish_non_exhaustive()
    }
}

/// Where a call goes, read from what a person typed.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// The whole address. Not for logs: it may hold a PIN.
    pub address: String,
    /// The user part; empty where there is none.
    pub user: String,
    /// The host: a name or an address.
    pub host: String,
    /// Whether nobody between can read the signalling on the first hop.
    pub secure: bool,
    /// The way to a device that registered.
    pub flow: Option<Flow>,
    /// Proxies on that way.
    pub route: Vec<String>,
    /// The device's name.
    pub name: Option<String>,
    /// The other server that the call goes over.
    pub hop: Option<Hop>,
    /// The call there in whose place this one comes. Not for logs.
    pub replaces: Option<String>,
}

/// Another server that calls go over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    pub host: String,
    /// Its port; without it the transport's own.
    pub port: Option<u16>,
    /// Over what.
    pub transport: Transport,
    /// By which name it was found, where `host` is the address that this led to.
    pub name: Option<String>,
}

impl Hop {
    /// Reads a proxy's address: `host`, `host:port` or a whole `sip:` one with its transport.
    ///
    /// # Errors
    /// [`DialError::BadAddress`].
    pub fn read(address: &str) -> Result<Self, DialError> {
        let uri = parse(address)?;
        Ok(hop_of(&uri, transport_of(&uri)))
    }

    /// As it stands in an address.
    #[must_use]
    pub fn address(&self) -> String {
        let Self { host, port, .. } = self;
        port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
    }
}

impl Target {
    /// Reads an address: `sip:` or `sips:`, or without a scheme `user@host`.
    ///
    /// # Errors
    /// [`DialError::BadAddress`].
    pub fn read(address: &str) -> Result<Self, DialError> {
        let uri = parse(address)?;
        Ok(Self {
            address: uri.to_string(),
            user: uri.user().unwrap_or_default().to_owned(),
            host: uri.host().to_string(),
            secure: transport_of(&uri) == Transport::Tls,
            flow: None,
            route: Vec::new(),
            name: None,
            hop: None,
            replaces: None,
        })
    }

    /// Whoever is called so at another server: a user of it, or an address that it knows the way to.
    ///
    /// # Errors
    /// [`DialError::BadAddress`].
    pub fn over(hop: Hop, called: &CallAddress) -> Result<Self, DialError> {
        let target = match called.host() {
            Some(_) => Self::read(called.as_str())?,
            None => Self::read(&format!("sip:{}@{}", called.user(), hop.address()))?,
        };
        Ok(Self { secure: hop.transport == Transport::Tls, hop: Some(hop), ..target })
    }

    /// A device that registered with this contact, the way that it came, by what people call it.
    ///
    /// # Errors
    /// [`DialError::BadAddress`]: the contact is none that could be called.
    pub fn registered(
        contact: &str,
        flow: Flow,
        route: &[String],
        extension: &str,
        name: &str,
    ) -> Result<Self, DialError> {
        let target = Self::read(contact)?;
        Ok(Self {
            user: extension.to_owned(),
            secure: flow.transport == Transport::Tls,
            flow: Some(flow),
            route: route.to_vec(),
            name: Some(name.to_owned()),
            ..target
        })
    }

    /// The same over a proxy.
    #[must_use]
    pub fn by(self, proxy: Hop) -> Self {
        Self { secure: proxy.transport == Transport::Tls, hop: Some(proxy), ..self }
    }

    /// The same by this server.
    fn at(&self, server: Located) -> Self {
        let Located { transport, address, host } = server;
        let hop = Hop {
            host: in_uri(address.ip()),
            port: Some(address.port()),
            transport,
            name: Some(host),
        };
        Self { secure: transport == Transport::Tls, hop: Some(hop), ..self.clone() }
    }

    /// By which server it is called, where that is known by its address.
    #[must_use]
    pub fn server(&self) -> Option<(Transport, SocketAddr)> {
        let hop = self.hop.as_ref()?;
        let ip = hop.host.trim_matches(['[', ']']).parse().ok()?;
        Some((hop.transport, SocketAddr::new(ip, hop.port?)))
    }

    /// The peer's address, where it is known before its name is looked up.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        if let Some(flow) = self.flow {
            return Some(flow.peer.ip());
        }
        let host = self.hop.as_ref().map_or(&self.host, |it| &it.host);
        host.trim_matches(['[', ']']).parse().ok()
    }

    /// The address as it may be shown and logged.
    #[must_use]
    pub fn shown(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        match without_pin(&self.user) {
            "" => self.host.clone(),
            user => format!("{user}@{}", self.host),
        }
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Target").field(&self.shown()).finish()
    }
}

/// What an address is reached over (RFC 3261 section 19.1.1).
pub(super) fn transport_of(uri: &Uri) -> Transport {
    match (uri.transport(), &uri.scheme) {
        (Some(rsipstack::sip::Transport::Tls), _) | (_, Some(Scheme::Sips)) => Transport::Tls,
        (Some(rsipstack::sip::Transport::Tcp), _) => Transport::Tcp,
        _ => Transport::Udp,
    }
}

impl SipEndpoint {
    /// The servers by which a target is called, in the order in which they are to be tried, each as a
    /// target with its address (RFC 3263).
    ///
    /// # Errors
    /// [`LocateError`].
    pub async fn locate(&self, target: &Target) -> Result<Vec<Target>, LocateError> {
        if target.flow.is_some() {
            return Ok(vec![target.clone()]);
        }
        let located = match &target.hop {
            Some(Hop { host, port, transport, .. }) => {
                self.servers(host, *port, Some(*transport)).await?
            }
            None => {
                let Ok(uri) = parse(&target.address) else {
                    return Err(LocateError::NoSuchName(target.host.clone()));
                };
                let named = uri.transport().is_some() || uri.scheme == Some(Scheme::Sips);
                let transport = named.then(|| transport_of(&uri));
                let port = uri.host_with_port.port.as_ref().map(|port| port.value());
                self.servers(&target.host, port, transport).await?
            }
        };
        Ok(located.into_iter().map(|it| target.at(it)).collect())
    }

    /// The servers of a host.
    ///
    /// # Errors
    /// [`LocateError`].
    pub async fn servers(
        &self,
        host: &str,
        port: Option<u16>,
        transport: Option<Transport>,
    ) -> Result<Vec<Located>, LocateError> {
        let shared = &self.shared;
        shared.locator.locate(host, port, transport, |it| shared.can_dial(it)).await
    }

    /// Calls an address. The outcome comes as events of the call: [`CallEvent::Ringing`], then
    /// [`CallEvent::Answered`] or [`CallEvent::Failed`].
    ///
    /// # Errors
    /// [`DialError`], before anything is sent.
    pub async fn dial(&self, dial: Dial) -> Result<Call, DialError> {
        let shared = &self.shared;
        let uri = parse(&dial.to)?;
        let wanted = dial.flow.map(|it| it.transport).or(dial.transport);
        let transport = wanted.unwrap_or_else(|| transport_of(&uri));
        if !shared.can_dial(transport) {
            return Err(DialError::NoTransport(transport));
        }
        let active: fn(&Counters) -> &AtomicUsize = |counters| &counters.active_calls;
        let slot = Slot::take(&shared.counters, active, shared.limits.calls)
            .ok_or(DialError::TooManyCalls)?;
        let destination = match (dial.flow, &dial.next_hop) {
            (Some(flow), _) => shared.is_open(&flow).then(|| transport.sip_addr(flow.peer)),
            (None, Some(hop)) => destination(shared, hop).await,
            (None, None) => destination(shared, &hop_of(&uri, transport)).await,
        };
        let no_answer = dial.no_answer.unwrap_or(shared.limits.no_answer);
        let offer = dial.offer.clone();
        let way = destination.as_ref().and_then(|it| SocketAddr::try_from(it.addr.clone()).ok());
        let peer = Peer {
            remote_cseq: 0,
            flow: way.map(|peer| Flow { transport, peer }),
            credentials: dial.proof.as_ref().map(|it| it.credentials.clone()),
        };
        let by_flow = dial.flow.filter(|it| it.transport == Transport::Udp);
        let options = options(shared, dial, uri, transport, destination.clone());
        let (states, watched) = shared.dialogs.new_dialog_state_channel();
        let user = options.callee.user().map(without_pin).unwrap_or_default().to_owned();
        let Some(destination) = destination else {
            // The library is not asked to try: a name that is not known is a call that failed.
            let (dialog, _) = shared
                .dialogs
                .create_client_invite_dialog(options, states)
                .map_err(|_| DialError::BadAddress)?;
            let (core, events) = CallCore::new(shared.clone(), dialog, slot, peer);
            core.finish(Some(CallEvent::Failed(FailureKind::Unreachable)));
            return Ok(Call { handle: CallHandle { core }, events });
        };
        if let (Some(flow), Some(call)) = (by_flow, &options.call_id) {
            shared.by_flow().insert(call.clone(), flow.peer);
        }
        let call = options.call_id.clone().unwrap_or_default();
        let begun = shared.dialogs.do_invite_async(options, states).map_err(|_| {
            shared.by_flow().remove(&call);
            DialError::BadAddress
        });
        let (dialog, invite) = begun?;
        let (core, events) = CallCore::new(shared.clone(), dialog, slot, peer);
        core.set_local_sdp(offer);
        info!(parent: &core.span, %destination, %transport, user, "calling");
        tokio::spawn(core.clone().watch(watched));
        let span = core.span.clone();
        tokio::spawn(attend(core.clone(), invite, no_answer).instrument(span));
        Ok(Call { handle: CallHandle { core }, events })
    }
}

/// Reads an address that a person may have typed.
fn parse(address: &str) -> Result<Uri, DialError> {
    let address = address.trim();
    let clean = address.len() <= MAX_ADDRESS
        && !address.is_empty()
        && !address.chars().any(|c| c.is_control() || c.is_whitespace() || "<>\"".contains(c));
    if !clean {
        return Err(DialError::BadAddress);
    }
    let scheme = address.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    let whole = match scheme.as_deref() {
        Some("sip" | "sips") => address.to_owned(),
        _ => format!("sip:{address}"),
    };
    let mut uri = Uri::try_from(whole).map_err(|_| DialError::BadAddress)?;
    // The library escapes a user whenever it writes one, and leaves one that it reads as it is.
    if let Some(auth) = &mut uri.auth {
        auth.user = percent_decode(&auth.user);
        if auth.user.contains(char::is_control) {
            return Err(DialError::BadAddress);
        }
    }
    let named = match uri.host() {
        Host::IpAddr(_) => true,
        Host::Domain(domain) => {
            !domain.0.is_empty()
                && domain.0.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        }
    };
    // Headers in a URI would become headers of ours; and what looks like a password is another
    // scheme, or one that must not travel in the clear (RFC 3261 section 19.1.1).
    let password = uri.auth.as_ref().is_some_and(|auth| auth.password.is_some());
    if named && !password && uri.headers.is_empty() { Ok(uri) } else { Err(DialError::BadAddress) }
}

/// What an address names as the next server.
fn hop_of(uri: &Uri, transport: Transport) -> Hop {
    Hop {
        host: uri.host().to_string(),
        port: uri.host_with_port.port.as_ref().map(|port| port.value()),
        transport,
        name: None,
    }
}

/// Finds the next server and, for a stream, opens it.
async fn destination(shared: &Arc<Shared>, hop: &Hop) -> Option<SipAddr> {
    let Hop { host, port, transport, name } = hop;
    let can = |it| shared.can_dial(it);
    let located = shared.locator.locate(host, *port, Some(*transport), can).await;
    let located = located.inspect_err(|error| info!(%error, "nobody to call"));
    let address = located.ok()?.first()?.address;
    let host = name.as_deref().unwrap_or(host).trim_matches(['[', ']']);
    if let Err(error) = stream::connected(shared, *transport, address, host).await {
        info!(%address, %transport, %error, "no stream to the peer");
        return None;
    }
    Some(transport.sip_addr(address))
}

fn options(
    shared: &Shared,
    dial: Dial,
    callee: Uri,
    transport: Transport,
    destination: Option<SipAddr>,
) -> InviteOption {
    let asked = SessionExpires { seconds: dial.interval, refresher: None };
    let mut headers = capabilities(shared);
    headers.push(Header::SessionExpires(asked.to_string().into()));
    headers.push(Header::MinSE(MIN_SE.to_string().into()));
    headers.extend(dial.replaces.map(|it| Header::Replaces(it.into())));
    headers.extend(dial.proof.as_ref().map(|it| it.header("INVITE", &callee.to_string())));
    let from: String = dial.from.chars().filter(|c| !c.is_control()).collect();
    let name = dial.display_name.map(|name| {
        name.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect::<String>()
    });
    let mut caller = shared.contact(&from, transport);
    caller.params.clear();
    let route = dial.route.iter().filter_map(|it| Route::parse_header_list(it).ok());
    InviteOption {
        caller_display_name: name.filter(|name| !name.is_empty()),
        caller,
        callee,
        destination,
        content_type: Some("application/sdp".to_owned()),
        offer: Some(dial.offer),
        contact: shared.contact(CONTACT_USER, transport),
        headers: Some(headers),
        route_set: route.flatten().collect(),
        // The library's own names its makers. What is made again as the refusal says is the same call
        // (RFC 3261 section 22.2, RFC 4028 section 7.4).
        call_id: Some(dial.again.map_or_else(|| random_id(""), |it| it.0)),
        ..InviteOption::default()
    }
}

/// Follows the INVITE to its final response, and gives up in time.
async fn attend(
    core: Arc<CallCore>,
    mut invite: JoinHandle<InviteAsyncResult>,
    no_answer: Duration,
) {
    let limits = &core.shared.limits;
    let start = Instant::now();
    let mut given_up: Option<Instant> = None;
    loop {
        let tick = tokio::time::sleep(TICK);
        tokio::select! {
            outcome = &mut invite => {
                match outcome {
                    // A call that is over already was put back by the library meanwhile.
                    Ok(Ok((id, _))) if core.stage() == Stage::Over && !core.awaits_advice() => {
                        core.shared.dialogs.remove_dialog(&id);
                    }
                    Ok(Ok((_, Some(response)))) if core.awaits_advice() => {
                        core.advised(&response);
                    }
                    // What the dialog did not say itself: a response that makes no sense, or a
                    // request that could not be built.
                    Ok(Err(error)) => {
                        debug!(%error, "the call failed");
                        core.finish(Some(CallEvent::Failed(FailureKind::Unreachable)));
                    }
                    Ok(Ok(_)) | Err(_) => {}
                }
                return;
            }
            () = tick => {}
        }
        if core.awaits_advice() {
            continue;
        }
        if core.stage() == Stage::Over {
            // The library itself takes back what nobody follows any more.
            invite.abort();
            return;
        }
        let elapsed = start.elapsed();
        if given_up.is_none() {
            if core.is_cancelled() {
                given_up = Some(Instant::now());
            } else if !core.has_provisional() && elapsed >= no_answer {
                core.give_up(FailureKind::Unreachable);
            } else if elapsed >= limits.ringing {
                core.give_up(FailureKind::TimedOut);
            }
        }
        // A peer that does not even answer the CANCEL holds up nobody.
        let silent = given_up.is_some_and(|at| !core.has_provisional() || at.elapsed() > TRANSIT);
        if silent {
            core.finish_given_up();
        }
    }
}

/// How long a peer may take to confirm a CANCEL.
const TRANSIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_a_trunk_a_user_is_the_trunks_and_an_address_is_its_own() {
        let hop = |port, transport| Hop {
            host: "pbx.example.org".to_owned(),
            port,
            transport,
            name: None,
        };
        let over = |hop, called: &str| Target::over(hop, &called.parse().unwrap()).unwrap();
        let city = over(hop(Some(5070), Transport::Tls), "+74951234567");
        assert_eq!(city.address, "sip:+74951234567@pbx.example.org:5070");
        assert!(city.secure && city.ip().is_none());
        let away = over(hop(None, Transport::Tcp), "hall@10.0.0.7:5080");
        assert_eq!(
            (away.address.as_str(), away.shown()),
            ("sip:hall@10.0.0.7:5080", "hall@10.0.0.7".into())
        );
        assert_eq!((away.secure, away.ip()), (false, None), "the way is the trunk's");
    }

    #[test]
    fn addresses_as_people_type_them() {
        assert_eq!(parse(" room@198.51.100.7 ").unwrap().to_string(), "sip:room@198.51.100.7");
        assert_eq!(parse("SIP:room@host:5070;transport=tcp").unwrap().host().to_string(), "host");
        assert_eq!(parse("sips:[2001:db8::1]").unwrap().host().to_string(), "[2001:db8::1]");
        let conference = parse(r"%5Cc%5C7700@host").unwrap();
        assert_eq!(conference.to_string(), "sip:%5Cc%5C7700@host");
        assert_eq!(parse(&conference.to_string()).unwrap().user(), Some(r"\c\7700"));
        let wrong = [
            "",
            "sip:",
            "sip:a b@host",
            "sip:a@host\r\nX: y",
            "sip:a@host?Route=x",
            "sip:a%0D@host",
        ];
        for address in wrong.into_iter().chain(["<sip:a@host>", "sip:a@ho$t", "mailto:a@host"]) {
            assert_eq!(parse(address), Err(DialError::BadAddress), "{address:?}");
        }
    }
}
