//! Upper bounds for turns.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Usage;

/// Upper bounds for a turn; what is absent is not bounded. What reaches one of them is stopped, and
/// fails with the kind `limit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Limits {
    /// Requests to the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub max_rounds: Option<u32>,
    /// Tokens that the model writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub max_output_tokens: Option<u64>,
    /// US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub max_cost_usd: Option<f64>,
}

impl Limits {
    /// Whether nothing is bounded.
    pub const fn is_empty(&self) -> bool {
        self.max_rounds.is_none() && self.max_output_tokens.is_none() && self.max_cost_usd.is_none()
    }

    /// These, with those of `later` in the place of the same ones.
    #[must_use]
    pub fn overridden_by(self, later: &Self) -> Self {
        Self {
            max_rounds: later.max_rounds.or(self.max_rounds),
            max_output_tokens: later.max_output_tokens.or(self.max_output_tokens),
            max_cost_usd: later.max_cost_usd.or(self.max_cost_usd),
        }
    }

    /// The first of them that is reached.
    pub fn reached(&self, spent: &Spent) -> Option<ReachedLimit> {
        let rounds = self.max_rounds.filter(|most| spent.rounds >= *most);
        let tokens = self
            .max_output_tokens
            .filter(|most| spent.output_tokens >= *most);
        let cost = self.max_cost_usd.filter(|most| spent.cost_usd >= *most);
        #[expect(
            clippy::cast_precision_loss,
            reason = "figures for people; tokens are far below 2^53"
        )]
        let (name, most, used) = match (rounds, tokens, cost) {
            (Some(most), ..) => (
                LimitName::MaxRounds,
                f64::from(most),
                f64::from(spent.rounds),
            ),
            (_, Some(most), _) => (
                LimitName::MaxOutputTokens,
                most as f64,
                spent.output_tokens as f64,
            ),
            (.., Some(most)) => (LimitName::MaxCostUsd, most, spent.cost_usd),
            (None, None, None) => return None,
        };
        Some(ReachedLimit {
            name,
            most,
            used,
            is_of_day: false,
        })
    }
}

/// What counts towards [`Limits`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Requests to the model.
    pub rounds: u32,
    /// Tokens that the model wrote.
    pub output_tokens: u64,
    /// US dollars.
    pub cost_usd: f64,
}

impl Spent {
    /// What a turn used with so many requests.
    pub fn of(rounds: u32, usage: &Usage) -> Self {
        Self {
            rounds,
            output_tokens: usage.output_tokens,
            cost_usd: usage.cost_usd.unwrap_or(0.0),
        }
    }
}

impl std::ops::Add for Spent {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            rounds: self.rounds.saturating_add(more.rounds),
            output_tokens: self.output_tokens.saturating_add(more.output_tokens),
            cost_usd: self.cost_usd + more.cost_usd,
        }
    }
}

/// Names of limits, as requests and messages have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitName {
    /// Requests to the model.
    MaxRounds,
    /// Tokens that the model writes.
    MaxOutputTokens,
    /// US dollars.
    MaxCostUsd,
}

/// A limit that was reached, with its figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReachedLimit {
    /// Which.
    pub name: LimitName,
    /// What it allows.
    pub most: f64,
    /// What was used.
    pub used: f64,
    /// Whether it is what a user may use in a day.
    #[serde(default)]
    pub is_of_day: bool,
}

impl ReachedLimit {
    /// The same, as one of a user's day.
    #[must_use]
    pub const fn of_day(mut self) -> Self {
        self.is_of_day = true;
        self
    }
}

impl std::fmt::Display for ReachedLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            name, most, used, ..
        } = self;
        match name {
            LimitName::MaxRounds => {
                write!(
                    f,
                    "max_rounds: {used} requests to the model of at most {most}"
                )
            }
            LimitName::MaxOutputTokens => {
                write!(
                    f,
                    "max_output_tokens: {used} output tokens of at most {most}"
                )
            }
            LimitName::MaxCostUsd => {
                write!(f, "max_cost_usd: {used:.4} US dollars of at most {most}")
            }
        }?;
        match self.is_of_day {
            true => f.write_str(" that its user may still use on this day (UTC)"),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_limit_wins_key_by_key() {
        let agent = Limits {
            max_rounds: Some(9),
            max_cost_usd: Some(1.0),
            ..Limits::default()
        };
        let prompt = Limits {
            max_rounds: Some(3),
            max_output_tokens: Some(100),
            ..Limits::default()
        };
        let both = agent.overridden_by(&prompt);
        assert_eq!(both.max_rounds, Some(3));
        assert_eq!(both.max_output_tokens, Some(100));
        assert_eq!(both.max_cost_usd, Some(1.0));
    }

    #[test]
    fn what_is_reached_says_its_figures() {
        let limits = Limits {
            max_output_tokens: Some(100),
            max_cost_usd: Some(0.5),
            ..Limits::default()
        };
        let spent = |output_tokens, cost_usd| Spent {
            rounds: 1000,
            output_tokens,
            cost_usd,
        };
        assert_eq!(limits.reached(&spent(99, 0.25)), None);
        let tokens = limits.reached(&spent(120, 0.25)).unwrap();
        assert_eq!(
            tokens.to_string(),
            "max_output_tokens: 120 output tokens of at most 100"
        );
        let cost = limits.reached(&spent(1, 0.75)).unwrap();
        assert_eq!(
            cost.to_string(),
            "max_cost_usd: 0.7500 US dollars of at most 0.5"
        );
    }
}
