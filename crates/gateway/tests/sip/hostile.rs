//! What no peer should send.

use gateway::sip::{RateLimit, SipConfig, SipEndpoint, StartError, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bridge::{Bridge, Log, PATIENCE, SDP, certificates, config, loopback};
use crate::raw::Peer;

/// The endpoint still answers.
async fn is_alive(bridge: &Bridge) {
    let mut peer = Peer::new(bridge.address(Transport::Udp), "room").await;
    peer.send("OPTIONS", 1, "").await;
    assert_eq!(peer.answer(1, "OPTIONS").await.status(), 200);
}

#[tokio::test]
async fn malformed_datagrams_are_dropped_or_refused() {
    let bridge = Bridge::start(config()).await;
    let mut peer = Peer::new(bridge.address(Transport::Udp), "room").await;
    let good = peer.request("INVITE", 1, SDP);
    let garbage: Vec<Vec<u8>> = vec![
        vec![0; 100],
        b"\xff\xfe\xfd".to_vec(),
        b"INVITE".to_vec(),
        b"INVITE sip:a@b SIP/2.0\r\n\r\n".to_vec(),
        b"SIP/2.0 999999 x\r\n\r\n".to_vec(),
        b" sip:a SIP/2.0\r\nVia: x\r\n\r\n".to_vec(),
        format!("INVITE sip:a@b SIP/2.0\r\n{}\r\n", "A: b\r\n".repeat(5000)).into_bytes(),
        good.replace("Via: SIP/2.0/UDP", "Via: ;;;").into_bytes(),
        vec![b'A'; 65_000],
    ];
    for message in &garbage {
        peer.send_raw(message).await;
    }
    // Every cut and every single damaged byte.
    for cut in (0..good.len()).step_by(7) {
        peer.send_raw(&good.as_bytes()[..cut]).await;
        let mut damaged = good.clone().into_bytes();
        damaged[cut] ^= 0x15;
        peer.send_raw(&damaged).await;
    }
    is_alive(&bridge).await;
    assert!(bridge.endpoint.stats().malformed >= garbage.len() as u64 / 2);

    peer.call_id.push('x');
    for (find, replace) in [
        ("Content-Length: ", "Content-Length: 9"),
        ("Content-Length: ", "Content-Length: -"),
        ("CSeq: 1 INVITE", "CSeq: 1 OPTIONS"),
        (";tag=raw", ""),
    ] {
        let mut peer = Peer::new(peer.server, "room").await;
        let message = peer.request("INVITE", 1, SDP).replacen(find, replace, 1);
        peer.send_raw(message.as_bytes()).await;
        let cseq = if replace.contains("OPTIONS") { "OPTIONS" } else { "INVITE" };
        assert_eq!(peer.answer(1, cseq).await.status(), 400, "{replace}");
    }
    is_alive(&bridge).await;
}

#[tokio::test]
async fn what_is_not_for_us_is_refused_by_its_kind() {
    let mut config = config();
    config.domains = vec!["Example.org".to_owned()];
    let bridge = Bridge::start(config).await;
    let server = bridge.address(Transport::Udp);
    for (method, status) in [
        ("REGISTER", 405),
        ("SUBSCRIBE", 403),
        ("MESSAGE", 405),
        ("REFER", 405),
        ("INFO", 481),
        ("UPDATE", 481),
        ("BYE", 481),
        ("CANCEL", 481),
        ("NOTIFY", 481),
        ("FOO", 501),
    ] {
        let mut peer = Peer::new(server, "room").await;
        peer.send(method, 1, "").await;
        let refused = peer.answer(1, method).await;
        assert_eq!(refused.status(), status, "{method}");
        assert!(refused.header("To").unwrap().contains("tag=") || method == "CANCEL", "{method}");
        if status == 405 {
            assert!(refused.header("Allow").unwrap().contains("INVITE"));
        }
    }
    for (domain, status) in [("example.ORG", 200), ("elsewhere.example", 404)] {
        let mut peer = Peer::new(server, "room").await;
        let message = peer.request("OPTIONS", 1, "").replacen(
            &format!("OPTIONS sip:room@{server}"),
            &format!("OPTIONS sip:room@{domain}"),
            1,
        );
        peer.send_raw(message.replace("Max-Forwards: 70", "Max-Forwards: 0").as_bytes()).await;
        assert_eq!(peer.answer(1, "OPTIONS").await.status(), status, "{domain}");
    }
    let mut peer = Peer::new(server, "room").await;
    peer.extra = "Require: x-other, timer\r\n".to_owned();
    peer.send("INVITE", 1, SDP).await;
    let refused = peer.answer(1, "INVITE").await;
    assert_eq!((refused.status(), refused.header("Unsupported")), (420, Some("x-other")));
    let mut peer = Peer::new(server, "room").await;
    peer.extra = "Content-Type: text/plain\r\n".to_owned();
    peer.send("INVITE", 1, "hello").await;
    assert_eq!(peer.answer(1, "INVITE").await.status(), 415);
    assert_eq!(bridge.endpoint.stats().active_calls, 0);
}

#[tokio::test]
async fn the_same_call_by_two_ways_is_one() {
    let bridge = Bridge::start(config()).await;
    let mut peer = Peer::new(bridge.address(Transport::Udp), "ring").await;
    let invite = peer.request("INVITE", 1, SDP);
    peer.send_raw(invite.as_bytes()).await;
    assert_eq!(peer.receive().await.status(), 100);
    peer.send_raw(invite.replace("z9hG4bK", "z9hG4bK-other").as_bytes()).await;
    assert_eq!(peer.answer(1, "INVITE").await.status(), 482);
    assert_eq!(bridge.endpoint.stats().active_calls, 1);
}

#[tokio::test]
async fn a_flood_is_dropped_silently_and_counted() {
    let mut config = config();
    config.limits.requests = RateLimit { per_second: 1, burst: 20 };
    let bridge = Bridge::start(config).await;
    let peer = Peer::new(bridge.address(Transport::Udp), "room").await;
    for n in 0..100 {
        peer.send_raw(peer.request("OPTIONS", n + 1, "").as_bytes()).await;
    }
    let mut answered = 0;
    let mut buffer = [0; 4096];
    while bridge.endpoint.stats().rate_limited < 75 || answered < 20 {
        let received = tokio::time::timeout(PATIENCE, peer.socket.recv_from(&mut buffer));
        received.await.expect("no more answers").unwrap();
        answered += 1;
    }
    assert!(answered <= 25, "{answered} answers");
}

#[tokio::test]
async fn one_call_too_many_is_told_to_come_later() {
    let mut config = config();
    config.limits.calls = 1;
    let mut bridge = Bridge::start(config).await;
    let mut first = Peer::new(bridge.address(Transport::Udp), "room").await;
    first.call(SDP).await;
    let mut second = Peer::new(first.server, "room").await;
    second.send("INVITE", 1, SDP).await;
    let refused = second.answer(1, "INVITE").await;
    assert_eq!((refused.status(), refused.header("Retry-After")), (503, Some("30")));
    second.send("ACK", 1, "").await;
    first.hang_up(2).await;
    bridge.note("over").await;
    let mut third = Peer::new(first.server, "room").await;
    third.call(SDP).await;
    third.hang_up(2).await;
    assert_eq!(bridge.endpoint.stats().refused_calls, 1);
}

#[tokio::test]
async fn a_stream_that_breaks_the_rules_is_closed_alone() {
    let bridge = Bridge::start(config()).await;
    let address = bridge.address(Transport::Tcp);
    let mut good = TcpStream::connect(address).await.unwrap();
    for bad in [
        b"INVITE sip:a SIP/2.0\r\nContent-Length: 18446744073709551615\r\n\r\n".to_vec(),
        vec![b'a'; 70_000],
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The peer may close while we write.
        let _ = stream.write_all(&bad).await;
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "the stream stays open");
    }
    // A keep-alive, an unknown method and a good request in pieces.
    good.write_all(b"\r\n\r\n").await.unwrap();
    let mut pong = [0; 2];
    good.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"\r\n");
    let peer = Peer::new(address, "room").await;
    let unknown = peer.request("FOO", 1, "").replace("/UDP", "/TCP");
    let options = peer.request("OPTIONS", 2, "").replace("/UDP", "/TCP");
    for piece in [unknown, options].concat().as_bytes().chunks(50) {
        good.write_all(piece).await.unwrap();
    }
    let mut text = String::new();
    while !text.contains("2 OPTIONS") {
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, good.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0, "closed after {text}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    assert!(text.starts_with("SIP/2.0 501"), "{text}");
    assert!(text.contains("SIP/2.0 200"), "{text}");
}

