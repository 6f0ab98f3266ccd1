//! Room systems with a second picture: whose screen it shows, by floor control.

use std::net::SocketAddr;
use std::time::Instant;

use bfcp::{Client, ClientEvent, Ids, MAX_MESSAGE, Transport};
use conference::LegState;
use room::{Act, Medium, Role};
use tokio::net::UdpSocket;
use tokio::time::{sleep_until, timeout};

use crate::bridge::{PATIENCE, SDP, loopback};
use crate::house::{House, MEDIA};
use crate::raw::Peer;
use crate::trunks;

/// What such a room system offers beside its sound, where it asks for the floor at `port`.
fn offer(port: u16) -> String {
    with_pictures(&[&format!("m=application {port} UDP/BFCP *"), "a=floorctrl:c-only"])
}

/// The same with these lines for the floor.
pub fn with_pictures(floor: &[&str]) -> String {
    let pictures = [
        "m=video 40002 RTP/AVP 97",
        "a=rtpmap:97 H264/90000",
        "a=fmtp:97 profile-level-id=42801f",
        "a=content:main",
        "m=video 40004 RTP/AVP 97",
        "a=rtpmap:97 H264/90000",
        "a=fmtp:97 profile-level-id=428028;packetization-mode=1",
        "a=content:slides",
        "a=label:12",
    ];
    format!("{SDP}{}\r\n", [&pictures, floor].concat().join("\r\n"))
}

/// A room system in a call.
struct Room {
    peer: Peer,
    socket: UdpSocket,
    server: SocketAddr,
    client: Client,
}

impl Room {
    async fn calls(house: &House) -> Self {
        let mut peer = house.caller().await;
        let socket = UdpSocket::bind(loopback()).await.unwrap();
        let answer = peer.call(&offer(socket.local_addr().unwrap().port())).await;
        let agreed = sdp::parse(answer.body().as_bytes()).unwrap();
        assert_eq!(agreed.media.len(), 4, "{}", answer.0);
        assert!(agreed.media.iter().all(|it| it.port != 0), "{}", answer.0);
        assert_eq!(agreed.media[2].label.as_deref(), Some("12"));
        let floor = agreed.media[3].bfcp.as_ref().unwrap();
        assert!(floor.roles.server && !floor.roles.client, "it is ours");
        let ids = (floor.conference.unwrap(), floor.user.unwrap(), floor.floor.unwrap());
        let (conference, user, floor) = ids;
        let ids = Ids { conference, user, floor };
        let server = SocketAddr::new(MEDIA.into(), agreed.media[3].port);
        let client = Client::new(ids, Transport::Udp, Instant::now());
        Self { peer, socket, server, client }
    }

    fn ask(&mut self) {
        self.client.ask(Instant::now());
    }

    fn release(&mut self) {
        self.client.release(Instant::now());
    }

    async fn transmit(&mut self) {
        while let Some(message) = self.client.transmit() {
            self.socket.send_to(&message, self.server).await.unwrap();
        }
    }

    /// The next thing that it is told.
    async fn event(&mut self) -> ClientEvent {
        let heard = async {
            loop {
                self.transmit().await;
                if let Some(event) = self.client.event() {
                    return event;
                }
                let mut message = [0; MAX_MESSAGE];
                tokio::select! {
                    got = self.socket.recv_from(&mut message) => {
                        let (length, source) = got.unwrap();
                        assert_eq!(source, self.server);
                        let ours = self.client.receive(&message[..length], Instant::now());
                        assert!(ours.unwrap(), "it is spoken to as the client that it is");
                    }
                    () = sleep_until(self.client.timeout().into()) => {
                        self.client.handle_timeout(Instant::now());
                    }
                }
            }
        };
        timeout(PATIENCE, heard).await.expect("it is told something")
    }
}

#[tokio::test]
async fn the_floor_follows_whoever_asks_last_and_a_host_takes_it() {
    let house = House::with(|_| {}).await;
    let mut first = Room::calls(&house).await;
    first.ask();
    assert_eq!(first.event().await, ClientEvent::Granted);
    house.screens(1).await;

    let mut second = Room::calls(&house).await;
    second.ask();
    assert_eq!(second.event().await, ClientEvent::Theirs(true), "so it is told when it comes");
    assert_eq!(second.event().await, ClientEvent::Granted, "and gets it nevertheless");
    assert_eq!(first.event().await, ClientEvent::Ended);
    assert_eq!(first.event().await, ClientEvent::Theirs(true));
    assert_eq!(second.event().await, ClientEvent::Theirs(false));
    let [shown] = house.screens(1).await.try_into().unwrap();

    let stop = Act::Mute { identity: shown, medium: Medium::Screen, muted: true };
    house.act(stop).await;
    assert_eq!(second.event().await, ClientEvent::Ended);
    assert_eq!(first.event().await, ClientEvent::Theirs(false));
    house.screens(0).await;

    first.ask();
    assert_eq!(first.event().await, ClientEvent::Granted);
    house.screens(1).await;
    assert_eq!(second.event().await, ClientEvent::Theirs(true));
    first.release();
    first.transmit().await;
    assert_eq!(second.event().await, ClientEvent::Theirs(false));
    house.screens(0).await;
    first.peer.hang_up(2).await;
    second.peer.hang_up(2).await;
    house.gateway.stop().await;
}

