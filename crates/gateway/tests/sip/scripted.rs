//! Calls from a scripted peer.

use std::time::Duration;

use gateway::sip::Transport;
use tokio::time::Instant;

use crate::bridge::{Bridge, SDP, SECOND_SDP, config};
use crate::raw::Peer;

async fn meet(user: &'static str) -> (Bridge, Peer) {
    let bridge = Bridge::start(config()).await;
    let peer = Peer::new(bridge.address(Transport::Udp), user).await;
    (bridge, peer)
}

#[tokio::test]
async fn a_call_is_answered_at_once_and_its_source_is_known() {
    let (mut bridge, mut peer) = meet("room").await;
    let start = Instant::now();
    peer.send("INVITE", 1, SDP).await;
    assert_eq!(peer.receive().await.status(), 100);
    assert!(start.elapsed().as_millis() < 200);
    let answer = peer.answer(1, "INVITE").await;
    assert_eq!((answer.status(), answer.body()), (200, SDP));
    assert!(answer.header("Contact").unwrap().contains(&peer.server.to_string()));
    assert!(answer.header("Allow").unwrap().contains("UPDATE"));
    peer.send("ACK", 1, "").await;
    let from = peer.socket.local_addr().unwrap();
    assert_eq!(
        bridge.note("call").await,
        format!("call room from Raw by UDP at {from} offering {SDP}")
    );
    assert_eq!(bridge.note("confirmed").await, "confirmed none");
    peer.extra = "Reason: SIP;cause=200;text=\"done\"\r\n".to_owned();
    peer.hang_up(2).await;
    assert_eq!(bridge.note("bye").await, "bye SIP;cause=200;text=\"done\"");
    assert_eq!(bridge.note("over").await, "over");
    bridge.idle().await;
    peer.send("INFO", 3, "").await;
    assert_eq!(peer.answer(3, "INFO").await.status(), 481);
}

#[tokio::test]
async fn lost_packets_are_repeated_until_the_ack() {
    let (mut bridge, mut peer) = meet("room").await;
    let invite = peer.request("INVITE", 1, SDP);
    peer.send_raw(invite.as_bytes()).await;
    peer.send_raw(invite.as_bytes()).await;
    let first = peer.answer(1, "INVITE").await;
    // Without an ACK the answer comes again, after 0.5 s and 1 s more.
    for _ in 0..2 {
        let again = peer.answer(1, "INVITE").await;
        assert_eq!((again.status(), again.header("To")), (200, first.header("To")));
    }
    peer.send("ACK", 1, "").await;
    bridge.note("confirmed").await;
    assert_eq!(bridge.endpoint.stats().active_calls, 1, "a repeated INVITE is one call");
    peer.send_raw(peer.request("BYE", 2, "").as_bytes()).await;
    assert_eq!(peer.answer(2, "BYE").await.status(), 200);
    peer.send_raw(peer.request("BYE", 2, "").as_bytes()).await;
    assert_eq!(peer.answer(2, "BYE").await.status(), 200, "and so is a repeated BYE");
    bridge.idle().await;
}

/// A network that is fast, where patience is short.
async fn near(user: &'static str) -> (Bridge, Peer) {
    let mut config = config();
    config.limits.round_trip = Duration::from_millis(20);
    let bridge = Bridge::start(config).await;
    let peer = Peer::new(bridge.address(Transport::Udp), user).await;
    (bridge, peer)
}

#[tokio::test]
async fn a_call_whose_answer_is_never_confirmed_ends() {
    let (mut bridge, mut peer) = near("room").await;
    peer.send("INVITE", 1, SDP).await;
    peer.answer(1, "INVITE").await;
    let mut again = 0;
    let bye = loop {
        let message = peer.receive().await;
        match message.status() {
            0 => break message,
            status => again += u32::from(status == 200),
        }
    };
    assert!(bye.first_line().starts_with("BYE "), "{}", bye.0);
    assert!(again >= 3, "the answer is repeated meanwhile: {again}");
    peer.respond(&bye, "200 OK", "").await;
    assert_eq!(bridge.note("timed out").await, "timed out");
    bridge.idle().await;

    // The same for a change of it.
    let (mut bridge, mut peer) = near("room").await;
    peer.call(SDP).await;
    peer.send("INVITE", 2, SECOND_SDP).await;
    assert_eq!(peer.answer(2, "INVITE").await.status(), 200);
    let bye = peer.next_request().await;
    assert!(bye.first_line().starts_with("BYE "), "{}", bye.0);
    peer.respond(&bye, "200 OK", "").await;
    assert_eq!(bridge.note("timed out").await, "timed out");
    bridge.idle().await;
}

