//! The real driver with clients on real connections of loopback.

use std::net::{Ipv4Addr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use str0m::change::SdpAnswer;
use str0m::channel::ChannelId;
use str0m::net::{Protocol, Receive, TcpType};
use str0m::{Candidate, Event, Input, Output, Rtc};
use types::PeerId;

use super::frames::{LENGTH, MAX_FRAME};
use super::*;
use crate::command::{Command, DataChannel, PeerEvent, PeerEvents};
use crate::driver::{ShardConfig, ShardHandle, start};
use crate::transport::webrtc::{Connections, Offer, Session, init_crypto};

const PATIENCE: Duration = Duration::from_secs(10);
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Two shards behind one TCP port.
struct Server {
    shards: Vec<ShardHandle>,
    address: SocketAddr,
    _acceptor: TcpAcceptor,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shards.iter().for_each(|shard| shard.send(Command::Stop));
    }
}

impl Server {
    fn start() -> Self {
        init_crypto();
        let port = TcpPort::bind(LOOPBACK).unwrap();
        let tcp = port.reachable(&[]);
        let shards: Vec<_> = (0..2)
            .map(|index| {
                let announced = Vec::new();
                let config = ShardConfig { index, listen: LOOPBACK, announced, tcp: tcp.clone() };
                start(&config).unwrap()
            })
            .collect();
        let acceptor = port.serve(shards.clone()).unwrap();
        Self { shards, address: tcp[0], _acceptor: acceptor }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        stream
    }

    /// A client of a session on the second shard, which has agreed on its offer.
    fn client(&self) -> Client {
        let shard = self.shards[1].clone();
        let (events, heard) = channel();
        let (peer, now) = (PeerId(7), Instant::now());
        let session = Box::new(Session::new(Connections::Single, shard.reachable(), now));
        shard.send(Command::AddPeer { peer, session, events: Box::new(Events(events)) });

        let stream = self.connect();
        let own = stream.local_addr().unwrap();
        let mut rtc = Rtc::builder().set_rtp_mode(true).build(now);
        let candidate = Candidate::builder().tcp().host(own).tcptype(TcpType::Active).build();
        rtc.add_local_candidate(candidate.unwrap());
        let mut api = rtc.sdp_api();
        api.add_channel(DataChannel::Reliable.label().to_owned());
        let (offer, pending) = api.apply().unwrap();
        let offer = Offer::parse(&offer.to_sdp_string()).unwrap();
        shard.send(Command::Offer { peer, id: 1, offer });
        let answer = loop {
            if let PeerEvent::Answer { sdp, .. } = heard.recv_timeout(PATIENCE).unwrap() {
                break sdp;
            }
        };
        // Over UDP nothing is sent: only the TCP candidate is left.
        let is_udp = |line: &&str| line.starts_with("a=candidate") && line.contains(" udp ");
        assert!(answer.contains(" tcptype passive"), "{answer}");
        let answer: Vec<&str> = answer.split("\r\n").filter(|line| !is_udp(line)).collect();
        let answer = SdpAnswer::from_sdp_string(&answer.join("\r\n")).unwrap();
        rtc.sdp_api().accept_answer(pending, answer).unwrap();
        Client {
            rtc,
            stream,
            own,
            shard,
            peer,
            heard,
            incoming: Frames::default(),
            data: None,
            channel: None,
        }
    }
}

struct Events(Sender<PeerEvent>);

impl PeerEvents for Events {
    fn event(&mut self, _: PeerId, event: PeerEvent) {
        let _ = self.0.send(event);
    }
}

struct Client {
    rtc: Rtc,
    stream: TcpStream,
    own: SocketAddr,
    shard: ShardHandle,
    peer: PeerId,
    heard: Receiver<PeerEvent>,
    incoming: Frames,
    /// The last message on the data channel.
    data: Option<Vec<u8>>,
    channel: Option<ChannelId>,
}

fn framed(datagram: &[u8]) -> Vec<u8> {
    let mut outgoing = Outgoing::new(4096);
    assert!(outgoing.push(datagram));
    outgoing.waiting().to_vec()
}

