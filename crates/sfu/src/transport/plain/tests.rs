//! Two legs talk to each other, or a hand-made peer to one; all in virtual time.

mod checks;
mod handshake;
mod path;
mod pictures;
pub mod support;
mod trust;

use rtp::payload::audio::Tone;
use rtp::rtcp::{CompoundBuilder, NtpTime, Rtcp, SenderInfo};

use std::sync::Arc;

use super::*;
use support::*;

const AUDIO: MediaKind = MediaKind::Audio;
const VIDEO: MediaKind = MediaKind::Video;

/// Each number is one above the one before.
fn are_continuous(numbers: &[u64]) -> bool {
    numbers.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

#[test]
fn sound_and_picture_travel_both_ways_under_continuous_numbers() {
    let mut pump = Pump::new(media(HERE, THERE), media(THERE, HERE));
    pump.talk(Side::Left, 50);
    pump.talk(Side::Right, 50);
    for got in [&pump.left.got, &pump.right.got] {
        for kind in [AUDIO, VIDEO] {
            let packets = got.of(kind);
            assert_eq!(packets.len(), 50, "{kind:?}");
            assert!(are_continuous(&got.seqs(kind)));
            let step = if kind == AUDIO { 160 } else { 1800 };
            let steps =
                packets.windows(2).map(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp));
            assert!(steps.into_iter().all(|it| it == step));
            assert_eq!(packets[7].payload.as_ref(), content(kind, 7));
            assert_eq!(Codec::from_number(packets[7].format), Some(codec(kind)));
            assert!(packets[7].marker);
        }
    }
    let counters = pump.left.leg.counters();
    assert_eq!((counters.audio.sent, counters.video.received), (50, 50));
    assert_eq!(counters.audio.discarded, Discarded::default());
}

#[test]
fn numbers_begin_at_random_and_pass_the_wrap() {
    let mut pump = Pump::new(media(HERE, THERE), media(THERE, HERE));
    let mut first = None;
    // More than half of the cycle, in steps that no receiver takes for a restart.
    for seq in (0..70_000).step_by(2000) {
        let packet = pump.packet(AUDIO, seq, seq as u32);
        pump.left.leg.send(AUDIO, &packet, pump.now);
        pump.settle();
        first.get_or_insert(pump.right.got.seqs(AUDIO)[0]);
    }
    let seqs = pump.right.got.seqs(AUDIO);
    assert_eq!(seqs.len(), 35);
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 2000), "{seqs:?}");
    assert_eq!(first.unwrap() as u16, numbers(1).audio_seq & 0x7fff);
}

#[test]
fn rtcp_goes_its_own_way_or_shares_rtps() {
    for mux in [false, true] {
        let both = |from, to| each(media(from, to), |stream| stream.rtcp_mux = mux);
        let mut pump = Pump::new(both(HERE, THERE), both(THERE, HERE));
        pump.talk(Side::Left, 60);
        pump.run(Duration::from_secs(5));
        let reports: Vec<LegPort> = pump
            .right
            .got
            .transmits
            .iter()
            .filter(|(_, _, contents)| rtp::packet::is_rtcp(contents))
            .map(|(port, ..)| *port)
            .collect();
        assert!(reports.len() >= 4, "{reports:?}");
        assert!(reports.iter().all(|port| port.is_rtcp() != mux), "{reports:?}");
        let counters = pump.left.leg.counters();
        assert!(counters.audio.rtt.is_some() && counters.video.rtt.is_some(), "mux {mux}");
        assert_eq!(counters.audio.discarded, Discarded::default());
    }
}

#[test]
fn muxed_rtcp_is_not_taken_where_it_was_not_agreed() {
    let mut one = One::new(media(HERE, THERE));
    let report = CompoundBuilder::new(9, None, &[], "peer").pli(0).finish();
    one.datagram(LegPort::VideoRtp, THERE, &report);
    assert_eq!(one.got.key_frames, 0);
    assert_eq!(one.leg.counters().video.discarded.unknown_payload_type, 1);
}

