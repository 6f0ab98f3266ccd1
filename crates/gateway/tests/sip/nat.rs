//! Peers behind a NAT: what the call sends them goes where their messages came from, and ways that were
//! opened stay open.

use std::time::Duration;

use conference::LegState;
use gateway::sip::{CallEvent, Dial, Flow, Hop, Transport};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::bridge::{Bridge, PATIENCE, SDP, config, loopback};
use crate::house::House;
use crate::raw::Peer;
use crate::trunks::{becomes, dial as dial_to, exchange, next_invite, trunk_of};

const INSIDE: &str = "192.168.7.7:5060";

/// A message of a peer as it looks inside its network.
fn inside(peer: &Peer, message: &str, via: &str) -> String {
    let local = peer.socket.local_addr().unwrap().to_string();
    let message = message.replace(&local, INSIDE);
    message.replace(&format!("SIP/2.0/UDP {INSIDE}"), &format!("SIP/2.0/UDP {via}"))
}

#[tokio::test]
async fn who_calls_from_behind_a_nat_is_answered_and_hung_up_there() {
    let mut bridge = Bridge::start(config()).await;
    let mut peer = Peer::new(bridge.address(Transport::Udp), "hangup").await;
    let local = peer.socket.local_addr().unwrap();
    let invite = peer.request("INVITE", 1, SDP);
    peer.send_raw(inside(&peer, &invite, &format!("{INSIDE};rport")).as_bytes()).await;
    let answer = peer.answer(1, "INVITE").await;
    let via = answer.header("Via").unwrap();
    assert!(
        via.contains("received=127.0.0.1") && via.contains(&format!("rport={}", local.port())),
        "{via}"
    );
    let ack = peer.request("ACK", 1, "");
    peer.send_raw(inside(&peer, &ack, &format!("{INSIDE};rport")).as_bytes()).await;
    let bye = peer.next_request().await;
    assert_eq!(bye.first_line(), format!("BYE sip:raw@{local} SIP/2.0"));
    peer.respond(&bye, "200 OK", "").await;
    bridge.note("over").await;
}

#[tokio::test]
async fn a_device_that_registered_from_behind_a_nat_gets_the_ack_there() {
    let bridge = Bridge::start(config()).await;
    let peer = Peer::new(bridge.address(Transport::Udp), "room").await;
    let local = peer.socket.local_addr().unwrap();
    let flow = Flow { transport: Transport::Udp, peer: local };
    let dial = Dial::new(format!("sip:hall@{INSIDE}"), "board".to_owned(), SDP.into());
    let mut call = bridge.endpoint.dial(Dial { flow: Some(flow), ..dial }).await.unwrap();
    let invite = peer.next_request().await;
    assert!(invite.first_line().starts_with(&format!("INVITE sip:hall@{INSIDE}")), "{}", invite.0);
    let answer = peer.response(&invite, "200 OK", SDP);
    let answer = answer.replace(&format!("raw@{local}"), &format!("raw@{INSIDE}"));
    peer.send_raw(answer.as_bytes()).await;
    assert!(matches!(call.next().await, Some(CallEvent::Answered { .. })));
    let ack = peer.next_request().await;
    assert!(ack.first_line().starts_with("ACK sip:raw@"), "{}", ack.0);
    let handle = call.handle();
    let bye = tokio::spawn(async move { handle.bye().await });
    let request = peer.next_request().await;
    assert!(request.first_line().starts_with("BYE "), "{}", request.0);
    peer.respond(&request, "200 OK", "").await;
    bye.await.unwrap().unwrap();
    bridge.idle().await;
}

#[tokio::test]
async fn a_stream_that_we_opened_is_kept_open_and_used_again() {
    let mut config = config();
    config.limits.keep_alive = Duration::from_millis(100);
    let bridge = Bridge::start(config).await;
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let to = format!("sip:room@{};transport=tcp", listener.local_addr().unwrap());
    let dial = Dial::new(to, "board".to_owned(), SDP.into());
    let call = bridge.endpoint.dial(dial.clone()).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut read = Vec::new();
    let mut until = async |end: &str| {
        while !String::from_utf8_lossy(&read).ends_with(end) {
            let more = tokio::time::timeout(PATIENCE, stream.read_buf(&mut read)).await;
            assert!(more.expect("nothing comes").unwrap() > 0, "it was closed");
        }
        std::mem::take(&mut read)
    };
    let invite = until(SDP).await;
    assert!(invite.starts_with(b"INVITE "));
    assert_eq!(until("\r\n\r\n").await, b"\r\n\r\n", "that keeps it open");
    // The next call goes over the same stream.
    let again = bridge.endpoint.dial(dial).await.unwrap();
    let second = until(SDP).await;
    assert!(String::from_utf8_lossy(&second).contains("INVITE "));
    assert_eq!(bridge.endpoint.stats().open_streams, 1);
    drop((call, again));
}

#[tokio::test]
async fn a_registration_over_datagrams_is_kept_open() {
    let (mut peer, at) = exchange().await;
    let more = format!(r#","port":{},"user":"plenum","secret":"stnahpele neerg evif""#, at.port());
    let registered = trunk_of("registered", "127.0.0.1", &more);
    let house = House::keeping_open(&[registered]).await;
    peer.server = house.address();
    let register = peer.next_request().await;
    assert!(register.first_line().starts_with("REGISTER "), "{}", register.0);
    peer.extra = "Expires: 600\r\n".to_owned();
    peer.respond(&register, "200 OK", "").await;
    peer.extra.clear();
    assert_eq!(peer.receive().await.0, "\r\n\r\n");
    house.gateway.stop().await;
}

#[tokio::test]
async fn calls_go_over_the_outbound_proxy() {
    let (mut peer, at) = exchange().await;
    let house = House::configured(|config| {
        config.allow_dial = vec!["*.rooms.invalid".parse().unwrap()];
        config.outbound_proxy = Some(Hop::read(&at.to_string()).unwrap());
    })
    .await;
    peer.server = house.address();
    let leg = dial_to(&house, "sip:hall@one.rooms.invalid").await.unwrap();
    let invite = next_invite(&peer).await;
    assert_eq!(invite.first_line(), "INVITE sip:hall@one.rooms.invalid SIP/2.0");
    peer.respond(&invite, "486 Busy Here", "").await;
    becomes(&house, &leg, LegState::Busy).await;
    house.gateway.stop().await;
}
