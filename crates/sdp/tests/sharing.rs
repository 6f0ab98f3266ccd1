//! Content sharing: what is agreed with each device that offers it, and how it is offered to others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{KEY_BYTES, local, session, vector};
use sdp::{
    Floor, FloorTransport, LocalFloor, LocalMedia, LocalPorts, LocalSharing, LocalVideo,
    Negotiated, Rejection, answer, complete, offer, parse, reoffer,
};
use types::{FingerprintHash, Fingerprints};

const UDP: FloorTransport = FloorTransport::Udp;

/// Our certificate's.
const OWN: &str = "sha-256 AB:CD";

/// Us, with content sharing.
fn sharing() -> LocalMedia {
    let video = LocalVideo::new(LocalPorts { rtp: 20_004, rtcp: 20_005 }, [7; KEY_BYTES]);
    let floor = LocalFloor {
        udp: 20_006,
        tcp: 20_008,
        conference: 4_000_000_001,
        user: 77,
        fingerprint: Some(OWN.to_owned()),
        fresh: false,
    };
    LocalMedia { sharing: Some(LocalSharing { video, floor }), ..local() }
}

fn floor(negotiated: &Negotiated) -> &Floor {
    &negotiated.sharing.as_ref().unwrap().floor
}

#[test]
fn every_device_that_offers_both_lines_gets_both() {
    // Its name, the lines of floor and slides, the port of its floor, the slides' payload type.
    let devices = [
        ("aver-tcp-bfcp", 3, 2, FloorTransport::Tcp { active: true, tls: None }, 52_046, 96),
        ("cisco-ce-h265-first", 2, 3, UDP, 3_803, 126),
        ("cisco-sx-multistream", 2, 3, UDP, 3_803, 126),
        ("cms-six-lines", 3, 2, UDP, 43_226, 116),
        ("expressway-savp-four-keys", 3, 2, UDP, 49_978, 97),
        ("jabber-no-top-connection", 3, 2, UDP, 7_232, 126),
        ("optional-encryption", 3, 4, UDP, 31_806, 96),
        ("tandberg-best-effort-keys", 2, 3, UDP, 6_384, 98),
        ("tandberg-c-five-lines", 2, 3, UDP, 6_384, 98),
    ];
    for (name, line, slides, transport, port, payload_type) in devices {
        let peer = parse(&vector(name)).unwrap();
        let answer = answer(&peer, &sharing()).unwrap();
        let agreed = answer.negotiated.sharing.as_ref().unwrap_or_else(|| panic!("{name}"));
        assert_eq!(agreed.floor.line, line, "{name}");
        assert_eq!(agreed.floor.transport, transport, "{name}");
        assert_eq!(agreed.floor.remote.unwrap().port(), port, "{name}");
        assert!(agreed.floor.server, "{name}: whoever can be a client is one");
        assert_eq!((agreed.floor.conference, agreed.floor.user), (4_000_000_001, 77), "{name}");
        assert_eq!(agreed.video.transport.line, slides, "{name}");
        assert_eq!(agreed.video.payload_type, payload_type, "{name}");
        let ours = parse(answer.text.as_bytes()).unwrap();
        let said = ours.media[line].bfcp.as_ref().unwrap();
        assert!(said.roles.server && !said.roles.client, "{name}");
        assert_eq!(ours.media[slides].label.as_deref(), Some("12"), "{name}");
        assert!(answer.text.contains("a=floorid:1 mstrm:12\r\n"), "{name}");
        assert!(answer.text.contains("a=content:slides\r\n"), "{name}");
        assert_eq!(ours.media[slides].crypto.is_empty(), agreed.video.transport.srtp.is_none());
    }
}

#[test]
fn slides_under_a_word_of_its_own_are_refused_and_the_call_goes_on() {
    let peer = parse(&vector("lifesize-control-line")).unwrap();
    let answer = answer(&peer, &sharing()).unwrap();
    assert!(answer.negotiated.sharing.is_none() && answer.negotiated.floor.is_none());
    let line = peer.media.iter().position(|it| it.kind == sdp::Kind::Bfcp).unwrap();
    assert!(answer.negotiated.rejected.contains(&(line, Rejection::NotOurs)));
    let ours = parse(answer.text.as_bytes()).unwrap();
    assert_eq!(ours.media[line].port, 0);
}