#[test]
fn reports_come_after_a_second_then_every_two_to_three() {
    let mut one = One::new(media(HERE, THERE));
    one.run(Duration::from_secs(30));
    for port in [LegPort::AudioRtcp, LegPort::VideoRtcp] {
        let at = one.got.times_of(port);
        assert_eq!(at[0], one.began + Duration::from_secs(1));
        let gaps: Vec<Duration> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let range = Duration::from_secs(2)..=Duration::from_secs(3);
        assert!(gaps.iter().all(|gap| range.contains(gap)), "{gaps:?}");
        assert!(gaps.windows(2).any(|pair| pair[0] != pair[1]), "no jitter");
    }
    assert_ne!(one.got.times_of(LegPort::AudioRtcp)[1], one.got.times_of(LegPort::VideoRtcp)[1]);
    let (_, _, contents) = one.got.transmits.first().unwrap();
    let packets = rtp::rtcp::read(contents).unwrap();
    assert!(matches!(&packets[0], Rtcp::ReceiverReport { reports, .. } if reports.is_empty()));
    assert!(matches!(&packets[1], Rtcp::Cname { name, .. } if name == "leg1"));
}

#[test]
fn sound_and_picture_of_one_moment_have_one_capture() {
    let mut pump = Pump::new(media(HERE, THERE), media(THERE, HERE));
    pump.talk(Side::Left, 20);
    assert!(pump.right.got.of(VIDEO).iter().all(|packet| packet.capture.is_none()));
    pump.talk(Side::Left, 100);
    let last = |kind| pump.right.got.of(kind).last().and_then(|packet| packet.capture);
    let (sound, picture) = (last(AUDIO).unwrap(), last(VIDEO).unwrap());
    // The last packets' captures, by who sent them.
    let sent = pump.now - FRAME - CAPTURE_DELAY;
    for at in [sound, picture] {
        let gap = at.max(sent) - at.min(sent);
        // By the nearest way a report took less than no time; the capture was before the sending.
        assert!(gap < Duration::from_millis(2), "{gap:?}");
    }
}

#[test]
fn a_peer_that_sets_its_clock_back_is_in_time_again_with_its_next_reports() {
    let mut one = One::new(media(HERE, THERE));
    let hour = 3600_u64 << 32;
    let wall = 3_900_000_000_u64 << 32;
    let mut at = 0;
    let mut capture = |one: &mut One, ntp: u64| {
        at += 1;
        let timestamp = 8000 * at;
        let info = SenderInfo { ntp: NtpTime(ntp), timestamp, packets: at, bytes: at };
        one.now += Duration::from_secs(1);
        let report = CompoundBuilder::new(PEER_SSRC, Some(info), &[], "peer").finish();
        one.datagram(LegPort::AudioRtcp, THERE, &report);
        one.sound(at as u16, timestamp);
        one.got.of(AUDIO).last().unwrap().capture.map(|it| (it, one.now))
    };
    let (it, now) = capture(&mut one, wall).unwrap();
    assert_eq!(it, now);
    let (it, now) = capture(&mut one, wall + (1 << 32)).unwrap();
    assert_eq!(it, now);
    let (it, now) = capture(&mut one, wall - hour).unwrap();
    assert_eq!(it, now, "an hour back");
    let none = capture(&mut one, 0);
    assert_eq!(none, None, "no wall clock at all");
}

#[test]
fn pli_and_fir_go_as_agreed_and_no_more_than_two_a_second() {
    for (pli, fir) in [(true, false), (false, true), (true, true)] {
        let understood = |stream: &mut LegStream| (stream.pli, stream.fir) = (pli, fir);
        let left = each(media(HERE, THERE), understood);
        let mut pump = Pump::new(left, each(media(THERE, HERE), understood));
        pump.talk(Side::Left, 2);
        pump.talk(Side::Right, 2);
        for _ in 0..29 {
            pump.right.leg.request_key_frame(pump.now);
            pump.left.leg.request_key_frame(pump.now);
            pump.run(Duration::from_millis(50));
        }
        for end in [&pump.left, &pump.right] {
            assert_eq!(end.got.key_frames, 3, "at 0, 500 and 1000 ms; pli {pli} fir {fir}");
            assert_eq!(end.got.signalling, 0);
            let sent = end.got.rtcp();
            let plis = sent.iter().filter(|it| matches!(it, Rtcp::Pli { .. })).count();
            let firs: Vec<u8> = sent
                .iter()
                .filter_map(|it| if let Rtcp::Fir { seq, .. } = it { Some(*seq) } else { None })
                .collect();
            assert_eq!(plis, if pli { 3 } else { 0 });
            assert_eq!(firs, if fir { vec![1, 2, 3] } else { vec![] });
        }
    }
}

