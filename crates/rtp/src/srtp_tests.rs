use super::*;
use crate::packet::Header;
use crate::rtcp::CompoundBuilder;
use crate::testing::Rng;

const SUITES: [Suite; 6] = [
    Suite::AesCm128Sha1_80,
    Suite::AesCm128Sha1_32,
    Suite::AesCm256Sha1_80,
    Suite::AesCm256Sha1_32,
    Suite::AeadAes128Gcm,
    Suite::AeadAes256Gcm,
];

fn pair(suite: Suite) -> (Srtp, Srtp) {
    let key: Vec<u8> = (0..(suite.key_len() + suite.salt_len()) as u8).collect();
    (Srtp::new(suite, &key).unwrap(), Srtp::new(suite, &key).unwrap())
}

fn rtp(seq: u16, ssrc: u32) -> Vec<u8> {
    Header { pt: 96, seq, timestamp: 1, ssrc, marker: false }.packet(b"a picture's slice")
}

#[test]
fn every_suite_carries_sound_and_reports_and_refuses_forgeries_and_replays() {
    for suite in SUITES {
        let (mut sender, mut receiver) = pair(suite);
        let plain = rtp(7, 9);
        let sealed = sender.protect_rtp(&plain).unwrap();
        assert!(!sealed.windows(7).any(|w| w == b"picture"), "{suite:?}");
        let mut forged = sealed.clone();
        forged[15] ^= 1;
        assert_eq!(receiver.unprotect_rtp(&forged), Err(SrtpError::Refused(9)));
        assert_eq!(receiver.unprotect_rtp(&sealed).unwrap(), plain);
        assert_eq!(receiver.unprotect_rtp(&sealed), Err(SrtpError::Refused(9)));

        let report = CompoundBuilder::new(9, None, &[], "plenum").pli(3).finish();
        let sealed = sender.protect_rtcp(&report).unwrap();
        assert_eq!(receiver.unprotect_rtcp(&sealed).unwrap(), report, "{suite:?}");
        assert_eq!(receiver.unprotect_rtcp(&sealed), Err(SrtpError::Refused(9)));
    }
}

#[test]
fn the_rollover_counter_goes_on_over_three_wraps_with_losses_and_overtaking() {
    let (mut sender, mut receiver) = pair(Suite::AesCm128Sha1_80);
    let mut rng = Rng::new(16);
    for count in (65_000..260_000_u32).step_by(2) {
        let sealed = [count, count + 1].map(|n| sender.protect_rtp(&rtp(n as u16, 1)).unwrap());
        if rng.below(20) == 0 {
            continue;
        }
        for packet in sealed.iter().rev() {
            assert!(receiver.unprotect_rtp(packet).is_ok(), "packet {count}");
        }
    }
}

#[test]
fn forged_sources_take_no_place_and_real_ones_are_bounded() {
    let (mut sender, mut receiver) = pair(Suite::AeadAes128Gcm);
    for ssrc in 0..200 {
        let mut forged = rtp(1, ssrc);
        forged.extend([0; 16]);
        assert!(receiver.unprotect_rtp(&forged).is_err());
    }
    assert_eq!(receiver.sources.len(), 0);
    for ssrc in 0..200 {
        let sealed = sender.protect_rtp(&rtp(1, ssrc)).unwrap();
        receiver.unprotect_rtp(&sealed).unwrap();
    }
    assert_eq!((sender.sources.len(), receiver.sources.len()), (MAX_SOURCES, MAX_SOURCES));
}

#[test]
fn reports_that_claim_to_be_unencrypted_are_refused() {
    let report = CompoundBuilder::new(9, None, &[], "plenum").bye().finish();
    for suite in SUITES {
        let (_, mut receiver) = pair(suite);
        for index in 0..3 {
            let forged = [report.as_slice(), &[0, 0, 0, index], &[0; 16]].concat();
            for cut in 0..=16 {
                let forged = &forged[..forged.len() - cut];
                assert_eq!(receiver.unprotect_rtcp(forged), Err(SrtpError::Refused(9)));
            }
        }
    }
}

#[test]
fn headers_with_sources_and_odd_extensions_are_carried_as_they_are() {
    for suite in SUITES {
        let (mut sender, mut receiver) = pair(suite);
        for (seq, profile) in [[0xbe, 0xde], [0x10, 0x00], [0xab, 0xcd]].into_iter().enumerate() {
            for (at, elements) in
                [[0xf0, 1, 0, 0], [0, 0, 0, 0x17], [0, 0x10, 9, 0]].into_iter().enumerate()
            {
                let mut plain = rtp((seq * 3 + at) as u16, 9);
                plain[0] |= 0x11;
                let dress = [&[0, 0, 0, 1][..], &profile, &[0, 1], &elements].concat();
                plain.splice(12..12, dress);
                let sealed = sender.protect_rtp(&plain).unwrap();
                assert_eq!(sealed[..24], plain[..24], "the header stays in clear");
                assert_ne!(sealed[24..34], plain[24..34], "the payload does not");
                assert_eq!(receiver.unprotect_rtp(&sealed).unwrap(), plain);
            }
        }
    }
}

#[test]
fn a_key_of_another_length_is_refused() {
    let refused = Srtp::new(Suite::AeadAes128Gcm, &[0; 30]).map(|_| ());
    assert_eq!(refused, Err(SrtpError::KeyLength { got: 30, wanted: 28 }));
}

#[test]
fn mutated_packets_never_panic() {
    let mut rng = Rng::new(0x3711);
    for suite in SUITES {
        let (mut sender, mut receiver) = pair(suite);
        let mut dressed = rtp(1, 9);
        dressed[0] |= 0x11;
        dressed.splice(12..12, [0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x10, 1, 0, 0]);
        let sealed = sender.protect_rtp(&dressed).unwrap();
        let report = CompoundBuilder::new(9, None, &[], "plenum").finish();
        let sealed_report = sender.protect_rtcp(&report).unwrap();
        for _ in 0..5_000 {
            for original in [&sealed, &sealed_report, &dressed, &report] {
                let mut data = original.clone();
                rng.mutate(&mut data);
                let _ = receiver.unprotect_rtp(&data);
                let _ = receiver.unprotect_rtcp(&data);
                let _ = sender.protect_rtp(&data);
                let _ = sender.protect_rtcp(&data);
            }
        }
    }
}