#[tokio::test]
async fn who_insists_on_provisional_responses_gets_them_until_it_confirms_them() {
    let (mut bridge, mut peer) = near("early").await;
    peer.extra = "Require: 100rel\r\n".to_owned();
    peer.send("INVITE", 1, SDP).await;
    let next = async |peer: &Peer, status| loop {
        let message = peer.receive().await;
        if message.status() == status {
            break message;
        }
    };
    let first = next(&peer, 180).await;
    let number = first.header("RSeq").unwrap().to_owned();
    assert_eq!(first.header("Require"), Some("100rel"));
    assert_eq!(next(&peer, 180).await.header("RSeq"), Some(number.as_str()), "the same again");
    peer.to_tag = first.header("To").unwrap().split_once("tag=").map(|(_, tag)| tag.to_owned());
    for (cseq, acknowledged, status) in
        [(2, format!("{number} 9 INVITE"), 481), (3, format!("{number} 1 INVITE"), 200)]
    {
        peer.extra = format!("RAck: {acknowledged}\r\n");
        peer.send("PRACK", cseq, "").await;
        assert_eq!(peer.answer(cseq, "PRACK").await.status(), status, "{acknowledged}");
    }
    peer.extra = "Content-Type: application/media_control+xml\r\n".to_owned();
    peer.send("INFO", 4, "<media_control><picture_fast_update/></media_control>").await;
    assert_eq!(next(&peer, 200).await.header("CSeq"), Some("4 INFO"), "no 180 comes any more");
    assert_eq!(peer.answer(1, "INVITE").await.status(), 200);
    peer.send("ACK", 1, "").await;
    bridge.note("confirmed").await;
    peer.hang_up(5).await;

    // Nobody confirms: the call is refused. Who merely knows how gets an ordinary one.
    let mut peer = Peer::new(peer.server, "ring").await;
    peer.extra = "Require: 100rel\r\n".to_owned();
    peer.send("INVITE", 1, SDP).await;
    assert_eq!(peer.answer(1, "INVITE").await.status(), 500);
    peer.send("ACK", 1, "").await;
    let mut peer = Peer::new(peer.server, "ring").await;
    peer.extra = "Supported: 100rel\r\n".to_owned();
    peer.send("INVITE", 1, SDP).await;
    assert_eq!(next(&peer, 180).await.header("RSeq"), None);
    peer.send("CANCEL", 1, "").await;
    assert_eq!(peer.answer(1, "INVITE").await.status(), 487);
    peer.send("ACK", 1, "").await;
    bridge.idle().await;
}

#[tokio::test]
async fn changes_of_the_session_in_every_way() {
    let (mut bridge, mut peer) = meet("room").await;
    peer.call(SDP).await;
    bridge.note("confirmed").await;

    peer.send("INVITE", 2, SECOND_SDP).await;
    let answer = peer.answer(2, "INVITE").await;
    assert_eq!((answer.status(), answer.body()), (200, SECOND_SDP));
    peer.send("ACK", 2, "").await;
    assert_eq!(bridge.note("offer").await, format!("offer {SECOND_SDP}"));
    assert_eq!(bridge.note("confirmed").await, "confirmed none");

    peer.send("INVITE", 3, "").await;
    assert_eq!(peer.answer(3, "INVITE").await.body(), SECOND_SDP);
    peer.send("ACK", 3, SDP).await;
    assert_eq!(bridge.note("offer").await, "offer none");
    assert_eq!(bridge.note("confirmed").await, format!("confirmed {SDP}"));

    peer.send("UPDATE", 4, SDP).await;
    assert_eq!(peer.answer(4, "UPDATE").await.body(), SECOND_SDP);
    peer.send("UPDATE", 5, "").await;
    let refreshed = peer.answer(5, "UPDATE").await;
    assert_eq!((refreshed.status(), refreshed.body()), (200, ""));

    peer.send("OPTIONS", 6, "").await;
    assert!(peer.answer(6, "OPTIONS").await.header("Accept").unwrap().contains("sdp"));
    peer.send("OPTIONS", 4, "").await;
    assert_eq!(peer.answer(4, "OPTIONS").await.status(), 500, "out of order");
    peer.send("MESSAGE", 7, "").await;
    assert_eq!(peer.answer(7, "MESSAGE").await.status(), 405);
    peer.hang_up(8).await;
    bridge.idle().await;
}

