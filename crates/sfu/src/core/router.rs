//! All tracks of a shard.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rtp::lane::{LaneTx, MediaPacket};
use types::{Bandwidth, Codec, MediaKind, PeerId, TrackId};

use super::budget::{Allowance, Picture, share};
use super::layer::{LayerSpec, Wanted};
use super::subscription::{Outgoing, SinkId, Subscription};
use super::track::Track;

/// How often layers are chosen anew and awaited key frames are looked at: soon enough that a new
/// receiver's first picture is not held up, rare enough to cost nothing.
const CARE_INTERVAL: Duration = Duration::from_millis(50);
/// How often levels are reported. LiveKit's servers use 300 to 500 ms.
const LEVEL_INTERVAL: Duration = Duration::from_millis(300);
/// How often it is looked at what fits into a receiver's bandwidth: as long as a rate is measured.
const BUDGET_INTERVAL: Duration = Duration::from_secs(1);
/// How often a receiver is told of pictures that are held back: a client passes over what it is told
/// of a track whose section it is still setting up.
const HELD_INTERVAL: Duration = Duration::from_secs(3);

/// A key frame of this layer is to be asked of the publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFrameRequest {
    /// Who sends it.
    pub publisher: PeerId,
    /// The track.
    pub track: TrackId,
    /// Its layer, 0 the smallest.
    pub layer: u8,
}

/// How loud a track was over the last interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackLevel {
    /// Who sends it.
    pub publisher: PeerId,
    /// The track.
    pub track: TrackId,
    /// dBov, −130 to 0.
    pub dbov: f32,
}

/// A receiver's bandwidth leaves nothing for a picture any more, or something again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Who receives.
    pub receiver: PeerId,
    /// The track.
    pub track: TrackId,
    /// Whether it is held back.
    pub held: bool,
}

/// What [`Router::handle_timeout`] comes to.
#[derive(Debug, Default)]
pub struct Due {
    /// Key frames to ask for.
    pub key_frames: Vec<KeyFrameRequest>,
    /// How loud who is.
    pub levels: Vec<TrackLevel>,
    /// Pictures that are held back, and that are so no more.
    pub holdings: Vec<Holding>,
}

/// Tracks and their receivers; forwards packets between them.
#[derive(Debug)]
pub struct Router {
    tracks: HashMap<TrackId, Track>,
    /// Bits a second that a peer may be sent.
    budgets: HashMap<PeerId, u64>,
    next_care: Instant,
    next_level: Instant,
    next_budget: Instant,
    next_held: Instant,
    lanes_dropped: u64,
}

impl Router {
    /// A router without tracks.
    pub fn new(now: Instant) -> Self {
        Self {
            tracks: HashMap::new(),
            budgets: HashMap::new(),
            next_care: now,
            next_level: now,
            next_budget: now,
            next_held: now,
            lanes_dropped: 0,
        }
    }

    /// A peer is sent so many bits a second at most, or sound alone, from the next subscription on.
    pub fn set_budget(&mut self, peer: PeerId, bits: u64) {
        self.budgets.insert(peer, bits);
    }

    /// A track that `publisher` sends. Replaces one of the same id.
    pub fn publish(
        &mut self,
        id: TrackId,
        publisher: PeerId,
        kind: MediaKind,
        layers: &[LayerSpec],
    ) {
        self.tracks.insert(id, Track::new(id, publisher, kind, layers));
    }

    /// Ends a track; the sinks that received it.
    pub fn unpublish(&mut self, id: TrackId) -> Vec<SinkId> {
        self.tracks.remove(&id).map(|track| track.sinks().collect()).unwrap_or_default()
    }

    /// Lets a peer receive a track, as soon as its transport can carry it ([`Router::start`]).
    pub fn subscribe(&mut self, id: TrackId, peer: PeerId, wanted: Wanted, now: Instant) {
        self.add(id, Subscription::new(SinkId::Peer(peer), None, wanted), now);
    }

