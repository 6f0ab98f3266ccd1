use super::*;
use crate::testing::{Rng, packet};

fn annex_b(units: &[&[u8]]) -> Vec<u8> {
    units.iter().flat_map(|u| START_CODE.iter().chain(u.iter()).copied()).collect()
}

/// A NAL unit of a type whose body holds no start code.
fn nal(header: u8, len: usize) -> Vec<u8> {
    std::iter::once(header).chain((1..len).map(|at| (at % 251) as u8 | 1)).collect()
}

fn send(payloads: Vec<Vec<u8>>, seq: u64, timestamp: u32) -> Vec<MediaPacket> {
    let last = payloads.len() - 1;
    let number = |(at, payload): (usize, Vec<u8>)| MediaPacket {
        marker: at == last,
        ..packet(seq + at as u64, timestamp, &payload)
    };
    payloads.into_iter().enumerate().map(number).collect()
}

fn receive(depacketizer: &mut Depacketizer, packets: &[MediaPacket]) -> Vec<Frame> {
    let mut out = Vec::new();
    for packet in packets {
        out.extend(depacketizer.push(packet));
        out.extend(depacketizer.pop());
    }
    out
}

#[test]
fn a_key_frame_travels_in_mode_1_as_stap_a_and_fragments_and_comes_back_byte_for_byte() {
    let (sps, pps, idr) = (nal(0x67, 24), nal(0x68, 5), nal(0x65, 5000));
    let sent = annex_b(&[&sps, &pps, &idr]);
    let payloads = Packetizer::new(Mode::NonInterleaved).packetize(&sent).unwrap();
    assert!(payloads.iter().all(|p| p.len() <= MTU));
    let kinds: Vec<u8> = payloads.iter().map(|p| nal_type(p[0])).collect();
    assert_eq!(kinds, [24, 28, 28, 28, 28, 28]);
    assert_eq!(payloads[0][..4], [0x78, 0, 24, 0x67]);
    assert!(starts_key_frame(&payloads[0]) && starts_key_frame(&payloads[1]));
    assert!(!starts_key_frame(&payloads[2]));

    let frames = receive(&mut Depacketizer::new(), &send(payloads, 10, 3000));
    assert_eq!(frames, [Frame { data: sent, timestamp: 3000, key: true, damaged: false }]);
}

#[test]
fn mode_0_sends_every_unit_alone_and_refuses_what_does_not_fit() {
    let sent = annex_b(&[&nal(0x67, 24), &nal(0x68, 5), &nal(0x65, MTU), &nal(0x65, 700)]);
    let payloads = Packetizer::new(Mode::Single).packetize(&sent).unwrap();
    assert_eq!(payloads.iter().map(Vec::len).collect::<Vec<_>>(), [24, 5, MTU, 700]);
    let frames = receive(&mut Depacketizer::new(), &send(payloads, 0, 0));
    assert_eq!(frames[0].data, sent);

    let refused = Packetizer::new(Mode::Single).packetize(&annex_b(&[&nal(0x65, MTU + 1)]));
    assert_eq!(refused, Err(PacketizeError::TooLarge(MTU + 1)));
    assert_eq!(Packetizer::new(Mode::Single).packetize(&[]), Err(PacketizeError::Empty));
    let forbidden = Packetizer::new(Mode::NonInterleaved).packetize(&annex_b(&[&nal(0x7c, 9)]));
    assert_eq!(forbidden, Err(PacketizeError::NalType(28)));
}

#[test]
fn a_lost_fragment_damages_its_picture_alone_and_leaves_no_half_unit() {
    let packetizer = Packetizer::new(Mode::NonInterleaved);
    let first = annex_b(&[&nal(0x41, 300), &nal(0x41, 3000)]);
    let mut packets = send(packetizer.packetize(&first).unwrap(), 0, 0);
    let next_seq = packets.len() as u64;
    packets.remove(2);
    let second = annex_b(&[&nal(0x41, 100)]);
    packets.extend(send(packetizer.packetize(&second).unwrap(), next_seq, 3000));

    let frames = receive(&mut Depacketizer::new(), &packets);
    let whole = annex_b(&[&nal(0x41, 300)]);
    assert_eq!(frames[0], Frame { data: whole, timestamp: 0, key: false, damaged: true });
    assert_eq!(frames[1], Frame { data: second, timestamp: 3000, key: false, damaged: false });
}