#[tokio::test]
async fn a_refused_change_leaves_the_call_up() {
    let (mut bridge, mut peer) = meet("strict").await;
    peer.call(SDP).await;
    peer.send("INVITE", 2, SECOND_SDP).await;
    assert_eq!(peer.answer(2, "INVITE").await.status(), 488);
    peer.send("ACK", 2, "").await;
    bridge.note("offer").await;
    peer.hang_up(3).await;
    bridge.note("bye").await;
}

#[tokio::test]
async fn both_changing_at_once_is_refused_and_ours_goes_through() {
    let (mut bridge, mut peer) = meet("glare").await;
    peer.call(SDP).await;
    let ours = peer.next_request().await;
    assert!(ours.first_line().starts_with("INVITE"), "{}", ours.0);
    assert_eq!(ours.body(), SECOND_SDP);
    peer.send("INVITE", 2, SDP).await;
    assert_eq!(peer.answer(2, "INVITE").await.status(), 491);
    peer.send("ACK", 2, "").await;
    peer.respond(&ours, "200 OK", SDP).await;
    assert_eq!(bridge.note("re-invite").await, format!("re-invite Ok({SDP:?})"));
    peer.hang_up(3).await;
}

#[tokio::test]
async fn tones_and_pictures_in_info() {
    let (mut bridge, mut peer) = meet("room").await;
    peer.call(SDP).await;
    peer.extra = "Content-Type: application/dtmf-relay\r\n".to_owned();
    peer.send("INFO", 2, "Signal=#\r\nDuration=120\r\n").await;
    assert_eq!(peer.answer(2, "INFO").await.status(), 200);
    assert_eq!(bridge.note("tone").await, "tone # 120");
    peer.extra = "Content-Type: application/media_control+xml\r\n".to_owned();
    peer.send("INFO", 3, "<media_control><picture_fast_update/></media_control>").await;
    assert_eq!(peer.answer(3, "INFO").await.status(), 200);
    bridge.note("picture").await;
    peer.extra = "Content-Type: application/x-other\r\n".to_owned();
    peer.send("INFO", 4, "?").await;
    let refused = peer.answer(4, "INFO").await;
    assert_eq!(refused.status(), 415);
    assert!(refused.header("Accept").unwrap().contains("application/dtmf-relay"));
    peer.hang_up(5).await;
}

#[tokio::test]
async fn session_timers_are_agreed_on() {
    let (_bridge, mut peer) = meet("room").await;
    peer.extra = "Supported: timer\r\nSession-Expires: 60\r\n".to_owned();
    peer.send("INVITE", 1, SDP).await;
    let small = peer.answer(1, "INVITE").await;
    assert_eq!((small.status(), small.header("Min-SE")), (422, Some("90")));
    peer.send("ACK", 1, "").await;

    let mut peer = Peer::new(peer.server, "room").await;
    peer.extra = "Supported: timer\r\nMin-SE:  1800\r\nSession-Expires:  1800\r\n".to_owned();
    peer.send("INVITE", 1, SDP).await;
    let answer = peer.answer(1, "INVITE").await;
    assert_eq!(answer.header("Session-Expires"), Some("1800;refresher=uac"));
    assert_eq!(answer.header("Require"), Some("timer"));
    peer.send("ACK", 1, "").await;
    peer.extra = "Supported: timer\r\nSession-Expires: 1800;refresher=uas\r\n".to_owned();
    peer.send("UPDATE", 2, "").await;
    let answer = peer.answer(2, "UPDATE").await;
    assert_eq!(answer.header("Session-Expires"), Some("1800;refresher=uas"));
    assert_eq!(answer.header("Require"), None);
    peer.hang_up(3).await;
}

