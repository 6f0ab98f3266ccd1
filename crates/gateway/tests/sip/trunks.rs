//! Calls by the dial plan, over trunks and without.

use std::net::SocketAddr;
use std::time::Duration;

use conference::store::Kind;
use conference::{DialRefusal, DialledLeg, Dialler, LegState};
use gateway::sip::TlsConfig;
use rsipstack::dialog::authenticate::compute_digest;
use rsipstack::sip::Method;
use rsipstack::sip::headers::auth::{Algorithm, AuthQop};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use types::MeetingId;

use crate::bridge::{PATIENCE, SDP, certificates, loopback};
use crate::house::House;
use crate::raw::{Message, Peer};

pub type Kept = (Kind, &'static str, String);

/// A trunk to this address, `more` of JSON after a comma included.
pub fn trunk(at: SocketAddr, networks: &str, more: &str) -> Kept {
    let port = at.port();
    let body = format!(
        r#"{{"name":"PBX","kind":"by_address","host":"127.0.0.1","port":{port},
            "networks":["{networks}"]{more}}}"#
    );
    (Kind::Trunk, "pbx", body)
}

/// A trunk of a kind at a host, `more` of JSON after a comma included.
pub fn trunk_of(kind: &str, host: &str, more: &str) -> Kept {
    let body = format!(r#"{{"name":"PBX","kind":"{kind}","host":"{host}"{more}}}"#);
    (Kind::Trunk, "pbx", body)
}

/// A rule whose id is its name: its direction, what it matches and what it does.
pub fn rule(order: u32, name: &'static str, direction: &str, matches: &str, action: &str) -> Kept {
    let body = format!(
        r#"{{"order":{order},"name":"{name}","direction":"{direction}","match":{{{matches}}},
            "action":{{{action}}}}}"#
    );
    (Kind::DialRule, name, body)
}

