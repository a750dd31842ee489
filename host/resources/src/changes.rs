//! What turns have changed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::event::ChangeKind;

/// What a turn has changed in its session's workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TurnChanges {
    /// The turn.
    pub turn: u32,
    /// The turn whose end it is compared with: the one that it went on from. Null where there was
    /// none: the workspace is compared with nothing, and repositories that were cloned are left out.
    pub since: Option<u32>,
    /// The files, links and other things that are not what they were; folders are what is in them.
    pub data: Vec<ChangedFile>,
    /// Whether there is more than is told.
    pub truncated: bool,
}

/// A file that a turn has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangedFile {
    /// Its path, relative to the workspace. Bytes that are not UTF-8 are replaced by `U+FFFD`.
    pub path: String,
    /// The same as URLs have it, behind `/sessions/{id}/files/`.
    pub encoded_path: String,
    /// What happened to it: `created`, `modified` (its permissions alone, too) or `deleted`.
    pub kind: ChangeKind,
    /// Its length in bytes at the turn's end; absent where it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub size: Option<u64>,
    /// A unified diff; absent where it is no text, too long, or there are too many of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub diff: Option<String>,
}
