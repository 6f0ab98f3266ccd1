//! Calls to the voice that asks for a meeting's number.

use std::time::{Duration, Instant};

use conference::store::Kind;
use serde_json::json;

use crate::bridge::SDP;
use crate::house::House;
use crate::raw::Peer;

/// A house whose voice is called `ask`, and a room system that has entered three wrong numbers there, by
/// requests up to this one.
async fn told_the_last_word() -> (House, Peer, u32) {
    let rule = json!({ "order": 1, "name": "voice", "direction": "in", "match": { "called": "ask" },
        "action": { "to": "ivr" } });
    let house = House::keeping(&[(Kind::DialRule, "voice", rule.to_string())]).await;
    let (mut peer, mut cseq) = (house.calls("ask").await, 1);
    peer.call(SDP).await;
    peer.press("123456#", &mut cseq).await;
    peer.press("1*654321#", &mut cseq).await;
    // The last digit of the longest number ends it.
    peer.press("111222333444", &mut cseq).await;
    (house, peer, cseq)
}

#[tokio::test]
async fn a_rule_leads_to_the_voice_which_ends_the_call_after_three_wrong_numbers() {
    let (house, mut peer, cseq) = told_the_last_word().await;
    let told = Instant::now();
    // Nothing that it does meanwhile takes the last word away.
    peer.send("INVITE", cseq + 1, SDP).await;
    assert_eq!(peer.answer(cseq + 1, "INVITE").await.status(), 200);
    peer.send("ACK", cseq + 1, "").await;
    let bye = peer.next_request().await;
    assert!(bye.first_line().starts_with("BYE "), "{}", bye.0);
    assert!(told.elapsed() > Duration::from_secs(1), "after {:?}", told.elapsed());
    peer.respond(&bye, "200 OK", "").await;
    house.gateway.stop().await;
}

#[tokio::test]
async fn who_hangs_up_at_the_last_word_is_waited_for_no_more() {
    let (house, mut peer, cseq) = told_the_last_word().await;
    peer.hang_up(cseq + 1).await;
    let gone = Instant::now();
    // It waits for every call to end.
    house.gateway.stop().await;
    assert!(gone.elapsed() < Duration::from_secs(1), "after {:?}", gone.elapsed());
}
