//! The RTP header (RFC 3550 section 5.1), its extensions (RFC 8285), and telling RTP from RTCP.

use thiserror::Error;

const FIXED: usize = 12;
/// `defined by profile` of one-byte extensions (RFC 8285 section 4.2).
const ONE_BYTE: u16 = 0xbede;
/// The same of two-byte extensions, without the four application bits (section 4.3).
const TWO_BYTE: u16 = 0x1000;

/// Why bytes are no RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RtpError {
    /// The version is not 2.
    #[error("RTP version {0} is not 2")]
    Version(u8),
    /// The packet ends within what the field announces.
    #[error("RTP packet ends within its {0:?}")]
    Truncated(Part),
}

/// A part of an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The twelve bytes that are always there.
    Header,
    /// The contributing sources.
    Csrcs,
    /// The header extension.
    Extension,
    /// The padding.
    Padding,
}

/// What we read and write of an RTP header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Header {
    /// Payload type, 0..=127.
    pub pt: u8,
    /// Sequence number.
    pub seq: u16,
    /// Timestamp, in the clock rate of the format.
    pub timestamp: u32,
    /// Synchronization source.
    pub ssrc: u32,
    /// Marker bit.
    pub marker: bool,
}

impl Header {
    /// Appends the twelve bytes of the header to `out`; the payload follows it.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend([0x80, u8::from(self.marker) << 7 | self.pt & 0x7f]);
        out.extend(self.seq.to_be_bytes());
        out.extend(self.timestamp.to_be_bytes());
        out.extend(self.ssrc.to_be_bytes());
    }

    /// A packet with this header.
    #[must_use]
    pub fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED + payload.len());
        self.write(&mut out);
        out.extend_from_slice(payload);
        out
    }
}

/// A received RTP packet, cut into its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its header.
    pub header: Header,
    /// Its payload, without padding. May be empty.
    pub payload: &'a [u8],
    profile: u16,
    extension: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Cuts a packet. Every length in it is checked against what is there.
    ///
    /// # Errors
    /// [`RtpError`].
    pub fn parse(data: &'a [u8]) -> Result<Self, RtpError> {
        let mut packet = Self::parse_sealed(data)?;
        if data.first().is_some_and(|flags| flags & 0x20 != 0) {
            let padding = packet.payload.last().copied().map_or(0, usize::from);
            let end = packet.payload.len().checked_sub(padding).filter(|_| padding > 0);
            let payload = end.and_then(|end| packet.payload.get(..end));
            packet.payload = payload.ok_or(RtpError::Truncated(Part::Padding))?;
        }
        Ok(packet)
    }

    /// Cuts a packet whose payload, padding included, is encrypted.
    ///
    /// # Errors
    /// [`RtpError`].
    pub fn parse_sealed(data: &'a [u8]) -> Result<Self, RtpError> {
        let (fixed, rest) =
            data.split_first_chunk::<FIXED>().ok_or(RtpError::Truncated(Part::Header))?;
        let [flags, kind, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
        if flags >> 6 != 2 {
            return Err(RtpError::Version(flags >> 6));
        }
        let header = Header {
            pt: kind & 0x7f,
            seq: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            marker: kind & 0x80 != 0,
        };
        let (_, mut rest) = rest
            .split_at_checked(usize::from(flags & 0x0f) * 4)
            .ok_or(RtpError::Truncated(Part::Csrcs))?;
        let (mut profile, mut extension) = (0, [].as_slice());
        if flags & 0x10 != 0 {
            let cut = |rest: &'a [u8]| {
                let (head, rest) = rest.split_first_chunk::<4>()?;
                let [p0, p1, l0, l1] = *head;
                let words = usize::from(u16::from_be_bytes([l0, l1]));
                Some((u16::from_be_bytes([p0, p1]), rest.split_at_checked(words * 4)?))
            };
            (profile, (extension, rest)) = cut(rest).ok_or(RtpError::Truncated(Part::Extension))?;
        }
        Ok(Self { header, payload: rest, profile, extension })
    }

    /// The header extension element of a negotiated id (RFC 8285), 1..=14 in the short form.
    #[must_use]
    pub fn extension(&self, id: u8) -> Option<&'a [u8]> {
        let short = self.profile == ONE_BYTE;
        if !short && self.profile & 0xfff0 != TWO_BYTE {
            return None;
        }
        let mut rest = self.extension;
        loop {
            let (first, tail) = rest.split_first()?;
            if *first == 0 {
                rest = tail;
                continue;
            }
            let (this, len, tail) = if short {
                (first >> 4, usize::from(first & 0x0f) + 1, tail)
            } else {
                let (len, tail) = tail.split_first()?;
                (*first, usize::from(*len), tail)
            };
            if short && this == 15 {
                return None;
            }
            let (value, next) = tail.split_at_checked(len)?;
            if this == id {
                return Some(value);
            }
            rest = next;
        }
    }

    /// The loudness of the audio-level extension (RFC 6464), −127..=0 dBov, if the id was
    /// negotiated and the packet bears it.
    #[must_use]
    pub fn audio_level(&self, id: u8) -> Option<i8> {
        self.extension(id)?.first().map(|byte| -((byte & 0x7f) as i8))
    }
}

