//! How the types of `aod-resources` are written in columns.

use std::str::FromStr;

use aod_resources::{Sizes, Timestamp, Usage};
use rusqlite::{
    Row, ToSql,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// A UUID as text.
#[derive(Clone, Copy)]
pub(crate) struct Id(pub Uuid);

impl ToSql for Id {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.hyphenated().to_string().into())
    }
}

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Uuid::try_parse(value.as_str()?)
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

/// A moment as microseconds.
#[derive(Clone, Copy)]
pub(crate) struct At(pub Timestamp);

impl ToSql for At {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_micros().into())
    }
}

impl FromSql for At {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Timestamp::from_micros).map(Self)
    }
}

/// Anything serde knows, as JSON text.
pub(crate) struct Json<T>(pub T);

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        serde_json::to_string(&self.0)
            .map(Into::into)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    }
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?)
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

/// One of a closed set of words; written by its own `as_str`.
pub(crate) struct Word<T>(pub T);

impl<T: FromStr<Err = String>> FromSql for Word<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        T::from_str(value.as_str()?)
            .map(Self)
            .map_err(|error| FromSqlError::Other(error.into()))
    }
}

pub(crate) fn id(row: &Row<'_>, column: &str) -> rusqlite::Result<Uuid> {
    row.get(column).map(|Id(id)| id)
}

pub(crate) fn id_opt(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Uuid>> {
    let id: Option<Id> = row.get(column)?;
    Ok(id.map(|Id(id)| id))
}

pub(crate) fn at(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    row.get(column).map(|At(at)| at)
}

pub(crate) fn at_opt(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    let at: Option<At> = row.get(column)?;
    Ok(at.map(|At(at)| at))
}

pub(crate) fn word<T: FromStr<Err = String>>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    row.get(column).map(|Word(word)| word)
}

/// What a session takes of the disk, where that was measured.
pub(crate) fn sizes(row: &Row<'_>) -> rusqlite::Result<Option<Sizes>> {
    let Some(home) = row.get::<_, Option<i64>>("home_bytes")? else {
        return Ok(None);
    };
    let bytes = |name: &str| {
        row.get::<_, Option<i64>>(name)
            .map(Option::unwrap_or_default)
    };
    Ok(Some(Sizes {
        home: uncount(home),
        workspace: uncount(bytes("workspace_bytes")?),
        log: uncount(bytes("log_bytes")?),
        checkpoints: uncount(bytes("checkpoint_bytes")?),
        partial: row.get("sizes_partial")?,
    }))
}

/// The four usage columns that sessions and turns have alike.
pub(crate) fn usage(row: &Row<'_>) -> rusqlite::Result<Usage> {
    Ok(Usage {
        input_tokens: tokens(row, "input_tokens")?,
        output_tokens: tokens(row, "output_tokens")?,
        cached_tokens: tokens(row, "cached_tokens")?,
        cost_usd: row.get("cost_usd")?,
    })
}

fn tokens(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    row.get(column).map(uncount)
}

/// Back from [`count`]: what was written is never negative.
pub(crate) fn uncount(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// SQLite's integers are signed; a count past 2^63 is written as the largest that fits.
pub(crate) fn count(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}