#[test]
fn a_lost_marker_ends_the_picture_at_the_next_timestamp_and_both_come_out() {
    let mut depacketizer = Depacketizer::new();
    let one = MediaPacket { marker: false, ..packet(1, 0, &nal(0x41, 50)) };
    let single = MediaPacket { marker: true, ..packet(3, 3000, &nal(0x41, 60)) };
    assert_eq!(depacketizer.push(&one), None);
    let before = depacketizer.push(&single).unwrap();
    assert!((before.timestamp, before.damaged) == (0, true));
    let after = depacketizer.pop().unwrap();
    assert!((after.timestamp, after.damaged) == (3000, true), "its reference may be missing");
    assert_eq!(depacketizer.pop(), None);
}

#[test]
fn a_key_frame_after_a_loss_heals_if_its_own_beginning_is_here() {
    let mut depacketizer = Depacketizer::new();
    let p_frame = MediaPacket { marker: true, ..packet(1, 0, &nal(0x41, 50)) };
    receive(&mut depacketizer, &[p_frame]);
    let packetizer = Packetizer::new(Mode::NonInterleaved);
    let key = annex_b(&[&nal(0x67, 20), &nal(0x68, 5), &nal(0x65, 2000)]);
    let packets = send(packetizer.packetize(&key).unwrap(), 5, 3000);
    let frames = receive(&mut depacketizer, &packets);
    assert!(frames[0].key && !frames[0].damaged);

    // Without its parameter sets nobody knows what the gap took.
    let bare = send(packetizer.packetize(&annex_b(&[&nal(0x65, 40)])).unwrap(), 20, 6000);
    assert!(receive(&mut depacketizer, &bare)[0].damaged);
}

#[test]
fn an_access_unit_over_the_limit_is_cut_and_marked_and_the_next_is_well() {
    let mut depacketizer = Depacketizer::new();
    let big = nal(0x41, MTU);
    let count = (MAX_FRAME / MTU + 10) as u64;
    for seq in 0..count {
        assert_eq!(depacketizer.push(&packet(seq, 0, &big)), None);
    }
    let end = MediaPacket { marker: true, ..packet(count, 0, &big) };
    let frame = depacketizer.push(&end).unwrap();
    assert!(frame.damaged && frame.data.len() <= MAX_FRAME);
    let next = MediaPacket { marker: true, ..packet(count + 1, 3000, &big) };
    assert!(!depacketizer.push(&next).unwrap().damaged);
}

#[test]
fn units_are_cut_at_start_codes_of_three_and_four_bytes_and_trailing_zeros_go() {
    let stream = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 1, 0x65, 4, 0, 0];
    let units: Vec<&[u8]> = nal_units(&stream).collect();
    assert_eq!(units, [&[0x67, 1, 2][..], &[0x68, 3], &[0x65, 4]]);
    assert_eq!(nal_units(&[1, 2, 3]).count(), 0);
}

#[test]
fn mutated_packets_neither_panic_nor_grow_the_frame() {
    let mut rng = Rng::new(0x264);
    let mut depacketizer = Depacketizer::new();
    let sent = annex_b(&[&nal(0x67, 24), &nal(0x68, 5), &nal(0x65, 4000), &nal(0x41, 90)]);
    let payloads = Packetizer::new(Mode::NonInterleaved).packetize(&sent).unwrap();
    let mut seq = 0;
    for round in 0..100_000_u64 {
        let mut payload = payloads[round as usize % payloads.len()].clone();
        rng.mutate(&mut payload);
        seq += rng.below(3);
        let marker = rng.below(12) == 0;
        let one = MediaPacket { marker, ..packet(seq, round as u32 / 8, &payload) };
        for frame in depacketizer.push(&one).into_iter().chain(depacketizer.pop()) {
            assert!(frame.data.len() <= MAX_FRAME);
        }
        let _ = starts_key_frame(&payload);
    }
}
