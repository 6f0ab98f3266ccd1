//! Tokens that were taken back: by a participant, for those made before a time
//! (`RemoveParticipant` with `revoke_token_ts`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use types::{Identity, MeetingId};

/// Participants that are remembered; beyond it those whose time is oldest are forgotten, since their
/// tokens end first.
const MAX_REVOKED: usize = 10_000;

/// Whose tokens were taken back. Clones are the same.
#[derive(Clone, Default)]
pub struct Revocations {
    /// Seconds since 1970, by whom.
    entries: Arc<Mutex<HashMap<(MeetingId, Identity), i64>>>,
}

/// What is read of a token that was verified already.
#[derive(Deserialize)]
struct Begin {
    #[serde(default)]
    nbf: f64,
}

impl Revocations {
    /// Takes back the tokens of somebody that are valid since before a time, in seconds since 1970.
    pub fn revoke(&self, meeting: MeetingId, identity: Identity, before: i64) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let whose = (meeting, identity);
        if entries.len() >= MAX_REVOKED && !entries.contains_key(&whose) {
            let oldest = entries.iter().min_by_key(|it| it.1).map(|it| it.0.clone());
            oldest.and_then(|it| entries.remove(&it));
        }
        let since = entries.entry(whose).or_insert(before);
        *since = before.max(*since);
    }

    /// Whether a verified token was taken back. One that does not say since when it is valid counts
    /// as old.
    pub fn is_revoked(&self, meeting: &MeetingId, identity: &Identity, token: &str) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.is_empty() {
            return false;
        }
        let before = entries.get(&(meeting.clone(), identity.clone()));
        before.is_some_and(|before| valid_since(token) < *before as f64)
    }
}

fn valid_since(token: &str) -> f64 {
    let claims = token.split('.').nth(1).unwrap_or_default();
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap_or_default();
    serde_json::from_slice(&claims).map_or(0.0, |it: Begin| it.nbf)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("head.{}.signature", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn older_tokens_of_this_participant_in_this_room_are_taken_back_and_no_others() {
        let revocations = Revocations::default();
        let meeting = |id| MeetingId::parse(id).unwrap();
        let (anna, boris) = (Identity::new("anna"), Identity::new("boris"));
        let (old, new) = (token(r#"{"nbf":99.5,"exp":900}"#), token(r#"{"nbf":100}"#));
        let is = |identity, token: &str| revocations.is_revoked(&meeting("board"), identity, token);
        assert!(!is(&anna, &old));
        revocations.revoke(meeting("board"), anna.clone(), 100);
        // An earlier time does not give back what was taken.
        revocations.revoke(meeting("board"), anna.clone(), 50);
        assert!(is(&anna, &old) && is(&anna, &token("{}")) && !is(&anna, &new));
        assert!(!is(&boris, &old) && !revocations.is_revoked(&meeting("other"), &anna, &old));
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let revocations = Revocations::default();
        let meeting = MeetingId::parse("board").unwrap();
        let who = |number: usize| Identity::new(format!("guest {number}"));
        for number in 0..=MAX_REVOKED {
            revocations.revoke(meeting.clone(), who(number), number as i64 + 1);
        }
        let never = token("{}");
        assert!(!revocations.is_revoked(&meeting, &who(0), &never));
        assert!(revocations.is_revoked(&meeting, &who(1), &never));
        assert!(revocations.is_revoked(&meeting, &who(MAX_REVOKED), &never));
    }
}
