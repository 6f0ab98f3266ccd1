//! What is kept of a SIP password so that digest authentication works without the password itself.

use std::fmt::{self, Write};

use aws_lc_rs::digest::{SHA256, digest};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use crate::problem::{ProblemCode, Problems};

/// The realm in which room systems of the house register: it stands in every kept password, and so
/// never changes.
pub const REALM: &str = "plenum";

/// H(user:realm:password) of RFC 7616 section 3.4.2, by each algorithm that may be used (RFC 8760).
///
/// Whoever has it can register at this server as that user, though nowhere else and without knowing
/// the password: it is kept as carefully as a password, and `Debug` hides it. It holds for its user
/// and realm alone; with another of them the password has to be given anew.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestVerifier {
    /// The user that it was made for.
    pub user: String,
    /// The realm that it was made for.
    pub realm: String,
    /// By SHA-256, 64 hexadecimal digits.
    sha256: String,
    /// By MD5, 32 hexadecimal digits; `None`: MD5 is not allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    md5: Option<String>,
}

impl DigestVerifier {
    /// The fewest characters of a password: whoever sees one registration can try passwords against
    /// it at any speed.
    pub const MIN_PASSWORD: usize = 8;

    /// What is kept of a password. `md5`: whether room systems may still use MD5.
    pub fn of(user: &str, realm: &str, password: &str, md5: bool) -> Self {
        let secret = format!("{user}:{realm}:{password}");
        Self {
            user: user.to_owned(),
            realm: realm.to_owned(),
            sha256: hex(digest(&SHA256, secret.as_bytes()).as_ref()),
            md5: md5.then(|| hex(Md5::digest(secret.as_bytes()).as_ref())),
        }
    }

    /// HA1 by SHA-256.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// HA1 by MD5; `None`: MD5 is not allowed.
    pub fn md5(&self) -> Option<&str> {
        self.md5.as_deref()
    }

    /// The same without MD5, for a house that does not allow it any more.
    #[must_use]
    pub fn without_md5(self) -> Self {
        Self { md5: None, ..self }
    }

    pub(super) fn check(&self, field: &str, user: Option<&str>, problems: &mut Problems) {
        let hexadecimal = |text: &str, len: usize| {
            text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let md5 = self.md5.as_deref().is_none_or(|it| hexadecimal(it, 32));
        let whole = hexadecimal(&self.sha256, 64) && md5;
        problems.ensure(whole, field, ProblemCode::Format, "this is no kept password");
        let text = "the password is kept for another user: give it anew";
        problems.ensure(user == Some(&*self.user), field, ProblemCode::Conflict, text);
    }
}

impl fmt::Debug for DigestVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestVerifier")
            .field("user", &self.user)
            .field("realm", &self.realm)
            .field("md5", &self.md5.is_some())
            .finish_non_exhaustive()
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_come_out() {
        // RFC 2617 section 3.5 and RFC 7616 section 3.9.1 give responses; HA1 is what makes them.
        let kept = DigestVerifier::of("Mufasa", "testrealm@host.com", "Circle Of Life", true);
        assert_eq!(kept.md5(), Some("939e7578ed9e3c518a452acee763bce9"));
        let ha2 = hex(Md5::digest(b"GET:/dir/index.html").as_ref());
        let nonces = "dcd98b7102dd2f0e8b11d0f600bfb0c093:00000001:0a4f113b:auth";
        let all = format!("{}:{nonces}:{ha2}", kept.md5().unwrap());
        let response = hex(Md5::digest(all.as_bytes()).as_ref());
        assert_eq!(response, "6629fae49393a05397450978507c4ef1");

        let kept = DigestVerifier::of("Mufasa", "http-auth@example.org", "Circle of Life", false);
        let sha256 = |text: &str| hex(digest(&SHA256, text.as_bytes()).as_ref());
        let nonces = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v:00000001:\
                      f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ:auth";
        let all = format!("{}:{nonces}:{}", kept.sha256(), sha256("GET:/dir/index.html"));
        let response = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
        assert_eq!(sha256(&all), response);
        assert_eq!(kept.md5(), None);
    }

    #[test]
    fn a_kept_password_shows_nothing_and_holds_for_its_user_alone() {
        let kept = DigestVerifier::of("hall", "plenum", "long enough", true);
        let shown = format!("{kept:?}");
        assert!(!shown.contains(kept.sha256()) && !shown.contains(kept.md5().unwrap()), "{shown}");
        let text = serde_json::to_string(&kept).unwrap();
        assert!(!text.contains("long enough"));
        assert_eq!(serde_json::from_str::<DigestVerifier>(&text).unwrap(), kept);
        for (user, wrong) in [(Some("hall"), 0), (Some("board"), 1), (None, 1)] {
            let mut problems = Problems::new();
            kept.check("verifier", user, &mut problems);
            assert_eq!(problems.list().len(), wrong, "{user:?}");
        }
        assert_eq!(kept.clone().without_md5().md5(), None);
        let broken = DigestVerifier { sha256: "12".into(), ..kept };
        let mut problems = Problems::new();
        broken.check("verifier", Some("hall"), &mut problems);
        assert_eq!(problems.list().len(), 1);
    }
}
