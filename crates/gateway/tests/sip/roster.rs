//! Conference information for who is in a meeting (RFC 4575).

use crate::bridge::SDP;
use crate::house::House;
use crate::raw::{Message, Peer};

const EVENT: &str = "Event: conference\r\nAccept: application/conference-info+xml\r\n";

async fn notified(peer: &Peer) -> Message {
    loop {
        let notify = peer.next_request().await;
        if notify.first_line().starts_with("NOTIFY ") {
            peer.respond(&notify, "200 OK", "").await;
            return notify;
        }
    }
}

async fn subscribe(peer: &mut Peer, cseq: u32, more: &str) -> Message {
    peer.extra = format!("{EVENT}{more}");
    peer.send("SUBSCRIBE", cseq, "").await;
    peer.answer(cseq, "SUBSCRIBE").await
}

fn says(notify: &Message, words: &[&str]) {
    for word in words {
        assert!(notify.0.contains(word), "{word} in {}", notify.0);
    }
}

#[tokio::test]
async fn who_subscribes_in_its_call_is_told_who_comes_and_goes() {
    let house = House::with(|it| it.name = "Board & friends".to_owned()).await;
    let mut peer = house.caller().await;
    let answer = peer.call(SDP).await;
    assert!(answer.header("Contact").unwrap().ends_with(">;isfocus"));
    house.stand(1, 0).await;
    let agreed = subscribe(&mut peer, 2, "Expires: 99999\r\n").await;
    assert_eq!((agreed.status(), agreed.header("Expires")), (200, Some("3600")));
    let first = notified(&peer).await;
    says(
        &first,
        &["state=\"full\" version=\"0\"", "<display-text>Board &amp; friends</display-text>"],
    );
    says(
        &first,
        &["<user-count>1</user-count>", "<display-text>Raw</display-text>", "active;expires=3"],
    );

    let other = house.called().await;
    house.stand(2, 0).await;
    let second = notified(&peer).await;
    says(
        &second,
        &["state=\"partial\" version=\"1\"", "<user-count>2</user-count>", "state=\"full\">"],
    );
    drop(other);
    // A renewal brings everything again.
    assert_eq!(subscribe(&mut peer, 3, "").await.status(), 200);
    let whole = loop {
        let notify = notified(&peer).await;
        if notify.body().contains("state=\"full\" version") {
            break notify;
        }
    };
    assert_eq!(whole.body().matches("<endpoint ").count(), 2, "{}", whole.body());
    assert_eq!(subscribe(&mut peer, 4, "Expires: 0\r\n").await.header("Expires"), Some("0"));
    loop {
        let last = notified(&peer).await;
        if last.header("Subscription-State").unwrap().starts_with("terminated") {
            break;
        }
    }
    peer.extra = "Event: presence\r\n".to_owned();
    peer.send("SUBSCRIBE", 5, "").await;
    let refused = peer.answer(5, "SUBSCRIBE").await;
    assert_eq!((refused.status(), refused.header("Allow-Events")), (489, Some("conference")));
    house.gateway.stop().await;
}

#[tokio::test]
async fn in_a_dialog_of_its_own_who_is_in_the_meeting_is_told_and_nobody_else() {
    let house = House::with(|_| {}).await;
    let mut peer = house.called().await;
    house.stand(1, 0).await;
    let (call, tag) = (peer.call_id.clone(), peer.to_tag.take());
    peer.call_id = format!("{call}-roster");
    let agreed = subscribe(&mut peer, 1, "").await;
    assert_eq!(agreed.status(), 200);
    let ours = agreed.header("To").unwrap().split_once("tag=").unwrap().1.to_owned();
    let first = notified(&peer).await;
    says(
        &first,
        &["state=\"full\" version=\"0\"", &format!("tag={ours}"), &format!("{call}-roster")],
    );
    // It ends with the call.
    let own = std::mem::replace(&mut peer.call_id, call);
    peer.to_tag = tag;
    peer.hang_up(2).await;
    loop {
        let last = notified(&peer).await;
        assert_eq!(last.header("Call-ID"), Some(own.as_str()));
        if last.header("Subscription-State") == Some("terminated;reason=noresource") {
            break;
        }
    }

    let mut stranger = house.caller().await;
    assert_eq!(subscribe(&mut stranger, 1, "").await.status(), 403);
    let mut waiting = house.calls("").await;
    waiting.call(SDP).await;
    assert_eq!(subscribe(&mut waiting, 2, "").await.status(), 403, "it is in no meeting");
    house.gateway.stop().await;
}
