//! The schema of the native stream's events. They are written where the log is read, as text; the
//! end-to-end tests hold each event that they see against this.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// An event of the native stream. There are these eight types and no others.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(dead_code, reason = "the schema of what is written elsewhere")]
pub(crate) enum StreamEvent {
    /// The first event of every connection. It has no id.
    Start {
        /// The session's id.
        session_id: Uuid,
        /// The runtime's name.
        runtime: String,
        /// The canonical model id.
        model: String,
    },
    /// A step of provisioning begins or ends.
    Stage {
        /// The event's id.
        id: u64,
        /// The step.
        stage: String,
        /// Where it stands.
        state: StageState,
        /// How long it took.
        #[schema(required = false, nullable = false)]
        duration_ms: Option<u64>,
        /// What is to be said of it, such as why it failed.
        #[schema(required = false, nullable = false)]
        message: Option<String>,
    },
    /// A turn's first output follows. It has the id of the event behind it and no `id:` line, so
    /// that a client that resumes after it gets that event.
    TurnStart {
        /// The id of the event behind it.
        id: u64,
        /// The turn's number.
        turn: u32,
    },
    /// What the CLI wrote.
    Output {
        /// The event's id.
        id: u64,
        /// To which of its streams.
        stream: OutputStream,
        /// The text.
        data: String,
        /// The turn's number.
        turn: u32,
    },
    /// The CLI ended, and the turn with it.
    Exit {
        /// The event's id.
        id: u64,
        /// The CLI's own exit code.
        code: i32,
    },
    /// The server could not begin or finish the turn, which is over.
    Error {
        /// The event's id.
        id: u64,
        /// Why.
        message: String,
    },
    /// The session was stopped for good.
    Terminated {
        /// The event's id.
        id: u64,
        /// What is to be said of it.
        #[schema(required = false, nullable = false)]
        message: Option<String>,
    },
    /// There was no output for long. The connection ends, and the turn goes on.
    Stale {
        /// The id of the last event.
        id: u64,
        /// What is to be said of it.
        message: String,
    },
}

/// Where a step of provisioning stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "the schema of what is written elsewhere")]
pub(crate) enum StageState {
    /// It begins.
    Started,
    /// It ended well.
    Done,
    /// It failed.
    Failed,
}

/// One of the CLI's streams.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "the schema of what is written elsewhere")]
pub(crate) enum OutputStream {
    /// The standard output.
    Stdout,
    /// The standard error.
    Stderr,
}
