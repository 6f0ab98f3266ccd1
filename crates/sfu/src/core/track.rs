//! A published track: its layers, its gate and its receivers.

use std::time::Instant;

use rtp::lane::MediaPacket;
use types::{Codec, MediaKind, PeerId, TrackId};

use super::budget::{Allowance, Picture};
use super::key_frame::starts_key_frame;
use super::layer::{KeyFrameFor, Layer, LayerSpec, MAX_LAYERS, Wanted, choose};
use super::level::LevelMeter;
use super::subscription::{Outgoing, SinkId, Subscription};

#[derive(Debug)]
pub struct Track {
    pub id: TrackId,
    pub publisher: PeerId,
    pub kind: MediaKind,
    gate_open: bool,
    layers: [Layer; MAX_LAYERS],
    level: LevelMeter,
    subscriptions: Vec<Subscription>,
}

impl Track {
    pub fn new(id: TrackId, publisher: PeerId, kind: MediaKind, specs: &[LayerSpec]) -> Self {
        let mut layers: [Layer; MAX_LAYERS] = Default::default();
        for spec in specs {
            if let Some(layer) = layers.get_mut(usize::from(spec.index)) {
                layer.set_spec(*spec);
            }
        }
        let subscriptions = Vec::new();
        Self {
            id,
            publisher,
            kind,
            gate_open: true,
            layers,
            level: LevelMeter::default(),
            subscriptions,
        }
    }

    pub fn set_gate(&mut self, open: bool) {
        self.gate_open = open;
        if !open {
            self.subscriptions.iter_mut().for_each(Subscription::pause);
        }
    }

    pub fn change_origin(&mut self) {
        self.subscriptions.iter_mut().for_each(Subscription::change_origin);
    }

    pub fn sinks(&self) -> impl Iterator<Item = SinkId> {
        self.subscriptions.iter().map(|subscription| subscription.sink)
    }

    pub fn subscribe(&mut self, subscription: Subscription, now: Instant) {
        self.subscriptions.retain(|known| known.sink != subscription.sink);
        self.subscriptions.push(subscription);
        self.retarget(now);
    }

    pub fn unsubscribe(&mut self, sink: SinkId) {
        self.subscriptions.retain(|known| known.sink != sink);
    }

    /// A receiver's transport can carry the track from now on.
    pub fn start(&mut self, sink: SinkId) {
        if let Some(subscription) = self.subscription(sink) {
            subscription.start();
        }
    }

    pub fn set_wanted(&mut self, sink: SinkId, enabled: bool, wanted: Wanted, now: Instant) {
        if let Some(subscription) = self.subscription(sink) {
            subscription.set_enabled(enabled);
            subscription.wanted = wanted;
            self.retarget(now);
        }
    }

    /// A receiver lost the picture: it needs a key frame of what flows to it.
    pub fn want_key_frame(&mut self, sink: SinkId) {
        if let Some(layer) = self.subscription(sink).map(|it| it.layer_to_refresh())
            && let Some(layer) = self.layers.get_mut(usize::from(layer))
        {
            layer.want_key_frame(KeyFrameFor::Repair);
        }
    }

    /// Chooses every receiver's layer anew: after a change of wishes, and now and then, since
    /// layers come and go with the publisher's bandwidth.
    pub fn retarget(&mut self, now: Instant) {
        if self.kind == MediaKind::Audio {
            return;
        }
        for subscription in &mut self.subscriptions {
            let wanted = choose(&self.layers, subscription.wanted, now);
            let target = match subscription.allowance() {
                Allowance::UpTo(most) if most < wanted => {
                    choose(&self.layers, Wanted::Layer(most), now)
                }
                _ => wanted,
            };
            subscription.set_target(target);
            if let Some(layer) = subscription.awaits_key_frame()
                && let Some(layer) = self.layers.get_mut(usize::from(layer))
            {
                layer.want_key_frame(KeyFrameFor::Beginning);
            }
        }
    }

