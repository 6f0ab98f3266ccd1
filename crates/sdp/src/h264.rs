//! H.264 profiles and levels, and what they allow us to send.

use std::fmt;

use crate::fmtp::{H264, Vp8};

/// The three bytes of `profile-level-id` (RFC 6184 section 8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileLevelId {
    /// `profile_idc`.
    pub profile_idc: u8,
    /// The byte of constraint flags.
    pub constraints: u8,
    /// `level_idc`.
    pub level_idc: u8,
}

impl ProfileLevelId {
    /// Reads six hex digits, or five where a device lost the zero before the level
    /// (`4280D` is 42 80 0D).
    pub fn read(text: &str) -> Option<Self> {
        if !text.is_ascii() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let (front, level) = match text.len() {
            6 | 5 => text.split_at_checked(4)?,
            _ => return None,
        };
        let front = u16::from_str_radix(front, 16).ok()?;
        let level_idc = u8::from_str_radix(level, 16).ok()?;
        let [profile_idc, constraints] = front.to_be_bytes();
        Some(Self { profile_idc, constraints, level_idc })
    }

    /// Which family of bit streams it names (RFC 6184 table 5).
    pub fn profile(self) -> Profile {
        let Self { profile_idc, constraints, .. } = self;
        match profile_idc {
            0x42 if constraints & 0x40 != 0 => Profile::ConstrainedBaseline,
            0x42 => Profile::Baseline,
            0x4d if constraints & 0x80 != 0 => Profile::ConstrainedBaseline,
            0x4d => Profile::Main,
            0x58 if constraints & 0xc0 == 0xc0 => Profile::ConstrainedBaseline,
            0x58 if constraints & 0x80 != 0 => Profile::Baseline,
            0x64 if constraints & 0x0c == 0x0c => Profile::ConstrainedHigh,
            0x64 => Profile::High,
            _ => Profile::Other,
        }
    }

    /// The level that it names; level 1b is told from 1.1 by `constraint_set3_flag`.
    pub fn level(self) -> Level {
        let one_b = self.level_idc == 11
            && self.constraints & 0x10 != 0
            && matches!(self.profile_idc, 0x42 | 0x4d | 0x58);
        if one_b { Level(9) } else { Level(self.level_idc) }
    }

    /// The same profile at another level.
    pub(crate) fn at(self, level: Level) -> Self {
        Self { level_idc: level.0, ..self }
    }
}

impl fmt::Display for ProfileLevelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}{:02x}", self.profile_idc, self.constraints, self.level_idc)
    }
}

/// A family of H.264 bit streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// What browsers send and take.
    ConstrainedBaseline,
    /// The same in practice: no room system sends slice groups.
    Baseline,
    /// Interlace, B-frames, CABAC.
    Main,
    /// High, with 8x8 transforms.
    High,
    /// High without B-frames and interlace.
    ConstrainedHigh,
    /// Extended, professional, scalable or unknown.
    Other,
}

impl Profile {
    /// Browsers decode what a sender of this profile sends.
    pub fn suits_browsers(self) -> bool {
        matches!(self, Self::ConstrainedBaseline | Self::Baseline)
    }
}

/// `level_idc`: ten times the level's number; 9 is level 1b.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(pub u8);

/// H.264 table A-1: level_idc, macroblocks a second, macroblocks a frame, kbit/s.
const TABLE_A1: [(u8, u32, u32, u32); 20] = [
    (9, 1_485, 99, 128),
    (10, 1_485, 99, 64),
    (11, 3_000, 396, 192),
    (12, 6_000, 396, 384),
    (13, 11_880, 396, 768),
    (20, 11_880, 396, 2_000),
    (21, 19_800, 792, 4_000),
    (22, 20_250, 1_620, 4_000),
    (30, 40_500, 1_620, 10_000),
    (31, 108_000, 3_600, 14_000),
    (32, 216_000, 5_120, 20_000),
    (40, 245_760, 8_192, 20_000),
    (41, 245_760, 8_192, 50_000),
    (42, 522_240, 8_704, 50_000),
    (50, 589_824, 22_080, 135_000),
    (51, 983_040, 36_864, 240_000),
    (52, 2_073_600, 36_864, 240_000),
    (60, 4_177_920, 139_264, 240_000),
    (61, 8_355_840, 139_264, 480_000),
    (62, 16_711_680, 139_264, 800_000),
];

impl Level {
    /// Level 3.1: 1280x720 at 30 frames a second.
    pub const L3_1: Self = Self(31);

    /// Limits of table A-1; a number that is no level counts as the next lower one.
    fn limits(self) -> VideoLimits {
        let (_, max_mbps, max_fs, kilobits) = TABLE_A1
            .into_iter()
            .rfind(|&(level, ..)| level <= self.0)
            .unwrap_or((10, 1_485, 99, 64));
        VideoLimits {
            max_fs,
            max_mbps,
            max_fps: DEFAULT_MAX_FPS,
            max_bitrate: u64::from(kilobits) * 1000,
        }
    }

