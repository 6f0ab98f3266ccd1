//! The torture messages of RFC 4475, and of RFC 5118 for IPv6, each with its right answer.
//!
//! `rfc4475/*.sip` holds them as the RFC prints them: lines end with CRLF on the wire,
//! `<hex>` holds bytes, `<repeat count=N>` repeats, `<allOneLine>` joins its lines (section 2).
//! Those of RFC 5118 have lengths that fit their bodies, which those that it prints have not.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use gateway::sip::{SipConfig, TlsConfig, Transport};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::bridge::{Bridge, PATIENCE, certificates, config, loopback};

use self::Answer::{Final, Silence, Stuck};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// The final status.
    Final(u16),
    /// Responses are not answered, and what cannot be read is dropped.
    Silence,
    /// The endpoint does not answer what comes after it: never right.
    Stuck,
}

/// A message, what the RFCs allow a server like ours to answer, and what comes instead, where it
/// is not that. `instead` is for what the SIP library does wrongly: when it is mended, the test
/// fails and says so.
struct Case {
    name: &'static str,
    right: &'static [Answer],
    instead: Option<(Answer, &'static str)>,
}

const fn case(name: &'static str, right: &'static [Answer]) -> Case {
    Case { name, right, instead: None }
}

const fn wrong(
    name: &'static str,
    right: &'static [Answer],
    instead: Answer,
    why: &'static str,
) -> Case {
    Case { name, right, instead: Some((instead, why)) }
}

/// In the RFC's order. We are no registrar: a good REGISTER is answered 405.
const CASES: &[Case] = &[
    // 3.1.1: valid. `wsinv` has a tag of a dialog that does not exist.
    wrong("wsinv", &[Final(481)], Final(400), "reads no `tag = x`, only `tag=x`"),
    case("intmeth", &[Final(501)]),
    case("esc01", &[Final(200)]),
    case("escnull", &[Final(405)]),
    case("esc02", &[Final(501)]),
    case("lwsdisp", &[Final(200)]),
    case("longreq", &[Final(200)]),
    case("dblreq", &[Final(405)]),
    case("semiuri", &[Final(200)]),
    case("transports", &[Final(200)]),
    case("mpart01", &[Final(405)]),
    case("unreason", &[Silence]),
    case("noreason", &[Silence]),
    // 3.1.2: invalid. Where the RFC finds it reasonable to guess what is meant, both are right.
    wrong("badinv01", &[Final(400)], Final(200), "takes a Via of `192.0.2.15;;,;,,`"),
    case("clerr", &[Final(400)]),
    case("ncl", &[Final(400)]),
    case("scalar02", &[Final(400)]),
    case("scalarlg", &[Silence]),
    case("quotbal", &[Final(400), Final(200)]),
    case("ltgtruri", &[Final(400), Final(200)]),
    case("lwsruri", &[Final(400)]),
    case("lwsstart", &[Final(400), Final(200)]),
    case("trws", &[Final(400), Final(200)]),
    case("escruri", &[Final(400), Final(200)]),
    case("baddate", &[Final(400), Final(200)]),
    case("regbadct", &[Final(400), Final(405)]),
    case("badaspec", &[Final(400), Final(200)]),
    case("baddn", &[Final(400), Final(200)]),
    case("badvers", &[Final(505)]),
    case("mismatch01", &[Final(400)]),
    case("mismatch02", &[Final(400), Final(501)]),
    case("bigcode", &[Silence]),
    // 3.2: transactions.
    case("badbranch", &[Final(200)]),
    // 3.3: what a server must judge itself.
    case("insuf", &[Final(400)]),
    case("unkscm", &[Final(416)]),
    case("novelsc", &[Final(416)]),
    case("unksm2", &[Final(400), Final(405)]),
    case("bext01", &[Final(420)]),
    case("invut", &[Final(415)]),
    case("regaut01", &[Final(405)]),
    case("multi01", &[Final(400)]),
    case("mcl01", &[Final(400)]),
    case("bcast", &[Silence]),
    case("zeromf", &[Final(200)]),
    case("cparam01", &[Final(405)]),
    case("cparam02", &[Final(405)]),
    case("regescrt", &[Final(405)]),
    case("sdp01", &[Final(406)]),
    // 3.4: RFC 2543's way of calling, without tags. Only who wants to may take it.
    case("inv2543", &[Final(200), Final(400)]),
];

/// RFC 5118's, in its order. Their addresses are not ours: what is for one of them is read, and then
/// refused by 404, which is no slip of the parser.
const IPV6_CASES: &[Case] = &[
    case("ipv6-good", &[Final(405)]),
    wrong("ipv6-bad", &[Final(400)], Final(405), "takes an IPv6 address without its brackets"),
    // All of it is an address.
    case("port-ambiguous", &[Final(405)]),
    case("port-unambiguous", &[Final(405)]),
    case("via-received-param-with-delim", &[Final(404)]),
    case("via-received-param-no-delim", &[Final(404)]),
    case("ipv6-in-sdp", &[Final(404)]),
    case("mult-ip-in-header", &[Final(481)]),
    case("mult-ip-in-sdp", &[Final(404)]),
    case("ipv4-mapped-ipv6", &[Final(200)]),
    // A slip of RFC 3261's grammar, which is to be taken nevertheless.
    wrong(
        "ipv6-bug-abnf-3-colons",
        &[Final(404)],
        Final(400),
        "reads no `:::`, which RFC 3261's grammar has by mistake",
    ),
    case("ipv6-correct-abnf-2-colons", &[Final(404)]),
];

#[tokio::test]
async fn every_torture_message_gets_its_answer() {
    get_their_answers("rfc4475", CASES).await;
}

#[tokio::test]
async fn every_torture_message_with_ipv6_gets_its_answer() {
    get_their_answers("rfc5118", IPV6_CASES).await;
}

async fn get_their_answers(rfc: &str, cases: &[Case]) {
    let tls = certificates();
    let config = SipConfig { tls: vec![loopback()], certificates: Some(tls.clone()), ..config() };
    let bridge = Bridge::start(config).await;
    let mut wrongs = Vec::new();
    for case in cases {
        let message = message(rfc, case.name);
        let text = String::from_utf8_lossy(&message);
        let transport = match () {
            () if text.contains("SIP/2.0/TLS fold") => Transport::Tls,
            // The topmost Via names the one that the RFC means.
            () if text.lines().find(|line| line.contains("SIP/")).is_some_and(is_tcp)
                || text.lines().find(|line| line.starts_with("Via")).is_some_and(is_tcp) =>
            {
                Transport::Tcp
            }
            () => Transport::Udp,
        };
        let server = bridge.address(transport);
        let got = match transport {
            Transport::Udp => over_udp(server, &message, case).await,
            Transport::Tcp => {
                let stream = TcpStream::connect(server).await.unwrap();
                over_stream(stream, transport, &message, case).await
            }
            Transport::Tls => {
                over_stream(secured(server, &tls).await, transport, &message, case).await
            }
        };
        let right = case.right.contains(&got);
        match case.instead {
            None if right => {}
            Some((instead, _)) if instead == got => {}
            Some((_, why)) if right => {
                wrongs.push(format!("{}: {got:?} is right at last; strike out: {why}", case.name));
            }
            _ => wrongs.push(format!("{}: {got:?}, wanted {:?}", case.name, case.right)),
        }
    }
    assert!(wrongs.is_empty(), "{wrongs:#?}");
}

fn is_tcp(line: &str) -> bool {
    line.contains("/TCP")
}

#[test]
fn the_tables_have_every_file() {
    for (rfc, cases, count) in [("rfc4475", CASES, 49), ("rfc5118", IPV6_CASES, 12)] {
        let mut files: Vec<_> = std::fs::read_dir(folder(rfc))
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        let mut named: Vec<_> = cases.iter().map(|case| format!("{}.sip", case.name)).collect();
        files.sort();
        named.sort();
        assert_eq!(files, named);
        assert_eq!(cases.len(), count, "{rfc}");
    }
}

fn folder(rfc: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sip").join(rfc)
}

/// The bytes of a message.
fn message(rfc: &str, name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(folder(rfc).join(format!("{name}.sip"))).unwrap();
    let (mut bytes, mut one_line) = (Vec::new(), false);
    for line in text.lines() {
        match line {
            "<allOneLine>" => one_line = true,
            "</allOneLine>" => {
                one_line = false;
                bytes.extend_from_slice(b"\r\n");
            }
            line => {
                unescape(line, &mut bytes);
                if !one_line {
                    bytes.extend_from_slice(b"\r\n");
                }
            }
        }
    }
    bytes
}

fn unescape(mut line: &str, bytes: &mut Vec<u8>) {
    while let Some(start) = line.find("<hex>").or_else(|| line.find("<repeat count=")) {
        bytes.extend_from_slice(&line.as_bytes()[..start]);
        let (tag, rest) = line[start + 1..].split_once('>').unwrap();
        let name = tag.split(' ').next().unwrap();
        let (inner, rest) = rest.split_once(&format!("</{name}>")).unwrap();
        match tag.split_once('=') {
            Some((_, count)) => bytes.extend(inner.repeat(count.parse().unwrap()).as_bytes()),
            None => bytes.extend(
                (0..inner.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&inner[at..at + 2], 16).unwrap()),
            ),
        }
        line = rest;
    }
    bytes.extend_from_slice(line.as_bytes());
}

