//! The number under which a meeting is dialled, and why nobody confuses it with anything else.
//!
//! A room system's remote control has digits, and little else. What it dials is one of three things,
//! told apart by its form alone, so that no order of look-ups decides where a call goes:
//!
//! - 6 to 12 digits, the first of them not 0, are a meeting's number. Separators that people write
//!   between groups of digits are dropped: `123-456-789` is `123456789`.
//! - 2 to 5 digits are a device's extension (see `telephony::Device`), as in a house's own telephone
//!   plan. A first 0 is left to telephone exchanges, for which it means an outside line.
//! - Whatever has a letter of any script is a meeting's alias or a device's name. An alias of digits
//!   and separators alone is refused for this reason: it would look like a number, and `123-456`
//!   would be another meeting than 123456.
//!
//! Digits of other scripts are no digits here, and no letters either: a name must have a letter.

use std::fmt;

use rand::Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use types::MeetingId;

use crate::problem::{ProblemCode, Problems};

/// A meeting's number: 6 to 12 digits, the first not 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MeetingNumber(String);

/// A text is no meeting's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a meeting's number has 6 to 12 digits, and the first is not 0")]
pub struct MeetingNumberError;

impl MeetingNumber {
    /// The fewest digits.
    pub const MIN_DIGITS: usize = 6;
    /// The most digits.
    pub const MAX_DIGITS: usize = 12;
    /// Digits of a random number where nothing else is said: with 100,000 meetings, one guess in
    /// nine thousand hits one.
    pub const DEFAULT_DIGITS: usize = 9;

    /// Reads a number as typed or dialled: blanks, `-` and `.` between its digits are dropped.
    ///
    /// # Errors
    /// [`MeetingNumberError`].
    pub fn parse(text: &str) -> Result<Self, MeetingNumberError> {
        let text = text.trim();
        let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '.')).collect();
        let edges = text.starts_with(['-', '.']) || text.ends_with(['-', '.']);
        let fits = (Self::MIN_DIGITS..=Self::MAX_DIGITS).contains(&digits.len());
        let right = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        if fits && right && !edges { Ok(Self(digits)) } else { Err(MeetingNumberError) }
    }

    /// A random number of so many digits (kept within 6 to 12). Whether it is free only the store
    /// can say: on [`crate::store::StoreError::Taken`] another one is tried. Numbers that are easily
    /// guessed or dialled by mistake, such as 111111 or 123456, never come.
    pub fn random(rng: &mut impl Rng, digits: usize) -> Self {
        let digits = digits.clamp(Self::MIN_DIGITS, Self::MAX_DIGITS);
        loop {
            let first = rng.random_range(b'1'..=b'9');
            let rest = (1..digits).map(|_| rng.random_range(b'0'..=b'9'));
            let drawn: Vec<u8> = std::iter::once(first).chain(rest).collect();
            if !is_plain(&drawn) {
                return Self(drawn.into_iter().map(char::from).collect());
            }
        }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits in groups of three, as people read them: `123 456 789`.
    pub fn grouped(&self) -> String {
        let mut text = String::with_capacity(self.0.len() + 4);
        let first = self.0.len() % 3;
        for (index, digit) in self.0.chars().enumerate() {
            // A group of one digit is read with the next.
            let begins = index % 3 == first && index > 0 && !(first == 1 && index == 1);
            if begins {
                text.push(' ');
            }
            text.push(digit);
        }
        text
    }
}

/// Whether each digit is the one before it, or each is one more, or each is one less.
fn is_plain(digits: &[u8]) -> bool {
    let steps = |step: i16| {
        let pairs = digits.iter().zip(digits.iter().skip(1));
        pairs.into_iter().all(|(a, b)| i16::from(*b) - i16::from(*a) == step)
    };
    steps(0) || steps(1) || steps(-1)
}

impl fmt::Display for MeetingNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for MeetingNumber {
    type Error = MeetingNumberError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<MeetingNumber> for String {
    fn from(number: MeetingNumber) -> Self {
        number.0
    }
}

/// What somebody dialled or typed to reach a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// A meeting's number.
    Number(MeetingNumber),
    /// A meeting's alias.
    Alias(MeetingId),
}