#[test]
fn a_crowd_of_requests_is_one_and_the_late_one_is_put_off_not_lost() {
    let mut one = One::new(media(HERE, THERE));
    let pli =
        CompoundBuilder::new(PEER_SSRC, None, &[], "peer").pli(numbers(1).video_ssrc).finish();
    for _ in 0..20 {
        one.datagram(LegPort::VideoRtcp, THERE, &pli);
    }
    assert_eq!(one.got.key_frames, 1);
    one.run(Duration::from_millis(499));
    assert_eq!(one.got.key_frames, 1);
    one.run(Duration::from_millis(1));
    assert_eq!(one.got.key_frames, 2);
    one.run(Duration::from_secs(3));
    assert_eq!(one.got.key_frames, 2);
    let other = CompoundBuilder::new(PEER_SSRC, None, &[], "peer").pli(4711).finish();
    one.datagram(LegPort::VideoRtcp, THERE, &other);
    assert_eq!(one.got.key_frames, 2, "of somebody else's picture");
}

#[test]
fn without_pli_and_fir_signalling_is_asked_and_on_hold_nobody() {
    let mute = |stream: &mut LegStream| (stream.pli, stream.fir) = (false, false);
    let mut one = One::new(each(media(HERE, THERE), mute));
    for _ in 0..4 {
        one.leg.request_key_frame(one.now);
        one.run(Duration::from_millis(100));
    }
    assert_eq!(one.got.signalling, 1);
    one.run(Duration::from_millis(100));
    assert_eq!(one.got.signalling, 2, "what was asked at 100 ms and after");
    let held = each(media(HERE, THERE), |stream| {
        mute(stream);
        stream.receive = false;
    });
    one.leg.update(held, one.now).unwrap();
    one.leg.request_key_frame(one.now);
    one.run(Duration::from_secs(1));
    assert_eq!(one.got.signalling, 2);
}

#[test]
fn a_request_waits_for_the_source_and_a_key_frame_settles_it() {
    let mut one = One::new(media(HERE, THERE));
    one.leg.request_key_frame(one.now);
    one.run(Duration::from_millis(700));
    assert!(one.got.rtcp().iter().all(|it| !matches!(it, Rtcp::Pli { .. })));
    one.picture(1, 0, &[0x41, 1, 2]);
    let asked = |one: &One| {
        one.got.rtcp().iter().filter(|it| matches!(it, Rtcp::Pli { media: PEER_SSRC })).count()
    };
    assert_eq!(asked(&one), 1);
    one.leg.request_key_frame(one.now);
    one.picture(2, 3000, &[0x65, 1, 2]);
    one.run(Duration::from_secs(2));
    assert_eq!(asked(&one), 1, "the key frame came before the second was due");
}

#[test]
fn a_key_is_told_once_and_leaves_no_gap_in_the_sound() {
    let mut one = One::new(media(HERE, THERE));
    one.sound(1, 0);
    let mut seq = 1;
    for duration in [[1, 0], [2, 0], [3, 0]] {
        seq += 1;
        one.tone(seq, 160, [5, 10, duration[0], duration[1]]);
    }
    for _ in 0..3 {
        seq += 1;
        one.tone(seq, 160, [5, 0x8a, 4, 0]);
    }
    one.sound(seq + 1, 1600);
    // Of these one is lost.
    one.sound(seq + 3, 1920);
    let five = Tone { digit: '5', duration: 1024 };
    assert_eq!(one.got.tones, [five]);
    let seqs = one.got.seqs(AUDIO);
    assert_eq!((seqs[1] - seqs[0], seqs[2] - seqs[1]), (1, 2));
    assert_eq!(one.leg.counters().audio.lost, 1);
}

