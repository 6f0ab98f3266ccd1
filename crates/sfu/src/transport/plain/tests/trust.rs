//! Whom a leg believes: addresses, keys, sources.

use rtp::packet::Header;
use types::PeerId;

use super::*;
use crate::{Command, PeerEvent, PeerEvents, Shard};

const STRANGER: u8 = 66;

fn keys(local: u8, remote: u8) -> SrtpKeys {
    let key = |seed: u8| (0..30).map(|at| seed.wrapping_mul(31).wrapping_add(at)).collect();
    SrtpKeys { suite: Suite::AesCm128Sha1_80, local: key(local), remote: key(remote) }
}

fn secured(media: LegMedia, local: u8, remote: u8) -> LegMedia {
    each(media, |stream| stream.srtp = Some(keys(local, remote)))
}

#[test]
fn under_srtp_all_travels_sealed_and_the_forged_is_refused() {
    let left = secured(media(HERE, THERE), 1, 2);
    let mut pump = Pump::new(left, secured(media(THERE, HERE), 2, 1));
    // Before anything authentic came: it must not take the stream over.
    let forged = Header { seq: 1, ..peer() }.packet(&[0xff; 160]);
    let stranger = address(STRANGER, LegPort::AudioRtp);
    pump.right.leg.receive(LegPort::AudioRtp, stranger, &forged, pump.now);
    let report = CompoundBuilder::new(PEER_SSRC, None, &[], "x").pli(0).finish();
    let from = address(STRANGER, LegPort::VideoRtcp);
    pump.right.leg.receive(LegPort::VideoRtcp, from, &report, pump.now);
    pump.talk(Side::Left, 100);
    pump.talk(Side::Right, 100);
    for got in [&pump.left.got, &pump.right.got] {
        assert_eq!((got.of(AUDIO).len(), got.of(VIDEO).len()), (100, 100));
        assert_eq!(got.of(AUDIO)[3].payload.as_ref(), content(AUDIO, 3));
        assert!(got.transmits.iter().all(|(_, to, _)| to.ip() != stranger.ip()));
        assert!(!got.transmits.iter().any(|it| it.2.windows(4).any(|w| w == content(AUDIO, 3))));
        assert_eq!(got.key_frames, 0);
    }
    pump.run(Duration::from_secs(5));
    let counters = pump.right.leg.counters();
    assert_eq!((counters.audio.discarded.forged, counters.video.discarded.forged), (1, 1));
    assert!(counters.audio.rtt.is_some(), "reports too are understood");

    // A replay of what the peer itself sent.
    let replay = pump.left.got.transmits.iter().rfind(|it| it.0 == LegPort::AudioRtp);
    let (port, _, contents) = replay.unwrap().clone();
    pump.right.leg.receive(port, address(HERE, port), &contents, pump.now);
    pump.settle();
    assert_eq!(pump.right.leg.counters().audio.discarded.forged, 2);
    assert_eq!(pump.right.got.of(AUDIO).len(), 100);
}

#[test]
fn an_update_with_the_same_keys_keeps_their_contexts_and_another_key_is_used_at_once() {
    let (left, right) = (secured(media(HERE, THERE), 1, 2), secured(media(THERE, HERE), 2, 1));
    let mut pump = Pump::new(left.clone(), right);
    pump.talk(Side::Left, 10);
    let (port, _, old) = pump.left.got.transmits[0].clone();
    pump.right.leg.update(secured(media(THERE, HERE), 2, 1), pump.now).unwrap();
    pump.right.leg.receive(port, address(HERE, port), &old, pump.now);
    assert_eq!(pump.right.leg.counters().audio.discarded.forged, 1, "the replay is still known");

    pump.right.leg.update(secured(media(THERE, HERE), 2, 3), pump.now).unwrap();
    pump.talk(Side::Left, 5);
    assert_eq!(pump.right.leg.counters().audio.discarded.forged, 6);
    pump.left.leg.update(secured(media(HERE, THERE), 3, 2), pump.now).unwrap();
    pump.talk(Side::Left, 5);
    assert_eq!(pump.right.got.of(AUDIO).len(), 15);

    let mut bad = left;
    bad.audio.as_mut().unwrap().srtp.as_mut().unwrap().local.pop();
    let error = pump.left.leg.update(bad, pump.now).unwrap_err();
    assert_eq!(error, SrtpError::KeyLength { got: 29, wanted: 30 });
    pump.talk(Side::Left, 5);
    assert_eq!(pump.right.got.of(AUDIO).len(), 20, "nothing has changed");
}

