//! On which days a rule falls. Days alone: time of day and time zone come later, so that a change to
//! daylight-saving time moves nothing here.
//!
//! Work is bounded twice. Periods are independent of each other, so the search begins at the period
//! that is asked for and not at the start; and it ends [`HORIZON_YEARS`] after the start, whatever
//! the rule says: at most some 37,000 periods, of one day each when there are so many.

use std::collections::VecDeque;

use jiff::SignedDuration;
use jiff::civil::{Date, Weekday};

use super::rule::{ByDay, Frequency, Rule};

/// A meeting that is asked for longer than this after its first occurrence is over.
pub(super) const HORIZON_YEARS: i16 = 100;

/// The days of a rule from a period on, in order.
pub(super) struct Days<'a> {
    rule: &'a Pattern,
    period: i64,
    found: VecDeque<Date>,
}

/// A rule with what it takes from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    rule: Rule,
    start: Date,
}

impl Pattern {
    /// Where no part of the rule names a day, the start does (RFC 5545 section 3.3.10: "derived
    /// from the Start Time").
    pub(super) fn new(rule: &Rule, start: Date) -> Self {
        let mut rule = rule.clone();
        let no_day = rule.month_days.is_empty() && rule.weekdays.is_empty();
        match rule.frequency {
            Frequency::Weekly if rule.weekdays.is_empty() => {
                rule.weekdays.push(ByDay { ordinal: None, weekday: start.weekday() });
            }
            Frequency::Monthly if no_day => rule.month_days.push(start.day()),
            Frequency::Yearly if no_day && rule.year_days.is_empty() => {
                rule.month_days.push(start.day());
                if rule.months.is_empty() {
                    rule.months.push(start.month());
                }
            }
            _ => {}
        }
        Self { rule, start }
    }

    /// Whether the rule falls on its own start.
    pub(super) fn falls_on_its_start(&self) -> bool {
        self.days_of(0).is_some_and(|days| days.contains(&self.start))
    }

