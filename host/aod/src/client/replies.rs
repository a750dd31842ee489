//! What the server answers, as far as commands look at it. What else is in a reply is passed over,
//! so that a newer server is understood.

use aod_resources::{RuntimeHealth, Status};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// A list, or a page of one.
#[derive(Debug, Deserialize)]
pub(crate) struct Listing<T> {
    /// What is listed.
    pub(crate) data: Vec<T>,
    /// What the next page is asked for with.
    #[serde(default)]
    pub(crate) next: Option<Uuid>,
}

/// A page of events.
#[derive(Debug, Deserialize)]
pub(crate) struct EventPage {
    /// The events, as they were sent.
    pub(crate) data: Vec<Box<RawValue>>,
    /// What the page before is asked for with.
    #[serde(default)]
    pub(crate) prev: Option<String>,
}

/// The answer to a new session.
#[derive(Debug, Deserialize)]
pub(crate) struct SessionAck {
    /// Its id.
    pub(crate) id: Uuid,
}

/// The answer to a prompt.
#[derive(Debug, Deserialize)]
pub(crate) struct PromptAck {
    /// The turn that was begun, or the one that is there.
    pub(crate) current_turn: u32,
    /// What the prompt is in the queue, where it waits.
    #[serde(default)]
    pub(crate) queued_id: Option<Uuid>,
}

/// The answer to a stop.
#[derive(Debug, Deserialize)]
pub(crate) struct StopAck {
    /// Where the session stands.
    pub(crate) status: Status,
}

/// A runtime, as `aod run` chooses among them.
#[derive(Debug, Deserialize)]
pub(crate) struct RuntimeSummary {
    /// Its name.
    pub(crate) name: String,
    /// Whether it can be used.
    pub(crate) health: RuntimeHealth,
    /// Why it cannot.
    #[serde(default)]
    pub(crate) error: Option<String>,
    /// The models that it serves.
    #[serde(default)]
    pub(crate) models: Vec<String>,
    /// The credentials that it takes.
    #[serde(default)]
    pub(crate) credentials: Vec<RuntimeCredential>,
    /// The variables in which its providers' URLs can be given.
    #[serde(default)]
    pub(crate) endpoint_variables: Vec<String>,
}

/// A credential that a runtime takes.
#[derive(Debug, Deserialize)]
pub(crate) struct RuntimeCredential {
    /// The variable in which it can be given.
    pub(crate) variable: String,
}
