//! What a room system's picture needs before browsers can get it.

use rtp::lane::MediaPacket;
use rtp::payload::h264::{self, Depacketizer, nal_type, nal_units};
use rtp::payload::sps::{ParameterSets, Sps};
use rtp::payload::vp8;
use types::VideoCodec;

const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// Keeps H.264 parameter sets, tells when they are missing, and judges the stream.
#[derive(Debug)]
pub struct Pictures {
    sets: ParameterSets,
    unit: Unit,
    verdict: Option<(VideoCodec, bool)>,
    /// H.264 levels above it are not taken.
    max_level: u8,
    /// Its encoder makes no key frame when it is asked.
    deaf: bool,
}

/// What came of the current access unit.
#[derive(Clone, Copy, Debug, Default)]
struct Unit {
    timestamp: Option<u32>,
    sps: bool,
    pps: bool,
}

/// What is to be known of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// A key frame begins in it.
    pub key: bool,
    /// An IDR picture begins in it whose parameter sets did not come, and we have them.
    pub bare: bool,
    /// Whether every browser decodes it, if that is new.
    pub verdict: Option<bool>,
}

impl Pictures {
    /// `max_level`: the highest `level_idc` that receivers take.
    pub fn new(max_level: u8) -> Self {
        Self {
            sets: ParameterSets::new(),
            unit: Unit::default(),
            verdict: None,
            max_level,
            deaf: false,
        }
    }

    /// The encoder did or did not make a key frame when it was asked. Whether every browser can
    /// get the picture as it comes, if that is new.
    pub fn set_deaf(&mut self, deaf: bool) -> Option<bool> {
        if std::mem::replace(&mut self.deaf, deaf) == deaf {
            return None;
        }
        match self.verdict? {
            (VideoCodec::H264, _) => self.verdict_of_sets(),
            (codec, _) => self.judge(codec, true),
        }
    }

    /// The parameter sets of the peer's SDP.
    pub fn learn(&mut self, sets: &[Vec<u8>]) {
        for set in sets {
            self.sets.learn(set);
        }
    }

    /// All parameter sets, as NAL units.
    pub fn sets(&self) -> impl Iterator<Item = &[u8]> {
        self.sets.iter()
    }

    /// The sizes that H.264 parameter sets name, pixels.
    pub fn sizes(&self) -> impl Iterator<Item = (u32, u32)> {
        self.sets.iter().filter_map(Sps::parse).map(|sps| (sps.width, sps.height))
    }

    /// Looks at the next packet.
    pub fn look(&mut self, packet: &MediaPacket, codec: VideoCodec) -> Look {
        match codec {
            VideoCodec::H264 => self.look_h264(packet),
            VideoCodec::Vp8 => Look {
                key: vp8::starts_key_frame(&packet.payload),
                bare: false,
                verdict: self.judge(codec, true),
            },
            // Room systems have no others.
            VideoCodec::Vp9 | VideoCodec::Av1 => Look::default(),
        }
    }

    fn look_h264(&mut self, packet: &MediaPacket) -> Look {
        if self.unit.timestamp != Some(packet.timestamp) {
            self.unit = Unit { timestamp: Some(packet.timestamp), ..Unit::default() };
        }
        let (idr, learnt) = self.read(packet);
        let unjudged = !matches!(self.verdict, Some((VideoCodec::H264, _)));
        let verdict = if learnt || unjudged { self.verdict_of_sets() } else { None };
        let (mut sps, mut pps) = (false, false);
        for set in self.sets.iter() {
            let kind = set.first().map(|header| nal_type(*header));
            sps |= kind == Some(NAL_SPS);
            pps |= kind == Some(NAL_PPS);
        }
        let complete = self.unit.sps && self.unit.pps;
        let bare = idr && !complete && sps && pps;
        if bare {
            // They will have come before the picture's other slices.
            (self.unit.sps, self.unit.pps) = (true, true);
        }
        Look { key: h264::starts_key_frame(&packet.payload), bare, verdict }
    }

    /// Whether an IDR picture's slice begins in a packet, and whether its parameter sets are new.
    fn read(&mut self, packet: &MediaPacket) -> (bool, bool) {
        let (mut idr, mut learnt) = (false, false);
        let mut note = |this: &mut Self, nal: &[u8]| {
            let Some(header) = nal.first() else { return };
            match nal_type(*header) {
                NAL_IDR => idr = true,
                NAL_SPS => this.unit.sps = true,
                NAL_PPS => this.unit.pps = true,
                _ => return,
            }
            learnt |= this.sets.learn(nal);
        };
        match *packet.payload {
            [header, ..] if nal_type(header) == STAP_A => {
                let whole = MediaPacket { marker: true, ..packet.clone() };
                if let Some(frame) = Depacketizer::new().push(&whole) {
                    nal_units(&frame.data).for_each(|nal| note(self, nal));
                }
            }
            [header, fu, ..] if nal_type(header) == FU_A => {
                idr = fu & 0x80 != 0 && nal_type(fu) == NAL_IDR;
            }
            _ => note(self, &packet.payload),
        }
        (idr, learnt)
    }

    fn verdict_of_sets(&mut self) -> Option<bool> {
        let max_level = self.max_level;
        let yes =
            |sps: Sps| sps.is_constrained_baseline() && !sps.may_reorder && sps.level <= max_level;
        let judged = self.sets.iter().filter_map(Sps::parse).map(yes);
        let yes = judged.reduce(|all, one| all && one)?;
        self.judge(VideoCodec::H264, yes)
    }

    fn judge(&mut self, codec: VideoCodec, yes: bool) -> Option<bool> {
        let yes = yes && !self.deaf;
        (self.verdict.replace((codec, yes)) != Some((codec, yes))).then_some(yes)
    }
}