#[tokio::test]
async fn who_may_not_share_and_who_asks_too_often_is_denied() {
    let house = House::with(|it| it.guests = Role::Attendee).await;
    let mut attendee = Room::calls(&house).await;
    attendee.ask();
    assert_eq!(attendee.event().await, ClientEvent::Ended);
    house.screens(0).await;

    let house = House::with(|_| {}).await;
    let mut restless = Room::calls(&house).await;
    let mut granted = 0;
    loop {
        restless.ask();
        match restless.event().await {
            ClientEvent::Granted => restless.release(),
            event => {
                assert_eq!(event, ClientEvent::Ended);
                break;
            }
        }
        granted += 1;
        assert!(granted < 100, "nobody stops it");
    }
    assert!(granted >= 5, "{granted}");
}

#[tokio::test]
async fn a_client_that_never_answers_loses_the_floor_and_the_call_goes_on() {
    let house = House::with(|_| {}).await;
    let mut silent = Room::calls(&house).await;
    silent.ask();
    assert_eq!(silent.event().await, ClientEvent::Granted);
    let mut other = Room::calls(&house).await;
    other.ask();
    // Whatever the first one is told, it says nothing.
    assert_eq!(other.event().await, ClientEvent::Theirs(true));
    assert_eq!(other.event().await, ClientEvent::Granted);
    house.screens(1).await;
    silent.peer.hang_up(2).await;
    house.stand(1, 0).await;
}

#[tokio::test]
async fn who_offers_a_floor_alone_is_offered_the_second_picture() {
    let house = House::with(|_| {}).await;
    let mut peer = house.caller().await;
    let whole = offer(40_006);
    let (head, slides) = whole.split_once("m=video 40004").unwrap();
    let (slides, floor) = slides.split_once("m=application").unwrap();
    let alone = format!("{head}m=application{floor}");
    peer.call(&alone).await;
    let again = peer.next_request().await;
    assert!(again.first_line().starts_with("INVITE"), "{}", again.0);
    let lines = sdp::parse(again.body().as_bytes()).unwrap().media;
    assert_eq!(lines.len(), 4, "{}", again.0);
    assert_eq!(lines[3].kind, sdp::Kind::Video(sdp::Content::Slides));
    peer.respond(&again, "200 OK", &format!("{alone}m=video 40004{slides}")).await;
    let ack = peer.next_request().await;
    assert!(ack.first_line().starts_with("ACK"), "{}", ack.0);
    peer.hang_up(2).await;
    house.gateway.stop().await;
}

#[tokio::test]
async fn a_call_of_ours_offers_a_second_picture_and_does_without_where_that_is_too_much() {
    let (mut peer, at) = trunks::exchange().await;
    let action = r#""to":"trunk","trunk":"pbx","called":"$0""#;
    let away = trunks::rule(1, "away", "out", r#""called":".*@example\\.org""#, action);
    let house = trunks::house(&mut peer, &[trunks::trunk(at, "127.0.0.1", ""), away]).await;
    let leg = trunks::dial(&house, "sip:hall@example.org").await.unwrap();
    let first = trunks::next_invite(&peer).await;
    assert!(first.body().contains("UDP/BFCP *\r\na=floorctrl:c-s\r\n"), "{}", first.body());
    assert!(first.body().contains("a=content:slides\r\n"), "{}", first.body());
    peer.respond(&first, "488 Not Acceptable Here", "").await;
    let second = trunks::next_invite(&peer).await;
    assert!(!second.body().contains("BFCP"), "{}", second.body());
    assert!(second.body().contains("m=video"), "{}", second.body());
    peer.respond(&second, "200 OK", SDP).await;
    trunks::becomes(&house, &leg, LegState::Active).await;
    trunks::hang_up(&house, &peer, &leg).await;
    house.gateway.stop().await;
}
