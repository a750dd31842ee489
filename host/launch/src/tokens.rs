//! What an egress program counts in the answers that it passes on, and tells its starter.

use serde::{Deserialize, Serialize};

/// What an egress program tells its starter of the tokens that answers say were used, a line of
/// JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenReport {
    /// So much was counted since the last report.
    Counted(TokenCounts),
}

/// Figures as answers have them. Each only grows, so that differences of them can be told and added
/// up in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenCounts {
    /// Answers that had figures.
    pub requests: u64,
    /// Answers in an encoding that is not read, so that nothing is known of them.
    pub unread: u64,
    /// Tokens sent.
    pub input: u64,
    /// Tokens sent that are not in `input`.
    pub input_apart: u64,
    /// Of `input`, tokens that were read from a cache.
    pub cached: u64,
    /// Tokens that were read from a cache and are not in `input`.
    pub cached_apart: u64,
    /// Tokens received.
    pub output: u64,
    /// Tokens received that are not in `output`.
    pub output_apart: u64,
}

impl TokenCounts {
    /// All figures, in one order.
    fn figures(&mut self) -> [&mut u64; 8] {
        [
            &mut self.requests,
            &mut self.unread,
            &mut self.input,
            &mut self.input_apart,
            &mut self.cached,
            &mut self.cached_apart,
            &mut self.output,
            &mut self.output_apart,
        ]
    }

    /// What these have more than earlier ones.
    #[must_use]
    pub fn since(mut self, mut earlier: Self) -> Self {
        for (figure, before) in self.figures().into_iter().zip(earlier.figures()) {
            *figure = figure.saturating_sub(*before);
        }
        self
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Tokens sent that were not read from a cache.
    #[must_use]
    pub const fn fresh_input(&self) -> u64 {
        self.input
            .saturating_sub(self.cached)
            .saturating_add(self.input_apart)
    }

    /// Tokens sent that were read from a cache.
    #[must_use]
    pub const fn all_cached(&self) -> u64 {
        self.cached.saturating_add(self.cached_apart)
    }

    /// Tokens received.
    #[must_use]
    pub const fn all_output(&self) -> u64 {
        self.output.saturating_add(self.output_apart)
    }
}

impl std::ops::AddAssign for TokenCounts {
    fn add_assign(&mut self, mut more: Self) {
        for (figure, more) in self.figures().into_iter().zip(more.figures()) {
            *figure = figure.saturating_add(*more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_added_up_and_read_in_one_way() {
        let mut sum = TokenCounts {
            requests: 1,
            input: 100,
            cached: 80,
            output: 7,
            ..TokenCounts::default()
        };
        let before = sum;
        let more = TokenCounts {
            requests: 1,
            input: 10,
            input_apart: 5,
            cached_apart: 3,
            output: u64::MAX,
            output_apart: 1,
            ..TokenCounts::default()
        };
        sum += more;
        assert_eq!((sum.fresh_input(), sum.all_cached()), (35, 83));
        assert_eq!(sum.all_output(), u64::MAX);
        assert_eq!(sum.since(before).input, 10);
        assert!(before.since(sum).is_empty() && !sum.is_empty());
    }
}