#[test]
fn a_floor_alone_is_taken_and_the_second_picture_is_offered_then() {
    for name in ["polycom-group-lpr-first", "polycom-studio", "polycom-svc-avp", "polycom-svc-savp"]
    {
        let peer = parse(&vector(name)).unwrap();
        let mut local = sharing();
        let first = answer(&peer, &local).unwrap();
        assert!(first.negotiated.sharing.is_none(), "{name}");
        let agreed = first.negotiated.floor.as_ref().unwrap_or_else(|| panic!("{name}"));
        assert!(agreed.server, "{name}");
        local.origin.advance();
        let ours = reoffer(&local, &first.negotiated);
        let lines = parse(ours.text.as_bytes()).unwrap().media;
        assert_eq!(lines.len(), peer.media.len() + 1, "{name}");
        assert_eq!(lines[agreed.line].port, 20_006, "{name}: the floor stays");
        let slides = lines.last().unwrap();
        assert_eq!(slides.kind, sdp::Kind::Video(sdp::Content::Slides), "{name}");
        assert_eq!(slides.label.as_deref(), Some("12"), "{name}");

        // As the Studio answers: its own lines again, and slides without a label.
        let taken = "m=video 26668 RTP/AVP 116 109 110\r\na=rtpmap:116 vnd.polycom.lpr/9000\r\n\
             a=rtpmap:110 H264/90000\r\n\
             a=fmtp:110 profile-level-id=428020; packetization-mode=1; max-fs=8192\r\n\
             a=content:slides\r\n";
        let secure = name == "polycom-svc-savp";
        let body = String::from_utf8(vector(name)).unwrap() + if secure { "" } else { taken };
        let done = complete(&ours.pending, &parse(body.as_bytes()).unwrap()).unwrap();
        assert_eq!(done.floor, None, "{name}: it is offered once");
        if !secure {
            let shared = done.sharing.unwrap_or_else(|| panic!("{name}"));
            assert_eq!((shared.floor.line, shared.floor.server), (agreed.line, true), "{name}");
            assert_eq!(shared.video.payload_type, 110, "{name}");
        }
    }
    let (text, nothing) = offered_without_slides(&["m=application 1 UDP/BFCP *"]);
    assert!(nothing.floor.is_none(), "no picture, so no second one: {text}");
}

const SOUND: &str = "m=audio 30000 RTP/AVP 8";
const SLIDES: [&str; 3] =
    ["m=video 30004 RTP/AVP 97", "a=rtpmap:97 H264/90000", "a=content:slides"];

fn offered(floor: &[&str]) -> (String, Negotiated) {
    let lines = [&[SOUND], &SLIDES[..], floor].concat();
    let answer = answer(&session(&lines), &sharing()).unwrap();
    (answer.text, answer.negotiated)
}

fn offered_without_slides(floor: &[&str]) -> (String, Negotiated) {
    let lines = [&[SOUND], floor].concat();
    let answer = answer(&session(&lines), &sharing()).unwrap();
    (answer.text, answer.negotiated)
}