#[test]
fn a_peer_behind_nat_is_followed_and_then_nobody_else() {
    let mut pump = Pump::new(media(HERE, THERE), media(THERE, HERE));
    pump.nat = Some(9);
    pump.talk(Side::Left, 3);
    pump.right.got.transmits.clear();
    pump.right.leg.receive(
        LegPort::AudioRtp,
        address(STRANGER, LegPort::AudioRtp),
        &Header { seq: 5, ..peer() }.packet(&[1; 160]),
        pump.now,
    );
    assert_eq!(pump.right.leg.counters().audio.discarded.stranger, 1);
    pump.talk(Side::Right, 3);
    let to: Vec<SocketAddr> = pump.right.got.transmits.iter().map(|it| it.1).collect();
    let nat = [address(9, LegPort::AudioRtp), address(9, LegPort::VideoRtp)];
    assert!(to.len() == 6 && to.iter().all(|it| nat.contains(it)), "{to:?}");
    assert_eq!(pump.right.got.of(AUDIO).len(), 3);

    // A re-INVITE with the address that was there before changes nothing, another one does.
    pump.right.leg.update(media(THERE, HERE), pump.now).unwrap();
    pump.nat = Some(10);
    pump.talk(Side::Left, 1);
    assert_eq!(pump.right.got.of(AUDIO).len(), 3);
    pump.right.leg.update(media(THERE, 40), pump.now).unwrap();
    pump.talk(Side::Left, 1);
    assert_eq!(pump.right.got.of(AUDIO).len(), 4);
}

#[test]
fn without_an_address_a_leg_waits_for_the_first_packet() {
    let blind = each(media(HERE, THERE), |it| (it.remote_rtp, it.remote_rtcp) = (None, None));
    let zero = each(media(HERE, THERE), |it| {
        it.remote_rtp = Some(SocketAddr::from(([0, 0, 0, 0], 4000)));
        it.remote_rtcp = Some(SocketAddr::from(([224, 0, 0, 1], 4001)));
    });
    for media in [blind, zero] {
        let mut one = One::new(media);
        let packet = MediaPacket {
            payload: [0_u8; 160].as_slice().into(),
            seq: 3,
            timestamp: 0,
            marker: false,
            arrival: one.now,
            format: PCMU.number(),
            audio_level: None,
            capture: None,
        };
        one.leg.send(AUDIO, &packet, one.now);
        one.leg.request_key_frame(one.now);
        one.run(Duration::from_secs(5));
        assert!(one.got.transmits.is_empty());
        assert_eq!(one.got.signalling, 1, "RTCP has nowhere to go");
        for (host, garbage) in [
            (STRANGER, &[&[0x80, 5][..], &[0; 28]].concat()[..]),
            (STRANGER, b"OPTIONS sip:"),
            (3, &[]),
        ] {
            one.datagram(LegPort::AudioRtp, host, garbage);
        }
        one.datagram(LegPort::AudioRtcp, STRANGER, &[0x80, 200, 0, 9]);
        let discarded = one.leg.counters().audio.discarded;
        assert_eq!((discarded.unknown_payload_type, discarded.malformed), (1, 3), "{discarded:?}");

        one.sound(1, 0);
        one.leg.send(AUDIO, &packet, one.now);
        one.run(Duration::ZERO);
        let sent: Vec<_> = one.got.transmits.iter().map(|it| (it.0, it.1)).collect();
        assert_eq!(sent, [(LegPort::AudioRtp, address(THERE, LegPort::AudioRtp))]);
    }
}