    /// The lowest level in which this picture fits.
    pub(crate) fn holding(picture: Picture) -> Self {
        TABLE_A1
            .into_iter()
            .find(|&(_, max_mbps, max_fs, _)| {
                picture.macroblocks() <= max_fs && picture.macroblocks_per_second() <= max_mbps
            })
            .map_or(Self(62), |(level, ..)| Self(level))
    }
}

/// Hundredths of frames a second where a peer sets no limit: displays show no more.
const DEFAULT_MAX_FPS: u32 = 6_000;

/// No decoder is smaller than this (level 1), whatever a hostile peer writes.
const SMALLEST: Picture = Picture { width: 176, height: 144, fps: 15 };

/// What a receiver can take: the effective limits after level, raises and caps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoLimits {
    /// Macroblocks (16x16) a frame.
    pub max_fs: u32,
    /// Macroblocks a second.
    pub max_mbps: u32,
    /// Frames a second, in hundredths.
    pub max_fps: u32,
    /// Video bit rate, bit/s.
    pub max_bitrate: u64,
}

impl VideoLimits {
    /// What the writer of these parameters can decode. Without `profile-level-id` it is level 3.1,
    /// not RFC 6184's level 1: devices that write none (AVer, old Asterisk) show HD, and level 1
    /// would give them 176x144. A limit below the level's is against the RFC, but devices mean it
    /// (`max-br=520` at level 2.2), and to send less never harms.
    pub fn of_h264(params: &H264) -> Self {
        let level = params.profile_level_id.map_or(Level::L3_1, ProfileLevelId::level);
        let base = level.limits();
        Self {
            max_fs: params.max_fs.unwrap_or(base.max_fs),
            max_mbps: params.max_mbps.unwrap_or(base.max_mbps),
            max_fps: params.max_fps.unwrap_or(base.max_fps),
            max_bitrate: params
                .max_br
                .map_or(base.max_bitrate, |kilobits| u64::from(kilobits) * 1000),
        }
        .at_least_smallest()
    }

    /// What the writer of these parameters can decode; nothing said means 720p at 30.
    pub fn of_vp8(params: &Vp8) -> Self {
        let base = Level::L3_1.limits();
        let max_fs = params.max_fs.unwrap_or(base.max_fs);
        let max_fps = params.max_fr.unwrap_or(30).saturating_mul(100);
        Self {
            max_fs,
            max_mbps: u64::from(max_fs)
                .saturating_mul(u64::from(max_fps) / 100)
                .try_into()
                .unwrap_or(u32::MAX),
            max_fps,
            max_bitrate: base.max_bitrate,
        }
        .at_least_smallest()
    }

    fn at_least_smallest(self) -> Self {
        Self {
            max_fs: self.max_fs.max(SMALLEST.macroblocks()),
            max_mbps: self.max_mbps.max(SMALLEST.macroblocks_per_second()),
            max_fps: self.max_fps.max(u32::from(SMALLEST.fps) * 100),
            max_bitrate: self.max_bitrate.max(MIN_VIDEO_BITRATE),
        }
    }

    /// No more than `cap` needs, and no more than `bitrate` bit/s.
    pub(crate) fn capped(self, cap: Picture, bitrate: u64) -> Self {
        Self {
            max_fs: self.max_fs.min(cap.macroblocks()),
            max_mbps: self.max_mbps.min(cap.macroblocks_per_second()),
            max_fps: self.max_fps.min(u32::from(cap.fps) * 100),
            max_bitrate: self.max_bitrate.min(bitrate.max(MIN_VIDEO_BITRATE)),
        }
        .at_least_smallest()
    }

    /// This picture stays within the limits. Neither side may be longer than the square root of
    /// eight times the frame's macroblocks (H.264 A.3.1).
    pub fn fits(&self, picture: Picture) -> bool {
        let side = u64::from(picture.width.max(picture.height).div_ceil(16));
        picture.macroblocks() <= self.max_fs
            && picture.macroblocks_per_second() <= self.max_mbps
            && u32::from(picture.fps) * 100 <= self.max_fps
            && side * side <= 8 * u64::from(self.max_fs)
    }

    /// The largest wide picture to send: size goes before frame rate, down to 15 frames a second.
    pub fn picture(&self) -> Picture {
        self.largest(&[60, 50, 30, 25, 20, 15])
    }

    /// The largest wide picture of a screen, which is there to be read: size goes before frame rate,
    /// down to 5 frames a second.
    pub fn screen(&self) -> Picture {
        self.largest(&[15, 10, 5])
    }

    fn largest(&self, rates: &[u16]) -> Picture {
        WIDE.into_iter()
            .flat_map(|(width, height)| {
                rates.iter().map(move |&fps| Picture { width, height, fps })
            })
            .find(|&picture| self.fits(picture))
            .unwrap_or(SMALLEST)
    }
}

