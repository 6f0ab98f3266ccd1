//! A client against a shard in virtual time, while others send what nobody asked for.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use str0m::change::SdpAnswer;
use str0m::channel::ChannelId;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Input, Output, Rtc};
use types::PeerId;

use super::{Connections, Offer, Reachable, Session, Transport, init_crypto};
use crate::{Command, DataChannel, PeerEvent, PeerEvents, Shard};

const SERVER: &str = "10.0.0.1:7882";
const CLIENT: &str = "10.0.0.2:4000";
const STEP: Duration = Duration::from_millis(5);

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<PeerEvent>>>);

impl PeerEvents for Log {
    fn event(&mut self, _: PeerId, event: PeerEvent) {
        self.0.lock().unwrap().push(event);
    }
}

impl Log {
    fn count(&self, is: impl Fn(&PeerEvent) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|event| is(event)).count()
    }

    fn messages(&self) -> usize {
        self.count(|event| matches!(event, PeerEvent::Data { .. }))
    }
}

/// A shard, a connected client with an open data channel, and the time.
struct Meeting {
    shard: Shard,
    client: Rtc,
    channel: ChannelId,
    log: Log,
    ufrag: String,
    now: Instant,
}

impl Meeting {
    fn new() -> Self {
        init_crypto();
        let now = Instant::now();
        let mut shard = Shard::new(at(SERVER), None, now);
        let (log, peer) = (Log::default(), PeerId(1));
        let reachable = Reachable { udp: vec![at(SERVER)], tcp: Vec::new() };
        let mut session = Box::new(Session::new(Connections::Single, &reachable, now));
        let ufrag = session.ufrags()[0].0.clone();
        let events = Box::new(log.clone());
        shard.handle_command(Command::AddPeer { peer, session, events }, now);

        let mut client = Rtc::new(now);
        client.add_local_candidate(Candidate::host(at(CLIENT), "udp").unwrap());
        let mut change = client.sdp_api();
        let channel = change.add_channel(DataChannel::Reliable.label().to_owned());
        let (offer, pending) = change.apply().unwrap();
        let offer = Offer::parse(&offer.to_sdp_string()).unwrap();
        shard.handle_command(Command::Offer { peer, id: 1, offer }, now);
        shard.flush(now);
        let answer = log.0.lock().unwrap().iter().find_map(|event| match event {
            PeerEvent::Answer { sdp, .. } => Some(SdpAnswer::from_sdp_string(sdp).unwrap()),
            _ => None,
        });
        client.sdp_api().accept_answer(pending, answer.unwrap()).unwrap();
        let mut meeting = Self { shard, client, channel, log, ufrag, now };
        while meeting.client.channel(channel).is_none() {
            assert!(meeting.now - now < Duration::from_secs(10), "no connection");
            meeting.run();
        }
        meeting
    }

    /// Lets a step of time pass and everything arrive.
    fn run(&mut self) {
        self.now += STEP;
        self.client.handle_input(Input::Timeout(self.now)).unwrap();
        self.shard.handle_timeout(self.now);
        loop {
            let sent = self.drain_client();
            let idle = sent.is_empty();
            for datagram in sent {
                self.shard.handle_datagram(Transport::Udp, at(CLIENT), &datagram, self.now);
            }
            self.shard.flush(self.now);
            let mut answered = false;
            while let Some(transmit) = self.shard.poll_transmit() {
                if transmit.destination != at(CLIENT) {
                    continue;
                }
                answered = true;
                let contents = transmit.contents.as_slice().try_into().unwrap();
                let (source, destination) = (at(SERVER), at(CLIENT));
                let receive = Receive { proto: Protocol::Udp, source, destination, contents };
                self.client.handle_input(Input::Receive(self.now, receive)).unwrap();
            }
            if idle && !answered {
                return;
            }
        }
    }

    fn drain_client(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        loop {
            match self.client.poll_output().unwrap() {
                Output::Timeout(_) => return sent,
                Output::Transmit(transmit) => sent.push(transmit.contents.to_vec()),
                Output::Event(_) => {}
            }
        }
    }

    fn say(&mut self) {
        self.client.channel(self.channel).unwrap().write(true, b"hello").unwrap();
    }

    fn hurl(&mut self, source: SocketAddr, datagram: &[u8]) {
        self.shard.handle_datagram(Transport::Udp, source, datagram, self.now);
    }

    /// Noise of every kind that is told apart by its first byte (RFC 7983), and a request that
    /// names the client but cannot prove it.
    fn noise(&self, seed: u64) -> Vec<Vec<u8>> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = |length: usize| -> Vec<u8> {
            std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
            .take(length)
            .collect()
        };
        let with = |head: &[u8], tail: Vec<u8>| [head, &tail].concat();
        let stun = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        vec![
            Vec::new(),
            random(1),
            random(1200),
            with(&stun, random(12)),
            with(&stun, random(60)),
            forged(&self.ufrag, &random(12)),
            // DTLS: a record cut short, one of application data, a hello, an alert.
            with(&[22, 254, 253], random(4)),
            with(&[23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 40], random(40)),
            with(&[22, 254, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 1], random(59)),
            with(&[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 7, 0, 2, 2], vec![40]),
            // RTP and RTCP.
            with(&[0x80, 111], random(60)),
            with(&[0xbf, 111], random(10)),
            with(&[0x80, 200, 0, 6], random(40)),
            with(&[0x81, 206, 255, 255], random(8)),
        ]
    }
}

/// A binding request for `ufrag` with a MESSAGE-INTEGRITY that nobody could make.
fn forged(ufrag: &str, transaction: &[u8]) -> Vec<u8> {
    let name = format!("{ufrag}:them");
    let mut attributes = vec![0, 6, 0, name.len() as u8];
    attributes.extend(name.as_bytes());
    attributes.resize(attributes.len().next_multiple_of(4), 0);
    attributes.extend([0, 8, 0, 20]);
    attributes.extend([7; 20]);
    let mut datagram = vec![0, 1, 0, attributes.len() as u8, 0x21, 0x12, 0xa4, 0x42];
    datagram.extend(transaction);
    datagram.extend(attributes);
    datagram
}

const ROUNDS: usize = 100;

#[test]
fn a_flood_of_strays_is_counted_and_disturbs_nobody() {
    let mut meeting = Meeting::new();
    let before = meeting.shard.counters().strays;
    let mut hurled = 0;
    for round in 0..ROUNDS {
        for source in 0..40_u16 {
            let stranger = SocketAddr::from(([10, 0, 1, source as u8], 1000 + source));
            for datagram in meeting.noise(round as u64 * 64 + u64::from(source)) {
                meeting.hurl(stranger, &datagram);
                hurled += 1;
            }
        }
        meeting.say();
        meeting.run();
        assert_eq!(meeting.log.messages(), round + 1);
    }
    assert_eq!(meeting.shard.counters().strays - before, hurled);
    assert_eq!(meeting.log.count(|event| matches!(event, PeerEvent::Closed(_))), 0);
}

#[test]
fn noise_under_the_clients_own_address_does_not_end_it() {
    let mut meeting = Meeting::new();
    for round in 0..ROUNDS {
        for (kind, datagram) in meeting.noise(round as u64).into_iter().enumerate() {
            meeting.hurl(at(CLIENT), &datagram);
            meeting.run();
            let closed = meeting.log.count(|event| matches!(event, PeerEvent::Closed(_)));
            assert_eq!(closed, 0, "kind {kind} in round {round}: {datagram:02x?}");
        }
        meeting.say();
        meeting.run();
        assert_eq!(meeting.log.messages(), round + 1);
    }
}
