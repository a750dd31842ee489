//! Registered credentials: their kinds, and who did what with them.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a credential is, which its name begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// A provider's API key: `provider_key:<provider>`.
    ProviderKey,
    /// A token that a runtime's own login gave: `runtime_token:<name>`.
    RuntimeToken,
    /// A variable of the user's own: `env:<NAME>`.
    Env,
}

impl CredentialKind {
    /// The word used on the wire, in the store, and before the colon of a credential's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProviderKey => "provider_key",
            Self::RuntimeToken => "runtime_token",
            Self::Env => "env",
        }
    }

    /// The kind of the credential with this name.
    pub fn of(name: &str) -> Option<Self> {
        name.split_once(':')?.0.parse().ok()
    }
}

impl FromStr for CredentialKind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        [Self::ProviderKey, Self::RuntimeToken, Self::Env]
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| format!("{word:?} is no kind of credential"))
    }
}

/// What was done with a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialAction {
    /// It was registered.
    Create,
    /// It was given another value.
    Update,
    /// A turn was given it.
    Use,
    /// Its value was sealed to a new identity.
    Rotate,
    /// It was deleted with its value.
    Delete,
}

impl CredentialAction {
    /// The word used on the wire and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Use => "use",
            Self::Rotate => "rotate",
            Self::Delete => "delete",
        }
    }
}

impl FromStr for CredentialAction {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        [
            Self::Create,
            Self::Update,
            Self::Use,
            Self::Rotate,
            Self::Delete,
        ]
        .into_iter()
        .find(|action| action.as_str() == word)
        .ok_or_else(|| format!("{word:?} is nothing that is done with a credential"))
    }
}

/// Who did something with a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Actor {
    /// Somebody with an API token.
    Token {
        /// The token's name.
        name: String,
    },
    /// A turn of a session.
    Session,
    /// A command on the server's machine.
    Operator,
}

/// As the store keeps it.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token { name } => write!(f, "token:{name}"),
            Self::Session => f.write_str("session"),
            Self::Operator => f.write_str("operator"),
        }
    }
}

impl FromStr for Actor {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "session" => Self::Session,
            "operator" => Self::Operator,
            _ => Self::Token {
                name: text.strip_prefix("token:").unwrap_or(text).to_owned(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_did_something_reads_back_as_it_was_kept() {
        let token = |name: &str| Actor::Token {
            name: name.to_owned(),
        };
        for actor in [
            Actor::Session,
            Actor::Operator,
            token("laptop"),
            token("session"),
            token("token:x"),
        ] {
            assert_eq!(actor.to_string().parse::<Actor>().unwrap(), actor);
        }
    }

    #[test]
    fn the_kind_is_what_the_name_begins_with() {
        let kinds = [
            "provider_key:x",
            "runtime_token:x",
            "env:A:B",
            "env",
            "other:x",
        ];
        let kinds = kinds.map(CredentialKind::of);
        let (provider, runtime, env) = (
            CredentialKind::ProviderKey,
            CredentialKind::RuntimeToken,
            CredentialKind::Env,
        );
        assert_eq!(
            kinds,
            [Some(provider), Some(runtime), Some(env), None, None]
        );
    }
}
