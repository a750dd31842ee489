//! What each user's turns used on each day (UTC).

use aod_resources::{Spent, Timestamp};
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use crate::{
    Result, Store,
    sql::{self, Id},
};

const MICROS_A_DAY: i64 = 24 * 60 * 60 * 1_000_000;

impl Store {
    /// What a user's turns have used on the day of `at`, in UTC: those that ended on it.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn spent_on_day(&self, owner: Uuid, at: Timestamp) -> Result<Spent> {
        self.read_row(move |db| spent(db, owner, at)).await
    }
}

fn spent(db: &Connection, owner: Uuid, at: Timestamp) -> Result<Spent> {
    let spent = db
        .prepare_cached(
            "SELECT rounds, output_tokens, cost_usd FROM spending WHERE owner = ? AND day = ?",
        )?
        .query_row((Id(owner), day(at)), |row| {
            Ok(Spent {
                rounds: u32::try_from(row.get::<_, i64>(0)?).unwrap_or(u32::MAX),
                output_tokens: sql::uncount(row.get(1)?),
                cost_usd: row.get(2)?,
            })
        })
        .optional()?;
    Ok(spent.unwrap_or_default())
}

/// Adds what a turn used to the day on which it ended.
pub(crate) fn add(db: &Connection, owner: Uuid, spent: &Spent, at: Timestamp) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO spending (owner, day, rounds, output_tokens, cost_usd)
         VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (owner, day) DO UPDATE SET
             rounds = min(rounds + excluded.rounds, 4294967295),
             output_tokens = output_tokens
                 + min(excluded.output_tokens, 9223372036854775807 - output_tokens),
             cost_usd = cost_usd + excluded.cost_usd",
    )?
    .execute((
        Id(owner),
        day(at),
        spent.rounds,
        sql::count(spent.output_tokens),
        spent.cost_usd,
    ))?;
    Ok(())
}

const fn day(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(MICROS_A_DAY)
}
