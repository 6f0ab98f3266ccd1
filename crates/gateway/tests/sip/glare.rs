//! Both sides change the session at once (RFC 3261 section 14.1).

use std::time::Duration;

use tokio::time::Instant;
use types::{Bandwidth, MeetingId};

use crate::bridge::{SDP, SECOND_SDP};
use crate::house::House;
use crate::raw::Message;

#[tokio::test]
async fn a_change_of_ours_that_meets_the_peers_comes_after_it() {
    // A bandwidth of its own, which the room system is told when it comes from the reception.
    let house = House::with(|it| {
        it.id = MeetingId::parse("7000").unwrap();
        it.bandwidth = Some(Bandwidth::kilobits(500));
    })
    .await;
    let (mut peer, mut cseq) = (house.calls("").await, 1);
    peer.call(SDP).await;
    peer.press("7000#", &mut cseq).await;
    let next_invite = async |peer: &crate::raw::Peer| -> Message {
        loop {
            let request = peer.next_request().await;
            if request.first_line().starts_with("INVITE ") {
                return request;
            }
        }
    };
    let ours = next_invite(&peer).await;
    peer.send("INVITE", cseq + 1, SECOND_SDP).await;
    assert_eq!(peer.answer(cseq + 1, "INVITE").await.status(), 491, "ours goes on");
    peer.send("ACK", cseq + 1, "").await;
    peer.respond(&ours, "491 Request Pending", "").await;
    let refused = Instant::now();
    peer.send("INVITE", cseq + 2, SECOND_SDP).await;
    assert_eq!(peer.answer(cseq + 2, "INVITE").await.status(), 200, "the peer's comes first");
    peer.send("ACK", cseq + 2, "").await;
    let again = next_invite(&peer).await;
    // The call is the peer's: it waits longer than we do.
    assert!(refused.elapsed() < Duration::from_millis(2500), "{:?}", refused.elapsed());
    assert_ne!(again.header("CSeq"), ours.header("CSeq"));
    peer.respond(&again, "200 OK", SECOND_SDP).await;
    house.stand(1, 0).await;
    peer.hang_up(cseq + 3).await;
    house.gateway.stop().await;
}
