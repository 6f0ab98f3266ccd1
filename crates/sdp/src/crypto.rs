//! SDES: SRTP keys in the description (RFC 4568; suites of RFC 4568, 6188 and 7714).

use std::fmt;

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Devices leave padding out and sloppy bits in.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Bytes of the longest master key and salt of any suite.
pub const MAX_KEY: usize = 46;

pub use types::SrtpSuite as Suite;

/// A master key with its salt after it. Its debug form shows no byte of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SrtpKey {
    bytes: [u8; MAX_KEY],
    key_len: usize,
    len: usize,
}

impl SrtpKey {
    /// Cuts key and salt of a suite out of random bytes.
    pub fn cut(suite: Suite, random: &[u8; MAX_KEY]) -> Self {
        let key_len = suite.key_len();
        let len = key_len + suite.salt_len();
        // Bytes past the salt are no part of the key and must not tell equal keys apart.
        let bytes = std::array::from_fn(|at| random.get(at).filter(|_| at < len).map_or(0, |b| *b));
        Self { bytes, key_len, len }
    }

    fn read(suite: Suite, text: &str) -> Option<Self> {
        let decoded = BASE64.decode(text).ok()?;
        if decoded.len() != suite.key_len() + suite.salt_len() {
            return None;
        }
        let mut random = [0; MAX_KEY];
        random.get_mut(..decoded.len())?.copy_from_slice(&decoded);
        Some(Self::cut(suite, &random))
    }

    /// The master key, 16 or 32 bytes.
    pub fn key(&self) -> &[u8] {
        self.bytes.get(..self.key_len).unwrap_or_default()
    }

    /// The master salt, 12 or 14 bytes.
    pub fn salt(&self) -> &[u8] {
        self.bytes.get(self.key_len..self.len).unwrap_or_default()
    }

    /// Key and salt in one, as SDES writes them.
    pub fn key_and_salt(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SrtpKey({} bytes)", self.len)
    }
}

/// One `a=crypto` line that we understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// Tag: an answer repeats it. Up to nine digits.
    pub tag: u32,
    /// Suite.
    pub suite: Suite,
    /// Suite as the peer spelt it: an answer repeats that too.
    pub suite_text: String,
    /// The key with which the writer sends.
    pub key: SrtpKey,
    /// Packets that the key is good for, as a power of two; `None` is the suite's default.
    pub lifetime: Option<u8>,
    /// Bytes of the master key identifier at the end of each packet, 0 for none.
    pub mki_len: u8,
    /// `UNENCRYPTED_SRTCP`.
    pub unencrypted_srtcp: bool,
}

impl Crypto {
    /// Reads what follows `a=crypto:`. `None` for a suite, a number of keys or a session parameter
    /// that we cannot do (RFC 4568 section 6.3.7 wants such a line passed over).
    pub(crate) fn read(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let tag = words.next()?;
        let tag = tag.parse().ok().filter(|_| tag.len() <= 9)?;
        let suite_text = words.next()?;
        let suite = Suite::read(suite_text)?;
        let inline = words.next()?;
        if inline.contains(';') {
            return None;
        }
        let (method, inline) = inline.split_once(':')?;
        if !method.eq_ignore_ascii_case("inline") {
            return None;
        }
        let mut parts = inline.split('|');
        let key = SrtpKey::read(suite, parts.next()?)?;
        let (mut lifetime, mut mki_len) = (None, 0);
        for part in parts {
            if let Some((_, length)) = part.split_once(':') {
                mki_len = length.parse().ok().filter(|&length| (1..=128).contains(&length))?;
            } else if let Some(power) = part.strip_prefix("2^") {
                lifetime = Some(power.parse().ok().filter(|&power| power <= 48)?);
            } else if part.parse::<u64>().is_err() {
                return None;
            }
        }
        let mut unencrypted_srtcp = false;
        for word in words {
            match word {
                "UNENCRYPTED_SRTCP" => unencrypted_srtcp = true,
                // A hint about the replay window; ours is our own affair.
                _ if word.starts_with("WSH=") => {}
                _ => return None,
            }
        }
        let suite_text = suite_text.to_owned();
        Some(Self { tag, suite, suite_text, key, lifetime, mki_len, unencrypted_srtcp })
    }

