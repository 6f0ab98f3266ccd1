use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::testing::{Rng, epoch};

const BLOCK: ReportBlock = ReportBlock {
    ssrc: 5,
    fraction_lost: 12,
    lost: -3,
    highest_seq: 0x1_0007,
    jitter: 80,
    last_sr: 0x1234_5678,
    delay_since_sr: 65_536,
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_compound_is_built_and_read_back() {
    let info =
        SenderInfo { ntp: NtpTime(0x0102_0304_0506_0708), timestamp: 9, packets: 8, bytes: 7 };
    let limit = BitrateLimit { ssrc: 5, bitrate: 1_024_000, overhead: 40 };
    let built = CompoundBuilder::new(1, Some(info), &[BLOCK], "plenum@host")
        .pli(5)
        .fir(5, 3)
        .tmmbn(&[limit])
        .bye()
        .finish();
    let name = "plenum@host".to_owned();
    let expected = [
        Rtcp::SenderReport { ssrc: 1, info, reports: vec![BLOCK] },
        Rtcp::Cname { ssrc: 1, name },
        Rtcp::Pli { media: 5 },
        Rtcp::Fir { media: 5, seq: 3 },
        Rtcp::Tmmbn { sender: 1, limits: vec![limit] },
        Rtcp::Bye { sources: vec![1] },
    ];
    assert_eq!(read(&built).unwrap(), expected);

    let receiver = CompoundBuilder::new(1, None, &[], "").finish();
    let report = Rtcp::ReceiverReport { ssrc: 1, reports: vec![] };
    assert_eq!(read(&receiver).unwrap()[0], report);
}

#[test]
fn what_room_systems_and_browsers_send_is_read() {
    let old_fir = [0x80, 192, 0, 1, 0, 0, 0, 9];
    assert_eq!(read(&old_fir).unwrap(), [Rtcp::OldFir { media: 9 }]);

    let nack = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 0x80, 0x01];
    let lost = vec![0xffff, 0, 15];
    assert_eq!(read(&nack).unwrap(), [Rtcp::Nack { media: 9, lost }]);

    let remb = [
        0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 1, 0x0b, 0xd0, 0x90, 0, 0,
        0, 9,
    ];
    let bitrate = 0x3_d090 << 2;
    assert_eq!(read(&remb).unwrap(), [Rtcp::Remb { bitrate, sources: vec![9] }]);

    let tmmbr = [0x83, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0x0d, 0xf4, 0x00, 0x28];
    let limits = vec![BitrateLimit { ssrc: 9, bitrate: 0xfa00 << 3, overhead: 40 }];
    assert_eq!(read(&tmmbr).unwrap(), [Rtcp::Tmmbr { sender: 1, limits }]);

    // A FIR without an entry names its source as PLI does.
    let bare = [0x84, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9];
    assert_eq!(read(&bare).unwrap(), [Rtcp::Fir { media: 9, seq: 0 }]);
}

#[test]
fn malformed_packets_are_refused_where_they_are() {
    let good = CompoundBuilder::new(1, None, &[], "a").finish();
    assert_eq!(read(&good[..good.len() - 4]), Err(RtcpError::Truncated(8)));
    assert_eq!(read(&[0x00, 200, 0, 0]), Err(RtcpError::Header(0)));
    assert_eq!(read(&[0x81, 201, 0, 1, 0, 0, 0, 1]), Err(RtcpError::Short { at: 0, kind: 201 }));
    assert_eq!(read(&[0xa0, 201, 0, 1, 0, 0, 0, 9]), Err(RtcpError::Truncated(0)));
}

#[test]
fn a_datagram_of_nacks_does_not_grow_without_limit() {
    let mut nack = vec![0x81, 205, 0x3f, 0xff];
    nack.resize(4 + 0x3fff * 4, 0xff);
    let read = read(&nack).unwrap();
    assert!(matches!(read.as_slice(), [Rtcp::Nack { lost, .. }] if lost.len() == MAX_NACKS));
}

#[test]
fn a_receiver_counts_losses_and_jitter_as_the_rfc_says() {
    let mut stats = ReceiverStats::new(5, 8000);
    for seq in (0..100_u64).filter(|seq| seq % 4 != 3) {
        // Every other packet 10 ms late: each step is 80 ticks.
        let late = if seq % 2 == 0 { 0 } else { 10 };
        stats.on_packet(0x1_0000 + seq, (seq * 160) as u32, epoch() + ms(seq * 20 + late));
    }
    let block = stats.report(epoch());
    assert_eq!((block.lost, block.fraction_lost), (24, (24 * 256 / 99) as u8));
    assert_eq!(block.highest_seq, 0x1_0000 + 98);
    assert!((30..=80).contains(&block.jitter), "{}", block.jitter);
    assert_eq!(stats.report(epoch()).fraction_lost, 0, "nothing was expected since");
}

#[test]
fn a_round_trip_of_80_ms_is_measured_by_two_sides_with_clocks_of_their_own() {
    let ours = NtpClock::new(epoch(), UNIX_EPOCH + ms(1_700_000_000_250));
    let mut sender = SenderStats::new(90_000);
    assert_eq!(sender.info(&ours, epoch()), None);
    sender.on_packet(1000, 500, epoch());
    let info = sender.info(&ours, epoch() + ms(100)).unwrap();
    assert_eq!((info.timestamp, info.packets, info.bytes), (10_000, 1, 500));

    let mut receiver = ReceiverStats::new(1, 90_000);
    receiver.on_packet(1, 1000, epoch());
    receiver.on_sender_report(&info, epoch() + ms(140));
    let block = receiver.report(epoch() + ms(640));
    sender.on_report(&block, &ours, epoch() + ms(680));
    let rtt = sender.rtt().unwrap();
    assert!(rtt.abs_diff(ms(80)) < ms(1), "{rtt:?}");
}

#[test]
fn ntp_and_our_clock_translate_both_ways() {
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let clock = NtpClock::new(epoch() + ms(5000), wall);
    assert_eq!(clock.ntp(epoch() + ms(5500)).0, (2_208_988_801 << 32) | 1 << 31);
    for at in [0, 4999, 5000, 123_456] {
        let back = clock.instant(clock.ntp(epoch() + ms(at))).unwrap();
        let error = back.max(epoch() + ms(at)) - back.min(epoch() + ms(at));
        assert!(error < Duration::from_micros(1), "{error:?}");
    }
    let peer = NtpClock::of_peer(epoch(), NtpTime(7 << 32));
    assert_eq!(peer.instant(NtpTime(9 << 32)), Some(epoch() + ms(2000)));
}

#[test]
fn mutated_compounds_never_panic() {
    let mut rng = Rng::new(0x200);
    let info = SenderInfo::default();
    let limit = BitrateLimit { ssrc: 5, bitrate: u64::MAX, overhead: 0 };
    let good = CompoundBuilder::new(1, Some(info), &[BLOCK], "plenum")
        .fir(5, 3)
        .tmmbn(&[limit])
        .bye()
        .finish();
    let mut read_well = 0;
    for _ in 0..200_000 {
        let mut data = good.clone();
        rng.mutate(&mut data);
        read_well += usize::from(read(&data).is_ok());
    }
    assert!(read_well > 1000, "the mutations must reach the depth of the packets");
}
