//! H.264 over RTP (RFC 6184): single NAL units, STAP-A and FU-A; packetization modes 0 and 1.
//!
//! [`Depacketizer`] takes packets in the order of their sequence numbers (a
//! [`crate::jitter::VideoBuffer`] brings them into it) and yields access units in Annex B.
//! [`Packetizer`] does the reverse.

use super::{Frame, MAX_FRAME, MTU, PacketizeError};
use crate::lane::MediaPacket;

const START_CODE: [u8; 4] = [0, 0, 0, 1];
const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
const NAL_DELIMITER: u8 = 9;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// The type of a NAL unit, of its first byte (ITU-T H.264 table 7-1).
#[must_use]
pub const fn nal_type(header: u8) -> u8 {
    header & 0x1f
}

/// The NAL units of an Annex-B stream, without start codes and trailing zeros; empty ones are left
/// out.
pub fn nal_units(annex_b: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = skip_start_code(annex_b);
    std::iter::from_fn(move || {
        loop {
            let tail = rest.filter(|tail| !tail.is_empty())?;
            let end = tail.windows(3).position(|w| w == [0, 0, 1]);
            let (unit, next) = match end {
                Some(at) => tail.split_at_checked(at)?,
                None => (tail, [].as_slice()),
            };
            rest = skip_start_code(next);
            let trailing = unit.iter().rev().take_while(|b| **b == 0).count();
            let unit = unit.get(..unit.len() - trailing)?;
            if !unit.is_empty() {
                return Some(unit);
            }
        }
    })
}

/// What follows the first start code.
fn skip_start_code(data: &[u8]) -> Option<&[u8]> {
    let at = data.windows(3).position(|w| w == [0, 0, 1])?;
    data.get(at + 3..)
}

/// Whether an RTP payload holds a part of an IDR picture, or a parameter set before one.
///
/// For a forwarder that looks for the place where a stream can start.
#[must_use]
pub fn starts_key_frame(payload: &[u8]) -> bool {
    let is_start = |header: u8| matches!(nal_type(header), NAL_IDR | NAL_SPS);
    match payload {
        [header, rest @ ..] if nal_type(*header) == STAP_A => {
            aggregated(rest).any(|nal| nal.first().is_some_and(|h| is_start(*h)))
        }
        [header, fu, ..] if nal_type(*header) == FU_A => fu & 0x80 != 0 && is_start(*fu),
        [header, ..] => is_start(*header),
        [] => false,
    }
}

/// Whether nothing of its access unit comes before this payload: it starts with a delimiter or an
/// SPS (ITU-T H.264 section 7.4.1.2.3).
fn begins_access_unit(payload: &[u8]) -> bool {
    let first = match payload {
        [header, _, _, unit, ..] if nal_type(*header) == STAP_A => *unit,
        [header, ..] => *header,
        [] => return false,
    };
    matches!(nal_type(first), NAL_SPS | NAL_DELIMITER)
}

/// The units of a STAP-A (RFC 6184 section 5.7.1), up to the first whose size lies.
fn aggregated(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (size, tail) = rest.split_first_chunk::<2>()?;
        let (nal, next) = tail.split_at_checked(usize::from(u16::from_be_bytes(*size)))?;
        rest = next;
        Some(nal)
    })
}

/// Puts access units together. One for each source.
///
/// A gap in the sequence numbers damages the access unit that it lies in. It is yielded all the
/// same, with what arrived whole: a decoder may conceal the rest, and who forwards may drop it.
#[derive(Debug, Default)]
pub struct Depacketizer {
    unit: Unit,
    next_seq: Option<u64>,
    /// Set while the fragments of one NAL unit arrive: where it begins in the access unit.
    fragment: Option<usize>,
    /// What was finished by a packet that itself finished another.
    ready: Option<Frame>,
}

#[derive(Debug, Default)]
struct Unit {
    data: Vec<u8>,
    timestamp: Option<u32>,
    key: bool,
    damaged: bool,
    /// Packets are missing before the first one that we have of it.
    lost_before: bool,
    /// Whether its first packet is known to be here.
    has_beginning: bool,
}

impl Unit {
    /// Whether a decoder would see that something is missing. What was lost before an IDR picture
    /// harms nothing if the picture itself is whole.
    fn is_damaged(&self) -> bool {
        self.damaged || self.lost_before && !(self.key && self.has_beginning)
    }

