//! Digest authentication of our own calls over a trunk (RFC 3261 section 22, RFC 7616, RFC 8760).

use super::authenticate::{DigestAlgorithm, read_digest};

/// What somebody asks us to prove, as a `WWW-Authenticate` or `Proxy-Authenticate` header says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestChallenge {
    /// Where we are to be known.
    pub realm: String,
    /// How to compute it.
    pub algorithm: DigestAlgorithm,
    /// The proof was right, and only its nonce was too old.
    pub stale: bool,
    nonce: String,
    opaque: Option<String>,
    /// Requests are counted and have a nonce of ours (`qop=auth`).
    counted: bool,
}

impl DigestChallenge {
    /// The first of several that we can answer: they come in the order of preference (RFC 8760
    /// section 2.3).
    pub fn first<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        headers.into_iter().find_map(Self::read)
    }

    /// Reads a header's value; `None`: it is none that we can answer. `auth-int` alone is none.
    pub fn read(header: &str) -> Option<Self> {
        // What of it goes back is to end no line.
        if header.chars().any(char::is_control) {
            return None;
        }
        let parameters = read_digest(header)?;
        let find = |name: &str| parameters.iter().find(|it| it.0 == name).map(|it| it.1.clone());
        let counted = match find("qop") {
            None => false,
            Some(list) => {
                let mut choices = list.split(',');
                choices.any(|it| it.trim().eq_ignore_ascii_case("auth")).then_some(true)?
            }
        };
        Some(Self {
            realm: find("realm")?,
            algorithm: DigestAlgorithm::read(find("algorithm").as_deref())?,
            stale: find("stale").is_some_and(|it| it.eq_ignore_ascii_case("true")),
            nonce: find("nonce")?,
            opaque: find("opaque"),
            counted,
        })
    }

    /// The value of the header that proves that we are `user`, for one request of this method to this
    /// URI. `client_nonce` is a random text of letters and digits, never used before.
    pub fn answer(
        &self,
        (user, password): (&str, &str),
        (method, uri): (&str, &str),
        client_nonce: &str,
    ) -> String {
        let Self { realm, algorithm, nonce, opaque, counted, .. } = self;
        let hash = |text: String| algorithm.hash(&text);
        let secret = hash(format!("{user}:{realm}:{password}"));
        let request = hash(format!("{method}:{uri}"));
        let response = hash(match counted {
            true => format!("{secret}:{nonce}:00000001:{client_nonce}:auth:{request}"),
            false => format!("{secret}:{nonce}:{request}"),
        });
        let [user, realm, nonce] = [user, realm, nonce].map(quoted);
        let mut header = format!(
            "Digest username={user}, realm={realm}, nonce={nonce}, uri=\"{uri}\", \
             response=\"{response}\", algorithm={}",
            algorithm.name()
        );
        if *counted {
            header += &format!(", qop=auth, nc=00000001, cnonce=\"{client_nonce}\"");
        }
        if let Some(opaque) = opaque {
            header += &format!(", opaque={}", quoted(opaque));
        }
        header
    }
}

/// RFC 3261's quoted string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::super::authenticate::MAX_HEADER;
    use super::super::{DigestResponse, DigestVerifier};
    use super::*;

    #[test]
    fn the_examples_of_the_rfcs_come_out() {
        let rfc7616 = |algorithm: &str| {
            format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
                 algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            )
        };
        let client = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let challenge = DigestChallenge::read(&rfc7616(algorithm)).unwrap();
            let request = ("GET", "/dir/index.html");
            let header = challenge.answer(("Mufasa", "Circle of Life"), request, client);
            assert!(header.contains(&format!("response=\"{response}\"")), "{header}");
            assert!(header.contains("opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""));
        }
        // RFC 2617 section 3.5, and what RFC 2069 asked for: no `qop`.
        let old = "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
                   nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"";
        let old = DigestChallenge::read(old).unwrap();
        let request = ("GET", "/dir/index.html");
        let header = old.answer(("Mufasa", "Circle Of Life"), request, "0a4f113b");
        assert!(header.contains("response=\"6629fae49393a05397450978507c4ef1\""), "{header}");
    }

    #[test]
    fn what_is_answered_is_what_we_would_take_ourselves() {
        let kept = DigestVerifier::of("plenum", "a \"b\" \\c", "long enough", true);
        for rest in ["", ", qop=\"auth\"", ", algorithm=sha-256", ", qop=auth, algorithm=SHA-256"] {
            let header = format!(r#"Digest realm="a \"b\" \\c", nonce="n\"1"{rest}"#);
            let challenge = DigestChallenge::read(&header).unwrap();
            let answer =
                challenge.answer(("plenum", "long enough"), ("INVITE", "sip:1@pbx"), "abc");
            let shown = DigestResponse::read(&answer).unwrap();
            assert!(kept.accepts(&shown, "INVITE"), "{answer}");
            assert!(!kept.accepts(&shown, "BYE"), "{answer}");
            assert_eq!(shown.nonce, "n\"1");
        }
    }

    #[test]
    fn of_several_challenges_the_first_that_can_be_answered_is() {
        let headers = [
            "Basic realm=\"a\"",
            "Digest realm=\"a\", nonce=\"1\", algorithm=SHA-512-256",
            "Digest realm=\"a\", nonce=\"2\", qop=\"auth-int\"",
            "Digest realm=\"a\", nonce=\"3\", algorithm=SHA-256, stale=TRUE",
            "Digest realm=\"a\", nonce=\"4\"",
        ];
        let found = DigestChallenge::first(headers).unwrap();
        assert_eq!((found.nonce.as_str(), found.algorithm), ("3", DigestAlgorithm::Sha256));
        assert!(found.stale);
        let long = format!("Digest realm=\"a\", nonce=\"{}\"", "1".repeat(MAX_HEADER));
        for bad in ["", "Digest", "Digest nonce=\"1\"", "Digest realm=\"a\"", "Digest =", &long] {
            assert_eq!(DigestChallenge::read(bad), None, "{bad}");
        }
        assert_eq!(DigestChallenge::read("Digest realm=\"a\", nonce=\"1\r\nX: y\""), None);
    }
}
