//! Session timers (RFC 4028): who refreshes, how often, and when a silent call is over.

use std::time::{Duration, Instant};

/// The shortest interval that is accepted, in seconds (RFC 4028 section 4).
pub(super) const MIN_SE: u32 = 90;

/// The interval that we ask for as the caller, in seconds.
pub(super) const DEFAULT_SE: u32 = 1800;

/// The longest interval that is believed, in seconds: a day.
const MAX_SE: u32 = 86_400;

/// Who sends the refreshes: the one that sent the request in question, or the one that answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refresher {
    Uac,
    Uas,
}

/// A `Session-Expires` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionExpires {
    pub(super) seconds: u32,
    pub(super) refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Reads a header's value; `None` for one that makes no sense, which is then as good as none.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split(';').map(str::trim);
        let seconds = parts.next()?.parse::<u32>().ok()?.min(MAX_SE);
        let refresher = parts.filter_map(|part| part.split_once('=')).find_map(|(name, value)| {
            if !name.trim().eq_ignore_ascii_case("refresher") {
                return None;
            }
            match value.trim() {
                uac if uac.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
                uas if uas.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
                _ => None,
            }
        });
        Some(Self { seconds, refresher })
    }
}

impl std::fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.seconds)?;
        match self.refresher {
            Some(Refresher::Uac) => f.write_str(";refresher=uac"),
            Some(Refresher::Uas) => f.write_str(";refresher=uas"),
            None => Ok(()),
        }
    }
}

/// The interval that was asked for is under [`MIN_SE`]: answer 422.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IntervalTooSmall;

/// What we answer to a request as its UAS (RFC 4028 section 9, table 2): the caller refreshes
/// where it can, as it knows best when the path to it works.
pub(super) fn answer(
    asked: Option<SessionExpires>,
    peer_supports_timer: bool,
) -> Result<Option<SessionExpires>, IntervalTooSmall> {
    let Some(asked) = asked else { return Ok(None) };
    if asked.seconds < MIN_SE {
        return Err(IntervalTooSmall);
    }
    let refresher = match (peer_supports_timer, asked.refresher) {
        (false, _) | (true, Some(Refresher::Uas)) => Refresher::Uas,
        (true, Some(Refresher::Uac) | None) => Refresher::Uac,
    };
    Ok(Some(SessionExpires { seconds: asked.seconds, refresher: Some(refresher) }))
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Send a refresh.
    Refresh,
    /// Nobody refreshed: the call is over.
    Expired,
}

/// A running session timer. Time is an argument.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionTimer {
    interval: Duration,
    we_refresh: bool,
    refreshed: Instant,
    /// The next refresh of ours.
    refresh_at: Instant,
}

impl SessionTimer {
    pub(super) fn new(seconds: u32, we_refresh: bool, now: Instant) -> Self {
        let interval = Duration::from_secs(u64::from(seconds.clamp(MIN_SE, MAX_SE)));
        Self { interval, we_refresh, refreshed: now, refresh_at: now + interval / 2 }
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Instant {
        let expiry = self.refreshed + self.interval;
        if self.we_refresh { self.refresh_at.min(expiry) } else { expiry }
    }

    /// What is due at `now`. A refresh that stays without an answer is repeated in a sixth of
    /// the interval: one lost refresh must not end a healthy call.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Due> {
        if now >= self.refreshed + self.interval {
            return Some(Due::Expired);
        }
        if self.we_refresh && now >= self.refresh_at {
            self.refresh_at = now + self.interval / 6;
            return Some(Due::Refresh);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> SessionExpires {
        SessionExpires::parse(text).unwrap()
    }

    #[test]
    fn headers_as_devices_send_them() {
        assert_eq!(parse(" 1800"), SessionExpires { seconds: 1800, refresher: None });
        let uas = SessionExpires { seconds: 600, refresher: Some(Refresher::Uas) };
        assert_eq!(parse("600 ; x=1;Refresher = UAS"), uas);
        assert_eq!(SessionExpires::parse("soon"), None);
        assert_eq!(SessionExpires::parse("4294967296"), None);
        assert_eq!(uas.to_string(), "600;refresher=uas");
    }

    #[test]
    fn the_caller_refreshes_where_it_can() {
        assert_eq!(answer(None, true), Ok(None));
        assert_eq!(answer(Some(parse("89")), true), Err(IntervalTooSmall));
        let answered = |text, supports| answer(Some(parse(text)), supports).unwrap().unwrap();
        assert_eq!(answered("1800", true).to_string(), "1800;refresher=uac");
        assert_eq!(answered("90;refresher=uac", true).to_string(), "90;refresher=uac");
        assert_eq!(answered("1800;refresher=uas", true).to_string(), "1800;refresher=uas");
        assert_eq!(answered("1800", false).to_string(), "1800;refresher=uas");
    }

    #[test]
    fn a_silent_peer_is_given_the_whole_interval_and_no_more() {
        let start = Instant::now();
        let mut timer = SessionTimer::new(90, false, start);
        assert_eq!(timer.deadline(), start + Duration::from_secs(90));
        assert_eq!(timer.poll(start + Duration::from_secs(89)), None);
        assert_eq!(timer.poll(start + Duration::from_secs(90)), Some(Due::Expired));
    }

    #[test]
    fn our_refresh_is_repeated_until_the_call_expires() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timer = SessionTimer::new(90, true, start);
        assert_eq!(timer.deadline(), at(45));
        assert_eq!(timer.poll(at(45)), Some(Due::Refresh));
        assert_eq!(timer.poll(at(46)), None);
        assert_eq!(timer.poll(at(60)), Some(Due::Refresh));
        assert_eq!(timer.poll(at(75)), Some(Due::Refresh));
        assert_eq!(timer.poll(at(90)), Some(Due::Expired));
    }
}
