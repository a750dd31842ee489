//! How often a log that keeps growing is written to or looked at.

use std::time::{Duration, Instant};

/// So many may follow one another at once: what happens now and then is not waited for.
const BURST: u32 = 8;

/// Lets something be done at once while there is little of it, and every so often while there is
/// much, so that each time has more to do at once (the "generic cell rate algorithm").
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    every: Duration,
    /// When what was done would be over if nothing had been done early.
    earned: Option<Instant>,
}

impl Pace {
    /// With so much time from one to the next where there is much. That is also the longest that
    /// anything waits for it.
    #[must_use]
    pub const fn new(every: Duration) -> Self {
        Self {
            every,
            earned: None,
        }
    }

    /// Counts what is done `now`, and answers how long to wait before the next time.
    pub fn wait(&mut self, now: Instant) -> Duration {
        let earned = self.earned.unwrap_or(now).max(now) + self.every;
        self.earned = Some(earned);
        let ahead = earned.saturating_duration_since(now);
        ahead.saturating_sub(self.every * BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(4);

    #[test]
    fn much_is_gathered() {
        let (mut pace, mut now) = (Pace::new(EVERY), Instant::now());
        for _ in 0..BURST {
            assert_eq!(pace.wait(now), Duration::ZERO);
        }
        for _ in 0..100 {
            assert_eq!(pace.wait(now), EVERY);
            now += EVERY;
        }
        // After a pause nothing waits.
        now += EVERY * BURST;
        assert_eq!(pace.wait(now), Duration::ZERO);
    }

    #[test]
    fn what_happens_now_and_then_is_not_waited_for() {
        let (mut pace, mut now) = (Pace::new(EVERY), Instant::now());
        for _ in 0..1000 {
            assert_eq!(pace.wait(now), Duration::ZERO);
            now += EVERY;
        }
    }
}
