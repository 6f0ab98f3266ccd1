//! DTLS-SRTP: what is agreed to, what is refused and by which name, and what a session keeps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{local_with, session, text};
use sdp::{
    Dtls, DtlsFault, LocalMedia, NegotiationError, Session, SrtpPolicy, answer, complete, parse,
    reoffer,
};
use types::FingerprintHash;

const OWN: &str = "sha-256 0A:0B";

fn ours(policy: SrtpPolicy) -> LocalMedia {
    // Keys of SDES may not travel: fingerprints may.
    let mut local = local_with(policy, false);
    local.srtp.fingerprint = Some(OWN.to_owned());
    local
}

fn print(hash: &str, byte: &str, length: usize) -> String {
    format!("a=fingerprint:{hash} {}", vec![byte; length].join(":"))
}

/// An audio line in this profile with these attributes.
fn audio(proto: &str, attributes: &[&str]) -> Session {
    let head = format!("m=audio 30000 {proto} 8");
    let lines: Vec<&str> =
        std::iter::once(head.as_str()).chain(attributes.iter().copied()).collect();
    session(&lines)
}

fn outcome(offer: &Session, local: &LocalMedia) -> Result<Option<Dtls>, NegotiationError> {
    let answered = answer(offer, local)?;
    let transport = answered.negotiated.audio.unwrap().transport;
    assert!(transport.srtp.is_none());
    Ok(transport.dtls)
}

#[test]
fn policy_and_what_the_offer_lacks_decide() {
    use DtlsFault::*;
    use NegotiationError as Error;
    let print = print("sha-256", "5a", 32);
    let sha1 = common_sha1();
    let mux = "a=rtcp-mux";
    let whole: &[&str] = &[&print, "a=setup:actpass", mux];
    let savpf = "UDP/TLS/RTP/SAVPF";
    use SrtpPolicy::*;
    for (policy, proto, attributes, expected) in [
        (Optional, savpf, whole, Ok(true)),
        (Required, savpf, whole, Ok(true)),
        (Never, savpf, whole, Err(Error::SrtpForbidden)),
        (Optional, "UDP/TLS/RTP/SAVP", whole, Ok(true)),
        // As browsers and Asterisk wrote it before RFC 5764's profiles were usual.
        (Optional, "RTP/SAVPF", whole, Ok(true)),
        // It may be meant for floor control over TLS.
        (Optional, "RTP/AVP", whole, Ok(false)),
        (Required, "RTP/AVP", whole, Err(Error::SrtpRequired)),
        (Optional, savpf, &[&print, "a=setup:actpass"], Err(Error::Dtls(NoMux))),
        (Optional, savpf, &[&print, mux], Err(Error::Dtls(NoSetup))),
        (Optional, savpf, &[&print, mux, "a=setup:holdconn"], Err(Error::Dtls(NoSetup))),
        (Optional, savpf, &[&print, mux, "a=setup:whatever"], Err(Error::Dtls(NoSetup))),
        (Optional, savpf, &[mux, "a=setup:actpass"], Err(Error::Dtls(NoFingerprint))),
        (Optional, savpf, &[&sha1, mux, "a=setup:actpass"], Err(Error::Dtls(NoFingerprint))),
        (
            Optional,
            savpf,
            &["a=fingerprint:sha-256 5a:5a", mux, "a=setup:actpass"],
            Err(Error::Dtls(NoFingerprint)),
        ),
    ] {
        let got = outcome(&audio(proto, attributes), &ours(policy));
        assert_eq!(got.map(|it| it.is_some()), expected, "{policy:?} {proto} {attributes:?}");
    }
}

fn common_sha1() -> String {
    print("sha-1", "5a", 20)
}