    /// All days from the start on.
    pub(super) fn days(&self) -> Days<'_> {
        Days { rule: self, period: 0, found: VecDeque::new() }
    }

    /// The days from the period on that `day` is in, so some that are before it.
    pub(super) fn days_around(&self, day: Date) -> Days<'_> {
        let apart = match self.rule.frequency {
            Frequency::Daily => days_between(self.start, day),
            Frequency::Weekly => days_between(self.week_of_start(), day).div_euclid(7),
            Frequency::Monthly => month_number(day) - month_number(self.start),
            Frequency::Yearly => i64::from(day.year()) - i64::from(self.start.year()),
        };
        let period = apart.div_euclid(i64::from(self.rule.interval)).max(0);
        Days { rule: self, period, found: VecDeque::new() }
    }

    fn week_of_start(&self) -> Date {
        let into_week = self.start.weekday().since(self.rule.week_start);
        self.start.saturating_sub(days(i64::from(into_week)))
    }

    /// The days of a period, in order; `None` beyond the horizon.
    fn days_of(&self, period: i64) -> Option<Vec<Date>> {
        let (first, len) = self.span(period)?;
        if first.year() > self.start.year().saturating_add(HORIZON_YEARS) {
            return None;
        }
        let mut set = Vec::new();
        let mut day = first;
        for _ in 0..len {
            if self.is_in(day) {
                set.push(day);
            }
            day = day.tomorrow().ok()?;
        }
        Some(self.at_positions(set))
    }

    /// The first day and the length of a period.
    fn span(&self, period: i64) -> Option<(Date, i16)> {
        let steps = period.checked_mul(i64::from(self.rule.interval))?;
        match self.rule.frequency {
            Frequency::Daily => Some((self.start.checked_add(days(steps)).ok()?, 1)),
            Frequency::Weekly => {
                let steps = steps.checked_mul(7)?;
                Some((self.week_of_start().checked_add(days(steps)).ok()?, 7))
            }
            Frequency::Monthly => {
                let number = month_number(self.start).checked_add(steps)?;
                let year = i16::try_from(number.div_euclid(12)).ok()?;
                let month = i8::try_from(number.rem_euclid(12) + 1).ok()?;
                let first = Date::new(year, month, 1).ok()?;
                Some((first, i16::from(first.days_in_month())))
            }
            Frequency::Yearly => {
                let year = i64::from(self.start.year()).checked_add(steps)?;
                let first = Date::new(i16::try_from(year).ok()?, 1, 1).ok()?;
                Some((first, first.days_in_year()))
            }
        }
    }

    fn is_in(&self, day: Date) -> bool {
        let rule = &self.rule;
        let one_of = |list: &[i16], from_start: i16, len: i16| {
            list.is_empty() || list.contains(&from_start) || list.contains(&(from_start - len - 1))
        };
        let month_days: bool = rule.month_days.is_empty()
            || rule.month_days.contains(&day.day())
            || rule.month_days.contains(&(day.day() - day.days_in_month() - 1));
        (rule.months.is_empty() || rule.months.contains(&day.month()))
            && month_days
            && one_of(&rule.year_days, day.day_of_year(), day.days_in_year())
            && (rule.weekdays.is_empty()
                || rule.weekdays.iter().any(|it| self.is_weekday(*it, day)))
    }

    /// A number in BYDAY counts within the month, or within the year where a yearly rule names no
    /// month.
    fn is_weekday(&self, wanted: ByDay, day: Date) -> bool {
        if wanted.weekday != day.weekday() {
            return false;
        }
        let Some(ordinal) = wanted.ordinal else { return true };
        let in_year = self.rule.frequency == Frequency::Yearly && self.rule.months.is_empty();
        let (at, len) = if in_year {
            (day.day_of_year(), day.days_in_year())
        } else {
            (i16::from(day.day()), i16::from(day.days_in_month()))
        };
        let ordinal = i16::from(ordinal);
        if ordinal > 0 { (at - 1) / 7 + 1 == ordinal } else { (len - at) / 7 + 1 == -ordinal }
    }

    fn at_positions(&self, set: Vec<Date>) -> Vec<Date> {
        if self.rule.positions.is_empty() {
            return set;
        }
        let len = set.len();
        let index = |position: i16| {
            let distance = usize::from(position.unsigned_abs());
            if position > 0 { distance.checked_sub(1) } else { len.checked_sub(distance) }
        };
        let mut picked: Vec<Date> = self
            .rule
            .positions
            .iter()
            .filter_map(|position| set.get(index(*position)?).copied())
            .collect();
        picked.sort_unstable();
        picked.dedup();
        picked
    }
}

impl Iterator for Days<'_> {
    type Item = Date;

    fn next(&mut self) -> Option<Date> {
        loop {
            if let Some(day) = self.found.pop_front() {
                return Some(day);
            }
            let days = self.rule.days_of(self.period)?;
            self.period += 1;
            self.found.extend(days.into_iter().filter(|day| *day >= self.rule.start));
        }
    }
}

fn days(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count.saturating_mul(86_400))
}

fn days_between(from: Date, to: Date) -> i64 {
    from.duration_until(to).as_secs().div_euclid(86_400)
}

fn month_number(day: Date) -> i64 {
    i64::from(day.year()) * 12 + i64::from(day.month()) - 1
}

