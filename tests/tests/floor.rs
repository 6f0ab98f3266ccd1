//! Floor control with a client that nobody here wrote: libre's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bfcp::{Ids, Server, ServerEvent, Transport};
use tests::story::Story;

const IDS: Ids = Ids { conference: 4_000_000_001, user: 318, floor: 2 };
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers whoever sends, until the client has given the floor back; what it wanted, in order.
fn serve(socket: &UdpSocket) -> Vec<ServerEvent> {
    let mut server = Server::new(IDS, Transport::Udp);
    let (mut peer, mut happened, end) = (None, Vec::new(), Instant::now() + PATIENCE);
    while happened.last() != Some(&ServerEvent::Released) {
        assert!(Instant::now() < end, "the client did not come to its end: {happened:?}");
        let mut datagram = [0; 1500];
        if let Ok((length, source)) = socket.recv_from(&mut datagram) {
            peer = Some(source);
            let ours = server.receive(&datagram[..length], Instant::now());
            assert!(ours.unwrap(), "libre's message is the client's: {:?}", &datagram[..length]);
        }
        server.handle_timeout(Instant::now());
        while let Some(event) = server.event() {
            happened.push(event);
            if event == ServerEvent::Wanted {
                server.grant(Instant::now());
            }
        }
        if happened == [ServerEvent::Wanted] && server.is_granted() {
            server.revoke(Instant::now());
            server.set_elsewhere(true, Instant::now());
        }
        while let (Some(bytes), Some(peer)) = (server.transmit(), peer) {
            socket.send_to(&bytes, peer).unwrap();
        }
    }
    happened
}

#[test]
fn libres_client_gets_the_floor_loses_it_and_gives_it_back() {
    let story = Story::begin("floor_libre");
    let client = story.artefacts.join("floor");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/libre/floor.c");
    let built = Command::new("cc")
        .args(["-Wall", "-Wextra", "-I/usr/include/re"])
        .args(["-DHAVE_INTTYPES_H", "-DHAVE_STDBOOL_H", source, "-o"])
        .arg(&client)
        .arg("-lre")
        .status()
        .expect("a C compiler, which scripts/setup.sh --test installs");
    assert!(built.success(), "libre's client cannot be built: is libre-dev there?");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let port = socket.local_addr().unwrap().port();
    let ids = [IDS.conference, IDS.user.into(), IDS.floor.into()].map(|it: u32| it.to_string());
    let child = Command::new(&client)
        .arg(port.to_string())
        .args(ids)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the client runs");
    let happened = serve(&socket);
    assert_eq!(happened, [ServerEvent::Wanted, ServerEvent::Wanted, ServerEvent::Released]);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    fs::write(story.artefacts.join("said.txt"), &said).unwrap();
    let words: Vec<&str> = said.lines().collect();
    let expected = ["hello", "status", "granted", "revoked", "theirs", "granted", "released"];
    assert_eq!(words, expected, "what libre understood");
}
