//! Media kinds, codecs and where a track comes from.

use serde::{Deserialize, Serialize};

/// Sound or picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Picture, camera or screen.
    Video,
}

/// An audio codec that some participant may send or receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    /// RFC 6716; RTP clock 48 kHz.
    Opus,
    /// ITU-T G.722; 16 kHz sound on an RTP clock of 8 kHz (RFC 3551 section 4.5.2).
    G722,
    /// G.711 A-law, 8 kHz.
    Pcma,
    /// G.711 µ-law, 8 kHz.
    Pcmu,
}

impl AudioCodec {
    /// Ticks a second of the RTP timestamp.
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::G722 | Self::Pcma | Self::Pcmu => 8_000,
        }
    }

    /// Samples a second of the sound that the codec carries.
    pub const fn sample_rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::G722 => 16_000,
            Self::Pcma | Self::Pcmu => 8_000,
        }
    }
}

/// A video codec; the RTP clock of all of them is 90 kHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// ITU-T H.264, RFC 6184.
    H264,
    /// RFC 6386, RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// AOM's AV1 and its RTP payload format.
    Av1,
}

impl VideoCodec {
    /// Ticks a second of the RTP timestamp.
    pub const CLOCK_RATE: u32 = 90_000;
}

/// What a track shows or plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackSource {
    /// The publisher did not say.
    Unknown,
    /// A person's or room's camera.
    Camera,
    /// A person's or room's microphone.
    Microphone,
    /// A shared screen.
    ScreenShare,
    /// The sound of a shared screen.
    ScreenShareAudio,
}

/// What stands behind a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParticipantKind {
    /// A person in a browser or an app.
    Standard,
    /// A room system or phone on a SIP leg.
    Sip,
    /// A program that takes part, such as an agent.
    Agent,
}

/// A codec of either kind, with a number of its own for the lanes between the planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Sound.
    Audio(AudioCodec),
    /// Picture.
    Video(VideoCodec),
}

impl Codec {
    const ALL: [Self; 8] = [
        Self::Audio(AudioCodec::Opus),
        Self::Audio(AudioCodec::G722),
        Self::Audio(AudioCodec::Pcma),
        Self::Audio(AudioCodec::Pcmu),
        Self::Video(VideoCodec::H264),
        Self::Video(VideoCodec::Vp8),
        Self::Video(VideoCodec::Vp9),
        Self::Video(VideoCodec::Av1),
    ];

    /// Sound or picture.
    pub const fn kind(self) -> MediaKind {
        match self {
            Self::Audio(_) => MediaKind::Audio,
            Self::Video(_) => MediaKind::Video,
        }
    }

    /// Ticks a second of the RTP timestamp.
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Audio(codec) => codec.clock_rate(),
            Self::Video(_) => VideoCodec::CLOCK_RATE,
        }
    }

    /// The media type as signalling names it, such as `video/VP8`.
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Audio(AudioCodec::Opus) => "audio/opus",
            Self::Audio(AudioCodec::G722) => "audio/G722",
            Self::Audio(AudioCodec::Pcma) => "audio/PCMA",
            Self::Audio(AudioCodec::Pcmu) => "audio/PCMU",
            Self::Video(VideoCodec::H264) => "video/H264",
            Self::Video(VideoCodec::Vp8) => "video/VP8",
            Self::Video(VideoCodec::Vp9) => "video/VP9",
            Self::Video(VideoCodec::Av1) => "video/AV1",
        }
    }

    /// The codec's number on a lane; [`Codec::from_number`] reads it back.
    pub fn number(self) -> u8 {
        Self::ALL.iter().position(|codec| *codec == self).unwrap_or_default() as u8
    }

    /// The codec of a media type, whose letters may be of either case.
    pub fn from_mime(mime: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.mime().eq_ignore_ascii_case(mime))
    }

    /// The codec of a lane's number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_codecs_number_reads_back() {
        for codec in Codec::ALL {
            assert_eq!(Codec::from_number(codec.number()), Some(codec));
        }
        assert_eq!(Codec::from_number(200), None);
    }
}
