//! SRTP and SRTCP (RFC 3711, 6188, 7714) with keys that signalling brought (SDES).
//!
//! The ciphers are `rtc-srtp`'s. What is ours, since it does otherwise (0.21.1): one context for
//! each SSRC, kept only once a packet of it was authentic, so that forged SSRCs take no memory;
//! SRTCP that is not encrypted is refused, since it is not authenticated there; replays are
//! judged here, so that index 0 is a number like others; header lengths are measured here, since
//! it mistakes those of odd extensions.

use std::collections::HashMap;

use rtc_crypto::providers::AwsLcRsCrypto;
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;
use thiserror::Error;

use crate::packet::Packet;
use crate::seq::SeqUnwrapper;

/// Sources of one peer that are remembered; another takes the place of the one unused the longest.
const MAX_SOURCES: usize = 16;

pub use types::SrtpSuite as Suite;

/// Bytes from SRTCP's index word to the end: the tag is after it, with GCM before it.
const fn rtcp_trailer(suite: Suite) -> usize {
    match suite {
        Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 4,
        _ => 14,
    }
}

const fn profile(suite: Suite) -> ProtectionProfile {
    match suite {
        Suite::AesCm128Sha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Suite::AesCm128Sha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
        Suite::AesCm256Sha1_80 => ProtectionProfile::Aes256CmHmacSha1_80,
        Suite::AesCm256Sha1_32 => ProtectionProfile::Aes256CmHmacSha1_32,
        Suite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Suite::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
    }
}

/// Why a packet or a key was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SrtpError {
    /// Key and salt together have another length than the suite wants.
    #[error("master key and salt have {got} bytes, the suite wants {wanted}")]
    KeyLength {
        /// Bytes that were given.
        got: usize,
        /// Bytes of the suite's key and salt.
        wanted: usize,
    },
    /// The cryptographic library refused the suite.
    #[error("suite {0:?} is not available")]
    Unavailable(Suite),
    /// The packet is too short to bear an SSRC.
    #[error("packet of {0} bytes is too short")]
    Short(usize),
    /// The packet is forged, a replay, or malformed.
    #[error("packet of SSRC {0:#x} is not authentic, a replay or malformed")]
    Refused(u32),
    /// Our own packet is malformed, or its key has protected all that it may.
    #[error("packet of SSRC {0:#x} cannot be protected")]
    Unprotectable(u32),
}

struct Source {
    context: Context,
    used: u64,
    seq: SeqUnwrapper,
    rtp: Window,
    rtcp: Window,
}

/// The numbers seen lately (RFC 3711 section 3.3.2): the highest, and the 128 up to it as bits.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    highest: Option<u64>,
    seen: u128,
}

impl Window {
    fn is_new(self, number: u64) -> bool {
        let Some(highest) = self.highest else { return true };
        let Some(behind) = highest.checked_sub(number) else { return true };
        behind < 128 && self.seen >> behind & 1 == 0
    }

    fn mark(&mut self, number: u64) {
        let highest = self.highest.unwrap_or(number).max(number);
        let ahead = highest - self.highest.unwrap_or(highest);
        let shifted = u32::try_from(ahead).ok().and_then(|by| self.seen.checked_shl(by));
        self.seen = shifted.unwrap_or(0);
        self.highest = Some(highest);
        self.seen |=
            u32::try_from(highest - number).ok().and_then(|by| 1_u128.checked_shl(by)).unwrap_or(0);
    }
}

/// One direction of a leg: either protects or unprotects, under one master key.
pub struct Srtp {
    suite: Suite,
    key_and_salt: Vec<u8>,
    sources: HashMap<u32, Source>,
    used: u64,
}

impl Srtp {
    /// A direction with a master key, its salt after it, as SDES gives them.
    ///
    /// # Errors
    /// [`SrtpError::KeyLength`], [`SrtpError::Unavailable`].
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Result<Self, SrtpError> {
        let wanted = suite.key_len() + suite.salt_len();
        if key_and_salt.len() != wanted {
            return Err(SrtpError::KeyLength { got: key_and_salt.len(), wanted });
        }
        let key_and_salt = key_and_salt.to_vec();
        let srtp = Self { suite, key_and_salt, sources: HashMap::new(), used: 0 };
        srtp.context()?;
        Ok(srtp)
    }

    /// The SRTP packet of an RTP packet of ours. Sequence numbers must go up, a packet that is sent
    /// again excepted.
    ///
    /// # Errors
    /// [`SrtpError::Short`], [`SrtpError::Unprotectable`].
    pub fn protect_rtp(&mut self, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
        let ssrc = ssrc(packet, 8)?;
        let header = measured_header(packet).ok_or(SrtpError::Unprotectable(ssrc))?;
        let run = |source: &mut Source| {
            source.context.encrypt_rtp_with_header(packet, &header).ok().map(Vec::from)
        };
        self.with(ssrc, run)?.ok_or(SrtpError::Unprotectable(ssrc))
    }

