//! What is kept of a PIN.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::problem::{ProblemCode, Problems};

/// The hash of a PIN with all that is needed to check one against it. Opaque here; `Debug` hides it:
/// a PIN has so few digits that its hash tells it to whoever tries them all.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PinHash(String);

impl PinHash {
    /// Bytes of a hash.
    pub const MAX_BYTES: usize = 300;

    /// Wraps a hash, never a PIN.
    pub fn new(hash: impl Into<String>) -> Self {
        Self(hash.into())
    }

    /// The hash, for whoever checks a PIN.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Adds a problem where this cannot be a hash. A text of digits is a PIN that somebody forgot to
    /// hash.
    pub(super) fn check(&self, field: &str, problems: &mut Problems) {
        let fits = (1..=Self::MAX_BYTES).contains(&self.0.len());
        let plain = self.0.bytes().all(|byte| byte.is_ascii_digit());
        let text = "this is no hash of a PIN";
        problems.ensure(fits && !plain, field, ProblemCode::Format, text);
    }
}

impl fmt::Debug for PinHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinHash(****)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_kept_but_never_shown_and_a_pin_is_no_hash() {
        let hash = PinHash::new("$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA");
        assert_eq!(format!("{hash:?}"), "PinHash(****)");
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<PinHash>(&json).unwrap(), hash);
        for (text, good) in [(hash.as_str(), true), ("1234", false), ("", false)] {
            let mut problems = Problems::new();
            PinHash::new(text).check("guest_pin", &mut problems);
            assert_eq!(problems.is_empty(), good, "{text}");
            assert!(!problems.to_string().contains("1234"));
        }
    }
}
