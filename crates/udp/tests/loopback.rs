//! Real sockets over loopback.

// Helpers of tests may fail like tests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use udp::{MAX_DATAGRAM, Purpose, PushError, Received, SendBatch, Socket};

const V4: &str = "127.0.0.1:0";

fn socket(address: &str) -> Socket {
    Socket::bind(address.parse().unwrap()).unwrap()
}

const NOTHING: Received = Received { datagrams: 0, more: false };

/// Receives until there are `count` datagrams, or fails after five seconds.
fn receive(socket: &mut Socket, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut all = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(5);
    while all.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} datagrams came", all.len());
        let got = socket
            .recv(|datagram| all.push((datagram.source, datagram.contents.to_vec())))
            .unwrap();
        if got.datagrams == 0 {
            std::thread::yield_now();
        }
    }
    all
}

/// Datagrams whose size changes, so that some merge and some do not.
fn payloads() -> Vec<Vec<u8>> {
    (0..300u16)
        .map(|n| {
            let len = match n % 70 {
                69 => 333,
                68 => 0,
                _ => 1100,
            };
            n.to_be_bytes().into_iter().cycle().take(len).collect()
        })
        .collect()
}

#[test]
fn gso_changes_the_messages_and_never_the_content() {
    for gso in [true, false] {
        let (mut from, mut to) = (socket(V4), socket(V4));
        assert!(from.gso(), "the kernel of this project's machines has GSO");
        if !gso {
            from.disable_gso();
        }
        let mut batch = SendBatch::default();
        for payload in payloads() {
            batch.push(to.local_addr(), &payload).unwrap();
        }
        let report = from.send(&mut batch).unwrap();
        assert_eq!((report.sent, report.dropped, report.would_block), (300, 0, false));
        assert!(batch.is_empty());
        let received = receive(&mut to, 300);
        assert!(received.iter().all(|(source, _)| *source == from.local_addr()));
        let contents: Vec<_> = received.into_iter().map(|(_, contents)| contents).collect();
        assert_eq!(contents, payloads(), "gso: {gso}");
        assert_eq!(to.recv(|_| ()).unwrap(), NOTHING);
    }
}

#[test]
fn ten_thousand_datagrams_reach_fifty_destinations_in_order() {
    let mut from = socket(V4);
    let mut peers: Vec<_> =
        (0..50).map(|_| Socket::bind_for(V4.parse().unwrap(), Purpose::One).unwrap()).collect();
    let mut batch = SendBatch::default();
    // 200 rounds of 50, read between, as a full socket buffer drops silently on loopback.
    let mut seen: HashMap<usize, Vec<u32>> = HashMap::new();
    for round in 0..20u32 {
        for n in 0..10 {
            for peer in &peers {
                let counter = round * 10 + n;
                batch
                    .push_with(peer.local_addr(), 200, |buffer| {
                        buffer[..4].copy_from_slice(&counter.to_be_bytes());
                    })
                    .unwrap();
            }
        }
        let report = from.send(&mut batch).unwrap();
        assert_eq!((report.sent, report.dropped), (500, 0));
        for (index, peer) in peers.iter_mut().enumerate() {
            for (_, contents) in receive(peer, 10) {
                assert_eq!(contents.len(), 200);
                let counter = u32::from_be_bytes(contents[..4].try_into().unwrap());
                seen.entry(index).or_default().push(counter);
            }
        }
    }
    assert_eq!(seen.len(), 50);
    assert!(seen.values().all(|counters| counters.iter().copied().eq(0..200)));
}

#[test]
fn ipv6_and_dual_stack_addresses_are_canonical() {
    let (mut v6, mut wildcard, mut v4) = (socket("[::1]:0"), socket("[::]:0"), socket(V4));
    let port = wildcard.local_addr().port();
    let mut batch = SendBatch::default();
    batch.push(SocketAddr::new("::1".parse().unwrap(), port), b"six").unwrap();
    assert_eq!(v6.send(&mut batch).unwrap().sent, 1);
    assert_eq!(receive(&mut wildcard, 1), [(v6.local_addr(), b"six".to_vec())]);

    batch.push(SocketAddr::new("127.0.0.1".parse().unwrap(), port), b"four").unwrap();
    assert_eq!(v4.send(&mut batch).unwrap().sent, 1);
    let (source, contents) = receive(&mut wildcard, 1).remove(0);
    assert_eq!((source, contents.as_slice()), (v4.local_addr(), b"four".as_slice()));
    for _ in 0..3 {
        batch.push(source, b"back").unwrap();
    }
    assert_eq!(wildcard.send(&mut batch).unwrap().sent, 3);
    assert_eq!(receive(&mut v4, 3).len(), 3);
}