#[tokio::test]
async fn a_source_holds_only_so_many_streams() {
    let mut config = config();
    config.limits.streams_per_source = 2;
    let bridge = Bridge::start(config).await;
    let address = bridge.address(Transport::Tcp);
    let mut held = vec![TcpStream::connect(address).await.unwrap()];
    held.push(TcpStream::connect(address).await.unwrap());
    while bridge.endpoint.stats().open_streams < 2 {
        tokio::task::yield_now().await;
    }
    let mut third = TcpStream::connect(address).await.unwrap();
    let read = tokio::time::timeout(PATIENCE, third.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "the third stays open");
    drop(held);
    while bridge.endpoint.stats().open_streams > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_start_that_cannot_work_says_why() {
    let refused = |config| async { SipEndpoint::start(config).await.map(|_| ()).unwrap_err() };
    assert!(matches!(refused(SipConfig::default()).await, StartError::NoListener));
    let wildcard = SipConfig { udp: vec!["0.0.0.0:0".parse().unwrap()], ..SipConfig::default() };
    assert!(matches!(refused(wildcard).await, StartError::NoAnnouncedAddress));
    let bare = SipConfig { tls: vec![loopback()], ..SipConfig::default() };
    assert!(matches!(refused(bare).await, StartError::NoCertificate));
    let bridge = Bridge::start(config()).await;
    for transport in [Transport::Udp, Transport::Tcp] {
        let taken = vec![bridge.address(transport)];
        let config = match transport {
            Transport::Udp => SipConfig { udp: taken, ..SipConfig::default() },
            _ => SipConfig { tcp: taken, ..SipConfig::default() },
        };
        assert!(matches!(refused(config).await, StartError::Bind { .. }), "{transport}");
    }
    let tls = SipConfig {
        tls: vec![loopback()],
        certificates: Some(certificates()),
        ..SipConfig::default()
    };
    assert!(SipEndpoint::start(tls).await.is_ok());
}

#[tokio::test]
async fn no_key_and_no_pin_reaches_the_log() {
    let log = Log::default();
    let _kept = log.keep(&format!("trace,{}", gateway::sip::LOG_DIRECTIVE));
    let mut bridge = Bridge::start(config()).await;
    let mut peer = Peer::new(bridge.address(Transport::Udp), "room**271828").await;
    let sdp = format!("{SDP}a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRETKEY\r\n");
    peer.call(&sdp).await;
    bridge.note("confirmed").await;
    peer.send("INVITE", 2, &sdp).await;
    assert_eq!(peer.answer(2, "INVITE").await.status(), 200);
    peer.send("ACK", 2, "").await;
    peer.extra = "Content-Type: application/dtmf-relay\r\n".to_owned();
    peer.send("INFO", 3, "Signal=7\r\n").await;
    bridge.note("tone").await;
    peer.hang_up(4).await;
    peer.send_raw(peer.request("INVITE", 5, &sdp).replace("SIP/2.0", "SIP/3").as_bytes()).await;
    for user in ["room*%2A271828", "room%2a%2A271828", "room%23%23271828"] {
        let mut peer = Peer::new(peer.server, user).await;
        peer.call(SDP).await;
        peer.hang_up(2).await;
    }
    is_alive(&bridge).await;
    let log = log.text();
    assert!(log.contains(&peer.call_id) && log.contains("room"), "{log}");
    for secret in ["271828", "SECRETKEY", "Signal"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test]
async fn no_caller_fills_the_log_with_its_names() {
    let log = Log::default();
    let _kept = log.keep(&format!("info,{}", gateway::sip::LOG_DIRECTIVE));
    let bridge = Bridge::start(config()).await;
    let user: &str = "u".repeat(5_000).leak();
    let mut peer = Peer::new(bridge.address(Transport::Udp), user).await;
    peer.extra = format!("User-Agent: {}\r\n", "a".repeat(5_000));
    peer.call(SDP).await;
    peer.hang_up(2).await;
    let log = log.text();
    for name in ["u", "a"] {
        assert!(log.contains(&name.repeat(200)), "{log}");
        assert!(!log.contains(&name.repeat(201)), "{log}");
    }
}
