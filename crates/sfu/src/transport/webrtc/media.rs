//! Packets from and to the client.

use std::sync::Arc;
use std::time::Instant;

use rtp::lane::MediaPacket;
use rtp::payload::red;
use str0m::bwe::Bitrate;
use str0m::format::Codec as WireCodec;
use str0m::media::{KeyframeRequestKind, Mid, Pt, Rid, SenderFeedback};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite, Vp8Descriptor};
use types::{AudioCodec, Codec, MediaKind, TrackId, VideoCodec};

use super::capture::Report;
use super::{BOUND_INTERVAL, Bound, Out, Session};
use crate::command::{AudioHints, PeerEvent, Publication, TrackLabel};
use crate::core::Outgoing;

/// At most this many different SSRCs a client may send from: 3 layers of a camera and of a screen,
/// backup codecs and a few that were given up.
const MAX_INGRESS: usize = 64;

/// A track that the client sends.
#[derive(Debug)]
pub struct Published {
    pub track: TrackId,
    pub kind: MediaKind,
    pub cids: Vec<String>,
    pub audio: AudioHints,
    pub codec: Option<VideoCodec>,
    pub mid: Option<Mid>,
    flows: bool,
}

/// A track that the client gets, and the media section that carries it.
#[derive(Debug)]
pub struct Carried {
    pub track: TrackId,
    pub kind: MediaKind,
    pub label: TrackLabel,
    pub mid: Option<Mid>,
    /// It was said that it can be sent.
    pub ready: bool,
    /// The payload types of the codec that flowed last.
    payload_types: Option<(Codec, PayloadTypes)>,
}

impl Carried {
    pub fn new(track: TrackId, kind: MediaKind, label: TrackLabel) -> Self {
        Self { track, kind, label, mid: None, ready: false, payload_types: None }
    }
}

/// How a connection names a codec.
#[derive(Clone, Copy, Debug)]
struct PayloadTypes {
    plain: Pt,
    /// With older frames in each packet, where that was agreed (RFC 2198).
    redundant: Option<Pt>,
}

/// One SSRC that the client sends from.
#[derive(Debug)]
pub struct Ingress {
    track: TrackId,
    mid: Mid,
    rid: Option<Rid>,
    layer: u8,
    /// Payload type and what it means; whether packets hold older frames as well.
    format: Option<(Pt, Codec, bool)>,
    report: Option<Report>,
}

impl Ingress {
    pub fn mid(&self) -> Mid {
        self.mid
    }
}

impl Session {
    /// The client will send this track.
    pub fn publish(&mut self, publication: Publication) {
        let Publication { track, kind, cids, audio, codec, .. } = publication;
        self.published.retain(|it| it.track != track);
        let (mid, flows) = (None, false);
        self.published.push(Published { track, kind, cids, audio, codec, mid, flows });
    }

    /// The client's track ends.
    pub fn unpublish(&mut self, track: TrackId) {
        self.published.retain(|it| it.track != track);
        self.ingress.retain(|_, it| it.track != track);
    }

    /// Asks the client for a key frame of a track's layer.
    pub fn request_key_frame(&mut self, track: TrackId, layer: u8) {
        let Some(mid) = self.published.iter().find(|it| it.track == track).and_then(|it| it.mid)
        else {
            return;
        };
        let rid = self
            .ingress
            .values()
            .find(|it| it.track == track && it.layer == layer)
            .map_or_else(|| rid_of(layer), |it| it.rid);
        let mut api = self.publisher.direct_api();
        for rid in [rid, None] {
            if let Some(stream) = api.stream_rx_by_mid(mid, rid) {
                return stream.request_keyframe(KeyframeRequestKind::Pli);
            }
        }
    }