#[test]
fn whoever_may_be_behind_a_nat_begins() {
    let print = print("sha-256", "5a", 32);
    for (theirs, own, active) in
        [("actpass", "passive", false), ("active", "passive", false), ("passive", "active", true)]
    {
        let setup = format!("a=setup:{theirs}");
        let offer = audio("UDP/TLS/RTP/SAVP", &[&print, &setup, "a=rtcp-mux"]);
        let answered = answer(&offer, &ours(SrtpPolicy::Optional)).unwrap();
        assert!(answered.text.contains(&format!("a=setup:{own}\r\n")), "{}", answered.text);
        assert!(answered.text.contains(&format!("a=fingerprint:{OWN}\r\n")), "{}", answered.text);
        assert_eq!(answered.negotiated.audio.unwrap().transport.dtls.unwrap().active, active);
    }
}

#[test]
fn of_several_fingerprints_those_of_the_strongest_hash_count() {
    let prints = [
        common_sha1(),
        print("SHA-256", "5a", 32),
        print("sha-512", "A1", 64),
        print("sha-512", "b2", 64),
    ];
    let mut lines: Vec<&str> = prints.iter().map(String::as_str).collect();
    lines.extend(["a=setup:actpass", "a=rtcp-mux"]);
    let dtls = outcome(&audio("UDP/TLS/RTP/SAVP", &lines), &ours(SrtpPolicy::Optional));
    let dtls = dtls.unwrap().unwrap();
    assert_eq!(dtls.fingerprints.hash, FingerprintHash::Sha512);
    assert_eq!(dtls.fingerprints.digests, [vec![0xa1; 64], vec![0xb2; 64]]);
}

#[test]
fn what_the_session_says_holds_for_its_lines() {
    let print = print("sha-256", "5a", 32);
    let body = text(&[
        &print,
        "a=setup:actpass",
        "m=audio 30000 UDP/TLS/RTP/SAVP 8",
        "a=rtcp-mux",
        "m=video 30002 UDP/TLS/RTP/SAVP 100",
        "a=rtpmap:100 VP8/90000",
        "a=rtcp-mux",
    ]);
    let offer = parse(body.as_bytes()).unwrap();
    let agreed = answer(&offer, &ours(SrtpPolicy::Required)).unwrap().negotiated;
    let digests = agreed.video.unwrap().transport.dtls.unwrap().fingerprints.digests;
    assert_eq!(digests, agreed.audio.unwrap().transport.dtls.unwrap().fingerprints.digests);
    assert_eq!(digests, [vec![0x5a; 32]]);
}

#[test]
fn our_own_change_of_the_session_keeps_dtls_and_its_answer_must_say_who_begins() {
    let print = print("sha-256", "5a", 32);
    let local = ours(SrtpPolicy::Optional);
    let proto = "UDP/TLS/RTP/SAVP";
    let offer = audio(proto, &[&print, "a=setup:actpass", "a=rtcp-mux"]);
    let agreed = answer(&offer, &local).unwrap().negotiated;
    let mut local = local;
    local.origin.advance();
    local.video = None;
    let again = reoffer(&local, &agreed);
    for line in ["m=audio 20000 UDP/TLS/RTP/SAVP 8", "a=setup:actpass", "a=rtcp-mux"] {
        assert!(again.text.lines().any(|own| own == line), "{}", again.text);
    }
    assert!(again.text.contains(&format!("a=fingerprint:{OWN}\r\n")), "{}", again.text);
    let completed = |setup: &str| {
        let answer = audio(proto, &[&print, setup, "a=rtcp-mux"]);
        complete(&again.pending, &answer)
    };
    let same = completed("a=setup:active").unwrap();
    assert_eq!(same.audio.unwrap().transport.dtls, agreed.audio.unwrap().transport.dtls);
    let refused = Err(NegotiationError::Dtls(DtlsFault::NoSetup));
    assert_eq!(completed("a=setup:actpass"), refused);
    assert_eq!(completed("a=mid:0"), refused);
}