    /// Appends a NAL unit. An access unit over [`MAX_FRAME`] is damaged instead.
    fn append(&mut self, nal: &[u8]) {
        let Some(header) = nal.first() else {
            return self.damaged = true;
        };
        if self.fits(START_CODE.len() + nal.len()) {
            self.key |= nal_type(*header) == NAL_IDR;
            self.data.extend_from_slice(&START_CODE);
            self.data.extend_from_slice(nal);
        }
    }

    fn fits(&mut self, more: usize) -> bool {
        let fits = self.data.len() + more <= MAX_FRAME;
        self.damaged |= !fits;
        fits
    }
}

impl Depacketizer {
    /// A depacketizer that waits for its first packet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next packet. A returned access unit is complete: by its marker bit, or because the
    /// packet belongs to the one after it. Call [`Self::pop`] until it is empty afterwards.
    ///
    /// Packets that are older than one seen are dropped.
    pub fn push(&mut self, packet: &MediaPacket) -> Option<Frame> {
        if self.next_seq.is_some_and(|next| packet.seq < next) {
            return None;
        }
        let lost = self.next_seq.is_some_and(|next| packet.seq > next);
        self.next_seq = Some(packet.seq.saturating_add(1));
        if lost {
            self.end_fragment(false);
            self.unit.damaged |= self.unit.timestamp.is_some();
        }
        let before = match self.unit.timestamp {
            Some(timestamp) if timestamp != packet.timestamp => self.finish(),
            _ => None,
        };
        if self.unit.timestamp.is_none() {
            self.unit.timestamp = Some(packet.timestamp);
            self.unit.lost_before = lost;
            self.unit.has_beginning = !lost || begins_access_unit(&packet.payload);
        }
        self.add(&packet.payload);
        if packet.marker {
            let this = self.finish();
            if before.is_some() {
                self.ready = this;
                return before;
            }
            return this;
        }
        before
    }

    /// The access unit that was finished together with the one that [`Self::push`] returned.
    pub fn pop(&mut self) -> Option<Frame> {
        self.ready.take()
    }

    fn add(&mut self, payload: &[u8]) {
        let Some((header, rest)) = payload.split_first() else {
            return self.unit.damaged = true;
        };
        let kind = nal_type(*header);
        if kind != FU_A {
            self.end_fragment(false);
        }
        match kind {
            1..=23 => self.unit.append(payload),
            STAP_A => {
                let mut read = 0;
                for nal in aggregated(rest) {
                    read += 2 + nal.len();
                    self.unit.append(nal);
                }
                self.unit.damaged |= read != rest.len();
            }
            FU_A => self.add_fragment(*header, rest),
            // STAP-B, MTAP and FU-B belong to the interleaved mode, which we never agree to.
            _ => self.unit.damaged = true,
        }
    }

    /// RFC 6184 section 5.8.
    fn add_fragment(&mut self, indicator: u8, rest: &[u8]) {
        let Some((fu, body)) = rest.split_first() else {
            return self.unit.damaged = true;
        };
        let (start, end, kind) = (fu & 0x80 != 0, fu & 0x40 != 0, fu & 0x1f);
        if start {
            self.end_fragment(false);
            if !matches!(kind, 1..=23) {
                return self.unit.damaged = true;
            }
            if !self.unit.fits(START_CODE.len() + 1) {
                return;
            }
            self.fragment = Some(self.unit.data.len());
            self.unit.data.extend_from_slice(&START_CODE);
            self.unit.data.push((indicator & 0xe0) | kind);
        }
        let Some(begin) = self.fragment else {
            // Its beginning was lost.
            return self.unit.damaged = true;
        };
        if !self.unit.fits(body.len()) {
            self.unit.data.truncate(begin);
            return self.fragment = None;
        }
        self.unit.data.extend_from_slice(body);
        if end {
            self.unit.key |= kind == NAL_IDR;
            self.end_fragment(true);
        }
    }

    /// Closes the NAL unit whose fragments arrive; one that is not whole is cut off again, since
    /// half a slice breaks some decoders.
    fn end_fragment(&mut self, whole: bool) {
        if let Some(begin) = self.fragment.take()
            && !whole
        {
            self.unit.data.truncate(begin);
            self.unit.damaged = true;
        }
    }

