//! The choices that answering and offering share.

use types::{AudioCodec, IceCredentials, VideoCodec};

use crate::{
    crypto::{Crypto, MAX_KEY, SrtpKey},
    dtls::{self, Dtls},
    h264::{Profile, ProfileLevelId, VideoLimits},
    local::{LocalSrtp, LocalVideo, SrtpPolicy},
    model::{Codec, Direction, Format, Media, Params, Session},
    negotiated::{AudioStream, Ice, Rejection, Srtp, TelephoneEvent, Transport, VideoStream},
};

/// bit/s that a limit on the whole session leaves to sound.
pub(crate) const AUDIO_SHARE: u64 = types::Bandwidth::SOUND;

/// How a line is protected.
#[derive(Clone, Debug)]
pub(crate) enum Protection<'a> {
    /// Not at all.
    Plain,
    /// By this of the peer's keys, and one of ours.
    Sdes(&'a Crypto),
    /// By keys that are to be made.
    Dtls(Dtls),
}

/// How to protect an offered line.
///
/// `RTP/AVP` with keys is best effort: encrypted where we may and want to, else plain.
pub(crate) fn protect<'a>(
    offer: &'a Media,
    local: &LocalSrtp,
) -> Result<Protection<'a>, Rejection> {
    if dtls::is_meant(offer) {
        return dtls::agree(offer, local).map(Protection::Dtls);
    }
    let secure = offer.proto.is_secure();
    let keys = offer.crypto.iter().filter(|crypto| crypto.is_usable());
    let allowed = local.policy != SrtpPolicy::Never && local.keys_allowed;
    let choice = local
        .suites
        .iter()
        .filter(|_| allowed)
        .find_map(|&suite| keys.clone().find(|crypto| crypto.suite == suite));
    match choice {
        Some(crypto) => Ok(Protection::Sdes(crypto)),
        None if local.policy == SrtpPolicy::Required => Err(Rejection::SrtpRequired),
        None if !secure || offer.encryption_optional => Ok(Protection::Plain),
        None if local.policy == SrtpPolicy::Never => Err(Rejection::SrtpForbidden),
        None if !local.keys_allowed => Err(Rejection::KeysNotAllowed),
        None => Err(Rejection::NoSuite),
    }
}

impl Protection<'_> {
    /// Both keys of a line, or how they are made.
    pub(crate) fn settle(&self, random: &[u8; MAX_KEY]) -> (Option<Srtp>, Option<Dtls>) {
        match self {
            Self::Plain => (None, None),
            Self::Sdes(crypto) => (Some(srtp(crypto, random)), None),
            Self::Dtls(dtls) => (None, Some(dtls.clone())),
        }
    }
}

/// Both keys of a line.
pub(crate) fn srtp(crypto: &Crypto, random: &[u8; MAX_KEY]) -> Srtp {
    Srtp { suite: crypto.suite, local: SrtpKey::cut(crypto.suite, random), remote: crypto.key }
}

/// Our direction: what the peer's leaves and what we are willing to do. A peer at 0.0.0.0 is not
/// to be sent to, whatever its direction says (RFC 3264 section 8.4).
pub(crate) fn direction(peer: &Media, local: Direction) -> Direction {
    let held = peer.address.is_some_and(|address| address.is_unspecified());
    Direction::of(
        local.sends() && peer.direction.receives() && !held,
        local.receives() && peer.direction.sends(),
    )
}

/// Checks of the way, where both sides do them and one port is all that there is.
pub(crate) fn ice(peer: &Media, mux: bool, local: Option<&IceCredentials>) -> Option<Ice> {
    let (local, remote) = local.zip(peer.checks.as_ref()).filter(|_| mux)?;
    Some(Ice { local: local.clone(), remote: remote.clone() })
}

pub(crate) fn transport(
    line: usize,
    peer: &Media,
    direction: Direction,
    (mux, ice): (bool, Option<Ice>),
    (srtp, dtls): (Option<Srtp>, Option<Dtls>),
) -> Transport {
    let rtp = peer.rtp();
    // A peer that offers mux and is refused it still has a port for RTCP, the next one.
    let next = || {
        peer.rtp().and_then(|mut next| {
            next.set_port(next.port().checked_add(1)?);
            Some(next)
        })
    };
    let rtcp = if mux {
        rtp
    } else if peer.rtcp_mux {
        next()
    } else {
        peer.rtcp
    };
    Transport {
        line,
        rtp,
        rtcp,
        rtcp_mux: mux,
        send: direction.sends(),
        receive: direction.receives(),
        srtp,
        dtls,
        ice,
        bandwidth: peer.bandwidth.limit(),
    }
}

/// The first of our codecs that the peer has.
pub(crate) fn pick_audio<'a>(formats: &'a [Format], codecs: &[AudioCodec]) -> Option<&'a Format> {
    codecs
        .iter()
        .find_map(|&codec| formats.iter().find(|format| format.codec == Codec::Audio(codec)))
}

