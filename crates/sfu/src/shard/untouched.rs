//! One source alone that a room system can take: it gets the track itself.

use std::time::Instant;

use rtp::lane::MediaPacket;
use types::{Codec, MediaKind, PeerId, TrackId};

use super::Shard;
use super::legs::{Fed, Legs};
use crate::command::PeerEvent;
use crate::core::{Outgoing, SinkId, Wanted};
use crate::transport::plain::{Fit, PictureLimits};

/// A track that a leg gets.
#[derive(Debug)]
pub(super) struct Untouched {
    track: TrackId,
    fit: Fit,
    flows: bool,
}

impl Shard {
    /// The leg's picture is `track`, from its next key frame on; until then it gets what it got.
    pub(super) fn feed_leg_track(
        &mut self,
        peer: PeerId,
        track: TrackId,
        limits: PictureLimits,
        now: Instant,
    ) {
        self.end_untouched(peer);
        let Some(entry) = self.legs.entries.get_mut(&peer) else { return };
        entry.untouched = Some(Untouched { track, fit: Fit::new(limits), flows: false });
        let PictureLimits { width, height, .. } = limits;
        self.router.subscribe(track, peer, Wanted::Size { width, height }, now);
        self.router.start(track, peer, now);
    }

    /// The leg's picture comes out of a lane again, or from nowhere.
    pub(super) fn end_untouched(&mut self, peer: PeerId) {
        let Some(entry) = self.legs.entries.get_mut(&peer) else { return };
        if let Some(Untouched { track, .. }) = entry.untouched.take() {
            self.router.unsubscribe(track, SinkId::Peer(peer));
        }
    }

    /// The leg lost the picture: whether it is a track that it gets untouched.
    pub(super) fn ask_untouched(&mut self, peer: PeerId, now: Instant) -> bool {
        let Some(entry) = self.legs.entries.get(&peer) else { return false };
        let Some(Untouched { track, flows: true, .. }) = entry.untouched else { return false };
        self.router.want_key_frame(track, SinkId::Peer(peer), now);
        true
    }

    /// Goes back to lanes where a track turned out not to fit.
    pub(super) fn end_unfit(&mut self) {
        for peer in std::mem::take(&mut self.legs.unfit) {
            let Some(entry) = self.legs.entries.get(&peer) else { continue };
            let Some(track) = entry.untouched.as_ref().map(|it| it.track) else { continue };
            self.end_untouched(peer);
            self.tell_leg(peer, PeerEvent::TrackUnfit(track));
        }
    }
}

