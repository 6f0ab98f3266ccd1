use thiserror::Error;

use super::{
    BYE, BitrateLimit, CNAME, FMT_AFB, FMT_FIR, FMT_NACK, FMT_PLI, FMT_TMMBN, FMT_TMMBR,
    MAX_ENTRIES, MAX_NACKS, NtpTime, OLD_FIR, PSFB, RR, RTPFB, ReportBlock, Rtcp, SDES, SR,
    SenderInfo,
};

/// Why a datagram is no RTCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RtcpError {
    /// A header is not of version 2, at this byte of the datagram.
    #[error("no RTCP header at byte {0}")]
    Header(usize),
    /// A packet is longer than the rest of the datagram.
    #[error("RTCP packet at byte {0} is cut off")]
    Truncated(usize),
    /// The content is shorter than its kind needs.
    #[error("RTCP packet of type {kind} at byte {at} is too short")]
    Short {
        /// Its first byte in the datagram.
        at: usize,
        /// Its packet type.
        kind: u8,
    },
}

/// Reads the packets of a compound, in order; unknown kinds are left out. A single packet is taken
/// too (RFC 5506).
///
/// # Errors
/// [`RtcpError`], for the first packet that is malformed: nothing after it can be trusted.
pub fn read(datagram: &[u8]) -> Result<Vec<Rtcp>, RtcpError> {
    let mut out = Vec::new();
    let mut nacks = MAX_NACKS;
    let mut rest = datagram;
    while !rest.is_empty() {
        let at = datagram.len() - rest.len();
        let Some((&[flags, kind, l0, l1], tail)) = rest.split_first_chunk::<4>() else {
            return Err(RtcpError::Header(at));
        };
        if flags >> 6 != 2 {
            return Err(RtcpError::Header(at));
        }
        let len = usize::from(u16::from_be_bytes([l0, l1])) * 4;
        let (body, next) = tail.split_at_checked(len).ok_or(RtcpError::Truncated(at))?;
        let padding =
            if flags & 0x20 != 0 { body.last().map_or(0, |b| usize::from(*b)) } else { 0 };
        let body = body.len().checked_sub(padding).and_then(|end| body.get(..end));
        read_one(
            flags & 0x1f,
            kind,
            Words(body.ok_or(RtcpError::Truncated(at))?),
            &mut nacks,
            &mut out,
        )
        .ok_or(RtcpError::Short { at, kind })?;
        rest = next;
    }
    Ok(out)
}

/// Reads from the front of a packet's body.
#[derive(Clone, Copy)]
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (head, tail) = self.0.split_first_chunk::<4>()?;
        self.0 = tail;
        Some(u32::from_be_bytes(*head))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from(self.u32()?) << 32 | u64::from(self.u32()?))
    }

    fn reports(mut self, count: u8) -> Option<Vec<ReportBlock>> {
        (0..count).map(|_| self.report()).collect()
    }

    fn report(&mut self) -> Option<ReportBlock> {
        let ssrc = self.u32()?;
        let loss = self.u32()?;
        Some(ReportBlock {
            ssrc,
            fraction_lost: (loss >> 24) as u8,
            // Sign of 24 bits.
            lost: ((loss << 8) as i32) >> 8,
            highest_seq: self.u32()?,
            jitter: self.u32()?,
            last_sr: self.u32()?,
            delay_since_sr: self.u32()?,
        })
    }

    fn limits(mut self) -> Vec<BitrateLimit> {
        let limit = || {
            let ssrc = self.u32()?;
            let word = self.u32()?;
            let bitrate = u64::from(word >> 9 & 0x1_ffff).checked_shl(word >> 26);
            let bitrate = bitrate.filter(|b| b >> (word >> 26) == u64::from(word >> 9 & 0x1_ffff));
            let overhead = (word & 0x1ff) as u16;
            Some(BitrateLimit { ssrc, bitrate: bitrate.unwrap_or(u64::MAX), overhead })
        };
        std::iter::from_fn(limit).take(MAX_ENTRIES).collect()
    }
}

