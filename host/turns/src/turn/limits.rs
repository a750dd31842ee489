//! The limits that hold in a turn: those that are asked for, and what is left of its user's day.

use aod_resources::{Limits, ReachedLimit, Spent, Timestamp};
use uuid::Uuid;

use super::Turns;
use super::context::limits;
use super::fold::TurnLimits;
use super::task::Task;
use crate::Result;

impl Turns {
    /// The limit of the day that a user has reached, if any.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn day_limit(&self, owner: Uuid) -> Result<Option<ReachedLimit>> {
        let most = self.config().user_day;
        if most.is_empty() {
            return Ok(None);
        }
        let spent = self.store.spent_on_day(owner, Timestamp::now()).await?;
        Ok(most.reached(&spent).map(ReachedLimit::of_day))
    }
}

impl Task<'_> {
    /// The limits that hold in the turn, which begins now.
    pub(super) async fn limits(&self) -> Result<TurnLimits> {
        let most = self.turns.config.user_day;
        let day = match most.is_empty() {
            true => Limits::default(),
            false => {
                let (owner, now) = (self.session.owner, Timestamp::now());
                left(&most, &self.turns.store.spent_on_day(owner, now).await?)
            }
        };
        Ok(TurnLimits {
            asked: limits(&self.session, &self.turn.turn),
            day,
            // Where its requests go is known later.
            gateways_count: false,
        })
    }
}

/// What is left of limits.
fn left(most: &Limits, spent: &Spent) -> Limits {
    Limits {
        max_rounds: most
            .max_rounds
            .map(|most| most.saturating_sub(spent.rounds)),
        max_output_tokens: most
            .max_output_tokens
            .map(|most| most.saturating_sub(spent.output_tokens)),
        max_cost_usd: most
            .max_cost_usd
            .map(|most| (most - spent.cost_usd).max(0.0)),
    }
}
