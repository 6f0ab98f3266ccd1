//! Calls into a meeting with a lobby.

use room::Act;

use crate::house::House;

#[tokio::test]
async fn a_room_waits_in_no_roster_comes_in_and_is_put_back() {
    let house = House::with(|it| it.lobby = true).await;
    let mut peer = house.called().await;
    let [hall] = house.stand(0, 1).await.try_into().unwrap();
    house.act(Act::Admit(hall.clone())).await;
    assert_eq!(house.stand(1, 0).await, std::slice::from_ref(&hall));
    house.act(Act::ToLobby { identity: hall.clone(), since_ms: 0 }).await;
    let waits = house.stand(0, 1).await;
    assert_eq!(waits, [hall], "the call goes on, and it is the same");
    house.act(Act::AdmitAll).await;
    house.stand(1, 0).await;
    peer.hang_up(2).await;
    house.gateway.stop().await;
}

#[tokio::test]
async fn a_room_that_is_refused_is_hung_up_and_one_that_hangs_up_waits_no_more() {
    let house = House::with(|it| it.lobby = true).await;
    let refused = house.called().await;
    let [hall] = house.stand(0, 1).await.try_into().unwrap();
    house.act(Act::Refuse(hall)).await;
    let bye = refused.next_request().await;
    assert!(bye.first_line().starts_with("BYE "), "{}", bye.0);
    refused.respond(&bye, "200 OK", "").await;
    let mut tired = house.called().await;
    house.stand(0, 1).await;
    tired.hang_up(2).await;
    house.stand(0, 0).await;
    house.gateway.stop().await;
}
