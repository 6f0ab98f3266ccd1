//! ICE-lite: whose checks count, and where media go by them.

use is::stun::{StunMessage, TransId};
use rtp::packet::Header;
use types::IceCredentials;

use super::super::ice::hmac_sha1;
use super::*;

const STRANGER: u8 = 66;
const NAT: u8 = 77;

fn credentials(seed: u8) -> IceCredentials {
    IceCredentials::new([seed; 20])
}

fn keys(remote: u8) -> IceKeys {
    IceKeys { local: credentials(1), remote: credentials(remote) }
}

/// In the clear, so that nothing but checks says who is the peer.
fn checked(remote: u8) -> LegMedia {
    each(media(HERE, THERE), |stream| {
        stream.rtcp_mux = true;
        stream.ice = Some(keys(remote));
    })
}

/// A check by these users with this password.
fn check(name: &str, password: &str, controls: bool, nominates: bool) -> Vec<u8> {
    let request = StunMessage::binding_request(name, TransId::new(), controls, 5, 100, nominates);
    let mut bytes = vec![0; 500];
    let length = request.to_bytes(Some(password.as_bytes()), &mut bytes, hmac_sha1).unwrap();
    bytes.truncate(length);
    bytes
}

fn right(nominates: bool) -> Vec<u8> {
    let IceKeys { local, remote } = keys(2);
    check(&format!("{}:{}", local.ufrag, remote.ufrag), &local.password, true, nominates)
}

fn sound(seq: u16) -> Vec<u8> {
    Header { pt: 0, seq, timestamp: 160 * u32::from(seq), ..peer() }.packet(&[0xff; 160])
}

/// The answer to what was sent from this host.
fn answered(one: &mut One, host: u8, request: &[u8]) -> Option<Vec<u8>> {
    let before = one.got.transmits.len();
    one.datagram(LegPort::AudioRtp, host, request);
    let (port, to, answer) = one.got.transmits.get(before)?.clone();
    assert_eq!((port, to), (LegPort::AudioRtp, address(host, LegPort::AudioRtp)));
    assert!(one.got.transmits.len() == before + 1 && answer.len() < 2 * request.len());
    Some(answer)
}

#[test]
fn media_come_from_where_checks_come_and_go_where_the_peer_wants_them() {
    let mut one = One::new(checked(2));
    one.datagram(LegPort::AudioRtp, THERE, &sound(1));
    assert_eq!(one.got.packets.len(), 0, "its SDP's address is nothing without a check");
    let request = right(false);
    let answer = answered(&mut one, NAT, &request).unwrap();
    let answer = StunMessage::parse(&answer).unwrap();
    assert!(answer.is_successful_binding_response());
    assert_eq!(answer.trans_id(), StunMessage::parse(&request).unwrap().trans_id());
    assert_eq!(answer.mapped_address(), Some(address(NAT, LegPort::AudioRtp)));
    assert!(answer.verify(keys(2).local.password.as_bytes(), hmac_sha1));

    one.datagram(LegPort::AudioRtp, NAT, &sound(1));
    one.datagram(LegPort::AudioRtp, STRANGER, &sound(2));
    assert_eq!(one.got.packets.len(), 1);
    let packet = Pump::new(media(HERE, THERE), media(THERE, HERE)).packet(AUDIO, 1, 160);
    one.leg.send(AUDIO, &packet, one.now);
    assert_eq!(one.leg.counters().audio.unsent, 1, "it has not said where to");

    answered(&mut one, NAT, &right(true)).unwrap();
    one.leg.send(AUDIO, &packet, one.now);
    one.run(Duration::ZERO);
    let (_, to, _) = one.got.transmits.last().unwrap();
    assert_eq!(*to, address(NAT, LegPort::AudioRtp));
    assert_eq!(one.leg.counters().audio.discarded.stranger, 2);
    // The picture has checks of its own.
    one.datagram(LegPort::VideoRtp, NAT, &Header { pt: 97, ..peer() }.packet(&[0x41, 1]));
    assert_eq!(one.leg.counters().video.discarded.stranger, 1);
}

#[test]
fn a_check_that_is_not_the_peers_gets_no_answer_and_lets_nobody_in() {
    let mut one = One::new(checked(2));
    let IceKeys { local, remote } = keys(2);
    let name = format!("{}:{}", local.ufrag, remote.ufrag);
    let own = local.password.as_str();
    let mut wrong = vec![
        check(&name, &remote.password, true, true),
        check(&format!("{}:{}", remote.ufrag, local.ufrag), own, true, true),
        check(&format!("{}:other", local.ufrag), own, true, true),
        vec![0],
        vec![0; 20],
        vec![1; 1400],
    ];
    // A bit of it changed, up to its integrity; what follows is a checksum.
    let whole = right(true);
    for at in 0..whole.len() - 8 {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        wrong.push(changed);
    }
    wrong.extend((0..whole.len()).map(|length| whole[..length].to_vec()));
    for request in wrong {
        assert_eq!(answered(&mut one, STRANGER, &request), None, "{request:?}");
    }
    one.datagram(LegPort::AudioRtp, STRANGER, &sound(1));
    assert_eq!(one.got.packets.len(), 0);
    assert!(answered(&mut one, NAT, &whole).is_some(), "and the peer comes in all the same");
}

#[test]
fn whoever_wants_us_to_control_is_told_that_we_do_not() {
    let mut one = One::new(checked(2));
    let IceKeys { local, remote } = keys(2);
    let name = format!("{}:{}", local.ufrag, remote.ufrag);
    let request = check(&name, &local.password, false, false);
    let answer = answered(&mut one, NAT, &request).unwrap();
    assert_eq!(StunMessage::parse(&answer).unwrap().error_code().map(|it| it.0), Some(487));
    one.datagram(LegPort::AudioRtp, NAT, &sound(1));
    assert_eq!(one.got.packets.len(), 0);
}

#[test]
fn a_peer_has_few_addresses_at_once_and_keeps_the_one_it_wants() {
    let mut one = One::new(checked(2));
    answered(&mut one, NAT, &right(true)).unwrap();
    for host in 100..200 {
        answered(&mut one, host, &right(false)).unwrap();
    }
    for (host, taken) in [(NAT, 1), (100, 1), (150, 1), (199, 2)] {
        one.datagram(LegPort::AudioRtp, host, &sound(host.into()));
        assert_eq!(one.got.packets.len(), taken, "from {host}");
    }
}

#[test]
fn other_credentials_are_another_beginning() {
    let mut one = One::new(checked(2));
    answered(&mut one, NAT, &right(true)).unwrap();
    one.leg.update(checked(2), one.now).unwrap();
    one.datagram(LegPort::AudioRtp, NAT, &sound(1));
    assert_eq!(one.got.packets.len(), 1, "the same stay");
    one.leg.update(checked(3), one.now).unwrap();
    one.datagram(LegPort::AudioRtp, NAT, &sound(2));
    assert_eq!(one.got.packets.len(), 1);
    assert_eq!(answered(&mut one, NAT, &right(true)), None);
}