#[test]
fn roles_and_connections_are_as_the_other_side_leaves_them() {
    let tcp = |active| FloorTransport::Tcp { active, tls: None };
    let ids = ["a=confid:5", "a=userid:6", "a=floorid:7 mstrm:3"];
    // What it says, how it travels, whether we are the server, our port.
    let cases: [(&[&str], _, _, _); 6] = [
        (&["m=application 1 UDP/BFCP *"], UDP, true, 20_006),
        (&["m=application 1 udp/bfcp *", "a=floorctrl:c-s"], UDP, true, 20_006),
        (
            &["m=application 1 UDP/BFCP *", "a=floorctrl:s-only", ids[0], ids[1], ids[2]],
            UDP,
            false,
            20_006,
        ),
        (
            &["m=application 1 TCP/BFCP *", "a=floorctrl:c-s", "a=setup:actpass"],
            tcp(false),
            true,
            20_008,
        ),
        (
            &["m=application 9 TCP/BFCP *", "a=floorctrl:c-s", "a=setup:active"],
            tcp(false),
            true,
            20_008,
        ),
        (&["m=application 1 TCP/BFCP *", "a=floorctrl:c-s", "a=setup:passive"], tcp(true), true, 9),
    ];
    for (lines, transport, server, port) in cases {
        let (text, negotiated) = offered(lines);
        assert_eq!(floor(&negotiated).transport, transport, "{lines:?}");
        assert_eq!(floor(&negotiated).server, server, "{lines:?}");
        let ours = parse(text.as_bytes()).unwrap();
        assert_eq!(ours.media[2].port, port, "{lines:?}");
        let said = ours.media[2].bfcp.clone().unwrap();
        assert_eq!(said.conference, server.then_some(4_000_000_001), "{lines:?}");
        if !server {
            let theirs = floor(&negotiated);
            assert_eq!((theirs.conference, theirs.user, theirs.floor), (5, 6, 7));
        }
    }
    for refused in [
        &["m=application 0 UDP/BFCP *"][..],
        &["m=application 1 UDP/TLS/BFCP *", "a=floorctrl:c-s"],
        &["m=application 1 TCP/BFCP *", "a=setup:holdconn"],
        &["m=application 1 UDP/BFCP *", "a=floorctrl:s-only"],
        &["m=application 1 UDP/BFCP *", "a=floorctrl:nonsense"],
    ] {
        let (text, negotiated) = offered(refused);
        assert!(negotiated.sharing.is_none(), "{refused:?}");
        let ours = parse(text.as_bytes()).unwrap();
        assert_eq!((ours.media[1].port, ours.media[2].port), (0, 0), "{refused:?}");
    }
}

#[test]
fn what_we_offer_is_taken_refused_and_offered_again_as_it_was() {
    let mut local = sharing();
    let ours = offer(&local);
    let names = |text: &str| -> Vec<(String, u16)> {
        parse(text.as_bytes()).unwrap().media.into_iter().map(|it| (it.name, it.port)).collect()
    };
    let expected =
        [("audio", 20_000), ("video", 20_002), ("application", 20_006), ("video", 20_004)]
            .map(|(name, port)| (name.to_owned(), port));
    assert_eq!(names(&ours.text), expected);
    assert!(ours.text.contains("a=floorctrl:c-s\r\n"));
    let main = ["m=video 30002 RTP/AVP 97", "a=rtpmap:97 H264/90000"];
    let answered = |floor: &[&str]| {
        let lines = [&[SOUND], &main[..], floor, &SLIDES[..]].concat();
        complete(&ours.pending, &session(&lines)).unwrap()
    };
    let taken = answered(&["m=application 30006 UDP/BFCP *", "a=floorctrl:c-only"]);
    assert!(floor(&taken).server);
    assert_eq!(floor(&taken).remote.unwrap().port(), 30_006);
    local.origin.advance();
    let again = reoffer(&local, &taken);
    assert_eq!(names(&again.text), expected);
    let lines = [&[SOUND], &main[..], &["m=application 30008 UDP/BFCP *"], &SLIDES[..]].concat();
    let moved = complete(&again.pending, &session(&lines)).unwrap();
    assert_eq!(floor(&moved).remote.unwrap().port(), 30_008, "only its address is another");
    let server = ["a=floorctrl:s-only", "a=confid:5", "a=userid:6", "a=floorid:7 m-stream:3"];
    let theirs = answered(&[&["m=application 30006 UDP/BFCP *"], &server[..]].concat());
    assert!(!floor(&theirs).server && floor(&theirs).user == 6);
    for refused in ["m=application 0 UDP/BFCP *", "m=application 30006 TCP/BFCP *"] {
        let agreed = answered(&[refused]);
        assert!(agreed.sharing.is_none() && agreed.video.is_some(), "{refused}");
        let again = names(&reoffer(&local, &agreed).text);
        assert_eq!([again[2].1, again[3].1], [0, 0], "what is off stays off");
    }
}

/// A fingerprint of a peer's certificate: so many times this byte.
fn print(hash: &str, byte: &str, length: usize) -> String {
    format!("a=fingerprint:{hash} {}", vec![byte; length].join(":"))
}

/// The floor of a device that wants it over TLS, with these attributes beside.
fn over_tls(attributes: &[&str]) -> (String, Negotiated) {
    let line = ["m=application 30006 TCP/TLS/BFCP *", "a=floorctrl:c-s", "a=connection:new"];
    offered(&[&line[..], attributes].concat())
}

