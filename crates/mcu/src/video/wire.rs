//! From packets to frames and back, over [`rtp::payload`]: one face for all codecs.

use std::sync::Arc;
use std::time::Instant;

use ::types::VideoCodec;
use rtp::lane::MediaPacket;
use rtp::payload::{PacketizeError, h264, vp8};

use super::vp9::Vp9Depacketizer;

/// Parameter sets longer than this are no camera's.
const MAX_PARAMETER_SET: usize = 1_024;

/// Picture parameter sets that are remembered.
const MAX_PICTURE_SETS: usize = 4;

/// One encoded frame.
pub(super) struct Frame {
    pub(super) data: Vec<u8>,
    pub(super) key: bool,
    pub(super) capture: Option<Instant>,
}

/// A frame of which a part is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// Puts one stream's packets, in order, together to frames.
pub(super) struct Assembler {
    kind: Kind,
    /// Timestamp and capture time of the frame at work, and of the one before it.
    captures: [(u32, Option<Instant>); 2],
}

enum Kind {
    H264(Box<h264::Depacketizer>, ParameterSets),
    Vp8(Box<vp8::Depacketizer>),
    Vp9(Vp9Depacketizer),
    None,
}

impl Assembler {
    pub(super) fn new(codec: VideoCodec) -> Self {
        let kind = match codec {
            VideoCodec::H264 => Kind::H264(Box::default(), ParameterSets::default()),
            VideoCodec::Vp8 => Kind::Vp8(Box::default()),
            VideoCodec::Vp9 => Kind::Vp9(Vp9Depacketizer::default()),
            VideoCodec::Av1 => Kind::None,
        };
        Self { kind, captures: [(0, None); 2] }
    }

    /// The stream begins anew; parameter sets stay.
    pub(super) fn begin_anew(&mut self) {
        match &mut self.kind {
            Kind::H264(depacketizer, _) => **depacketizer = h264::Depacketizer::new(),
            Kind::Vp8(depacketizer) => **depacketizer = vp8::Depacketizer::new(),
            Kind::Vp9(depacketizer) => depacketizer.clear(),
            Kind::None => {}
        }
    }

    /// Packets are lost before the next one. Those formats that count for themselves see it.
    pub(super) fn gap(&mut self) {
        if let Kind::Vp9(depacketizer) = &mut self.kind {
            depacketizer.clear();
        }
    }

    /// Takes a packet; the frames that it completes.
    pub(super) fn push(&mut self, packet: &MediaPacket) -> Vec<Result<Frame, Damaged>> {
        let [now, _] = self.captures;
        if now.0 != packet.timestamp {
            self.captures = [(packet.timestamp, packet.capture), now];
        }
        let captures = self.captures;
        let capture = |timestamp: u32| {
            captures.iter().find(|(of, _)| *of == timestamp).and_then(|(_, capture)| *capture)
        };
        let whole = |frame: rtp::payload::Frame| {
            let capture = capture(frame.timestamp);
            let whole = Frame { data: frame.data, key: frame.key, capture };
            if frame.damaged { Err(Damaged) } else { Ok(whole) }
        };
        match &mut self.kind {
            Kind::H264(depacketizer, sets) => {
                let frames = depacketizer.push(packet).into_iter().chain(depacketizer.pop());
                frames.map(|frame| whole(frame).map(|frame| sets.complete(frame))).collect()
            }
            Kind::Vp8(depacketizer) => {
                depacketizer.push(packet).into_iter().chain(depacketizer.pop()).map(whole).collect()
            }
            Kind::Vp9(depacketizer) => match depacketizer.push(&packet.payload) {
                Ok(None) => Vec::new(),
                Ok(Some((data, key))) => {
                    vec![Ok(Frame { data, key, capture: capture(packet.timestamp) })]
                }
                Err(_) => vec![Err(Damaged)],
            },
            Kind::None => Vec::new(),
        }
    }
}

/// The parameter sets that an H.264 stream has shown: some cameras send them once.
#[derive(Default)]
struct ParameterSets {
    sps: Option<Vec<u8>>,
    pps: Vec<Vec<u8>>,
}

