//! Packets from and to the client.

use std::time::Instant;

use rtp::lane::MediaPacket;
use str0m::format::Codec as WireCodec;
use str0m::media::{KeyframeRequestKind, Mid, Pt, Rid, SenderFeedback};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite, Vp8Descriptor};
use types::{AudioCodec, Codec, MediaKind, TrackId, VideoCodec};

use super::capture::Report;
use super::{Out, Session};
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
    /// The payload type of the codec that flowed last.
    payload_type: Option<(Codec, Pt)>,
}

impl Carried {
    pub fn new(track: TrackId, kind: MediaKind, label: TrackLabel) -> Self {
        Self { track, kind, label, mid: None, payload_type: None }
    }
}

/// One SSRC that the client sends from.
#[derive(Debug)]
pub struct Ingress {
    track: TrackId,
    mid: Mid,
    rid: Option<Rid>,
    layer: u8,
    /// Payload type and what it means.
    codec: Option<(Pt, Codec)>,
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
        let Publication { track, kind, cids, audio, .. } = publication;
        self.published.retain(|it| it.track != track);
        self.published.push(Published { track, kind, cids, audio, mid: None, flows: false });
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

    /// Sends a packet of a carried track. Silently nothing while its section is not negotiated.
    pub fn send(&mut self, outgoing: &Outgoing<'_>) {
        let Some(index) = self.carried.iter().position(|it| it.track == outgoing.track) else {
            return;
        };
        let Some((mid, pt)) = self.wire_format(index, outgoing.codec) else { return };
        let packet = outgoing.packet;
        let wallclock = packet.capture.unwrap_or(packet.arrival);
        let video = outgoing.codec.kind() == MediaKind::Video;
        let mut write = RtpWrite::new(
            pt,
            outgoing.seq.into(),
            outgoing.timestamp,
            wallclock,
            packet.payload.clone(),
        )
        .marker(packet.marker)
        .nackable(video)
        .ext_vals(ExtensionValues { audio_level: packet.audio_level, ..Default::default() });
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
        let codec = match ingress.codec {
            Some((known, codec)) if known == pt => codec,
            _ => {
                let Some(codec) = self
                    .publisher
                    .codec_config()
                    .iter()
                    .find(|it| it.pt() == pt)
                    .and_then(|it| from_wire(it.spec().codec))
                else {
                    return;
                };
                ingress.codec = Some((pt, codec));
                codec
            }
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
            payload: packet.payload.clone(),
            seq: *packet.seq_no,
            timestamp,
            marker: packet.header.marker,
            arrival: now,
            format: codec.number(),
            audio_level: packet.header.ext_vals.audio_level,
            capture,
        };
        out.packet(track, layer, media, codec);
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
        Some(Ingress { track: published.track, mid, rid, layer, codec: None, report: None })
    }

    fn wire_format(&mut self, index: usize, codec: Codec) -> Option<(Mid, Pt)> {
        let carried = self.carried.get(index)?;
        let mid = carried.mid?;
        if let Some((known, pt)) = carried.payload_type
            && known == codec
        {
            return Some((mid, pt));
        }
        let rtc = self.outward();
        let remote = rtc.media(mid)?.remote_pts().to_vec();
        let pt = rtc
            .codec_config()
            .iter()
            .filter(|it| from_wire(it.spec().codec) == Some(codec) && remote.contains(&it.pt()))
            .min_by_key(|it| preference(it.spec().format))
            .map(|it| it.pt())?;
        self.carried.get_mut(index)?.payload_type = Some((codec, pt));
        Some((mid, pt))
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