/// A good request on the same way, which shows that the endpoint lives and has read what came
/// before.
fn probe(local: SocketAddr, transport: Transport, number: u32) -> String {
    format!(
        "OPTIONS sip:room@{local} SIP/2.0\r\n\
         Via: SIP/2.0/{transport} {local};branch=z9hG4bK-probe-{local}-{number}\r\n\
         From: <sip:probe@{local}>;tag=probe\r\nTo: <sip:room@{local}>\r\n\
         Call-ID: probe-{local}\r\nCSeq: {number} OPTIONS\r\nMax-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// What of an answer matters here.
enum Came {
    Probe,
    Provisional,
    Answer(Answer),
}

fn read(message: &[u8]) -> Came {
    let text = String::from_utf8_lossy(message);
    let Some(status) = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)) else {
        panic!("no response: {text}");
    };
    match status.parse().unwrap() {
        100..=199 => Came::Provisional,
        status if text.contains("Call-ID: probe-") => {
            assert_eq!(status, 200, "{text}");
            Came::Probe
        }
        status => Came::Answer(Final(status)),
    }
}

/// Two probes, one after the other: what is answered at all is answered by then.
const PROBES: u32 = 2;

async fn over_udp(server: SocketAddr, message: &[u8], case: &Case) -> Answer {
    let socket = UdpSocket::bind(loopback()).await.unwrap();
    let local = socket.local_addr().unwrap();
    socket.send_to(message, server).await.unwrap();
    let mut probes = 1;
    socket.send_to(probe(local, Transport::Udp, probes).as_bytes(), server).await.unwrap();
    let mut buffer = vec![0; 65_536];
    let mut answer = None;
    while probes <= PROBES || (answer.is_none() && !may_be_silent(case)) {
        let received = tokio::time::timeout(PATIENCE, socket.recv_from(&mut buffer)).await;
        let Ok(received) = received else { break };
        match read(&buffer[..received.unwrap().0]) {
            Came::Provisional => {}
            Came::Answer(found) => answer = answer.or(Some(found)),
            Came::Probe => {
                probes += 1;
                let next = probe(local, Transport::Udp, probes);
                if probes <= PROBES {
                    socket.send_to(next.as_bytes(), server).await.unwrap();
                }
            }
        }
    }
    if probes <= PROBES { Stuck } else { answer.unwrap_or(Silence) }
}

