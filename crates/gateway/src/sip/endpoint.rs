//! The endpoint: listens, and holds what all calls share.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use conference::telephony::Ladder;
use rsipstack::EndpointBuilder;
use rsipstack::dialog::DialogId;
use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::sip::{Auth, Host, Param, Scheme, Uri};
use rsipstack::transaction::TransactionReceiver;
use rsipstack::transaction::endpoint::{EndpointInnerRef, EndpointOption};
use rsipstack::transport::udp::UdpConnection;
use rsipstack::transport::{SipConnection, TransportLayer};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::core::CallCore;
use super::error::StartError;
use super::incoming::Incoming;
use super::ladder::Inspector;
use super::limit::{Limiter, RateLimit, Shares};
use super::locate::Locator;
use super::nat::ByFlow;
use super::register::{Flow, Register};
use super::stats::{Counters, SipStats};
use super::subscribe::Watcher;
use super::{Transport, dispatch, ingress, stream};

/// What keeps a way open (RFC 5626 section 4.4.1).
pub(super) const KEEP_ALIVE: &[u8] = b"\r\n\r\n";

/// Calls that wait to be taken by the owner of the endpoint; more are refused with 503.
const INCOMING: usize = 64;

/// How often is looked for calls that are over.
const LADDERS_EVERY: Duration = Duration::from_secs(1);

/// A source may send this many times its request limit in packets: ACKs, answers, keep-alives.
const PACKETS_PER_REQUEST: u32 = 10;

/// A source may send this many times its request limit inside calls that it has.
const KNOWN_PER_REQUEST: u32 = 4;

/// Certificates for SIP over TLS.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// For peers that call us. A resolver inside it may reload the certificate.
    pub server: Arc<rustls::ServerConfig>,
    /// For calls of ours; without it none go over TLS.
    pub client: Option<Arc<rustls::ClientConfig>>,
    /// For calls of ours to single hosts, by their names in small letters, instead of that.
    pub hosts: HashMap<String, Arc<rustls::ClientConfig>>,
}

impl TlsConfig {
    /// For a call of ours to this host; `None`: none goes there over TLS.
    pub(super) fn client_for(&self, host: &str) -> Option<Arc<rustls::ClientConfig>> {
        self.hosts.get(&host.to_ascii_lowercase()).or(self.client.as_ref()).cloned()
    }
}

/// How much is taken on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Requests outside of calls, for each source: an IPv4 address, or of IPv6 its /64.
    pub requests: RateLimit,
    /// Calls at once, both ways.
    pub calls: usize,
    /// Streams at once.
    pub streams: usize,
    /// Streams at once of one source: an IPv4 address, or of IPv6 its /64.
    pub streams_per_source: usize,
    /// How long a peer may say nothing at all to a call of ours.
    pub no_answer: Duration,
    /// How long a call of ours may ring.
    pub ringing: Duration,
    /// How long a message and its answer are thought to take at least (T1 of RFC 3261): what is not
    /// answered is sent again after it, and given up after [`Self::transaction`].
    pub round_trip: Duration,
    /// How often something is sent over a way that is kept open, so that a NAT on it stays so
    /// (RFC 5626 section 4.4).
    pub keep_alive: Duration,
}

impl Limits {
    /// How long an answer, or its ACK, may take.
    #[must_use]
    pub fn transaction(&self) -> Duration {
        self.round_trip * 64
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: RateLimit { per_second: 50, burst: 100 },
            calls: 1000,
            streams: 2048,
            streams_per_source: 64,
            // Four retransmissions over UDP (0.5, 1.5, 3.5, 7.5 s).
            no_answer: Duration::from_secs(8),
            ringing: Duration::from_secs(90),
            round_trip: Duration::from_millis(500),
            keep_alive: Duration::from_secs(25),
        }
    }
}

/// What the endpoint listens on and calls itself.
#[derive(Debug, Clone)]
pub struct SipConfig {
    /// Addresses for datagrams.
    pub udp: Vec<SocketAddr>,
    /// Addresses for streams in the clear.
    pub tcp: Vec<SocketAddr>,
    /// Addresses for streams under TLS.
    pub tls: Vec<SocketAddr>,
    /// Certificates; needed when `tls` is not empty.
    pub certificates: Option<TlsConfig>,
    /// What stands in `User-Agent`.
    pub user_agent: String,
    /// The address that peers can reach; needed when only wildcards are listened on.
    pub announced: Option<IpAddr>,
    /// Who is asked about names; empty: the system's name servers.
    pub name_servers: Vec<SocketAddr>,
    /// Names that calls may be made to. Empty: any name, as every call ends here anyhow.
    pub domains: Vec<String>,
    /// Whether calls may be handed on by peers: REFER and `Replaces` are refused otherwise.
    pub transfers: bool,
    /// Who keeps what registers; without it nobody can.
    pub registers: Option<mpsc::Sender<Register>>,
    /// Who keeps what was said in calls; without it nothing is written down.
    pub ladders: Option<mpsc::Sender<Ladder>>,
    /// How much is taken on.
    pub limits: Limits,
}

