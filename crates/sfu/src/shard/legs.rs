//! Room systems' legs on a shard, and the lanes that the `mcu` feeds them and their tracks by.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use rtp::lane::{LaneRx, MediaPacket};
use rtp::payload::audio::Tone;
use types::{Codec, MediaKind, PeerId, TrackId};

use super::Shard;
use super::leg_figures::LegFigures;
use super::untouched::Untouched;
use crate::command::{CloseReason, Command, LegPath, Origin, PeerEvent, PeerEvents};
use crate::core::SinkId;
use crate::transport::plain::{HandshakeError, Leg, LegCounters, LegMedia, LegOut, LegPort};

/// Packets that one reading takes out of one lane: a lane that is filled faster than this is not
/// followed, its packets are dropped where it is full.
const MAX_PACKETS_A_READING: usize = 1024;

/// A datagram that a leg sends.
#[derive(Debug, PartialEq, Eq)]
pub struct LegTransmit {
    /// Whose.
    pub peer: PeerId,
    /// From which of its ports.
    pub port: LegPort,
    /// Where to.
    pub destination: SocketAddr,
    /// All of it.
    pub contents: Vec<u8>,
}

/// All legs of a shard.
#[derive(Default)]
pub(super) struct Legs {
    pub(super) entries: HashMap<PeerId, Entry>,
    pub(super) feeds: HashMap<Fed, Feed>,
    /// Raw tracks that go on as public ones, untouched.
    mirrors: HashMap<TrackId, TrackId>,
    transmits: Vec<LegTransmit>,
    /// Legs whose untouched track turned out not to be for them.
    pub(super) unfit: Vec<PeerId>,
    ended: Vec<PeerId>,
}

pub(super) struct Entry {
    pub(super) leg: Box<Leg>,
    pub(super) events: Box<dyn PeerEvents>,
    /// The track that it gets in place of a lane.
    pub(super) untouched: Option<Untouched>,
    timeout: Option<Instant>,
    tracks: [Option<TrackId>; 2],
    flowing: [Option<Codec>; 2],
    forwardable: Option<bool>,
    counted: Counted,
    figures: LegFigures,
}

/// What of a leg's counters stands in the shard's already.
#[derive(Clone, Copy, Default)]
struct Counted {
    received: u64,
    lost: u64,
    lost_there: u64,
}

/// A lane that the `mcu` fills, and how many of its drops were counted.
pub(super) struct Feed {
    lane: LaneRx,
    dropped: u64,
}

impl Feed {
    fn new(lane: LaneRx) -> Self {
        Self { lane, dropped: 0 }
    }
}

/// What comes out of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fed {
    Leg(PeerId, MediaKind),
    Track(TrackId),
}

impl Legs {
    /// Which leg sends a track, raw or public: a room system's second picture comes by a leg of its
    /// own, while the one that it joined with publishes it.
    fn sender_of(&self, track: TrackId) -> Option<PeerId> {
        let mirrored = self.mirrors.iter().find(|(_, public)| **public == track);
        let raw = mirrored.map_or(track, |(raw, _)| *raw);
        let mut entries = self.entries.iter();
        entries.find(|(_, it)| it.tracks.contains(&Some(raw))).map(|(peer, _)| *peer)
    }
}

impl Entry {
    fn track(&mut self, kind: MediaKind) -> &mut Option<TrackId> {
        let [audio, video] = &mut self.tracks;
        match kind {
            MediaKind::Audio => audio,
            MediaKind::Video => video,
        }
    }

    fn flowing(&mut self, kind: MediaKind) -> &mut Option<Codec> {
        let [audio, video] = &mut self.flowing;
        match kind {
            MediaKind::Audio => audio,
            MediaKind::Video => video,
        }
    }
}

impl Shard {
    /// Takes a datagram that came to a port of a leg.
    pub fn handle_leg_datagram(
        &mut self,
        peer: PeerId,
        port: LegPort,
        source: SocketAddr,
        contents: &[u8],
        now: Instant,
    ) {
        let entry = self.legs.entries.get_mut(&peer);
        if entry.is_some_and(|entry| entry.leg.receive(port, source, contents, now)) {
            self.poll_leg(peer, now);
        } else {
            self.counters.strays += 1;
        }
    }

    /// Datagrams of legs to send, taken out.
    pub fn take_leg_transmits(&mut self) -> Vec<LegTransmit> {
        std::mem::take(&mut self.legs.transmits)
    }

