//! A shard without its thread and sockets: commands, datagrams and time go in, datagrams come out.

mod leg_figures;
mod legs;
mod untouched;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rtp::lane::MediaPacket;
use types::{Codec, PeerId, TrackId};

use crate::command::{CloseReason, Command, PeerEvent, PeerEvents};
use crate::core::{Due, Holding, KeyFrameRequest, Router, SinkId, TrackLevel, Wanted};
use crate::stun;
use crate::transport::webrtc::{Out, Session, Side, Transport};

pub use legs::LegTransmit;

/// Addresses that one peer may send from at a time: candidates of some networks, IPv4 and IPv6.
const MAX_ADDRESSES: usize = 16;

/// A datagram to send.
#[derive(Debug, PartialEq, Eq)]
pub struct Transmit {
    /// What carries it.
    pub transport: Transport,
    /// Where to.
    pub destination: SocketAddr,
    /// All of it.
    pub contents: Vec<u8>,
}

/// What a shard has counted since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardCounters {
    /// RTP packets that publishers sent.
    pub packets_in: u64,
    /// RTP packets that went to receivers.
    pub packets_out: u64,
    /// Datagrams that belonged to nobody, or that nobody could read.
    pub strays: u64,
    /// Packets that were dropped because a lane was full, on the way to or from the `mcu`.
    pub lanes_dropped: u64,
    /// RTP packets that came from room systems.
    pub legs_received: u64,
    /// RTP packets that were lost on the way from room systems.
    pub legs_lost: u64,
    /// RTP packets that were lost on the way to room systems, by their own reports.
    pub legs_lost_there: u64,
}

/// One shard's state.
pub struct Shard {
    /// Our address, as candidates name it.
    local: SocketAddr,
    /// That of the TCP port.
    local_tcp: Option<SocketAddr>,
    router: Router,
    peers: HashMap<PeerId, Peer>,
    legs: legs::Legs,
    by_address: HashMap<Path, (PeerId, Side)>,
    by_ufrag: HashMap<String, (PeerId, Side)>,
    timeouts: BTreeSet<(Instant, PeerId)>,
    dirty: Vec<PeerId>,
    transmits: VecDeque<Transmit>,
    counters: ShardCounters,
}

struct Peer {
    session: Box<Session>,
    events: Box<dyn PeerEvents>,
    timeout: Option<Instant>,
    dirty: bool,
    addresses: VecDeque<Path>,
}

/// How a client is reached. The same address over UDP and TCP may be two clients of one network.
type Path = (Transport, SocketAddr);

impl Shard {
    /// A shard that clients reach at `local`, and over TCP at `local_tcp` if at all.
    pub fn new(local: SocketAddr, local_tcp: Option<SocketAddr>, now: Instant) -> Self {
        Self {
            local,
            local_tcp,
            router: Router::new(now),
            peers: HashMap::new(),
            legs: legs::Legs::default(),
            by_address: HashMap::new(),
            by_ufrag: HashMap::new(),
            timeouts: BTreeSet::new(),
            dirty: Vec::new(),
            transmits: VecDeque::new(),
            counters: ShardCounters::default(),
        }
    }

    /// What was counted so far.
    pub fn counters(&self) -> ShardCounters {
        let lanes_dropped = self.counters.lanes_dropped + self.router.lanes_dropped();
        ShardCounters { lanes_dropped, ..self.counters }
    }

