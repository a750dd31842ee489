//! The secrets of a turn: who wins for one variable (`4-vault-and-sandbox.md`, "Who wins").

use std::collections::HashSet;

use aod_runtime::types::{self, Description, McpStdio, McpTransport, McpUrl, McpValue};
use aod_store::{Credential, SealedKind, SessionRecord, Store};
use indexmap::IndexMap;
use secrecy::{ExposeSecret, SecretString};

use crate::agents::{mcp_key, mcp_names};
use crate::seal::Seals;
use crate::{Error, Result};

/// The secrets of one turn, opened. They are read anew for each turn, so that a changed key works
/// in the next one.
#[derive(Debug, Default)]
pub(crate) struct TurnSecrets {
    /// The CLI's variables, by name.
    pub(crate) variables: IndexMap<String, SecretString>,
    /// Values for MCP servers, by the names under which adapters refer to them.
    pub(crate) mcp: IndexMap<String, SecretString>,
    /// The names of the user's credentials that were taken.
    pub(crate) credentials: Vec<String>,
}

impl TurnSecrets {
    /// A secret by the name that adapters use.
    pub(crate) fn get(&self, name: &str) -> Option<&SecretString> {
        self.variables.get(name).or_else(|| self.mcp.get(name))
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &SecretString)> {
        self.variables
            .iter()
            .chain(&self.mcp)
            .map(|(name, value)| (name.as_str(), value))
    }

    /// Base URLs that the user gave for the providers' endpoints.
    pub(crate) fn endpoints(&self, description: &Description) -> Vec<types::Endpoint> {
        description
            .providers
            .iter()
            .filter_map(|provider| {
                let url = self
                    .variables
                    .get(provider.endpoint_variable.as_ref()?)?
                    .expose_secret();
                is_plain_url(url).then(|| types::Endpoint {
                    provider: provider.id.clone(),
                    url: url.to_owned(),
                })
            })
            .collect()
    }
}

/// A URL that holds no user information, which would be a secret.
fn is_plain_url(text: &str) -> bool {
    let Some(rest) = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
    else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    !authority.is_empty() && !authority.contains('@') && !text.contains(char::is_whitespace)
}

/// Opens the secrets of a session's next turn.
pub(crate) async fn gather(
    store: &Store,
    seals: &Seals,
    session: &SessionRecord,
    description: &Description,
) -> Result<TurnSecrets> {
    let owner = session.owner;
    let mut secrets = TurnSecrets::default();
    let mut sources = vec![(SealedKind::SessionVariable, session.session.id)];
    if let Some(environment) = session.session.environment_id {
        sources.push((SealedKind::EnvironmentVariable, environment));
    }
    for (kind, record) in sources {
        for sealed in store.list_sealed(owner, kind, record).await? {
            if !secrets.variables.contains_key(&sealed.key.name) {
                secrets
                    .variables
                    .insert(sealed.key.name.clone(), seals.open(&sealed)?);
            }
        }
    }
    let registered = store.list_credentials(owner).await?;
    for (name, variable) in chosen(&registered, description, &session.session.model) {
        if secrets.variables.contains_key(&variable) {
            continue;
        }
        let key = Credential::key(owner, name.clone());
        let Some(sealed) = store.sealed(key).await? else {
            continue;
        };
        secrets.variables.insert(variable, seals.open(&sealed)?);
        secrets.credentials.push(name);
    }
    for (index, server) in session.agent.mcp_servers.iter().enumerate() {
        for (position, (_, sealed)) in mcp_names(server).enumerate() {
            let key = mcp_key(owner, session.agent.id, sealed.clone());
            let record = store.sealed(key).await?.ok_or_else(|| {
                Error::Unavailable(format!("the value of {sealed:?} is gone: set it again"))
            })?;
            secrets
                .mcp
                .insert(mcp_reference(index, position), seals.open(&record)?);
        }
    }
    Ok(secrets)
}

/// The name under which adapters refer to the value of an MCP server. It is also a valid name of
/// a variable, for CLIs that take such values from their environment.
fn mcp_reference(server: usize, value: usize) -> String {
    format!("AOD_MCP_{server}_{value}")
}

/// The agent's MCP servers as adapters see them.
pub(crate) fn mcp_servers(agent: &aod_resources::Agent) -> Vec<types::McpServer> {
    let values = |index: usize, server| {
        mcp_names(server)
            .enumerate()
            .map(|(position, (name, _))| McpValue {
                name: name.to_owned(),
                secret: mcp_reference(index, position),
            })
            .collect()
    };
    agent
        .mcp_servers
        .iter()
        .enumerate()
        .map(|(index, server)| types::McpServer {
            name: server.name.clone(),
            transport: match &server.transport {
                aod_resources::McpTransport::Url { url, .. } => McpTransport::Url(McpUrl {
                    url: url.clone(),
                    headers: values(index, server),
                }),
                aod_resources::McpTransport::Stdio { command, args, .. } => {
                    McpTransport::Stdio(McpStdio {
                        command: command.clone(),
                        args: args.clone(),
                        env: values(index, server),
                    })
                }
            },
        })
        .collect()
}

/// Which registered credentials a turn with this model is given, and as which variables: those
/// that open the model's provider, without those that another of them displaces, and every
/// `env:NAME`.
fn chosen(
    registered: &[Credential],
    description: &Description,
    model: &str,
) -> Vec<(String, String)> {
    let provider = model.split('/').next().unwrap_or_default();
    let useful: Vec<_> = description
        .credentials
        .iter()
        .filter(|kind| kind.providers.iter().any(|opened| opened == provider))
        .filter(|kind| {
            registered
                .iter()
                .any(|credential| credential.name == kind.name)
        })
        .collect();
    let displaced: HashSet<&String> = useful.iter().flat_map(|kind| &kind.displaces).collect();
    let declared = useful
        .iter()
        .filter(|kind| !displaced.contains(&kind.name))
        .map(|kind| (kind.name.clone(), kind.variable.clone()));
    let plain = registered.iter().filter_map(|credential| {
        let variable = credential.name.strip_prefix("env:")?;
        Some((credential.name.clone(), variable.to_owned()))
    });
    declared.chain(plain).collect()
}

/// What a user is told whose CLI had no credential: which is missing, and the ways to supply it.
pub(crate) fn missing_credential(
    description: &Description,
    runtime: &str,
    model: &str,
    given: impl Fn(&str) -> bool,
) -> Option<String> {
    let provider = model.split('/').next().unwrap_or_default();
    let mut variables: Vec<&str> = description
        .credentials
        .iter()
        .filter(|kind| kind.providers.iter().any(|opened| opened == provider))
        .map(|kind| kind.variable.as_str())
        .collect();
    variables.dedup();
    if variables.is_empty() || variables.iter().any(|variable| given(variable)) {
        return None;
    }
    let first = variables[0];
    Some(format!(
        "runtime {runtime:?} had no credential for {provider}: {} is missing. Put {first} into the \
         env_vars of the session's environment, or register the credential once with \
         `aod credential set` (PUT /credentials/{{name}}) for all sessions",
        variables.join(" or "),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_urls_are_endpoints() {
        for good in ["http://127.0.0.1:1", "https://x.example/v1?a=b"] {
            assert!(is_plain_url(good), "{good}");
        }
        for bad in [
            "",
            "http://",
            "https://user:pw@x/",
            "ftp://x",
            "sk-123",
            "http://a b",
        ] {
            assert!(!is_plain_url(bad), "{bad}");
        }
        // An @ in the path is no user information.
        assert!(is_plain_url("https://x.example/@scope"));
    }
}