    /// The transport of a peer can carry a track from now on: it gets it, a picture from the next
    /// key frame on.
    pub fn start(&mut self, id: TrackId, peer: PeerId, now: Instant) {
        if let Some(track) = self.tracks.get_mut(&id) {
            track.start(SinkId::Peer(peer));
        }
        self.next_care = now;
    }

    /// Sends a track into a lane, under the lane's own number.
    pub fn tap(&mut self, id: TrackId, lane: u64, tx: LaneTx, wanted: Wanted, now: Instant) {
        self.add(id, Subscription::new(SinkId::Lane(lane), Some(tx), wanted), now);
    }

    /// Ends a subscription or a tap.
    pub fn unsubscribe(&mut self, id: TrackId, sink: SinkId) {
        if let Some(track) = self.tracks.get_mut(&id) {
            track.unsubscribe(sink);
        }
    }

    /// What a receiver wants of a track from now on.
    pub fn set_wanted(
        &mut self,
        id: TrackId,
        sink: SinkId,
        enabled: bool,
        wanted: Wanted,
        now: Instant,
    ) {
        if let Some(track) = self.tracks.get_mut(&id) {
            track.set_wanted(sink, enabled, wanted, now);
        }
        (self.next_care, self.next_budget) = (now, now);
    }

    /// Opens or closes a track's gate: behind a closed one nobody receives anything.
    pub fn set_gate(&mut self, id: TrackId, open: bool, now: Instant) {
        if let Some(track) = self.tracks.get_mut(&id) {
            track.set_gate(open);
        }
        self.next_care = now;
    }

    /// A track's packets come from elsewhere from now on: everybody waits for a key frame, and
    /// gets numbers that go on.
    pub fn change_origin(&mut self, id: TrackId, now: Instant) {
        if let Some(track) = self.tracks.get_mut(&id) {
            track.change_origin();
        }
        self.next_care = now;
    }

    /// A receiver reports a lost picture.
    pub fn want_key_frame(&mut self, id: TrackId, sink: SinkId, now: Instant) {
        if let Some(track) = self.tracks.get_mut(&id) {
            track.want_key_frame(sink);
        }
        self.next_care = now;
    }

    /// Ends everything that `peer` sends and receives; the tracks it sent with their receivers.
    pub fn remove_peer(&mut self, peer: PeerId) -> Vec<(TrackId, Vec<SinkId>)> {
        let sent: Vec<TrackId> =
            self.tracks.values().filter(|track| track.publisher == peer).map(|it| it.id).collect();
        let ended = sent.into_iter().map(|id| (id, self.unpublish(id))).collect();
        for track in self.tracks.values_mut() {
            track.unsubscribe(SinkId::Peer(peer));
        }
        self.budgets.remove(&peer);
        ended
    }

