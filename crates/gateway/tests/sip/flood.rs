//! Floods: who floods is not answered beyond its measure, and nobody else notices.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use gateway::sip::{SipConfig, Transport};
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::bridge::{Bridge, SDP, config, loopback};
use crate::raw::Peer;

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
