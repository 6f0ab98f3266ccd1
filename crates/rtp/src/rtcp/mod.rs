//! RTCP: reading and building compound packets, statistics, and NTP time.
//!
//! [`read`] takes a datagram (decrypted) apart and leaves out what it does not know;
//! [`CompoundBuilder`] makes one. Feedback is taken under plain AVP too: room systems send it.

mod build;
mod clock;
mod read;
mod stats;

pub use build::CompoundBuilder;
pub use clock::{NtpClock, NtpTime};
pub use read::{RtcpError, read};
pub use stats::{ReceiverStats, SenderStats};

/// Report blocks, sources, entries of one packet that are read at most; a count field has 5 bits.
pub const MAX_ENTRIES: usize = 31;
/// Sequence numbers of all NACKs in one datagram that are read at most.
pub const MAX_NACKS: usize = 1024;

const SR: u8 = 200;
const RR: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;
const RTPFB: u8 = 205;
const PSFB: u8 = 206;
/// RFC 2032 section 5.2.1.
const OLD_FIR: u8 = 192;
const CNAME: u8 = 1;
const FMT_NACK: u8 = 1;
const FMT_TMMBR: u8 = 3;
const FMT_TMMBN: u8 = 4;
const FMT_PLI: u8 = 1;
const FMT_FIR: u8 = 4;
const FMT_AFB: u8 = 15;

/// One RTCP packet of a compound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rtcp {
    /// Sender report (RFC 3550 section 6.4.1).
    SenderReport {
        /// Who reports.
        ssrc: u32,
        /// What it has sent.
        info: SenderInfo,
        /// What it has received.
        reports: Vec<ReportBlock>,
    },
    /// Receiver report (section 6.4.2).
    ReceiverReport {
        /// Who reports.
        ssrc: u32,
        /// What it has received.
        reports: Vec<ReportBlock>,
    },
    /// The CNAME of a source (section 6.5.1). Other items are left out.
    Cname {
        /// Whose.
        ssrc: u32,
        /// The name; bytes that are no UTF-8 are replaced.
        name: String,
    },
    /// These sources left (section 6.6).
    Bye {
        /// Who.
        sources: Vec<u32>,
    },
    /// A picture was lost (RFC 4585 section 6.3.1).
    Pli {
        /// Of which source.
        media: u32,
    },
    /// A key frame is wanted (RFC 5104 section 4.3.1).
    Fir {
        /// Of which source.
        media: u32,
        /// A repeated request bears the same number.
        seq: u8,
    },
    /// A key frame is wanted, as H.261 devices and their heirs say it (RFC 2032 section 5.2.1).
    OldFir {
        /// Of which source.
        media: u32,
    },
    /// Packets are missing (RFC 4585 section 6.2.1).
    Nack {
        /// Of which source.
        media: u32,
        /// Their sequence numbers.
        lost: Vec<u16>,
    },
    /// The receiver's estimate of the path, bits/s (draft-alvestrand-rmcat-remb).
    Remb {
        /// Bits/s, for all sources together.
        bitrate: u64,
        /// The sources it is about.
        sources: Vec<u32>,
    },
    /// The receiver wants no more than that (RFC 5104 section 4.2.1). To be answered by a TMMBN.
    Tmmbr {
        /// Who asks.
        sender: u32,
        /// The limits, each for one of our sources.
        limits: Vec<BitrateLimit>,
    },
    /// The sender's answer to a TMMBR (RFC 5104 section 4.2.2).
    Tmmbn {
        /// Who answers.
        sender: u32,
        /// The limits that bind it now; their sources are those who asked.
        limits: Vec<BitrateLimit>,
    },
}

/// What a sender report tells of the sender.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// When the report was made, by the sender's clock.
    pub ntp: NtpTime,
    /// The same moment as an RTP timestamp.
    pub timestamp: u32,
    /// Packets sent. Wraps.
    pub packets: u32,
    /// Payload bytes sent. Wraps.
    pub bytes: u32,
}

/// What a receiver tells of one source (RFC 3550 section 6.4.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source.
    pub ssrc: u32,
    /// Share of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning, −2²³..2²³; negative with duplicates.
    pub lost: i32,
    /// Highest extended sequence number.
    pub highest_seq: u32,
    /// Interarrival jitter, in ticks of the format's clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report; 0 if there was none.
    pub last_sr: u32,
    /// Delay since that, in 1/65536 s.
    pub delay_since_sr: u32,
}

/// One entry of a TMMBR or TMMBN (RFC 5104 section 4.2.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitrateLimit {
    /// The source that is limited (TMMBR), or who limits (TMMBN).
    pub ssrc: u32,
    /// Bits/s, with the overhead.
    pub bitrate: u64,
    /// Bytes of headers that each packet adds, 0..=511.
    pub overhead: u16,
}

#[cfg(test)]
mod tests;
