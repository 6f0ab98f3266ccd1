//! Random ids in LiveKit's form: a prefix and twelve letters or digits.

use rand::Rng;
use rand::distr::Alphanumeric;

/// `prefix` and twelve random letters or digits, such as `PA_x7Gh2kQ9aZ0b`: 71 bits, so that nobody
/// guesses one.
pub fn random_id(prefix: &str) -> String {
    let random = rand::rng().sample_iter(Alphanumeric).take(12).map(char::from);
    prefix.chars().chain(random).collect()
}