    /// Forwards one packet: lanes get it here, peers through `to_peer`.
    pub fn forward(
        &mut self,
        id: TrackId,
        layer: u8,
        packet: &MediaPacket,
        codec: Codec,
        to_peer: &mut dyn FnMut(PeerId, Outgoing<'_>),
    ) {
        if let Some(track) = self.tracks.get_mut(&id) {
            self.lanes_dropped += track.forward(layer, packet, codec, to_peer);
        }
    }

    /// Wakes the readers of lanes into which something was pushed. Once a batch.
    pub fn flush_lanes(&mut self) {
        self.tracks.values_mut().for_each(Track::flush_lanes);
    }

    /// Packets that full lanes did not take so far.
    pub fn lanes_dropped(&self) -> u64 {
        self.lanes_dropped
    }

    /// When [`Router::handle_timeout`] wants to be called next.
    pub fn timeout(&self) -> Option<Instant> {
        (!self.tracks.is_empty()).then(|| self.next_care.min(self.next_level))
    }

    /// Does what is due: chooses layers, asks for awaited key frames, reports levels.
    pub fn handle_timeout(&mut self, now: Instant) -> Due {
        let mut due = Due::default();
        if now >= self.next_care {
            self.next_care = now + CARE_INTERVAL;
            if now >= self.next_budget {
                self.next_budget = now + BUDGET_INTERVAL;
                due.holdings = self.share_budgets(now);
            }
            for track in self.tracks.values_mut().filter(|it| it.kind == MediaKind::Video) {
                track.retarget(now);
                let (publisher, id) = (track.publisher, track.id);
                let requests = track.take_key_frame_requests(now);
                due.key_frames.extend(requests.map(|layer| KeyFrameRequest {
                    publisher,
                    track: id,
                    layer,
                }));
            }
        }
        if now >= self.next_level {
            self.next_level = now + LEVEL_INTERVAL;
            for track in self.tracks.values_mut().filter(|it| it.kind == MediaKind::Audio) {
                let (publisher, id) = (track.publisher, track.id);
                due.levels.extend(track.take_level().map(|dbov| TrackLevel {
                    publisher,
                    track: id,
                    dbov,
                }));
            }
        }
        due
    }

    /// Finds what fits into the bandwidth of those who may be sent only so much.
    fn share_budgets(&mut self, now: Instant) -> Vec<Holding> {
        let again = now >= self.next_held;
        if again {
            self.next_held = now + HELD_INTERVAL;
        }
        let Self { tracks, budgets, .. } = self;
        let mut holdings = Vec::new();
        for (receiver, bits) in &*budgets {
            let (receiver, sink) = (*receiver, SinkId::Peer(*receiver));
            let wanted = tracks.values().filter_map(|track| track.picture(sink, now));
            let mut pictures: Vec<Picture> = wanted.collect();
            // Whoever came last gives way first.
            pictures.sort_unstable_by_key(|it| it.track);
            // Sound comes first, however much it is.
            let sound: u64 = tracks.values().filter_map(|track| track.sound(sink, now)).sum();
            let bits = bits.saturating_sub(sound.max(Bandwidth::SOUND));
            let allowances = match bits < Bandwidth::LEAST_PICTURE {
                true => vec![Allowance::Nothing; pictures.len()],
                false => share(&pictures, bits),
            };
            for (Picture { track, .. }, allowance) in pictures.iter().zip(allowances) {
                let held = allowance == Allowance::Nothing;
                let is_news = tracks.get_mut(track).is_some_and(|it| it.allow(sink, allowance));
                if is_news || (held && again) {
                    holdings.push(Holding { receiver, track: *track, held });
                }
            }
        }
        holdings
    }

    fn add(&mut self, id: TrackId, subscription: Subscription, now: Instant) {
        if let Some(track) = self.tracks.get_mut(&id) {
            track.subscribe(subscription, now);
        }
        (self.next_care, self.next_budget) = (now, now);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use types::{AudioCodec, VideoCodec};

    use super::*;

    const VP8_KEY: [u8; 2] = [0x10, 0x00];
    const VP8_DELTA: [u8; 2] = [0x10, 0x01];
    const VIDEO: Codec = Codec::Video(VideoCodec::Vp8);
    const AUDIO: Codec = Codec::Audio(AudioCodec::Opus);

    struct Meeting {
        router: Router,
        now: Instant,
        seq: u64,
    }

    impl Meeting {
        fn new() -> Self {
            let now = Instant::now();
            let mut router = Router::new(now);
            let layers = [(0, 320, 180), (1, 640, 360)].map(|(index, width, height)| LayerSpec {
                index,
                width,
                height,
            });
            router.publish(TrackId(1), PeerId(1), MediaKind::Video, &layers);
            router.publish(TrackId(2), PeerId(1), MediaKind::Audio, &[]);
            Self { router, now, seq: 100 }
        }

        fn send(&mut self, track: u64, layer: u8, codec: Codec, payload: &[u8]) -> Vec<(u64, u64)> {
            self.seq += 1;
            let packet = MediaPacket {
                payload: Arc::from(payload),
                seq: self.seq,
                timestamp: 0,
                marker: true,
                arrival: self.now,
                format: codec.number(),
                audio_level: Some(-20),
                capture: None,
            };
            let mut got = Vec::new();
            self.router.forward(TrackId(track), layer, &packet, codec, &mut |peer, out| {
                got.push((peer.0, out.seq));
            });
            got
        }

        fn receive(&mut self, track: u64, peer: u64, wanted: Wanted) {
            self.router.subscribe(TrackId(track), PeerId(peer), wanted, self.now);
            self.router.start(TrackId(track), PeerId(peer), self.now);
        }

        fn care(&mut self) -> (Vec<KeyFrameRequest>, Vec<TrackLevel>) {
            let Due { key_frames, levels, .. } = self.router.handle_timeout(self.now);
            (key_frames, levels)
        }
    }

    #[test]
    fn a_picture_starts_at_a_key_frame_that_is_asked_for_and_repeated() {
        let mut meeting = Meeting::new();
        meeting.receive(1, 2, Wanted::Layer(1));
        let (requests, _) = meeting.care();
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].layer, 1);
        assert!(meeting.send(1, 1, VIDEO, &VP8_DELTA).is_empty());
        meeting.now += Duration::from_millis(200);
        assert!(meeting.care().0.is_empty());
        meeting.now += Duration::from_millis(200);
        assert_eq!(meeting.care().0.len(), 1);
        assert_eq!(meeting.send(1, 1, VIDEO, &VP8_KEY), [(2, 0)]);
        assert_eq!(meeting.send(1, 1, VIDEO, &VP8_DELTA), [(2, 1)]);
        meeting.now += Duration::from_secs(2);
        assert!(meeting.care().0.is_empty());
    }