/// Whether a datagram on a shared port is RTCP (RFC 5761 section 4).
#[must_use]
pub fn is_rtcp(data: &[u8]) -> bool {
    matches!(data, [flags, 192..=223, ..] if flags >> 6 == 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;

    const HEADER: Header =
        Header { pt: 96, seq: 0xfffe, timestamp: 0xdead_beef, ssrc: 7, marker: true };

    /// A packet with two CSRCs, one-byte extensions 1 and 5, and padding of 4.
    fn dressed() -> Vec<u8> {
        let mut data = HEADER.packet(&[0, 0, 0, 1, 0, 0, 0, 2]);
        data[0] |= 0x32;
        data.extend([0xbe, 0xde, 0, 2, 0x10, 0xff, 0, 0x51, 1, 2, 0, 0]);
        data.extend([9, 8, 7, 0, 0, 0, 4]);
        data
    }

    #[test]
    fn a_written_packet_is_read_back() {
        let data = HEADER.packet(&[1, 2, 3]);
        let packet = Packet::parse(&data).unwrap();
        assert_eq!((packet.header, packet.payload), (HEADER, &[1, 2, 3][..]));
        assert!(!is_rtcp(&data) && is_rtcp(&[0x81, 200, 0, 0]));
    }

    #[test]
    fn sources_extensions_and_padding_are_taken_off() {
        let data = dressed();
        let packet = Packet::parse(&data).unwrap();
        assert_eq!(packet.payload, [9, 8, 7]);
        assert_eq!(packet.audio_level(1), Some(-127));
        assert_eq!(packet.extension(5), Some(&[1, 2][..]));
        assert_eq!(packet.extension(3), None);
    }

    #[test]
    fn two_byte_extensions_are_read() {
        let mut data = HEADER.packet(&[0x10, 0x00, 0, 2, 20, 3, 1, 2, 3, 21, 0, 0]);
        data[0] |= 0x10;
        let packet = Packet::parse(&data).unwrap();
        assert_eq!(packet.extension(20), Some(&[1, 2, 3][..]));
        assert_eq!(packet.extension(21), Some(&[][..]));
    }

    #[test]
    fn lengths_that_lie_are_refused_by_the_part_that_lies() {
        let parse = |data: &[u8]| Packet::parse(data).map(|_| ());
        let data = dressed();
        assert_eq!(parse(&data[..11]), Err(RtpError::Truncated(Part::Header)));
        assert_eq!(parse(&data[..19]), Err(RtpError::Truncated(Part::Csrcs)));
        assert_eq!(parse(&data[..31]), Err(RtpError::Truncated(Part::Extension)));
        for padding in [0, 8] {
            let mut lying = data.clone();
            *lying.last_mut().unwrap() = padding;
            assert_eq!(parse(&lying), Err(RtpError::Truncated(Part::Padding)));
        }
        assert_eq!(parse(&[0x40; 12]), Err(RtpError::Version(1)));
    }

    #[test]
    fn mutated_packets_never_panic() {
        let mut rng = Rng::new(0x3550);
        for _ in 0..200_000 {
            let mut data = dressed();
            rng.mutate(&mut data);
            if let Ok(packet) = Packet::parse(&data) {
                assert!(packet.payload.len() + FIXED <= data.len());
                for id in [0, 1, 5, 15] {
                    let _ = packet.extension(id);
                }
            }
        }
    }
}
