//! Which passwords may be chosen. Length counts, composition does not (NIST SP 800-63B).

/// The fewest characters.
pub const MIN_CHARS: usize = 10;
/// The most bytes: hashing must not be made slow by what is hashed.
pub const MAX_BYTES: usize = 256;

/// What is too common to guard anything, beside what is made of few characters.
const COMMON: &[&str] = &[
    "password",
    "passw0rd",
    "пароль",
    "qwerty",
    "йцукен",
    "letmein",
    "welcome",
    "iloveyou",
    "administrator",
    "changeme",
    "abc123",
    "monkey",
    "dragon",
    "football",
    "baseball",
    "sunshine",
    "princess",
    "trustno1",
    "starwars",
    "whatever",
    "plenum",
    "secret",
    "master",
    "superman",
    "qazwsx",
    "1q2w3e4r",
    "zaq12wsx",
    "asdfghjkl",
    "zxcvbnm",
    "1234567890",
    "0987654321",
];

/// Why a password may not be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short.
    #[error("a password has at least {MIN_CHARS} characters")]
    Short,
    /// Too long.
    #[error("a password has at most {MAX_BYTES} bytes")]
    Long,
    /// It is little more than the account's own name.
    #[error("a password does not contain the account's name or address")]
    Name,
    /// It is among the first that anybody tries.
    #[error(
        "this password is among the first that anybody tries: choose some words that only you would put together"
    )]
    Common,
    /// It is the one before.
    #[error("the new password is the old one")]
    Same,
}

/// Checks a password that somebody chooses.
///
/// # Errors
/// [`PasswordError`].
pub fn check(password: &str, names: &[&str]) -> Result<(), PasswordError> {
    if password.len() > MAX_BYTES {
        return Err(PasswordError::Long);
    }
    if password.chars().count() < MIN_CHARS {
        return Err(PasswordError::Short);
    }
    let lower = password.to_lowercase();
    let named = |it: &&str| it.chars().count() >= 3 && lower.contains(&it.to_lowercase());
    if names.iter().any(named) {
        return Err(PasswordError::Name);
    }
    if is_common(&lower) {
        return Err(PasswordError::Common);
    }
    Ok(())
}

/// Whether a common word is most of it, or a handful of characters or steps all of it.
fn is_common(lower: &str) -> bool {
    let length = lower.chars().count();
    let mostly = |word: &&&str| lower.contains(**word) && word.chars().count() * 2 >= length;
    if COMMON.iter().any(|word| mostly(&word)) {
        return true;
    }
    let mut different: Vec<char> = lower.chars().collect();
    let steps = different
        .windows(2)
        .filter(|pair| match pair {
            [a, b] => (*b as i64 - *a as i64).abs() <= 1,
            _ => false,
        })
        .count();
    different.sort_unstable();
    different.dedup();
    different.len() < 5 || steps * 3 >= length * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_anybody_tries_first_is_refused() {
        let names = ["anna", "Anna Ivanova", "anna@example.org"];
        for good in
            ["correct horse battery", "пять зелёных слонов", "kX9#mQ2vLp", "          a b cd e"]
        {
            assert_eq!(check(good, &names), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("short", PasswordError::Short),
            ("пароль", PasswordError::Short),
            ("Anna1970Anna", PasswordError::Name),
            ("Password123", PasswordError::Common),
            ("qwertyqwerty", PasswordError::Common),
            ("aaaaaaaaaaaa", PasswordError::Common),
            ("abcdefghijkl", PasswordError::Common),
            ("12345678901", PasswordError::Common),
            ("йцукен12345", PasswordError::Common),
        ] {
            assert_eq!(check(bad, &names), Err(why), "{bad}");
        }
        assert_eq!(check(&"x".repeat(300), &[]), Err(PasswordError::Long));
    }
}