    /// Legs that ended since the last call: their ports can be closed, after what they still sent.
    pub fn take_ended_legs(&mut self) -> Vec<PeerId> {
        std::mem::take(&mut self.legs.ended)
    }

    /// Reads the lanes that the `mcu` fills. To be called when a lane rang.
    pub fn read_lanes(&mut self, now: Instant) {
        let mut read = Vec::new();
        let counters = &mut self.counters;
        self.legs.feeds.retain(|fed, Feed { lane, dropped }| {
            let packets = std::iter::from_fn(|| lane.pop()).take(MAX_PACKETS_A_READING);
            read.extend(packets.map(|packet| (*fed, packet)));
            let now_dropped = lane.stats().dropped;
            counters.lanes_dropped += now_dropped - std::mem::replace(dropped, now_dropped);
            !lane.is_closed()
        });
        for (fed, packet) in read {
            match fed {
                Fed::Leg(peer, kind) => {
                    if let Some(entry) = self.legs.entries.get_mut(&peer) {
                        entry.leg.send(kind, &packet, now);
                        self.counters.packets_out += 1;
                        self.mark_dirty(peer);
                    }
                }
                Fed::Track(track) => {
                    if let Some(codec) = Codec::from_number(packet.format) {
                        self.forward(track, 0, &packet, codec);
                    }
                }
            }
        }
    }