    /// Tells the client how much it may send, all in all (REMB): it makes its pictures smaller, or
    /// leaves layers out.
    pub(super) fn bound_if_due(&mut self, now: Instant) {
        let Some(Bound { bandwidth, next }) = &mut self.bound else { return };
        if next.is_some_and(|next| now < next) {
            return;
        }
        let pictures = self.ingress.values().filter(
            |it| matches!(it.format, Some((_, codec, _)) if codec.kind() == MediaKind::Video),
        );
        // Any one of its streams will do: what it says is of the whole connection.
        let Some((mid, rid)) = pictures.map(|it| (it.mid, it.rid)).next() else { return };
        if let Some(stream) = self.publisher.direct_api().stream_rx_by_mid(mid, rid) {
            stream.request_remb(Bitrate::bps(bandwidth.bits()));
            *next = Some(now + BOUND_INTERVAL);
        }
    }

    /// Sends a packet of a carried track, with older frames in it if it has some and the client
    /// reads them. Silently nothing while its section is not negotiated.
    pub fn send(&mut self, outgoing: &Outgoing<'_>, redundant: Option<&Arc<[u8]>>) {
        let Some(index) = self.carried.iter().position(|it| it.track == outgoing.track) else {
            return;
        };
        let Some((mid, types)) = self.wire_format(index, outgoing.codec) else { return };
        // Where bits are short nothing is sent twice.
        let redundant = redundant.filter(|_| self.bound.is_none());
        let packet = outgoing.packet;
        let (pt, payload) = match (redundant, types.redundant) {
            (Some(payload), Some(pt)) => (pt, red::with_payload_type(payload, *types.plain)),
            _ => (types.plain, packet.payload.clone()),
        };
        let wallclock = packet.capture.unwrap_or(packet.arrival);
        let video = outgoing.codec.kind() == MediaKind::Video;
        let mut write =
            RtpWrite::new(pt, outgoing.seq.into(), outgoing.timestamp, wallclock, payload)
                .marker(packet.marker)
                .nackable(video)
                .ext_vals(ExtensionValues {
                    audio_level: packet.audio_level,
                    ..Default::default()
                });
        if let Some(ids) = outgoing.vp8
            && let Ok(descriptor) = Vp8Descriptor::parse(&packet.payload)
        {
            let mut patch = descriptor.patch().picture_id(ids.picture_id);
            if let Some(tl0) = ids.tl0_pic_idx {
                patch = patch.tl0_pic_idx(tl0);
            }
            if let Ok(patch) = patch.build() {
                write = write.vp8_patch(patch);
            }
        }
        if let Some(stream) = self.outward().direct_api().stream_tx_by_mid(mid, None) {
            stream.write_rtp(write);
        }
    }

    pub(super) fn track_of_mid(&self, mid: Mid) -> Option<TrackId> {
        self.carried.iter().find(|it| it.mid == Some(mid)).map(|it| it.track)
    }

    pub(super) fn handle_packet(&mut self, packet: &RtpPacket, now: Instant, out: &mut dyn Out) {
        let ssrc = *packet.header.ssrc;
        if !self.ingress.contains_key(&ssrc) {
            let Some(ingress) = self.recognise(packet) else { return };
            self.ingress.insert(ssrc, ingress);
        }
        let Some(ingress) = self.ingress.get_mut(&ssrc) else { return };
        let pt = packet.header.payload_type;
        let (codec, is_redundant) = match ingress.format {
            Some((known, codec, is_redundant)) if known == pt => (codec, is_redundant),
            _ => {
                let mut formats = self.publisher.codec_config().iter();
                let named = formats.find(|it| it.pt() == pt || it.red() == Some(pt));
                let is_redundant = named.is_some_and(|it| it.pt() != pt);
                let Some(codec) = named.and_then(|it| from_wire(it.spec().codec)) else { return };
                ingress.format = Some((pt, codec, is_redundant));
                (codec, is_redundant)
            }
        };
        let (payload, redundant) = if is_redundant {
            let Some(primary) = red::primary(&packet.payload) else { return };
            (Arc::from(primary), Some(packet.payload.clone()))
        } else {
            (packet.payload.clone(), None)
        };
        let timestamp = packet.header.timestamp;
        let capture = ingress
            .report
            .and_then(|report| self.clock.capture(report, timestamp, codec.clock_rate()));
        let (track, layer) = (ingress.track, ingress.layer);
        if let Some(published) = self.published.iter_mut().find(|it| it.track == track)
            && !std::mem::replace(&mut published.flows, true)
        {
            self.events.push(PeerEvent::TrackFlows { track, codec });
        }
        let media = MediaPacket {
            payload,
            seq: *packet.seq_no,
            timestamp,
            marker: packet.header.marker,
            arrival: now,
            format: codec.number(),
            audio_level: packet.header.ext_vals.audio_level,
            capture,
        };
        out.packet(track, layer, media, codec, redundant);
    }

