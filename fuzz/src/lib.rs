//! Every parser of what a peer sends, one function each: it takes any bytes and must not panic.
//!
//! `fuzz_targets/` gives them to libFuzzer (`scripts/fuzz.sh`); `tests/corpus.rs` runs every file
//! of `corpus/` and seeded mutations of them through the same functions, on any machine. The
//! parsers' own crates know how to drive them (their modules `fuzz`).

use std::time::Instant;

use conference::telephony::CallAddress;
use types::DialString;

/// SDP, as an offer and as an answer, and what we answer to it.
pub fn sdp(data: &[u8]) {
    sdp::fuzz::fuzz_parse_answer(data);
}

/// Floor control, both ends, as datagrams and as a stream.
pub fn bfcp(data: &[u8]) {
    bfcp::fuzz::fuzz_bfcp(data, Instant::now());
}

/// Addresses as people write them: what becomes of one cannot begin a line or a header of its own.
pub fn dial_string(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some(read) = DialString::read(&text) else { return };
    let address = read.address();
    assert!(!address.contains(|c: char| c.is_control() || c.is_whitespace() || "<>\"".contains(c)));
    if let Ok(called) = address.parse::<CallAddress>() {
        assert_eq!(called.to_string(), address);
        let host = called.host();
        assert!(host.is_none_or(|it| it.bytes().all(|b| b.is_ascii_graphic())), "{host:?}");
    }
}

/// RTP's header and extensions.
pub fn rtp(data: &[u8]) {
    rtp::fuzz::rtp(data);
}

/// RTCP compounds.
pub fn rtcp(data: &[u8]) {
    rtp::fuzz::rtcp(data);
}

/// SRTP and SRTCP in every suite.
pub fn srtp(data: &[u8]) {
    rtp::fuzz::srtp(data);
}

/// H.264's payload format.
pub fn h264(data: &[u8]) {
    rtp::fuzz::h264(data, Instant::now());
}

/// VP8's payload format.
pub fn vp8(data: &[u8]) {
    rtp::fuzz::vp8(data, Instant::now());
}

/// H.264's parameter sets, by both readers.
pub fn sps(data: &[u8]) {
    rtp::fuzz::sps(data);
    codec::fuzz::sps(data);
}

/// Redundant audio.
pub fn red(data: &[u8]) {
    rtp::fuzz::red(data);
}

/// Camera control.
pub fn h224(data: &[u8]) {
    rtp::fuzz::h224(data);
}

/// Telephone events.
pub fn tones(data: &[u8]) {
    rtp::fuzz::tones(data);
}

/// The jitter buffer for sound.
pub fn audio_jitter(data: &[u8]) {
    rtp::fuzz::audio_jitter(data, Instant::now());
}

/// The reordering buffer for pictures.
pub fn video_jitter(data: &[u8]) {
    rtp::fuzz::video_jitter(data, Instant::now());
}

/// Every decoder of sound.
pub fn audio_codecs(data: &[u8]) {
    codec::fuzz::audio(data);
}

/// Every decoder of pictures.
pub fn video_codecs(data: &[u8]) {
    codec::fuzz::video(data);
}

/// What a shard reads of a STUN request.
pub fn stun(data: &[u8]) {
    sfu::fuzz::stun(data);
}

/// What is read from and written into a browser's SDP beside str0m.
pub fn webrtc_sdp(data: &[u8]) {
    sfu::fuzz::webrtc_sdp(data);
}

/// Cutting a stream into SIP messages.
pub fn sip_framing(data: &[u8]) {
    gateway::sip::fuzz::framing(data);
}

/// A SIP message before any transaction.
pub fn sip_message(data: &[u8]) {
    gateway::sip::fuzz::message(data);
}

/// The bodies of INFO.
pub fn sip_info(data: &[u8]) {
    gateway::sip::fuzz::info(data);
}

/// The `join_request` of a LiveKit client.
pub fn join_request(data: &[u8]) {
    livekit::fuzz::join_request(data);
}
