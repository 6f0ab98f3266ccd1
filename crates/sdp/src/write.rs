//! Our own descriptions, as text.

use std::net::IpAddr;

use sdp_types::{Attribute, Connection, Origin};
use types::{AudioCodec, IceCredentials, VideoCodec};

use crate::{
    crypto::{Crypto, MAX_KEY, SrtpKey},
    dtls::Setup,
    h264::{Level, ProfileLevelId},
    local::{LocalMedia, LocalPorts, LocalVideo},
    model::{Content, Direction, Feedback, Media, Proto},
    negotiate::{self, AUDIO_SHARE, Protection},
    negotiated::{Shape, TelephoneEvent},
    parse::has,
    sharing,
};

/// Label of the main video, as the Cisco and TANDBERG devices have it.
const MAIN_LABEL: &str = "11";

/// Of the one host candidate of the first component (RFC 8445 section 5.1.2.1).
const HOST_PRIORITY: u32 = (126 << 24) + (65_535 << 8) + 255;

/// What every m-line of ours has.
pub(crate) struct Line<'a> {
    pub name: &'a str,
    pub proto: &'a str,
    pub address: IpAddr,
    pub ports: LocalPorts,
    pub mux: bool,
    pub direction: Direction,
    /// Values of `a=crypto`.
    pub crypto: Vec<String>,
    /// Credentials for the peer's checks.
    pub ice: Option<IceCredentials>,
    /// The values of `a=fingerprint` and `a=setup`.
    pub dtls: Option<(String, Setup)>,
}

/// One H.264 or VP8 format of ours.
pub(crate) struct VideoFormat {
    pub payload_type: u8,
    pub codec: VideoCodec,
    /// H.264 only: what we want to receive.
    pub profile: Option<ProfileLevelId>,
    /// H.264 only; `None` writes none, which means 0.
    pub mode: Option<u8>,
    /// H.264 only.
    pub asymmetry: bool,
}

pub(crate) fn session(local: &LocalMedia, medias: Vec<sdp_types::Media>) -> String {
    // The top c= line is in reach of rejected m-lines too: some phones drop a call without it.
    let mut origin = Origin::with_ip_addr(
        local.origin.session_id.to_string(),
        local.origin.version,
        local.address,
    );
    origin.set_username("plenum");
    let mut session = sdp_types::Session::new(origin, "-");
    session.connection = Some(Connection::from_ip_addr(local.address));
    let pictures = medias.iter().any(|media| media.media == "video" && media.port != 0);
    if let Some(video) = local.video.as_ref().filter(|_| pictures) {
        // For devices that know no TIAS: their rate for the whole call, in kbit/s.
        let slides = medias.iter().any(|media| {
            let shared = Attribute::with_value("content", "slides");
            media.port != 0 && media.attributes.contains(&shared)
        });
        let shared = local.sharing.as_ref().filter(|_| slides).map_or(0, |it| it.video.bitrate);
        let bits = video.bitrate.saturating_add(shared).saturating_add(AUDIO_SHARE);
        let bandwidth = bits.div_ceil(1000);
        session.bandwidths = vec![sdp_types::Bandwidth { bwtype: "AS".to_owned(), bandwidth }];
    }
    if medias.iter().any(|media| has(&media.attributes, "ice-ufrag")) {
        session.attributes.push(Attribute::new("ice-lite"));
    }
    session.medias = medias;
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    let _ = session.write(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// An m-line that carries nothing: port 0, the peer's own profile and one format of its.
pub(crate) fn rejected(shape: &Shape) -> sdp_types::Media {
    bare(&shape.name, 0, &shape.proto, shape.format.clone())
}

pub(crate) fn audio(
    line: &Line<'_>,
    codecs: &[(u8, AudioCodec)],
    tones: &[TelephoneEvent],
    ptime: u32,
) -> sdp_types::Media {
    let types = codecs.iter().map(|&(payload_type, _)| payload_type);
    let types = types.chain(tones.iter().map(|tone| tone.payload_type));
    let mut media = start(line, types);
    for &(payload_type, codec) in codecs {
        let map = match codec {
            AudioCodec::Opus => "opus/48000/2",
            AudioCodec::G722 => "G722/8000",
            AudioCodec::Pcma => "PCMA/8000",
            AudioCodec::Pcmu => "PCMU/8000",
        };
        put(&mut media, "rtpmap", format!("{payload_type} {map}"));
        if codec == AudioCodec::Opus {
            put(&mut media, "fmtp", format!("{payload_type} useinbandfec=1"));
        }
    }
    for TelephoneEvent { payload_type, clock } in tones {
        put(&mut media, "rtpmap", format!("{payload_type} telephone-event/{clock}"));
        put(&mut media, "fmtp", format!("{payload_type} 0-15"));
    }
    put(&mut media, "ptime", ptime.to_string());
    finish(media, line)
}

pub(crate) fn video(
    line: &Line<'_>,
    formats: &[VideoFormat],
    local: &LocalVideo,
    feedback: Feedback,
    content: Content,
) -> sdp_types::Media {
    let mut media = start(line, formats.iter().map(|format| format.payload_type));
    media.bandwidths =
        vec![sdp_types::Bandwidth { bwtype: "TIAS".to_owned(), bandwidth: local.bitrate }];
    let (fs, mbps) = (local.cap.macroblocks(), local.cap.macroblocks_per_second());
    for format in formats {
        let payload_type = format.payload_type;
        if format.codec == VideoCodec::H264 {
            put(&mut media, "rtpmap", format!("{payload_type} H264/90000"));
            let profile = format.profile.unwrap_or_else(|| our_profile(local));
            let mut fmtp = format!("{payload_type} profile-level-id={profile}");
            if let Some(mode) = format.mode {
                fmtp += &format!(";packetization-mode={mode}");
            }
            if format.asymmetry {
                fmtp += ";level-asymmetry-allowed=1";
            }
            put(&mut media, "fmtp", fmtp + &format!(";max-mbps={mbps};max-fs={fs}"));
        } else {
            put(&mut media, "rtpmap", format!("{payload_type} VP8/90000"));
            let fps = local.cap.fps;
            put(&mut media, "fmtp", format!("{payload_type} max-fs={fs};max-fr={fps}"));
        }
    }
    for (understood, name) in [
        (feedback.nack, "* nack"),
        (feedback.pli, "* nack pli"),
        (feedback.fir, "* ccm fir"),
        (feedback.tmmbr, "* ccm tmmbr"),
    ] {
        if understood {
            put(&mut media, "rtcp-fb", name.to_owned());
        }
    }
    let (content, label) = match content {
        Content::Main => ("main", MAIN_LABEL),
        Content::Slides => ("slides", sharing::LABEL),
    };
    put(&mut media, "content", content.to_owned());
    put(&mut media, "label", label.to_owned());
    finish(media, line)
}

/// Constrained baseline at the lowest level that holds our picture.
pub(crate) fn our_profile(local: &LocalVideo) -> ProfileLevelId {
    ProfileLevelId { profile_idc: 0x42, constraints: 0xe0, level_idc: 0 }.at(our_level(local))
}

pub(crate) fn our_level(local: &LocalVideo) -> Level {
    Level::holding(local.cap)
}

/// The profile's plain counterpart, for an answer that declines optional encryption.
pub(crate) fn plain(proto: Proto) -> Option<&'static str> {
    match proto {
        Proto::Savp => Some("RTP/AVP"),
        Proto::Savpf => Some("RTP/AVPF"),
        _ => None,
    }
}

/// What an accepted m-line of ours has beside its formats.
pub(crate) fn accepted<'a>(
    peer: &'a Media,
    protection: &Protection<'_>,
    ports: LocalPorts,
    wanted: Direction,
    key: &[u8; MAX_KEY],
    local: &LocalMedia,
) -> Line<'a> {
    let plain = plain(peer.proto).filter(|_| matches!(protection, Protection::Plain));
    let crypto = match protection {
        Protection::Sdes(crypto) => {
            let key = SrtpKey::cut(crypto.suite, key);
            vec![Crypto::line(crypto.tag, &crypto.suite_text, &key)]
        }
        Protection::Plain | Protection::Dtls(_) => Vec::new(),
    };
    let dtls = match (protection, &local.srtp.fingerprint) {
        (Protection::Dtls(dtls), Some(own)) => Some((own.clone(), dtls.setup())),
        _ => None,
    };
    let mux = peer.rtcp_mux && local.rtcp_mux;
    Line {
        name: &peer.name,
        proto: plain.unwrap_or(&peer.proto_text),
        address: local.address,
        ports,
        mux,
        ice: negotiate::ice(peer, mux, local.ice.as_ref()).map(|it| it.local),
        direction: negotiate::direction(peer, wanted),
        crypto,
        dtls,
    }
}