    /// Carries out a command. [`Command::Stop`] closes every peer.
    pub fn handle_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::AddPeer { peer, session, events } => self.add_peer(peer, session, events),
            Command::RemovePeer(peer) => self.remove_peer(peer, CloseReason::Removed, now),
            Command::Offer { peer, id, offer } => {
                self.with_session(peer, |session| session.handle_offer(id, offer));
                self.learn_ufrags(peer);
            }
            Command::Answer { peer, answer } => {
                self.with_session(peer, |session| session.handle_answer(answer));
                self.learn_ufrags(peer);
            }
            Command::RestartIce(peer) => self.with_session(peer, Session::restart_ice),
            Command::Publish { peer, publication } => {
                let (track, kind) = (publication.track, publication.kind);
                self.router.publish(track, peer, kind, &publication.layers);
                self.with_session(peer, |session| session.publish(publication));
            }
            Command::Unpublish(track) => self.unpublish(track),
            Command::Subscribe { peer, track, kind, label } => {
                self.router.subscribe(track, peer, Wanted::default(), now);
                self.with_session(peer, |session| session.carry(track, kind, label));
            }
            Command::Unsubscribe { peer, track } => {
                self.router.unsubscribe(track, SinkId::Peer(peer));
                self.with_session(peer, |session| session.drop_carried(track));
            }
            Command::SetWanted { peer, track, enabled, wanted } => {
                self.router.set_wanted(track, SinkId::Peer(peer), enabled, wanted, now);
            }
            Command::SetGate { track, open } => self.router.set_gate(track, open, now),
            Command::SendData { peer, channel, message } => {
                self.with_session(peer, |session| session.send_data(channel, message));
            }
            Command::AddLeg { .. }
            | Command::UpdateLeg { .. }
            | Command::PublishLeg { .. }
            | Command::FeedLeg { .. }
            | Command::FeedLegTrack { .. }
            | Command::EndLegTrack(_)
            | Command::LegLostTrack(_)
            | Command::SetOrigin { .. }
            | Command::AskLegForKeyFrame(_)
            | Command::Tap { .. }
            | Command::Untap { .. }
            | Command::SetTapWanted { .. }
            | Command::AskTapForKeyFrame { .. } => self.handle_leg_command(command, now),
            Command::Stop => {
                let peers: Vec<PeerId> = self.peers.keys().copied().collect();
                for peer in peers.into_iter().chain(self.leg_ids()) {
                    self.remove_peer(peer, CloseReason::Removed, now);
                }
            }
        }
    }

    /// Whether one of the sessions has this ICE user fragment.
    pub fn knows(&self, ufrag: &str) -> bool {
        self.by_ufrag.contains_key(ufrag)
    }

    /// Takes a datagram from the network. `false`: it is nobody's.
    pub fn handle_datagram(
        &mut self,
        transport: Transport,
        source: SocketAddr,
        contents: &[u8],
        now: Instant,
    ) -> bool {
        let path = (transport, source);
        let local = match transport {
            Transport::Udp => self.local,
            Transport::Tcp => self.local_tcp.unwrap_or(self.local),
        };
        let known = self.by_address.get(&path).copied();
        let named = || {
            let ufrag = stun::request_ufrag(contents)?;
            self.by_ufrag.get(ufrag).copied()
        };
        let named = named();
        for (peer, side) in [known, named].into_iter().flatten() {
            let Some(entry) = self.peers.get_mut(&peer) else { continue };
            if !entry.session.receive(side, transport, source, local, contents, now) {
                continue;
            }
            if known != Some((peer, side)) {
                self.learn_path(peer, side, path);
            }
            self.poll_peer(peer, now);
            return true;
        }
        self.counters.strays += 1;
        false
    }

    /// When to call [`Shard::handle_timeout`] next.
    pub fn timeout(&self) -> Option<Instant> {
        let peers = self.timeouts.first().map(|it| it.0);
        [peers, self.router.timeout()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, peer)) = self.timeouts.first().copied().filter(|it| it.0 <= now) {
            self.timeouts.remove(&(at, peer));
            if let Some(entry) = self.peers.get_mut(&peer) {
                entry.timeout = None;
                entry.session.handle_timeout(now);
                self.poll_peer(peer, now);
            } else {
                self.leg_timeout(peer, now);
            }
        }
        if self.router.timeout().is_some_and(|at| at <= now) {
            let Due { key_frames, levels, holdings } = self.router.handle_timeout(now);
            for KeyFrameRequest { publisher, track, layer } in key_frames {
                tracing::trace!(peer = %publisher, %track, layer, "a key frame is asked for");
                if !self.ask_leg_track(publisher, track, now) {
                    self.with_session(publisher, |it| it.request_key_frame(track, layer));
                }
            }
            for TrackLevel { publisher, track, dbov } in levels {
                if let Some(peer) = self.peers.get_mut(&publisher) {
                    peer.events.event(publisher, PeerEvent::Level { track, dbov });
                } else {
                    self.tell_leg(publisher, PeerEvent::Level { track, dbov });
                }
            }
            for Holding { receiver, track, held } in holdings {
                let Some(peer) = self.peers.get_mut(&receiver) else { continue };
                if let Some(label) = peer.session.label(track).cloned() {
                    peer.events.event(receiver, PeerEvent::PictureHeld { label, held });
                }
            }
        }
    }

    /// Ends a batch of inputs: drains the peers that were written to, wakes the lanes' readers.
    pub fn flush(&mut self, now: Instant) {
        while let Some(peer) = self.dirty.pop() {
            if self.is_leg(peer) {
                self.poll_leg(peer, now);
            } else {
                self.poll_peer(peer, now);
            }
        }
        self.end_unfit();
        self.router.flush_lanes();
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    fn add_peer(&mut self, peer: PeerId, session: Box<Session>, events: Box<dyn PeerEvents>) {
        if let Some(bandwidth) = session.bandwidth() {
            self.router.set_budget(peer, bandwidth.bits());
        }
        let entry =
            Peer { session, events, timeout: None, dirty: false, addresses: VecDeque::new() };
        self.peers.insert(peer, entry);
        self.learn_ufrags(peer);
        self.mark_dirty(peer);
    }

    /// Names change when the client restarts ICE; the old ones stay valid until the peer leaves.
    fn learn_ufrags(&mut self, peer: PeerId) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            for (ufrag, side) in entry.session.ufrags() {
                self.by_ufrag.insert(ufrag, (peer, side));
            }
        }
    }

    fn learn_path(&mut self, peer: PeerId, side: Side, path: Path) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if entry.addresses.len() >= MAX_ADDRESSES
            && let Some(oldest) = entry.addresses.pop_front()
        {
            self.by_address.remove(&oldest);
        }
        entry.addresses.push_back(path);
        self.by_address.insert(path, (peer, side));
    }

    fn with_session(&mut self, peer: PeerId, act: impl FnOnce(&mut Session)) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            act(&mut entry.session);
            self.mark_dirty(peer);
        }
    }

    fn mark_dirty(&mut self, peer: PeerId) {
        let marked = match self.peers.get_mut(&peer) {
            Some(entry) => std::mem::replace(&mut entry.dirty, true),
            None => self.dirty.last() == Some(&peer),
        };
        if !marked {
            self.dirty.push(peer);
        }
    }

    fn unpublish(&mut self, track: TrackId) {
        let sinks = self.router.unpublish(track);
        self.forget_origin(track);
        self.drop_carried(track, &sinks);
        for entry in self.peers.values_mut() {
            entry.session.unpublish(track);
        }
    }

    fn drop_carried(&mut self, track: TrackId, sinks: &[SinkId]) {
        for sink in sinks {
            if let SinkId::Peer(receiver) = sink {
                self.with_session(*receiver, |session| session.drop_carried(track));
            }
        }
    }

    fn remove_peer(&mut self, peer: PeerId, reason: CloseReason, now: Instant) {
        let Some(mut entry) = self.peers.remove(&peer) else {
            return self.remove_leg(peer, reason, now);
        };
        entry.session.close();
        let mut polled = Polled::new(&mut self.transmits);
        entry.session.poll(now, &mut polled);
        entry.events.event(peer, PeerEvent::Closed(reason));
        if let Some(at) = entry.timeout {
            self.timeouts.remove(&(at, peer));
        }
        self.by_ufrag.retain(|_, it| it.0 != peer);
        self.by_address.retain(|_, it| it.0 != peer);
        for (track, sinks) in self.router.remove_peer(peer) {
            self.drop_carried(track, &sinks);
        }
    }

    /// Drains a peer and forwards what it sent.
    fn poll_peer(&mut self, peer: PeerId, now: Instant) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.dirty = false;
        let mut polled = Polled::new(&mut self.transmits);
        let timeout = entry.session.poll(now, &mut polled);
        let Polled { packets, key_frames, ready, events, .. } = polled;
        if entry.timeout != Some(timeout) {
            if let Some(at) = entry.timeout.replace(timeout) {
                self.timeouts.remove(&(at, peer));
            }
            self.timeouts.insert((timeout, peer));
        }
        let mut closed = (!entry.session.is_alive()).then_some(CloseReason::Lost);
        for event in events {
            match event {
                PeerEvent::Closed(reason) => closed = Some(reason),
                event => entry.events.event(peer, event),
            }
        }
        for track in ready {
            tracing::trace!(%peer, %track, "can be sent from now on");
            self.router.start(track, peer, now);
        }
        for track in key_frames {
            tracing::trace!(%peer, %track, "a receiver asks for a key frame");
            self.router.want_key_frame(track, SinkId::Peer(peer), now);
        }
        for Received { track, layer, packet, codec, redundant } in packets {
            self.forward_with(track, layer, &packet, codec, redundant.as_ref());
        }
        if let Some(reason) = closed {
            self.remove_peer(peer, reason, now);
        }
    }

    fn forward(&mut self, track: TrackId, layer: u8, packet: &MediaPacket, codec: Codec) {
        self.forward_with(track, layer, packet, codec, None);
    }

    /// Forwards a packet; with older frames in it, as it came, to whoever reads such.
    fn forward_with(
        &mut self,
        track: TrackId,
        layer: u8,
        packet: &MediaPacket,
        codec: Codec,
        redundant: Option<&Arc<[u8]>>,
    ) {
        self.counters.packets_in += 1;
        let Self { router, peers, legs, dirty, counters, .. } = self;
        router.forward(track, layer, packet, codec, &mut |receiver, outgoing| {
            let Some(entry) = peers.get_mut(&receiver) else {
                if legs.send_untouched(receiver, &outgoing) {
                    counters.packets_out += 1;
                    // A burst is sent by one drain.
                    if dirty.last() != Some(&receiver) {
                        dirty.push(receiver);
                    }
                }
                return;
            };
            entry.session.send(&outgoing, redundant);
            counters.packets_out += 1;
            if !std::mem::replace(&mut entry.dirty, true) {
                dirty.push(receiver);
            }
        });
    }
}

