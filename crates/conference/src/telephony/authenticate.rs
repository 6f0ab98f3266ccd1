//! Digest authentication of room systems that register (RFC 3261 section 22, RFC 7616, RFC 8760).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use md5::{Digest, Md5};

use super::digest::{DigestVerifier, hex};

/// The longest header that is read, in bytes.
pub(super) const MAX_HEADER: usize = 2048;
/// The most parameters in it: RFC 7616 has twelve.
const MAX_PARAMETERS: usize = 24;
/// How long a nonce is good: a device that registers anew after that is told a new one.
const NONCE_LIFE: Duration = Duration::from_secs(300);
/// Nonces in use at a time; each belongs to somebody who knew a password.
const MAX_USED: usize = 100_000;
/// Hexadecimal digits of a nonce's time, and of the code that only we can make for it.
const STAMP: usize = 16;
const CODE: usize = 32;

/// How digests are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// RFC 8760.
    Sha256,
    /// RFC 3261: what old devices can, and no more.
    Md5,
}

impl DigestAlgorithm {
    /// As it stands in a header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Md5 => "MD5",
        }
    }

    /// Reads a parameter of a header; without it, MD5 is meant (RFC 7616 section 3.3).
    pub(super) fn read(name: Option<&str>) -> Option<Self> {
        match name.map(str::to_ascii_lowercase).as_deref() {
            Some("sha-256") => Some(Self::Sha256),
            None | Some("md5") => Some(Self::Md5),
            Some(_) => None,
        }
    }

    pub(super) fn hash(self, text: &str) -> String {
        match self {
            Self::Sha256 => hex(digest(&SHA256, text.as_bytes()).as_ref()),
            Self::Md5 => hex(Md5::digest(text.as_bytes()).as_ref()),
        }
    }
}

/// What an `Authorization` header shows. It proves nothing yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestResponse {
    /// Who it is about.
    pub user: String,
    /// Where.
    pub realm: String,
    /// Our nonce, if it is ours.
    pub nonce: String,
    /// How many requests were made with this nonce, this one included; 1 where none are counted.
    pub count: u32,
    /// How the response was computed.
    pub algorithm: DigestAlgorithm,
    uri: String,
    response: String,
    /// The client's nonce and the count as it was written, where the request is protected so.
    protection: Option<(String, String)>,
}

impl DigestResponse {
    /// Reads a header's value; `None`: it is no digest that could be checked.
    pub fn read(header: &str) -> Option<Self> {
        let parameters = read_digest(header)?;
        let find = |name: &str| parameters.iter().find(|it| it.0 == name).map(|it| it.1.clone());
        let algorithm = DigestAlgorithm::read(find("algorithm").as_deref())?;
        let protection = match find("qop").map(|it| it.to_ascii_lowercase()).as_deref() {
            None => None,
            Some("auth") => Some((find("cnonce")?, find("nc")?)),
            Some(_) => return None,
        };
        let count = match &protection {
            Some((_, count))
                if count.len() == 8 && count.bytes().all(|b| b.is_ascii_hexdigit()) =>
            {
                u32::from_str_radix(count, 16).ok()?
            }
            Some(_) => return None,
            None => 1,
        };
        Some(Self {
            user: find("username")?,
            realm: find("realm")?,
            nonce: find("nonce")?,
            uri: find("uri")?,
            response: find("response")?,
            algorithm,
            protection,
            count,
        })
    }
}

/// The parameters of a header's value that begins with `Digest`; `None`: it is no such.
pub(super) fn read_digest(header: &str) -> Option<Vec<(String, String)>> {
    if header.len() > MAX_HEADER {
        return None;
    }
    let (scheme, parameters) = header.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("digest").then(|| read_parameters(parameters))?
}

/// `name=value` and `name="value"`, between commas; a name that comes twice is an attempt at
/// something.
fn read_parameters(text: &str) -> Option<Vec<(String, String)>> {
    let mut parameters: Vec<(String, String)> = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        let (value, after) = read_value(after.trim_start())?;
        let known = parameters.iter().any(|it| it.0 == name);
        if known || parameters.len() == MAX_PARAMETERS {
            return None;
        }
        parameters.push((name, value));
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(parameters)
}

/// A token, or a quoted string with its backslashes; and what follows.
fn read_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, after) = text.split_at_checked(end)?;
        return Some((value.to_owned(), after));
    };
    let mut value = String::new();
    let mut rest = quoted.chars();
    loop {
        match rest.next()? {
            '"' => return Some((value, rest.as_str())),
            '\\' => value.push(rest.next()?),
            other => value.push(other),
        }
    }
}

impl DigestVerifier {
    /// What a request is asked to be computed by: MD5 where the device may, since old ones give up at a
    /// challenge that they do not know. What it shows may be better.
    pub fn algorithm(&self) -> DigestAlgorithm {
        if self.md5().is_some() { DigestAlgorithm::Md5 } else { DigestAlgorithm::Sha256 }
    }