#[test]
fn a_tones_duration_is_told_at_eight_kilohertz_whatever_its_clock() {
    let fast = each(media(HERE, THERE), |it| it.telephone_event = Some((101, 48_000)));
    let mut one = One::new(fast);
    one.tone(1, 0, [11, 0x8a, 0x12, 0xc0]);
    assert_eq!(one.got.tones, [Tone { digit: '#', duration: 800 }]);
}

#[test]
fn on_hold_nothing_but_rtcp_goes_and_resuming_leaves_no_gap() {
    let mut pump = Pump::new(media(HERE, THERE), media(THERE, HERE));
    pump.talk(Side::Left, 10);
    let held = each(media(HERE, THERE), |it| (it.send, it.receive) = (false, false));
    pump.left.leg.update(held, pump.now).unwrap();
    pump.right.got.transmits.clear();
    pump.left.got.transmits.clear();
    pump.talk(Side::Left, 100);
    pump.talk(Side::Right, 100);
    pump.run(Duration::from_secs(40));
    let sent = &pump.left.got.transmits;
    assert!(sent.len() > 10 && sent.iter().all(|(_, _, it)| rtp::packet::is_rtcp(it)));
    assert_eq!((pump.right.got.of(AUDIO).len(), pump.left.got.of(AUDIO).len()), (10, 0));
    let counters = pump.left.leg.counters().audio;
    assert_eq!((counters.unsent, counters.discarded.unwanted), (100, 100));
    assert_eq!(pump.left.got.silent, 0, "the peer may not send");

    pump.left.leg.update(media(HERE, THERE), pump.now).unwrap();
    pump.talk(Side::Left, 10);
    pump.talk(Side::Right, 10);
    let got = &pump.right.got;
    assert!(got.seqs(AUDIO).len() == 20 && are_continuous(&got.seqs(AUDIO)));
    let stamps: Vec<u32> = got.of(AUDIO).iter().map(|it| it.timestamp).collect();
    assert_eq!(stamps[10].wrapping_sub(stamps[9]), 101 * 160, "the pause shows in the time");
    assert_eq!(pump.left.got.of(AUDIO).len(), 10);
    assert_eq!(pump.right.leg.counters().audio.lost, 0);
}

#[test]
fn another_run_goes_on_in_number_and_by_the_time_that_passed() {
    let mut pump = Pump::new(media(HERE, THERE), media(THERE, HERE));
    pump.talk(Side::Left, 3);
    pump.run(Duration::from_millis(480));
    pump.left.leg.restart_egress(AUDIO);
    let packet = pump.packet(AUDIO, 900_000, 77);
    pump.left.leg.send(AUDIO, &packet, pump.now);
    let packet = pump.packet(AUDIO, 900_001, 77 + 160);
    pump.left.leg.send(AUDIO, &packet, pump.now);
    pump.settle();
    let got = &pump.right.got;
    assert!(got.seqs(AUDIO).len() == 5 && are_continuous(&got.seqs(AUDIO)));
    let stamps: Vec<u32> = got.of(AUDIO).iter().map(|it| it.timestamp).collect();
    assert_eq!(stamps[3].wrapping_sub(stamps[2]), 500 * 8, "20 ms of the last frame and 480");
    assert_eq!(stamps[4].wrapping_sub(stamps[3]), 160);
}

