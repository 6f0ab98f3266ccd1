//! Bodies with damage: read past where a meaning is left, refused where none is; never a panic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::{Duration, Instant};

use common::{local, session, text, vector};
use sdp::{
    Codec, MAX_BODY, MAX_FORMATS, MAX_MEDIA, ParseError, answer, fuzz::fuzz_parse_answer, parse,
};
use types::AudioCodec::Pcma;

const AUDIO: &str = "m=audio 30000 RTP/AVP 8";

#[test]
fn what_cannot_be_meant_is_refused() {
    let refused = |body: &[u8]| parse(body).unwrap_err();
    assert_eq!(refused(b""), ParseError::NoVersion);
    assert_eq!(refused(b"<xml/>"), ParseError::NoVersion);
    assert_eq!(refused(b"v=1\r\n"), ParseError::NoVersion);
    assert_eq!(refused(&vec![b'x'; MAX_BODY + 1]), ParseError::TooLong(MAX_BODY + 1));
    let many = vec![AUDIO; MAX_MEDIA + 1];
    assert_eq!(refused(text(&many).as_bytes()), ParseError::TooManyMedia);
    for line in [
        "m=",
        "m=audio",
        "m=audio 1 RTP/AVP",
        "m=audio 99999 RTP/AVP 0",
        "m=audio -1 RTP/AVP 0",
        "m=audio x RTP/AVP 0",
    ] {
        assert_eq!(refused(text(&[line]).as_bytes()), ParseError::BadMediaLine(6), "{line}");
    }
    assert_eq!(refused(b"v=0\r\nm=audio 1 RTP/AVP \xff\r\n"), ParseError::BadMediaLine(2));
}

#[test]
fn damaged_lines_are_read_past() {
    let mut body = text(&[AUDIO]).into_bytes();
    for line in [
        &b"a"[..],
        b"=",
        b"no key at all",
        b"ab=c",
        b"a=\xff\xfe",
        b"a=rtpmap:",
        b"a=rtpmap:8",
        b"a=rtpmap:8 /8000",
        b"a=rtpmap:999 PCMA/8000",
        b"a=fmtp:8",
        b"a=fmtp",
        b"a=rtcp-fb:",
        b"a=rtcp-fb:* ccm",
        b"a=crypto:",
        b"a=rtcp:x",
        b"a=ptime:x",
        b"a=fingerprint:x",
        b"b=AS",
        b"b=AS:x",
        b"b=:",
        b"c=IN",
        b"c=ATM NSAP 47",
        b"t=never",
        b"o=again",
        b"a=sen\0drecv",
    ] {
        body.extend_from_slice(line);
        body.extend_from_slice(b"\r\n");
    }
    let session = parse(&body).unwrap();
    let media = &session.media[0];
    assert_eq!(media.format(8).unwrap().codec, Codec::Audio(Pcma));
    assert_eq!(media.rtp(), Some("192.0.2.9:30000".parse().unwrap()));
    assert_eq!(media.rtcp, Some("192.0.2.9:30001".parse().unwrap()));
    assert!(answer(&session, &local()).is_ok());
}

#[test]
fn line_ends_and_the_version_may_be_odd() {
    let body = b"\n\nv=0 \no=x 1 340282366920938463463374607431768211455 IN IP4 h\nc=IN IP4 192.0.2.7/127\nm=audio 30000/2 RTP/AVP  8 \n";
    let session = parse(body).unwrap();
    assert_eq!(session.version, u64::MAX, "clamped");
    assert_eq!(session.media[0].rtp(), Some("192.0.2.7:30000".parse().unwrap()));
    let bare = parse(b"v=0\nm=audio 30000 RTP/AVP 8").unwrap();
    assert_eq!((bare.connection, bare.media[0].rtp()), (None, None));
    let rejected = parse(b"v=0\nm=video 0 RTP/AVP\n").unwrap();
    assert_eq!(rejected.media[0].first_format, "0");
}

