//! Calls that are handed on: REFER, `Replaces`, and answers that name somebody else.

use std::net::SocketAddr;

use conference::LegState;

use crate::bridge::{SDP, loopback};
use crate::house::House;
use crate::raw::{Message, Peer};
use crate::trunks::{becomes, city, dial, exchange, house, next_invite, trunk};

async fn hall() -> (Peer, SocketAddr) {
    let peer = Peer::new(loopback(), "hall").await;
    let at = peer.socket.local_addr().unwrap();
    (peer, at)
}

async fn next(peer: &Peer, method: &str) -> Message {
    loop {
        let request = peer.next_request().await;
        if request.first_line().starts_with(&format!("{method} ")) {
            return request;
        }
    }
}

/// The next word of a transfer: its state, and how the call stands.
async fn word(peer: &Peer) -> (String, String) {
    let notify = next(peer, "NOTIFY").await;
    peer.respond(&notify, "200 OK", "").await;
    assert_eq!(notify.header("Content-Type"), Some("message/sipfrag;version=2.0"));
    let state = notify.header("Subscription-State").unwrap();
    (state.split(';').next().unwrap().to_owned(), notify.body().trim_end().to_owned())
}

fn pair(state: &str, body: &str) -> (String, String) {
    (state.to_owned(), body.to_owned())
}

#[tokio::test]
async fn somebody_is_called_into_the_meeting_and_its_caller_hears_how_it_goes() {
    let house = House::handing_on().await;
    let mut peer = house.called().await;
    house.stand(1, 0).await;
    let (mut hall, at) = hall().await;
    hall.server = house.address();
    peer.extra =
        format!("Refer-To: <sip:hall@{at}?Replaces=7%40hall%3Bto-tag%3Da%3Bfrom-tag%3Db>\r\n");
    peer.send("REFER", 2, "").await;
    assert_eq!(peer.answer(2, "REFER").await.status(), 202);
    let invite = next_invite(&hall).await;
    assert_eq!(invite.header("Replaces"), Some("7@hall;to-tag=a;from-tag=b"));
    assert_eq!(word(&peer).await, pair("active", "SIP/2.0 100 Trying"));
    // While one goes on there is no other.
    peer.extra = format!("Refer-To: <sip:hall@{at}>\r\n");
    peer.send("REFER", 3, "").await;
    assert_eq!(peer.answer(3, "REFER").await.status(), 491);
    hall.respond(&invite, "180 Ringing", "").await;
    assert_eq!(word(&peer).await, pair("active", "SIP/2.0 180 Ringing"));
    hall.respond(&invite, "200 OK", SDP).await;
    assert_eq!(word(&peer).await, pair("terminated", "SIP/2.0 200 OK"));
    house.stand(2, 0).await;
    peer.hang_up(4).await;
    house.stand(1, 0).await;
    house.gateway.stop().await;
}

#[tokio::test]
async fn nobody_is_called_whom_no_rule_lets_be_called() {
    let house = House::handing_on().await;
    let mut peer = house.called().await;
    house.stand(1, 0).await;
    let wrong = [
        ("Refer-To: <sip:hall@192.0.2.1>\r\n", 403),
        ("Refer-To: <sip:201>\r\n", 403),
        ("Refer-To: <sip:hall@127.0.0.1;method=BYE>\r\n", 400),
        ("", 400),
    ];
    for (cseq, (to, status)) in (2..).zip(wrong) {
        peer.extra = to.to_owned();
        peer.send("REFER", cseq, "").await;
        assert_eq!(peer.answer(cseq, "REFER").await.status(), status, "{to}");
    }
    // Whoever is not in a meeting hands nothing on.
    let mut before = house.calls("").await;
    before.send("INVITE", 1, SDP).await;
    assert_eq!(before.answer(1, "INVITE").await.status(), 200, "the reception asks for a number");
    before.send("ACK", 1, "").await;
    before.extra = "Refer-To: <sip:hall@127.0.0.1>\r\n".to_owned();
    before.send("REFER", 2, "").await;
    assert_eq!(before.answer(2, "REFER").await.status(), 403);
    house.gateway.stop().await;
}