fn read_one(
    count: u8,
    kind: u8,
    mut body: Words<'_>,
    nacks: &mut usize,
    out: &mut Vec<Rtcp>,
) -> Option<()> {
    match kind {
        SR => {
            let ssrc = body.u32()?;
            let info = SenderInfo {
                ntp: NtpTime(body.u64()?),
                timestamp: body.u32()?,
                packets: body.u32()?,
                bytes: body.u32()?,
            };
            out.push(Rtcp::SenderReport { ssrc, info, reports: body.reports(count)? });
        }
        RR => {
            let ssrc = body.u32()?;
            out.push(Rtcp::ReceiverReport { ssrc, reports: body.reports(count)? });
        }
        SDES => read_sdes(count, body.0, out)?,
        BYE => {
            let sources = (0..count).map(|_| body.u32()).collect::<Option<_>>()?;
            out.push(Rtcp::Bye { sources });
        }
        OLD_FIR => out.push(Rtcp::OldFir { media: body.u32()? }),
        RTPFB | PSFB => {
            let (sender, media) = (body.u32()?, body.u32()?);
            match (kind, count) {
                (RTPFB, FMT_NACK) => read_nack(media, body, nacks, out),
                (RTPFB, FMT_TMMBR) => out.push(Rtcp::Tmmbr { sender, limits: body.limits() }),
                (RTPFB, FMT_TMMBN) => out.push(Rtcp::Tmmbn { sender, limits: body.limits() }),
                (PSFB, FMT_PLI) => out.push(Rtcp::Pli { media }),
                (PSFB, FMT_FIR) => read_fir(media, body, out),
                (PSFB, FMT_AFB) => read_remb(body, out),
                _ => {}
            }
        }
        _ => {}
    }
    Some(())
}

/// Items of each chunk end with a zero byte and are padded to 32 bits (RFC 3550 section 6.5).
fn read_sdes(count: u8, body: &[u8], out: &mut Vec<Rtcp>) -> Option<()> {
    let mut rest = body;
    for _ in 0..count {
        let (ssrc, tail) = rest.split_first_chunk::<4>()?;
        rest = tail;
        loop {
            let (item, tail) = rest.split_first()?;
            if *item == 0 {
                let at = body.len() - tail.len();
                rest = body.get(at.next_multiple_of(4)..)?;
                break;
            }
            let (len, tail) = tail.split_first()?;
            let (value, tail) = tail.split_at_checked(usize::from(*len))?;
            rest = tail;
            if *item == CNAME {
                let name = String::from_utf8_lossy(value).into_owned();
                out.push(Rtcp::Cname { ssrc: u32::from_be_bytes(*ssrc), name });
            }
        }
    }
    Some(())
}

fn read_nack(media: u32, mut body: Words<'_>, budget: &mut usize, out: &mut Vec<Rtcp>) {
    let mut lost = Vec::new();
    while let Some(word) = body.u32() {
        let (first, mask) = ((word >> 16) as u16, word as u16);
        let masked = (0..16).filter(|bit| mask >> bit & 1 == 1);
        let numbers = std::iter::once(first).chain(masked.map(|bit| first.wrapping_add(bit + 1)));
        for number in numbers {
            if *budget == 0 {
                break;
            }
            *budget -= 1;
            lost.push(number);
        }
    }
    if !lost.is_empty() {
        out.push(Rtcp::Nack { media, lost });
    }
}

/// Its entries name the sources; some devices send none and name it as PLI does.
fn read_fir(media: u32, mut body: Words<'_>, out: &mut Vec<Rtcp>) {
    let mut entries = 0;
    while let (Some(media), Some(word)) = (body.u32(), body.u32()) {
        if entries == MAX_ENTRIES {
            return;
        }
        entries += 1;
        out.push(Rtcp::Fir { media, seq: (word >> 24) as u8 });
    }
    if entries == 0 {
        out.push(Rtcp::Fir { media, seq: 0 });
    }
}

fn read_remb(mut body: Words<'_>, out: &mut Vec<Rtcp>) {
    if body.u32() != Some(u32::from_be_bytes(*b"REMB")) {
        return;
    }
    let Some(word) = body.u32() else { return };
    let (count, exponent, mantissa) = (word >> 24, word >> 18 & 0x3f, u64::from(word & 0x3_ffff));
    // A rate over 64 bits is no limit.
    let shifted = mantissa.checked_shl(exponent).filter(|b| b >> exponent == mantissa);
    let sources = std::iter::from_fn(|| body.u32()).take((count as usize).min(MAX_ENTRIES));
    out.push(Rtcp::Remb { bitrate: shifted.unwrap_or(u64::MAX), sources: sources.collect() });
}
