//! When what is on record falls due, told by a clock that nobody sets.

use std::time::{Duration, Instant};

use aod_resources::Timestamp;

use super::fold::Due;

/// The moment that is waited for.
///
/// Records bear the time of day, since they outlive the process, and the time of day may be set
/// meanwhile. So it is asked once for each moment, which is waited for no longer than was asked
/// for, and from then on only a clock that runs evenly counts.
#[derive(Default)]
pub(super) struct Alarm(Option<(Due, Instant)>);

impl Alarm {
    /// How long it is until then; zero once it has come.
    pub(super) fn left(&mut self, due: Due) -> Duration {
        self.left_at(due, Timestamp::now().as_micros(), Instant::now())
    }

    fn left_at(&mut self, due: Due, time_of_day: i64, now: Instant) -> Duration {
        let rings = match self.0 {
            Some((known, rings)) if known == due => rings,
            _ => {
                let whole = due.at.saturating_sub(due.since).max(0);
                let left = due.at.saturating_sub(time_of_day).clamp(0, whole);
                let rings = now + Duration::from_micros(left.unsigned_abs());
                self.0 = Some((due, rings));
                rings
            }
        };
        rings.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const HOUR: i64 = 3600 * SECOND;
    const SINCE: i64 = 1000 * HOUR;
    const DUE: Due = Due {
        at: SINCE + 60 * SECOND,
        since: SINCE,
    };

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn time_passes() {
        let (mut alarm, begun) = (Alarm::default(), Instant::now());
        let mut left = |passed: i64| {
            let now = begun + Duration::from_micros(passed.unsigned_abs());
            alarm.left_at(DUE, SINCE + passed, now)
        };
        assert_eq!(left(20 * SECOND), seconds(40));
        assert_eq!(left(59 * SECOND), seconds(1));
        assert_eq!(left(60 * SECOND), Duration::ZERO);
        assert_eq!(left(61 * SECOND), Duration::ZERO);
    }

    #[test]
    fn a_clock_that_is_set_meanwhile_changes_nothing() {
        for jump in [-HOUR, HOUR] {
            let (mut alarm, begun) = (Alarm::default(), Instant::now());
            assert_eq!(alarm.left_at(DUE, SINCE + 20 * SECOND, begun), seconds(40));
            let later = begun + seconds(10);
            let left = alarm.left_at(DUE, SINCE + 30 * SECOND + jump, later);
            assert_eq!(left, seconds(30), "{jump}");
        }
    }

    #[test]
    fn a_host_that_starts_behind_the_record_waits_once_more_and_no_longer() {
        let (mut alarm, begun) = (Alarm::default(), Instant::now());
        assert_eq!(alarm.left_at(DUE, SINCE - HOUR, begun), seconds(60));
        let next = Due {
            at: SINCE + SECOND,
            since: SINCE,
        };
        assert_eq!(alarm.left_at(next, SINCE - HOUR, begun), seconds(1));
    }
}