/// Reads until something comes, or for a moment; `None`: the other side has closed.
fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(0) => None,
        Ok(count) => Some(buffer[..count].to_vec()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Some(Vec::new()),
        Err(_) => None,
    }
}

/// Waits until the other side closes; how long it took.
fn closed(stream: &mut TcpStream) -> Duration {
    let started = Instant::now();
    while read(stream).is_some() {
        assert!(started.elapsed() < PATIENCE, "the connection stays open");
    }
    started.elapsed()
}

impl Client {
    /// Does what is due now; what is to be sent.
    fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(_) => return all,
                Output::Transmit(transmit) => {
                    assert_eq!(transmit.proto, Protocol::Tcp);
                    all.push(transmit.contents.to_vec());
                }
                Output::Event(Event::ChannelOpen(id, _)) => self.channel = Some(id),
                Output::Event(Event::ChannelData(data)) => self.data = Some(data.data.clone()),
                Output::Event(_) => {}
            }
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.rtc.handle_input(input).unwrap();
        for datagram in self.drain() {
            self.stream.write_all(&framed(&datagram)).unwrap();
        }
    }

    fn run_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let started = Instant::now();
        while !done(self) {
            assert!(started.elapsed() < PATIENCE, "in vain: {what}");
            self.handle(Input::Timeout(Instant::now()));
            let bytes = read(&mut self.stream).expect("the connection stays");
            self.incoming.push(&bytes);
            let (source, destination) = (self.stream.peer_addr().unwrap(), self.own);
            while let Some(frame) = self.incoming.next().unwrap().map(<[u8]>::to_vec) {
                let contents = frame.as_slice().try_into().unwrap();
                let receive = Receive { proto: Protocol::Tcp, source, destination, contents };
                self.handle(Input::Receive(Instant::now(), receive));
            }
        }
    }

    fn hears(&self, wanted: impl Fn(&PeerEvent) -> bool) -> bool {
        self.heard.try_iter().any(|event| wanted(&event))
    }

    /// The first binding request that it sends.
    fn request(&mut self) -> Vec<u8> {
        let started = Instant::now();
        loop {
            self.rtc.handle_input(Input::Timeout(Instant::now())).unwrap();
            if let Some(request) = self.drain().into_iter().next() {
                assert!(crate::stun::request_ufrag(&request).is_some());
                return request;
            }
            assert!(started.elapsed() < PATIENCE, "it sends nothing");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_session_connects_over_tcp_and_data_passes_both_ways() {
    let server = Server::start();
    let mut client = server.client();
    client.run_until("connected", |it| it.hears(|event| matches!(event, PeerEvent::Connected)));
    client.run_until("a channel", |it| it.channel.is_some());

    let long: Vec<u8> = (0..15_000_u32).map(|it| it as u8).collect();
    let id = client.channel.unwrap();
    assert!(client.rtc.channel(id).unwrap().write(true, &long).unwrap());
    client.run_until("a message to the server", |it| {
        it.hears(|event| matches!(event, PeerEvent::Data { message, .. } if *message == long))
    });
    let (peer, message) = (client.peer, long.clone().into());
    let channel = DataChannel::Reliable;
    client.shard.send(Command::SendData { peer, channel, message });
    client.run_until("a message to the client", |it| it.data.as_ref() == Some(&long));
}

#[test]
fn who_does_not_name_a_session_at_once_is_not_kept() {
    let server = Server::start();
    let mut silent = server.connect();
    let mut half = server.connect();
    half.write_all(&[0, 100, 0, 1]).unwrap();

    for useless in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        &[0, 0],
        &[0, 20, 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        &(MAX_FRAME as u16).to_be_bytes(),
    ] {
        let mut stream = server.connect();
        stream.write_all(useless).unwrap();
        let after = closed(&mut stream);
        assert!(after < Duration::from_secs(1), "{useless:?} was kept for {after:?}");
    }
    assert!(closed(&mut silent) < Duration::from_secs(5));
    assert!(closed(&mut half) < Duration::from_secs(5));
}

#[test]
fn a_name_alone_opens_nothing() {
    let server = Server::start();
    let mut client = server.client();
    let request = client.request();
    let mut forged = request.clone();
    // The last attributes are MESSAGE-INTEGRITY and FINGERPRINT.
    let at = forged.len() - 12;
    forged[at] ^= 1;
    let mut stranger = server.connect();
    stranger.write_all(&framed(&forged)).unwrap();
    closed(&mut stranger);

    // "ours:theirs" of the same length, with a name that no shard knows.
    let ufrag = crate::stun::request_ufrag(&request).unwrap().as_bytes().to_vec();
    let at = request.windows(ufrag.len()).position(|it| it == ufrag).unwrap();
    let mut unknown = request.clone();
    unknown[at] = if unknown[at] == b'x' { b'y' } else { b'x' };
    let mut stranger = server.connect();
    stranger.write_all(&framed(&unknown)).unwrap();
    closed(&mut stranger);

    client.stream.write_all(&framed(&request)).unwrap();
    client.run_until("connected", |it| it.hears(|event| matches!(event, PeerEvent::Connected)));
}

/// A connection of a shard, and its reader.
fn connection(io: &mut TcpIo, registry: &Registry) -> (TcpStream, SocketAddr) {
    let listener = std::net::TcpListener::bind(LOOPBACK).unwrap();
    let reader = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, source) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut stream = mio::net::TcpStream::from_std(stream);
    let token = Token(io.next);
    io.next += 1;
    registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE).unwrap();
    let connection = Connection {
        stream,
        source,
        frames: Frames::default(),
        outgoing: Outgoing::new(MAX_WAITING),
        full_since: None,
        heard: Instant::now(),
        _permit: admission::Admission::default().admit(source.ip()).unwrap(),
    };
    io.connections.insert(token, connection);
    io.tokens.insert(source, token);
    (reader, source)
}

