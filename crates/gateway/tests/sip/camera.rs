//! A host steers the camera of a room system: what comes to the room, byte for byte.

use std::net::SocketAddr;

use conference::{CameraOrder, CameraRefusal, Motion, Way};
use tokio::net::UdpSocket;

use crate::bridge::{PATIENCE, SDP, SECOND_SDP, loopback};
use crate::house::{House, MEDIA};
use crate::raw::Peer;

const HEADER: usize = 12;
/// H.224's own header, then what H.281 says (ITU-T H.281 section 4).
const CLIENTS: [u8; 13] = [0, 0x71, 3, 0, 0, 0, 0, 0, 0xc0, 1, 0, 1, 1];
const ASK_CLIENTS: [u8; 11] = [0, 0x71, 3, 0, 0, 0, 0, 0, 0xc0, 1, 0xff];
const START_LEFT: [u8; 12] = [0, 0x71, 3, 0, 0, 0, 0, 1, 0xc0, 1, 0x80, 0];
const CONTINUE_LEFT: [u8; 11] = [0, 0x71, 3, 0, 0, 0, 0, 1, 0xc0, 2, 0x80];
const STOP_LEFT: [u8; 11] = [0, 0x71, 3, 0, 0, 0, 0, 1, 0xc0, 3, 0x80];
const RECALL_3: [u8; 11] = [0, 0x71, 3, 0, 0, 0, 0, 1, 0xc0, 7, 0x30];
const LEFT: Motion = Motion { pan: Some(Way::Minus), tilt: None, zoom: None };

/// The payload of the next packet, which has to be one of RTP.
async fn payload(camera: &UdpSocket) -> Vec<u8> {
    let mut bytes = [0; 1500];
    let received = tokio::time::timeout(PATIENCE, camera.recv(&mut bytes));
    let length = received.await.expect("nothing came").unwrap();
    assert_eq!([bytes[0], bytes[1] & 0x7f], [0x80, 100]);
    bytes[HEADER..length].to_vec()
}

/// Where a room's camera listens.
async fn camera() -> (UdpSocket, u16) {
    let camera = UdpSocket::bind(loopback()).await.unwrap();
    let port = camera.local_addr().unwrap().port();
    (camera, port)
}

/// An offer with a camera there; port 0: with none.
fn with_camera(sdp: &str, port: u16) -> String {
    format!("{sdp}m=application {port} RTP/AVP 100\r\na=rtpmap:100 H224/4800\r\n")
}

/// Waits until people see that the first of them has a camera for hosts.
async fn is_shown(house: &House) {
    house
        .until("its camera is shown", |it| {
            it.participants[0]
                .attributes
                .get("plenum.camera")
                .filter(|it| *it == "true")
                .map(|_| ())
        })
        .await;
}

#[tokio::test]
async fn what_a_host_wants_comes_to_the_camera_as_it_was_sent() {
    let house = House::with(|_| {}).await;
    let (camera, port) = camera().await;
    let mut peer = house.caller().await;
    let answer = peer.call(&with_camera(SDP, port)).await;
    let said = |name| answer.body().lines().find_map(|it| it.strip_prefix(name)).unwrap();
    let port: u16 = said("m=application ").split(' ').next().unwrap().parse().unwrap();
    let ours = SocketAddr::new(MEDIA.into(), port);
    let [who] = house.stand(1, 0).await.try_into().unwrap();
    is_shown(&house).await;
    assert_eq!(payload(&camera).await, CLIENTS);

    house.steer_camera(&who, CameraOrder::Move(LEFT)).unwrap();
    assert_eq!(payload(&camera).await, START_LEFT);
    assert_eq!(payload(&camera).await, CONTINUE_LEFT, "it goes on while nobody stops it");
    house.steer_camera(&who, CameraOrder::Stop).unwrap();
    assert_eq!(payload(&camera).await, STOP_LEFT);
    house.steer_camera(&who, CameraOrder::Recall(3)).unwrap();
    assert_eq!(payload(&camera).await, RECALL_3);

    let header = [0x80, 100, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9];
    let asks = [&header[..], &ASK_CLIENTS].concat();
    camera.send_to(&asks, ours).await.unwrap();
    assert_eq!(payload(&camera).await, CLIENTS);
    peer.hang_up(2).await;
    house.stand(0, 0).await;
    let gone = house.steer_camera(&who, CameraOrder::Move(LEFT));
    assert_eq!(gone, Err(CameraRefusal::NoCamera));
    house.gateway.stop().await;
}

#[tokio::test]
async fn a_motion_goes_on_where_the_camera_is_agreed_on_anew_and_ends_where_it_is_not() {
    let house = House::with(|_| {}).await;
    let ((_first, first), (second, port)) = (camera().await, camera().await);
    let mut peer = house.caller().await;
    peer.call(&with_camera(SDP, first)).await;
    let [who] = house.stand(1, 0).await.try_into().unwrap();
    is_shown(&house).await;
    house.steer_camera(&who, CameraOrder::Move(LEFT)).unwrap();
    let change = async |peer: &mut Peer, cseq, port| {
        peer.send("INVITE", cseq, &with_camera(SECOND_SDP, port)).await;
        assert_eq!(peer.answer(cseq, "INVITE").await.status(), 200);
        peer.send("ACK", cseq, "").await;
    };

    change(&mut peer, 2, port).await;
    assert_eq!(payload(&second).await, CLIENTS);
    assert_eq!(payload(&second).await, CONTINUE_LEFT, "it moves still");
    house.steer_camera(&who, CameraOrder::Stop).unwrap();
    assert_eq!(payload(&second).await, STOP_LEFT);

    house.steer_camera(&who, CameraOrder::Move(LEFT)).unwrap();
    assert_eq!(payload(&second).await, START_LEFT);
    change(&mut peer, 3, 0).await;
    let stopped = loop {
        let last = payload(&second).await;
        if last != CONTINUE_LEFT {
            break last;
        }
    };
    assert_eq!(stopped, STOP_LEFT, "nobody could stop it any more");
    peer.hang_up(4).await;
    house.gateway.stop().await;
}

#[tokio::test]
async fn a_room_without_a_camera_for_it_is_not_steered() {
    let house = House::with(|_| {}).await;
    let mut peer = house.called().await;
    let [who] = house.stand(1, 0).await.try_into().unwrap();
    let refused = house.steer_camera(&who, CameraOrder::Move(LEFT));
    assert_eq!(refused, Err(CameraRefusal::NoCamera));
    peer.hang_up(2).await;
    house.gateway.stop().await;
}
