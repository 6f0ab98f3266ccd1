//! H.264 and VP8 as room systems send them.

use rtp::packet::Header;

use super::*;

/// Constrained baseline, level 3.1, 1280×720, order type 2.
pub const BASELINE: [u8; 10] = [0x67, 0x42, 0xc0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xe4, 0x80];
/// High profile, 1920×1080, order type 0.
const HIGH: [u8; 14] =
    [0x67, 0x64, 0, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00];
const PPS: [u8; 4] = [0x68, 0xce, 0x38, 0x80];
const IDR: [u8; 4] = [0x65, 0x88, 1, 2];
const SLICE: [u8; 4] = [0x41, 0x9a, 1, 2];

fn payloads(one: &One) -> Vec<Vec<u8>> {
    one.got.of(VIDEO).iter().map(|it| it.payload.to_vec()).collect()
}

#[test]
fn parameter_sets_go_before_a_bare_idr_and_a_loss_stays_a_gap() {
    let mut one = One::new(media(HERE, THERE));
    one.picture(1, 0, &BASELINE);
    one.picture(2, 0, &PPS);
    one.picture(3, 0, &IDR);
    one.picture(4, 3000, &SLICE);
    // 5 is lost.
    one.picture(6, 9000, &IDR);
    one.picture(7, 9000, &[0x65, 0x08, 3]);
    one.picture(8, 12_000, &SLICE);
    let wanted: [&[u8]; 9] =
        [&BASELINE, &PPS, &IDR, &SLICE, &BASELINE, &PPS, &IDR, &[0x65, 0x08, 3], &SLICE];
    assert_eq!(payloads(&one), wanted);
    let seqs = one.got.seqs(VIDEO);
    let steps: Vec<u64> = seqs.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(steps, [1, 1, 1, 2, 1, 1, 1, 1]);
    let packets = one.got.of(VIDEO);
    let put: Vec<_> = packets[4..7].iter().map(|it| (it.timestamp, it.marker)).collect();
    assert_eq!(put, [(9000, false), (9000, false), (9000, true)]);
    assert_eq!(one.leg.counters().video.lost, 1);

    // What was lost comes late, into its place.
    one.picture(5, 6000, &SLICE);
    assert_eq!(one.got.seqs(VIDEO).last(), Some(&(seqs[3] + 1)));
}

#[test]
fn sets_of_the_sdp_and_of_aggregates_count_and_fragments_begin_but_once() {
    let mut media = media(HERE, THERE);
    media.video.as_mut().unwrap().parameter_sets = vec![BASELINE.to_vec(), PPS.to_vec()];
    let mut one = One::new(media);
    let parts: [&[u8]; 3] = [&[0x7c, 0x85, 9], &[0x7c, 0x05, 9], &[0x7c, 0x45, 9]];
    for (seq, part) in (1..).zip(parts) {
        one.picture(seq, 0, part);
    }
    let wanted: [&[u8]; 5] = [&BASELINE, &PPS, parts[0], parts[1], parts[2]];
    assert_eq!(payloads(&one), wanted);

    let stap = [&[0x78, 0, 10][..], &BASELINE, &[0, 4], &PPS].concat();
    one.picture(4, 3000, &stap);
    one.picture(5, 3000, &IDR);
    assert_eq!(payloads(&one)[5..], [stap, IDR.to_vec()], "they came by themselves");
    assert!(are_continuous(&one.got.seqs(VIDEO)));
}

#[test]
fn an_idr_without_known_sets_goes_as_it_is() {
    let mut one = One::new(media(HERE, THERE));
    one.picture(1, 0, &IDR);
    one.picture(2, 3000, &BASELINE);
    one.picture(3, 3000, &IDR);
    assert_eq!(one.got.of(VIDEO).len(), 3, "one of two kinds is of no use");
}

#[test]
fn the_verdict_follows_the_parameter_sets() {
    let mut one = One::new(media(HERE, THERE));
    one.picture(1, 0, &SLICE);
    assert!(one.got.forwardable.is_empty(), "nothing tells yet");
    one.picture(2, 0, &BASELINE);
    one.picture(3, 3000, &BASELINE);
    assert_eq!(one.got.forwardable, [true]);
    one.picture(4, 6000, &[&[0x78, 0, 14][..], &HIGH, &[0, 4], &PPS].concat());
    one.picture(5, 9000, &HIGH);
    assert_eq!(one.got.forwardable, [true, false]);
    one.picture(6, 12_000, &BASELINE);
    assert_eq!(one.got.forwardable, [true, false, true]);
}