fn may_be_silent(case: &Case) -> bool {
    case.right.contains(&Silence) || case.instead.is_some_and(|(answer, _)| answer == Silence)
}

async fn over_stream(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    transport: Transport,
    message: &[u8],
    case: &Case,
) -> Answer {
    stream.write_all(message).await.unwrap();
    let mut probes = 1;
    let local = loopback();
    stream.write_all(probe(local, transport, probes).as_bytes()).await.unwrap();
    let (mut answer, mut buffer) = (None, Vec::new());
    while probes <= PROBES || (answer.is_none() && !may_be_silent(case)) {
        let Ok(next) = tokio::time::timeout(PATIENCE, next(&mut stream, &mut buffer)).await else {
            break;
        };
        match read(&next) {
            Came::Provisional => {}
            Came::Answer(found) => answer = answer.or(Some(found)),
            Came::Probe => {
                probes += 1;
                if probes <= PROBES {
                    stream.write_all(probe(local, transport, probes).as_bytes()).await.unwrap();
                }
            }
        }
    }
    if probes <= PROBES { Stuck } else { answer.unwrap_or(Silence) }
}

/// The next message of a stream.
async fn next(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Vec<u8> {
    loop {
        if let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&buffer[..head]).into_owned();
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "))
                .map_or(0, |length| length.trim().parse().unwrap());
            if buffer.len() >= head + 4 + length {
                return buffer.drain(..head + 4 + length).collect();
            }
        }
        if stream.read_buf(buffer).await.unwrap() == 0 {
            std::future::pending::<()>().await;
        }
    }
}

async fn secured(server: SocketAddr, tls: &TlsConfig) -> impl AsyncRead + AsyncWrite + Unpin {
    let connector = TlsConnector::from(Arc::clone(tls.client.as_ref().unwrap()));
    let stream = TcpStream::connect(server).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    connector.connect(name, stream).await.unwrap()
}