    pub(super) fn handle_leg_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::AddLeg { peer, leg, events } => self.add_leg(peer, leg, events),
            Command::UpdateLeg { peer, media } => self.update_leg(peer, *media, now),
            Command::PublishLeg { peer, kind, track } => self.publish_leg(peer, kind, track),
            Command::FeedLeg { peer, kind, lane } => self.feed_leg(peer, kind, lane, now),
            Command::FeedLegTrack { peer, track, limits } => {
                self.feed_leg_track(peer, track, limits, now);
            }
            Command::EndLegTrack(peer) => self.end_untouched(peer),
            Command::LegLostTrack(peer) => {
                self.ask_untouched(peer, now);
            }
            Command::SetOrigin { track, origin } => self.set_origin(track, origin, now),
            Command::AskLegForKeyFrame(peer) => self.ask_leg(peer, now),
            Command::Tap { track, number, lane, wanted } => {
                self.router.tap(track, number, lane, wanted, now);
            }
            Command::Untap { track, number } => {
                self.router.unsubscribe(track, SinkId::Lane(number));
            }
            Command::SetTapWanted { track, number, enabled, wanted } => {
                self.router.set_wanted(track, SinkId::Lane(number), enabled, wanted, now);
            }
            Command::AskTapForKeyFrame { track, number } => {
                tracing::trace!(%track, number, "a tap asks for a key frame");
                self.router.want_key_frame(track, SinkId::Lane(number), now);
            }
            // The shard handles all others itself.
            _ => {}
        }
    }

    fn add_leg(&mut self, peer: PeerId, leg: Box<Leg>, events: Box<dyn PeerEvents>) {
        let entry = Entry {
            leg,
            events,
            untouched: None,
            timeout: None,
            tracks: [None; 2],
            flowing: [None; 2],
            forwardable: None,
            counted: Counted::default(),
            figures: LegFigures::default(),
        };
        self.legs.entries.insert(peer, entry);
        self.mark_dirty(peer);
    }

    fn update_leg(&mut self, peer: PeerId, media: LegMedia, now: Instant) {
        let Some(entry) = self.legs.entries.get_mut(&peer) else { return };
        entry.flowing = [None; 2];
        if let Err(error) = entry.leg.update(media, now) {
            // Checked when they were negotiated: it cannot go on without them.
            tracing::error!(%peer, %error, "a leg's new keys cannot be used");
            return self.remove_peer(peer, CloseReason::Lost, now);
        }
        self.mark_dirty(peer);
    }

    fn publish_leg(&mut self, peer: PeerId, kind: MediaKind, track: TrackId) {
        let Some(entry) = self.legs.entries.get_mut(&peer) else { return };
        *entry.track(kind) = Some(track);
        *entry.flowing(kind) = None;
        self.router.publish(track, peer, kind, &[]);
        if kind == MediaKind::Video
            && let Some(yes) = entry.forwardable
        {
            entry.events.event(peer, PeerEvent::Forwardable(yes));
        }
    }

    fn feed_leg(&mut self, peer: PeerId, kind: MediaKind, lane: LaneRx, now: Instant) {
        if kind == MediaKind::Video {
            self.end_untouched(peer);
        }
        let Some(entry) = self.legs.entries.get_mut(&peer) else { return };
        entry.leg.restart_egress(kind);
        self.legs.feeds.insert(Fed::Leg(peer, kind), Feed::new(lane));
        // It may hold packets already, for which nobody rings again.
        self.read_lanes(now);
    }

    fn set_origin(&mut self, track: TrackId, origin: Origin, now: Instant) {
        self.forget_origin(track);
        match origin {
            Origin::Track(raw) => {
                self.legs.mirrors.insert(raw, track);
            }
            Origin::Lane(lane) => {
                self.legs.feeds.insert(Fed::Track(track), Feed::new(lane));
            }
        }
        self.router.change_origin(track, now);
        self.read_lanes(now);
    }

    pub(super) fn forget_origin(&mut self, track: TrackId) {
        self.legs.mirrors.retain(|raw, public| *raw != track && *public != track);
        self.legs.feeds.remove(&Fed::Track(track));
    }

    pub(super) fn ask_leg(&mut self, peer: PeerId, now: Instant) {
        if let Some(entry) = self.legs.entries.get_mut(&peer) {
            entry.leg.request_key_frame(now);
            self.mark_dirty(peer);
        }
    }

    /// Whether `peer` is a leg; then its track's key frame is asked of who makes it.
    pub(super) fn ask_leg_track(&mut self, peer: PeerId, track: TrackId, now: Instant) -> bool {
        let Some(entry) = self.legs.entries.get_mut(&peer) else { return false };
        let made = self.legs.feeds.contains_key(&Fed::Track(track));
        if made {
            entry.events.event(peer, PeerEvent::TrackNeedsKeyFrame(track));
        } else {
            let owner = self.legs.sender_of(track).unwrap_or(peer);
            self.ask_leg(owner, now);
        }
        true
    }

    pub(super) fn tell_leg(&mut self, peer: PeerId, event: PeerEvent) {
        if let Some(entry) = self.legs.entries.get_mut(&peer) {
            entry.events.event(peer, event);
        }
    }

    pub(super) fn leg_timeout(&mut self, peer: PeerId, now: Instant) {
        let Some(entry) = self.legs.entries.get_mut(&peer) else { return };
        entry.timeout = None;
        entry.leg.handle_timeout(now);
        if let Some(figures) = entry.figures.take(now, entry.leg.counters()) {
            entry.events.event(peer, PeerEvent::Network(figures));
        }
        self.count_leg(peer);
        self.poll_leg(peer, now);
    }

    /// Carries a leg's counters into the shard's.
    fn count_leg(&mut self, peer: PeerId) {
        let Some(entry) = self.legs.entries.get_mut(&peer) else { return };
        let LegCounters { audio, video } = entry.leg.counters();
        // Duplicates make a loss smaller again: it is not counted down.
        let sum = |a: i64, v: i64| u64::try_from(a.max(0) + v.max(0)).unwrap_or_default();
        let now = Counted {
            received: audio.received + video.received,
            lost: sum(audio.lost, video.lost),
            lost_there: sum(audio.remote_lost.into(), video.remote_lost.into()),
        };
        let before = std::mem::replace(&mut entry.counted, now);
        self.counters.legs_received += now.received.saturating_sub(before.received);
        self.counters.legs_lost += now.lost.saturating_sub(before.lost);
        self.counters.legs_lost_there += now.lost_there.saturating_sub(before.lost_there);
    }

    pub(super) fn is_leg(&self, peer: PeerId) -> bool {
        self.legs.entries.contains_key(&peer)
    }

    pub(super) fn leg_ids(&self) -> Vec<PeerId> {
        self.legs.entries.keys().copied().collect()
    }

    /// Drains a leg and forwards what it sent.
    pub(super) fn poll_leg(&mut self, peer: PeerId, now: Instant) {
        let Some(entry) = self.legs.entries.get_mut(&peer) else { return };
        let mut polled = Polled { peer, transmits: &mut self.legs.transmits, taken: Vec::new() };
        let timeout = entry.leg.poll(now, &mut polled);
        let taken = polled.taken;
        if entry.timeout != Some(timeout) {
            if let Some(at) = entry.timeout.replace(timeout) {
                self.timeouts.remove(&(at, peer));
            }
            self.timeouts.insert((timeout, peer));
        }
        let mut closed = None;
        for taken in taken {
            match taken {
                Taken::BeginsAnew(kind) => self.leg_begins_anew(peer, kind, now),
                Taken::Packet(kind, packet, codec) => self.leg_packet(peer, kind, &packet, codec),
                Taken::Event(PeerEvent::Closed(reason)) => closed = Some(reason),
                Taken::Event(PeerEvent::LegNeedsKeyFrame) if self.ask_untouched(peer, now) => {}
                Taken::Event(event) => self.leg_event(peer, event),
            }
        }
        if let Some(reason) = closed {
            self.remove_peer(peer, reason, now);
        }
    }

    fn leg_event(&mut self, peer: PeerId, event: PeerEvent) {
        let Some(entry) = self.legs.entries.get_mut(&peer) else { return };
        if let PeerEvent::Forwardable(yes) = event {
            entry.forwardable = Some(yes);
        }
        entry.events.event(peer, event);
    }

    /// Receivers go on with the next key frame, by a clock that goes on.
    fn leg_begins_anew(&mut self, peer: PeerId, kind: MediaKind, now: Instant) {
        let track = self.legs.entries.get_mut(&peer).and_then(|entry| *entry.track(kind));
        let Some(track) = track else { return };
        let public = self.legs.mirrors.get(&track).copied();
        for track in [track].into_iter().chain(public) {
            self.router.change_origin(track, now);
        }
    }

    fn leg_packet(&mut self, peer: PeerId, kind: MediaKind, packet: &MediaPacket, codec: Codec) {
        let Some(entry) = self.legs.entries.get_mut(&peer) else { return };
        let Some(track) = *entry.track(kind) else { return };
        if entry.flowing(kind).replace(codec) != Some(codec) {
            entry.events.event(peer, PeerEvent::TrackFlows { track, codec });
        }
        self.forward(track, 0, packet, codec);
        if let Some(public) = self.legs.mirrors.get(&track).copied() {
            self.forward(public, 0, packet, codec);
        }
    }

    pub(super) fn remove_leg(&mut self, peer: PeerId, reason: CloseReason, now: Instant) {
        self.count_leg(peer);
        let Some(mut entry) = self.legs.entries.remove(&peer) else { return };
        entry.leg.close(now);
        let mut polled = Polled { peer, transmits: &mut self.legs.transmits, taken: Vec::new() };
        entry.leg.poll(now, &mut polled);
        entry.events.event(peer, PeerEvent::Closed(reason));
        if let Some(at) = entry.timeout {
            self.timeouts.remove(&(at, peer));
        }
        self.legs.feeds.retain(|fed, _| !matches!(fed, Fed::Leg(leg, _) if *leg == peer));
        self.legs.ended.push(peer);
        for (track, sinks) in self.router.remove_peer(peer) {
            self.forget_origin(track);
            self.drop_carried(track, &sinks);
        }
    }
}

