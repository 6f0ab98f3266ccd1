//! Calls that come in for somebody who is no meeting.

use crate::bridge::{SDP, loopback};
use crate::house::House;
use crate::raw::{Message, Peer};
use crate::trunks::{Kept, exchange, house, next_invite, rule, trunk};

/// An exchange behind a trunk to which a rule sends `7`; who calls does not come over it.
async fn behind_a_rule() -> (Peer, House) {
    let (mut peer, at) = exchange().await;
    let over =
        rule(1, "over", "in", r#""called":"7""#, r#""to":"trunk","trunk":"pbx","called":"1""#);
    let records: [Kept; 2] = [trunk(at, "10.0.0.0/8", ""), over];
    let house = house(&mut peer, &records).await;
    (peer, house)
}

/// The next message for which this holds.
async fn next(peer: &Peer, fits: impl Fn(&Message) -> bool) -> Message {
    loop {
        let message = peer.receive().await;
        if fits(&message) {
            return message;
        }
    }
}

#[tokio::test]
async fn who_calls_through_hears_that_it_rings_and_that_it_is_busy() {
    let (exchange, house) = behind_a_rule().await;
    for (refusal, status) in
        [("486 Busy Here", 486), ("603 Decline", 603), ("404 Not Found", 404), ("480 Out", 480)]
    {
        let mut caller = house.calls("7").await;
        caller.send("INVITE", 1, SDP).await;
        let invite = next_invite(&exchange).await;
        assert!(invite.first_line().starts_with("INVITE sip:1@127.0.0.1"), "{}", invite.0);
        let from = invite.header("From").unwrap();
        assert!(from.starts_with("\"Raw\" <sip:raw@"), "{from}");
        exchange.respond(&invite, "180 Ringing", "").await;
        next(&caller, |it| it.status() == 180).await;
        exchange.respond(&invite, refusal, "").await;
        let answer = caller.answer(1, "INVITE").await;
        assert_eq!(answer.status(), status, "{refusal}");
        caller.send("ACK", 1, "").await;
    }
    house.gateway.stop().await;
}

#[tokio::test]
async fn who_gives_up_is_taken_back_and_who_hangs_up_hangs_both_up() {
    let (exchange, house) = behind_a_rule().await;
    let mut caller = house.calls("7").await;
    caller.send("INVITE", 1, SDP).await;
    let invite = next_invite(&exchange).await;
    exchange.respond(&invite, "180 Ringing", "").await;
    next(&caller, |it| it.status() == 180).await;
    caller.send("CANCEL", 1, "").await;
    let cancel = next(&exchange, |it| it.first_line().starts_with("CANCEL ")).await;
    exchange.respond(&cancel, "200 OK", "").await;
    exchange.respond(&invite, "487 Request Terminated", "").await;
    assert_eq!(caller.answer(1, "INVITE").await.status(), 487);
    caller.send("ACK", 1, "").await;

    for caller_first in [true, false] {
        let mut caller = house.calls("7").await;
        caller.send("INVITE", 1, SDP).await;
        let invite = next_invite(&exchange).await;
        exchange.respond(&invite, "200 OK", SDP).await;
        assert_eq!(caller.answer(1, "INVITE").await.status(), 200);
        caller.send("ACK", 1, "").await;
        next(&exchange, |it| it.first_line().starts_with("ACK ")).await;
        if caller_first {
            caller.hang_up(2).await;
            let bye = next(&exchange, |it| it.first_line().starts_with("BYE ")).await;
            exchange.respond(&bye, "200 OK", "").await;
        } else {
            let bye = exchange.within(&invite, "BYE", 7, "", "");
            exchange.send_raw(bye.as_bytes()).await;
            next(&exchange, |it| it.status() == 200).await;
            let bye = next(&caller, |it| it.first_line().starts_with("BYE ")).await;
            caller.respond(&bye, "200 OK", "").await;
        }
    }
    house.gateway.stop().await;
}

#[tokio::test]
async fn what_came_over_a_trunk_does_not_go_back_over_it_and_a_device_has_to_be_there() {
    let (_peer, at) = exchange().await;
    assert!(at.ip() == loopback().ip());
    let house = House::keeping(&[
        trunk(at, "127.0.0.1", ""),
        rule(1, "over", "in", r#""called":"7""#, r#""to":"trunk","trunk":"pbx","called":"1""#),
        rule(2, "hall", "in", r#""called":"8""#, r#""to":"device","extension":"101""#),
    ])
    .await;
    for (user, status) in [("7", 404), ("8", 480)] {
        let mut caller = house.calls(user).await;
        caller.send("INVITE", 1, SDP).await;
        assert_eq!(caller.answer(1, "INVITE").await.status(), status, "{user}");
        caller.send("ACK", 1, "").await;
    }
    house.gateway.stop().await;
}
