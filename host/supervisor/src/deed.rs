//! What an adapter does to the outside, and what the host feeds it besides lines. Each is recorded
//! by the supervisor, so that the log alone tells how a turn came to be what it is.

use serde::{Deserialize, Serialize};

/// Something that an adapter wants done. The deeds of a turn are counted from 0, and each is done
/// once however often it is asked for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Write to the CLI's stdin. Recorded as `Stdin`, without the values of secrets.
    Write(Vec<Fragment>),
    /// Close it once all is written. Recorded as a [`Note`].
    CloseStdin,
    /// The turn's result was seen: its stdin is closed, and the CLI has the after-result grace to
    /// exit. Recorded as a [`Note`].
    EndTurn,
}

impl std::fmt::Debug for Deed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Write(fragments) => write!(f, "Write([{} fragments])", fragments.len()),
            Self::CloseStdin => f.write_str("CloseStdin"),
            Self::EndTurn => f.write_str("EndTurn"),
        }
    }
}

/// A piece of what is written to stdin. The host does not fill in secrets: the supervisor has
/// their values since the turn's beginning.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fragment {
    /// Literal text.
    Text(String),
    /// The value of the secret of this name, as it is.
    Secret(String),
    /// The same, escaped as the inside of a JSON string.
    JsonSecret(String),
}

/// The payload of a `Note` record: what became of a deed that wrote nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// The CLI's stdin is closed once all is written.
    CloseStdin,
    /// The CLI was given its last grace.
    EndTurn,
    /// It could not be done, and will not be tried again.
    Refused {
        /// Why.
        reason: String,
    },
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
}