impl Default for SipConfig {
    fn default() -> Self {
        Self {
            udp: Vec::new(),
            tcp: Vec::new(),
            tls: Vec::new(),
            certificates: None,
            user_agent: concat!("Plenum/", env!("CARGO_PKG_VERSION")).to_owned(),
            announced: None,
            name_servers: Vec::new(),
            domains: Vec::new(),
            transfers: false,
            registers: None,
            ladders: None,
            limits: Limits::default(),
        }
    }
}

/// What all calls share.
pub(super) struct Shared {
    pub(super) endpoint: EndpointInnerRef,
    pub(super) dialogs: Arc<DialogLayer>,
    pub(super) limits: Limits,
    pub(super) counters: Arc<Counters>,
    pub(super) stop: CancellationToken,
    pub(super) incoming: mpsc::Sender<Incoming>,
    pub(super) registers: Option<mpsc::Sender<Register>>,
    pub(super) transfers: bool,
    pub(super) tls: Option<TlsConfig>,
    pub(super) locator: Locator,
    pub(super) packets: Mutex<Limiter>,
    pub(super) requests: Mutex<Limiter>,
    pub(super) known_requests: Mutex<Limiter>,
    announced: IpAddr,
    ports: Ports,
    sockets: Vec<Arc<UdpSocket>>,
    local: Vec<(Transport, SocketAddr)>,
    domains: Vec<String>,
    calls: Mutex<HashMap<DialogId, Arc<CallCore>>>,
    pub(super) streams: Arc<Shares>,
    open: Mutex<HashMap<Flow, Option<String>>>,
    by_flow: Mutex<ByFlow>,
    watchers: Mutex<HashMap<DialogId, Arc<Watcher>>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Ports {
    udp: Option<u16>,
    tcp: Option<u16>,
    tls: Option<u16>,
}

impl Shared {
    pub(super) fn calls(&self) -> MutexGuard<'_, HashMap<DialogId, Arc<CallCore>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The streams that are open; those of ours with the name that they were opened by.
    pub(super) fn open(&self) -> MutexGuard<'_, HashMap<Flow, Option<String>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who has subscribed to conferences, by the dialogs.
    pub(super) fn watchers(&self) -> MutexGuard<'_, HashMap<DialogId, Arc<Watcher>>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn by_flow(&self) -> MutexGuard<'_, ByFlow> {
        self.by_flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a peer can still be reached the way that it came. Of datagrams nobody knows.
    pub(super) fn is_open(&self, flow: &Flow) -> bool {
        flow.transport == Transport::Udp || self.open().contains_key(flow)
    }

    /// Whether calls of ours can go over a transport.
    pub(super) fn can_dial(&self, transport: Transport) -> bool {
        match transport {
            Transport::Udp => self.ports.udp.is_some(),
            Transport::Tcp => true,
            Transport::Tls => self.tls.as_ref().is_some_and(|it| it.client.is_some()),
        }
    }

    /// Our own address as a URI. The user part never repeats what was dialled, which may hold
    /// a PIN.
    pub(super) fn contact(&self, user: &str, transport: Transport) -> Uri {
        let port = match transport {
            Transport::Udp => self.ports.udp,
            Transport::Tcp => self.ports.tcp,
            Transport::Tls => self.ports.tls,
        };
        let params = match transport {
            Transport::Udp => Vec::new(),
            stream => vec![Param::Transport(stream.wire())],
        };
        let mut host_with_port = rsipstack::sip::HostWithPort::from(self.announced);
        host_with_port.port = port.map(Into::into);
        Uri {
            scheme: Some(Scheme::Sip),
            auth: Some(Auth { user: user.to_owned(), password: None }),
            host_with_port,
            params,
            headers: Vec::new(),
        }
    }

    /// Whether a request is for us. Nothing is ever relayed.
    pub(super) fn is_ours(&self, uri: &Uri) -> bool {
        let any = matches!(uri.host(), Host::Domain(_)) && self.domains.is_empty();
        any || self.is_named(uri)
    }

    /// Whether a host is an address or a name of ours.
    pub(super) fn is_named(&self, uri: &Uri) -> bool {
        match uri.host() {
            Host::IpAddr(ip) => {
                *ip == self.announced
                    || self
                        .local
                        .iter()
                        .any(|(_, local)| local.ip() == *ip || local.ip().is_unspecified())
            }
            Host::Domain(domain) => {
                self.domains.iter().any(|ours| ours.eq_ignore_ascii_case(&domain.0))
            }
        }
    }
}

/// A running SIP endpoint. Dropped, it stops; hang the calls up before.
pub struct SipEndpoint {
    pub(super) shared: Arc<Shared>,
}

impl std::fmt::Debug for SipEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SipEndpoint").field("local", &self.shared.local).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Bound {
    udp: Vec<(Arc<UdpSocket>, SipConnection)>,
    tcp: Vec<TcpListener>,
    tls: Vec<TcpListener>,
}

impl SipEndpoint {
    /// Listens on every address of the configuration. Calls come out of the receiver; while
    /// nobody takes them they are refused.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left open then.
    pub async fn start(config: SipConfig) -> Result<(Self, mpsc::Receiver<Incoming>), StartError> {
        let announced = announced(&config)?;
        let acceptor = match (&config.certificates, config.tls.is_empty()) {
            (Some(tls), _) => Some(TlsAcceptor::from(tls.server.clone())),
            (None, true) => None,
            (None, false) => return Err(StartError::NoCertificate),
        };
        let bound = bind(&config, announced).await?;
        let stop = CancellationToken::new();
        let layer = TransportLayer::new(stop.child_token());
        for (_, connection) in &bound.udp {
            layer.add_transport(connection.clone());
        }
        if bound.udp.is_empty() {
            layer.add_transport(unused_udp(announced, &bound).await?);
        }
        let mut builder = EndpointBuilder::new();
        builder
            .with_transport_layer(layer)
            .with_cancel_token(stop.child_token())
            .with_user_agent(&config.user_agent)
            .with_option(EndpointOption {
                t1: config.limits.round_trip,
                t1x64: config.limits.transaction(),
                ..EndpointOption::default()
            });
        if let Some(keeper) = config.ladders {
            let inspector = Inspector::new(announced, bound.local());
            builder.with_inspector(Box::new(inspector.clone()));
            tokio::spawn(hand_over(inspector, keeper, stop.child_token()));
        }
        let library = builder.build();
        let transactions =
            library.incoming_transactions().map_err(|error| StartError::Stack(error.into()))?;
        let (incoming, receiver) = mpsc::channel(INCOMING);
        let requests = config.limits.requests;
        let shared = Arc::new(Shared {
            dialogs: Arc::new(DialogLayer::new(library.inner.clone())),
            endpoint: library.inner.clone(),
            counters: Arc::default(),
            stop,
            incoming,
            registers: config.registers,
            transfers: config.transfers,
            tls: config.certificates,
            locator: Locator::new(&config.name_servers),
            packets: Mutex::new(Limiter::new(requests.times(PACKETS_PER_REQUEST))),
            requests: Mutex::new(Limiter::new(requests)),
            known_requests: Mutex::new(Limiter::new(requests.times(KNOWN_PER_REQUEST))),
            announced,
            ports: bound.ports(),
            sockets: bound.udp.iter().map(|(socket, _)| socket.clone()).collect(),
            local: bound.local(),
            limits: config.limits,
            domains: config.domains,
            calls: Mutex::default(),
            streams: Arc::default(),
            open: Mutex::default(),
            by_flow: Mutex::default(),
            watchers: Mutex::default(),
        });
        run(&shared, bound, acceptor, transactions);
        Ok((Self { shared }, receiver))
    }