    /// What a receiver of this picture would like, and what it costs; `None` where it gets none.
    pub fn picture(&self, sink: SinkId, now: Instant) -> Option<Picture> {
        let wish = self.subscriptions.iter().find(|it| it.sink == sink && it.is_enabled())?;
        if self.kind == MediaKind::Audio || !self.gate_open {
            return None;
        }
        let wanted = choose(&self.layers, wish.wanted, now);
        let rates = self.layers.each_ref().map(|layer| layer.rate(now));
        Some(Picture { track: self.id, rates, wanted, allowance: wish.allowance() })
    }

    /// Bits a second of this sound, where a receiver gets it.
    pub fn sound(&self, sink: SinkId, now: Instant) -> Option<u64> {
        let gets = self.subscriptions.iter().any(|it| it.sink == sink && it.is_enabled());
        if self.kind != MediaKind::Audio || !self.gate_open || !gets {
            return None;
        }
        self.layers.first()?.rate(now)
    }

    /// What a receiver's bandwidth leaves for it. Whether that holds it back, or ends that.
    pub fn allow(&mut self, sink: SinkId, allowance: Allowance) -> bool {
        let Some(subscription) = self.subscription(sink) else { return false };
        let held = |it| it == Allowance::Nothing;
        let before = held(subscription.allowance());
        subscription.set_allowance(allowance);
        before != held(allowance)
    }

    /// Forwards one packet to everybody who gets `layer`; how many full lanes did not take it.
    pub fn forward(
        &mut self,
        layer: u8,
        packet: &MediaPacket,
        codec: Codec,
        to_peer: &mut dyn FnMut(PeerId, Outgoing<'_>),
    ) -> u64 {
        let key_frame = starts_key_frame(codec, &packet.payload);
        // What only fills a publisher's bandwidth shows no picture, and is no sign of one.
        if let Some(layer) = self.layers.get_mut(usize::from(layer))
            && !packet.payload.is_empty()
        {
            let key_frame = key_frame && self.kind == MediaKind::Video;
            layer.received(packet.arrival, key_frame, packet.payload.len());
        }
        if !self.gate_open {
            return 0;
        }
        let mut dropped = 0;
        if let Some(level) = packet.audio_level {
            self.level.add(level);
        }
        for subscription in &mut self.subscriptions {
            let Some(outgoing) = subscription.accept(self.id, layer, packet, codec, key_frame)
            else {
                continue;
            };
            match (subscription.sink, &mut subscription.lane) {
                (_, Some(lane)) => {
                    let (seq, timestamp) = (outgoing.seq, outgoing.timestamp);
                    let taken = lane.push(MediaPacket { seq, timestamp, ..packet.clone() });
                    // Nobody misses what came after a lane's end.
                    dropped += u64::from(!taken && !lane.is_closed());
                }
                (SinkId::Peer(peer), None) => to_peer(peer, outgoing),
                (SinkId::Lane(_), None) => {}
            }
        }
        dropped
    }

    pub fn flush_lanes(&mut self) {
        for lane in self.subscriptions.iter_mut().filter_map(|it| it.lane.as_mut()) {
            lane.flush();
        }
    }

    pub fn take_level(&mut self) -> Option<f32> {
        self.level.take()
    }

    /// Layers whose key frame is to be asked for now.
    pub fn take_key_frame_requests(&mut self, now: Instant) -> impl Iterator<Item = u8> {
        let awaited: u8 = self
            .subscriptions
            .iter()
            .filter_map(Subscription::awaits_key_frame)
            .fold(0, |set, layer| set | (1 << layer.min(7)));
        self.layers.iter_mut().enumerate().filter_map(move |(index, layer)| {
            if awaited & (1 << index) != 0 {
                layer.want_key_frame(KeyFrameFor::Beginning);
            }
            layer.take_key_frame_request(now).then_some(index as u8)
        })
    }

    fn subscription(&mut self, sink: SinkId) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|subscription| subscription.sink == sink)
    }
}
