//! Trunks that are registered at and asked whether they are there.

use std::time::Duration;

use conference::Dialler as _;
use conference::telephony::{Enrolment, Reach, TrunkState};

use crate::bridge::{PATIENCE, SDP};
use crate::house::House;
use crate::raw::{Message, Peer};
use crate::trunks::{dial, exchange, next_invite, parameter, rule, trunk_of};

/// Waits until the one trunk stands so.
pub async fn stands(house: &House, what: &str, is: impl Fn(&TrunkState) -> bool) -> TrunkState {
    let look = async {
        loop {
            if let Some(state) = house.gateway.trunks().into_iter().find(&is) {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, look).await;
    found.unwrap_or_else(|_| panic!("never {what}: {:?}", house.gateway.trunks()))
}

async fn next(peer: &Peer, method: &str) -> Message {
    loop {
        let request = peer.next_request().await;
        if request.first_line().starts_with(&format!("{method} ")) {
            return request;
        }
    }
}

/// Takes a registration that has shown its password; its contact.
async fn take(peer: &mut Peer, expires: u32) -> String {
    let first = next(peer, "REGISTER").await;
    peer.extra = "WWW-Authenticate: Digest realm=\"city\", nonce=\"n1\", algorithm=SHA-256, \
                  qop=\"auth\"\r\n"
        .to_owned();
    peer.respond(&first, "401 Unauthorized", "").await;
    let second = next(peer, "REGISTER").await;
    let proof = second.header("Authorization").unwrap();
    assert_eq!(parameter(proof, "username").as_deref(), Some("plenum"));
    assert_eq!(parameter(proof, "algorithm").as_deref(), Some("SHA-256"));
    assert_eq!(first.header("Call-ID"), second.header("Call-ID"));
    let contact = second.header("Contact").unwrap().to_owned();
    peer.extra = format!("Contact: {}\r\n", contact.replace("600", &expires.to_string()));
    peer.respond(&second, "200 OK", "").await;
    peer.extra.clear();
    contact.split(['<', '>']).nth(1).unwrap().to_owned()
}

const SECRET: &str = r#","user":"plenum","secret":"stnahpele neerg evif""#;

#[tokio::test]
async fn we_register_again_in_time_and_calls_come_over_the_registration() {
    let (mut peer, at) = exchange().await;
    let more = format!(r#","port":{}{SECRET}"#, at.port());
    let action = r#""to":"meeting","meeting":"board""#;
    let records = [
        trunk_of("registered", "127.0.0.1", &more),
        rule(1, "in", "in", r#""trunk":"pbx","called":"4951112233""#, action),
    ];
    let house = House::keeping(&records).await;
    peer.server = house.calls("board").await.server;
    let contact = take(&mut peer, 2).await;
    let state = stands(&house, "registered", |it| it.enrolment == Enrolment::Registered).await;
    assert!(state.remains.unwrap() <= Duration::from_secs(2));
    assert_eq!(take(&mut peer, 600).await, contact, "it is the same contact");

    // From another address: that it knows our contact tells whose call it is.
    let user = contact.trim_start_matches("sip:").split('@').next().unwrap().to_owned();
    let mut call = house.calls("4951112233").await;
    let invite = call.request("INVITE", 1, SDP);
    let invite = invite.replacen("INVITE sip:4951112233@", &format!("INVITE sip:{user}@"), 1);
    call.send_raw(invite.as_bytes()).await;
    let answer = call.answer(1, "INVITE").await;
    assert_eq!(answer.status(), 200, "{}", answer.0);
    call.send("ACK", 1, "").await;
    house.stand(1, 0).await;
    assert_eq!(house.gateway.trunks()[0].calls, 1);
    call.hang_up(2).await;
    house.stand(0, 0).await;

    let stopped = house.gateway.stop();
    let farewell = async {
        let last = next(&peer, "REGISTER").await;
        assert!(last.header("Contact").unwrap().ends_with(";expires=0"), "{}", last.0);
        peer.respond(&last, "200 OK", "").await;
    };
    tokio::join!(stopped, farewell);
}

#[tokio::test]
async fn a_registrar_that_refuses_is_told_of_and_left_alone_for_a_while() {
    let (mut peer, at) = exchange().await;
    let more = format!(r#","port":{}{SECRET}"#, at.port());
    let house = House::keeping(&[trunk_of("registered", "127.0.0.1", &more)]).await;
    peer.server = house.calls("board").await.server;
    peer.extra = "WWW-Authenticate: Digest realm=\"city\", nonce=\"n1\"\r\n".to_owned();
    for _ in 0..2 {
        let asked = next(&peer, "REGISTER").await;
        peer.respond(&asked, "401 Unauthorized", "").await;
    }
    let state = stands(&house, "refused", |it| it.enrolment == Enrolment::Failed).await;
    let why = "it does not take our user and password";
    assert_eq!(state.problem.as_deref(), Some(why));
    // The next attempt is seconds away; what is left of the first is a retransmission at most.
    let soon = tokio::time::timeout(Duration::from_secs(2), next(&peer, "REGISTER")).await;
    assert!(soon.is_err(), "it comes again at once: {soon:?}");
    house.gateway.stop().await;
}

#[tokio::test]
async fn before_a_call_we_register_where_the_trunk_wants_it() {
    let (mut peer, at) = exchange().await;
    let more = format!(
        r#","port":{},"register":"before_call","networks":["10.0.0.1"]{SECRET}"#,
        at.port()
    );
    let action = r#""to":"trunk","trunk":"pbx","called":"$1""#;
    let records = [
        trunk_of("by_address", "127.0.0.1", &more),
        rule(1, "out", "out", r#""called":"9(\\d+)""#, action),
    ];
    let house = House::keeping(&records).await;
    peer.server = house.calls("board").await.server;
    stands(&house, "known", |it| it.enrolment == Enrolment::None).await;
    dial(&house, "9123").await.unwrap();
    take(&mut peer, 600).await;
    let invite = next_invite(&peer).await;
    peer.respond(&invite, "486 Busy Here", "").await;
    // The registration holds: the next call goes at once.
    dial(&house, "9124").await.unwrap();
    let next = loop {
        let request = peer.next_request().await;
        if !request.first_line().starts_with("ACK ") {
            break request;
        }
    };
    assert!(next.first_line().starts_with("INVITE sip:124@"), "{}", next.0);
    peer.respond(&next, "486 Busy Here", "").await;
    house.gateway.stop().await;
}

#[tokio::test]
async fn a_trunk_is_asked_whether_it_is_there() {
    let (mut peer, at) = exchange().await;
    let more = format!(r#","port":{},"networks":["10.0.0.1"],"check_seconds":10"#, at.port());
    let house = House::keeping(&[trunk_of("by_address", "127.0.0.1", &more)]).await;
    peer.server = house.calls("board").await.server;
    let options = next(&peer, "OPTIONS").await;
    // Whatever it answers, it is there; but that it cannot serve.
    peer.respond(&options, "503 Service Unavailable", "").await;
    let state =
        stands(&house, "down", |it| it.servers.first().is_some_and(|it| it.reach == Reach::Down))
            .await;
    assert!(state.servers[0].problem.as_deref().unwrap().contains("503"), "{state:?}");
    let options = next(&peer, "OPTIONS").await;
    peer.respond(&options, "405 Method Not Allowed", "").await;
    stands(&house, "up", |it| it.servers.first().is_some_and(|it| it.reach == Reach::Up)).await;
    house.gateway.stop().await;
}