    /// Whether a request of this method comes from somebody who knows the password. That it was not
    /// sent before, [`Nonces::take`] tells.
    pub fn accepts(&self, shown: &DigestResponse, method: &str) -> bool {
        let secret = match shown.algorithm {
            DigestAlgorithm::Sha256 => Some(self.sha256()),
            DigestAlgorithm::Md5 => self.md5(),
        };
        let Some(secret) = secret else { return false };
        let hash = |text: String| shown.algorithm.hash(&text);
        let request = hash(format!("{method}:{}", shown.uri));
        let nonce = &shown.nonce;
        let expected = hash(match &shown.protection {
            Some((client, count)) => format!("{secret}:{nonce}:{count}:{client}:auth:{request}"),
            None => format!("{secret}:{nonce}:{request}"),
        });
        let given = shown.response.to_ascii_lowercase();
        let equal = verify_slices_are_equal(expected.as_bytes(), given.as_bytes()).is_ok();
        equal && shown.user == self.user && shown.realm == self.realm
    }
}

/// What a nonce in a request is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceWorth {
    /// It is ours, and this is the first request of this count.
    Fresh,
    /// It was ours, and is too old or was used: a new one is to be told.
    Stale,
    /// It is not ours.
    Foreign,
}

/// The nonces that we give out. None is remembered before somebody who knows a password has used it,
/// so that who asks for many costs nothing.
#[derive(Debug)]
pub struct Nonces {
    key: hmac::Key,
    born: Instant,
    /// The last count of each, and when it was given out.
    used: HashMap<String, (u32, Instant)>,
}

