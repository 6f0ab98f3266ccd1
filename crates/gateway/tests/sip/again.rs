//! Calls and requests of ours that are made again as their refusal says.

use conference::{Dialler as _, LegState};
use gateway::sip::{CallEvent, Dial, Transport};
use rsipstack::sip::Method;
use rsipstack::sip::headers::auth::Algorithm;

use crate::bridge::{Bridge, SDP, config};
use crate::enrolment::stands;
use crate::raw::{Message, Peer};
use crate::trunks::{
    becomes, check, city, dial, exchange, hang_up, house, next_invite, trunk, with_password,
};

#[tokio::test]
async fn a_session_interval_that_is_too_short_is_asked_for_again_as_the_other_side_wants_it() {
    let (mut peer, at) = exchange().await;
    let house = house(&mut peer, &[trunk(at, "127.0.0.1", ""), city()]).await;
    let leg = dial(&house, "9123").await.unwrap();
    let first = next_invite(&peer).await;
    assert_eq!(first.header("Session-Expires"), Some("1800"));
    peer.extra = "Min-SE: 3600\r\n".to_owned();
    peer.respond(&first, "422 Session Interval Too Small", "").await;
    let second = next_invite(&peer).await;
    assert_eq!(second.header("Session-Expires"), Some("3600"));
    assert_eq!(second.header("Call-ID"), first.header("Call-ID"), "it is the same call");
    peer.extra = "Session-Expires: 3600;refresher=uas\r\nSupported: timer\r\n".to_owned();
    peer.respond(&second, "200 OK", SDP).await;
    peer.extra.clear();
    becomes(&house, &leg, LegState::Active).await;
    // The peer refreshes, by UPDATE and by INVITE.
    let timer = "Supported: timer\r\nSession-Expires: 3600;refresher=uac\r\n";
    peer.send_raw(peer.within(&second, "UPDATE", 1, timer, "").as_bytes()).await;
    let refreshed = peer.answer(1, "UPDATE").await;
    assert_eq!(refreshed.header("Session-Expires"), Some("3600;refresher=uac"));
    hang_up(&house, &peer, &leg).await;

    // Who wants more and more gets it once.
    let leg = dial(&house, "9123").await.unwrap();
    for least in [7200, 7201] {
        let invite = next_invite(&peer).await;
        peer.extra = format!("Min-SE: {least}\r\n");
        peer.respond(&invite, "422 Session Interval Too Small", "").await;
    }
    becomes(&house, &leg, LegState::Refused).await;
    house.gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_is_overloaded_is_left_alone_for_as_long_as_it_says() {
    let (mut busy, at) = exchange().await;
    let (mut other, backup) = exchange().await;
    let more = format!(r#","backups":["127.0.0.1:{}"]"#, backup.port());
    let house = house(&mut busy, &[trunk(at, "127.0.0.1", &more), city()]).await;
    other.server = busy.server;
    // Nothing is kept of a trunk that nobody looks after yet.
    stands(&house, "looked after", |_| true).await;
    let leg = dial(&house, "9123").await.unwrap();
    let refused = next_invite(&busy).await;
    busy.extra = "Retry-After: 600 (at the weekend);duration=60\r\n".to_owned();
    busy.respond(&refused, "503 Service Unavailable", "").await;
    for again in [true, false] {
        other.respond(&next_invite(&other).await, "200 OK", SDP).await;
        if again {
            becomes(&house, &leg, LegState::Active).await;
            hang_up(&house, &other, &leg).await;
            dial(&house, "9124").await.unwrap();
        }
    }
    house.stand(1, 0).await;
    let mut more = vec![0; 4096];
    while let Ok(length) = busy.socket.try_recv(&mut more) {
        let more = Message(String::from_utf8_lossy(&more[..length]).into_owned());
        let call = more.header("Call-ID");
        assert_eq!(call, refused.header("Call-ID"), "it is asked for nothing more");
    }
    house.gateway.stop().await;
}

#[tokio::test]
async fn who_asks_who_we_are_inside_a_call_is_told_and_the_call_goes_on() {
    let (mut peer, at) = exchange().await;
    let house = house(&mut peer, &[with_password(at), city()]).await;
    let leg = dial(&house, "9123").await.unwrap();
    let invite = next_invite(&peer).await;
    peer.extra = "WWW-Authenticate: Digest realm=\"city\", nonce=\"n1\"\r\n".to_owned();
    peer.respond(&invite, "401 Unauthorized", "").await;
    let invite = next_invite(&peer).await;
    peer.extra.clear();
    peer.respond(&invite, "200 OK", SDP).await;
    becomes(&house, &leg, LegState::Active).await;
    house.gateway.hang_up(&leg.meeting, &leg.id).unwrap();
    let next_bye = async |peer: &Peer| loop {
        let request = peer.next_request().await;
        if request.first_line().starts_with("BYE ") {
            break request;
        }
    };
    let bye = next_bye(&peer).await;
    peer.extra = "Proxy-Authenticate: Digest realm=\"city\", nonce=\"n2\", algorithm=SHA-256, \
                  qop=\"auth\"\r\n"
        .to_owned();
    peer.respond(&bye, "407 Proxy Authentication Required", "").await;
    let bye = next_bye(&peer).await;
    check(bye.header("Proxy-Authorization").unwrap(), &bye, Method::Bye, Algorithm::Sha256);
    peer.respond(&bye, "200 OK", "").await;
    becomes(&house, &leg, LegState::Ended).await;
    house.gateway.stop().await;
}

#[tokio::test]
async fn a_request_inside_a_call_that_is_asked_without_a_password_leaves_the_call_up() {
    let bridge = Bridge::start(config()).await;
    let peer = Peer::new(bridge.address(Transport::Udp), "room").await;
    let at = peer.socket.local_addr().unwrap();
    let dial = Dial::new(format!("sip:room@{at}"), "board".to_owned(), SDP.into());
    let mut call = bridge.endpoint.dial(dial).await.unwrap();
    let invite = peer.next_request().await;
    peer.respond(&invite, "200 OK", SDP).await;
    assert!(matches!(call.next().await, Some(CallEvent::Answered { .. })));
    peer.next_request().await;
    for (status, asked) in [("401 Unauthorized", "Refused(401)"), ("200 OK", "")] {
        let handle = call.handle();
        let asking = tokio::spawn(async move { handle.picture_fast_update().await });
        let info = peer.next_request().await;
        peer.respond(&info, status, "").await;
        let outcome = asking.await.unwrap().map_err(|error| format!("{:?}", error.reason));
        assert_eq!(outcome.err().unwrap_or_default(), asked);
    }
    drop(call);
    let bye = peer.next_request().await;
    peer.respond(&bye, "200 OK", "").await;
    bridge.idle().await;
}

#[tokio::test]
async fn over_a_trunk_its_codecs_are_offered_in_their_order_and_no_others() {
    let (mut peer, at) = exchange().await;
    let more = r#","codecs":["audio/PCMU","audio/G722"]"#;
    let house = house(&mut peer, &[trunk(at, "127.0.0.1", more), city()]).await;
    let leg = dial(&house, "9123").await.unwrap();
    let invite = next_invite(&peer).await;
    let audio = invite.body().lines().find(|it| it.starts_with("m=audio")).unwrap();
    let formats: Vec<_> = audio.split(' ').skip(3).take(2).collect();
    assert_eq!(formats, ["0", "9"], "{audio}");
    assert!(!invite.body().contains("opus") && !invite.body().contains("m=video"));
    peer.respond(&invite, "486 Busy Here", "").await;
    becomes(&house, &leg, LegState::Busy).await;
    house.gateway.stop().await;
}
