//! Calls that we make: to a scripted peer, and to another endpoint over every transport.

use std::time::Duration;

use gateway::sip::{Call, CallErrorKind, CallEvent, Dial, DialError, Transport};
use tokio::time::Instant;

use crate::bridge::{Bridge, PATIENCE, SDP, SECOND_SDP, certificates, config, loopback, name};
use crate::raw::Peer;

fn dial(to: String) -> Dial {
    Dial {
        display_name: Some("The \"Board\"\r\nX: y".to_owned()),
        ..Dial::new(to, "board".to_owned(), SDP.into())
    }
}

async fn next(call: &mut Call) -> String {
    let event = tokio::time::timeout(PATIENCE, call.next()).await.expect("no event");
    event.as_ref().map_or("over".to_owned(), name)
}

async fn scripted() -> (Bridge, Peer, Dial) {
    let bridge = Bridge::start(config()).await;
    let peer = Peer::new(bridge.address(Transport::Udp), "room").await;
    let address = peer.socket.local_addr().unwrap();
    (bridge, peer, dial(format!("sip:room@{address}")))
}

#[tokio::test]
async fn a_call_rings_is_answered_and_hung_up() {
    let (bridge, peer, dial) = scripted().await;
    let mut call = bridge.endpoint.dial(dial).await.unwrap();
    let invite = peer.next_request().await;
    assert!(invite.first_line().starts_with("INVITE sip:room@127.0.0.1:"), "{}", invite.0);
    assert_eq!(invite.body(), SDP);
    assert!(invite.header("From").unwrap().starts_with("\"The BoardX: y\" <sip:board@127.0.0.1"));
    assert_eq!(invite.header("Session-Expires"), Some("1800"));
    peer.respond(&invite, "180 Ringing", "").await;
    assert_eq!(next(&mut call).await, "ringing 180");
    peer.respond(&invite, "183 Session Progress", SECOND_SDP).await;
    assert_eq!(next(&mut call).await, "ringing 183");
    peer.respond(&invite, "200 OK", SECOND_SDP).await;
    assert_eq!(next(&mut call).await, format!("answered {SECOND_SDP}"));
    assert!(peer.next_request().await.first_line().starts_with("ACK"));
    // A lost ACK is repeated.
    peer.respond(&invite, "200 OK", SECOND_SDP).await;
    assert!(peer.next_request().await.first_line().starts_with("ACK"));

    let handle = call.handle();
    let asked = tokio::spawn(async move { handle.picture_fast_update().await });
    let info = peer.next_request().await;
    assert!(info.body().contains("<picture_fast_update/>"), "{}", info.0);
    peer.respond(&info, "415 Unsupported Media Type", "").await;
    let refused = asked.await.unwrap().unwrap_err();
    assert!(matches!(refused.reason, CallErrorKind::Refused(415)), "{refused}");

    let handle = call.handle();
    let bye = tokio::spawn(async move { handle.bye().await });
    let request = peer.next_request().await;
    assert!(request.first_line().starts_with("BYE sip:raw@"), "{}", request.0);
    peer.respond(&request, "200 OK", "").await;
    bye.await.unwrap().unwrap();
    assert_eq!(next(&mut call).await, "over");
    assert!(matches!(
        call.handle().re_invite(SDP.into()).await.unwrap_err().reason,
        CallErrorKind::Ended
    ));
    bridge.idle().await;
}

#[tokio::test]
async fn refusals_are_told_apart() {
    for (status, kind) in [
        ("486 Busy Here", "Busy"),
        ("600 Busy Everywhere", "Busy"),
        ("603 Decline", "Declined"),
        ("404 Not Found", "NotFound"),
        ("480 Temporarily Unavailable", "TimedOut"),
        ("488 Not Acceptable Here", "Refused(488)"),
        ("503 Service Unavailable", "Refused(503)"),
    ] {
        let (bridge, peer, dial) = scripted().await;
        let mut call = bridge.endpoint.dial(dial).await.unwrap();
        let invite = peer.next_request().await;
        peer.respond(&invite, "100 Trying", "").await;
        peer.respond(&invite, status, "").await;
        assert_eq!(next(&mut call).await, format!("failed {kind}"), "{status}");
        assert_eq!(next(&mut call).await, "over");
        bridge.idle().await;
    }
}

#[tokio::test]
async fn a_call_that_nobody_answers_ends_in_time() {
    let mut config = config();
    config.limits.no_answer = Duration::from_millis(700);
    config.limits.ringing = Duration::from_millis(1500);
    let bridge = Bridge::start(config).await;
    let peer = Peer::new(bridge.address(Transport::Udp), "room").await;
    let address = peer.socket.local_addr().unwrap();
    let start = Instant::now();
    let mut silent = bridge.endpoint.dial(dial(format!("room@{address}"))).await.unwrap();
    assert_eq!(next(&mut silent).await, "failed Unreachable");
    assert!(start.elapsed() < Duration::from_secs(3));
    bridge.idle().await;

    let peer = Peer::new(peer.server, "room").await;
    let address = peer.socket.local_addr().unwrap();
    let mut ringing = bridge.endpoint.dial(dial(format!("room@{address}"))).await.unwrap();
    let invite = peer.next_request().await;
    peer.respond(&invite, "180 Ringing", "").await;
    let cancel = peer.next_request().await;
    assert!(cancel.first_line().starts_with("CANCEL"), "{}", cancel.0);
    peer.respond(&cancel, "200 OK", "").await;
    peer.respond(&invite, "487 Request Terminated", "").await;
    assert_eq!(next(&mut ringing).await, "ringing 180");
    assert_eq!(next(&mut ringing).await, "failed TimedOut");
    bridge.idle().await;
}