#[test]
fn what_the_kernel_refuses_is_dropped_alone() {
    let (mut from, mut to) = (socket(V4), socket(V4));
    let mut batch = SendBatch::default();
    let nowhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let broadcast: SocketAddr = "255.255.255.255:9".parse().unwrap();
    let other_family: SocketAddr = "[::1]:9".parse().unwrap();
    batch.push(to.local_addr(), b"first").unwrap();
    for _ in 0..2 {
        batch.push(nowhere, b"port 0").unwrap();
    }
    batch.push(broadcast, b"forbidden").unwrap();
    batch.push(other_family, b"wrong family").unwrap();
    batch.push(to.local_addr(), b"last").unwrap();
    let report = from.send(&mut batch).unwrap();
    assert_eq!((report.sent, report.dropped, report.would_block), (2, 4, false));
    let received: Vec<_> = receive(&mut to, 2).into_iter().map(|(_, contents)| contents).collect();
    assert_eq!(received, [b"first".to_vec(), b"last".to_vec()]);
}

#[test]
fn a_closed_port_disturbs_nobody_else() {
    let (mut from, mut to) = (socket(V4), socket(V4));
    let closed = socket(V4).local_addr();
    let mut batch = SendBatch::default();
    for _ in 0..20 {
        batch.push(closed, b"nobody").unwrap();
        batch.push(to.local_addr(), b"somebody").unwrap();
        let report = from.send(&mut batch).unwrap();
        assert_eq!((report.sent, report.dropped), (2, 0));
        assert_eq!(from.recv(|_| ()).unwrap(), NOTHING);
    }
    assert_eq!(receive(&mut to, 20).len(), 20);
}

#[test]
fn the_largest_datagram_passes_and_a_larger_one_is_refused() {
    let (mut from, mut to) = (socket(V4), socket(V4));
    let mut batch = SendBatch::default();
    let largest: Vec<u8> = (0..MAX_DATAGRAM).map(|n| n as u8).collect();
    let oversize = batch.push(to.local_addr(), &vec![0; MAX_DATAGRAM + 1]);
    assert_eq!(oversize, Err(PushError::Oversize { len: MAX_DATAGRAM + 1 }));
    batch.push(to.local_addr(), &largest).unwrap();
    // Too long for the loopback's MTU with fragmentation forbidden, or taken: both are counted.
    let report = from.send(&mut batch).unwrap();
    assert_eq!(report.sent + report.dropped, 1);
    if report.sent == 1 {
        assert_eq!(receive(&mut to, 1)[0].1, largest);
    }
}

#[test]
fn a_socket_for_one_peer_drops_what_is_too_long_for_it() {
    let mut from = socket(V4);
    let mut to = Socket::bind_for(V4.parse().unwrap(), Purpose::One).unwrap();
    let mut batch = SendBatch::default();
    batch.push(to.local_addr(), &[1; 3000]).unwrap();
    batch.push(to.local_addr(), &[2; 1400]).unwrap();
    batch.push(to.local_addr(), &[2; 1400]).unwrap();
    assert_eq!(from.send(&mut batch).unwrap().sent, 3);
    let received = receive(&mut to, 2);
    assert!(received.iter().all(|(_, contents)| contents == &[2; 1400]));
    assert_eq!(to.recv(|_| ()).unwrap(), NOTHING);
}

#[test]
fn a_bound_port_is_not_shared_and_the_descriptor_is_non_blocking() {
    let mut first = socket(V4);
    assert!(Socket::bind(first.local_addr()).is_err());
    assert!(first.as_raw_fd() >= 0);
    assert_eq!(first.recv(|_| ()).unwrap(), NOTHING);
}