impl ParameterSets {
    /// Notes the frame's sets; a key frame without any gets those that are known.
    fn complete(&mut self, frame: Frame) -> Frame {
        let mut has_sps = false;
        for nal in h264::nal_units(&frame.data).filter(|nal| nal.len() <= MAX_PARAMETER_SET) {
            match nal.first().map(|header| h264::nal_type(*header)) {
                Some(7) => {
                    has_sps = true;
                    if self.sps.as_deref() != Some(nal) {
                        self.sps = Some(nal.to_vec());
                        self.pps.clear();
                    }
                }
                Some(8) => self.note_picture_set(nal),
                _ => {}
            }
        }
        if !frame.key || has_sps {
            return frame;
        }
        let mut data = Vec::with_capacity(frame.data.len() + 128);
        for set in self.sps.iter().chain(&self.pps) {
            data.extend_from_slice(&[0, 0, 0, 1]);
            data.extend_from_slice(set);
        }
        data.extend_from_slice(&frame.data);
        Frame { data, ..frame }
    }

    fn note_picture_set(&mut self, nal: &[u8]) {
        // The set's number stands in the first bits of the second byte.
        self.pps.retain(|pps| pps.get(1) != nal.get(1));
        if self.pps.len() >= MAX_PICTURE_SETS {
            self.pps.remove(0);
        }
        self.pps.push(nal.to_vec());
    }
}

/// Cuts one composition's frames into payloads, of which the last bears the marker.
pub(super) enum Cutter {
    H264(h264::Packetizer),
    Vp8(vp8::Packetizer),
}

impl Cutter {
    /// `single_nal`: for H.264 receivers of packetization-mode 0.
    pub(super) fn new(codec: VideoCodec, single_nal: bool) -> Self {
        let mode = if single_nal { h264::Mode::Single } else { h264::Mode::NonInterleaved };
        match codec {
            VideoCodec::H264 => Self::H264(h264::Packetizer::new(mode)),
            _ => Self::Vp8(vp8::Packetizer::new(0)),
        }
    }

    pub(super) fn cut(&mut self, frame: &[u8]) -> Result<Vec<Arc<[u8]>>, PacketizeError> {
        let payloads = match self {
            Self::H264(packetizer) => packetizer.packetize(frame)?,
            Self::Vp8(packetizer) => packetizer.packetize(frame)?,
        };
        Ok(payloads.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(seq: u64, timestamp: u32, payload: &[u8]) -> MediaPacket {
        MediaPacket {
            payload: payload.into(),
            seq,
            timestamp,
            marker: true,
            arrival: Instant::now(),
            format: 0,
            audio_level: None,
            capture: Some(Instant::now()),
        }
    }

    #[test]
    fn parameter_sets_of_an_earlier_packet_stand_before_a_bare_idr() {
        let mut assembler = Assembler::new(VideoCodec::H264);
        assembler.push(&packet(1, 1, &[24, 0, 4, 0x67, 66, 1, 30, 0, 3, 0x68, 1, 9]));
        let idr = packet(2, 2, &[0x65, 1, 2]);
        let frame = assembler.push(&idr).remove(0).ok().unwrap();
        let kinds: Vec<u8> = h264::nal_units(&frame.data).map(|nal| nal[0] & 0x1f).collect();
        assert!(frame.key);
        assert_eq!(kinds, [7, 8, 5]);
        assert_eq!(frame.capture, idr.capture);
        // A stream that begins anew keeps them.
        assembler.begin_anew();
        let frame = assembler.push(&packet(1, 9, &[0x65, 1, 2])).remove(0).ok().unwrap();
        assert_eq!(h264::nal_units(&frame.data).count(), 3);
    }

    #[test]
    fn picture_sets_are_bounded() {
        let mut sets = ParameterSets::default();
        for number in 0..=255 {
            sets.note_picture_set(&[0x68, number, 1]);
        }
        assert_eq!(sets.pps.len(), MAX_PICTURE_SETS);
    }
}
