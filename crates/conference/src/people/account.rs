//! An account: a person of the house.

use serde::{Deserialize, Serialize};
use types::Timestamp;

use super::AccountRole;
use crate::booking::is_email;
use crate::store::{Entity, Key, Kind};

/// The longest name to sign in with, in characters.
pub const MAX_NAME: usize = 64;
/// The longest name that is shown, in characters.
pub const MAX_DISPLAY_NAME: usize = 80;

/// A person of the house.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What they sign in with, in lower case.
    pub name: String,
    /// What others see.
    pub display_name: String,
    /// Where invitations go.
    #[serde(default)]
    pub email: Option<String>,
    /// What they are.
    pub role: AccountRole,
    /// Whether they are kept out.
    #[serde(default)]
    pub disabled: bool,
    /// The password's hash; `None`: they cannot sign in with a password.
    #[serde(default)]
    pub password: Option<PasswordHash>,
    /// Whether nothing is allowed until they have chosen a password.
    #[serde(default)]
    pub must_change_password: bool,
    /// The second factor.
    #[serde(default)]
    pub second_factor: Option<SecondFactor>,
    /// When they signed in last.
    #[serde(default)]
    pub signed_in_at: Option<Timestamp>,
}

/// A password's hash in PHC form. `Debug` never shows it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(pub String);

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(****)")
    }
}

/// One-time codes by time (RFC 6238), and codes for the day when the device is lost.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondFactor {
    /// The secret, sealed.
    pub sealed: String,
    /// Whether the person has shown a code of it; before, it is asked of nobody.
    pub confirmed: bool,
    /// The step of the last code that was taken: none is taken twice.
    #[serde(default)]
    pub last_step: u64,
    /// Digests of recovery codes that are left.
    #[serde(default)]
    pub recovery: Vec<String>,
}

impl std::fmt::Debug for SecondFactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (confirmed, left) = (self.confirmed, self.recovery.len());
        write!(f, "SecondFactor {{ confirmed: {confirmed}, recovery codes left: {left} }}")
    }
}

/// What is wrong with an account's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The name to sign in with.
    #[error(
        "a name has 2 to {MAX_NAME} characters: letters, digits, '.', '-', '_' and '@', the first a \
         letter or digit"
    )]
    Name,
    /// The name that is shown.
    #[error("a display name has 1 to {MAX_DISPLAY_NAME} characters, without control characters")]
    DisplayName,
    /// The mail address.
    #[error("an e-mail address is user@domain in plain letters, 254 at most")]
    Email,
}

/// A name to sign in with, as it is kept.
///
/// # Errors
/// [`AccountError::Name`].
pub fn account_name(text: &str) -> Result<String, AccountError> {
    let name = text.trim().to_lowercase();
    let fits = (2..=MAX_NAME).contains(&name.chars().count());
    let good = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
    let begins_well = name.chars().next().is_some_and(char::is_alphanumeric);
    if fits && begins_well && name.chars().all(good) { Ok(name) } else { Err(AccountError::Name) }
}

/// A name that is shown, its spaces single.
///
/// # Errors
/// [`AccountError::DisplayName`].
pub fn display_name(text: &str) -> Result<String, AccountError> {
    let name = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let fits = (1..=MAX_DISPLAY_NAME).contains(&name.chars().count());
    if fits && !name.chars().any(char::is_control) {
        Ok(name)
    } else {
        Err(AccountError::DisplayName)
    }
}

/// A mail address, its domain in lower case. Whether it exists only a mail tells.
///
/// # Errors
/// [`AccountError::Email`].
pub fn email(text: &str) -> Result<String, AccountError> {
    let (user, domain) = text.trim().rsplit_once('@').ok_or(AccountError::Email)?;
    let email = format!("{user}@{}", domain.to_lowercase());
    if is_email(&email) { Ok(email) } else { Err(AccountError::Email) }
}

impl Account {
    /// The unique key of the name to sign in with.
    pub const NAME: &'static str = "name";
    /// The unique key of the mail address.
    pub const EMAIL: &'static str = "email";
    /// The key of the role.
    pub const ROLE: &'static str = "role";

    /// An account that nobody can sign in to yet.
    pub fn new(name: String, display_name: String, role: AccountRole) -> Self {
        Self {
            name,
            display_name,
            email: None,
            role,
            disabled: false,
            password: None,
            must_change_password: false,
            second_factor: None,
            signed_in_at: None,
        }
    }

    /// Whether a code is asked for beside the password.
    pub fn asks_for_code(&self) -> bool {
        self.second_factor.as_ref().is_some_and(|it| it.confirmed)
    }
}

impl Entity for Account {
    const KIND: Kind = Kind::Account;

    fn keys(&self) -> Vec<Key> {
        let mut keys =
            vec![Key::unique(Self::NAME, &*self.name), Key::shared(Self::ROLE, self.role.word())];
        keys.extend(self.email.as_ref().map(|it| Key::unique(Self::EMAIL, it.to_lowercase())));
        keys
    }

    fn search_text(&self) -> String {
        let email = self.email.as_deref().unwrap_or_default();
        format!("{} {} {email}", self.name, self.display_name)
    }

    fn title(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_people_type_them() {
        assert_eq!(account_name(" A.Ivanova@example.org ").unwrap(), "a.ivanova@example.org");
        assert_eq!(account_name("Иванова").unwrap(), "иванова");
        for bad in ["", "a", ".ab", "a b", "a\nb", "a/b", &"x".repeat(65)] {
            assert_eq!(account_name(bad), Err(AccountError::Name), "{bad:?}");
        }
        assert_eq!(display_name("  Anna   Ivanova ").unwrap(), "Anna Ivanova");
        assert!(display_name("\u{7}").is_err() && display_name(" ").is_err());
    }

    #[test]
    fn a_mail_address_can_carry_no_second_header() {
        assert_eq!(email("Anna@Example.ORG").unwrap(), "Anna@example.org");
        for bad in ["", "anna", "@host", "a@", "a b@host", "a@host\r\nBcc: x@y", "<a@host>", "a@.h"]
        {
            assert_eq!(email(bad), Err(AccountError::Email), "{bad:?}");
        }
    }

    #[test]
    fn nothing_secret_shows_in_a_log() {
        let mut account = Account::new("anna".into(), "Anna".into(), AccountRole::User);
        account.password = Some(PasswordHash("$argon2id$secret".into()));
        account.second_factor = Some(SecondFactor {
            sealed: "sealed".into(),
            confirmed: true,
            last_step: 0,
            recovery: vec!["digest".into()],
        });
        let shown = format!("{account:?}");
        for secret in ["argon2id", "sealed", "digest"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
