//! What a peer says of the way to it.

use rtp::rtcp::{BitrateLimit, ReportBlock};

use super::*;
use crate::command::LegPath;

/// A TMMBR of the peer's, for 300 kbit/s with headers of 40 bytes (RFC 5104 section 4.2.1).
fn limit_of(kilobits: u32) -> Vec<u8> {
    let ssrc = numbers(HERE).video_ssrc;
    // The exponent is 7: the mantissa counts 128 bits a second.
    let word = 7 << 26 | (kilobits * 1000 / 128) << 9 | 40;
    let words = [0x83cd_0004, PEER_SSRC, 0, ssrc, word];
    words.iter().flat_map(|word: &u32| word.to_be_bytes()).collect()
}

fn bounds_told(one: &One) -> Vec<BitrateLimit> {
    let told = one.got.rtcp().into_iter().filter_map(|it| match it {
        Rtcp::Tmmbn { limits, .. } => Some(limits),
        _ => None,
    });
    told.flatten().collect()
}

#[test]
fn a_limit_is_heard_without_its_headers_and_the_peer_told_so() {
    let mut one = One::new(media(HERE, THERE));
    one.picture(1, 0, &[0x41, 0x9a, 1, 2]);
    one.datagram(LegPort::VideoRtcp, THERE, &limit_of(310));
    let [LegPath::AtMost(bits)] = one.got.path[..] else { panic!("{:?}", one.got.path) };
    assert!((299_000..=300_000).contains(&bits), "{bits}");
    let bounds = bounds_told(&one);
    assert_eq!((bounds.len(), bounds[0].ssrc, bounds[0].overhead), (1, PEER_SSRC, 40));
    assert!((309_000..=310_000).contains(&bounds[0].bitrate), "{bounds:?}");

    // A crowd of them is not heard, and not answered.
    for _ in 0..100 {
        one.datagram(LegPort::VideoRtcp, THERE, &limit_of(200));
    }
    assert_eq!((one.got.path.len(), bounds_told(&one).len()), (1, 1));
    one.now += Duration::from_millis(200);
    one.datagram(LegPort::VideoRtcp, THERE, &limit_of(200));
    assert_eq!((one.got.path.len(), bounds_told(&one).len()), (2, 2));
    // Nobody else's, and none of sound.
    one.now += Duration::from_secs(1);
    let mut other = limit_of(100);
    other[15] ^= 1;
    one.datagram(LegPort::VideoRtcp, THERE, &other);
    one.datagram(LegPort::AudioRtcp, THERE, &limit_of(100));
    assert_eq!(one.got.path.len(), 2);
}

#[test]
fn what_a_peer_lost_of_our_picture_is_heard_at_a_pace() {
    let mut one = One::new(media(HERE, THERE));
    let report = |lost: u8, ssrc: u32| {
        let block = ReportBlock { ssrc, fraction_lost: lost, ..ReportBlock::default() };
        CompoundBuilder::new(PEER_SSRC, None, &[block], "peer").finish()
    };
    let ours = numbers(HERE);
    one.datagram(LegPort::VideoRtcp, THERE, &report(64, ours.video_ssrc));
    one.datagram(LegPort::VideoRtcp, THERE, &report(128, ours.video_ssrc));
    assert_eq!(one.got.path, [LegPath::Loss(0.25)]);
    one.now += Duration::from_secs(1);
    one.datagram(LegPort::VideoRtcp, THERE, &report(0, ours.video_ssrc));
    one.datagram(LegPort::AudioRtcp, THERE, &report(255, ours.audio_ssrc));
    assert_eq!(one.got.path, [LegPath::Loss(0.25), LegPath::Loss(0.0)]);
}

#[test]
fn an_estimate_is_heard_where_it_is_of_our_picture() {
    let mut one = One::new(media(HERE, THERE));
    // 150,000 by 2 to the first (draft-alvestrand-rmcat-remb section 2.2).
    let estimate = |ssrc: u32| -> Vec<u8> {
        let words = [0x8fce_0005, PEER_SSRC, 0, 0x5245_4d42, 1 << 24 | 1 << 18 | 150_000, ssrc];
        words.into_iter().flat_map(u32::to_be_bytes).collect()
    };
    one.datagram(LegPort::VideoRtcp, THERE, &estimate(4711));
    assert_eq!(one.got.path, []);
    one.datagram(LegPort::VideoRtcp, THERE, &estimate(numbers(HERE).video_ssrc));
    assert_eq!(one.got.path, [LegPath::AtMost(300_000)]);
}