#[tokio::test]
async fn a_call_is_taken_back() {
    let (bridge, peer, dial) = scripted().await;
    let mut call = bridge.endpoint.dial(dial).await.unwrap();
    let invite = peer.next_request().await;
    peer.respond(&invite, "180 Ringing", "").await;
    assert_eq!(next(&mut call).await, "ringing 180");
    call.handle().cancel();
    let cancel = peer.next_request().await;
    assert!(cancel.first_line().starts_with("CANCEL"), "{}", cancel.0);
    // The answer crosses the CANCEL: it is acknowledged and hung up.
    peer.respond(&invite, "200 OK", SDP).await;
    peer.respond(&cancel, "200 OK", "").await;
    assert_eq!(next(&mut call).await, "failed Cancelled");
    let mut requests = [peer.next_request().await, peer.next_request().await]
        .map(|request| request.first_line().split(' ').next().unwrap().to_owned());
    requests.sort();
    assert_eq!(requests, ["ACK", "BYE"]);
    bridge.idle().await;
}

#[tokio::test]
async fn addresses_that_lead_nowhere() {
    let bridge = Bridge::start(config()).await;
    let gone = std::net::TcpListener::bind(loopback()).unwrap().local_addr().unwrap();
    let tcp = format!("sip:room@{gone};transport=tcp");
    let mut call = bridge.endpoint.dial(dial(tcp)).await.unwrap();
    assert_eq!(next(&mut call).await, "failed Unreachable");
    let tls = bridge.endpoint.dial(dial(format!("sips:room@{gone}"))).await;
    assert_eq!(tls.unwrap_err(), DialError::NoTransport(Transport::Tls));
    let bad = bridge.endpoint.dial(dial("room@host\r\nRoute: x".to_owned())).await;
    assert_eq!(bad.unwrap_err(), DialError::BadAddress);
    bridge.idle().await;
}

#[tokio::test]
async fn two_endpoints_over_every_transport() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        let mut config = config();
        config.tls = vec![loopback()];
        config.certificates = Some(certificates());
        let mut bridge = Bridge::start(config).await;
        let port = bridge.address(transport).port();
        let to =
            Dial { transport: Some(transport), ..dial(format!("sip:room**1234@localhost:{port}")) };
        let mut call = bridge.endpoint.dial(to).await.unwrap();
        assert_eq!(next(&mut call).await, "ringing 180", "{transport}");
        assert_eq!(next(&mut call).await, format!("answered {SDP}"));
        let note = bridge.note("call").await;
        assert!(note.starts_with("call room**1234 from The BoardX: y by"), "{note}");
        assert!(note.contains(&format!("by {transport} at 127.0.0.1:")), "{note}");
        bridge.note("confirmed").await;

        let handle = call.handle();
        handle.picture_fast_update().await.unwrap();
        bridge.note("picture").await;
        assert_eq!(handle.re_invite(SECOND_SDP.into()).await.unwrap(), SECOND_SDP.as_bytes());
        assert_eq!(bridge.note("offer").await, format!("offer {SECOND_SDP}"));
        bridge.note("confirmed").await;
        handle.bye().await.unwrap();
        assert_eq!(bridge.note("bye").await, "bye none");
        assert_eq!(next(&mut call).await, "over");
        bridge.idle().await;
    }
}

#[tokio::test]
async fn the_other_side_hangs_up_a_call_of_ours_over_tcp() {
    let bridge = Bridge::start(config()).await;
    let port = bridge.address(Transport::Tcp).port();
    let to = dial(format!("sip:hangup@127.0.0.1:{port};transport=tcp"));
    let mut call = bridge.endpoint.dial(to).await.unwrap();
    assert_eq!(next(&mut call).await, "ringing 180");
    assert_eq!(next(&mut call).await, format!("answered {SDP}"));
    let event = tokio::time::timeout(PATIENCE, call.next()).await.unwrap();
    assert!(matches!(event, Some(CallEvent::Bye { .. })), "{event:?}");
    bridge.idle().await;
}

#[tokio::test]
async fn a_dropped_call_is_hung_up() {
    let (bridge, peer, dial) = scripted().await;
    let mut call = bridge.endpoint.dial(dial).await.unwrap();
    let invite = peer.next_request().await;
    peer.respond(&invite, "200 OK", SDP).await;
    assert_eq!(next(&mut call).await, format!("answered {SDP}"));
    assert!(peer.next_request().await.first_line().starts_with("ACK"));
    drop(call);
    let bye = peer.next_request().await;
    assert!(bye.first_line().starts_with("BYE"), "{}", bye.0);
    peer.respond(&bye, "200 OK", "").await;
    bridge.idle().await;
}