#[test]
fn ice_is_answered_as_lite_where_one_port_is_all() {
    let print = print("sha-256", "5a", 32);
    let mut local = ours(SrtpPolicy::Optional);
    local.ice = types::IceCredentials::read("ours", "ourPasswordOf22OrMoreAtLeast");
    let keyed = [print.as_str(), "a=setup:actpass"];
    let (user, password) = ("a=ice-ufrag:Peer", "a=ice-pwd:aPasswordOf22CharsOrMore");
    let proto = "UDP/TLS/RTP/SAVP";
    for (proto, attributes, expected) in [
        (proto, [keyed.as_slice(), &["a=rtcp-mux", user, password]].concat(), true),
        ("RTP/AVP", vec!["a=rtcp-mux", user, password], true),
        ("RTP/AVP", vec![user, password], false),
        ("RTP/AVP", vec!["a=rtcp-mux", password], false),
        ("RTP/AVP", vec!["a=rtcp-mux", user, "a=ice-pwd:short"], false),
        ("RTP/AVP", vec!["a=rtcp-mux"], false),
    ] {
        let offer = audio(proto, &attributes);
        let answered = answer(&offer, &local).unwrap();
        let ice = answered.negotiated.audio.as_ref().unwrap().transport.ice.clone();
        assert_eq!(ice.is_some(), expected, "{attributes:?}");
        for line in [
            "a=ice-lite",
            "a=ice-ufrag:ours",
            "a=ice-pwd:ourPasswordOf22OrMoreAtLeast",
            "a=candidate:1 1 UDP 2130706431 203.0.113.1 20000 typ host",
        ] {
            let has = answered.text.lines().any(|own| own == line);
            assert_eq!(has, expected, "{line}: {}", answered.text);
        }
        let again = reoffer(&local, &answered.negotiated).text;
        assert_eq!(again.contains("a=ice-ufrag:ours\r\n"), expected, "it goes on: {again}");
    }
    let lite = format!("{}a=ice-lite\r\n", text(&[]));
    let line = format!("m=audio 30000 RTP/AVP 8\r\na=rtcp-mux\r\n{user}\r\n{password}\r\n");
    let offer = parse((lite + &line).as_bytes()).unwrap();
    let agreed = answer(&offer, &local).unwrap().negotiated.audio.unwrap();
    assert!(agreed.transport.ice.is_none(), "nobody would check");
}

