//! What an adapter does to its CLI, and what the host feeds it besides lines. The supervisor
//! records each, so that the log alone is enough to derive a turn's events again.

use aod_launch::{CallAnswer, HeldKind};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Fragment;

/// Something that an adapter asks for. The effects of a turn are numbered from 0, and each is
/// carried out once however often it is requested.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Write to the CLI's stdin. Recorded as `Stdin`, without the values of secrets.
    Write(Vec<Fragment>),
    /// Close it once all is written. Recorded as a [`Note`].
    CloseStdin,
    /// The turn is over, and the CLI's process rests until the next one
    /// ([`Request::Turn`](crate::Request::Turn)), for at most
    /// [`Clock::rest_ms`](crate::Clock::rest_ms). Recorded as [`TurnEnded`](crate::TurnEnded), or
    /// as a [`Note`] where the process is about to end anyway.
    EndTurn,
    /// Close its stdin, and give the CLI its last grace to exit
    /// ([`Clock::after_result_grace_ms`](crate::Clock::after_result_grace_ms)). Recorded as a
    /// [`Note`].
    Close,
}

impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Write(fragments) => write!(f, "Write([{} fragments])", fragments.len()),
            Self::CloseStdin => f.write_str("CloseStdin"),
            Self::EndTurn => f.write_str("EndTurn"),
            Self::Close => f.write_str("Close"),
        }
    }
}

/// The payload of a `Note` record: what became of an effect that wrote nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// The CLI's stdin is closed once all is written.
    CloseStdin,
    /// The CLI's stdin is closed, and it has its last grace to exit.
    Close,
    /// The turn will end with the process, which is being stopped.
    Stopping,
    /// The effect could not be carried out, and will not be tried again.
    Refused {
        /// Why.
        reason: String,
    },
}

/// The payload of an `Input` record: what a user tells the turn that runs, besides its prompt. What
/// came under the same id counts once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnInput {
    /// Unique within the session.
    pub id: String,
    /// What is said.
    pub text: String,
}

impl std::fmt::Debug for TurnInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TurnInput({}, [{} bytes])", self.id, self.text.len())
    }
}

/// The payload of an `Answer` record. The first answer to a question is the only one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The question's id.
    pub question: String,
    /// A choice's id, or text.
    pub value: String,
    /// Whether nobody answered in time and this is the default.
    #[serde(default)]
    pub by_default: bool,
    /// With a call of a tool: whether the value tells of a failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
}

/// The payload of a `Call` record. The call's answer, if it gets one, is an `Answer` record.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallRecord {
    /// A call of a tool waits for somebody's answer.
    Asked(AskedCall),
    /// It does so no more, and was not answered.
    Withdrawn {
        /// The call's id.
        request_id: String,
    },
}

/// The payload of a `Network` record that tells of a credential, by the name under which it is
/// renewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialRecord {
    /// A server refuses its value, and requests wait for another.
    CredentialRefused(String),
    /// The host has said what it is by now, because it was refused.
    CredentialTold {
        /// The credential.
        credential: String,
        /// Why there is no other value, where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<String>,
    },
}

/// A call of a tool that waits for somebody's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AskedCall {
    /// Unique within the session: no adapter's question has such an id.
    pub request_id: String,
    /// What is asked.
    pub kind: HeldKind,
    /// The MCP server that is called; none where it is one of the agent's own tools.
    #[serde(default)]
    pub server: Option<String>,
    /// The tool.
    pub tool: String,
    /// What it is called with.
    pub input: Box<RawValue>,
    /// Milliseconds to answer in.
    pub deadline_ms: u32,
    /// What is answered where nobody does.
    pub default: CallAnswer,
}
