//! Format parameters (`a=fmtp`), read the way devices write them.

use base64::Engine as _;

use crate::{crypto::BASE64, h264::ProfileLevelId};

/// Bounds what one peer makes us keep: SPS and PPS of a real encoder are tens of bytes.
const MAX_PARAMETER_SETS: usize = 8;

/// H.264 parameters (RFC 6184 section 8.1). What is absent or unreadable is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct H264 {
    /// Profile and level.
    pub profile_level_id: Option<ProfileLevelId>,
    /// `packetization-mode`; absent means 0.
    pub packetization_mode: Option<u8>,
    /// `level-asymmetry-allowed=1`.
    pub level_asymmetry: bool,
    /// Largest frame, macroblocks.
    pub max_fs: Option<u32>,
    /// Macroblocks a second.
    pub max_mbps: Option<u32>,
    /// Static macroblocks a second.
    pub max_smbps: Option<u32>,
    /// Video bit rate, kbit/s.
    pub max_br: Option<u32>,
    /// Frames a second, in hundredths (3000 is 30).
    pub max_fps: Option<u32>,
    /// Decoded NAL units of `sprop-parameter-sets`, without start codes.
    pub parameter_sets: Vec<Vec<u8>>,
}

impl H264 {
    /// The packetization mode in force.
    pub fn mode(&self) -> u8 {
        self.packetization_mode.unwrap_or(0)
    }
}

/// Opus parameters (RFC 7587 section 6.1): what their writer wants to receive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opus {
    /// Highest sample rate it can play, Hz.
    pub max_playback_rate: Option<u32>,
    /// Highest average bit rate it wants, bit/s.
    pub max_average_bitrate: Option<u32>,
    /// It prefers stereo.
    pub stereo: bool,
    /// It can use in-band error correction.
    pub inband_fec: bool,
    /// It prefers discontinuous transmission.
    pub dtx: bool,
    /// It prefers a constant bit rate.
    pub cbr: bool,
}

/// VP8 parameters (RFC 7741 section 6.1): what their writer can decode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vp8 {
    /// Largest frame, macroblocks.
    pub max_fs: Option<u32>,
    /// Frames a second.
    pub max_fr: Option<u32>,
}

/// Splits `key=value;…` at semicolons outside of braces; a bare flag has an empty value.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut depth = 0_u32;
    text.split(move |c: char| {
        match c {
            '{' => depth = depth.saturating_add(1),
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ';' && depth == 0
    })
    .map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (key.trim(), value.trim())
    })
    .filter(|(key, _)| !key.is_empty())
}

/// Zero is never meant as a limit.
fn number(value: &str) -> Option<u32> {
    value.parse().ok().filter(|&number| number != 0)
}

impl H264 {
    pub(crate) fn read(text: &str) -> Self {
        let mut out = Self::default();
        for (key, value) in pairs(text) {
            match key.to_ascii_lowercase().as_str() {
                "profile-level-id" => out.profile_level_id = ProfileLevelId::read(value),
                "packetization-mode" => out.packetization_mode = value.parse().ok(),
                "level-asymmetry-allowed" => out.level_asymmetry = value == "1",
                "max-fs" => out.max_fs = number(value),
                "max-mbps" => out.max_mbps = number(value),
                "max-smbps" => out.max_smbps = number(value),
                "max-br" => out.max_br = number(value),
                "max-fps" => out.max_fps = number(value).map(hundredths),
                "sprop-parameter-sets" => {
                    let sets = value.split(',').take(MAX_PARAMETER_SETS);
                    out.parameter_sets = sets
                        .filter_map(|set| BASE64.decode(set).ok())
                        .filter(|set| !set.is_empty())
                        .collect();
                }
                _ => {}
            }
        }
        out
    }
}

/// Frame rates under 5 do not occur, so a small number is one of whole frames from a device that
/// did not know the unit.
fn hundredths(max_fps: u32) -> u32 {
    if max_fps < 500 { max_fps.saturating_mul(100) } else { max_fps }
}

impl Opus {
    pub(crate) fn read(text: &str) -> Self {
        let mut out = Self::default();
        for (key, value) in pairs(text) {
            match key.to_ascii_lowercase().as_str() {
                "maxplaybackrate" => out.max_playback_rate = number(value),
                "maxaveragebitrate" => out.max_average_bitrate = number(value),
                "stereo" => out.stereo = value == "1",
                "useinbandfec" => out.inband_fec = value == "1",
                "usedtx" => out.dtx = value == "1",
                "cbr" => out.cbr = value == "1",
                _ => {}
            }
        }
        out
    }
}

impl Vp8 {
    pub(crate) fn read(text: &str) -> Self {
        let mut out = Self::default();
        for (key, value) in pairs(text) {
            match key.to_ascii_lowercase().as_str() {
                "max-fs" => out.max_fs = number(value),
                "max-fr" => out.max_fr = number(value),
                _ => {}
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_semicolon_in_braces_does_not_end_a_parameter() {
        let text = "level-id=60;cap={t:28;level-id=90};x=1";
        let all: Vec<_> = pairs(text).collect();
        assert_eq!(all, [("level-id", "60"), ("cap", "{t:28;level-id=90}"), ("x", "1")]);
    }

    #[test]
    fn spaces_flags_and_empty_parts_are_read_past() {
        let all: Vec<_> = pairs(" a=1;  B = 2 ;;T; ").collect();
        assert_eq!(all, [("a", "1"), ("B", "2"), ("T", "")]);
        assert_eq!(pairs("").count(), 0);
    }

    #[test]
    fn parameter_sets_are_decoded_and_junk_among_them_is_dropped() {
        let h264 = H264::read("sprop-parameter-sets=Z0LgH9oBQBbpUgAAAwACAAADAHnAQA==,*,aM4xUg==");
        assert_eq!(h264.parameter_sets.len(), 2);
        assert_eq!(h264.parameter_sets[0][0] & 0x1f, 7, "the first is an SPS");
        assert_eq!(h264.parameter_sets[1][0] & 0x1f, 8, "the second is a PPS");
    }

    #[test]
    fn a_frame_rate_is_in_hundredths_unless_that_cannot_be_meant() {
        assert_eq!(H264::read("max-fps=3000").max_fps, Some(3000));
        assert_eq!(H264::read("max-fps=30").max_fps, Some(3000));
        assert_eq!(H264::read("max-fps=0").max_fps, None);
    }
}