enum Taken {
    BeginsAnew(MediaKind),
    Packet(MediaKind, MediaPacket, Codec),
    Event(PeerEvent),
}

/// Gathers what one leg gives, in order.
struct Polled<'a> {
    peer: PeerId,
    transmits: &'a mut Vec<LegTransmit>,
    taken: Vec<Taken>,
}

impl LegOut for Polled<'_> {
    fn transmit(&mut self, port: LegPort, destination: SocketAddr, contents: &[u8]) {
        let contents = contents.to_vec();
        self.transmits.push(LegTransmit { peer: self.peer, port, destination, contents });
    }

    fn packet(&mut self, kind: MediaKind, packet: MediaPacket, codec: Codec) {
        self.taken.push(Taken::Packet(kind, packet, codec));
    }

    fn begins_anew(&mut self, kind: MediaKind) {
        self.taken.push(Taken::BeginsAnew(kind));
    }

    fn key_frame_wanted(&mut self) {
        self.taken.push(Taken::Event(PeerEvent::LegNeedsKeyFrame));
    }

    fn key_frame_by_signalling(&mut self) {
        self.taken.push(Taken::Event(PeerEvent::KeyFrameBySignalling));
    }

    fn tone(&mut self, tone: Tone) {
        self.taken.push(Taken::Event(PeerEvent::Tone(tone)));
    }

    fn forwardable(&mut self, yes: bool) {
        self.taken.push(Taken::Event(PeerEvent::Forwardable(yes)));
    }

    fn path(&mut self, news: LegPath) {
        self.taken.push(Taken::Event(PeerEvent::LegPath(news)));
    }

    fn silent(&mut self) {
        self.taken.push(Taken::Event(PeerEvent::Closed(CloseReason::Lost)));
    }

    fn unkeyed(&mut self, reason: HandshakeError) {
        self.taken.push(Taken::Event(PeerEvent::Closed(CloseReason::Unkeyed(reason))));
    }
}