    /// We take part in this: whole encryption, and no key identifiers in packets.
    pub fn is_usable(&self) -> bool {
        !self.unencrypted_srtcp && self.mki_len == 0
    }

    /// The value of an `a=crypto` line. No lifetime: the suite's default is what we keep to, and
    /// some devices refuse any other.
    pub(crate) fn line(tag: u32, suite_text: &str, key: &SrtpKey) -> String {
        format!("{tag} {suite_text} inline:{}", BASE64.encode(key.key_and_salt()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 30 bytes: 16 of key, 14 of salt.
    const KEY: &str = "inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd";

    #[test]
    fn key_and_salt_are_cut_where_the_suite_says() {
        let crypto = Crypto::read(&format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}|2^48")).unwrap();
        assert_eq!(crypto.key.key(), (0..16).collect::<Vec<u8>>());
        assert_eq!(crypto.key.salt(), (16..30).collect::<Vec<u8>>());
        assert_eq!(crypto.lifetime, Some(48));
        assert!(crypto.is_usable());
        let written = Crypto::line(1, "AES_CM_128_HMAC_SHA1_80", &crypto.key);
        assert_eq!(written, format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}"));
    }

    #[test]
    fn every_suite_writes_what_it_reads() {
        let random = std::array::from_fn(|i| u8::try_from(i * 5).unwrap());
        for suite in Suite::PREFERRED {
            let key = SrtpKey::cut(suite, &random);
            let read = Crypto::read(&Crypto::line(7, suite.name(), &key)).unwrap();
            assert_eq!((read.tag, read.suite, read.key), (7, suite, key));
            assert_eq!(key.key().len() + key.salt().len(), key.key_and_salt().len());
        }
    }

    #[test]
    fn lines_that_we_cannot_do_are_passed_over() {
        for line in [
            "",
            "x AES_CM_128_HMAC_SHA1_80 inline:AAAA",
            "1 F8_128_HMAC_SHA1_80 inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd",
            "1 AES_CM_128_HMAC_SHA1_80 inline:AAEC",
            "1 AES_CM_128_HMAC_SHA1_80 uri:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd",
            "1 AEAD_AES_128_GCM inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd",
        ] {
            assert_eq!(Crypto::read(line), None, "{line}");
        }
        for tail in ["KDR=1", "UNENCRYPTED_SRTP", "UNAUTHENTICATED_SRTP", "FEC_KEY=x"] {
            assert_eq!(Crypto::read(&format!("1 AES_CM_128_HMAC_SHA1_80 {KEY} {tail}")), None);
        }
        for tail in ["|2^99", "|junk", "|1:0", "|1:999"] {
            assert_eq!(Crypto::read(&format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}{tail}")), None);
        }
    }

    #[test]
    fn half_encrypted_and_identified_keys_are_read_but_not_used() {
        let line = format!("2 AES_CM_128_HMAC_SHA1_80 {KEY} UNENCRYPTED_SRTCP");
        let clear = Crypto::read(&line).unwrap();
        assert!(clear.unencrypted_srtcp && !clear.is_usable());
        let mki = Crypto::read(&format!("2 AES_CM_128_HMAC_SHA1_80 {KEY}|2^20|1:4")).unwrap();
        assert_eq!((mki.mki_len, mki.is_usable()), (4, false));
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = SrtpKey::cut(Suite::AesCm128Sha1_80, &[0xab; MAX_KEY]);
        assert_eq!(format!("{key:?}"), "SrtpKey(30 bytes)");
    }
}