impl Legs {
    /// Sends a packet of the track that a leg gets untouched. Whether it is a leg that was sent to.
    pub(super) fn send_untouched(&mut self, peer: PeerId, outgoing: &Outgoing<'_>) -> bool {
        let Some(entry) = self.entries.get_mut(&peer) else { return false };
        let Some(untouched) = entry.untouched.as_mut().filter(|it| it.track == outgoing.track)
        else {
            return false;
        };
        let Codec::Video(codec) = outgoing.codec else { return false };
        if !untouched.fit.allows(outgoing.packet, codec) {
            self.unfit.push(peer);
            return false;
        }
        if !std::mem::replace(&mut untouched.flows, true) {
            self.feeds.remove(&Fed::Leg(peer, MediaKind::Video));
            entry.leg.restart_egress(MediaKind::Video);
            entry.events.event(peer, PeerEvent::TrackForwarded(outgoing.track));
        }
        let (seq, timestamp) = (outgoing.seq, outgoing.timestamp);
        let packet = MediaPacket { seq, timestamp, ..outgoing.packet.clone() };
        entry.leg.send(MediaKind::Video, &packet, packet.arrival);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use rtp::lane::{Wake, lane};
    use rtp::packet::{Header, Packet};
    use types::VideoCodec;

    use super::*;
    use crate::command::{Command, PeerEvents};
    use crate::transport::plain::LegPort;
    use crate::transport::plain::tests::support;

    const SENDER: PeerId = PeerId(1);
    const ROOM: PeerId = PeerId(2);
    const TRACK: TrackId = TrackId(3);
    const LIMITS: PictureLimits =
        PictureLimits { width: 1280, height: 720, fps: 30, bitrate: 2_000_000, single_nal: false };
    /// A parameter set of OpenH264's, constrained baseline, and what makes main profile of it.
    const BASELINE: &[u8] = &[0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x28, 0x02, 0xdd, 0x08];
    const MAIN: &[u8] = &[0x67, 0x4d, 0x00, 0x1f, 0x8c, 0x8d, 0x40, 0x28, 0x02, 0xdd, 0x08];
    const IDR: &[u8] = &[0x65, 0xb8, 1, 2, 3];
    const DELTA: &[u8] = &[0x41, 0x9a, 1, 2, 3];
    const MADE: &[u8] = &[0x41, 0xff, 0xff];

    struct Silent;

    impl Wake for Silent {
        fn wake(&self) {}
    }

    #[derive(Clone, Default)]
    struct News(Arc<Mutex<Vec<String>>>);

    impl PeerEvents for News {
        fn event(&mut self, peer: PeerId, event: PeerEvent) {
            self.0.lock().unwrap().push(format!("{peer:?} {event:?}"));
        }
    }

    struct World {
        shard: Shard,
        now: Instant,
        seq: u16,
        news: News,
    }

    impl World {
        /// A room system that sends, and one that is to get it.
        fn begin() -> Self {
            let now = Instant::now();
            let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
            let mut shard = Shard::new(local, None, now);
            let news = News::default();
            for (peer, host) in [(SENDER, 1), (ROOM, 2)] {
                let leg = support::leg(host, support::media(host, 10 + host), now).unwrap();
                let (leg, events) = (Box::new(leg), Box::new(news.clone()));
                shard.handle_command(Command::AddLeg { peer, leg, events }, now);
            }
            let kind = MediaKind::Video;
            shard.handle_command(Command::PublishLeg { peer: SENDER, kind, track: TRACK }, now);
            Self { shard, now, seq: 100, news }
        }

        fn order(&mut self, command: Command) {
            self.shard.handle_command(command, self.now);
        }

        /// The sender sends a packet; the payloads that the room got.
        fn send(&mut self, payload: &[u8]) -> Vec<Vec<u8>> {
            self.seq += 1;
            self.now += Duration::from_millis(20);
            let timestamp = u32::from(self.seq) * 1800;
            let header = Header { pt: 97, seq: self.seq, timestamp, ssrc: 9, marker: true };
            let source = support::address(11, LegPort::VideoRtp);
            let packet = header.packet(payload);
            self.shard.handle_leg_datagram(SENDER, LegPort::VideoRtp, source, &packet, self.now);
            self.received()
        }

        fn received(&mut self) -> Vec<Vec<u8>> {
            self.shard.handle_timeout(self.now);
            self.shard.flush(self.now);
            let sent = self.shard.take_leg_transmits();
            let to_room = sent.iter().filter(|it| it.peer == ROOM && it.port == LegPort::VideoRtp);
            to_room.map(|it| Packet::parse(&it.contents).unwrap().payload.to_vec()).collect()
        }

        fn was_told(&self, news: &str) -> bool {
            self.news.0.lock().unwrap().iter().any(|it| it.contains(news))
        }
    }

    #[test]
    fn a_room_gets_what_is_made_until_the_tracks_key_frame_and_then_the_track() {
        let mut world = World::begin();
        let (mut made, lane) = lane(8, Arc::new(Silent));
        world.order(Command::FeedLeg { peer: ROOM, kind: MediaKind::Video, lane });
        world.order(Command::FeedLegTrack { peer: ROOM, track: TRACK, limits: LIMITS });
        assert!(world.send(DELTA).is_empty(), "no picture begins with it");
        let packet = MediaPacket {
            payload: Arc::from(MADE),
            seq: 1,
            timestamp: 0,
            marker: true,
            arrival: world.now,
            format: Codec::Video(VideoCodec::H264).number(),
            audio_level: None,
            capture: None,
        };
        assert!(made.push(packet));
        world.shard.read_lanes(world.now);
        assert_eq!(world.received(), [MADE]);
        assert_eq!(world.send(BASELINE), [BASELINE]);
        assert_eq!(world.send(IDR), [IDR]);
        assert_eq!(world.send(DELTA), [DELTA]);
        assert!(world.was_told("PeerId(2) TrackForwarded(TrackId(3))"));
        assert!(made.is_closed(), "nobody reads what is made any more");
    }

    #[test]
    fn a_track_that_a_room_cannot_take_is_given_up() {
        let mut world = World::begin();
        world.order(Command::FeedLegTrack { peer: ROOM, track: TRACK, limits: LIMITS });
        assert!(world.send(MAIN).is_empty());
        assert!(world.was_told("PeerId(2) TrackUnfit(TrackId(3))"));
        assert!(!world.was_told("TrackForwarded"));
        assert!(world.send(IDR).is_empty(), "its subscription has ended");
    }

    #[test]
    fn a_track_ends_with_the_order_to_read_a_lane() {
        let mut world = World::begin();
        world.order(Command::FeedLegTrack { peer: ROOM, track: TRACK, limits: LIMITS });
        assert_eq!(world.send(BASELINE), [BASELINE]);
        let (_made, lane) = lane(8, Arc::new(Silent));
        world.order(Command::FeedLeg { peer: ROOM, kind: MediaKind::Video, lane });
        assert!(world.send(IDR).is_empty());
    }
}
