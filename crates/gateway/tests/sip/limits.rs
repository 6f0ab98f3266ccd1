//! What a meeting's own limits come to for room systems.

use types::Bandwidth;

use crate::house::House;

const WITH_PICTURE: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\n\
    t=0 0\r\nm=audio 40000 RTP/AVP 0\r\nm=video 40002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\n";

/// The lines of the picture's section in the answer to a call.
async fn picture_answered(kbps: Option<u32>) -> Vec<String> {
    let house = House::with(|it| it.bandwidth = kbps.map(Bandwidth::kilobits)).await;
    let mut peer = house.caller().await;
    let answer = peer.call(WITH_PICTURE).await;
    let lines = answer.body().lines().map(str::to_owned);
    let lines = lines.skip_while(|it| !it.starts_with("m=video")).collect();
    peer.hang_up(2).await;
    house.gateway.stop().await;
    lines
}

#[tokio::test]
async fn a_meeting_leaves_room_systems_as_many_bits_as_it_may_take() {
    let has = |lines: &[String], line: &str| lines.iter().any(|it| it == line);
    let asked = picture_answered(None).await;
    assert!(has(&asked, "b=TIAS:1000000"), "as the configuration says: {asked:?}");
    let asked = picture_answered(Some(500)).await;
    assert!(has(&asked, "b=TIAS:436000"), "64 are kept for sound: {asked:?}");
    let asked = picture_answered(Some(5000)).await;
    assert!(has(&asked, "b=TIAS:1000000"), "never more than the configuration lets: {asked:?}");
    let asked = picture_answered(Some(100)).await;
    assert!(asked[0].starts_with("m=video 0 "), "sound alone: {asked:?}");
}

#[tokio::test]
async fn a_meeting_that_is_encrypted_from_end_to_end_takes_no_room_system() {
    let house = House::with(|it| it.e2ee = true).await;
    let mut peer = house.caller().await;
    peer.send("INVITE", 1, WITH_PICTURE).await;
    // As if there were none.
    assert_eq!(peer.answer(1, "INVITE").await.status(), 404);
    peer.send("ACK", 1, "").await;
    house.gateway.stop().await;
}