    pub(super) fn handle_sender_report(&mut self, feedback: &SenderFeedback) {
        let info = &feedback.sender_info;
        let report =
            self.clock.report(info.ntp_time, info.rtp_time.numer() as u32, feedback.received_at);
        let stream =
            self.ingress.values_mut().find(|it| it.mid == feedback.mid && it.rid == feedback.rid);
        if let Some(stream) = stream {
            stream.report = Some(report);
        }
    }

    /// Which track and layer a new SSRC belongs to.
    fn recognise(&mut self, packet: &RtpPacket) -> Option<Ingress> {
        if self.ingress.len() >= MAX_INGRESS {
            return None;
        }
        let ssrc = packet.header.ssrc;
        let (mid, rid) = {
            let mut api = self.publisher.direct_api();
            let stream = api.stream_rx(&ssrc)?;
            (stream.mid(), stream.rid())
        };
        let published = self.published.iter().find(|it| it.mid == Some(mid))?;
        let layer = rid.map_or(0, |rid| layer_of(&rid));
        Some(Ingress { track: published.track, mid, rid, layer, format: None, report: None })
    }

    fn wire_format(&mut self, index: usize, codec: Codec) -> Option<(Mid, PayloadTypes)> {
        let carried = self.carried.get(index)?;
        let mid = carried.mid?;
        if let Some((known, types)) = carried.payload_types
            && known == codec
        {
            return Some((mid, types));
        }
        let rtc = self.outward();
        let remote = rtc.media(mid)?.remote_pts().to_vec();
        let types = rtc
            .codec_config()
            .iter()
            .filter(|it| from_wire(it.spec().codec) == Some(codec) && remote.contains(&it.pt()))
            .min_by_key(|it| preference(it.spec().format))
            .map(|it| PayloadTypes { plain: it.pt(), redundant: it.red() })?;
        self.carried.get_mut(index)?.payload_types = Some((codec, types));
        Some((mid, types))
    }
}

/// Among payload types of one codec the one that the most can read: H.264 as constrained baseline
/// in mode 1, which takes mode 0's packets too.
fn preference(format: str0m::format::FormatParams) -> u8 {
    let baseline = format.profile_level_id.is_none_or(|id| matches!(id >> 8, 0x42e0 | 0x42c0));
    let mode_1 = format.packetization_mode.is_none_or(|mode| mode == 1);
    u8::from(!mode_1) * 2 + u8::from(!baseline)
}

/// LiveKit's clients name their layers `q`, `h` and `f`, the smallest first.
fn layer_of(rid: &str) -> u8 {
    match rid {
        "h" => 1,
        "f" => 2,
        _ => 0,
    }
}

fn rid_of(layer: u8) -> Option<Rid> {
    ["q", "h", "f"].get(usize::from(layer)).map(|rid| Rid::from(*rid))
}

fn from_wire(codec: WireCodec) -> Option<Codec> {
    Some(match codec {
        WireCodec::Opus => Codec::Audio(AudioCodec::Opus),
        WireCodec::Vp8 => Codec::Video(VideoCodec::Vp8),
        WireCodec::Vp9 => Codec::Video(VideoCodec::Vp9),
        WireCodec::H264 => Codec::Video(VideoCodec::H264),
        WireCodec::Av1 => Codec::Video(VideoCodec::Av1),
        _ => return None,
    })
}
