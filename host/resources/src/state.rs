//! The state machine of a session and its turns (`docs/http-api.md`, "States").

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// A turn waits to start: it is being provisioned or has not yet been admitted.
    Pending,
    /// A turn's CLI runs.
    Running,
    /// The last turn ended well, or was interrupted.
    Completed,
    /// The last turn, or provisioning, failed.
    Failed,
    /// Stopped for good.
    Terminated,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Terminated,
    ];

    /// Their words.
    pub const WORDS: &[&str] = words!(Self::ALL);

    /// The word used on the wire and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Terminated => "terminated",
        }
    }

    /// Whether a turn waits or runs.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

impl std::str::FromStr for Status {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or_else(|| format!("{word:?} is no session status"))
    }
}

/// How a turn ended: the finer word beside the four of the public API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The CLI exited 0 and its adapter saw no error.
    Completed,
    /// It exited otherwise, its adapter saw an error, it timed out, or a stage failed.
    Failed,
    /// Stopped by its user, who keeps the session.
    Interrupted,
    /// Stopped with its session, for good.
    Terminated,
}

impl Outcome {
    /// The word used on the wire and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }

    /// The word for clients of the public API, whose turns know four statuses
    /// (`docs/http-api.md`, "Resources").
    pub const fn turn_status(self) -> Status {
        match self {
            Self::Completed | Self::Interrupted => Status::Completed,
            Self::Failed | Self::Terminated => Status::Failed,
        }
    }
}

impl std::str::FromStr for Outcome {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        [
            Self::Completed,
            Self::Failed,
            Self::Interrupted,
            Self::Terminated,
        ]
        .into_iter()
        .find(|outcome| outcome.as_str() == word)
        .ok_or_else(|| format!("{word:?} is no turn outcome"))
    }
}

/// What decides whether a session may move: its status and whether a failed one can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionState {
    /// Where it stands.
    pub status: Status,
    /// Whether its sandbox was provisioned, so that a failed turn can be followed by another. No
    /// longer so once the session is broken.
    pub provisioned: bool,
}

/// What may happen to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// A next prompt was accepted.
    Prompt,
    /// Its sandbox stands, and no turn waits.
    Provisioned,
    /// The turn's CLI was started.
    Start,
    /// The turn ended.
    End(Outcome),
    /// The turn failed because no turn of the session can be run any more.
    Break,
}

/// An event that a session in its present state does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a {} session does not take {event:?}", .state.status.as_str())]
pub struct IllegalTransition {
    /// The state it was in.
    pub state: SessionState,
    /// What was asked of it.
    pub event: SessionEvent,
}

impl SessionState {
    /// A new session, waiting for its first turn.
    pub const NEW: Self = Self {
        status: Status::Pending,
        provisioned: false,
    };

    /// Whether a next prompt would be accepted, now or once the running turn has ended well.
    pub const fn resumable(self) -> bool {
        match self.status {
            Status::Completed => true,
            Status::Failed => self.provisioned,
            Status::Pending | Status::Running => self.provisioned,
            Status::Terminated => false,
        }
    }

    /// The one transition function.
    ///
    /// # Errors
    /// When the table of states in `docs/http-api.md` has no such transition.
    pub fn apply(self, event: SessionEvent) -> Result<Self, IllegalTransition> {
        let illegal = Err(IllegalTransition { state: self, event });
        let to = |status| Ok(Self { status, ..self });
        match (self.status, event) {
            (Status::Completed, SessionEvent::Prompt) => to(Status::Pending),
            (Status::Failed, SessionEvent::Prompt) if self.provisioned => to(Status::Pending),
            // Its CLI was started, so its sandbox stands.
            (Status::Pending, SessionEvent::Start) => Ok(Self {
                status: Status::Running,
                provisioned: true,
            }),
            (Status::Pending, SessionEvent::Provisioned) => Ok(Self {
                status: Status::Completed,
                provisioned: true,
            }),
            (Status::Running, SessionEvent::End(Outcome::Completed | Outcome::Interrupted)) => {
                to(Status::Completed)
            }
            (Status::Pending, SessionEvent::End(Outcome::Interrupted)) if self.provisioned => {
                to(Status::Completed)
            }
            (Status::Pending | Status::Running, SessionEvent::End(Outcome::Failed)) => {
                to(Status::Failed)
            }
            (Status::Pending | Status::Running, SessionEvent::End(Outcome::Terminated)) => {
                to(Status::Terminated)
            }
            (Status::Pending | Status::Running, SessionEvent::Break) => Ok(Self {
                status: Status::Failed,
                provisioned: false,
            }),
            _ => illegal,
        }
    }
}
