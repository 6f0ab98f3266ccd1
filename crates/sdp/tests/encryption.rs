//! Who encrypts with whom: our policy, whether keys may travel, and what the peer asks for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{local, local_with, session, vector};
use sdp::{
    LocalMedia, NegotiationError, Rejection, Session, SrtpPolicy, Suite, answer, complete, offer,
    parse, reoffer,
};

const KEY_128: &str = "inline:5o/DYEfZb4Bd3lVZ2vO0r1mL2Qn1XvQ5c8h0sJ2x";

/// An audio line in this profile with these crypto lines.
fn audio(proto: &str, keys: &[&str]) -> Session {
    let head = format!("m=audio 30000 {proto} 8");
    let keys: Vec<String> = keys.iter().map(|key| format!("a=crypto:{key}")).collect();
    let lines: Vec<&str> =
        std::iter::once(head.as_str()).chain(keys.iter().map(String::as_str)).collect();
    session(&lines)
}

/// The suite agreed on, `None` for plain media, or why there is no call.
fn outcome(offer: &Session, local: &LocalMedia) -> Result<Option<Suite>, NegotiationError> {
    let answer = answer(offer, local)?;
    Ok(answer.negotiated.audio.unwrap().transport.srtp.map(|srtp| srtp.suite))
}

#[test]
fn policy_meets_what_the_peer_asks_for() {
    use NegotiationError::*;
    use SrtpPolicy::*;
    let key = format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_128}");
    let demands = audio("RTP/SAVP", &[&key]);
    let best_effort = audio("RTP/AVP", &[&key]);
    let plain = audio("RTP/AVP", &[]);
    let secret = Ok(Some(Suite::AesCm128Sha1_80));
    for (policy, keys_allowed, on_demand, on_best_effort, on_plain) in [
        (Never, true, Err(SrtpForbidden), Ok(None), Ok(None)),
        (Never, false, Err(SrtpForbidden), Ok(None), Ok(None)),
        (Optional, true, secret, secret, Ok(None)),
        (Optional, false, Err(KeysNotAllowed), Ok(None), Ok(None)),
        (Required, true, secret, secret, Err(SrtpRequired)),
        (Required, false, Err(SrtpRequired), Err(SrtpRequired), Err(SrtpRequired)),
    ] {
        let local = local_with(policy, keys_allowed);
        let got = [&demands, &best_effort, &plain].map(|offer| outcome(offer, &local));
        assert_eq!(got, [on_demand, on_best_effort, on_plain], "{policy:?} {keys_allowed}");
    }
}

#[test]
fn no_key_ever_travels_where_it_may_not() {
    for policy in [SrtpPolicy::Never, SrtpPolicy::Optional, SrtpPolicy::Required] {
        let local = local_with(policy, false);
        assert!(!offer(&local).text.contains("inline:"));
        for name in ["optional-encryption", "tandberg-best-effort-keys"] {
            if let Ok(answer) = answer(&parse(&vector(name)).unwrap(), &local) {
                assert!(!answer.text.contains("inline:"), "{name} {policy:?}");
                assert!(answer.text.contains("m=audio 20000 RTP/AVP "), "{name} {policy:?}");
            }
        }
    }
}

#[test]
fn optional_encryption_is_answered_plain_where_keys_may_not_travel() {
    let peer = parse(&vector("optional-encryption")).unwrap();
    assert_eq!(outcome(&peer, &local()), Ok(Some(Suite::AesCm128Sha1_80)));
    assert_eq!(outcome(&peer, &local_with(SrtpPolicy::Never, true)), Ok(None));
    let required = local_with(SrtpPolicy::Required, false);
    assert_eq!(outcome(&peer, &required), Err(NegotiationError::SrtpRequired));
}

#[test]
fn the_best_suite_is_taken_whatever_the_order_of_the_lines() {
    let gcm = "9 AEAD_AES_128_GCM inline:c29tZSBieXRlcyBhbmQgc29tZSBtb3JlICE5PQ==";
    let short = format!("1 AES_CM_128_HMAC_SHA1_32 {KEY_128}");
    let long = format!("2 AES_CM_128_HMAC_SHA1_80 {KEY_128}|2^48|1:4");
    let usable = format!("3 AES_CM_128_HMAC_SHA1_80 {KEY_128}|2^48");
    let odd = "4 AES_CM_128_NULL_AUTH inline:xx";
    let all = audio("RTP/SAVP", &[&short, &long, odd, &usable, gcm]);
    assert_eq!(all.media[0].crypto.len(), 4, "the unknown suite is passed over");
    assert_eq!(outcome(&all, &local()), Ok(Some(Suite::AeadAes128Gcm)));
    let text = answer(&all, &local()).unwrap().text;
    assert!(text.contains("a=crypto:9 AEAD_AES_128_GCM inline:"), "{text}");
    let without_gcm = audio("RTP/SAVP", &[&short, &long, &usable]);
    let text = answer(&without_gcm, &local()).unwrap().text;
    assert!(text.contains("a=crypto:3 AES_CM_128_HMAC_SHA1_80"), "not the one with an MKI: {text}");
    let weak = audio("RTP/SAVP", &[&short]);
    assert_eq!(outcome(&weak, &local()), Ok(Some(Suite::AesCm128Sha1_32)));
    let mut strict = local();
    strict.srtp.suites = vec![Suite::AesCm128Sha1_80];
    assert_eq!(outcome(&weak, &strict), Err(NegotiationError::NoSuite));
}

