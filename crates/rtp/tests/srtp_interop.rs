//! SRTP against a foreign peer: ffmpeg carries an implementation of its own.

use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rtp::packet::Packet;
use rtp::rtcp::{Rtcp, read};
use rtp::srtp::{Srtp, Suite};

#[test]
fn what_ffmpeg_sends_is_decrypted_sound_and_reports() {
    let key: Vec<u8> = (100..130).collect();
    for (name, suite) in [
        ("AES_CM_128_HMAC_SHA1_80", Suite::AesCm128Sha1_80),
        // Under its other name ffmpeg cuts SRTCP's tag too, against RFC 4568 section 6.2.2.
        ("SRTP_AES128_CM_HMAC_SHA1_32", Suite::AesCm128Sha1_32),
    ] {
        // RTCP goes to the port after RTP's.
        let (media, reports) = loop {
            let media = UdpSocket::bind("127.0.0.1:0").unwrap();
            let port = media.local_addr().unwrap().port();
            if let Ok(reports) = UdpSocket::bind(("127.0.0.1", port.wrapping_add(1))) {
                break (media, reports);
            }
        };
        let target = format!("srtp://127.0.0.1:{}", media.local_addr().unwrap().port());
        let child = Command::new("ffmpeg")
            .args(["-v", "error", "-re", "-f", "lavfi", "-i", "sine=r=8000:d=2"])
            .args(["-c:a", "pcm_mulaw", "-f", "rtp", "-srtp_out_suite", name])
            .args(["-srtp_out_params", &STANDARD.encode(&key), &target])
            .stdout(Stdio::null())
            .spawn();
        let mut child = child.expect("ffmpeg, which the set-up script installs");
        media.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        reports.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut srtp = Srtp::new(suite, &key).unwrap();
        let mut buffer = [0; 2000];
        let mut loudest = 0;
        for _ in 0..4 {
            let len = media.recv(&mut buffer).unwrap();
            let plain = srtp.unprotect_rtp(&buffer[..len]).unwrap();
            let packet = Packet::parse(&plain).unwrap();
            assert_eq!(packet.header.pt, 0);
            // The magnitude bits of µ-law are inverted: 0x7f and 0xff are silence.
            loudest = packet.payload.iter().map(|b| !b & 0x7f).max().unwrap().max(loudest);
        }
        assert!((0x30..0x70).contains(&loudest), "a sine at −18 dB, not noise: {loudest:#x}");
        let len = reports.recv(&mut buffer).unwrap();
        let plain = srtp.unprotect_rtcp(&buffer[..len]).unwrap();
        let compound = read(&plain).unwrap();
        assert!(matches!(compound.first(), Some(Rtcp::SenderReport { .. })), "{compound:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
