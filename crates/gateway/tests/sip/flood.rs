//! Floods: who floods is not answered beyond its measure, and nobody else notices.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use gateway::sip::{SipConfig, Transport};
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::bridge::{Bridge, PATIENCE, SDP, config, loopback};
use crate::house::House;
use crate::raw::Peer;
use crate::trunks::{exchange, rule, trunk};

/// Requests of the flood, of each kind.
const EACH: u32 = 4_000;
/// How long somebody else may wait for an answer meanwhile.
const QUICK: Duration = Duration::from_secs(1);
/// What of memory may stay after a flood, in bytes: far less than its messages were.
const KEPT: u64 = 32 << 20;

/// A peer of another address of loopback: limits count by address.
async fn peer_at(host: u8, server: SocketAddr, user: &'static str) -> Peer {
    let address = (Ipv4Addr::new(127, 0, 0, host), 0);
    Peer { socket: UdpSocket::bind(address).await.unwrap(), ..Peer::new(server, user).await }
}

/// Resident memory of this process.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_every_kind_leaves_others_alone() {
    // With the limits of everyday.
    let limits = SipConfig::default().limits;
    let bridge = Bridge::start(SipConfig { udp: vec![loopback()], limits, ..config() }).await;
    let server = bridge.address(Transport::Udp);
    let mut in_call = peer_at(1, server, "room").await;
    in_call.call(SDP).await;

    let before = resident();
    let flood = tokio::spawn(async move {
        let mut evil = peer_at(66, server, "room").await;
        let mut bytes = 0;
        for number in 0..EACH {
            evil.call_id = format!("flood-{number}");
            for (method, body) in [("INVITE", SDP), ("REGISTER", ""), ("OPTIONS", "")] {
                let message = evil.request(method, number + 1, body);
                bytes += message.len();
                evil.send_raw(message.as_bytes()).await;
            }
            if number % 16 == 0 {
                // The socket's buffer holds some hundred: the flood is to arrive.
                tokio::task::yield_now().await;
            }
        }
        bytes
    });
    let mut cseq = 1;
    let mut longest = Duration::ZERO;
    while !flood.is_finished() || cseq < 5 {
        cseq += 1;
        let asked = Instant::now();
        // UDP loses what the server's buffer has no room for: its peers repeat.
        let answer = loop {
            in_call.send("OPTIONS", cseq, "").await;
            let answer = tokio::time::timeout(QUICK / 4, in_call.answer(cseq, "OPTIONS")).await;
            match answer {
                Ok(answer) => break answer,
                Err(_) => assert!(asked.elapsed() < 4 * QUICK, "nobody answers"),
            }
        };
        assert_eq!(answer.status(), 200);
        longest = longest.max(asked.elapsed());
        tokio::time::sleep_until(asked + Duration::from_millis(50)).await;
    }
    let bytes = flood.await.unwrap();
    let mut newcomer = peer_at(3, server, "room").await;
    newcomer.call(SDP).await;
    newcomer.hang_up(2).await;
    let stats = bridge.endpoint.stats();
    println!("{bytes} bytes; the longest wait {longest:?}; {stats:?}");
    // What the socket's buffer had no room for never came.
    assert!(stats.rate_limited > u64::from(EACH / 4), "the flood came: {stats:?}");
    let kept = resident().saturating_sub(before);
    assert!(kept < KEPT, "{kept} bytes are kept");
    in_call.hang_up(cseq + 1).await;
}

#[tokio::test]
async fn one_network_has_a_share_of_all_calls_and_a_trunk_is_not_counted() {
    let meetings = r#""to":"meeting","meeting":"board""#;
    let over_trunk = rule(1, "meetings", "in", r#""called":"board""#, meetings);
    // Of eight calls one network may have two.
    let (_exchange, at) = exchange().await;
    let house = House::holding(&[trunk(at, "127.0.0.9", ""), over_trunk], 8).await;
    let (mut first, second) = (house.called().await, house.called().await);
    let mut refused = house.caller().await;
    refused.send("INVITE", 1, SDP).await;
    assert_eq!(refused.answer(1, "INVITE").await.status(), 486);
    refused.send("ACK", 1, "").await;

    let mut others = vec![second];
    for host in [3, 9, 9, 9] {
        let mut other = peer_at(host, house.address(), "board").await;
        other.call(SDP).await;
        others.push(other);
    }

    first.hang_up(2).await;
    let comes_in = async {
        loop {
            let mut again = house.caller().await;
            again.send("INVITE", 1, SDP).await;
            let status = again.answer(1, "INVITE").await.status();
            again.send("ACK", 1, "").await;
            if status == 200 {
                return again;
            }
        }
    };
    let again = tokio::time::timeout(PATIENCE, comes_in).await;
    others.push(again.expect("whoever hangs up makes room"));
    for mut other in others {
        other.hang_up(2).await;
    }
    house.gateway.stop().await;
}
