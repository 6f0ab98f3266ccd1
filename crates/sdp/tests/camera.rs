//! Control of cameras: what is agreed with each device that offers it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{KEY_BYTES, local, session, vector};
use sdp::{
    Kind, LocalCamera, LocalMedia, LocalPorts, Rejection, answer, complete, offer, parse, reoffer,
};

/// Us, who steer cameras.
fn steering() -> LocalMedia {
    let ports = LocalPorts { rtp: 20_010, rtcp: 20_011 };
    LocalMedia { camera: Some(LocalCamera { ports, key: [9; KEY_BYTES] }), ..local() }
}

#[test]
fn each_device_that_offers_its_camera_may_be_steered() {
    // Its name, the port and the payload type of its camera, whether what is said to it is encrypted.
    let devices = [
        ("cisco-ce-h265-first", 3_804, 100, false),
        ("cisco-sx-multistream", 3_804, 100, false),
        ("cms-six-lines", 43_227, 100, false),
        ("expressway-savp-four-keys", 50_992, 96, true),
        ("hexmeet-one-port", 53_314, 100, true),
        ("jabber-no-top-connection", 41_426, 125, false),
        ("lifesize-control-line", 61_440, 100, false),
        ("optional-encryption", 31_804, 100, true),
        ("polycom-group-lpr-first", 50_672, 100, false),
        ("polycom-hdx-two-tokens", 50_830, 100, false),
        ("polycom-studio", 23_052, 100, false),
        ("polycom-svc-avp", 4_590, 100, false),
        ("polycom-svc-savp", 2_364, 100, true),
        ("tandberg-best-effort-keys", 3_766, 104, true),
        ("tandberg-c-five-lines", 3_782, 106, false),
    ];
    for (name, port, payload_type, encrypted) in devices {
        let peer = parse(&vector(name)).unwrap();
        let local = steering();
        let first = answer(&peer, &local).unwrap_or_else(|error| panic!("{name}: {error}"));
        let agreed = first.negotiated.camera.as_ref().unwrap_or_else(|| panic!("{name}"));
        let line = agreed.transport.line;
        assert_eq!(peer.media[line].kind, Kind::Fecc, "{name}");
        assert_eq!(agreed.transport.rtp.unwrap().port(), port, "{name}");
        assert_eq!(agreed.payload_type, payload_type, "{name}");
        assert_eq!(agreed.transport.srtp.is_some(), encrypted, "{name}");
        let ours = parse(first.text.as_bytes()).unwrap();
        assert_eq!((ours.media[line].kind, ours.media[line].port), (Kind::Fecc, 20_010), "{name}");
        assert_eq!(ours.media[line].crypto.len(), usize::from(encrypted), "{name}");

        // Offered again, for whatever else has to be changed, it stays as it is.
        let again = reoffer(&local, &first.negotiated);
        let offered = &parse(again.text.as_bytes()).unwrap().media[line];
        assert_eq!((offered.kind, offered.port), (Kind::Fecc, 20_010), "{name}");
        if encrypted {
            assert_eq!(offered.crypto.len(), 1, "{name}");
            continue;
        }
        let theirs = complete(&again.pending, &peer).unwrap_or_else(|it| panic!("{name}: {it}"));
        let kept = theirs.camera.unwrap_or_else(|| panic!("{name}: {}", again.text));
        assert_eq!((kept.transport.line, kept.payload_type), (line, payload_type), "{name}");
    }
}

#[test]
fn whom_we_call_is_asked_for_its_camera_with_the_last_line() {
    let local = steering();
    let ours = offer(&local);
    assert!(ours.text.contains("m=application 20010 RTP/AVP 103\r\na=rtpmap:103 H224/4800\r\n"));
    let lines = ["m=audio 4000 RTP/AVP 0", "m=video 4002 RTP/AVP 97", "a=rtpmap:97 H264/90000"];
    for (camera, steered) in
        [(&["m=application 4004 RTP/AVP 103", "a=rtpmap:103 H224/4800"][..], true), (&[], false)]
    {
        let agreed = complete(&ours.pending, &session(&[&lines[..], camera].concat())).unwrap();
        assert!(agreed.video.is_some());
        assert_eq!(agreed.camera.is_some(), steered);
    }
}

#[test]
fn a_camera_whose_key_is_not_told_is_not_steered_and_the_call_goes_on() {
    let lines = ["m=audio 4000 RTP/AVP 0", "m=application 4002 RTP/SAVP 100"];
    let offer = session(&[&lines[..], &["a=rtpmap:100 H224/4800"]].concat());
    let answer = answer(&offer, &steering()).unwrap();
    assert!(answer.negotiated.camera.is_none() && answer.negotiated.audio.is_some());
    assert!(answer.text.contains("m=application 0 RTP/SAVP 100\r\n"));
}

#[test]
fn whoever_does_not_steer_refuses_the_line() {
    let lines = ["m=audio 4000 RTP/AVP 0", "m=application 4002 RTP/AVP 100"];
    let offer = session(&[&lines[..], &["a=rtpmap:100 H224/4800"]].concat());
    let answer = answer(&offer, &local()).unwrap();
    assert!(answer.negotiated.rejected.contains(&(1, Rejection::NotOurs)));
    assert!(answer.text.contains("m=application 0 RTP/AVP 100\r\n"));
}