    #[test]
    fn who_cannot_receive_yet_neither_asks_for_a_key_frame_nor_misses_it() {
        let mut meeting = Meeting::new();
        meeting.router.subscribe(TrackId(1), PeerId(2), Wanted::Layer(1), meeting.now);
        assert!(meeting.care().0.is_empty());
        assert!(meeting.send(1, 1, VIDEO, &VP8_KEY).is_empty());
        meeting.now += Duration::from_millis(300);
        meeting.router.start(TrackId(1), PeerId(2), meeting.now);
        assert_eq!(meeting.care().0.len(), 1, "asked at once");
        assert_eq!(meeting.send(1, 1, VIDEO, &VP8_KEY), [(2, 0)]);
    }

    #[test]
    fn who_has_no_picture_begins_with_a_smaller_one_until_the_larger_comes() {
        let mut meeting = Meeting::new();
        meeting.send(1, 1, VIDEO, &VP8_DELTA);
        meeting.receive(1, 2, Wanted::Layer(1));
        assert_eq!(meeting.care().0[0].layer, 1);
        assert_eq!(
            meeting.send(1, 0, VIDEO, &VP8_KEY),
            [(2, 0)],
            "not what it wants, but a picture"
        );
        assert_eq!(meeting.send(1, 0, VIDEO, &VP8_DELTA), [(2, 1)]);
        meeting.now += Duration::from_secs(1);
        assert_eq!(meeting.care().0[0].layer, 1, "still asked for");
        assert_eq!(meeting.send(1, 1, VIDEO, &VP8_KEY), [(2, 2)]);
        assert!(meeting.send(1, 0, VIDEO, &VP8_KEY).is_empty(), "it does not go back");
    }

    #[test]
    fn a_layer_that_sends_padding_alone_is_waited_for_by_nobody() {
        let mut meeting = Meeting::new();
        meeting.send(1, 0, VIDEO, &VP8_DELTA);
        meeting.send(1, 1, VIDEO, &[]);
        meeting.receive(1, 2, Wanted::Layer(1));
        let asked: Vec<u8> = meeting.care().0.iter().map(|it| it.layer).collect();
        assert_eq!(asked, [0]);
    }

    #[test]
    fn a_receiver_changes_layer_at_its_key_frame_without_a_gap() {
        let mut meeting = Meeting::new();
        meeting.receive(1, 2, Wanted::Layer(0));
        assert_eq!(meeting.send(1, 0, VIDEO, &VP8_KEY), [(2, 0)]);
        assert!(meeting.send(1, 1, VIDEO, &VP8_KEY).is_empty());
        let sink = SinkId::Peer(PeerId(2));
        meeting.router.set_wanted(TrackId(1), sink, true, Wanted::Layer(1), meeting.now);
        assert_eq!(meeting.care().0[0].layer, 1);
        assert_eq!(meeting.send(1, 0, VIDEO, &VP8_DELTA).len(), 1, "the old layer until then");
        assert_eq!(meeting.send(1, 1, VIDEO, &VP8_KEY).len(), 1);
        assert!(meeting.send(1, 0, VIDEO, &VP8_DELTA).is_empty());
    }