#[test]
fn nobody_can_be_at_port_zero_or_in_a_group() {
    let mut one = One::new(media(HERE, THERE));
    let packet = Header { seq: 1, ..peer() }.packet(&[0xff; 160]);
    for source in
        ["10.0.0.2:0", "224.0.0.1:4000", "0.0.0.0:4000", "255.255.255.255:9", "[ff02::1]:4000"]
    {
        one.datagram_from(LegPort::AudioRtp, source.parse().unwrap(), &packet);
    }
    assert_eq!(one.leg.counters().audio.discarded.stranger, 5);
    assert!(one.got.packets.is_empty());
}

#[test]
fn another_source_of_the_peer_goes_on_above_the_first_and_late_packets_of_that_are_dropped() {
    let mut one = One::new(media(HERE, THERE));
    one.picture(10, 0, &[0x41, 1]);
    one.picture(12, 3000, &[0x41, 2]);
    let other = Header { pt: 97, seq: 60_000, timestamp: 9, ssrc: 77, marker: true };
    one.rtp(LegPort::VideoRtp, other, &[0x41, 3]);
    one.picture(11, 0, &[0x41, 4]);
    one.rtp(LegPort::VideoRtp, Header { seq: 60_002, ..other }, &[0x41, 5]);
    let seqs = one.got.seqs(VIDEO);
    let first = seqs[0];
    assert_eq!(seqs, [first, first + 2, first + 3, first + 5]);
    let counters = one.leg.counters().video;
    assert_eq!((counters.received, counters.lost, counters.discarded.unwanted), (4, 2, 1));
    let asked: Vec<Rtcp> =
        one.got.rtcp().into_iter().filter(|it| matches!(it, Rtcp::Pli { .. })).collect();
    assert_eq!(asked, [Rtcp::Pli { media: 77 }], "its pictures do not follow from the first's");
}

#[test]
fn a_peer_that_counts_anew_is_followed_from_its_second_packet_on() {
    let mut one = One::new(media(HERE, THERE));
    one.sound(40_000, 0);
    one.sound(40_001, 160);
    one.sound(7, 9000);
    assert_eq!(one.got.of(AUDIO).len(), 2, "one packet may be anything");
    one.sound(8, 9160);
    one.sound(9, 9320);
    let seqs = one.got.seqs(AUDIO);
    assert!(seqs.len() == 4 && are_continuous(&seqs), "{seqs:?}");
    assert_eq!(one.leg.counters().audio.lost, 0);
}

#[test]
fn padding_is_taken_off_and_empty_packets_are_no_loss() {
    let mut one = One::new(media(HERE, THERE));
    one.sound(1, 0);
    let mut padded = Header { seq: 2, timestamp: 160, ..peer() }.packet(&[7, 8, 9, 0, 0, 0, 4]);
    padded[0] |= 0x20;
    one.datagram(LegPort::AudioRtp, THERE, &padded);
    one.rtp(LegPort::AudioRtp, Header { seq: 3, ..peer() }, &[]);
    one.sound(4, 320);
    assert_eq!(one.got.of(AUDIO)[1].payload.as_ref(), [7, 8, 9]);
    assert!(one.got.of(AUDIO).len() == 3 && are_continuous(&one.got.seqs(AUDIO)));
}

struct Deaf;

impl PeerEvents for Deaf {
    fn event(&mut self, _: PeerId, _: PeerEvent) {}
}

#[test]
fn a_shard_counts_what_is_not_the_peers_and_only_that() {
    let one = One::new(media(HERE, THERE));
    let (now, leg, id) = (one.now, Box::new(one.leg), PeerId(7));
    let mut shard = Shard::new(address(HERE, LegPort::AudioRtp), None, now);
    shard.handle_command(Command::AddLeg { peer: id, leg, events: Box::new(Deaf) }, now);
    let good = |seq| Header { seq, ..peer() }.packet(&[0xff; 160]);
    let report = CompoundBuilder::new(PEER_SSRC, None, &[], "peer").finish();
    let mut strays = 0;
    for (port, host, contents, is_stray) in [
        (LegPort::AudioRtp, THERE, good(1), false),
        (LegPort::AudioRtp, STRANGER, good(2), true),
        (LegPort::AudioRtp, THERE, vec![0x80, 0], true),
        (LegPort::AudioRtp, THERE, b"OPTIONS sip:x SIP/2.0".to_vec(), true),
        (LegPort::AudioRtp, THERE, Header { pt: 77, ..peer() }.packet(&[1]), true),
        (LegPort::AudioRtcp, THERE, report.clone(), false),
        (LegPort::AudioRtcp, THERE, vec![0x80, 200, 0, 9], true),
        (LegPort::AudioRtcp, THERE, vec![0xff; 1200], true),
        (LegPort::AudioRtcp, STRANGER, report, true),
        (LegPort::AudioRtp, THERE, good(2), false),
    ] {
        shard.handle_leg_datagram(id, port, address(host, port), &contents, now);
        strays += u64::from(is_stray);
        assert_eq!(shard.counters().strays, strays, "{port:?} {host} {contents:02x?}");
    }
}

