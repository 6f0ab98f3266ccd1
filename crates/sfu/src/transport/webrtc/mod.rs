//! Browsers and apps: one or two str0m peer connections each. No other module sees `str0m`.

pub(in crate::transport) mod capture;
mod data;
mod media;
mod negotiate;
pub(crate) mod sdp_text;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtp::lane::MediaPacket;
use str0m::change::SdpPendingOffer;
use str0m::media::Mid;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, IceConnectionState, Input, Rtc};
use types::{Bandwidth, Codec, TrackId};

use crate::command::{CloseReason, NetworkFigures, PeerEvent, TrackLabel};
use capture::SenderClock;
use data::Channels;
use media::{Carried, Ingress, Published};

pub use negotiate::{Answer, NegotiationError, Offer};

/// Round-trip and loss figures are taken this often.
const STATS_INTERVAL: Duration = Duration::from_secs(5);

/// How often sound's sender reports go out. The first one goes before the first packet and says
/// nothing: until the next one receivers cannot play sound in step with its picture.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// How often a client is told how much it may send: a message may be lost.
const BOUND_INTERVAL: Duration = Duration::from_secs(1);

/// How many peer connections the client makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// One, on which the client always offers (LiveKit's v1).
    Single,
    /// One to publish on, where the client offers, and one to receive on, where we offer (v0).
    Dual,
}

/// Where a session can be reached.
#[derive(Clone, Debug, Default)]
pub struct Reachable {
    /// The shard's UDP addresses as clients see them.
    pub udp: Vec<SocketAddr>,
    /// The ICE-over-TCP acceptor's addresses as clients see them.
    pub tcp: Vec<SocketAddr>,
}

/// Which of a session's connections something belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The only one, or the one that the client publishes on.
    Publisher,
    /// The one that the client receives on.
    Subscriber,
}

/// One participant's WebRTC transport. Sans-IO: datagrams and time go in, [`Out`] comes out.
pub struct Session {
    publisher: Rtc,
    subscriber: Option<Rtc>,
    published: Vec<Published>,
    carried: Vec<Carried>,
    /// Some carried track was not told as ready yet.
    some_unready: bool,
    ingress: HashMap<u32, Ingress>,
    clock: SenderClock,
    bound: Option<Bound>,
    channels: Channels,
    negotiation: Negotiation,
    connected: [bool; 2],
    announced_connected: bool,
    events: Vec<PeerEvent>,
}

/// How much a client may send, and when it is told next.
#[derive(Clone, Copy)]
struct Bound {
    bandwidth: Bandwidth,
    next: Option<Instant>,
}

/// Where the negotiations stand.
#[derive(Default)]
struct Negotiation {
    /// The client has offered at least once.
    offered: bool,
    /// The client was asked to offer again and has not yet.
    asked: bool,
    /// Subscriptions changed since our last offer (`Connections::Dual`).
    dirty: bool,
    /// Our next offer restarts ICE (`Connections::Dual`).
    restart: bool,
    pending: Option<SdpPendingOffer>,
    next_offer: u32,
    /// Sections to be offered as stopped (`Connections::Dual`).
    stopped: Vec<Mid>,
    /// Sections whose track ended since the client's last offer (`Connections::Single`).
    resting: Vec<Mid>,
    /// The last answer let sections rest: they are free at the next offer.
    rested: bool,
}

/// What a session gives when it is polled.
pub trait Out {
    /// A datagram to send.
    fn transmit(&mut self, transport: Transport, destination: SocketAddr, contents: Vec<u8>);
    /// A packet that the client sent, and how it came if it came with older frames in it
    /// (RFC 2198).
    fn packet(
        &mut self,
        track: TrackId,
        layer: u8,
        packet: MediaPacket,
        codec: Codec,
        redundant: Option<Arc<[u8]>>,
    );
    /// The client lost the picture of a track that it receives.
    fn key_frame_wanted(&mut self, track: TrackId);
    /// A carried track can be sent from now on: its section is agreed on and the connection stands.
    fn track_ready(&mut self, track: TrackId);
    /// Something that the outside hears of.
    fn event(&mut self, event: PeerEvent);
}

/// What carries a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// UDP.
    Udp,
    /// ICE over TCP, framed by RFC 4571.
    Tcp,
}