/// A line with one format that is neither sound nor picture.
pub(crate) fn application(line: &Line<'_>, payload_type: u8, map: &str) -> sdp_types::Media {
    let mut media = start(line, [payload_type].into_iter());
    put(&mut media, "rtpmap", format!("{payload_type} {map}"));
    finish(media, line)
}

fn start(line: &Line<'_>, types: impl Iterator<Item = u8>) -> sdp_types::Media {
    let types: Vec<String> = types.map(|payload_type| payload_type.to_string()).collect();
    bare(line.name, line.ports.rtp, line.proto, types.join(" "))
}

pub(crate) fn bare(name: &str, port: u16, proto: &str, fmt: String) -> sdp_types::Media {
    sdp_types::Media {
        media: name.to_owned(),
        port,
        num_ports: None,
        proto: proto.to_owned(),
        fmt,
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes: Vec::new(),
    }
}

fn finish(mut media: sdp_types::Media, line: &Line<'_>) -> sdp_types::Media {
    for crypto in &line.crypto {
        put(&mut media, "crypto", crypto.clone());
    }
    if let Some(IceCredentials { ufrag, password }) = &line.ice {
        put(&mut media, "ice-ufrag", ufrag.clone());
        put(&mut media, "ice-pwd", password.clone());
        let (address, port) = (line.address, line.ports.rtp);
        put(&mut media, "candidate", format!("1 1 UDP {HOST_PRIORITY} {address} {port} typ host"));
    }
    if let Some((fingerprint, setup)) = &line.dtls {
        put(&mut media, "fingerprint", fingerprint.clone());
        put(&mut media, "setup", setup.name().to_owned());
    }
    media.attributes.push(Attribute::new(line.direction.name()));
    if line.mux {
        media.attributes.push(Attribute::new("rtcp-mux"));
    } else if Some(line.ports.rtcp) != line.ports.rtp.checked_add(1) {
        let family = if line.address.is_ipv4() { "IP4" } else { "IP6" };
        put(&mut media, "rtcp", format!("{} IN {family} {}", line.ports.rtcp, line.address));
    }
    media
}

fn put(media: &mut sdp_types::Media, name: &str, value: String) {
    media.attributes.push(Attribute::with_value(name, value));
}
