//! Calls to the voice that asks for a meeting's number.

use conference::store::Kind;
use serde_json::json;

use crate::bridge::SDP;
use crate::house::House;

#[tokio::test]
async fn a_rule_leads_to_the_voice_which_ends_the_call_after_three_wrong_numbers() {
    let rule = json!({ "order": 1, "name": "voice", "direction": "in", "match": { "called": "ask" },
        "action": { "to": "ivr" } });
    let house = House::keeping(&[(Kind::DialRule, "voice", rule.to_string())]).await;
    let (mut peer, mut cseq) = (house.calls("ask").await, 1);
    peer.call(SDP).await;
    peer.press("123456#", &mut cseq).await;
    peer.press("1*654321#", &mut cseq).await;
    // The last digit of the longest number ends it.
    peer.press("111222333444", &mut cseq).await;
    let bye = peer.next_request().await;
    assert!(bye.first_line().starts_with("BYE "), "{}", bye.0);
    peer.respond(&bye, "200 OK", "").await;
    house.gateway.stop().await;
}