#[test]
fn another_codec_takes_the_place_of_the_first_and_stale_packets_of_that_do_not_go() {
    let mut pump = Pump::new(media(HERE, THERE), media(THERE, HERE));
    pump.talk(Side::Left, 5);
    let opus = Codec::Audio(AudioCodec::Opus);
    let change = |it: &mut LegStream| {
        if it.codec.kind() == AUDIO {
            (it.codec, it.payload_type, it.receives) = (opus, 111, vec![(111, opus)]);
        }
    };
    pump.left.leg.update(each(media(HERE, THERE), change), pump.now).unwrap();
    pump.right.leg.update(each(media(THERE, HERE), change), pump.now).unwrap();
    pump.talk(Side::Left, 1);
    assert_eq!(pump.left.leg.counters().audio.unsent, 1);
    for seq in 0..3 {
        let packet = pump.packet(AUDIO, seq, seq as u32 * 960);
        let packet = MediaPacket { format: opus.number(), ..packet };
        pump.left.leg.send(AUDIO, &packet, pump.now);
    }
    pump.settle();
    let codecs: Vec<Codec> = pump.right.got.packets.iter().map(|it| it.2).collect();
    assert_eq!(codecs.iter().filter(|it| **it == opus).count(), 3);
    assert!(are_continuous(&pump.right.got.seqs(AUDIO)));
}

#[test]
fn a_peer_that_falls_silent_is_told_once_and_again_after_it_spoke() {
    let mut one = One::new(media(HERE, THERE));
    one.sound(1, 0);
    one.run(Duration::from_millis(29_999));
    assert_eq!(one.got.silent, 0);
    one.run(Duration::from_millis(1));
    assert_eq!(one.got.silent, 1);
    one.run(Duration::from_secs(100));
    assert_eq!(one.got.silent, 1);
    // A report alone is a sign of life.
    let report = CompoundBuilder::new(PEER_SSRC, None, &[], "peer").finish();
    for _ in 0..4 {
        one.datagram(LegPort::AudioRtcp, THERE, &report);
        one.run(Duration::from_secs(20));
    }
    assert_eq!(one.got.silent, 1);
    one.run(Duration::from_secs(20));
    assert_eq!(one.got.silent, 2);
}

#[test]
fn a_peer_that_may_be_silent_is_not_gone() {
    let mut one = One::new(media(HERE, THERE));
    one.leg = one.leg.allow_silence();
    one.sound(1, 0);
    one.run(Duration::from_secs(100));
    assert_eq!(one.got.silent, 0);
}

#[test]
fn losses_are_reported_and_read_on_the_other_side() {
    let mut pump = Pump::new(media(HERE, THERE), media(THERE, HERE));
    pump.talk(Side::Left, 10);
    pump.lose_every = Some(4);
    pump.talk(Side::Left, 100);
    pump.lose_every = None;
    pump.talk(Side::Left, 1);
    pump.run(Duration::from_secs(4));
    let (left, right) = (pump.left.leg.counters(), pump.right.leg.counters());
    assert_eq!((left.audio.sent, right.audio.received, right.audio.lost), (111, 86, 25));
    assert_eq!(left.audio.remote_lost, 25);
    assert!((0.1..0.4).contains(&left.audio.remote_loss), "{}", left.audio.remote_loss);
    assert!(left.audio.rtt.unwrap() < Duration::from_millis(2));
    let missing = pump.right.got.seqs(AUDIO).windows(2).filter(|it| it[1] != it[0] + 1).count();
    assert_eq!(missing, 25, "each is a gap for who gets the packets");
}

#[test]
fn goodbye_is_said_once_and_is_the_last_word() {
    let mut pump = Pump::new(media(HERE, THERE), media(THERE, HERE));
    pump.talk(Side::Left, 5);
    pump.left.got.transmits.clear();
    pump.left.leg.close(pump.now);
    pump.left.leg.close(pump.now);
    pump.talk(Side::Left, 5);
    pump.run(Duration::from_secs(10));
    let left = numbers(1);
    let byes: Vec<Rtcp> =
        pump.left.got.rtcp().into_iter().filter(|it| matches!(it, Rtcp::Bye { .. })).collect();
    let bye = |ssrc| Rtcp::Bye { sources: vec![ssrc] };
    assert_eq!(byes, [bye(left.audio_ssrc), bye(left.video_ssrc)]);
    assert_eq!(pump.left.got.transmits.len(), 2);
}
