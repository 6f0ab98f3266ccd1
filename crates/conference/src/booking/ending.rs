//! When a running meeting ends by itself. Reads no clock.

use std::time::Duration;

use types::Timestamp;

use super::settings::Settings;

/// Hosts who are gone for so long do not only load their page again.
const AWAY: Duration = Duration::from_secs(20);

/// What is known of one running meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    began: Timestamp,
    hosts: Hosts,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    /// None came yet.
    Awaited,
    Here,
    GoneSince(Timestamp),
}

impl Ending {
    /// A meeting that begins now.
    pub const fn new(now: Timestamp) -> Self {
        Self { began: now, hosts: Hosts::Awaited }
    }

    /// When it began.
    pub const fn began(&self) -> Timestamp {
        self.began
    }

    /// Whether it is over by the settings that it has now. `scheduled`: when the occurrence ends that
    /// takes place; `hosts`: how many are in it.
    pub fn is_due(
        &mut self,
        settings: &Settings,
        scheduled: Option<Timestamp>,
        hosts: usize,
        now: Timestamp,
    ) -> bool {
        self.hosts = match self.hosts {
            _ if hosts > 0 => Hosts::Here,
            Hosts::Here => Hosts::GoneSince(now),
            ref before => before.clone(),
        };
        let minutes = settings.limits.minutes.map(|it| Duration::from_secs(u64::from(it) * 60));
        let ends = settings.automatic_end;
        let long = minutes.is_some_and(|it| self.began.after(it) <= now);
        let late = ends.at_schedule_end && scheduled.is_some_and(|it| it <= now);
        let alone = match self.hosts {
            Hosts::GoneSince(since) => ends.without_host && since.after(AWAY) <= now,
            _ => false,
        };
        long || late || alone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::booking::AutomaticEnd;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn later(seconds: u64) -> Timestamp {
        NOW.after(Duration::from_secs(seconds))
    }

    #[test]
    fn it_ends_when_its_time_is_up() {
        let mut settings = Settings::default();
        let mut ending = Ending::new(NOW);
        assert!(!ending.is_due(&settings, Some(later(0)), 0, later(100_000)));
        settings.limits.minutes = Some(10);
        assert!(!ending.is_due(&settings, None, 1, later(599)));
        assert!(ending.is_due(&settings, None, 1, later(600)));
        let automatic_end = AutomaticEnd { at_schedule_end: true, ..Default::default() };
        let settings = Settings { automatic_end, ..Settings::default() };
        assert!(!ending.is_due(&settings, Some(later(60)), 1, later(59)));
        assert!(ending.is_due(&settings, Some(later(60)), 1, later(60)));
        assert!(!ending.is_due(&settings, None, 1, later(60)));
    }

    #[test]
    fn it_ends_without_a_host_but_not_before_one_came_or_while_one_loads_the_page_again() {
        let automatic_end = AutomaticEnd { without_host: true, ..Default::default() };
        let settings = Settings { automatic_end, ..Settings::default() };
        let mut ending = Ending::new(NOW);
        for (at, hosts, due) in [
            (0, 0, false),
            (100, 0, false),
            (101, 1, false),
            (200, 0, false),
            (219, 0, false),
            (219, 1, false),
            (300, 0, false),
            (319, 0, false),
            (320, 0, true),
        ] {
            assert_eq!(ending.is_due(&settings, None, hosts, later(at)), due, "{at}");
        }
    }
}