impl Called {
    /// Reads it; `None` if it can name no meeting.
    pub fn read(text: &str) -> Option<Self> {
        if let Ok(number) = MeetingNumber::parse(text) {
            return Some(Self::Number(number));
        }
        let alias = MeetingId::parse(text).ok()?;
        has_letter(alias.as_str()).then_some(Self::Alias(alias))
    }
}

/// Adds a problem unless an alias can be told from a number.
pub(super) fn check_alias(alias: &MeetingId, problems: &mut Problems) {
    let text = "a meeting's link has at least one letter: digits alone are numbers";
    problems.ensure(has_letter(alias.as_str()), "alias", ProblemCode::Format, text);
}

pub(crate) fn has_letter(text: &str) -> bool {
    text.chars().any(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (text, number) in [
            ("123456", "123456"),
            (" 123 456-789 ", "123456789"),
            ("123.456.789.012", "123456789012"),
        ] {
            assert_eq!(MeetingNumber::parse(text).unwrap().as_str(), number, "{text:?}");
        }
        for text in [
            "",
            "12345",
            "1234567890123",
            "012345",
            "12345a",
            "١٢٣٤٥٦",
            "+123456",
            "-123456",
            "123456.",
        ] {
            assert_eq!(MeetingNumber::parse(text), Err(MeetingNumberError), "{text:?}");
        }
        assert!(serde_json::from_str::<MeetingNumber>("\"12\"").is_err());
    }

    #[test]
    fn random_numbers_are_numbers_of_the_length_asked_for() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut seen = std::collections::HashSet::new();
        for digits in [0, 6, 9, 12, 50] {
            for _ in 0..200 {
                let number = MeetingNumber::random(&mut rng, digits);
                assert_eq!(MeetingNumber::parse(number.as_str()), Ok(number.clone()));
                assert_eq!(number.as_str().len(), digits.clamp(6, 12));
                seen.insert(number);
            }
        }
        assert!(seen.len() > 990, "{}", seen.len());
        for (plain, text) in [
            (true, "111111"),
            (true, "123456"),
            (true, "987654"),
            (false, "112111"),
            (false, "123457"),
        ] {
            assert_eq!(is_plain(text.as_bytes()), plain, "{text}");
        }
    }

    #[test]
    fn numbers_are_shown_in_groups() {
        for (number, shown) in [
            ("123456", "123 456"),
            ("1234567", "1234 567"),
            ("12345678", "12 345 678"),
            ("123456789", "123 456 789"),
            ("123456789012", "123 456 789 012"),
        ] {
            let number = MeetingNumber::parse(number).unwrap();
            assert_eq!(number.grouped(), shown);
            assert_eq!(MeetingNumber::parse(shown), Ok(number));
        }
    }

    #[test]
    fn what_is_dialled_is_a_number_or_an_alias_and_never_both() {
        let called = |text: &str| {
            Called::read(text).map(|it| match it {
                Called::Number(number) => format!("number {number}"),
                Called::Alias(alias) => format!("alias {alias}"),
            })
        };
        for (text, meaning) in [
            ("123456", Some("number 123456")),
            ("123-456", Some("number 123456")),
            ("123-456a", Some("alias 123-456a")),
            ("Board", Some("alias board")),
            ("Совет-7", Some("alias совет-7")),
            // A device's extension, a number of an exchange, too long, other digits, separators.
            ("1234", None),
            ("0123456", None),
            ("1234567890123", None),
            ("١٢٣٤٥٦", None),
            ("---", None),
            ("12_34_56", None),
        ] {
            assert_eq!(called(text).as_deref(), meaning, "{text:?}");
        }
    }

    #[test]
    fn an_alias_without_a_letter_is_refused() {
        for (alias, good) in [
            ("a1", true),
            ("я", true),
            ("123456", false),
            ("1-2", false),
            ("1234", false),
            ("٣", false),
        ] {
            let mut problems = Problems::new();
            check_alias(&MeetingId::parse(alias).unwrap(), &mut problems);
            assert_eq!(problems.is_empty(), good, "{alias}");
        }
    }
}