impl Nonces {
    /// With a key of its own: after a restart all are told new ones.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new(now: Instant) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut secret = [0; 32];
        SystemRandom::new().fill(&mut secret)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        Ok(Self { key, born: now, used: HashMap::new() })
    }

    /// A new one. They are given out again within the same millisecond, which harms nobody: each
    /// client's own nonce tells its requests apart.
    pub fn give(&self, now: Instant) -> String {
        let stamp = format!("{:0STAMP$x}", now.saturating_duration_since(self.born).as_millis());
        let code = self.code(&stamp);
        stamp + &code
    }

    /// What this one is worth in a request of this count, by a client's nonce of its own, which it
    /// counts as used from then on. Only for who has shown a password.
    pub fn take(&mut self, shown: &DigestResponse, now: Instant) -> NonceWorth {
        let Some(given) = self.given(&shown.nonce) else { return NonceWorth::Foreign };
        let age = |given: &Instant| now.saturating_duration_since(*given);
        if age(&given) >= NONCE_LIFE {
            return NonceWorth::Stale;
        }
        let client = shown.protection.as_ref().map_or("", |it| &it.0);
        let name = format!("{} {} {client}", shown.nonce, shown.user);
        if self.used.len() >= MAX_USED {
            self.used.retain(|_, it| age(&it.1) < NONCE_LIFE);
        }
        let last = self.used.get(&name).map_or(0, |it| it.0);
        if shown.count <= last || self.used.len() >= MAX_USED {
            return NonceWorth::Stale;
        }
        self.used.insert(name, (shown.count, given));
        NonceWorth::Fresh
    }

    /// For a name that nobody has: one of two answers, always the same one, so that asking tells
    /// nothing.
    pub fn decoy(&self, user: &str) -> DigestAlgorithm {
        let tag = hmac::sign(&self.key, user.as_bytes());
        match tag.as_ref().first() {
            Some(byte) if byte % 2 == 0 => DigestAlgorithm::Sha256,
            _ => DigestAlgorithm::Md5,
        }
    }

    /// When a nonce of ours was given out.
    fn given(&self, nonce: &str) -> Option<Instant> {
        let (stamp, code) = nonce.split_at_checked(STAMP)?;
        verify_slices_are_equal(self.code(stamp).as_bytes(), code.as_bytes()).ok()?;
        self.born.checked_add(Duration::from_millis(u64::from_str_radix(stamp, 16).ok()?))
    }

    fn code(&self, stamp: &str) -> String {
        let tag = hmac::sign(&self.key, format!("nonce {stamp}").as_bytes());
        hex(tag.as_ref().get(..CODE / 2).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(header: &str) -> DigestResponse {
        DigestResponse::read(header).unwrap_or_else(|| panic!("{header}"))
    }

    #[test]
    fn the_examples_of_the_rfcs_are_accepted() {
        // RFC 2617 section 3.5, and RFC 7616 section 3.9.1.
        let old = shown(
            "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", qop=auth, \
             nc=00000001, cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\", \
             opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
        );
        let kept = DigestVerifier::of("Mufasa", "testrealm@host.com", "Circle Of Life", true);
        assert!(kept.accepts(&old, "GET"));
        assert!(!kept.accepts(&old, "POST"));
        assert!(!kept.clone().without_md5().accepts(&old, "GET"), "its policy forbids MD5");
        let other = DigestVerifier::of("Mufasa", "testrealm@host.com", "circle of life", true);
        assert!(!other.accepts(&old, "GET"));

        let new = shown(
            "Digest username=\"Mufasa\",realm=\"http-auth@example.org\",uri=\"/dir/index.html\",\
             algorithm=SHA-256,nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\",nc=00000001,\
             cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\",qop=auth,\
             response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\"",
        );
        let kept = DigestVerifier::of("Mufasa", "http-auth@example.org", "Circle of Life", false);
        assert!(kept.accepts(&new, "GET"));
        assert_eq!((new.algorithm, kept.algorithm()), (DigestAlgorithm::Sha256, new.algorithm));
    }

    #[test]
    fn one_users_response_is_not_anothers() {
        // Somebody's own password under another's name.
        let header = |user: &str| {
            let kept = DigestVerifier::of("hall", "plenum", "long enough", true);
            let ha2 = DigestAlgorithm::Md5.hash("REGISTER:sip:plenum");
            let response =
                DigestAlgorithm::Md5.hash(&format!("{}:n:{ha2}", kept.md5().unwrap_or_default()));
            format!(
                "Digest username=\"{user}\", realm=\"plenum\", nonce=\"n\", uri=\"sip:plenum\", \
                 response=\"{response}\""
            )
        };
        let kept = DigestVerifier::of("hall", "plenum", "long enough", true);
        assert!(kept.accepts(&shown(&header("hall")), "REGISTER"));
        assert!(!kept.accepts(&shown(&header("board")), "REGISTER"));
    }

    #[test]
    fn what_is_no_digest_is_not_read() {
        let good =
            "Digest username=\"a\\\"b\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"x\"";
        assert_eq!(shown(good).user, "a\"b");
        for bad in [
            "",
            "Digest",
            "Basic YTpi",
            "Digest username=\"a\"",
            "Digest username=\"a",
            "Digest =",
            &format!("{good}, username=\"c\""),
            &format!("{good}, algorithm=SHA-512-256"),
            &format!("{good}, qop=auth-int, nc=00000001, cnonce=\"c\""),
            &format!("{good}, qop=auth, nc=1, cnonce=\"c\""),
            &format!("{good}, qop=auth, nc=+0000001, cnonce=\"c\""),
            &format!("{good} opaque=\"o\""),
            &format!("{good}, x=\"{}\"", "y".repeat(MAX_HEADER)),
        ] {
            assert_eq!(DigestResponse::read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_nonce_is_good_for_each_count_once_and_for_some_minutes() {
        let start = Instant::now();
        let mut nonces = Nonces::new(start).unwrap();
        let given = start + Duration::from_secs(7);
        let nonce = nonces.give(given);
        let with = |nonce: &str, count: u32, client: &str| {
            shown(&format!(
                "Digest username=\"a\", realm=\"r\", nonce=\"{nonce}\", uri=\"u\", response=\"x\", \
                 qop=auth, nc={count:08x}, cnonce=\"{client}\""
            ))
        };
        use NonceWorth::{Foreign, Fresh, Stale};
        for (shown, after, worth) in [
            (with(&nonce, 1, "c"), 0, Fresh),
            (with(&nonce, 1, "c"), 0, Stale),
            (with(&nonce, 2, "c"), 1, Fresh),
            (with(&nonce, 300, "c"), 1, Fresh),
            (with(&nonce, 299, "c"), 1, Stale),
            (with(&nonce, 1, "d"), 1, Fresh),
            (with(&nonce, 301, "c"), 299, Fresh),
            (with(&nonce, 302, "c"), 300, Stale),
            (with(&nonce.replace('0', "1"), 1, "c"), 0, Foreign),
            (with("", 1, "c"), 0, Foreign),
            (with("я", 1, "c"), 0, Foreign),
        ] {
            let now = given + Duration::from_secs(after);
            assert_eq!(nonces.take(&shown, now), worth, "{shown:?} after {after} s");
        }
        let other = Nonces::new(start).unwrap();
        assert_ne!(other.give(given), nonce, "each server has its own");
    }

    #[test]
    fn a_name_that_nobody_has_is_always_answered_alike() {
        let nonces = Nonces::new(Instant::now()).unwrap();
        let answers: Vec<_> = (0..64).map(|it| nonces.decoy(&format!("room-{it}"))).collect();
        assert!(
            answers.contains(&DigestAlgorithm::Md5) && answers.contains(&DigestAlgorithm::Sha256)
        );
        assert_eq!(nonces.decoy("room-7"), answers[7]);
    }
}
