//! Text for the CLI's stdin, with secrets by name.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Secret;

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
    /// Bytes that came with the prompt, as base64. Recorded as `[attachment:ID]`.
    Attachment {
        /// The attachment's id.
        id: String,
        /// Its bytes, as base64.
        data: String,
    },
}

/// Fragments with their secrets filled in.
pub struct Filled {
    /// What the CLI reads; overwritten when dropped.
    pub text: Zeroizing<String>,
    /// The same with `[redacted:NAME]` in place of each secret.
    pub shown: String,
}

impl Fragment {
    /// Joins fragments and fills in the secrets that they name.
    ///
    /// # Errors
    /// The name of a secret that is not among `secrets`.
    pub fn fill(fragments: &[Self], secrets: &[Secret]) -> Result<Filled, String> {
        let length = fragments.iter().map(|fragment| match fragment {
            Self::Text(text) => text.len(),
            Self::Attachment { data, .. } => data.len(),
            Self::Secret(_) | Self::JsonSecret(_) => 256,
        });
        let mut text = Zeroizing::new(String::with_capacity(length.sum()));
        let mut shown = String::new();
        for fragment in fragments {
            let name = match fragment {
                Self::Text(literal) => {
                    text.push_str(literal);
                    shown.push_str(literal);
                    continue;
                }
                Self::Attachment { id, data } => {
                    text.push_str(data);
                    shown.push_str(&format!("[attachment:{id}]"));
                    continue;
                }
                Self::Secret(name) | Self::JsonSecret(name) => name,
            };
            let secret = secrets.iter().find(|secret| secret.name == *name);
            let secret = secret.ok_or_else(|| name.clone())?;
            let quoted;
            let value = if matches!(fragment, Self::JsonSecret(_)) {
                quoted = Zeroizing::new(serde_json::Value::from(&*secret.value).to_string());
                &quoted[1..quoted.len() - 1]
            } else {
                &secret.value
            };
            text.push_str(value);
            if secret.is_open {
                shown.push_str(value);
            } else {
                shown.push_str(&format!("[redacted:{name}]"));
            }
        }
        Ok(Filled { text, shown })
    }
}

impl std::fmt::Debug for Filled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Filled([{} bytes])", self.text.len())
    }
}