/// What a page with a SIP client sends: a browser's own offer, one transport for all its lines.
#[test]
fn a_browsers_own_offer_is_answered_line_by_line() {
    let print = print("sha-256", "5a", 32);
    let line = |head: &str, mid: &str, more: &[&str]| {
        let mut lines = vec![
            head.to_owned(),
            "c=IN IP4 198.51.100.9".into(),
            "a=rtcp:9 IN IP4 0.0.0.0".into(),
            "a=candidate:1 1 udp 2113937151 4be1a3a1-0b1c-4d3e-8f00-1.local 50001 typ host".into(),
            "a=candidate:2 1 udp 1677729535 198.51.100.9 50001 typ srflx raddr 0.0.0.0 rport 0"
                .into(),
            "a=ice-ufrag:yJ4b".into(),
            "a=ice-pwd:9Yp6XcBkHh3Lr2Zt8Wm5Qd7V".into(),
            "a=ice-options:trickle".into(),
            print.clone(),
            "a=setup:actpass".into(),
            format!("a=mid:{mid}"),
            "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level".into(),
            "a=sendrecv".into(),
            "a=msid:- 5d0d2e1a".into(),
            "a=rtcp-mux".into(),
            "a=rtcp-rsize".into(),
        ];
        lines.extend(more.iter().map(|it| (*it).to_owned()));
        lines.push(format!("a=ssrc:41{mid} cname:pQ8z"));
        lines
    };
    let sound = line(
        "m=audio 50001 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126",
        "0",
        &[
            "a=rtpmap:111 opus/48000/2",
            "a=rtcp-fb:111 transport-cc",
            "a=fmtp:111 minptime=10;useinbandfec=1",
            "a=rtpmap:63 red/48000/2",
            "a=fmtp:63 111/111",
            "a=rtpmap:110 telephone-event/48000",
            "a=rtpmap:126 telephone-event/8000",
        ],
    );
    let picture = line(
        "m=video 50001 UDP/TLS/RTP/SAVPF 96 97 103 104",
        "1",
        &[
            "a=rtpmap:96 VP8/90000",
            "a=rtcp-fb:96 nack pli",
            "a=rtcp-fb:96 ccm fir",
            "a=rtpmap:97 rtx/90000",
            "a=fmtp:97 apt=96",
            "a=rtpmap:103 H264/90000",
            "a=rtcp-fb:103 nack pli",
            "a=fmtp:103 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
            "a=rtpmap:104 rtx/90000",
            "a=fmtp:104 apt=103",
        ],
    );
    let data = [
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=mid:2",
        "a=sctp-port:5000",
    ];
    let head = ["a=group:BUNDLE 0 1 2", "a=extmap-allow-mixed", "a=msid-semantic: WMS"];
    let lines: Vec<&str> = head
        .into_iter()
        .chain(sound.iter().chain(&picture).map(String::as_str))
        .chain(data)
        .collect();
    let mut local = ours(SrtpPolicy::Required);
    local.ice = types::IceCredentials::read("ours", "ourPasswordOf22OrMoreAtLeast");
    let answered = answer(&session(&lines), &local).unwrap();
    let (audio, video) = (answered.negotiated.audio.unwrap(), answered.negotiated.video.unwrap());
    assert_eq!(
        (audio.codec, audio.telephone_event.unwrap().payload_type),
        (types::AudioCodec::Opus, 110)
    );
    assert_eq!((video.codec, video.payload_type), (types::VideoCodec::H264, 103));
    for transport in [&audio.transport, &video.transport] {
        assert!(transport.dtls.is_some() && transport.rtcp_mux);
        assert_eq!(transport.ice.as_ref().unwrap().remote.ufrag, "yJ4b");
    }
    // Each line has its own port: nothing is bundled.
    for line in [
        "m=audio 20000 UDP/TLS/RTP/SAVPF 111 110",
        "m=video 20002 UDP/TLS/RTP/SAVPF 103",
        "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
        "a=candidate:1 1 UDP 2130706431 203.0.113.1 20002 typ host",
    ] {
        assert!(answered.text.lines().any(|own| own == line), "{line}: {}", answered.text);
    }
    assert!(!answered.text.contains("BUNDLE") && !answered.text.contains("a=mid"));
}

#[test]
fn a_camera_has_a_port_where_nobody_shakes_hands() {
    let print = print("sha-256", "5a", 32);
    let keyed = [print.as_str(), "a=setup:actpass", "a=rtcp-mux"];
    let proto = "UDP/TLS/RTP/SAVP";
    let (sound, camera) =
        (format!("m=audio 30000 {proto} 8"), format!("m=application 30002 {proto} 99"));
    let [mut lines, mut second] = [sound.as_str(), camera.as_str()].map(|head| vec![head]);
    lines.extend(keyed);
    second.extend(keyed);
    lines.extend(second);
    lines.push("a=rtpmap:99 H224/4800");
    let mut local = ours(SrtpPolicy::Optional);
    let ports = sdp::LocalPorts { rtp: 20_010, rtcp: 20_011 };
    local.camera = Some(sdp::LocalCamera { ports, key: [5; common::KEY_BYTES] });
    let agreed = answer(&session(&lines), &local).unwrap().negotiated;
    assert!(agreed.audio.is_some() && agreed.camera.is_none());
    assert_eq!(agreed.rejected, [(1, sdp::Rejection::Dtls(DtlsFault::NotHere))]);
}
