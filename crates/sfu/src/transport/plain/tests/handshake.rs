//! Keys by DTLS: who gets them, who does not, and when that is given up.

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use rtp::packet::Header;
use types::{FingerprintHash, Fingerprints};

use super::super::certificate::Certificate;
use super::super::dtls::{WITHIN, is_dtls};
use super::*;

const STRANGER: u8 = 66;
const NAT: u8 = 77;

fn known_by(certificate: &Certificate) -> Vec<u8> {
    let text = certificate.fingerprint();
    let (hash, digest) = text.split_once(' ').unwrap();
    assert_eq!(hash, "sha-256");
    digest.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// Both sides' media; the left begins.
fn keyed(left: &Arc<Certificate>, right: &Arc<Certificate>) -> [LegMedia; 2] {
    let keys = |own: &Arc<Certificate>, peer: &Certificate, active| DtlsKeys {
        certificate: own.clone(),
        active,
        fingerprints: Fingerprints {
            hash: FingerprintHash::Sha256,
            digests: vec![vec![7; 32], known_by(peer)],
        },
    };
    let with = |media, keys: DtlsKeys| {
        each(media, |stream| {
            stream.rtcp_mux = true;
            stream.dtls = Some(keys.clone());
        })
    };
    [
        with(media(HERE, THERE), keys(left, right, true)),
        with(media(THERE, HERE), keys(right, left, false)),
    ]
}

fn certificates() -> [Arc<Certificate>; 2] {
    [(); 2].map(|()| Certificate::generate().unwrap())
}

fn agreed() -> [LegMedia; 2] {
    let [left, right] = certificates();
    keyed(&left, &right)
}

fn records(got: &Got) -> usize {
    got.transmits.iter().filter(|(_, _, contents)| is_dtls(contents)).count()
}

/// Everything that was talked arrived, and travelled sealed.
fn assert_talk(pump: &mut Pump, frames: usize) {
    pump.settle();
    let before = [&pump.left.got, &pump.right.got].map(|it| it.of(AUDIO).len());
    pump.talk(Side::Left, frames);
    pump.talk(Side::Right, frames);
    for (got, before) in [&pump.left.got, &pump.right.got].into_iter().zip(before) {
        assert_eq!((got.of(AUDIO).len() - before, got.unkeyed.len()), (frames, 0));
        let clear = |it: &[u8]| it.windows(4).any(|part| part == content(AUDIO, 3));
        assert!(!got.transmits.iter().any(|(_, _, contents)| clear(contents)));
        assert!(got.transmits.iter().all(|(port, ..)| !port.is_rtcp()));
    }
}

#[test]
fn a_handshake_on_each_port_makes_its_keys_and_nothing_passes_before() {
    let [left, right] = agreed();
    let mut pump = Pump::new(left, right);
    let early = pump.packet(AUDIO, 0, 0);
    pump.left.leg.send(AUDIO, &early, pump.now);
    let clear = Header { seq: 1, ..peer() }.packet(&[0xff; 160]);
    pump.right.leg.receive(LegPort::AudioRtp, address(HERE, LegPort::AudioRtp), &clear, pump.now);
    let counters = (pump.left.leg.counters().audio, pump.right.leg.counters().audio);
    assert_eq!((counters.0.unsent, counters.1.discarded.forged), (1, 1));
    assert_talk(&mut pump, 50);
    assert_eq!((pump.left.got.key_frames, pump.right.got.key_frames), (1, 1), "of what was lost");
    let shaken = records(&pump.left.got);
    pump.run(Duration::from_secs(40));
    assert_eq!(records(&pump.left.got), shaken, "it is over");
    assert!(pump.right.leg.counters().audio.rtt.is_some(), "reports too are understood");
}

#[test]
fn a_handshake_gets_through_losses() {
    let [left, right] = agreed();
    let mut pump = Pump::new(left, right);
    pump.lose_every = Some(3);
    pump.run(Duration::from_secs(6));
    pump.lose_every = None;
    assert_talk(&mut pump, 20);
}

#[test]
fn a_peer_behind_a_nat_is_found_by_its_handshake() {
    let [left, right] = agreed();
    let mut pump = Pump::new(left, right);
    pump.nat = Some(NAT);
    assert_talk(&mut pump, 20);
}

#[test]
fn a_certificate_is_known_by_other_hashes_too() {
    let [left, right] = certificates();
    let [ours, mut theirs] = keyed(&left, &right);
    theirs = each(theirs, |stream| {
        let keys = stream.dtls.as_mut().unwrap();
        let digests = vec![digest(&SHA512, left.der()).as_ref().to_vec()];
        keys.fingerprints = Fingerprints { hash: FingerprintHash::Sha512, digests };
    });
    assert_eq!(known_by(&left), digest(&SHA256, left.der()).as_ref());
    assert_talk(&mut Pump::new(ours, theirs), 5);
}

#[test]
fn another_certificate_than_the_sdp_tells_of_gets_no_media_and_is_told_so_at_once() {
    let [left, right] = certificates();
    let other = Certificate::generate().unwrap();
    for (wrong, its) in [(Side::Left, 1), (Side::Right, 0)] {
        let [mut ours, mut theirs] = keyed(&left, &right);
        match wrong {
            Side::Left => ours = keyed(&other, &right)[0].clone(),
            Side::Right => theirs = keyed(&left, &other)[1].clone(),
        }
        let mut pump = Pump::new(ours, theirs);
        pump.talk(Side::Left, 50);
        let ends = [&pump.left, &pump.right];
        assert_eq!(ends[its].got.unkeyed, [HandshakeError::Mismatch; 2], "{wrong:?}");
        assert!(ends.iter().all(|end| end.got.packets.is_empty()));
        assert!(!ends[its].got.transmits.iter().any(|(_, _, it)| !is_dtls(it)), "nothing for it");
    }
}

#[test]
fn a_wrong_certificate_from_elsewhere_is_a_strangers_until_the_time_is_over() {
    let [left, right] = certificates();
    let other = Certificate::generate().unwrap();
    let mut pump = Pump::new(keyed(&other, &right)[0].clone(), keyed(&left, &right)[1].clone());
    pump.nat = Some(NAT);
    pump.run(WITHIN - Duration::from_secs(1));
    assert_eq!(pump.right.got.unkeyed, []);
    pump.run(Duration::from_secs(1));
    assert_eq!(pump.right.got.unkeyed, [HandshakeError::Mismatch; 2]);
}

#[test]
fn a_handshake_that_never_comes_is_given_up_in_time() {
    let [active, passive] = agreed();
    for media in [active, passive] {
        let mut one = One::new(media);
        one.run(WITHIN - Duration::from_millis(1));
        assert_eq!(one.got.unkeyed, []);
        assert!(records(&one.got) < 40, "it asks now and then");
        one.run(Duration::from_millis(1));
        assert_eq!(one.got.unkeyed.len(), 2);
        one.run(Duration::from_secs(20));
        assert_eq!(one.got.unkeyed.len(), 2, "said once");
    }
}

#[test]
fn garbage_that_looks_like_a_handshake_changes_nothing() {
    let [left, right] = agreed();
    let mut pump = Pump::new(left, right);
    let mut noise = 1_u32;
    for length in 1..1400_usize {
        let mut record = vec![0_u8; length];
        for byte in &mut record {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (noise >> 24) as u8;
        }
        record[0] = 20 + (length % 44) as u8;
        if length % 2 == 0 {
            record.splice(..1, [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]);
        }
        let from = address(STRANGER, LegPort::AudioRtp);
        pump.right.leg.receive(LegPort::AudioRtp, from, &record, pump.now);
    }
    let answers = pump.right.got.transmits.len();
    assert!(answers < 10, "{answers} answers to a stranger");
    assert_talk(&mut pump, 20);
}

#[test]
fn whoever_begins_first_does_not_keep_the_peer_out() {
    let [left, right] = certificates();
    let other = Certificate::generate().unwrap();
    let mut pump = Pump::new(keyed(&left, &right)[0].clone(), keyed(&left, &right)[1].clone());
    // It begins, and does not go on.
    let mut stranger = One::new(keyed(&other, &right)[0].clone());
    stranger.run(Duration::ZERO);
    let (port, _, hello) = stranger.got.transmits[0].clone();
    pump.right.leg.receive(port, address(STRANGER, port), &hello, pump.now);
    assert_talk(&mut pump, 20);
    pump.right.leg.receive(port, address(STRANGER, port), &hello, pump.now);
    let counters = pump.right.leg.counters();
    assert_eq!(counters.audio.discarded.stranger, 1, "after it nobody else begins");
    assert_talk(&mut pump, 20);
}

#[test]
fn the_same_agreement_keeps_the_keys_and_another_certificate_makes_new_ones() {
    let [left, right] = certificates();
    let [ours, theirs] = keyed(&left, &right);
    let mut pump = Pump::new(ours.clone(), theirs.clone());
    assert_talk(&mut pump, 10);
    let shaken = records(&pump.left.got);
    // On hold at 0.0.0.0 and back.
    let held = each(theirs.clone(), |stream| stream.remote_rtp = None);
    pump.right.leg.update(held, pump.now).unwrap();
    pump.right.leg.update(theirs, pump.now).unwrap();
    pump.left.leg.update(ours, pump.now).unwrap();
    assert_talk(&mut pump, 10);
    assert_eq!(records(&pump.left.got), shaken);

    let other = Certificate::generate().unwrap();
    let [ours, theirs] = keyed(&other, &right);
    pump.left.leg.update(ours, pump.now).unwrap();
    pump.right.leg.update(theirs, pump.now).unwrap();
    assert_talk(&mut pump, 10);
    assert!(records(&pump.left.got) > shaken);
}
