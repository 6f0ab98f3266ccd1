//! Tokens as an application's server signs them, by the key of `--dev`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use conference::access::{Grant, KeyRights, Keys, SipGrant, VideoGrant};
use types::Identity;

/// Lets somebody into a meeting.
///
/// # Panics
/// Never, as long as the key is one.
pub fn to_join(identity: &str, meeting: &str) -> String {
    sign(&Grant {
        identity: Some(Identity::new(identity)),
        name: identity.into(),
        video: VideoGrant { room_join: true, room: Some(meeting.into()), ..VideoGrant::default() },
        ..Grant::default()
    })
}

/// Lets an application's server rule a meeting.
///
/// # Panics
/// Never, as long as the key is one.
pub fn to_rule(meeting: &str) -> String {
    let video =
        VideoGrant { room_admin: true, room: Some(meeting.into()), ..VideoGrant::default() };
    sign(&Grant { video, ..Grant::default() })
}

/// Lets an application's server call room systems into a meeting.
///
/// # Panics
/// Never, as long as the key is one.
pub fn to_call(meeting: &str) -> String {
    let video = VideoGrant { room: Some(meeting.into()), ..VideoGrant::default() };
    sign(&Grant { video, sip: SipGrant { call: true, ..SipGrant::default() }, ..Grant::default() })
}

pub(crate) fn sign(grant: &Grant) -> String {
    let mut keys = Keys::new();
    keys.add_weak("devkey", "secret", KeyRights::ALL).expect("a key");
    let grant = Grant { issuer: "devkey".into(), ..grant.clone() };
    let lifetime = Duration::from_secs(600);
    Arc::new(keys).sign(&grant, lifetime, SystemTime::now()).expect("a token")
}