#[tokio::test]
async fn the_bridge_hangs_up_and_refuses() {
    let (mut bridge, mut peer) = meet("hangup").await;
    peer.call(SDP).await;
    let bye = peer.next_request().await;
    assert!(bye.first_line().starts_with("BYE sip:raw@"), "{}", bye.0);
    peer.respond(&bye, "200 OK", "").await;
    assert_eq!(bridge.note("over").await, "over");

    for (user, status) in [("busy", 486), ("lost", 480)] {
        let mut peer = Peer::new(peer.server, user).await;
        peer.send("INVITE", 1, SDP).await;
        let refused = peer.answer(1, "INVITE").await;
        assert_eq!(refused.status(), status);
        if user == "busy" {
            assert_eq!(refused.header("Reason"), Some("SIP;cause=486;text=\"in a meeting\""));
        }
        peer.send("ACK", 1, "").await;
    }
    bridge.idle().await;
}

#[tokio::test]
async fn a_caller_that_hangs_up_early_is_told_the_end() {
    let (mut bridge, mut peer) = meet("ring").await;
    peer.send("INVITE", 1, SDP).await;
    let ringing = loop {
        let message = peer.receive().await;
        if message.status() == 180 {
            break message;
        }
    };
    peer.to_tag = ringing.header("To").unwrap().split_once("tag=").map(|(_, tag)| tag.to_owned());
    peer.send("UPDATE", 2, SDP).await;
    let later = peer.answer(2, "UPDATE").await;
    assert_eq!((later.status(), later.header("Retry-After")), (500, Some("3")));
    peer.send_raw(peer.request("BYE", 3, "").as_bytes()).await;
    let (mut invite, mut bye) = (0, 0);
    while invite == 0 || bye == 0 {
        let message = peer.receive().await;
        match message.header("CSeq") {
            Some("1 INVITE") if message.status() >= 200 => invite = message.status(),
            Some("3 BYE") => bye = message.status(),
            _ => {}
        }
    }
    assert_eq!((invite, bye), (487, 200));
    bridge.note("bye").await;
    bridge.idle().await;
}

#[tokio::test]
async fn a_caller_that_gives_up_before_any_answer_is_told_the_end() {
    let (mut bridge, mut peer) = meet("ring").await;
    peer.send("INVITE", 1, SDP).await;
    peer.send("CANCEL", 1, "").await;
    let (mut invite, mut cancel) = (0, 0);
    while invite == 0 || cancel == 0 {
        let message = peer.receive().await;
        match message.header("CSeq") {
            Some("1 INVITE") if message.status() >= 200 => invite = message.status(),
            Some("1 CANCEL") => cancel = message.status(),
            _ => {}
        }
    }
    assert_eq!((invite, cancel), (487, 200));
    peer.send("ACK", 1, "").await;
    bridge.note("cancelled").await;
    bridge.idle().await;
}

#[tokio::test]
async fn headers_as_devices_write_them() {
    let quirks: [&[(&str, &str)]; 5] = [
        // A trunk that dials from a telephone number.
        &[("\"Raw\" <sip:raw@", "<tel:2025550100;noa=national;x=")],
        // A device that leaves the angle brackets out.
        &[("\"Raw\" <sip:raw@", "sip:raw@"), (">;tag=raw", ";tag=raw")],
        // White space where the grammar allows it.
        &[(";branch", " ;branch"), ("CSeq: ", "CSeq:   "), ("Call-ID: ", "i:")],
        // Contact parameters: bare tokens, and a quoted URL.
        &[("Max-Forwards: 70", "Max-Forwards: 69\r\nSupported: X-a,X-b\r\nSupported: timer")],
        &[("Contact: <sip:raw@", "Contact: \"A, B\" <sip:raw@")],
    ];
    let bridge = Bridge::start(config()).await;
    for edits in quirks {
        let mut peer = Peer::new(bridge.address(Transport::Udp), "room").await;
        let mut invite = peer.request("INVITE", 1_018_000_001, SDP);
        for (find, replace) in edits {
            assert!(invite.contains(find));
            invite = invite.replacen(find, replace, 1);
        }
        peer.send_raw(invite.as_bytes()).await;
        let answer = peer.answer(1_018_000_001, "INVITE").await;
        assert_eq!(answer.status(), 200, "{invite}\n{}", answer.0);
        peer.send("ACK", 1_018_000_001, "").await;
        peer.hang_up(1_018_000_002).await;
    }
    bridge.idle().await;
}
