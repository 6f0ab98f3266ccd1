use super::{
    BYE, BitrateLimit, CNAME, FMT_FIR, FMT_PLI, FMT_TMMBN, MAX_ENTRIES, PSFB, RR, RTPFB,
    ReportBlock, SDES, SR, SenderInfo,
};

/// Builds a compound packet (RFC 3550 section 6.1): a report first, then the CNAME, then whatever
/// else there is. Lists are cut at [`MAX_ENTRIES`].
#[derive(Debug)]
#[must_use]
pub struct CompoundBuilder {
    ssrc: u32,
    out: Vec<u8>,
}

impl CompoundBuilder {
    /// Begins with a sender report where `sent` is known, with a receiver report otherwise.
    pub fn new(ssrc: u32, sent: Option<SenderInfo>, reports: &[ReportBlock], cname: &str) -> Self {
        let mut builder = Self { ssrc, out: Vec::with_capacity(128) };
        let reports = reports.get(..MAX_ENTRIES).unwrap_or(reports);
        let mut body = ssrc.to_be_bytes().to_vec();
        if let Some(info) = sent {
            body.extend(info.ntp.0.to_be_bytes());
            for word in [info.timestamp, info.packets, info.bytes] {
                body.extend(word.to_be_bytes());
            }
        }
        for report in reports {
            let lost = report.lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
            let loss = u32::from(report.fraction_lost) << 24 | lost;
            let head = [report.ssrc, loss, report.highest_seq];
            let tail = [report.jitter, report.last_sr, report.delay_since_sr];
            body.extend(head.into_iter().chain(tail).flat_map(u32::to_be_bytes));
        }
        builder.add(reports.len() as u8, if sent.is_some() { SR } else { RR }, &body);
        builder.cname(cname);
        builder
    }

    /// Says that we leave.
    pub fn bye(mut self) -> Self {
        self.add(1, BYE, &self.ssrc.to_be_bytes());
        self
    }

    /// Asks for a repair of a lost picture.
    pub fn pli(mut self, media: u32) -> Self {
        self.add(FMT_PLI, PSFB, &[self.ssrc.to_be_bytes(), media.to_be_bytes()].concat());
        self
    }

    /// Asks for a key frame. `seq` goes up with every new request, not with a repeated one.
    pub fn fir(mut self, media: u32, seq: u8) -> Self {
        let words = [self.ssrc, 0, media, u32::from(seq) << 24];
        self.add(FMT_FIR, PSFB, &words.map(u32::to_be_bytes).concat());
        self
    }

    /// Answers a TMMBR with the limits that are obeyed.
    pub fn tmmbn(mut self, limits: &[BitrateLimit]) -> Self {
        let mut body = [self.ssrc, 0].map(u32::to_be_bytes).concat();
        for limit in limits.iter().take(MAX_ENTRIES) {
            // 17 bits of mantissa, rounded down: to promise less than asked is safe.
            let exponent = (64 - limit.bitrate.leading_zeros()).saturating_sub(17);
            let mantissa = (limit.bitrate >> exponent) as u32 & 0x1_ffff;
            let word = exponent << 26 | mantissa << 9 | u32::from(limit.overhead & 0x1ff);
            body.extend([limit.ssrc, word].map(u32::to_be_bytes).concat());
        }
        self.add(FMT_TMMBN, RTPFB, &body);
        self
    }

    /// The compound's bytes.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    fn cname(&mut self, name: &str) {
        let name = name.as_bytes();
        let name = name.get(..255).unwrap_or(name);
        let mut body = self.ssrc.to_be_bytes().to_vec();
        body.extend([CNAME, name.len() as u8]);
        body.extend_from_slice(name);
        // At least one zero ends the items.
        body.resize((body.len() + 1).next_multiple_of(4), 0);
        self.add(1, SDES, &body);
    }

    /// Appends one packet; `body` is of whole words.
    fn add(&mut self, count: u8, kind: u8, body: &[u8]) {
        self.out.extend([0x80 | count, kind]);
        self.out.extend(((body.len() / 4) as u16).to_be_bytes());
        self.out.extend_from_slice(body);
    }
}
