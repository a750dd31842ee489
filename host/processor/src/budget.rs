//! What may be used in front of others.

use std::time::Duration;

/// Thousandths of the time that passes are earned: who uses no more of one processor never goes
/// behind.
const INCOME: u32 = 250;
/// With this part of the most in it, who went behind goes to the front again.
const ENOUGH: i64 = 2;

/// Processor time that may be used in front of others. It is earned as time passes, up to a limit.
/// Who has used it up goes behind the others, until half of the limit is earned again.
///
/// ```
/// use std::time::Duration;
///
/// let ms = Duration::from_millis;
/// let mut budget = aod_processor::ProcessorBudget::new(ms(200));
/// budget.pass(ms(0), ms(200));
/// assert!(budget.is_behind());
/// budget.pass(ms(399), ms(0));
/// assert!(budget.is_behind());
/// budget.pass(ms(1), ms(0));
/// assert!(!budget.is_behind());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ProcessorBudget {
    /// All in microseconds.
    left: i64,
    most: i64,
    /// What may be lacking at most.
    debt: i64,
    is_behind: bool,
    /// Whether more was used than earned when it was looked at last.
    is_spending: bool,
}

impl ProcessorBudget {
    /// With as much in it as it ever holds.
    #[must_use]
    pub fn new(most: Duration) -> Self {
        let most = microseconds(most);
        Self {
            left: most,
            most,
            debt: most,
            is_behind: false,
            is_spending: false,
        }
    }

    /// With less in it at first.
    #[must_use]
    pub fn with_first(mut self, first: Duration) -> Self {
        self.left = microseconds(first).min(self.most);
        self
    }

    /// Who has computed for an hour lacks no more than this: it is how long the past counts.
    #[must_use]
    pub fn with_debt(mut self, debt: Duration) -> Self {
        self.debt = microseconds(debt);
        self
    }

    /// So much time has passed, in which so much of a processor was used.
    pub fn pass(&mut self, passed: Duration, used: Duration) {
        let earned = microseconds(passed.saturating_mul(INCOME) / 1000);
        let used = microseconds(used);
        self.is_spending = used > earned;
        let left = self.left.saturating_add(earned).saturating_sub(used);
        self.left = left.clamp(self.debt.saturating_neg(), self.most);
        if self.left <= 0 {
            self.is_behind = true;
        } else if self.left >= self.most / ENOUGH {
            self.is_behind = false;
        }
    }

    /// Whether it was used up, and too little has been earned since.
    #[must_use]
    pub const fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// What is left. None for who is behind, or uses no more than it earns.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let left = u64::try_from(self.left).unwrap_or_default();
        let is_to_end = self.is_spending && !self.is_behind;
        is_to_end.then(|| Duration::from_micros(left))
    }
}

fn microseconds(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_busy_go_behind_until_they_are_quiet() {
        let mut budget = ProcessorBudget::new(ms(200)).with_debt(ms(400));
        // A whole processor: 200 are used up within 300.
        let mut after = |passed, used| {
            budget.pass(ms(passed), ms(used));
            budget.is_behind()
        };
        assert!(!after(200, 200));
        assert!(after(100, 100));
        assert!(after(59_700, 59_700));
        // Quiet: it lacks 400, and 2,000 earn 500.
        assert!(after(1_900, 0));
        assert!(!after(100, 0));
    }

    #[test]
    fn a_quarter_of_a_processor_is_never_behind() {
        let mut budget = ProcessorBudget::new(ms(60));
        for _ in 0..1000 {
            budget.pass(ms(20), ms(5));
            assert!(!budget.is_behind());
        }
    }

    #[test]
    fn what_is_left_is_told_to_who_spends() {
        let mut budget = ProcessorBudget::new(ms(200)).with_first(ms(50));
        assert_eq!(budget.left(), None, "nothing is used");
        budget.pass(ms(0), ms(20));
        assert_eq!(budget.left(), Some(ms(30)));
        budget.pass(ms(100), ms(10));
        assert_eq!(budget.left(), None, "more was earned");
        budget.pass(ms(0), ms(60));
        assert_eq!(budget.left(), None, "it is behind");
    }

    #[test]
    fn no_time_is_too_long() {
        let mut budget = ProcessorBudget::new(Duration::MAX).with_debt(Duration::MAX);
        budget.pass(Duration::ZERO, Duration::MAX);
        budget.pass(Duration::ZERO, Duration::MAX);
        assert!(budget.is_behind());
        budget.pass(Duration::MAX, Duration::MAX);
        budget.pass(Duration::MAX, Duration::ZERO);
        budget.pass(Duration::MAX, Duration::ZERO);
        assert!(!budget.is_behind());
    }
}