#[test]
fn a_slow_reader_loses_whole_packets_and_then_its_connection() {
    let poll = mio::Poll::new().unwrap();
    let mut io = TcpIo::new(0, Instant::now());
    let (mut reader, source) = connection(&mut io, poll.registry());
    let packet = [9; 1200];
    let waiting = |io: &TcpIo| io.connections.values().next().unwrap().outgoing.waiting().len();
    let mut pushed = 0;
    while waiting(&io) + LENGTH + packet.len() <= MAX_WAITING {
        io.push(source, &packet);
        io.flush(poll.registry());
        pushed += 1;
    }
    io.push(source, &packet);
    assert!(waiting(&io) <= MAX_WAITING, "it has no room and is dropped");

    let soon = Instant::now() + STALLED / 2;
    io.sweep(poll.registry(), soon);
    assert_eq!(io.connections.len(), 1);
    let mut frames = Frames::default();
    let mut shard = Shard::new(source, None, Instant::now());
    reader.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut came = 0;
    while came < pushed {
        io.receive(poll.registry(), Token(0), &mut shard);
        frames.push(&read(&mut reader).unwrap());
        while let Some(frame) = frames.next().unwrap() {
            assert_eq!(frame, packet, "no frame is cut");
            came += 1;
        }
    }
    assert_eq!(waiting(&io), 0);

    while waiting(&io) + LENGTH + packet.len() <= MAX_WAITING {
        io.push(source, &packet);
        io.flush(poll.registry());
    }
    io.sweep(poll.registry(), Instant::now() + 2 * STALLED);
    assert!(io.connections.is_empty() && io.tokens.is_empty());
}

#[test]
fn a_connection_that_no_session_hears_ends() {
    let poll = mio::Poll::new().unwrap();
    let mut io = TcpIo::new(0, Instant::now());
    let (mut reader, source) = connection(&mut io, poll.registry());
    let mut shard = Shard::new(source, None, Instant::now());
    reader.write_all(&framed(b"\x80 nobody's")).unwrap();
    io.receive(poll.registry(), Token(0), &mut shard);
    io.sweep(poll.registry(), Instant::now() + IDLE / 2);
    assert_eq!(io.connections.len(), 1);
    io.sweep(poll.registry(), Instant::now() + IDLE + SWEEP);
    assert!(io.connections.is_empty());
}
