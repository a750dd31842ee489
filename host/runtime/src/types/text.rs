//! Text with secrets in it.

use serde::{Deserialize, Serialize};

/// A piece of a text that the host puts together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fragment {
    /// Literal text.
    Text(String),
    /// The value of a secret, which the host fills in; adapters never see it.
    Secret(SecretRef),
}

/// A reference to a secret of the turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRef {
    /// An entry of [`TurnContext::secrets`](super::TurnContext::secrets), or the value of an
    /// [`McpValue::secret`](super::McpValue::secret).
    pub name: String,
    /// How its value is written where it stands.
    pub encoding: Encoding,
}

/// How a secret's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As it is.
    Raw,
    /// Escaped as the inside of a JSON string, without the quotation marks.
    Json,
}