#[test]
fn a_flood_beside_a_call_disturbs_nothing() {
    let mut pump = Pump::new(media(HERE, THERE), media(THERE, HERE));
    pump.talk(Side::Left, 10);
    for round in 0..20_u16 {
        for n in 0..200_u16 {
            let forged = Header { seq: n, ssrc: u32::from(n), ..peer() }.packet(&[0xff; 160]);
            let junk = [round.to_be_bytes(), n.to_be_bytes()].concat();
            for port in LegPort::ALL {
                let stranger = address(STRANGER.wrapping_add(n as u8 % 8), port);
                assert!(!pump.right.leg.receive(port, stranger, &forged, pump.now));
                assert!(!pump.right.leg.receive(port, address(HERE, port), &junk, pump.now));
            }
        }
        pump.talk(Side::Left, 5);
    }
    let got = &pump.right.got;
    assert_eq!((got.of(AUDIO).len(), got.of(VIDEO).len()), (110, 110));
    assert!(are_continuous(&got.seqs(AUDIO)) && are_continuous(&got.seqs(VIDEO)));
    assert_eq!(pump.right.leg.counters().audio.lost, 0);
}

#[test]
fn what_nobody_polls_does_not_grow() {
    let mut one = One::new(media(HERE, THERE));
    for seq in 0..10_000_u16 {
        let datagram = Header { seq, ..peer() }.packet(&[0xff; 160]);
        let source = address(THERE, LegPort::AudioRtp);
        one.leg.receive(LegPort::AudioRtp, source, &datagram, one.now);
    }
    one.run(Duration::ZERO);
    assert_eq!(one.got.packets.len(), MAX_QUEUED);
    let overflow = one.leg.counters().audio.discarded.overflow;
    assert_eq!(overflow, 10_000 - MAX_QUEUED as u64);
}

#[test]
fn mutated_datagrams_never_panic_and_time_goes_on() {
    let sealed = secured(media(HERE, THERE), 1, 2);
    for media in [media(HERE, THERE), sealed] {
        let mut one = One::new(each(media, |it| it.rtcp_mux = true));
        let report = CompoundBuilder::new(PEER_SSRC, Some(SenderInfo::default()), &[], "peer")
            .pli(0)
            .fir(numbers(1).video_ssrc, 3)
            .bye()
            .finish();
        let stap =
            [&[0x78, 0, 10][..], &super::pictures::BASELINE, &[0, 4, 0x68, 0xce, 0x38, 0x80]];
        let seeds = [
            report,
            Header { pt: 97, ..peer() }.packet(&stap.concat()),
            Header { pt: 97, ..peer() }.packet(&[0x7c, 0x85, 1, 2, 3]),
            Header { pt: 101, ..peer() }.packet(&[5, 0x8a, 1, 2]),
        ];
        let mut state = 0x3550_u64;
        let mut random = |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % end
        };
        for _ in 0..50_000 {
            let mut datagram = seeds[random(seeds.len())].clone();
            for _ in 0..=random(3) {
                let at = random(datagram.len());
                datagram[at] = random(256) as u8;
            }
            datagram.truncate(random(4 * datagram.len()).max(1));
            one.datagram(LegPort::ALL[random(4)], THERE, &datagram);
            one.got = Got::default();
            one.run(Duration::from_millis(random(20) as u64));
        }
    }
}
