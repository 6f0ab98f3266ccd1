use std::net::SocketAddr;

use conference::telephony::DigestVerifier;
use rsipstack::sip::headers::auth::Algorithm;
use rsipstack::sip::services::DigestGenerator;
use rsipstack::sip::{Method, Uri};
use types::Timestamp;

use super::*;
use crate::sip::{Transport, WantedContact, Wish};

const PASSWORD: &str = "long enough";

fn device(name: &str, extension: &str, user: &str, md5: bool) -> Found<Device> {
    let text = format!(r#"{{"name":"{name}","extension":"{extension}"}}"#);
    let entity = Device {
        sip_user: Some(user.to_owned()),
        verifier: Some(DigestVerifier::of(user, REALM, PASSWORD, md5)),
        ..serde_json::from_str(&text).unwrap()
    };
    let at = Timestamp(0);
    Found { id: RecordId::new(user), version: 1, created_at: at, changed_at: at, entity }
}

fn hall() -> Found<Device> {
    device("Большой зал", "101", "hall", true)
}

/// A REGISTER that shows nothing.
fn asks(user: &str, cseq: u32, from: &str) -> Registration {
    let peer: SocketAddr = from.parse().unwrap();
    let contact =
        WantedContact { uri: format!("sip:{user}@10.0.0.7"), instance: None, expires: Some(120) };
    Registration {
        user: user.to_owned(),
        flow: Flow { transport: Transport::Udp, peer },
        wish: Wish::Bind(vec![contact]),
        call_id: "a".to_owned(),
        cseq,
        agent: Some("Room/1".to_owned()),
        path: Vec::new(),
        credentials: Vec::new(),
    }
}

/// The same with what this challenge asks for.
fn shows(asked: Registration, challenge: &RegisterAnswer, password: &str) -> Registration {
    let RegisterAnswer::Challenge { realm, nonce, algorithm, .. } = challenge else {
        panic!("{challenge:?}");
    };
    let uri = Uri::try_from("sip:plenum.example").unwrap();
    let generator = DigestGenerator {
        username: &asked.user,
        password,
        nonce,
        uri: &uri,
        realm,
        method: &Method::Register,
        qop: None,
        algorithm: if *algorithm == "MD5" { Algorithm::Md5 } else { Algorithm::Sha256 },
    };
    let header = format!(
        "Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         algorithm={algorithm}, response=\"{}\"",
        asked.user,
        generator.compute()
    );
    Registration { credentials: vec![header], ..asked }
}

fn is_stale(answer: &RegisterAnswer) -> Option<bool> {
    match answer {
        RegisterAnswer::Challenge { stale, .. } => Some(*stale),
        _ => None,
    }
}

const HOME: &str = "10.0.0.7:5060";
const REFUSED: RegisterAnswer = RegisterAnswer::Refused(Status::FORBIDDEN);

#[test]
fn who_knows_the_password_is_registered_once_for_each_nonce() {
    let now = Instant::now();
    let mut state = State::new(now).unwrap();
    for (found, algorithm) in [(hall(), "MD5"), (device("B", "102", "board", false), "SHA-256")] {
        let user = found.entity.sip_user.clone().unwrap();
        let first = state.register(Some(found.clone()), &asks(&user, 1, HOME), now);
        assert!(matches!(&first, RegisterAnswer::Challenge { algorithm: it, stale: false, .. }
            if *it == algorithm));
        let shown = shows(asks(&user, 2, HOME), &first, PASSWORD);
        let done = RegisterAnswer::Done(vec![(format!("sip:{user}@10.0.0.7"), 120)]);
        assert_eq!(state.register(Some(found.clone()), &shown, now), done);
        let again = Registration { cseq: 3, ..shown };
        let replayed = state.register(Some(found.clone()), &again, now);
        assert_eq!(is_stale(&replayed), Some(true), "the same proof once more is none");
        let wrong = shows(asks(&user, 4, HOME), &replayed, "something else");
        assert_eq!(state.register(Some(found), &wrong, now), REFUSED);
    }
    assert_eq!(state.present(|_| true, now).len(), 2);
    let later = now + Duration::from_secs(121);
    assert_eq!(state.present(|_| true, later), [], "nobody stays registered by itself");
}

#[test]
fn who_is_unknown_or_comes_from_elsewhere_is_answered_like_who_is_wrong() {
    let now = Instant::now();
    let mut state = State::new(now).unwrap();
    let mut inside = hall();
    inside.entity.networks = vec!["10.0.0.0/8".parse().unwrap()];
    for (found, from) in [(None, HOME), (Some(inside.clone()), "192.0.2.7:5060")] {
        let first = state.register(found.clone(), &asks("hall", 1, from), now);
        assert_eq!(is_stale(&first), Some(false));
        let shown = shows(asks("hall", 2, from), &first, PASSWORD);
        assert_eq!(state.register(found, &shown, now), REFUSED);
    }
    let mut by_address = inside;
    by_address.entity.verifier = None;
    let done = state.register(Some(by_address), &asks("hall", 1, HOME), now);
    assert!(matches!(done, RegisterAnswer::Done(_)), "its address alone tells who it is");
}

#[test]
fn a_guesser_is_stopped_and_its_neighbour_is_not() {
    let now = Instant::now();
    let mut state = State::new(now).unwrap();
    let first = state.register(Some(hall()), &asks("hall", 1, HOME), now);
    for guess in 0..WRONG.burst {
        let wrong = shows(asks("hall", 2, HOME), &first, &format!("guess {guess}"));
        assert_eq!(state.register(Some(hall()), &wrong, now), REFUSED);
    }
    let right = shows(asks("hall", 2, HOME), &first, PASSWORD);
    assert_eq!(state.register(Some(hall()), &right, now), REFUSED, "nothing is tried any more");
    let neighbour = shows(asks("hall", 2, "10.0.0.8:5060"), &first, PASSWORD);
    assert!(matches!(state.register(Some(hall()), &neighbour, now), RegisterAnswer::Done(_)));
    let soon = now + WRONG.interval;
    let first = state.register(Some(hall()), &asks("hall", 2, HOME), soon);
    let right = shows(asks("hall", 3, HOME), &first, PASSWORD);
    assert!(matches!(state.register(Some(hall()), &right, soon), RegisterAnswer::Done(_)));
}

#[test]
fn a_device_is_called_by_its_names_the_way_that_it_came() {
    let now = Instant::now();
    let mut state = State::new(now).unwrap();
    let first = state.register(Some(hall()), &asks("hall", 1, HOME), now);
    let mut asked = shows(asks("hall", 2, "192.0.2.1:61000"), &first, PASSWORD);
    // Whatever its contact says: it may be behind a NAT, or lie.
    asked.wish = Wish::Bind(vec![WantedContact {
        uri: "sip:hall@198.51.100.9;ob".to_owned(),
        instance: None,
        expires: None,
    }]);
    asked.path = vec!["<sip:edge.example;lr>".to_owned()];
    state.register(Some(hall()), &asked, now);
    for name in ["101", " 101 ", "большой ЗАЛ"] {
        let callee = state.find(name, now).unwrap_or_else(|| panic!("{name}"));
        let [target] = callee.targets.as_slice() else { panic!("{:?}", callee.targets) };
        assert_eq!(target.flow, Some(asked.flow));
        assert_eq!(target.ip(), Some(asked.flow.peer.ip()));
        assert_eq!(target.address, "sip:hall@198.51.100.9;ob");
        assert_eq!((target.user.as_str(), target.shown().as_str()), ("101", "Большой зал"));
        assert_eq!(target.route, asked.path);
    }
    assert!(state.find("hall", now).is_none(), "the user that it registers as is nobody's name");
    assert!(state.find("102", now).is_none());
}

#[test]
fn who_was_removed_or_changed_or_cut_off_is_registered_no_more() {
    let now = Instant::now();
    let id = RecordId::new("hall");
    let registered = || {
        let mut state = State::new(now).unwrap();
        let first = state.register(Some(hall()), &asks("hall", 1, HOME), now);
        state.register(Some(hall()), &shows(asks("hall", 2, HOME), &first, PASSWORD), now);
        assert_eq!(state.present(|_| true, now).len(), 1);
        state
    };
    let mut renamed = hall().entity;
    renamed.name = "Hall".to_owned();
    let mut state = registered();
    state.refresh(&id, Some(renamed), &|_| true, now);
    assert_eq!(state.present(|_| true, now)[0].name, "Hall");
    let mut new_password = hall().entity;
    new_password.verifier = Some(DigestVerifier::of("hall", REALM, "another one", true));
    let mut elsewhere = hall().entity;
    elsewhere.networks = vec!["192.0.2.0/24".parse().unwrap()];
    for (found, open) in [
        (None, true),
        (Some(new_password), true),
        (Some(elsewhere), true),
        (Some(hall().entity), false),
    ] {
        let mut state = registered();
        state.refresh(&id, found, &|_| open, now);
        assert!(state.find("101", now).is_none());
        assert!(state.devices.is_empty(), "and nothing of it is remembered");
    }
}