/// Who dials 9 and a number is called over the trunk.
pub fn city() -> Kept {
    let action = r#""to":"trunk","trunk":"pbx","called":"+7495$1""#;
    rule(10, "city", "out", r#""called":"9(\\d+)""#, action)
}

/// The exchange behind the trunk, which answers nothing before it knows its [`house`].
pub async fn exchange() -> (Peer, SocketAddr) {
    let peer = Peer::new(loopback(), "+74951112233").await;
    let at = peer.socket.local_addr().unwrap();
    (peer, at)
}

/// The house whose trunk leads to this exchange.
pub async fn house(exchange: &mut Peer, records: &[Kept]) -> House {
    let house = House::keeping(records).await;
    exchange.server = house.calls("board").await.server;
    house
}

pub async fn dial(house: &House, address: &str) -> Result<DialledLeg, DialRefusal> {
    house.gateway.dial(&MeetingId::parse("board").unwrap(), address, None).await
}

pub async fn becomes(house: &House, leg: &DialledLeg, state: LegState) {
    let look = async {
        while house.gateway.leg(&leg.meeting, &leg.id).unwrap().state != state {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let done = tokio::time::timeout(PATIENCE, look).await;
    done.unwrap_or_else(|_| {
        panic!("never {state:?}: {:?}", house.gateway.leg(&leg.meeting, &leg.id))
    });
}

/// The next INVITE, past everything else.
pub async fn next_invite(peer: &Peer) -> Message {
    loop {
        let request = peer.next_request().await;
        if request.first_line().starts_with("INVITE ") {
            return request;
        }
    }
}

/// Hangs our call up, and waits until it is forgotten.
pub async fn hang_up(house: &House, peer: &Peer, leg: &DialledLeg) {
    house.gateway.hang_up(&leg.meeting, &leg.id).unwrap();
    let bye = loop {
        let request = peer.next_request().await;
        if request.first_line().starts_with("BYE ") {
            break request;
        }
    };
    peer.respond(&bye, "200 OK", "").await;
    becomes(house, leg, LegState::Ended).await;
    house.stand(0, 0).await;
}

#[tokio::test]
async fn a_call_goes_over_a_trunk_as_a_rule_rewrites_it() {
    let (mut peer, at) = exchange().await;
    let more = r#","caller":{"number":"4951112233","name":"Plenum"},"kbps":64"#;
    let house = house(&mut peer, &[trunk(at, "127.0.0.1", more), city()]).await;
    let leg = dial(&house, " 9123 ").await.unwrap();
    assert_eq!(leg.address, "+7495123@127.0.0.1");
    let invite = peer.next_request().await;
    let line = format!("INVITE sip:+7495123@127.0.0.1:{} SIP/2.0", at.port());
    assert_eq!(invite.first_line(), line);
    let from = invite.header("From").unwrap();
    assert!(from.starts_with("\"Plenum\" <sip:4951112233@127.0.0.1"), "{from}");
    assert!(invite.body().contains("m=audio"), "{}", invite.body());
    assert!(!invite.body().contains("m=video"), "64 kbit/s leave no picture: {}", invite.body());
    assert_eq!(
        (invite.header("Authorization"), invite.header("Proxy-Authorization")),
        (None, None)
    );
    peer.respond(&invite, "200 OK", SDP).await;
    becomes(&house, &leg, LegState::Active).await;
    hang_up(&house, &peer, &leg).await;
    house.gateway.stop().await;
}

#[tokio::test]
async fn without_a_caller_of_its_own_a_trunk_sees_the_meeting_and_an_address_goes_over_it() {
    let (mut peer, at) = exchange().await;
    let action = r#""to":"trunk","trunk":"pbx","called":"$0""#;
    let away = rule(1, "away", "out", r#""called":".*@example\\.org""#, action);
    let house = house(&mut peer, &[trunk(at, "127.0.0.1", ""), away]).await;
    let leg = dial(&house, "sip:hall@example.org:5070").await.unwrap();
    let invite = peer.next_request().await;
    assert_eq!(invite.first_line(), "INVITE sip:hall@example.org SIP/2.0", "it came to us");
    assert!(invite.header("From").unwrap().contains("<sip:board@127.0.0.1"), "{}", invite.0);
    assert!(invite.body().contains("m=video"), "{}", invite.body());
    peer.respond(&invite, "404 Not Found", "").await;
    becomes(&house, &leg, LegState::NotFound).await;
    house.gateway.stop().await;
}

/// What stands in a header behind `name=`.
pub fn parameter(header: &str, name: &str) -> Option<String> {
    let found = header
        .trim_start_matches("Digest ")
        .split(", ")
        .find_map(|it| it.split_once('=').filter(|it| it.0 == name));
    found.map(|(_, value)| value.trim_matches('"').to_owned())
}

/// Whether it proves the password, by an implementation that is not ours.
pub fn check(header: &str, request: &Message, method: Method, algorithm: Algorithm) {
    let [user, realm, nonce, uri] =
        ["username", "realm", "nonce", "uri"].map(|it| parameter(header, it).unwrap());
    let line = request.first_line();
    assert_eq!(line, format!("{method} {uri} SIP/2.0"), "it is about this request");
    assert_eq!((user.as_str(), realm.as_str()), ("plenum", "city"));
    let qop = parameter(header, "qop").map(|qop| {
        assert_eq!((qop.as_str(), parameter(header, "nc").as_deref()), ("auth", Some("00000001")));
        AuthQop::Auth { cnonce: parameter(header, "cnonce").unwrap(), nc: 1 }
    });
    let right = compute_digest(
        &user,
        "five green elephants",
        &realm,
        &nonce,
        &method,
        &uri,
        algorithm,
        qop.as_ref(),
    );
    assert_eq!(parameter(header, "response").unwrap(), right, "{header}");
    assert!(!request.0.contains("five green elephants"));
}

/// A trunk that has a password.
pub fn with_password(at: SocketAddr) -> Kept {
    let sealed: String = "five green elephants".chars().rev().collect();
    let more = format!(r#","user":"plenum","secret":"{sealed}""#);
    trunk(at, "127.0.0.1", &more)
}

#[tokio::test]
async fn a_trunk_that_asks_is_told_who_we_are_by_md5_and_by_sha_256() {
    for (status, asks, answers, rest, algorithm) in [
        ("401 Unauthorized", "WWW-Authenticate", "Authorization", "", Algorithm::Md5),
        (
            "407 Proxy Authentication Required",
            "Proxy-Authenticate",
            "Proxy-Authorization",
            ", algorithm=SHA-256, qop=\"auth,auth-int\"",
            Algorithm::Sha256,
        ),
    ] {
        let (mut peer, at) = exchange().await;
        let house = house(&mut peer, &[with_password(at), city()]).await;
        let leg = dial(&house, "9123").await.unwrap();
        let first = next_invite(&peer).await;
        assert_eq!(first.header(answers), None);
        peer.extra = format!("{asks}: Digest realm=\"city\", nonce=\"n1\"{rest}\r\n");
        peer.respond(&first, status, "").await;
        let second = next_invite(&peer).await;
        check(second.header(answers).unwrap(), &second, Method::Invite, algorithm);
        assert_eq!(second.header("Call-ID"), first.header("Call-ID"), "it is the same call");
        let [before, after] = [&first, &second].map(|it| {
            it.header("CSeq").unwrap().split(' ').next().unwrap().parse::<u32>().unwrap()
        });
        assert!(after > before);
        peer.extra.clear();
        peer.respond(&second, "200 OK", SDP).await;
        becomes(&house, &leg, LegState::Active).await;
        hang_up(&house, &peer, &leg).await;
        house.gateway.stop().await;
    }
}

#[tokio::test]
async fn a_password_that_is_not_taken_is_shown_once_and_one_more_time_for_an_old_nonce() {
    let (mut peer, at) = exchange().await;
    let house = house(&mut peer, &[with_password(at), city()]).await;
    let leg = dial(&house, "9123").await.unwrap();
    let first = next_invite(&peer).await;
    peer.extra = "WWW-Authenticate: Digest realm=\"city\", nonce=\"n1\"\r\n".to_owned();
    peer.respond(&first, "401 Unauthorized", "").await;
    let second = next_invite(&peer).await;
    peer.extra = "WWW-Authenticate: Digest realm=\"city\", nonce=\"n2\", stale=true\r\n".to_owned();
    peer.respond(&second, "401 Unauthorized", "").await;
    let third = next_invite(&peer).await;
    let shown = third.header("Authorization").unwrap();
    assert_eq!(parameter(shown, "nonce").as_deref(), Some("n2"));
    peer.respond(&third, "401 Unauthorized", "").await;
    becomes(&house, &leg, LegState::Refused).await;
    house.stand(0, 0).await;
    house.gateway.stop().await;
}

#[tokio::test]
async fn a_trunk_without_a_password_proves_nothing() {
    let (mut peer, at) = exchange().await;
    let house = house(&mut peer, &[trunk(at, "127.0.0.1", ""), city()]).await;
    let leg = dial(&house, "9123").await.unwrap();
    let invite = next_invite(&peer).await;
    peer.extra = "WWW-Authenticate: Digest realm=\"city\", nonce=\"n1\"\r\n".to_owned();
    peer.respond(&invite, "401 Unauthorized", "").await;
    becomes(&house, &leg, LegState::Refused).await;
    house.gateway.stop().await;
}

#[tokio::test]
async fn as_many_calls_go_over_a_trunk_as_may_in_both_directions() {
    let (mut peer, at) = exchange().await;
    let action = r#""to":"meeting","meeting":"board""#;
    let inbound = rule(1, "in", "in", r#""trunk":"pbx""#, action);
    let one = trunk(at, "127.0.0.1", r#","max_calls":1"#);
    let house = house(&mut peer, &[one, city(), inbound]).await;
    let leg = dial(&house, "9123").await.unwrap();
    let full = DialRefusal::TrunkFull { trunk: "PBX".to_owned() };
    assert_eq!(dial(&house, "9124").await.unwrap_err(), full);
    let invite = next_invite(&peer).await;
    peer.respond(&invite, "200 OK", SDP).await;
    becomes(&house, &leg, LegState::Active).await;
    let mut late = house.calls("+74951112233").await;
    late.send("INVITE", 1, SDP).await;
    assert_eq!(late.answer(1, "INVITE").await.status(), 486);
    late.send("ACK", 1, "").await;
    hang_up(&house, &peer, &leg).await;

    let mut next = house.calls("+74951112233").await;
    next.call(SDP).await;
    house.stand(1, 0).await;
    assert_eq!(dial(&house, "9125").await.unwrap_err(), full);
    next.hang_up(2).await;
    house.stand(0, 0).await;
    let again = async {
        while dial(&house, "9126").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("the trunk is free again");
    house.gateway.stop().await;
}

#[tokio::test]
async fn a_rule_forbids_and_where_none_matches_allow_dial_decides() {
    let (_peer, at) = exchange().await;
    let reject = r#""to":"reject","cause":"forbidden""#;
    let house = House::keeping(&[
        trunk(at, "127.0.0.1", ""),
        rule(1, "no costs", "out", r#""called":"9900.*|.*@example\\.org""#, reject),
        rule(2, "hall", "out", r#""called":"7""#, r#""to":"device","extension":"101""#),
        rule(3, "lost", "out", r#""called":"8""#, r#""to":"trunk","trunk":"gone","called":"$0""#),
        city(),
    ])
    .await;
    let by_rule = DialRefusal::ByRule { rule: "no costs".to_owned() };
    for address in ["9900123", "sip:HALL@Example.org.:5060", "sips:hall@example.org;z=1"] {
        assert_eq!(dial(&house, address).await.unwrap_err(), by_rule, "{address}");
    }
    let unusable = DialRefusal::TrunkUnusable { rule: "lost".to_owned() };
    for (address, refusal) in [
        ("7", DialRefusal::NotRegistered),
        ("8", unusable),
        ("6123", DialRefusal::NotRegistered),
        ("hall@example.net", DialRefusal::Forbidden),
        ("a b@example.net", DialRefusal::BadAddress),
    ] {
        assert_eq!(dial(&house, address).await.unwrap_err(), refusal, "{address}");
    }
    house.gateway.stop().await;
}

#[tokio::test]
async fn a_number_that_a_rule_rewrites_leads_into_a_meeting() {
    let action = r#""to":"meeting","meeting":"board""#;
    let matches = r#""trunk":"pbx","called":"\\+7495(\\d+)","calling":"raw(@.*)?""#;
    let inbound = rule(1, "in", "in", matches, action);
    let house = House::keeping(&[trunk(loopback(), "127.0.0.0/8", ""), inbound]).await;
    // As it is, and in another way of writing the same; with what may be a PIN, which is no matter.
    for user in ["+74951112233", "%2B7495111%32233", "+74951112233**1234"] {
        let mut peer = house.calls(user).await;
        peer.call(SDP).await;
        house.stand(1, 0).await;
        peer.hang_up(2).await;
        house.stand(0, 0).await;
    }
    house.gateway.stop().await;
}

/// How a call ends that is refused.
async fn refused(house: &House, user: &'static str) -> u16 {
    let mut peer = house.calls(user).await;
    let began = Instant::now();
    peer.send("INVITE", 1, SDP).await;
    let answer = peer.answer(1, "INVITE").await;
    assert!(began.elapsed() >= Duration::from_millis(250), "as late as every other refusal");
    assert_eq!(answer.header("Reason"), None, "{}", answer.0);
    peer.send("ACK", 1, "").await;
    answer.status()
}

#[tokio::test]
async fn calls_that_rules_refuse_are_told_the_cause_and_no_more() {
    let house = House::keeping(&[
        rule(1, "spam", "in", r#""called":"board""#, r#""to":"reject","cause":"declined""#),
        rule(3, "over", "in", r#""called":"7""#, r#""to":"trunk","trunk":"pbx","called":"1""#),
        rule(4, "gone", "in", r#""called":"gone""#, r#""to":"meeting","meeting":"nowhere""#),
    ])
    .await;
    for (user, status) in [("board", 603), ("%62oard**1234", 603), ("7", 503), ("gone", 404)] {
        assert_eq!(refused(&house, user).await, status, "{user}");
    }
    house.gateway.stop().await;
}

#[tokio::test]
async fn what_no_rule_is_for_is_refused_over_a_trunk_and_dials_its_meeting_from_elsewhere() {
    let (_peer, at) = exchange().await;
    let house = House::keeping(&[trunk(at, "127.0.0.1", ""), city()]).await;
    assert_eq!(refused(&house, "board").await, 404);
    house.gateway.stop().await;

    let house = House::keeping(&[trunk(at, "10.0.0.0/8", ""), city()]).await;
    let mut peer = house.calls("board").await;
    peer.call(SDP).await;
    house.stand(1, 0).await;
    peer.hang_up(2).await;
    house.gateway.stop().await;
}

/// A trunk over TLS to this port, and a house that trusts these certificates.
async fn over_tls(port: u16, trusted: TlsConfig) -> House {
    let more = format!(r#","port":{port},"transport":"tls""#);
    let records = [trunk_of("none", "localhost", &more), city()];
    House::trusting(&records, trusted).await
}

#[tokio::test]
async fn a_trunk_over_tls_has_to_show_a_certificate_that_is_trusted() {
    let shown = certificates();
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(shown.server.clone());
    let trusts = shown.client.clone();
    let house = over_tls(port, shown).await;
    let leg = dial(&house, "9123").await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = acceptor.accept(stream).await.unwrap();
    let mut read = vec![0; 4096];
    let length = stream.read(&mut read).await.unwrap();
    let invite = String::from_utf8_lossy(&read[..length]).into_owned();
    assert!(invite.starts_with("INVITE sip:+7495123@localhost"), "{invite}");
    assert!(invite.contains("Via: SIP/2.0/TLS "), "{invite}");
    house.gateway.hang_up(&leg.meeting, &leg.id).unwrap();
    house.gateway.stop().await;

    // What is said of its host alone comes before what holds for all.
    let stranger = certificates();
    let host = ("localhost".to_owned(), trusts.unwrap());
    let house = over_tls(port, TlsConfig { hosts: [host].into(), ..stranger.clone() }).await;
    let leg = dial(&house, "9123").await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    acceptor.accept(stream).await.unwrap();
    house.gateway.hang_up(&leg.meeting, &leg.id).unwrap();
    house.gateway.stop().await;

    let house = over_tls(port, stranger).await;
    let leg = dial(&house, "9123").await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    assert!(acceptor.accept(stream).await.is_err(), "it hangs up");
    becomes(&house, &leg, LegState::Unreachable).await;
    house.gateway.stop().await;
}