#[test]
fn addresses_that_no_peer_has_are_not_sent_to() {
    for address in ["IP4 224.2.1.1/127", "IP4 255.255.255.255", "IP4 host.example", "IP6 fe80::1"] {
        let session = session(&[AUDIO, &format!("c=IN {address}")]);
        assert_eq!(session.media[0].rtp(), None, "{address}");
        let agreed = answer(&session, &local()).unwrap().negotiated;
        assert!(agreed.audio.unwrap().transport.send, "its first packet will tell: {address}");
    }
    let stray = session(&[AUDIO, "a=rtcp:30001 IN IP4 239.1.1.1"]);
    assert_eq!(stray.media[0].rtcp.map(|rtcp| rtcp.ip().is_multicast()), Some(false));
    let last = session(&["m=audio 65535 RTP/AVP 8"]);
    assert_eq!(last.media[0].rtcp, None, "there is no next port");
}

#[test]
fn what_one_line_can_hold_is_bounded() {
    let types: Vec<String> = (0..200).map(|kind| kind.to_string()).collect();
    let line = format!("m=audio 30000 RTP/AVP {}", types.join(" "));
    let key = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd";
    let lines: Vec<&str> = [line.as_str()].into_iter().chain([key; 60]).collect();
    let session = session(&lines);
    assert_eq!(session.media[0].formats.len(), MAX_FORMATS);
    assert_eq!(session.media[0].crypto.len(), 16);
}

/// A generator that anybody can repeat (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(below.max(1)).unwrap()).unwrap()
    }
}

/// Pieces that parsers stumble over.
const TOKENS: [&str; 20] = [
    "\r\n",
    "\n",
    "=",
    ":",
    ";",
    "{",
    "}",
    "/",
    "|",
    " ",
    "\0",
    "é",
    "-1",
    "99999999999999999999",
    "m=video 1 RTP/AVP 0\r\n",
    "a=",
    "c=IN IP4 0.0.0.0\r\n",
    "*",
    "inline:",
    "65536",
];

fn mutate(body: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let at = dice.roll(body.len());
    let end = (at + dice.roll(40)).min(body.len());
    match dice.roll(7) {
        0 => body.truncate(at),
        1 => drop(body.drain(at..end)),
        2 => body[at] = u8::try_from(dice.roll(256)).unwrap(),
        3 => drop(body.splice(at..at, TOKENS[dice.roll(TOKENS.len())].bytes())),
        4 => {
            let copy = body[at..end].to_vec();
            drop(body.splice(at..at, copy));
        }
        5 => drop(body.splice(at..end, TOKENS[dice.roll(TOKENS.len())].bytes())),
        _ => {
            let from = dice.roll(other.len());
            let to = (from + dice.roll(200)).min(other.len());
            drop(body.splice(at..at, other[from..to].iter().copied()));
        }
    }
    if body.is_empty() {
        body.push(b'v');
    }
}

#[test]
fn twenty_thousand_mutations_neither_panic_nor_dawdle() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    let seeds: Vec<Vec<u8>> = names.iter().map(|name| vector(name)).collect();
    let mut dice = Dice(42);
    let (mut read, mut slowest) = (0, Duration::ZERO);
    for round in 0..20_000 {
        let mut body = seeds[round % seeds.len()].clone();
        for _ in 0..=dice.roll(4) {
            let other = dice.roll(seeds.len());
            mutate(&mut body, &seeds[other], &mut dice);
        }
        let start = Instant::now();
        fuzz_parse_answer(&body);
        slowest = slowest.max(start.elapsed());
        read += usize::from(parse(&body).is_ok());
    }
    // Were nearly all refused, the mutations would test nothing behind the first check.
    assert!(read > 10_000, "only {read} were readable");
    assert!(slowest < Duration::from_secs(2), "one took {slowest:?}");
}

#[test]
fn the_worst_bodies_that_fit_are_read_in_no_time() {
    let many_lines = format!("{}{}", text(&[AUDIO]), "a=fmtp:8 x\r\n".repeat(1_300));
    let many_types: Vec<String> = (0..120).map(|kind| kind.to_string()).collect();
    let head = format!("m=video 1 RTP/AVP {}", many_types.join(" "));
    let many_feedback = format!("{}{}", text(&[&head]), "a=rtcp-fb:* nack pli\r\n".repeat(700));
    let semicolons = text(&[AUDIO, &format!("a=fmtp:8 {}", ";".repeat(15_000))]);
    let media = text(&[AUDIO; MAX_MEDIA]);
    for body in [many_lines, many_feedback, semicolons, media] {
        assert!(body.len() <= MAX_BODY && parse(body.as_bytes()).is_ok());
        let start = Instant::now();
        fuzz_parse_answer(body.as_bytes());
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
}
