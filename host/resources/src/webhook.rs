//! Webhooks: what they tell of, and what became of each message.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::Timestamp;

/// What a message to a webhook tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum WebhookEvent {
    /// A turn ended well.
    #[serde(rename = "turn.completed")]
    TurnCompleted,
    /// A turn failed.
    #[serde(rename = "turn.failed")]
    TurnFailed,
    /// A turn was interrupted by its user.
    #[serde(rename = "turn.interrupted")]
    TurnInterrupted,
    /// A turn was ended with its session.
    #[serde(rename = "turn.terminated")]
    TurnTerminated,
    /// A turn asks its user, and waits for the answer.
    #[serde(rename = "permission.requested")]
    PermissionRequested,
    /// A turn calls one of its agent's own tools, and waits for the answer.
    #[serde(rename = "tool.requested")]
    ToolRequested,
    /// A session failed for good: it takes no further prompt.
    #[serde(rename = "session.failed")]
    SessionFailed,
    /// A session was terminated.
    #[serde(rename = "session.terminated")]
    SessionTerminated,
    /// The files of a session that nobody has used for long will be removed.
    #[serde(rename = "session.expiring")]
    SessionExpiring,
    /// A login that is a credential cannot be renewed any more: it has to be registered anew.
    #[serde(rename = "credential.expired")]
    CredentialExpired,
}

impl WebhookEvent {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::TurnCompleted,
        Self::TurnFailed,
        Self::TurnInterrupted,
        Self::TurnTerminated,
        Self::PermissionRequested,
        Self::ToolRequested,
        Self::SessionFailed,
        Self::SessionTerminated,
        Self::SessionExpiring,
        Self::CredentialExpired,
    ];

    /// Their words.
    pub const WORDS: &[&str] = words!(Self::ALL);

    /// The word used on the wire and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TurnCompleted => "turn.completed",
            Self::TurnFailed => "turn.failed",
            Self::TurnInterrupted => "turn.interrupted",
            Self::TurnTerminated => "turn.terminated",
            Self::PermissionRequested => "permission.requested",
            Self::ToolRequested => "tool.requested",
            Self::SessionFailed => "session.failed",
            Self::SessionTerminated => "session.terminated",
            Self::SessionExpiring => "session.expiring",
            Self::CredentialExpired => "credential.expired",
        }
    }
}

/// Messages are sent to this URL when something happens to its owner's sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    /// Its id.
    pub id: Uuid,
    /// Where messages are sent.
    pub url: String,
    /// What it is told of.
    pub events: Vec<WebhookEvent>,
    /// What it is for.
    pub description: Option<String>,
    /// The one session that it is told of; null for one that is told of all.
    pub session_id: Option<Uuid>,
    /// Whether messages are sent.
    pub enabled: bool,
    /// Why it was disabled, where its user did not do that.
    pub disabled_reason: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What became of a message to a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// It is being sent, or will be sent again.
    Pending,
    /// The receiver has taken it.
    Delivered,
    /// It is not sent any more.
    Failed,
}

impl DeliveryState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Failed];

    /// Their words.
    pub const WORDS: &[&str] = words!(Self::ALL);

    /// The word used on the wire and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for DeliveryState {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| format!("{word:?} is no state of a delivery"))
    }
}

/// A message to a webhook, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookDelivery {
    /// Its id.
    pub id: Uuid,
    /// What it tells of, such as `turn.completed`; `webhook.test` for a test.
    pub event: String,
    /// The same in all tries, and for all webhooks that are told the same; the header
    /// `webhook-id` has it.
    pub message_id: Uuid,
    /// The session that it tells of; null for a test.
    pub session_id: Option<Uuid>,
    /// That session's turn.
    pub turn: Option<u32>,
    /// What became of it.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// The HTTP status that the last try was answered with.
    pub last_status: Option<u16>,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// When it was last tried.
    pub last_attempt_at: Option<Timestamp>,
    /// When it is tried next; null where it is not.
    pub next_attempt_at: Option<Timestamp>,
    /// When what it tells of happened.
    pub created_at: Timestamp,
    /// When the receiver took it.
    pub delivered_at: Option<Timestamp>,
}