    #[test]
    fn who_may_be_sent_little_gets_the_layer_that_fits_or_is_told_that_none_does() {
        let mut meeting = Meeting::new();
        // 64 of them are kept for sound.
        meeting.router.set_budget(PeerId(2), 264_000);
        meeting.receive(1, 2, Wanted::Layer(1));
        let mut second = |bytes: [usize; 2]| {
            let mut holdings = Vec::new();
            let mut got = [0; 2];
            for frame in 0..100 {
                meeting.now += Duration::from_millis(10);
                let due = meeting.router.handle_timeout(meeting.now);
                holdings.extend(due.holdings.iter().map(|it| (it.receiver.0, it.track.0, it.held)));
                for (layer, bytes) in (0..).zip(bytes) {
                    // A key frame each tenth of a second.
                    let key = if frame % 10 == 0 { VP8_KEY } else { VP8_DELTA };
                    let payload = [&key[..], &vec![0; bytes]].concat();
                    got[usize::from(layer)] += meeting.send(1, layer, VIDEO, &payload).len();
                }
            }
            (got, holdings)
        };
        // 80 and 160 kbit/s.
        assert_eq!(second([100, 200]).1, []);
        let (got, _) = second([100, 200]);
        assert!(got[1] > 90, "{got:?}");
        // 80 and 800 kbit/s: the large one does not fit.
        second([100, 1000]);
        second([100, 1000]);
        assert_eq!(second([100, 1000]), ([100, 0], vec![]));
        // Not even the small one does.
        let mut holdings = second([400, 1000]).1;
        holdings.extend(second([400, 1000]).1);
        assert_eq!(holdings.first(), Some(&(2, 1, true)));
        let (got, again) = second([400, 1000]);
        assert_eq!(got, [0, 0]);
        // It is told now and then, for whoever could not hear it the first time.
        let all = holdings.iter().chain(&again);
        assert!(all.clone().count() <= 3 && all.clone().all(|it| it.2), "{holdings:?} {again:?}");
        let mut holdings = second([100, 1000]).1;
        holdings.extend(second([100, 1000]).1);
        holdings.extend(second([100, 1000]).1);
        assert_eq!(holdings.last(), Some(&(2, 1, false)));
        assert_eq!(second([100, 1000]).0, [100, 0]);
    }

    #[test]
    fn behind_a_closed_gate_nobody_receives_or_is_heard() {
        let mut meeting = Meeting::new();
        meeting.receive(2, 2, Wanted::default());
        assert_eq!(meeting.send(2, 0, AUDIO, &[1]), [(2, 0)]);
        assert_eq!(meeting.care().1.len(), 1);
        meeting.router.set_gate(TrackId(2), false, meeting.now);
        assert!(meeting.send(2, 0, AUDIO, &[1]).is_empty());
        meeting.now += LEVEL_INTERVAL;
        assert!(meeting.care().1.is_empty());
        meeting.router.set_gate(TrackId(2), true, meeting.now);
        assert_eq!(meeting.send(2, 0, AUDIO, &[1]), [(2, 1)], "no gap after the mute");
    }

    #[test]
    fn a_leaving_peer_takes_its_tracks_and_subscriptions_along() {
        let mut meeting = Meeting::new();
        meeting.receive(2, 2, Wanted::default());
        meeting.router.publish(TrackId(3), PeerId(2), MediaKind::Audio, &[]);
        meeting.receive(3, 1, Wanted::default());
        let ended = meeting.router.remove_peer(PeerId(2));
        assert_eq!(ended, [(TrackId(3), vec![SinkId::Peer(PeerId(1))])]);
        assert!(meeting.send(2, 0, AUDIO, &[1]).is_empty());
    }
}
