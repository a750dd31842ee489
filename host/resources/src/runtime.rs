//! What is said of runtimes.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether a runtime can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeHealth {
    /// It is being compiled; sessions of it wait.
    Compiling,
    /// It can be used.
    Ready,
    /// It can be used as it was before: what is declared now cannot be loaded.
    Stale,
    /// It is declared, and switched off.
    Disabled,
    /// What is declared cannot be loaded.
    Failed,
}

impl fmt::Display for RuntimeHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compiling => "compiling",
            Self::Ready => "ready",
            Self::Stale => "stale",
            Self::Disabled => "disabled",
            Self::Failed => "failed",
        })
    }
}

/// What a reload did to a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeChange {
    /// It is new.
    Added,
    /// It was there, and is declared in another way now.
    Changed,
    /// It is as it was.
    Unchanged,
    /// It is declared, and switched off.
    Disabled,
    /// It is no longer declared.
    Removed,
    /// What is declared cannot be loaded.
    Failed,
}

impl fmt::Display for RuntimeChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Disabled => "disabled",
            Self::Removed => "removed",
            Self::Failed => "failed",
        })
    }
}

/// Whether a property of the sandbox is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// The kernel holds it.
    Enforced,
    /// It is held by a watching process only, or in part.
    Partial,
    /// It is not held; commands run all the same.
    NotEnforced,
    /// It does not work, and no command can be started.
    Failed,
}