    fn finish(&mut self) -> Option<Frame> {
        self.end_fragment(false);
        let unit = std::mem::take(&mut self.unit);
        let timestamp = unit.timestamp?;
        // A picture of which nothing was left still says that something is missing.
        let damaged = unit.is_damaged();
        if unit.data.is_empty() && !damaged {
            return None;
        }
        Some(Frame { data: unit.data, timestamp, key: unit.key, damaged })
    }
}

/// The packetization mode of RFC 6184 section 5.4, as `packetization-mode` says; absent means
/// single.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Mode 0: every packet is one NAL unit. The encoder must cap its slices at [`MTU`].
    #[default]
    Single,
    /// Mode 1: NAL units may be cut (FU-A) and put together (STAP-A).
    NonInterleaved,
}

/// Cuts access units into RTP payloads of [`MTU`] bytes at most.
#[derive(Debug, Clone, Copy, Default)]
pub struct Packetizer {
    mode: Mode,
}

impl Packetizer {
    /// A packetizer for what the receiver takes.
    #[must_use]
    pub const fn new(mode: Mode) -> Self {
        Self { mode }
    }

    /// The payloads of one access unit, which is in Annex B. The last one's packet bears the
    /// marker. In mode 1 parameter sets that stand together go into one STAP-A.
    ///
    /// # Errors
    /// [`PacketizeError::Empty`]; in mode 0 [`PacketizeError::TooLarge`];
    /// [`PacketizeError::NalType`] where a unit has type 0 or 24 to 31.
    pub fn packetize(&self, annex_b: &[u8]) -> Result<Vec<Vec<u8>>, PacketizeError> {
        let mut out = Vec::new();
        let mut sets: Vec<&[u8]> = Vec::new();
        for nal in nal_units(annex_b) {
            let kind = nal_type(nal.first().copied().unwrap_or_default());
            if !matches!(kind, 1..=23) {
                return Err(PacketizeError::NalType(kind));
            }
            if self.mode == Mode::Single {
                if nal.len() > MTU {
                    return Err(PacketizeError::TooLarge(nal.len()));
                }
                out.push(nal.to_vec());
                continue;
            }
            if matches!(kind, NAL_SPS | NAL_PPS) && nal.len() <= MTU {
                let size: usize = 1 + sets.iter().map(|s| 2 + s.len()).sum::<usize>();
                if size + 2 + nal.len() > MTU {
                    flush_sets(&mut sets, &mut out);
                }
                sets.push(nal);
                continue;
            }
            flush_sets(&mut sets, &mut out);
            if nal.len() <= MTU {
                out.push(nal.to_vec());
            } else {
                fragment(nal, &mut out);
            }
        }
        flush_sets(&mut sets, &mut out);
        if out.is_empty() { Err(PacketizeError::Empty) } else { Ok(out) }
    }
}

fn flush_sets(sets: &mut Vec<&[u8]>, out: &mut Vec<Vec<u8>>) {
    if let [one] = sets.as_slice() {
        out.push(one.to_vec());
    } else if !sets.is_empty() {
        // The aggregate's NRI is the highest of its units (RFC 6184 section 5.7).
        let nri = sets.iter().filter_map(|s| s.first()).map(|h| h & 0x60).max().unwrap_or_default();
        let mut packet = vec![nri | STAP_A];
        for set in sets.iter() {
            // Both fit: a set is never larger than a packet.
            packet.extend_from_slice(&(set.len() as u16).to_be_bytes());
            packet.extend_from_slice(set);
        }
        out.push(packet);
    }
    sets.clear();
}

/// FU-A (RFC 6184 section 5.8), in parts of even size so that none is tiny.
fn fragment(nal: &[u8], out: &mut Vec<Vec<u8>>) {
    let Some((header, body)) = nal.split_first() else { return };
    let parts = body.len().div_ceil(MTU - 2).max(1);
    let size = body.len().div_ceil(parts).max(1);
    let chunks = body.chunks(size);
    let last = chunks.len().saturating_sub(1);
    for (at, chunk) in chunks.enumerate() {
        let start = if at == 0 { 0x80 } else { 0 };
        let end = if at == last { 0x40 } else { 0 };
        let mut packet = Vec::with_capacity(2 + chunk.len());
        packet.extend([(header & 0x60) | FU_A, start | end | nal_type(*header)]);
        packet.extend_from_slice(chunk);
        out.push(packet);
    }
}

#[cfg(test)]
#[path = "h264_tests.rs"]
mod tests;