#[test]
fn tls_is_answered_with_our_fingerprint_and_whoever_opens_the_connection_begins() {
    let sha256 = print("SHA-256", "5a", 32);
    let tls = Some(Fingerprints { hash: FingerprintHash::Sha256, digests: vec![vec![0x5a; 32]] });
    // What it says, whether we open the connection, our port and word.
    for (setup, active, port, ours) in [
        ("a=setup:actpass", false, 20_008, "a=setup:passive"),
        ("a=setup:active", false, 20_008, "a=setup:passive"),
        ("a=setup:passive", true, 9, "a=setup:active"),
    ] {
        let (text, negotiated) = over_tls(&[setup, &sha256]);
        let agreed = FloorTransport::Tcp { active, tls: tls.clone() };
        assert_eq!(floor(&negotiated).transport, agreed, "{setup}");
        let (_, line) = text.split_once("m=application").unwrap();
        let first = format!(" {port} TCP/TLS/BFCP *");
        for said in [first.as_str(), ours, "a=connection:new", &format!("a=fingerprint:{OWN}")] {
            assert!(line.lines().any(|it| it == said), "{said}: {text}");
        }
    }
}

#[test]
fn tls_is_refused_where_anybody_could_be_the_peer() {
    let sha1 = print("sha-1", "5a", 20);
    let short = print("sha-256", "5a", 31);
    for print in [None, Some(&sha1), Some(&short)] {
        let attributes: Vec<&str> = print.map(String::as_str).into_iter().collect();
        let (text, negotiated) = over_tls(&attributes);
        assert!(negotiated.sharing.is_none() && negotiated.floor.is_none(), "{print:?}");
        assert!(negotiated.rejected.contains(&(2, Rejection::NoFingerprint)), "{print:?}");
        assert!(text.contains("m=application 0 TCP/TLS/BFCP *\r\n"), "{text}");
    }
    // So are we without a certificate.
    let mut bare = sharing();
    bare.sharing.as_mut().unwrap().floor.fingerprint = None;
    let sha256 = print("sha-256", "5a", 32);
    let line = ["m=application 30006 TCP/TLS/BFCP *", &sha256];
    let answer = answer(&session(&[&[SOUND], &SLIDES[..], &line].concat()), &bare).unwrap();
    assert!(answer.negotiated.sharing.is_none());
    assert!(answer.negotiated.rejected.contains(&(2, Rejection::NotOurs)));
}

#[test]
fn our_own_change_of_the_session_keeps_tls_and_takes_nothing_less() {
    let [before, after] = ["5a", "b2"].map(|byte| print("sha-256", byte, 32));
    let (_, agreed) = over_tls(&["a=setup:passive", &before]);
    let mut local = sharing();
    local.origin.advance();
    let words = |local: &LocalMedia| {
        let text = reoffer(local, &agreed).text;
        let (_, line) = text.split_once("m=application").unwrap();
        let named = |it: &&str| it.starts_with("a=setup") || it.starts_with("a=connection");
        let words: Vec<String> = line.lines().filter(named).map(str::to_owned).collect();
        assert!(line.contains(&format!("a=fingerprint:{OWN}\r\n")), "{text}");
        words
    };
    assert_eq!(words(&local), ["a=setup:active", "a=connection:existing"]);
    let again = reoffer(&local, &agreed);
    // At ports of which it never heard nothing exists.
    local.sharing.as_mut().unwrap().floor.fresh = true;
    assert_eq!(words(&local), ["a=setup:active", "a=connection:new"]);

    let answered = |proto: &str, print: &str| {
        let line = [&format!("m=application 30006 {proto} *"), "a=setup:passive", print];
        let body = session(&[&[SOUND], &SLIDES[..], &line].concat());
        complete(&again.pending, &body).unwrap()
    };
    let other = answered("TCP/TLS/BFCP", &after);
    let FloorTransport::Tcp { active: true, tls: Some(known) } = &floor(&other).transport else {
        panic!("{other:?}")
    };
    assert_eq!(known.digests, [vec![0xb2; 32]], "another certificate is known by its own");
    for less in ["TCP/BFCP", "UDP/BFCP"] {
        assert!(answered(less, &after).sharing.is_none(), "{less}");
    }
    assert!(answered("TCP/TLS/BFCP", "a=sendrecv").sharing.is_none(), "nobody knows whose it is");
}