    /// The addresses that are listened on.
    #[must_use]
    pub fn local_addrs(&self) -> &[(Transport, SocketAddr)] {
        &self.shared.local
    }

    /// Whether a peer can still be reached the way that it came. Of datagrams nobody knows.
    #[must_use]
    pub fn is_open(&self, flow: &Flow) -> bool {
        self.shared.is_open(flow)
    }

    /// Whether calls may be handed on by peers.
    #[must_use]
    pub fn hands_on(&self) -> bool {
        self.shared.transfers
    }

    /// How often [`Self::keep_open`] is to be called.
    #[must_use]
    pub fn keep_alive(&self) -> Duration {
        self.shared.limits.keep_alive
    }

    /// Keeps a way over datagrams open. Streams of ours keep themselves open.
    pub fn keep_open(&self, transport: Transport, peer: SocketAddr) {
        if transport != Transport::Udp {
            return;
        }
        let of_its_kind = |socket: &&Arc<UdpSocket>| {
            socket.local_addr().is_ok_and(|it| it.is_ipv4() == peer.is_ipv4())
        };
        if let Some(socket) = self.shared.sockets.iter().find(of_its_kind) {
            // One that is lost is followed by the next.
            let _ = socket.try_send_to(KEEP_ALIVE, peer);
        }
    }

    /// Counters for the metrics.
    #[must_use]
    pub fn stats(&self) -> SipStats {
        self.shared.counters.snapshot()
    }

