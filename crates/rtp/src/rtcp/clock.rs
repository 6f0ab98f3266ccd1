//! NTP time and our clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds from 1900 to 1970.
const NTP_TO_UNIX: u64 = 2_208_988_800;

/// Time as RTCP tells it: 32 bits of seconds since 1900, 32 bits of fraction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// The middle 32 bits, in 1/65536 s, that report blocks repeat.
    #[must_use]
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// How much later this is than `earlier`, as signed 1/2³² s over the shorter way round.
    const fn since(self, earlier: Self) -> i64 {
        self.0.wrapping_sub(earlier.0) as i64
    }
}

/// Converts between our monotonic clock and NTP, by one moment of which both are known.
///
/// Its own steps of the wall clock never show: RTCP wants a clock that runs evenly.
#[derive(Debug, Clone, Copy)]
pub struct NtpClock {
    anchor: Instant,
    ntp: NtpTime,
}

impl NtpClock {
    /// A clock by the moment `anchor`, at which the wall clock said `wall`.
    #[must_use]
    pub fn new(anchor: Instant, wall: SystemTime) -> Self {
        let unix = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = unix.as_secs().wrapping_add(NTP_TO_UNIX);
        Self { anchor, ntp: NtpTime((seconds << 32).wrapping_add(fraction(unix))) }
    }

    /// A peer's clock: by its sender report that said `ntp`, and our estimate of when that was.
    #[must_use]
    pub const fn of_peer(anchor: Instant, ntp: NtpTime) -> Self {
        Self { anchor, ntp }
    }

    /// What the wall clock says at `at`.
    #[must_use]
    pub fn ntp(&self, at: Instant) -> NtpTime {
        let after = to_ntp(at.saturating_duration_since(self.anchor));
        let before = to_ntp(self.anchor.saturating_duration_since(at));
        NtpTime(self.ntp.0.wrapping_add(after).wrapping_sub(before))
    }

    /// When the wall clock says `ntp`; `None` where our clock has no such moment.
    #[must_use]
    pub fn instant(&self, ntp: NtpTime) -> Option<Instant> {
        let step = ntp.since(self.ntp);
        let span = from_ntp(step.unsigned_abs());
        if step < 0 { self.anchor.checked_sub(span) } else { self.anchor.checked_add(span) }
    }
}

fn fraction(span: Duration) -> u64 {
    (u64::from(span.subsec_nanos()) << 32) / 1_000_000_000
}

fn to_ntp(span: Duration) -> u64 {
    (span.as_secs() << 32) | fraction(span)
}

fn from_ntp(units: u64) -> Duration {
    let nanos = ((units & 0xffff_ffff) * 1_000_000_000).div_ceil(1 << 32);
    Duration::from_secs(units >> 32) + Duration::from_nanos(nanos)
}
