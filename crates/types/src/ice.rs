//! Credentials of ICE, for who negotiates them and for who checks them.

use std::fmt;

/// By what the requests of one side's checks are known (RFC 8445 section 5.3). The debug form does
/// not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// The user fragment: 4 to 256 letters, digits, `+` and `/`.
    pub ufrag: String,
    /// The password: 22 to 256 of these.
    pub password: String,
}

impl IceCredentials {
    /// Made of random bytes: 32 bits and 128 bits count.
    pub fn new(random: [u8; 20]) -> Self {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let (ufrag, password) = random.split_at(4);
        Self { ufrag: hex(ufrag), password: hex(password) }
    }

    /// A peer's, where they have the form that RFC 8839 section 5.4 wants.
    pub fn read(ufrag: &str, password: &str) -> Option<Self> {
        let ice = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        };
        let fits = (4..=256).contains(&ufrag.len()) && (22..=256).contains(&password.len());
        (fits && ice(ufrag) && ice(password))
            .then(|| Self { ufrag: ufrag.to_owned(), password: password.to_owned() })
    }
}

impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceCredentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_can_be_read_and_shows_no_password() {
        let made = IceCredentials::new(std::array::from_fn(|at| at as u8));
        assert_eq!(IceCredentials::read(&made.ufrag, &made.password), Some(made.clone()));
        assert!(!format!("{made:?}").contains(&made.password));
        let long = "x".repeat(257);
        for (ufrag, password) in [
            ("abc", made.password.as_str()),
            ("abcd", "too-short"),
            ("ab d", &made.password),
            ("abcd", &long),
            (&long, &made.password),
        ] {
            assert_eq!(IceCredentials::read(ufrag, password), None, "{ufrag} {password}");
        }
    }
}
