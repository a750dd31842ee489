//! What the program tells its starter.

use serde::{Deserialize, Serialize};

/// A connection that was not made. Each is told once, however often it was tried.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Report {
    /// What became of it.
    pub outcome: Outcome,
    /// The host that was asked for, with its port where it has one.
    pub target: String,
    /// Why, for people.
    pub reason: String,
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The policy refused it.
    Refused,
    /// The upstream of a gateway was not reached.
    Failed,
}