    /// Stops listening and closes every stream. Hang the calls up before.
    pub fn shutdown(&self) {
        self.shared.stop.cancel();
    }
}

impl Drop for SipEndpoint {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// Gives calls that are over to who keeps them; when the endpoint stops, all.
async fn hand_over(inspector: Inspector, keeper: mpsc::Sender<Ladder>, stop: CancellationToken) {
    loop {
        let stopped = tokio::time::timeout(LADDERS_EVERY, stop.cancelled()).await.is_ok();
        let over = match stopped {
            true => inspector.ladders().take_all(Instant::now()),
            false => inspector.ladders().take_over(Instant::now()),
        };
        for ladder in over {
            // Where the database is slow this waits: what is written down meanwhile is bounded.
            if keeper.send(ladder).await.is_err() {
                return;
            }
        }
        if stopped {
            return;
        }
    }
}

fn run(
    shared: &Arc<Shared>,
    bound: Bound,
    acceptor: Option<TlsAcceptor>,
    transactions: TransactionReceiver,
) {
    let library = shared.endpoint.clone();
    tokio::spawn(async move {
        if let Err(error) = library.serve().await {
            tracing::error!(%error, "the SIP library has stopped");
        }
    });
    tokio::spawn(dispatch::serve(shared.clone(), transactions));
    for (socket, connection) in bound.udp {
        tokio::spawn(ingress::serve_udp(shared.clone(), socket, connection));
    }
    for listener in bound.tcp {
        tokio::spawn(stream::serve_listener(shared.clone(), listener, None));
    }
    for listener in bound.tls {
        tokio::spawn(stream::serve_listener(shared.clone(), listener, acceptor.clone()));
    }
}

fn announced(config: &SipConfig) -> Result<IpAddr, StartError> {
    let mut all = config.udp.iter().chain(&config.tcp).chain(&config.tls).peekable();
    if all.peek().is_none() {
        return Err(StartError::NoListener);
    }
    config
        .announced
        .or_else(|| all.map(SocketAddr::ip).find(|ip| !ip.is_unspecified()))
        .ok_or(StartError::NoAnnouncedAddress)
}

async fn bind(config: &SipConfig, announced: IpAddr) -> Result<Bound, StartError> {
    let mut bound = Bound::default();
    for &address in &config.udp {
        let failed = failed(Transport::Udp, address);
        let socket = Arc::new(UdpSocket::bind(address).await.map_err(&failed)?);
        let external = SocketAddr::new(announced, socket.local_addr().map_err(&failed)?.port());
        let connection = library_udp(socket.clone(), external).await?;
        bound.udp.push((socket, connection));
    }
    for (transport, addresses) in [(Transport::Tcp, &config.tcp), (Transport::Tls, &config.tls)] {
        for &address in addresses {
            let listener = TcpListener::bind(address).await.map_err(failed(transport, address))?;
            match transport {
                Transport::Tls => bound.tls.push(listener),
                _ => bound.tcp.push(listener),
            }
        }
    }
    Ok(bound)
}

fn failed(transport: Transport, address: SocketAddr) -> impl Fn(io::Error) -> StartError {
    move |source| StartError::Bind { transport, address, source }
}

/// The library's view of a UDP socket: it sends on it, and never reads, as its token is spent.
async fn library_udp(
    socket: Arc<UdpSocket>,
    external: SocketAddr,
) -> Result<SipConnection, StartError> {
    let spent = CancellationToken::new();
    spent.cancel();
    UdpConnection::from_socket(socket, Some(external), Some(spent))
        .await
        .map(SipConnection::from)
        .map_err(|error| StartError::Stack(error.into()))
}

/// The library takes its own address out of a UDP socket, and so needs one where we have none.
async fn unused_udp(announced: IpAddr, bound: &Bound) -> Result<SipConnection, StartError> {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let socket = UdpSocket::bind(address).await.map_err(failed(Transport::Udp, address))?;
    let ports = bound.ports();
    let port = ports.tcp.or(ports.tls).unwrap_or_default();
    library_udp(Arc::new(socket), SocketAddr::new(announced, port)).await
}

impl Bound {
    fn local(&self) -> Vec<(Transport, SocketAddr)> {
        let udp = self.udp.iter().map(|(socket, _)| (Transport::Udp, socket.local_addr()));
        let tcp = self.tcp.iter().map(|listener| (Transport::Tcp, listener.local_addr()));
        let tls = self.tls.iter().map(|listener| (Transport::Tls, listener.local_addr()));
        udp.chain(tcp)
            .chain(tls)
            .filter_map(|(transport, address)| Some((transport, address.ok()?)))
            .collect()
    }

    fn ports(&self) -> Ports {
        let local = self.local();
        let port = |wanted| {
            local.iter().find(|(transport, _)| *transport == wanted).map(|(_, at)| at.port())
        };
        Ports { udp: port(Transport::Udp), tcp: port(Transport::Tcp), tls: port(Transport::Tls) }
    }
}