/// An encoder below this shows nothing of use; also keeps `b=TIAS:1` from stopping it.
const MIN_VIDEO_BITRATE: u64 = 64_000;

/// Sizes of (nearly) 16:9 that encoders take, largest first.
const WIDE: [(u16, u16); 9] = [
    (1920, 1080),
    (1280, 720),
    (1024, 576),
    (848, 480),
    (640, 360),
    (512, 288),
    (416, 240),
    (320, 180),
    (208, 112),
];

/// Size and rate of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels across.
    pub width: u16,
    /// Pixels down.
    pub height: u16,
    /// Frames a second.
    pub fps: u16,
}

impl Picture {
    /// Macroblocks of one frame, those at the edges counted whole.
    pub fn macroblocks(self) -> u32 {
        u32::from(self.width.div_ceil(16)) * u32::from(self.height.div_ceil(16))
    }

    /// Macroblocks a second.
    pub fn macroblocks_per_second(self) -> u32 {
        self.macroblocks().saturating_mul(u32::from(self.fps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HD: Picture = Picture { width: 1280, height: 720, fps: 30 };

    fn limits(fmtp: &str) -> VideoLimits {
        VideoLimits::of_h264(&H264::read(fmtp))
    }

    #[test]
    fn a_lost_zero_before_the_level_is_put_back() {
        let short = ProfileLevelId::read("4280D").unwrap();
        assert_eq!(short, ProfileLevelId::read("42800d").unwrap());
        assert_eq!(short.to_string(), "42800d");
        assert_eq!(short.level(), Level(13));
        for damaged in ["", "428", "42800d0", "42 80d", "é800d", "+2800d"] {
            assert_eq!(ProfileLevelId::read(damaged), None, "{damaged}");
        }
    }

    #[test]
    fn profiles_are_told_apart_by_their_constraint_flags() {
        let profile = |text| ProfileLevelId::read(text).unwrap().profile();
        assert_eq!(profile("42e01f"), Profile::ConstrainedBaseline);
        assert_eq!(profile("42801f"), Profile::Baseline);
        assert_eq!(profile("420016"), Profile::Baseline);
        assert_eq!(profile("4d8020"), Profile::ConstrainedBaseline);
        assert_eq!(profile("4d4028"), Profile::Main);
        assert_eq!(profile("64001f"), Profile::High);
        assert_eq!(profile("640C16"), Profile::ConstrainedHigh);
        assert_eq!(profile("56001f"), Profile::Other);
    }

    #[test]
    fn level_one_b_is_known_by_its_flag() {
        assert_eq!(ProfileLevelId::read("42f00b").unwrap().level(), Level(9));
        assert_eq!(ProfileLevelId::read("42e00b").unwrap().level(), Level(11));
        assert_eq!(ProfileLevelId::read("64100b").unwrap().level(), Level(11));
    }

    #[test]
    fn a_level_is_raised_by_its_own_limits() {
        assert_eq!(limits("profile-level-id=42800d").picture().height, 240);
        let raised = limits("profile-level-id=42800d;max-mbps=489600;max-fs=8160;max-fps=6000");
        assert_eq!(raised.picture(), Picture { width: 1920, height: 1080, fps: 60 });
        assert_eq!(raised.capped(HD, 2_000_000).picture(), HD);
    }

    #[test]
    fn size_is_kept_before_frame_rate() {
        let text = limits("profile-level-id=42e01f;max-fs=8192");
        assert_eq!((text.picture().height, text.picture().fps), (720, 30));
        assert_eq!((text.screen().height, text.screen().fps), (1080, 10));
        let slow = limits("profile-level-id=42e01f;max-mbps=58000;max-fs=3840");
        assert_eq!(slow.picture(), Picture { width: 1280, height: 720, fps: 15 });
    }

    #[test]
    fn absurd_limits_still_leave_a_picture() {
        let tiny = limits("profile-level-id=420000;max-fs=1;max-mbps=1;max-br=1");
        assert!(tiny.fits(tiny.picture()));
        let huge = limits("profile-level-id=4200ff;max-fs=4294967295;max-mbps=4294967295");
        assert_eq!(huge.capped(HD, u64::MAX).picture(), HD);
        let vp8 = Vp8 { max_fs: Some(u32::MAX), max_fr: Some(u32::MAX) };
        assert_eq!(VideoLimits::of_vp8(&vp8).capped(HD, 1).picture(), HD);
    }

    #[test]
    fn the_lowest_level_that_holds_a_picture_is_found() {
        assert_eq!(Level::holding(HD), Level::L3_1);
        assert_eq!(Level::holding(Picture { width: 640, height: 360, fps: 15 }), Level(22));
        assert_eq!(Level::holding(Picture { fps: 60, ..HD }), Level(32));
    }
}