impl Session {
    /// Makes a session, certificate included: about a millisecond of work, so not on a shard.
    pub fn new(connections: Connections, reachable: &Reachable, now: Instant) -> Self {
        let subscriber = (connections == Connections::Dual).then(|| connection(reachable, now));
        let mut session = Self {
            publisher: connection(reachable, now),
            subscriber,
            published: Vec::new(),
            carried: Vec::new(),
            some_unready: false,
            ingress: HashMap::new(),
            clock: SenderClock::default(),
            bound: None,
            channels: Channels::default(),
            negotiation: Negotiation::default(),
            connected: [false; 2],
            announced_connected: false,
            events: Vec::new(),
        };
        session.negotiation.dirty = session.subscriber.is_some();
        session
    }

    /// The client may send, and is sent, so much. It is told by what every browser obeys.
    #[must_use]
    pub fn bounded(self, bandwidth: Bandwidth) -> Self {
        Self { bound: Some(Bound { bandwidth, next: None }), ..self }
    }

    /// How much the client may be sent, if that is bounded.
    pub fn bandwidth(&self) -> Option<Bandwidth> {
        Some(self.bound?.bandwidth)
    }

    /// How the client knows a track that it gets.
    pub fn label(&self, track: TrackId) -> Option<&TrackLabel> {
        self.carried.iter().find(|it| it.track == track).map(|it| &it.label)
    }

    /// The ICE user fragments by which STUN requests name this session's connections.
    pub fn ufrags(&mut self) -> Vec<(String, Side)> {
        [Side::Publisher, Side::Subscriber]
            .into_iter()
            .filter_map(|side| {
                Some((self.side(side)?.direct_api().local_ice_credentials().ufrag, side))
            })
            .collect()
    }

    /// Gives a datagram to one of the connections. `false`: it is not for it.
    pub fn receive(
        &mut self,
        side: Side,
        transport: Transport,
        source: SocketAddr,
        destination: SocketAddr,
        contents: &[u8],
        now: Instant,
    ) -> bool {
        let Some(rtc) = self.side(side) else { return false };
        let Ok(contents) = contents.try_into() else { return false };
        let proto = match transport {
            Transport::Udp => Protocol::Udp,
            Transport::Tcp => Protocol::Tcp,
        };
        let input = Input::Receive(now, Receive { proto, source, destination, contents });
        if !rtc.accepts(&input) {
            return false;
        }
        if let Err(error) = rtc.handle_input(input) {
            tracing::debug!(%error, "the connection failed");
            rtc.disconnect();
        }
        true
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        for rtc in [Some(&mut self.publisher), self.subscriber.as_mut()].into_iter().flatten() {
            if let Err(error) = rtc.handle_input(Input::Timeout(now)) {
                tracing::debug!(%error, "the connection failed");
                rtc.disconnect();
            }
        }
    }

    /// Drains everything that is to be done now; when to call [`Session::handle_timeout`] next.
    /// Has to be called after every input, before the next one.
    pub fn poll(&mut self, now: Instant, out: &mut dyn Out) -> Instant {
        self.offer_if_due();
        self.bound_if_due(now);
        let mut timeout = now + Duration::from_secs(1);
        for side in [Side::Publisher, Side::Subscriber] {
            timeout = timeout.min(self.drain(side, now, out));
        }
        self.tell_ready(out);
        for event in self.events.drain(..) {
            out.event(event);
        }
        timeout
    }

    /// Whether the session can still do something.
    pub fn is_alive(&self) -> bool {
        self.publisher.is_alive() && self.subscriber.as_ref().is_none_or(Rtc::is_alive)
    }

    /// Says goodbye to the client; drain once more afterwards.
    pub fn close(&mut self) {
        for rtc in [Some(&mut self.publisher), self.subscriber.as_mut()].into_iter().flatten() {
            if let Err(error) = rtc.close() {
                tracing::debug!(%error, "closing");
            }
        }
    }

    fn side(&mut self, side: Side) -> Option<&mut Rtc> {
        match side {
            Side::Publisher => Some(&mut self.publisher),
            Side::Subscriber => self.subscriber.as_mut(),
        }
    }

    /// The connection that carries media and data to the client.
    fn outward(&mut self) -> &mut Rtc {
        self.subscriber.as_mut().unwrap_or(&mut self.publisher)
    }