    /// The RTP packet of a peer's SRTP packet.
    ///
    /// # Errors
    /// [`SrtpError::Short`], [`SrtpError::Refused`].
    pub fn unprotect_rtp(&mut self, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
        let ssrc = ssrc(packet, 8)?;
        let header = measured_header(packet).ok_or(SrtpError::Refused(ssrc))?;
        let run = |source: &mut Source| {
            let mut seq = source.seq.clone();
            let number = seq.unwrap(header.sequence_number);
            if !source.rtp.is_new(number) {
                return None;
            }
            let plain = source.context.decrypt_rtp_with_header(packet, &header).ok()?;
            // Only what is authentic moves the count; and only ahead, as the rollover counter does.
            if source.rtp.highest.is_none_or(|highest| number > highest) {
                source.seq = seq;
            }
            source.rtp.mark(number);
            Some(plain.into())
        };
        self.with(ssrc, run)?.ok_or(SrtpError::Refused(ssrc))
    }

    /// The SRTCP packet of a compound packet of ours.
    ///
    /// # Errors
    /// [`SrtpError::Short`], [`SrtpError::Unprotectable`].
    pub fn protect_rtcp(&mut self, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
        let ssrc = ssrc(packet, 4)?;
        let run = |source: &mut Source| source.context.encrypt_rtcp(packet).ok().map(Vec::from);
        self.with(ssrc, run)?.ok_or(SrtpError::Unprotectable(ssrc))
    }

    /// The compound packet of a peer's SRTCP packet.
    ///
    /// # Errors
    /// [`SrtpError::Short`], [`SrtpError::Refused`].
    pub fn unprotect_rtcp(&mut self, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
        let ssrc = ssrc(packet, 4)?;
        let trailer = rtcp_trailer(self.suite);
        let run = |source: &mut Source| {
            let at = packet.len().checked_sub(trailer).filter(|at| *at >= 8)?;
            let word = packet.get(at..)?.first_chunk::<4>()?;
            let (is_encrypted, index) = (word[0] & 0x80 != 0, u32::from_be_bytes(*word) << 1 >> 1);
            let index = u64::from(index);
            if !is_encrypted || !source.rtcp.is_new(index) {
                return None;
            }
            let plain = source.context.decrypt_rtcp(packet).ok()?;
            source.rtcp.mark(index);
            Some(plain.into())
        };
        self.with(ssrc, run)?.ok_or(SrtpError::Refused(ssrc))
    }

    fn context(&self) -> Result<Context, SrtpError> {
        let unavailable = SrtpError::Unavailable(self.suite);
        let (key, salt) =
            self.key_and_salt.split_at_checked(self.suite.key_len()).ok_or(unavailable)?;
        Context::new(key, salt, profile(self.suite), None, None, &AwsLcRsCrypto)
            .map_err(|_| unavailable)
    }

    /// Runs a step in the context of a source; one that is new stays only if the step succeeds.
    fn with(
        &mut self,
        ssrc: u32,
        step: impl FnOnce(&mut Source) -> Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, SrtpError> {
        self.used += 1;
        if let Some(source) = self.sources.get_mut(&ssrc) {
            let done = step(source);
            if done.is_some() {
                source.used = self.used;
            }
            return Ok(done);
        }
        let mut source = Source {
            context: self.context()?,
            used: self.used,
            seq: SeqUnwrapper::new(),
            rtp: Window::default(),
            rtcp: Window::default(),
        };
        let done = step(&mut source);
        if done.is_some() {
            let oldest = self.sources.iter().min_by_key(|(_, s)| s.used).map(|(ssrc, _)| *ssrc);
            if let Some(oldest) = oldest.filter(|_| self.sources.len() >= MAX_SOURCES) {
                self.sources.remove(&oldest);
            }
            self.sources.insert(ssrc, source);
        }
        Ok(done)
    }
}

impl std::fmt::Debug for Srtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Srtp").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// A header for the ciphers, which want of it the sequence number, the SSRC and its length: all that
/// comes after the fixed part is given as contributing sources.
fn measured_header(packet: &[u8]) -> Option<rtc_rtp::Header> {
    let parsed = Packet::parse_sealed(packet).ok()?;
    let len = packet.len().checked_sub(parsed.payload.len())?;
    Some(rtc_rtp::Header {
        version: 2,
        sequence_number: parsed.header.seq,
        ssrc: parsed.header.ssrc,
        csrc: vec![0; len.saturating_sub(12) / 4],
        ..Default::default()
    })
}

fn ssrc(packet: &[u8], at: usize) -> Result<u32, SrtpError> {
    let bytes = packet.get(at..).and_then(<[u8]>::first_chunk::<4>);
    bytes.map(|b| u32::from_be_bytes(*b)).ok_or(SrtpError::Short(packet.len()))
}

#[cfg(test)]
#[path = "srtp_tests.rs"]
mod tests;
