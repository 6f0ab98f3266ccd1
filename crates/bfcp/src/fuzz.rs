//! The way of hostile bytes through both ends, for fuzzing and mutation tests.

use std::time::{Duration, Instant};

use crate::{Client, Framing, Ids, Message, Server, Transport};

/// Reads `data` as messages that come one after the other, as datagrams and as a stream; what comes
/// out must be readable by ourselves, and bounded.
pub fn fuzz_bfcp(data: &[u8], now: Instant) {
    let ids = Ids { conference: 1, user: 318, floor: 2 };
    let mut framing = Framing::default();
    framing.push(data);
    let mut messages = vec![data.to_vec()];
    while let Ok(Some(message)) = framing.cut() {
        messages.push(message);
    }
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut server = Server::new(ids, transport);
        let mut client = Client::new(ids, transport, now);
        for (i, message) in messages.iter().enumerate() {
            let _ = server.receive(message, now);
            let _ = client.receive(message, now);
            match i % 4 {
                0 => server.grant(now),
                1 => server.set_elsewhere(true, now),
                2 => server.revoke(now),
                _ => server.deny(now),
            }
        }
        let later = now + Duration::from_secs(1);
        server.handle_timeout(later);
        client.handle_timeout(later);
        let sent = std::iter::from_fn(|| server.transmit());
        for bytes in sent.chain(std::iter::from_fn(|| client.transmit())).take(1000) {
            assert!(Message::parse(&bytes).is_ok(), "our own message is unreadable");
        }
    }
}