/// The n-th weekday of its month (1 to 5), and whether it is the last one.
pub(crate) fn place_in_month(day: Date) -> (Weekday, i8, bool) {
    (day.weekday(), (day.day() - 1) / 7 + 1, day.day() + 7 > day.days_in_month())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(rule: &str, start: &str) -> Pattern {
        Pattern::new(&Rule::parse(rule).unwrap(), start.parse().unwrap())
    }

    #[test]
    fn rules_fall_on_the_days_that_the_rfc_gives() {
        // Most are examples of RFC 5545 section 3.8.5.3.
        for (rule, start, days) in [
            ("FREQ=DAILY;INTERVAL=10", "1997-09-02", "0902 0912 0922 1002"),
            ("FREQ=DAILY;BYMONTH=1", "1998-01-30", "0130 0131 0101 0102"),
            ("FREQ=WEEKLY", "1997-09-02", "0902 0909 0916 0923"),
            ("FREQ=WEEKLY;INTERVAL=2;WKST=SU", "1997-09-02", "0902 0916 0930 1014"),
            ("FREQ=WEEKLY;WKST=SU;BYDAY=TU,TH", "1997-09-02", "0902 0904 0909 0911"),
            ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=MO", "1997-08-05", "0805 0810 0819 0824"),
            ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU", "1997-08-05", "0805 0817 0819 0831"),
            ("FREQ=MONTHLY;BYDAY=1FR", "1997-09-05", "0905 1003 1107 1205"),
            ("FREQ=MONTHLY;INTERVAL=2;BYDAY=1SU,-1SU", "1997-09-07", "0907 0928 1102 1130"),
            ("FREQ=MONTHLY;BYDAY=-2MO", "1997-09-22", "0922 1020 1117 1222"),
            ("FREQ=MONTHLY;BYMONTHDAY=-3", "1997-09-28", "0928 1029 1128 1229"),
            ("FREQ=MONTHLY;BYMONTHDAY=1,-1", "1997-09-30", "0930 1001 1031 1101"),
            ("FREQ=MONTHLY", "1997-01-31", "0131 0331 0531 0731"),
            ("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "1998-02-13", "0213 0313 1113 0813"),
            ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2", "1997-09-29", "0929 1030 1127 1230"),
            ("FREQ=MONTHLY;BYDAY=TU,WE,TH;BYSETPOS=3", "1997-09-04", "0904 1007 1106 1204"),
            ("FREQ=YEARLY;BYMONTH=6,7", "1997-06-10", "0610 0710 0610 0710"),
            ("FREQ=YEARLY;INTERVAL=3;BYYEARDAY=1,100,200", "1997-01-01", "0101 0410 0719 0101"),
            ("FREQ=YEARLY;BYDAY=20MO", "1997-05-19", "0519 0518 0517 0515"),
            ("FREQ=YEARLY;BYMONTH=3;BYDAY=TH", "1997-03-13", "0313 0320 0327 0305"),
            ("FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU", "2026-03-29", "0329 0328 0326 0325"),
            ("FREQ=YEARLY", "2024-02-29", "0229 0229 0229 0229"),
            (
                "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
                "1996-11-05",
                "1105 1107 1102 1104",
            ),
        ] {
            let pattern = pattern(rule, start);
            assert!(pattern.falls_on_its_start(), "{rule}");
            let found: Vec<_> =
                pattern.days().take(4).map(|it| it.strftime("%m%d").to_string()).collect();
            assert_eq!(found.join(" "), days, "{rule} from {start}");
        }
    }

    #[test]
    fn beginning_in_the_middle_finds_the_same_days() {
        for rule in [
            "FREQ=DAILY;INTERVAL=3",
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,TU;WKST=SU",
            "FREQ=MONTHLY;INTERVAL=5;BYMONTHDAY=2,-1",
            "FREQ=YEARLY;INTERVAL=2;BYDAY=-1TU",
        ] {
            let pattern = pattern(rule, "2025-12-30");
            let all: Vec<_> = pattern.days().take(300).collect();
            for day in all.iter().step_by(7) {
                let later: Vec<_> =
                    pattern.days_around(*day).filter(|it| it >= day).take(5).collect();
                let at = all.iter().position(|it| it == day).unwrap();
                let expected: Vec<_> = all[at..].iter().copied().take(5).collect();
                assert_eq!(later[..expected.len()], expected, "{rule} from {day}");
            }
        }
    }

    #[test]
    fn a_rule_that_does_not_fall_on_its_start_is_noticed() {
        for (rule, start) in [
            ("FREQ=WEEKLY;BYDAY=MO", "2026-03-03"),
            ("FREQ=MONTHLY;BYMONTHDAY=31", "2026-03-30"),
            ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "2026-02-28"),
            ("FREQ=WEEKLY;BYDAY=MO,WE;BYSETPOS=1", "2026-03-04"),
        ] {
            assert!(!pattern(rule, start).falls_on_its_start(), "{rule}");
        }
    }
}