    fn drain(&mut self, side: Side, now: Instant, out: &mut dyn Out) -> Instant {
        let far = now + Duration::from_secs(1);
        loop {
            let Some(rtc) = self.side(side) else { return far };
            match rtc.poll_output() {
                Ok(str0m::Output::Timeout(at)) => return at,
                Ok(str0m::Output::Transmit(transmit)) => {
                    let transport = match transmit.proto {
                        Protocol::Udp => Transport::Udp,
                        _ => Transport::Tcp,
                    };
                    out.transmit(transport, transmit.destination, transmit.contents.into());
                }
                Ok(str0m::Output::Event(event)) => self.handle_event(side, event, now, out),
                Err(error) => {
                    tracing::debug!(%error, "the connection failed");
                    rtc.disconnect();
                    self.events.push(PeerEvent::Closed(CloseReason::Lost));
                    return far;
                }
            }
        }
    }

    /// Says once of each carried track that it can be sent.
    fn tell_ready(&mut self, out: &mut dyn Out) {
        let [publisher, subscriber] = self.connected;
        let connected = if self.subscriber.is_some() { subscriber } else { publisher };
        if !self.some_unready || !connected {
            return;
        }
        let rtc = self.subscriber.as_ref().unwrap_or(&self.publisher);
        for carried in self.carried.iter_mut().filter(|it| !it.ready) {
            let media = carried.mid.and_then(|mid| rtc.media(mid));
            if media.is_some_and(|it| !it.remote_pts().is_empty()) {
                carried.ready = true;
                out.track_ready(carried.track);
            }
        }
        self.some_unready = self.carried.iter().any(|it| !it.ready);
    }

    fn handle_event(&mut self, side: Side, event: Event, now: Instant, out: &mut dyn Out) {
        match event {
            Event::RtpPacket(packet) => self.handle_packet(&packet, now, out),
            Event::KeyframeRequest(request) => {
                if let Some(track) = self.track_of_mid(request.mid) {
                    out.key_frame_wanted(track);
                }
            }
            Event::SenderFeedback(feedback) => self.handle_sender_report(&feedback),
            Event::Connected => self.handle_connected(side),
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.events.push(PeerEvent::Closed(CloseReason::Lost));
            }
            Event::Closed => self.events.push(PeerEvent::Closed(CloseReason::ByPeer)),
            Event::ChannelOpen(id, label) => self.handle_channel_open(side, id, &label),
            Event::ChannelData(data) => self.handle_channel_data(data),
            Event::ChannelBufferedAmountLow(_) => self.flush_data(),
            Event::PeerStats(stats) if side == self.figures_side() => {
                self.events.push(PeerEvent::Network(NetworkFigures {
                    egress_loss: stats.egress_loss_fraction.unwrap_or_default(),
                    ingress_loss: stats.ingress_loss_fraction.unwrap_or_default(),
                    rtt_ms: stats.rtt.map(|rtt| rtt.as_millis() as u32),
                    ..NetworkFigures::default()
                }));
            }
            _ => {}
        }
    }

    fn figures_side(&self) -> Side {
        if self.subscriber.is_some() { Side::Subscriber } else { Side::Publisher }
    }

    /// The participant counts as connected with its first connection: in v0 a listener connects
    /// only the one that receives, and media may flow on either.
    fn handle_connected(&mut self, side: Side) {
        if let Some(connected) = self.connected.get_mut(usize::from(side == Side::Subscriber)) {
            *connected = true;
        }
        if !std::mem::replace(&mut self.announced_connected, true) {
            self.events.push(PeerEvent::Connected);
        }
    }
}

/// A peer connection of ours: RTP mode, ICE-lite, host candidates alone.
fn connection(reachable: &Reachable, now: Instant) -> Rtc {
    let mut rtc = Rtc::builder()
        .set_rtp_mode(true)
        .set_ice_lite(true)
        .set_stats_interval(Some(STATS_INTERVAL))
        .set_rtcp_report_interval_audio(REPORT_INTERVAL)
        .enable_av1(true)
        .enable_opus(true, true)
        .build(now);
    let udp = reachable.udp.iter().map(|addr| Candidate::host(*addr, "udp"));
    let tcp = reachable.tcp.iter().map(|addr| {
        Candidate::builder().tcp().host(*addr).tcptype(str0m::net::TcpType::Passive).build()
    });
    for candidate in udp.chain(tcp) {
        match candidate {
            Ok(candidate) => {
                rtc.add_local_candidate(candidate);
            }
            Err(error) => tracing::warn!(%error, "an address cannot be a candidate"),
        }
    }
    rtc
}

/// Makes the process ready to encrypt. Called once at start.
pub fn init_crypto() {
    str0m::crypto::from_feature_flags().install_process_default();
}
