//! Credentials that are renewed while a command runs: what an egress program and its starter tell
//! each other of them, each a line of JSON.

use serde::{Deserialize, Serialize};

use crate::SecretBytes;

/// What an egress program tells its starter of credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialReport {
    /// A server refuses the value of the credential of this name. Requests wait for a
    /// [`RenewedCredential`].
    CredentialRefused(String),
}

/// What a starter tells its egress program of a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewedCredential {
    /// The name under which it is renewed.
    pub credential: String,
    /// Its value from now on; none: there is no other than the one before.
    pub value: Option<SecretBytes>,
    /// Whether this answers a [`CredentialReport::CredentialRefused`]: where it brings no other
    /// value, nobody waits any longer.
    #[serde(default)]
    pub is_answer: bool,
}
