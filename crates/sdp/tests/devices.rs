//! Every device whose messages we know: each gets an answer that it can use.
//!
//! The messages are the project's own, modelled line by line on what the devices send, oddities
//! included; addresses, names and keys are invented.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{local, vector};
use sdp::{
    Codec, Content, Direction, DtlsFault, Feedback, Kind, Level, Local, LocalMedia, Negotiated,
    NegotiationError, Params, Picture, Profile, Proto, Rejection, Session, SrtpPolicy, Suite,
    answer, complete, offer, parse,
};
use types::{
    AudioCodec::{self, *},
    VideoCodec::{self, *},
};

/// What a device's message leads to.
struct Seen {
    peer: Session,
    negotiated: Negotiated,
    /// Our answer, where the message was an offer.
    text: String,
}

impl Seen {
    fn kinds(&self) -> Vec<Kind> {
        self.peer.media.iter().map(|media| media.kind).collect()
    }

    fn has(&self, line: &str) -> bool {
        self.text.lines().any(|own| own == line)
    }

    fn video(&self) -> &sdp::VideoStream {
        self.negotiated.video.as_ref().unwrap()
    }

    fn audio(&self) -> &sdp::AudioStream {
        self.negotiated.audio.as_ref().unwrap()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Offer,
    Answer,
}
use Role::{Answer, Offer};

struct Case {
    name: &'static str,
    role: Role,
    /// Codec and payload type.
    audio: Option<(AudioCodec, u8)>,
    /// Payload type and clock.
    tones: Option<(u8, u32)>,
    /// Codec, payload type, packetization mode.
    video: Option<(VideoCodec, u8, u8)>,
    /// The picture we may send: width, height, frames a second; and bit/s.
    picture: Option<(u16, u16, u16, u64)>,
    /// PLI, FIR, TMMBR.
    feedback: [bool; 3],
    /// Tag and suite of the audio line's, or else the video line's key.
    srtp: Option<(u32, Suite)>,
    /// What is odd about the device.
    odd: fn(&Seen),
}

const HD: (u16, u16, u16, u64) = (1280, 720, 30, 2_000_000);
const ALL: [bool; 3] = [true, true, true];
const NONE: [bool; 3] = [false, false, false];
const MAIN: Kind = Kind::Video(Content::Main);
const SLIDES: Kind = Kind::Video(Content::Slides);
const TONES: Option<(u8, u32)> = Some((101, 8_000));

fn hd(bitrate: u64) -> Option<(u16, u16, u16, u64)> {
    Some((HD.0, HD.1, HD.2, bitrate))
}

/// The H.264 parameters of a format.
fn h264(session: &Session, line: usize, payload_type: u8) -> &sdp::H264 {
    match &session.media[line].format(payload_type).unwrap().params {
        Params::H264(params) => params,
        other => panic!("no H.264: {other:?}"),
    }
}

fn cases() -> Vec<Case> {
    let mut all = polycom();
    all.extend(tandberg());
    all.extend(cisco());
    all.extend(others());
    all.extend(servers());
    all
}

fn polycom() -> Vec<Case> {
    vec![
        Case {
            name: "polycom-svc-avp",
            role: Offer,
            audio: Some((G722, 9)),
            tones: Some((119, 8_000)),
            video: Some((H264, 110, 1)),
            picture: hd(960_000),
            feedback: ALL,
            srtp: None,
            odd: |seen| {
                assert_eq!(seen.kinds(), [Kind::Audio, MAIN, Kind::Bfcp, Kind::Fecc]);
                assert_eq!(seen.peer.media[1].proto, Proto::Avp, "feedback under plain AVP");
                assert_eq!(h264(&seen.peer, 1, 109).packetization_mode, None);
                assert_eq!(h264(&seen.peer, 1, 109).max_br, Some(20_010), "a space after ;");
                let codec = |kind| seen.peer.media[1].format(kind).unwrap().codec;
                assert_eq!(codec(106), Codec::Other, "H264-SVC is no H264");
                assert_eq!(seen.peer.media[1].format(116).unwrap().clock, 9_000);
                assert!(seen.has("a=fmtp:110 profile-level-id=42801f;packetization-mode=1;max-mbps=108000;max-fs=3600"));
                assert!(seen.has("m=application 0 UDP/BFCP *"));
            },
        },
        Case {
            name: "polycom-svc-savp",
            role: Offer,
            audio: Some((G722, 9)),
            tones: Some((119, 8_000)),
            video: Some((H264, 110, 1)),
            picture: hd(832_000),
            feedback: ALL,
            srtp: Some((1, Suite::AesCm128Sha1_80)),
            odd: |seen| {
                assert_eq!(seen.peer.media[0].crypto[0].lifetime, Some(31));
                assert_eq!(seen.peer.media[2].proto, Proto::Other, "BFCP stays in the clear");
                assert_eq!(seen.peer.media[3].kind, Kind::Fecc);
                assert!(seen.has("m=application 0 RTP/SAVP 100"));
                assert_eq!(seen.peer.media[1].format(96).unwrap().codec, Codec::Other, "…;T");
            },
        },
        Case {
            name: "polycom-group-lpr-first",
            role: Offer,
            audio: Some((G722, 9)),
            tones: TONES,
            video: Some((H264, 110, 1)),
            picture: hd(960_000),
            feedback: [false, true, false],
            srtp: None,
            odd: |seen| {
                assert_eq!(seen.kinds(), [Kind::Audio, MAIN, Kind::Fecc, Kind::Bfcp]);
                assert_eq!(seen.peer.media[1].formats[0].name, "vnd.polycom.lpr");
                assert_eq!(h264(&seen.peer, 1, 110).max_fs, Some(8192));
                assert!(!seen.text.contains("nack pli"), "only what the device understands");
            },
        },
        Case {
            name: "polycom-group-damaged",
            role: Offer,
            audio: Some((G722, 9)),
            tones: TONES,
            video: Some((H264, 110, 1)),
            picture: hd(960_000),
            feedback: [false, true, false],
            srtp: None,
            odd: |seen| {
                assert_eq!(h264(&seen.peer, 1, 111).max_mbps, None, "its line was cut in two");
                assert_eq!(h264(&seen.peer, 1, 111).mode(), 1);
                assert_eq!(seen.peer.media[1].format(96).unwrap().clock, 90_000, "trailing space");
                assert_eq!(seen.peer.media[1].format(31).unwrap().name, "H261", "static mapping");
            },
        },
        Case {
            name: "polycom-hdx-two-tokens",
            role: Offer,
            audio: Some((G722, 9)),
            tones: Some((119, 8_000)),
            video: Some((H264, 110, 1)),
            picture: hd(960_000),
            feedback: [false, true, true],
            srtp: None,
            odd: |seen| {
                assert_eq!(h264(&seen.peer, 1, 110).max_br, Some(5120));
                assert!(seen.has("a=rtcp-fb:* ccm fir") && seen.has("a=rtcp-fb:* ccm tmmbr"));
                assert_eq!(seen.peer.media.len(), 3, "no BFCP");
            },
        },
        Case {
            name: "polycom-studio",
            role: Offer,
            audio: Some((G722, 9)),
            tones: TONES,
            video: Some((H264, 110, 1)),
            picture: hd(2_000_000),
            feedback: [false, true, true],
            srtp: None,
            odd: |seen| {
                assert_eq!(seen.kinds(), [Kind::Audio, MAIN, Kind::Fecc, Kind::Bfcp]);
                let names: Vec<_> =
                    seen.peer.media[1].formats.iter().map(|f| f.name.as_str()).take(2).collect();
                assert_eq!(names, ["vnd.polycom.lpr", "H265"]);
            },
        },
        Case {
            name: "polycom-studio-unoffered-answer",
            role: Answer,
            audio: Some((Pcmu, 0)),
            tones: None,
            video: Some((H264, 111, 1)),
            picture: hd(2_000_000),
            feedback: [false, true, true],
            srtp: None,
            odd: |seen| {
                assert_eq!(seen.kinds(), [Kind::Audio, MAIN, Kind::Other, Kind::Bfcp, SLIDES]);
                assert_eq!(seen.video().profile.unwrap().profile(), Profile::High);
                let receive = &seen.video().receive;
                assert_eq!(receive, &[(111, H264), (126, H264), (97, H264)], "its type and ours");
            },
        },
        Case {
            name: "polycom-phone-h263-answer",
            role: Answer,
            audio: Some((G722, 9)),
            tones: TONES,
            video: Some((H264, 96, 0)),
            picture: Some((416, 240, 30, 384_000)),
            feedback: NONE,
            srtp: None,
            odd: |seen| {
                assert_eq!(seen.peer.media[1].formats[0].name, "H263", "before H.264");
                assert_eq!(seen.video().profile.unwrap().level(), Level(13));
            },
        },
    ]
}

fn tandberg() -> Vec<Case> {
    vec![
        Case {
            name: "tandberg-best-effort-keys",
            role: Offer,
            audio: Some((G722, 9)),
            tones: TONES,
            video: Some((H264, 98, 1)),
            picture: Some((640, 360, 30, 906_000)),
            feedback: [true, false, false],
            srtp: Some((0, Suite::AesCm128Sha1_80)),
            odd: |seen| {
                let audio = &seen.peer.media[0];
                assert_eq!(audio.proto, Proto::Avp, "keys under the plain profile");
                let pick = |i: usize| (audio.crypto[i].tag, audio.crypto[i].unencrypted_srtcp);
                assert_eq!([pick(0), pick(1), pick(2)], [(0, false), (1, true), (2, false)]);
                assert_eq!(audio.crypto[0].key, audio.crypto[1].key, "the same key twice");
                assert_eq!(audio.crypto[0].lifetime, Some(48));
                let static_11 = audio.format(11).unwrap();
                assert_eq!((static_11.name.as_str(), static_11.clock), ("L16", 16_000));
                assert_eq!(h264(&seen.peer, 1, 98).max_fps, Some(3_000), "hundredths");
                assert_eq!(seen.peer.media[3].label.as_deref(), Some("12"));
                assert!(seen.has("m=audio 20000 RTP/AVP 9 101"), "the profile is mirrored");
            },
        },
        Case {
            name: "tandberg-c-five-lines",
            role: Offer,
            audio: Some((G722, 9)),
            tones: TONES,
            video: Some((H264, 98, 1)),
            picture: hd(2_000_000),
            feedback: [true, false, false],
            srtp: None,
            odd: |seen| {
                assert_eq!(seen.kinds(), [Kind::Audio, MAIN, Kind::Bfcp, SLIDES, Kind::Fecc]);
                assert_eq!(h264(&seen.peer, 1, 98).max_mbps, Some(108_000));
                assert_eq!(h264(&seen.peer, 3, 98).max_mbps, Some(58_000), "slides differ");
                assert_eq!(seen.peer.media[0].formats[0].name, "MP4A-LATM");
            },
        },
        Case {
            name: "tandberg-c-two-profiles-answer",
            role: Answer,
            audio: Some((Pcma, 8)),
            tones: TONES,
            video: Some((H264, 126, 1)),
            picture: hd(1_936_000),
            feedback: ALL,
            srtp: None,
            odd: |seen| {
                assert_eq!(h264(&seen.peer, 1, 126).profile_level_id.unwrap().constraints, 0x80);
                assert_eq!(h264(&seen.peer, 1, 97).profile_level_id.unwrap().constraints, 0);
                assert_eq!(seen.audio().receive, [(8, Pcma), (0, Pcmu)], "it may change");
                assert_eq!(seen.peer.media[2].first_format, "0", "rejected slides");
            },
        },
        Case {
            name: "tandberg-mxp-short-profile",
            role: Offer,
            audio: Some((G722, 9)),
            tones: TONES,
            video: Some((H264, 99, 0)),
            picture: Some((512, 288, 20, 704_000)),
            feedback: NONE,
            srtp: None,
            odd: |seen| {
                assert_eq!(seen.video().profile.unwrap().to_string(), "42800d", "4280D");
                assert!(seen.has("a=fmtp:99 profile-level-id=42800d;max-mbps=108000;max-fs=3600"));
            },
        },
    ]
}

fn cisco() -> Vec<Case> {
    vec![
        Case {
            name: "cisco-ce-h265-first",
            role: Offer,
            audio: Some((Opus, 114)),
            tones: TONES,
            video: Some((H264, 126, 1)),
            picture: hd(2_000_000),
            feedback: ALL,
            srtp: None,
            odd: |seen| {
                let kinds = [Kind::Audio, MAIN, Kind::Bfcp, SLIDES, Kind::Fecc, Kind::Other];
                assert_eq!(seen.kinds(), kinds);
                assert_eq!(seen.peer.media[1].formats[0].name, "H265");
                assert_eq!(seen.peer.media[1].format(123).unwrap().clock, 8_000, "under video");
                assert_eq!(h264(&seen.peer, 3, 126).max_fs, Some(32_400));
                assert!(seen.audio().opus.stereo);
                assert_eq!(seen.audio().opus.max_average_bitrate, Some(128_000));
                assert_eq!(seen.peer.media[5].fingerprints[0].hash, "sha-1");
                assert!(seen.has("m=application 0 UDP/UDT/IX *"));
            },
        },
        Case {
            name: "cisco-sx-multistream",
            role: Offer,
            audio: Some((Opus, 114)),
            tones: TONES,
            video: Some((H264, 126, 1)),
            picture: hd(2_000_000),
            feedback: ALL,
            srtp: None,
            odd: |seen| {
                for declined in ["sprop-", "cisco-scr", "virtualid", "extmap"] {
                    assert!(!seen.text.contains(declined), "one screen: {declined}");
                }
            },
        },
        Case {
            name: "jabber-no-top-connection",
            role: Offer,
            audio: Some((Opus, 114)),
            tones: TONES,
            video: Some((H264, 126, 1)),
            picture: hd(2_000_000),
            feedback: ALL,
            srtp: None,
            odd: |seen| {
                assert_eq!(seen.peer.connection, None);
                assert_eq!(
                    seen.video().transport.rtp,
                    Some("203.0.113.173:18412".parse().unwrap())
                );
                assert_eq!(seen.peer.media[1].direction, Direction::RecvOnly);
                assert_eq!(seen.peer.media[2].direction, Direction::SendRecv);
                assert!(seen.video().transport.send && !seen.video().transport.receive);
                assert_eq!(h264(&seen.peer, 1, 126).max_fs, Some(3601));
                assert!(h264(&seen.peer, 1, 97).level_asymmetry);
                assert_eq!(seen.peer.media[4].rtcp.unwrap().port(), 41_427);
                assert!(
                    seen.text.contains("42e01f;packetization-mode=1;level-asymmetry-allowed=1")
                );
            },
        },
        Case {
            name: "cisco-phone-recvonly",
            role: Offer,
            audio: Some((Opus, 114)),
            tones: TONES,
            video: Some((H264, 126, 1)),
            picture: hd(2_000_000),
            feedback: ALL,
            srtp: None,
            odd: |seen| {
                let high = h264(&seen.peer, 1, 100).profile_level_id.unwrap();
                assert_eq!(high.profile(), Profile::ConstrainedHigh, "its first choice");
                assert!(seen.video().profile.unwrap().profile().suits_browsers(), "ours");
                assert_eq!(seen.audio().opus.max_playback_rate, Some(16_000));
                assert!(seen.video().transport.send && !seen.video().transport.receive);
                assert!(seen.has("a=sendonly"));
            },
        },
        Case {
            name: "cucm-one-codec-answer",
            role: Answer,
            audio: Some((G722, 9)),
            tones: TONES,
            video: Some((H264, 126, 1)),
            picture: hd(960_000),
            feedback: ALL,
            srtp: None,
            odd: |seen| {
                let rtp = seen.audio().transport.rtp.unwrap();
                assert_eq!(rtp.ip().to_string(), "192.0.2.175", "c=, not o=");
                assert_eq!(seen.audio().transport.rtcp.unwrap().port(), 43_931);
                assert!(seen.audio().transport.send && seen.audio().transport.receive);
            },
        },
        Case {
            name: "expressway-savp-four-keys",
            role: Offer,
            audio: Some((Opus, 100)),
            tones: TONES,
            video: Some((H264, 98, 1)),
            picture: hd(1_856_000),
            feedback: ALL,
            srtp: Some((1, Suite::AesCm128Sha1_80)),
            odd: |seen| {
                let tags: Vec<_> = seen.peer.media[1].crypto.iter().map(|c| c.tag).collect();
                assert_eq!(tags, [1, 2, 3, 4]);
                assert_eq!(h264(&seen.peer, 1, 97).packetization_mode, Some(0), "written out");
                let name = |line: usize| seen.peer.media[line].format(96).unwrap().name.as_str();
                assert_eq!(
                    [name(0), name(1), name(2), name(4)],
                    ["MP4A-LATM", "H265", "H264", "H224"]
                );
                assert_eq!(seen.video().transport.rtcp.unwrap().port(), 50_721);
                assert_eq!(seen.text.matches("a=crypto:").count(), 2, "one for each line");
            },
        },
        Case {
            name: "cms-six-lines",
            role: Offer,
            audio: Some((Opus, 108)),
            tones: TONES,
            video: Some((H264, 116, 1)),
            picture: hd(1_453_000),
            feedback: [true, true, false],
            srtp: None,
            odd: |seen| {
                let kinds = [Kind::Audio, MAIN, SLIDES, Kind::Bfcp, Kind::Fecc, Kind::Other];
                assert_eq!(seen.kinds(), kinds);
                assert_eq!(seen.peer.bandwidth.conference, Some(2_000));
                assert_eq!(seen.peer.media[0].formats.len(), 20);
                assert_eq!(seen.video().profile.unwrap().level(), Level(13), "far below max-fs");
                assert_eq!(seen.peer.media[4].port % 2, 1, "FECC on an odd port");
                let name = |line: usize| seen.peer.media[line].format(100).unwrap().name.as_str();
                assert_eq!([name(0), name(1), name(4)], ["G7221", "VP8", "H224"]);
            },
        },
        Case {
            name: "webex-main-rejected",
            role: Offer,
            audio: Some((Opus, 98)),
            tones: TONES,
            video: None,
            picture: None,
            feedback: NONE,
            srtp: None,
            odd: |seen| {
                assert_eq!(seen.negotiated.rejected[0], (1, Rejection::ByPeer));
                assert_eq!(seen.negotiated.rejected[1], (2, Rejection::NotOurs));
                assert!(seen.has("m=video 0 RTP/AVP *"));
                let address = |line: usize| seen.peer.media[line].address.unwrap().to_string();
                assert_eq!([address(0), address(2)], ["192.0.2.179", "192.0.2.180"]);
                assert_eq!(h264(&seen.peer, 2, 126).max_br, Some(2_000), "two spaces");
                assert_eq!(seen.peer.media[2].crypto[0].lifetime, None);
                assert!(seen.peer.media[2].ice, "ice-pwd alone");
            },
        },
    ]
}

fn others() -> Vec<Case> {
    vec![
        Case {
            name: "lifesize-control-line",
            role: Offer,
            audio: Some((G722, 9)),
            tones: TONES,
            video: Some((H264, 96, 1)),
            picture: hd(2_000_000),
            feedback: ALL,
            srtp: None,
            odd: |seen| {
                let kinds = [Kind::Audio, MAIN, Kind::Fecc, Kind::Other, Kind::Bfcp];
                assert_eq!(seen.kinds(), kinds);
                assert!(seen.has("m=control 0 RTP/AVP 96"), "the line is kept");
                assert_eq!(seen.peer.media[3].direction, Direction::Inactive);
                assert!(seen.has("m=application 0 TCP/BFCP *"));
            },
        },
        Case {
            name: "aver-tcp-bfcp",
            role: Offer,
            audio: Some((Pcma, 8)),
            tones: TONES,
            video: Some((H264, 96, 0)),
            picture: hd(2_000_000),
            feedback: NONE,
            srtp: None,
            odd: |seen| {
                assert_eq!(seen.kinds(), [Kind::Audio, MAIN, SLIDES, Kind::Bfcp]);
                assert_eq!(h264(&seen.peer, 1, 96), &sdp::H264::default(), "no fmtp at all");
                assert_eq!(seen.peer.media[3].setup, Some(sdp::Setup::Passive));
            },
        },
        Case {
            name: "hexmeet-one-port",
            role: Offer,
            audio: None,
            tones: None,
            video: Some((H264, 99, 1)),
            picture: hd(1_984_000),
            feedback: [true, true, false],
            srtp: Some((3, Suite::AesCm128Sha1_80)),
            odd: |seen| {
                assert_eq!(seen.negotiated.rejected[0], (0, Rejection::NoCodec), "ARLY alone");
                let crypto = &seen.peer.media[0].crypto;
                assert_eq!(crypto[0].suite, Suite::AesCm256Sha1_80);
                assert_eq!(crypto[0].key.key().len(), 32);
                let transport = &seen.video().transport;
                assert_eq!(transport.rtcp, transport.rtp, "a=rtcp names the RTP port");
                assert!(!transport.rtcp_mux);
                assert_eq!(seen.peer.media[3].kind, Kind::Fecc, "fmtp without a value");
            },
        },
        Case {
            name: "optional-encryption",
            role: Offer,
            audio: Some((G722, 9)),
            tones: Some((97, 8_000)),
            video: Some((H264, 96, 1)),
            picture: hd(1_984_000),
            feedback: NONE,
            srtp: Some((1, Suite::AesCm128Sha1_80)),
            odd: |seen| {
                assert!(seen.peer.media[0].encryption_optional);
                assert_eq!(seen.peer.media[0].format(101).unwrap().name, "G7221");
                assert_eq!((seen.peer.id.as_str(), seen.peer.version), ("0", 0));
                let plain = LocalMedia {
                    srtp: sdp::LocalSrtp::new(SrtpPolicy::Optional, false),
                    ..local()
                };
                let plain = answer(&seen.peer, &plain).unwrap();
                assert!(plain.text.contains("m=audio 20000 RTP/AVP 9 97"), "AVP may be answered");
                assert!(!plain.text.contains("a=crypto"));
            },
        },
        Case {
            name: "text-and-capabilities",
            role: Offer,
            audio: Some((Opus, 111)),
            tones: TONES,
            video: Some((H264, 96, 1)),
            picture: Some((640, 360, 20, 520_000)),
            feedback: ALL,
            srtp: None,
            odd: |seen| {
                assert_eq!(seen.kinds(), [Kind::Audio, MAIN, Kind::Other]);
                assert_eq!(seen.peer.media[0].format(9).unwrap().channels, 1, "/1");
                assert!(seen.audio().transport.rtcp_mux, "mux under AVP");
                assert_eq!(seen.audio().transport.rtcp, seen.audio().transport.rtp);
                let both = seen.peer.media[1].bandwidth;
                assert_eq!((both.tias, both.application), (Some(520_000), Some(520)));
                assert!(seen.has("m=text 0 RTP/AVP 98"));
                assert!(!seen.video().feedback.nack, "offered, but we cannot resend");
            },
        },
        Case {
            name: "yealink-opus-answer",
            role: Answer,
            audio: Some((Opus, 102)),
            tones: TONES,
            video: None,
            picture: None,
            feedback: NONE,
            srtp: None,
            odd: |seen| {
                assert_eq!(seen.audio().opus.max_average_bitrate, Some(20_000));
                assert_eq!(seen.audio().receive, [(102, Opus), (114, Opus)]);
                assert_eq!(seen.audio().transport.rtcp.unwrap().port(), 44_787);
                assert_eq!(seen.negotiated.rejected, [(1, Rejection::ByPeer)], "no second line");
            },
        },
        Case {
            name: "hold-zero-address",
            role: Offer,
            audio: Some((Opus, 120)),
            tones: TONES,
            video: Some((H264, 96, 1)),
            picture: hd(2_000_000),
            feedback: NONE,
            srtp: None,
            odd: |seen| {
                assert!(seen.peer.media[0].is_held() && seen.peer.media[1].is_held());
                let audio = &seen.audio().transport;
                assert_eq!((audio.rtp, audio.rtcp), (None, None), "never to 0.0.0.0");
                assert!(!audio.send && audio.receive);
                assert!(seen.has("a=recvonly"), "the answer to sendonly");
                assert!(!seen.video().transport.send && !seen.video().transport.receive);
                assert!(seen.has("a=inactive"));
            },
        },
        Case {
            name: "hold-declined-video-answer",
            role: Answer,
            audio: Some((G722, 9)),
            tones: TONES,
            video: None,
            picture: None,
            feedback: NONE,
            srtp: None,
            odd: |seen| {
                assert!(seen.audio().transport.send && !seen.audio().transport.receive);
                assert_eq!(seen.peer.media[1].address, None, "no c= in reach, and yet no error");
            },
        },
    ]
}

fn servers() -> Vec<Case> {
    vec![
        Case {
            name: "asterisk-old-video",
            role: Offer,
            audio: Some((Pcma, 8)),
            tones: TONES,
            video: Some((H264, 123, 0)),
            picture: Some((848, 480, 25, 320_000)),
            feedback: NONE,
            srtp: None,
            odd: |seen| {
                assert_eq!(seen.peer.bandwidth.conference, Some(384));
                assert_eq!(seen.peer.media[0].max_ptime, Some(150));
                assert_eq!(seen.peer.media[1].format(98).unwrap().name, "h263-1998");
            },
        },
        Case {
            name: "freeswitch-no-video-answer",
            role: Answer,
            audio: Some((G722, 9)),
            tones: TONES,
            video: None,
            picture: None,
            feedback: NONE,
            srtp: None,
            odd: |seen| {
                assert_eq!(seen.peer.media[1].first_format, "19", "never offered");
                assert_eq!(seen.negotiated.rejected, [(1, Rejection::ByPeer)]);
            },
        },
        Case {
            name: "linphone-savpf",
            role: Offer,
            audio: Some((Opus, 96)),
            tones: TONES,
            video: Some((H264, 96, 0)),
            picture: hd(2_000_000),
            feedback: ALL,
            srtp: Some((1, Suite::AesCm128Sha1_80)),
            odd: |seen| {
                assert_eq!(seen.peer.media[1].proto, Proto::Savpf);
                assert!(seen.has("m=audio 20000 RTP/SAVPF 96 101"));
                let vp8 = seen.peer.media[1].format(97).unwrap().feedback;
                let sli_is_no_nack = Feedback { nack: false, pli: true, fir: true, tmmbr: true };
                assert_eq!(vp8, sli_is_no_nack);
                assert_eq!(seen.peer.media[0].direction, Direction::SendRecv, "not said");
            },
        },
        Case {
            name: "baresip-duplicate-type",
            role: Offer,
            audio: Some((Opus, 98)),
            tones: TONES,
            video: Some((Vp8, 96, 0)),
            picture: hd(2_000_000),
            feedback: [true, false, false],
            srtp: None,
            odd: |seen| {
                let twice = seen.peer.media[0].formats.iter().filter(|f| f.payload_type == 101);
                let codecs: Vec<_> = twice.map(|format| format.codec).collect();
                assert_eq!(codecs, [Codec::TelephoneEvent], "the first meaning wins");
                assert!(seen.has("a=fmtp:96 max-fs=3600;max-fr=30"));
            },
        },
        Case {
            name: "pjsip-many-codecs",
            role: Offer,
            audio: Some((G722, 9)),
            tones: Some((96, 8_000)),
            video: Some((H264, 97, 1)),
            picture: Some((848, 480, 25, 256_000)),
            feedback: NONE,
            srtp: None,
            odd: |seen| {
                assert_eq!(seen.peer.connection, None);
                assert_eq!(seen.audio().transport.bandwidth, Some(64_000));
                assert_eq!(seen.audio().transport.rtcp.unwrap().port(), 41_515);
                assert_eq!(seen.peer.media[0].format(2).unwrap().name, "G721");
            },
        },
    ]
}

/// Runs a message the way the gateway would.
fn run(case: &Case) -> Seen {
    let peer = parse(&vector(case.name)).unwrap();
    let local = local();
    if case.role == Answer {
        let negotiated = complete(&offer(&local).pending, &peer).unwrap();
        return Seen { peer, negotiated, text: String::new() };
    }
    let answer = answer(&peer, &local).unwrap();
    usable(case.name, &peer, &answer.text);
    Seen { peer, negotiated: answer.negotiated, text: answer.text }
}

/// What every answer must be, whatever the offer (RFC 3264 section 6).
fn usable(name: &str, offer: &Session, text: &str) {
    let ours = parse(text.as_bytes()).unwrap();
    assert_eq!(ours.media.len(), offer.media.len(), "{name}: as many m-lines");
    for (ours, theirs) in ours.media.iter().zip(&offer.media) {
        assert_eq!(ours.name, theirs.name, "{name}: same media in the same order");
        assert_eq!(ours.proto_text, theirs.proto_text, "{name}: same profile");
        assert!(ours.address.is_some(), "{name}: a c= in reach of every line");
        if ours.port == 0 {
            assert_eq!(ours.first_format, theirs.first_format, "{name}: rejected as offered");
            continue;
        }
        assert_eq!(ours.kind, theirs.kind, "{name}");
        for format in &ours.formats {
            let offered = theirs.format(format.payload_type).expect("offered");
            assert_eq!(offered.codec, format.codec, "{name}: same meaning");
            assert_eq!(offered.clock, format.clock, "{name}: same clock");
        }
        assert!(ours.crypto.len() <= 1, "{name}: one key");
        for crypto in &ours.crypto {
            let offered = theirs.crypto.iter().find(|offered| offered.tag == crypto.tag).unwrap();
            assert_eq!(offered.suite_text, crypto.suite_text, "{name}: the tag's own suite");
            assert_ne!(offered.key, crypto.key, "{name}: our own key");
        }
    }
}

#[test]
fn every_device_gets_what_it_can_use() {
    for case in cases() {
        let name = case.name;
        let seen = run(&case);
        let audio = seen.negotiated.audio.as_ref();
        assert_eq!(audio.map(|audio| (audio.codec, audio.payload_type)), case.audio, "{name}");
        let tones = audio.and_then(|audio| audio.telephone_event);
        assert_eq!(tones.map(|tones| (tones.payload_type, tones.clock)), case.tones, "{name}");
        let video = seen.negotiated.video.as_ref();
        assert_eq!(
            video.map(|video| (video.codec, video.payload_type, video.packetization_mode)),
            case.video,
            "{name}"
        );
        let picture = video.map(|video| {
            let Picture { width, height, fps } = video.picture();
            (width, height, fps, video.limits.max_bitrate)
        });
        assert_eq!(picture, case.picture, "{name}");
        let feedback = video.map(|video| video.feedback).unwrap_or_default();
        assert_eq!([feedback.pli, feedback.fir, feedback.tmmbr], case.feedback, "{name}");
        encrypted_as_expected(&case, &seen);
        (case.odd)(&seen);
    }
}

/// Suite and both keys, against the lines that carried them.
fn encrypted_as_expected(case: &Case, seen: &Seen) {
    let audio = seen.negotiated.audio.as_ref().map(|audio| &audio.transport);
    let video = seen.negotiated.video.as_ref().map(|video| &video.transport);
    for transport in audio.into_iter().chain(video) {
        let Some(srtp) = &transport.srtp else {
            assert_eq!(case.srtp, None, "{}", case.name);
            continue;
        };
        let (tag, suite) = case.srtp.expect("encryption");
        assert_eq!(srtp.suite, suite, "{}", case.name);
        let theirs = &seen.peer.media[transport.line].crypto;
        let theirs = theirs.iter().find(|crypto| crypto.tag == tag).unwrap();
        assert_eq!(srtp.remote, theirs.key, "{}", case.name);
        let ours = parse(seen.text.as_bytes()).unwrap();
        let ours = &ours.media[transport.line].crypto[0];
        assert_eq!((ours.tag, ours.key), (tag, srtp.local), "{}", case.name);
    }
}

#[test]
fn every_message_of_the_folder_has_its_test() {
    let mut named: Vec<_> = cases().iter().map(|case| case.name.to_owned()).collect();
    named.extend(
        ["asterisk-dtls-ipv6", "pexip-aac-only", "optional-encryption-answer"].map(str::to_owned),
    );
    named.sort();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    files.sort();
    assert_eq!(named, files);
    assert_eq!(files.len(), 36);
}

#[test]
fn dtls_is_answered_with_our_fingerprint_or_refused_by_its_own_name() {
    let peer = parse(&vector("asterisk-dtls-ipv6")).unwrap();
    let fingerprint = &peer.media[0].fingerprints[0];
    assert_eq!(fingerprint.hash, "sha-256", "written in capitals");
    assert!(peer.media[0].ice && peer.media[0].rtcp_mux);
    assert!(peer.media[0].address.unwrap().is_ipv6());
    let none = NegotiationError::Dtls(DtlsFault::NotHere);
    assert_eq!(answer(&peer, &local()).unwrap_err(), none);
    let mut ours = local();
    ours.srtp.fingerprint = Some("sha-256 AB:CD".to_owned());
    let answered = answer(&peer, &ours).unwrap();
    let audio = answered.negotiated.audio.unwrap();
    assert_eq!((audio.codec, audio.transport.rtcp_mux), (G722, true));
    let dtls = audio.transport.dtls.unwrap();
    assert!(!dtls.active);
    assert_eq!(dtls.fingerprints.digests, std::slice::from_ref(&fingerprint.digest));
    assert_eq!(answered.negotiated.video.unwrap().codec, H264);
    for line in [
        "m=audio 20000 UDP/TLS/RTP/SAVPF 9 101",
        "m=video 20002 UDP/TLS/RTP/SAVPF 102",
        "a=fingerprint:sha-256 AB:CD",
        "a=setup:passive",
    ] {
        assert!(answered.text.lines().any(|own| own == line), "{line}: {}", answered.text);
    }
}

#[test]
fn a_client_with_no_codec_of_ours_is_refused() {
    let peer = parse(&vector("pexip-aac-only")).unwrap();
    assert_eq!(peer.media[0].format(99).unwrap().codec, Codec::TelephoneEvent, "events=0-15");
    assert_eq!(peer.media[0].address.unwrap().to_string(), "203.0.113.193", "not o='s 127.0.0.1");
    assert_eq!(peer.media[1].kind, Kind::Bfcp);
    assert_eq!(answer(&peer, &local()).unwrap_err(), NegotiationError::NothingInCommon);
}

#[test]
fn an_encrypted_answer_with_a_rejected_line_between_is_read() {
    let peer = parse(&vector("optional-encryption-answer")).unwrap();
    assert_eq!((peer.media[2].port, peer.media[2].proto), (0, Proto::Savp));
    let mut ours = local();
    ours.origin = Local::new(1);
    ours.srtp.policy = SrtpPolicy::Required;
    ours.srtp.suites = vec![Suite::AesCm128Sha1_80];
    let offered = offer(&ours);
    assert!(offered.text.contains("m=audio 20000 RTP/SAVP 114 9 8 0 101 102"));
    let agreed = complete(&offered.pending, &peer).unwrap();
    let audio = agreed.audio.unwrap();
    assert_eq!((audio.codec, audio.telephone_event.unwrap().payload_type), (G722, 97));
    assert_eq!(audio.transport.srtp.unwrap().remote, peer.media[0].crypto[0].key);
    let video = agreed.video.unwrap();
    assert_eq!(video.transport.srtp.unwrap().remote, peer.media[1].crypto[0].key);
    assert!(video.receive.starts_with(&[(96, H264)]));
}
