//! What a driver can do on this machine.

use std::fmt;

use serde::Serialize;

/// What a driver found out about the machine, for the server's start, `/health` and `aod doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// The driver's name.
    pub driver: String,
    /// Whether commands can be started at all.
    pub usable: bool,
    /// One line for each thing looked at.
    pub checks: Vec<Check>,
}

impl Probe {
    /// Checks that are not in force, for a warning at start.
    pub fn shortcomings(&self) -> impl Iterator<Item = &Check> {
        self.checks
            .iter()
            .filter(|check| check.state != State::Enforced)
    }
}

/// One property of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at: `isolation`, `seccomp`, `network`, `memory`, `pids`, ...
    pub name: &'static str,
    /// Whether it is in force.
    pub state: State,
    /// What was found, in a sentence.
    pub detail: String,
    /// The command or change that fixes it, where there is one.
    pub fix: Option<String>,
}

impl Check {
    pub(crate) fn enforced(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Enforced,
            detail: detail.into(),
            fix: None,
        }
    }

    pub(crate) fn lacking(
        name: &'static str,
        state: State,
        detail: impl Into<String>,
        fix: Option<&str>,
    ) -> Self {
        Self {
            name,
            state,
            detail: detail.into(),
            fix: fix.map(Into::into),
        }
    }
}

/// Whether a property is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The kernel enforces it.
    Enforced,
    /// It is enforced in part, or by a process that polls.
    Partial,
    /// It is not enforced; commands run all the same.
    NotEnforced,
    /// It does not work, and no command can be started.
    Failed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enforced => "enforced",
            Self::Partial => "partial",
            Self::NotEnforced => "not enforced",
            Self::Failed => "failed",
        })
    }
}
