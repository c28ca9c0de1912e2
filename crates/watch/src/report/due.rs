//! When a report is due: at an hour of the day in a time zone, once a day whatever the clock does.

use jiff::ToSpan;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use unmasq_flow::Timestamp;

/// The hour at which reports are sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    time: Time,
    zone: TimeZone,
}

impl Schedule {
    /// At that hour, 0 to 23, of the zone's days; `None` beyond. Where the clock is put forward over the hour, it is the
    /// moment behind the gap; where the hour comes twice, the first.
    pub fn new(hour: u8, zone: TimeZone) -> Option<Self> {
        let time = Time::new(i8::try_from(hour).ok()?, 0, 0, 0).ok()?;
        Some(Self { time, zone })
    }

    /// The zone.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The latest boundary between two reports at or before `now`.
    pub fn last(&self, now: Timestamp) -> Timestamp {
        self.around(now).into_iter().rfind(|boundary| *boundary <= now).unwrap_or(Timestamp::MIN)
    }

    /// The first boundary after `now`: no report is due before it.
    pub fn next(&self, now: Timestamp) -> Timestamp {
        self.around(now).into_iter().find(|boundary| *boundary > now).unwrap_or(Timestamp::MAX)
    }

    /// If a report is due at `now`, the end of the time that it is about. `until` is the end of the one before. After
    /// days without anybody to send them there is one report, not one for each.
    pub fn due(&self, until: Timestamp, now: Timestamp) -> Option<Timestamp> {
        Some(self.last(now)).filter(|last| *last > until)
    }

    /// The boundaries of the days around a moment, in order.
    fn around(&self, now: Timestamp) -> Vec<Timestamp> {
        let Ok(now) = jiff::Timestamp::from_nanosecond(i128::from(now.as_nanos())) else { return Vec::new() };
        let today = now.to_zoned(self.zone.clone()).date();
        // A zone that crosses the date line skips a day or has one twice: two days to either side are enough.
        let days = (-2..=2).filter_map(|days| today.checked_add(days.days()).ok());
        let boundaries = days.filter_map(|day| self.zone.to_timestamp(day.to_datetime(self.time)).ok());
        boundaries
            .map(|b| Timestamp::from_nanos(i64::try_from(b.as_nanosecond()).unwrap_or(i64::MAX)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn schedule(hour: u8, zone: &str) -> Schedule {
        Schedule::new(hour, TimeZone::get(zone).unwrap()).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        let time: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_nanos(time.as_nanosecond() as i64)
    }

    #[test]
    fn a_report_is_due_from_its_hour_on_and_once() {
        let paris = schedule(0, "Europe/Paris");
        let before = at("2026-11-20T22:59:59.999999999Z");
        assert_eq!(paris.due(paris.last(before), before), None);
        let boundary = at("2026-11-20T23:00:00Z");
        assert_eq!(paris.due(paris.last(before), boundary), Some(boundary));
        assert_eq!(paris.due(boundary, at("2026-11-21T12:00:00Z")), None);
        assert_eq!(paris.next(boundary), at("2026-11-21T23:00:00Z"));
    }

    #[test]
    fn downtime_over_the_hour_makes_it_due_at_the_start() {
        let paris = schedule(0, "Europe/Paris");
        let sent = at("2026-11-19T23:00:00Z");
        // Stopped at 23:50, started at 00:10: Pyruse leaves this report out.
        assert_eq!(paris.due(sent, at("2026-11-20T23:10:00Z")), Some(at("2026-11-20T23:00:00Z")));
        // Days later, there is one.
        let later = at("2026-11-24T08:00:00Z");
        let due = paris.due(sent, later).unwrap();
        assert_eq!(due, at("2026-11-23T23:00:00Z"));
        assert_eq!(paris.due(due, later), None);
    }

    #[test]
    fn an_hour_that_is_skipped_or_repeated_has_one_boundary() {
        // 2026-03-29: 02:00 becomes 03:00. 2026-10-25: 03:00 becomes 02:00.
        let paris = schedule(2, "Europe/Paris");
        assert_eq!(paris.last(at("2026-03-29T12:00:00Z")), at("2026-03-29T01:00:00Z"));
        let again = at("2026-10-25T01:30:00Z");
        assert_eq!(paris.last(again), at("2026-10-25T00:00:00Z"));
        assert_eq!(paris.due(paris.last(at("2026-10-25T00:30:00Z")), again), None);
        // Samoa had no 2011-12-30.
        let apia = schedule(8, "Pacific/Apia");
        assert_eq!(apia.last(at("2011-12-30T20:00:00Z")), at("2011-12-30T18:00:00Z"));
    }

    proptest! {
        #[test]
        fn every_day_has_one_report(
            hour in 0u8..24,
            zone in prop::sample::select(vec!["Europe/Paris", "America/Sao_Paulo", "Australia/Lord_Howe", "UTC", "Asia/Beirut"]),
            start in 1_500_000_000i64..1_800_000_000,
            steps in prop::collection::vec(1u64..7000, 500),
        ) {
            let schedule = schedule(hour, zone);
            let mut now = Timestamp::from_seconds(start);
            let mut until = schedule.last(now);
            let mut sent = Vec::new();
            for step in steps {
                now = now + Duration::from_secs(step);
                if let Some(due) = schedule.due(until, now) {
                    prop_assert!(until < due && due <= now && now < schedule.next(due));
                    sent.push(due);
                    until = due;
                }
            }
            let days: Vec<_> = sent.iter().map(|due| {
                jiff::Timestamp::from_nanosecond(i128::from(due.as_nanos())).unwrap().to_zoned(schedule.zone.clone()).date()
            }).collect();
            for pair in days.windows(2) {
                prop_assert_eq!(pair[0].tomorrow().unwrap(), pair[1]);
            }
        }
    }
}