#[test]
fn a_key_that_leaves_rtcp_in_the_clear_is_not_taken() {
    let line = format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_128} UNENCRYPTED_SRTCP");
    let refused = outcome(&audio("RTP/SAVP", &[&line]), &local());
    assert_eq!(refused, Err(NegotiationError::NoSuite));
    assert_eq!(outcome(&audio("RTP/AVP", &[&line]), &local()), Ok(None));
}

#[test]
fn of_two_audio_lines_the_first_that_fits_the_policy_is_taken() {
    let line = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY_128}");
    let both = session(&["m=audio 30000 RTP/SAVP 8", &line, "m=audio 30002 RTP/AVP 8"]);
    for (policy, at) in [(SrtpPolicy::Never, 1), (SrtpPolicy::Required, 0)] {
        let agreed = answer(&both, &local_with(policy, true)).unwrap().negotiated;
        assert_eq!(agreed.audio.unwrap().transport.line, at, "{policy:?}");
        assert_eq!(agreed.rejected.len(), 1);
    }
}

#[test]
fn one_line_without_keys_costs_that_line_alone() {
    let line = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY_128}");
    let mixed = session(&[
        "m=audio 30000 RTP/SAVP 8",
        &line,
        "m=video 30002 RTP/AVP 96",
        "a=rtpmap:96 H264/90000",
    ]);
    let agreed = answer(&mixed, &local_with(SrtpPolicy::Required, true)).unwrap().negotiated;
    assert!(agreed.audio.unwrap().transport.srtp.is_some());
    assert_eq!(agreed.rejected, [(1, Rejection::SrtpRequired)]);
}

/// Two of us call each other: what one encrypts with, the other decrypts with.
#[test]
fn both_ends_hold_the_same_keys() {
    for policy in [SrtpPolicy::Optional, SrtpPolicy::Required] {
        let (caller, mut callee) = (local_with(policy, true), local());
        let audio = callee.audio.as_mut().unwrap();
        audio.key = [7; common::KEY_BYTES];
        let offered = offer(&caller);
        let answered = answer(&parse(offered.text.as_bytes()).unwrap(), &callee).unwrap();
        let agreed = complete(&offered.pending, &parse(answered.text.as_bytes()).unwrap()).unwrap();
        let near = agreed.audio.as_ref().unwrap().transport.srtp.clone().unwrap();
        let far = answered.negotiated.audio.unwrap().transport.srtp.unwrap();
        assert_eq!((near.suite, near.suite), (far.suite, Suite::AeadAes128Gcm));
        assert_eq!((near.local, near.remote), (far.remote, far.local));
        assert_ne!(near.local, near.remote);
        let again = reoffer(&caller, &agreed).text;
        let again = parse(again.as_bytes()).unwrap();
        assert_eq!(again.media[0].crypto.len(), 1, "the suite stays");
        assert_eq!(again.media[0].crypto[0].key, near.local, "and so does the key");
    }
}

#[test]
fn an_answer_with_a_key_of_nobodys_offer_is_no_call() {
    let required = offer(&local_with(SrtpPolicy::Required, true)).pending;
    let optional = offer(&local()).pending;
    let never = offer(&local_with(SrtpPolicy::Never, true)).pending;
    let right = format!("3 AES_CM_128_HMAC_SHA1_80 {KEY_128}");
    let wrong_tag = format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_128}");
    use NegotiationError::*;
    for (pending, proto, key, expected) in [
        (&required, "RTP/SAVP", Some(&right), None),
        (&required, "RTP/SAVP", Some(&wrong_tag), Some(ForeignCrypto)),
        (&required, "RTP/SAVP", None, Some(SrtpRequired)),
        (&required, "RTP/AVP", None, Some(SrtpRequired)),
        (&optional, "RTP/AVP", Some(&right), None),
        (&optional, "RTP/AVP", Some(&wrong_tag), Some(ForeignCrypto)),
        (&optional, "RTP/AVP", None, None),
        (&optional, "RTP/SAVP", None, Some(ForeignCrypto)),
        (&never, "RTP/SAVP", Some(&right), Some(ForeignCrypto)),
    ] {
        let keys: Vec<&str> = key.into_iter().map(String::as_str).collect();
        let got = complete(pending, &audio(proto, &keys));
        match (&got, expected) {
            (Ok(agreed), None) => {
                let srtp = agreed.audio.as_ref().unwrap().transport.srtp.is_some();
                assert_eq!(srtp, key.is_some(), "{proto} {key:?}");
            }
            _ => assert_eq!(got.err(), expected, "{proto} {key:?}"),
        }
    }
}
