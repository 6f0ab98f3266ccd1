//! Calls out and what happens within a call: hold, resume, another codec, lines more and less.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{local, session};
use sdp::{
    Codec, Direction, LocalMedia, Negotiated, NegotiationError, Params, Rejection, Session,
    SrtpPolicy, answer, complete, offer, parse, reoffer,
};
use types::{
    AudioCodec::{G722, Opus, Pcma, Pcmu},
    VideoCodec::{H264, Vp8},
};

/// What came of our offer when the peer answered with these lines.
fn answered(local: &LocalMedia, lines: &[&str]) -> Result<Negotiated, NegotiationError> {
    complete(&offer(local).pending, &session(lines))
}

fn read(text: &str) -> Session {
    parse(text.as_bytes()).unwrap()
}

#[test]
fn our_offer_is_one_that_old_devices_take() {
    let mut local = local();
    local.srtp.policy = SrtpPolicy::Never;
    let text = offer(&local).text;
    let expected = [
        "v=0",
        "o=plenum 4000000 1 IN IP4 203.0.113.1",
        "s=-",
        "c=IN IP4 203.0.113.1",
        "b=AS:2064",
        "t=0 0",
        "m=audio 20000 RTP/AVP 114 9 8 0 101 102",
        "a=rtpmap:114 opus/48000/2",
        "a=fmtp:114 useinbandfec=1",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=rtpmap:102 telephone-event/48000",
        "a=fmtp:102 0-15",
        "a=ptime:20",
        "a=sendrecv",
        "a=rtcp-mux",
        "m=video 20002 RTP/AVP 126 97 100",
        "b=TIAS:2000000",
        "a=rtpmap:126 H264/90000",
        "a=fmtp:126 profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1;max-mbps=108000;max-fs=3600",
        "a=rtpmap:97 H264/90000",
        "a=fmtp:97 profile-level-id=42e01f;packetization-mode=0;level-asymmetry-allowed=1;max-mbps=108000;max-fs=3600",
        "a=rtpmap:100 VP8/90000",
        "a=fmtp:100 max-fs=3600;max-fr=30",
        "a=rtcp-fb:* nack pli",
        "a=rtcp-fb:* ccm fir",
        "a=rtcp-fb:* ccm tmmbr",
        "a=content:main",
        "a=label:11",
        "a=sendrecv",
        "a=rtcp-mux",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    assert!(text.ends_with("\r\n") && !text.replace("\r\n", "").contains('\n'));
}

#[test]
fn a_peer_that_answers_by_the_book_gets_what_it_chose() {
    let agreed = answered(
        &local(),
        &[
            "m=audio 30000 RTP/AVP 114 102",
            "a=rtpmap:114 opus/48000/2",
            "a=fmtp:114 maxaveragebitrate=24000;stereo=0",
            "a=rtpmap:102 telephone-event/48000",
            "a=ptime:40",
            "m=video 30002 RTP/AVP 100",
            "a=rtpmap:100 VP8/90000",
            "a=fmtp:100 max-fs=1200;max-fr=15",
            "a=rtcp-fb:100 ccm fir",
        ],
    )
    .unwrap();
    let audio = agreed.audio.unwrap();
    assert_eq!((audio.codec, audio.payload_type, audio.ptime), (Opus, 114, 40));
    assert_eq!(audio.opus.max_average_bitrate, Some(24_000));
    assert_eq!(audio.telephone_event.unwrap().clock, 48_000);
    assert_eq!(audio.transport.rtcp.unwrap().port(), 30_001);
    let video = agreed.video.unwrap();
    assert_eq!((video.codec, video.receive.as_slice()), (Vp8, [(100, Vp8)].as_slice()));
    assert_eq!((video.picture().width, video.picture().fps), (640, 15));
    assert!(video.feedback.fir && !video.feedback.pli);
}

#[test]
fn of_several_answered_codecs_the_first_that_we_can_do_is_sent() {
    let agreed = answered(
        &local(),
        &[
            "m=audio 30000 RTP/AVP 115 0 9 8",
            "a=rtpmap:115 G7221/32000",
            "m=video 30002 RTP/AVP 116 98 109 110 100",
            "a=rtpmap:116 vnd.polycom.lpr/9000",
            "a=rtpmap:98 H265/90000",
            "a=rtpmap:109 H264/90000",
            "a=fmtp:109 profile-level-id=428020",
            "a=rtpmap:110 H264/90000",
            "a=fmtp:110 profile-level-id=428020; packetization-mode=1",
            "a=rtpmap:100 VP8/90000",
        ],
    )
    .unwrap();
    let audio = agreed.audio.unwrap();
    assert_eq!((audio.codec, audio.payload_type), (Pcmu, 0));
    assert_eq!(audio.receive, [(0, Pcmu), (9, G722), (8, Pcma)], "it may send any");
    let video = agreed.video.unwrap();
    assert_eq!((video.codec, video.payload_type, video.packetization_mode), (H264, 110, 1));
    let receive = [(109, H264), (110, H264), (100, Vp8), (126, H264), (97, H264)];
    assert_eq!(video.receive, receive);
}

#[test]
fn types_that_the_answer_does_not_explain_are_ours() {
    let agreed =
        answered(&local(), &["m=audio 30000 RTP/AVP 114", "m=video 30002 RTP/AVP 97"]).unwrap();
    assert_eq!(agreed.audio.unwrap().codec, Opus);
    let video = agreed.video.unwrap();
    assert_eq!((video.codec, video.packetization_mode), (H264, 0));
}

#[test]
fn an_answer_without_sound_and_picture_is_no_call() {
    let nothing = answered(&local(), &["m=audio 0 RTP/AVP 0", "m=video 0 RTP/AVP 0"]);
    assert_eq!(nothing.unwrap_err(), NegotiationError::NothingInCommon);
    let foreign = answered(&local(), &["m=audio 30000 RTP/AVP 18", "m=video 0 RTP/AVP 0"]);
    assert_eq!(foreign.unwrap_err(), NegotiationError::NothingInCommon);
    let swapped = answered(&local(), &["m=video 30000 RTP/AVP 97", "m=audio 30002 RTP/AVP 0"]);
    assert_eq!(swapped.unwrap_err(), NegotiationError::NothingInCommon);
    assert_eq!(answered(&local(), &[]).unwrap_err(), NegotiationError::NothingInCommon);
}

/// Send and receive of the audio after the peer's re-offer, and the line that answers it.
fn held(lines: &[&str]) -> (bool, bool, Direction) {
    let answer = answer(&session(lines), &local()).unwrap();
    let transport = answer.negotiated.audio.unwrap().transport;
    (transport.send, transport.receive, read(&answer.text).media[0].direction)
}

#[test]
fn hold_and_resume_are_answered_in_kind() {
    let line = "m=audio 30000 RTP/AVP 8";
    assert_eq!(held(&[line]), (true, true, Direction::SendRecv));
    assert_eq!(held(&[line, "a=sendonly"]), (false, true, Direction::RecvOnly));
    assert_eq!(held(&[line, "a=recvonly"]), (true, false, Direction::SendOnly));
    assert_eq!(held(&[line, "a=inactive"]), (false, false, Direction::Inactive));
    let zero = [line, "c=IN IP4 0.0.0.0"];
    assert_eq!(held(&zero), (false, true, Direction::RecvOnly));
    assert_eq!(held(&["a=inactive", line]), (false, false, Direction::Inactive), "for all lines");
    assert_eq!(held(&["a=inactive", line, "a=sendrecv"]), (true, true, Direction::SendRecv));
}

#[test]
fn our_own_hold_is_kept_when_the_peer_asks_for_both_ways() {
    let mut local = local();
    local.audio.as_mut().unwrap().direction = Direction::SendOnly;
    let answer = answer(&session(&["m=audio 30000 RTP/AVP 8"]), &local).unwrap();
    assert_eq!(read(&answer.text).media[0].direction, Direction::SendOnly);
    assert!(!answer.negotiated.audio.unwrap().transport.receive);
}

#[test]
fn descriptions_of_one_session_count_up() {
    let mut local = local();
    let peer = session(&["m=audio 30000 RTP/AVP 8 0"]);
    let first = read(&answer(&peer, &local).unwrap().text);
    local.origin.advance();
    let changed = session(&["m=audio 30000 RTP/AVP 0"]);
    let second = answer(&changed, &local).unwrap();
    assert_eq!(second.negotiated.audio.as_ref().unwrap().codec, Pcmu, "another codec");
    let second = read(&second.text);
    assert_eq!(first.id, second.id);
    assert_eq!(second.version, first.version + 1);
}

#[test]
fn lines_that_come_and_go_in_a_reoffer_keep_their_places() {
    let audio = "m=audio 30000 RTP/AVP 8";
    let slides = ["m=video 30002 RTP/AVP 96", "a=rtpmap:96 H264/90000", "a=content:slides"];
    let main = ["m=video 30004 RTP/AVP 97", "a=rtpmap:97 H264/90000"];
    let three = [&[audio], &slides[..], &main[..]].concat();
    let agreed = answer(&session(&three), &local()).unwrap().negotiated;
    assert_eq!(agreed.video.unwrap().transport.line, 2, "the first that is not for slides");
    assert_eq!(agreed.rejected, [(1, Rejection::NotOurs)]);
    let off =
        answer(&session(&[&[audio], &slides[..], &["m=video 0 RTP/AVP 97"]].concat()), &local())
            .unwrap();
    assert!(off.negotiated.video.is_none());
    assert_eq!(read(&off.text).media.iter().map(|m| m.port).collect::<Vec<_>>(), [20_000, 0, 0]);
}

/// A room system called us; now we put it on hold and take it off again.
#[test]
fn we_offer_hold_within_a_session_that_the_peer_began() {
    let peer = parse(&common::vector("tandberg-c-five-lines")).unwrap();
    let mut local = local();
    let agreed = answer(&peer, &local).unwrap().negotiated;
    local.origin.advance();
    local.audio.as_mut().unwrap().direction = Direction::SendOnly;
    local.video.as_mut().unwrap().direction = Direction::Inactive;
    let hold = reoffer(&local, &agreed);
    let ours = read(&hold.text);
    assert_eq!(ours.version, 2);
    let line = |at: usize| (ours.media[at].name.as_str(), ours.media[at].port);
    let names: Vec<_> = (0..5).map(line).collect();
    let expected = [
        ("audio", 20_000),
        ("video", 20_002),
        ("application", 0),
        ("video", 0),
        ("application", 0),
    ];
    assert_eq!(names, expected);
    assert_eq!(ours.media[0].direction, Direction::SendOnly);
    assert_eq!(ours.media[0].format(9).unwrap().codec, Codec::Audio(G722));
    let Params::H264(h264) = &ours.media[1].format(98).unwrap().params else { panic!() };
    assert_eq!(h264.mode(), 1, "types and mode as agreed");

    let answer = session(&[
        "m=audio 30000 RTP/AVP 9 101",
        "a=rtpmap:101 telephone-event/8000",
        "a=recvonly",
        "m=video 30002 RTP/AVP 98",
        "a=rtpmap:98 H264/90000",
        "a=fmtp:98 profile-level-id=428014;packetization-mode=1",
        "a=inactive",
        "m=application 0 UDP/BFCP *",
        "m=video 0 RTP/AVP 97",
        "m=application 0 RTP/AVP 106",
    ]);
    let agreed = complete(&hold.pending, &answer).unwrap();
    let audio = &agreed.audio.as_ref().unwrap().transport;
    assert!(audio.send && !audio.receive);
    let video = &agreed.video.as_ref().unwrap().transport;
    assert!(!video.send && !video.receive);

    local.audio.as_mut().unwrap().direction = Direction::SendRecv;
    local.video.as_mut().unwrap().direction = Direction::SendRecv;
    let resumed = read(&reoffer(&local, &agreed).text);
    assert_eq!(resumed.media.len(), 5);
    assert_eq!(resumed.media[0].direction, Direction::SendRecv);
}

#[test]
fn picture_is_added_after_the_lines_that_there_are() {
    let mut sound = local();
    let video = sound.video.take();
    let peer = session(&["m=audio 30000 RTP/AVP 8", "m=application 30002 UDP/BFCP *"]);
    let agreed = answer(&peer, &sound).unwrap().negotiated;
    let more = LocalMedia { video, ..sound };
    let names: Vec<_> =
        read(&reoffer(&more, &agreed).text).media.into_iter().map(|m| (m.name, m.port)).collect();
    let expected = [("audio", 20_000), ("application", 0), ("video", 20_002)];
    assert_eq!(names, expected.map(|(name, port)| (name.to_owned(), port)));
}

#[test]
fn picture_is_offered_again_in_its_own_place() {
    let mut local = local();
    let declined = ["m=audio 30000 RTP/AVP 8", "m=video 0 RTP/AVP 97"];
    let mut agreed = answered(&local, &declined).unwrap();
    for _ in 0..3 {
        local.origin.advance();
        let again = reoffer(&local, &agreed);
        let ports: Vec<_> = read(&again.text).media.iter().map(|media| media.port).collect();
        assert_eq!(ports, [20_000, 20_002], "no line more with each re-offer");
        agreed = complete(&again.pending, &session(&declined)).unwrap();
    }
    local.video = None;
    let off = read(&reoffer(&local, &agreed).text);
    assert_eq!(off.media.iter().map(|media| media.port).collect::<Vec<_>>(), [20_000, 0]);
}

#[test]
fn a_side_without_codecs_offers_no_line_for_them() {
    let mut local = local();
    local.video.as_mut().unwrap().codecs = vec![types::VideoCodec::Av1];
    assert_eq!(read(&offer(&local).text).media.len(), 1);
}

#[test]
fn a_port_for_rtcp_that_is_not_the_next_is_named() {
    let mut local = local();
    local.rtcp_mux = false;
    local.audio.as_mut().unwrap().ports.rtcp = 25_000;
    let peer = session(&["m=audio 30000 RTP/AVP 8", "a=rtcp-mux"]);
    let answer = answer(&peer, &local).unwrap();
    assert!(answer.text.contains("a=rtcp:25000 IN IP4 203.0.113.1\r\n"));
    assert!(!answer.text.contains("rtcp-mux"));
    let transport = answer.negotiated.audio.unwrap().transport;
    assert_eq!(transport.rtcp.unwrap().port(), 30_001, "no mux without both");
}

#[test]
fn our_order_of_codecs_is_what_counts() {
    let peer = session(&["m=audio 30000 RTP/AVP 0 8 9 111", "a=rtpmap:111 opus/48000/2"]);
    let mut local = local();
    for (codecs, expected) in
        [(vec![Opus, G722], Opus), (vec![Pcma, Opus], Pcma), (vec![G722], G722)]
    {
        local.audio.as_mut().unwrap().codecs = codecs;
        let agreed = answer(&peer, &local).unwrap();
        assert_eq!(agreed.negotiated.audio.unwrap().codec, expected);
        assert_eq!(read(&agreed.text).media[0].formats.len(), 1, "one codec alone");
    }
}