/// Touch tones on the codec's clock, or else on any: a phone may have 8 kHz only beside Opus.
pub(crate) fn pick_tones(formats: &[Format], codec: AudioCodec) -> Option<TelephoneEvent> {
    let mut tones = formats.iter().filter(|format| format.codec == Codec::TelephoneEvent);
    tones
        .clone()
        .find(|format| format.clock == codec.clock_rate())
        .or_else(|| tones.next())
        .map(|format| TelephoneEvent { payload_type: format.payload_type, clock: format.clock })
}

/// The best format of the first of our codecs that the peer has.
pub(crate) fn pick_video<'a>(formats: &'a [Format], codecs: &[VideoCodec]) -> Option<&'a Format> {
    codecs.iter().find_map(|&codec| {
        formats
            .iter()
            .filter(|format| format.codec == Codec::Video(codec))
            .filter_map(|format| Some((video_rank(&format.params)?, format)))
            .min_by_key(|&(rank, _)| rank)
            .map(|(_, format)| format)
    })
}

/// Lower is better; `None` cannot be done. A baseline profile goes before the mode, as nothing else
/// can be forwarded to browsers; then mode 1, which lets us send slices of any size.
fn video_rank(params: &Params) -> Option<(u8, u8)> {
    let Params::H264(h264) = params else { return Some((0, 0)) };
    let profile = match h264.profile_level_id.map(ProfileLevelId::profile) {
        None | Some(Profile::ConstrainedBaseline | Profile::Baseline) => 0,
        Some(Profile::Main | Profile::High | Profile::ConstrainedHigh) => 1,
        Some(Profile::Other) => return None,
    };
    match h264.mode() {
        1 => Some((profile, 0)),
        0 => Some((profile, 1)),
        _ => None,
    }
}

/// Milliseconds of sound in a packet: what the peer asks for, where our packetizers can do it.
fn ptime(peer: &Media, codec: AudioCodec) -> u32 {
    const USUAL: u32 = 20;
    let asked = peer.ptime.unwrap_or(USUAL);
    let most = peer.max_ptime.filter(|&most| most >= 10).unwrap_or(u32::MAX);
    let able = |ms: u32| match codec {
        AudioCodec::Opus => matches!(ms, 10 | 20 | 40 | 60),
        _ => matches!(ms, 10 | 20 | 30 | 40 | 60),
    };
    let wanted = if able(asked) { asked } else { USUAL };
    match most {
        _ if wanted <= most => wanted,
        USUAL.. => USUAL,
        _ => 10,
    }
}

/// Sound as agreed with `peer`, once its format is chosen.
pub(crate) fn audio_stream(
    transport: Transport,
    peer: &Media,
    payload_type: u8,
    codec: AudioCodec,
    params: &Params,
) -> AudioStream {
    let opus = if let Params::Opus(opus) = params { *opus } else { Default::default() };
    AudioStream {
        transport,
        codec,
        payload_type,
        receive: vec![(payload_type, codec)],
        opus,
        ptime: ptime(peer, codec),
        telephone_event: pick_tones(&peer.formats, codec),
    }
}

/// Picture as agreed with `peer`, once its format is chosen.
pub(crate) fn video_stream(
    mut transport: Transport,
    session: &Session,
    peer: &Media,
    format: &Format,
    local: &LocalVideo,
) -> VideoStream {
    transport.bandwidth = video_bandwidth(session, peer);
    let bitrate = transport.bandwidth.unwrap_or(u64::MAX).min(local.bitrate);
    let (codec, limits) = match &format.params {
        Params::H264(h264) => (VideoCodec::H264, VideoLimits::of_h264(h264)),
        Params::Vp8(vp8) => (VideoCodec::Vp8, VideoLimits::of_vp8(vp8)),
        _ => (VideoCodec::Vp8, VideoLimits::of_vp8(&Default::default())),
    };
    let h264 = if let Params::H264(h264) = &format.params { Some(h264) } else { None };
    VideoStream {
        transport,
        codec,
        payload_type: format.payload_type,
        receive: vec![(format.payload_type, codec)],
        packetization_mode: h264.map_or(0, |h264| h264.mode()),
        profile: h264.and_then(|h264| h264.profile_level_id),
        parameter_sets: h264.map(|h264| h264.parameter_sets.clone()).unwrap_or_default(),
        limits: limits.capped(local.cap, bitrate),
        feedback: format.feedback.and(local.feedback),
    }
}

/// The stricter of the line's own limit and what the session's leaves beside sound.
fn video_bandwidth(session: &Session, peer: &Media) -> Option<u64> {
    let rest = session.bandwidth.limit().map(|total| total.saturating_sub(AUDIO_SHARE));
    let own = peer.bandwidth.limit();
    own.into_iter().chain(rest).min()
}
