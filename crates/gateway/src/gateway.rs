//! All legs of this program.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use conference::Conference;
use conference::access::{Limiter, Rate};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::leg::{self, MediaRules};
use crate::sip::{Incoming, IncomingCall, SipConfig, SipEndpoint, SipStats, StartError, Transport};

/// How long all calls together may take to end.
const FAREWELL: Duration = Duration::from_secs(3);
/// Wrong PINs of one address: a few at once, then one in a minute.
const PIN_FAILURES: Rate = Rate { burst: 10, interval: Duration::from_secs(60) };
/// Addresses whose wrong PINs are remembered.
const PIN_ADDRESSES: usize = 10_000;

/// How room systems are served.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Signalling.
    pub sip: SipConfig,
    /// Addresses at which our media ports are reached; of these each leg is told one of its own
    /// family.
    pub announced: Vec<IpAddr>,
    /// What is agreed to.
    pub media: MediaRules,
}

/// The running gateway.
pub struct Gateway {
    endpoint: SipEndpoint,
    shared: Arc<Shared>,
}

/// What all legs share.
pub(crate) struct Shared {
    pub(crate) conference: Conference,
    pub(crate) media: MediaRules,
    pub(crate) stop: CancellationToken,
    announced: Vec<IpAddr>,
    pin_failures: Mutex<Limiter>,
    legs: TaskTracker,
}

impl Gateway {
    /// Listens for calls, and lets them into the conference's meetings.
    ///
    /// # Errors
    /// [`StartError`]: nothing listens then.
    pub async fn start(config: GatewayConfig, conference: Conference) -> Result<Self, StartError> {
        let (endpoint, calls) = SipEndpoint::start(config.sip).await?;
        let shared = Arc::new(Shared {
            conference,
            media: config.media,
            announced: config.announced,
            stop: CancellationToken::new(),
            pin_failures: Mutex::new(Limiter::new(PIN_FAILURES, PIN_ADDRESSES)),
            legs: TaskTracker::new(),
        });
        tokio::spawn(accept(shared.clone(), calls));
        Ok(Self { endpoint, shared })
    }

    /// The addresses that are listened on.
    pub fn local_addrs(&self) -> &[(Transport, SocketAddr)] {
        self.endpoint.local_addrs()
    }

    /// Counters of the signalling.
    pub fn stats(&self) -> SipStats {
        self.endpoint.stats()
    }

    /// Hangs every call up and stops listening.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        self.shared.legs.close();
        if tokio::time::timeout(FAREWELL, self.shared.legs.wait()).await.is_err() {
            tracing::warn!("some calls did not end in time");
        }
        self.endpoint.shutdown();
    }
}

impl Shared {
    /// Our address for a peer.
    pub(crate) fn announced_for(&self, peer: SocketAddr) -> IpAddr {
        let same = |it: &&IpAddr| it.is_ipv4() == peer.is_ipv4();
        let found = self.announced.iter().find(same).or(self.announced.first());
        found.copied().unwrap_or(IpAddr::from([127, 0, 0, 1]))
    }

    /// Whether this address has guessed wrong too often of late.
    pub(crate) fn may_try_pin(&self, source: IpAddr) -> bool {
        self.limiter().check(source, Instant::now()).is_ok()
    }

    pub(crate) fn note_wrong_pin(&self, source: IpAddr) {
        metrics::counter!("plenum_sip_wrong_pins_total").increment(1);
        self.limiter().charge(source, Instant::now());
    }

    fn limiter(&self) -> std::sync::MutexGuard<'_, Limiter> {
        self.pin_failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(shared: Arc<Shared>, mut calls: mpsc::Receiver<Incoming>) {
    while let Some(Incoming::Call(call)) = calls.recv().await {
        let span = span(&call);
        let leg = leg::answer(shared.clone(), call).instrument(span);
        shared.legs.spawn(leg);
    }
}

fn span(call: &IncomingCall) -> tracing::Span {
    let id = call.id().map(ToString::to_string).unwrap_or_default();
    tracing::info_span!("leg", call = %id, source = %call.source)
}