/// A packet that a client sent.
struct Received {
    track: TrackId,
    layer: u8,
    packet: MediaPacket,
    codec: Codec,
    redundant: Option<Arc<[u8]>>,
}

/// Gathers what one session gives.
struct Polled<'a> {
    transmits: &'a mut VecDeque<Transmit>,
    packets: Vec<Received>,
    key_frames: Vec<TrackId>,
    ready: Vec<TrackId>,
    events: Vec<PeerEvent>,
}

impl<'a> Polled<'a> {
    fn new(transmits: &'a mut VecDeque<Transmit>) -> Self {
        Self {
            transmits,
            packets: Vec::new(),
            key_frames: Vec::new(),
            ready: Vec::new(),
            events: Vec::new(),
        }
    }
}

impl Out for Polled<'_> {
    fn transmit(&mut self, transport: Transport, destination: SocketAddr, contents: Vec<u8>) {
        self.transmits.push_back(Transmit { transport, destination, contents });
    }

    fn packet(
        &mut self,
        track: TrackId,
        layer: u8,
        packet: MediaPacket,
        codec: Codec,
        redundant: Option<Arc<[u8]>>,
    ) {
        self.packets.push(Received { track, layer, packet, codec, redundant });
    }

    fn key_frame_wanted(&mut self, track: TrackId) {
        self.key_frames.push(track);
    }

    fn track_ready(&mut self, track: TrackId) {
        self.ready.push(track);
    }

    fn event(&mut self, event: PeerEvent) {
        self.events.push(event);
    }
}