#[test]
fn sets_of_the_sdp_are_judged_when_the_picture_comes() {
    let mut media = media(HERE, THERE);
    media.video.as_mut().unwrap().parameter_sets = vec![HIGH.to_vec(), PPS.to_vec()];
    let mut one = One::new(media);
    one.run(Duration::from_secs(1));
    assert!(one.got.forwardable.is_empty());
    one.picture(1, 0, &SLICE);
    one.picture(2, 3000, &SLICE);
    assert_eq!(one.got.forwardable, [false]);
}

#[test]
fn vp8_is_always_forwardable_and_its_key_frames_settle_requests() {
    let vp8 = Codec::Video(VideoCodec::Vp8);
    let mut media = media(HERE, THERE);
    let stream = media.video.as_mut().unwrap();
    (stream.codec, stream.receives) = (vp8, vec![(97, vp8)]);
    let mut one = One::new(media);
    one.picture(1, 0, &[0x10, 0x01, 0, 0]);
    one.picture(2, 3000, &[0x10, 0x01, 0, 0]);
    assert_eq!(one.got.forwardable, [true]);
    one.leg.request_key_frame(one.now);
    one.leg.request_key_frame(one.now);
    one.picture(3, 6000, &[0x10, 0x00, 0, 0]);
    one.run(Duration::from_secs(1));
    let asked = one.got.rtcp().into_iter().filter(|it| matches!(it, Rtcp::Pli { .. }));
    assert_eq!(asked.count(), 1);
    assert_eq!(one.got.of(VIDEO)[0].format, vp8.number());
}

#[test]
fn another_source_and_a_clock_that_was_set_are_new_beginnings() {
    let mut one = One::new(media(HERE, THERE));
    let second = Duration::from_secs(1);
    one.picture(1, 0, &SLICE);
    one.run(second * 10);
    one.picture(2, 900_000, &SLICE);
    // B-frames come out of order.
    one.picture(3, 891_000, &SLICE);
    one.picture(4, 903_000, &SLICE);
    assert!(one.got.begun_anew.is_empty(), "a long still picture is none");
    one.picture(5, 0, &SLICE);
    one.picture(6, 3000, &SLICE);
    assert_eq!(one.got.begun_anew, [(VIDEO, 4)], "it is told before its first packet");
    let header = Header { pt: 97, seq: 9, timestamp: 7_000_000, ..peer() };
    one.rtp(LegPort::VideoRtp, Header { ssrc: 77, ..header }, &SLICE);
    assert_eq!(one.got.begun_anew, [(VIDEO, 4), (VIDEO, 6)]);
    assert!(are_continuous(&one.got.seqs(VIDEO)));
}

#[test]
fn an_encoder_that_gives_no_key_frame_when_asked_is_not_for_browsers() {
    let mut one = One::new(media(HERE, THERE));
    one.picture(1, 0, &BASELINE);
    one.leg.request_key_frame(one.now);
    for seq in 2..30 {
        one.picture(seq, u32::from(seq) * 9000, &SLICE);
        one.run(Duration::from_millis(100));
    }
    assert_eq!(one.got.forwardable, [true, false]);
    // Its next one comes by itself, and it is asked no less.
    one.picture(30, 270_000, &IDR);
    assert_eq!(one.got.forwardable, [true, false]);
}

#[test]
fn an_encoder_that_answers_late_or_a_peer_that_pauses_is_not_deaf() {
    let mut one = One::new(media(HERE, THERE));
    one.picture(1, 0, &BASELINE);
    one.leg.request_key_frame(one.now);
    one.run(Duration::from_millis(1900));
    one.picture(2, 171_000, &IDR);
    one.run(Duration::from_secs(5));
    one.leg.request_key_frame(one.now);
    one.run(Duration::from_secs(5));
    assert_eq!(one.got.forwardable, [true]);
}

#[test]
fn a_level_above_the_browsers_is_not_for_them() {
    let mut one = One::new(media(HERE, THERE));
    let mut above = BASELINE;
    above[3] = 40;
    one.picture(1, 0, &above);
    assert_eq!(one.got.forwardable, [false]);
}