/// A call in the place of another.
fn instead_of(peer: &Peer, other: &Peer, more: &str) -> String {
    let Peer { call_id, to_tag, .. } = other;
    let header =
        format!("Replaces: {call_id};to-tag={};from-tag=raw{more}\r\n", to_tag.as_ref().unwrap());
    peer.request("INVITE", 1, SDP).replace("Max-Forwards", &format!("{header}Max-Forwards"))
}

#[tokio::test]
async fn a_call_takes_the_place_of_another_without_its_pin() {
    let house = House::handing_on().await;
    let peer = house.called().await;
    house.stand(1, 0).await;
    let mut other = house.calls("nobody").await;
    let early = instead_of(&other, &peer, ";early-only");
    other.send_raw(early.as_bytes()).await;
    assert_eq!(other.answer(1, "INVITE").await.status(), 486);

    let mut other = house.calls("nobody").await;
    other.send_raw(instead_of(&other, &peer, "x").as_bytes()).await;
    assert_eq!(other.answer(1, "INVITE").await.status(), 481, "the tag is another");

    let mut other = house.calls("nobody").await;
    other.send_raw(instead_of(&other, &peer, "").as_bytes()).await;
    assert_eq!(other.answer(1, "INVITE").await.status(), 200);
    other.send("ACK", 1, "").await;
    let bye = next(&peer, "BYE").await;
    peer.respond(&bye, "200 OK", "").await;
    house.stand(1, 0).await;
    other.hang_up(2).await;
    house.stand(0, 0).await;
    house.gateway.stop().await;
}

#[tokio::test]
async fn by_default_nothing_is_handed_on() {
    let house = House::keeping(&[]).await;
    let mut peer = house.called().await;
    peer.extra = "Refer-To: <sip:hall@127.0.0.1>\r\n".to_owned();
    peer.send("REFER", 2, "").await;
    let refused = peer.answer(2, "REFER").await;
    assert_eq!(refused.status(), 405);
    assert!(!refused.header("Allow").unwrap().contains("REFER"));
    let mut other = house.calls("nobody").await;
    other.send_raw(instead_of(&other, &peer, "").as_bytes()).await;
    assert_eq!(other.answer(1, "INVITE").await.status(), 404, "it is a call like any other");
    let mut other = house.calls("board").await;
    other.extra = "Require: replaces\r\n".to_owned();
    other.send("INVITE", 1, SDP).await;
    assert_eq!(other.answer(1, "INVITE").await.header("Unsupported"), Some("replaces"));
    house.gateway.stop().await;
}

#[tokio::test]
async fn who_has_moved_is_called_where_it_says_if_it_may_be_called_there() {
    let house = House::handing_on().await;
    let (mut old, at) = hall().await;
    let (mut new, moved) = hall().await;
    (old.server, new.server) = (house.address(), house.address());
    let leg = dial(&house, &format!("sip:hall@{at}")).await.unwrap();
    old.send_raw(has_moved(&next_invite(&old).await, &old, moved).as_bytes()).await;
    let invite = next_invite(&new).await;
    assert!(invite.first_line().contains(&moved.to_string()), "{}", invite.0);
    new.respond(&invite, "200 OK", SDP).await;
    becomes(&house, &leg, LegState::Active).await;
    house.gateway.stop().await;
}

/// Says that whoever is called has moved to where nobody may call, or else there.
fn has_moved(invite: &Message, old: &Peer, there: SocketAddr) -> String {
    let local = old.socket.local_addr().unwrap();
    let contacts = format!("Contact: <sip:hall@{there}>;q=0.5, <sip:far@192.0.2.1>;q=0.9\r\n");
    let answer = old.response(invite, "302 Moved Temporarily", "");
    answer.replace(&format!("Contact: <sip:raw@{local}>\r\n"), &contacts)
}

#[tokio::test]
async fn by_default_who_has_moved_is_not_called_there() {
    let (mut old, at) = exchange().await;
    let house = house(&mut old, &[trunk(at, "127.0.0.1", ""), city()]).await;
    let (new, moved) = hall().await;
    let leg = dial(&house, "9123").await.unwrap();
    old.send_raw(has_moved(&next_invite(&old).await, &old, moved).as_bytes()).await;
    becomes(&house, &leg, LegState::Refused).await;
    assert!(new.socket.try_recv(&mut [0; 9]).is_err(), "nobody calls there");
    house.gateway.stop().await;
}
