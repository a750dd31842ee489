//! The secrets of a turn: who wins for one variable (`docs/vault-and-sandbox.md`,
//! "Credentials").

mod precedence;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use aod_egress::HostPort;
use aod_runtime::Adapter;
use aod_runtime::types::{self, Description, McpStdio, McpTransport, McpUrl, McpValue};
use aod_store::{Credential, SealedKind, SealedRecord, SessionRecord, Store};
use aod_supervisor::Redactor;
use indexmap::IndexMap;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use self::precedence::{Candidates, Source, winners};
use crate::git::{self, Tokens};
use crate::mcp::{mcp_key, mcp_names};
use crate::network::bound_hosts;
use crate::oauth::OauthTokens;
use crate::placement::WorkerId;
use crate::seal::Seals;
use crate::{Error, Result};

/// The secrets of one turn, opened, and the other variables that its user gave. Secrets are read
/// anew for each turn, so that a changed key works in the next one.
#[derive(Debug, Default)]
pub(crate) struct TurnSecrets {
    /// The CLI's variables, by name.
    pub(crate) variables: IndexMap<String, SecretString>,
    /// Those of them that are no secrets.
    open: HashSet<String>,
    /// Values for MCP servers, by the names under which adapters refer to them.
    pub(crate) mcp: IndexMap<String, SecretString>,
    /// The tokens of the session's repositories, which no sandbox of its gets.
    pub(crate) tokens: Tokens,
    /// Those that the sandbox has only placeholders of, by their names.
    brokered: IndexMap<String, SecretString>,
    /// The hosts of those variables that are for certain hosts alone.
    pub(crate) bound: BTreeMap<String, Vec<HostPort>>,
    /// The names of the user's credentials that were taken.
    pub(crate) credentials: Vec<String>,
    /// Those variables that hold tokens of logins, each with its credential's name.
    pub(crate) logins: BTreeMap<String, String>,
    /// What was opened for them.
    pub(crate) opened: Opened,
}

/// What was opened for a turn: as long as it is not sealed anew, the next turn of its process has no
/// need to open it again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opened(Vec<(SealedRecord, SecretString)>);

impl Opened {
    /// Opens a record, unless it is among those that are `known`.
    fn open(&mut self, seals: &Seals, record: SealedRecord, known: &Self) -> Result<SecretString> {
        let known = known.0.iter().find(|(opened, _)| *opened == record);
        let value = match known {
            Some((_, value)) => value.clone(),
            None => seals.open(&record)?,
        };
        self.0.push((record, value.clone()));
        Ok(value)
    }
}

impl TurnSecrets {
    /// A secret by the name that adapters use.
    pub(crate) fn get(&self, name: &str) -> Option<&SecretString> {
        self.variables.get(name).or_else(|| self.mcp.get(name))
    }

    /// Whether a name is that of a variable that everybody may see.
    pub(crate) fn is_open(&self, name: &str) -> bool {
        self.open.contains(name)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &SecretString)> {
        self.variables
            .iter()
            .chain(&self.mcp)
            .map(|(name, value)| (name.as_str(), value))
    }

    /// The variable of a provider's base URL that is there and is no URL that a credential may be
    /// sent to, where there is such a credential.
    pub(crate) fn odd_endpoint<'a>(&self, description: &'a Description) -> Option<&'a str> {
        description.providers.iter().find_map(|provider| {
            let variable = provider.endpoint_variable.as_deref()?;
            let url = self.variables.get(variable)?.expose_secret();
            let mut kinds = description.credentials.iter();
            let is_sent = kinds.any(|kind| {
                kind.providers.contains(&provider.id) && self.variables.contains_key(&kind.variable)
            });
            (is_sent && !url.is_empty() && !is_plain_url(url)).then_some(variable)
        })
    }

    /// Whether a credential enters the sandbox that could stay outside: a provider's, or one that is
    /// for certain hosts.
    pub(crate) fn holds_credentials(&self, description: &Description) -> bool {
        let kinds = description.credentials.iter();
        let mut variables = kinds.map(|kind| &kind.variable).chain(self.bound.keys());
        variables.any(|name| self.variables.contains_key(name) && !self.is_open(name))
    }

    /// Those that nobody may see, the ones that are kept out of the sandbox among them.
    pub(crate) fn hidden(&self) -> impl Iterator<Item = (&str, &SecretString)> {
        let brokered = self
            .brokered
            .iter()
            .map(|(name, value)| (name.as_str(), value));
        self.iter()
            .filter(|(name, _)| !self.is_open(name))
            .chain(brokered)
    }

    /// All of them as the user gave them.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&str, &SecretString)> {
        self.iter()
            .map(|(name, value)| (name, self.brokered.get(name).unwrap_or(value)))
    }

    /// Puts a placeholder in the place of a secret, if there is one of that name; answers both.
    pub(crate) fn hide(
        &mut self,
        name: &str,
        placeholder: impl FnOnce() -> String,
    ) -> Option<(String, &SecretString)> {
        if !self.brokered.contains_key(name) {
            if self.is_open(name) {
                return None;
            }
            let value = match self.variables.get_mut(name) {
                Some(value) => value,
                None => self.mcp.get_mut(name)?,
            };
            if value.expose_secret().is_empty() {
                return None;
            }
            let value = std::mem::replace(value, SecretString::from(placeholder()));
            self.brokered.insert(name.to_owned(), value);
            self.open.insert(name.to_owned());
        }
        let shown = self.get(name)?.expose_secret().to_owned();
        Some((shown, self.brokered.get(name)?))
    }

    /// The name under which a value may be another one while a turn runs, if it may.
    pub(crate) fn renewed_as(&self, name: &str) -> Option<String> {
        self.logins.contains_key(name).then(|| name.to_owned())
    }

    /// Of the logins, those that stay outside of the sandbox.
    pub(crate) fn brokered_logins(&self) -> BTreeMap<String, String> {
        let logins = self.logins.iter();
        logins
            .filter(|(variable, _)| self.brokered.contains_key(*variable))
            .map(|(variable, credential)| (variable.clone(), credential.clone()))
            .collect()
    }

    /// Finds them in what is about to be written.
    pub(crate) fn redactor(&self) -> Redactor {
        Redactor::new(
            self.hidden()
                .chain(self.authorization_tokens())
                .map(|(name, value)| (name, value.expose_secret())),
        )
    }

    /// The same for the same secrets, and tells nothing of them.
    pub(crate) fn mac(&self, seals: &Seals) -> String {
        seals.hash("secrets", &serde_json::json!(self.values()))
    }

    /// All of them with their names, as the user gave them, in an order of their own.
    pub(crate) fn values(&self) -> Vec<(&str, &str)> {
        let mut values: Vec<_> = self
            .given()
            .chain(self.authorization_tokens())
            .map(|(name, value)| (name, value.expose_secret()))
            .collect();
        values.sort_unstable();
        values
    }

    fn authorization_tokens(&self) -> impl Iterator<Item = (&str, &SecretString)> {
        let tokens = self.tokens.iter();
        tokens.map(|(_, token)| ("authorization_token", token))
    }

    fn add_open(&mut self, name: String, value: &str) {
        self.open.insert(name.clone());
        self.variables.insert(name, SecretString::from(value));
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
                    source: types::EndpointSource::User,
                })
            })
            .collect()
    }
}

/// The URL of a server, where it is one and holds no user information, which would be a secret.
pub(crate) fn plain_url(text: &str) -> Option<Url> {
    let url = url_of_server(text)?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    is_plain.then_some(url)
}

fn url_of_server(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    // Either scheme has a host.
    matches!(url.scheme(), "http" | "https").then_some(url)
}

/// Whether a text is the URL of a server as it stands.
pub fn is_server_url(text: &str) -> bool {
    // The parser takes white space out of what it reads; the adapter would get it as it stands.
    !text.contains(char::is_whitespace) && url_of_server(text).is_some()
}

/// Whether a text is the URL of a server as it stands, without user information.
pub fn is_plain_url(text: &str) -> bool {
    is_server_url(text) && plain_url(text).is_some()
}

/// How OAuth tokens among a turn's credentials are renewed.
pub(crate) struct Renewal<'a> {
    pub(crate) tokens: &'a OauthTokens,
    pub(crate) adapter: &'a Adapter,
    /// How long they have to be good.
    pub(crate) life: Duration,
    /// For which turn.
    pub(crate) worker: WorkerId,
}

/// Opens the secrets of a session's next turn, but for those that are `known`; without a `renewal`,
/// logins stay as they are kept.
pub(crate) async fn gather(
    store: &Store,
    seals: &Seals,
    session: &SessionRecord,
    description: &Description,
    renewal: Option<Renewal<'_>>,
    known: &Opened,
) -> Result<TurnSecrets> {
    let owner = session.owner;
    let mut secrets = TurnSecrets {
        tokens: git::tokens(store, seals, session).await?,
        ..TurnSecrets::default()
    };
    let own = store
        .list_sealed(owner, SealedKind::SessionVariable, session.session.id)
        .await?;
    let environment = match session.session.environment_id {
        Some(id) => {
            store
                .list_sealed(owner, SealedKind::EnvironmentVariable, id)
                .await?
        }
        None => Vec::new(),
    };
    let script = store
        .list_sealed(owner, SealedKind::SetupVariable, session.session.id)
        .await?;
    let registered = store.list_credentials(owner).await?;
    let nothing = IndexMap::new();
    let own_open = &session.session.vars;
    let environment_open = session.environment.as_ref().map_or(&nothing, |it| &it.vars);
    let candidates = Candidates {
        session: names(&own),
        session_open: own_open.keys().map(String::as_str).collect(),
        environment: names(&environment),
        environment_open: environment_open.keys().map(String::as_str).collect(),
        script: names(&script),
        credentials: registered.iter().map(|it| it.name.as_str()).collect(),
    };
    for (variable, source) in winners(&candidates, description, &session.session.model) {
        let sealed = match &source {
            Source::Session => find(&own, &variable),
            Source::Environment => find(&environment, &variable),
            Source::Script => find(&script, &variable),
            Source::SessionOpen | Source::EnvironmentOpen => {
                let from = match source {
                    Source::SessionOpen => own_open,
                    _ => environment_open,
                };
                if let Some(value) = from.get(&variable) {
                    secrets.add_open(variable, value);
                }
                continue;
            }
            Source::Credential(name) => store.sealed(Credential::key(owner, name)).await?,
        };
        // A credential may have been deleted since it was listed.
        let Some(sealed) = sealed else { continue };
        let mut value = secrets.opened.open(seals, sealed.clone(), known)?;
        if let Source::Credential(name) = source {
            let credential = registered.iter().find(|it| it.name == name);
            let hosts = credential.map(bound_hosts).unwrap_or_default();
            if !hosts.is_empty() {
                secrets.bound.insert(variable.clone(), hosts);
            }
            if let Some(renewal) = &renewal
                && let Some(endpoint) = renewal.adapter.oauth().get(&name)
            {
                let Renewal { life, worker, .. } = *renewal;
                let token = renewal.tokens.token(&sealed, value, endpoint, life, worker);
                let token = token.await?;
                value = token.value;
                if token.is_renewed {
                    secrets.logins.insert(variable.clone(), name.clone());
                }
            }
            secrets.credentials.push(name);
        }
        secrets.variables.insert(variable, value);
    }
    for (index, server) in session.agent.mcp_servers.iter().enumerate() {
        for (position, (_, sealed)) in mcp_names(server).enumerate() {
            let key = mcp_key(owner, session.agent.id, sealed.clone());
            let record = store
                .sealed(key)
                .await?
                .ok_or(Error::ValueGone { name: sealed })?;
            let value = secrets.opened.open(seals, record, known)?;
            secrets.mcp.insert(mcp_reference(index, position), value);
        }
    }
    Ok(secrets)
}

/// The name under which adapters refer to the value of an MCP server. It is also a valid name of
/// a variable, for CLIs that take such values from their environment.
pub(crate) fn mcp_reference(server: usize, value: usize) -> String {
    format!("AOD_MCP_{server}_{value}")
}

/// The agent's MCP servers as adapters see them; `gateways` are the URLs of those that are reached
/// through one, by their positions; the one behind the last is that of the agent's own tools.
pub(crate) fn mcp_servers(
    agent: &aod_resources::Agent,
    gateways: &BTreeMap<usize, String>,
) -> Vec<types::McpServer> {
    let values = |index: usize, server| {
        mcp_names(server)
            .enumerate()
            .map(|(position, (name, _))| McpValue {
                name: name.to_owned(),
                secret: mcp_reference(index, position),
            })
            .collect()
    };
    let own = gateways.get(&agent.mcp_servers.len());
    agent
        .mcp_servers
        .iter()
        .enumerate()
        .map(|(index, server)| types::McpServer {
            name: server.name.clone(),
            transport: match &server.transport {
                aod_resources::McpTransport::Url { url, .. } => McpTransport::Url(McpUrl {
                    url: gateways.get(&index).unwrap_or(url).clone(),
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
            owner: types::McpOwner::Agent,
            call_timeout_ms: server.permissions.as_ref().map(|_| LONGEST_CALL_MS),
        })
        // The agent's own tools.
        .chain(own.map(|url| types::McpServer {
            name: aod_resources::OWN_MCP_SERVER.to_owned(),
            transport: McpTransport::Url(McpUrl {
                url: url.clone(),
                headers: Vec::new(),
            }),
            owner: types::McpOwner::Agent,
            call_timeout_ms: Some(LONGEST_CALL_MS),
        }))
        .collect()
}

/// A CLI waits for so long where a person may be asked: for a permission and for a result, each of
/// which may take a day.
const LONGEST_CALL_MS: u32 = 50 * 3_600_000;

fn names(sealed: &[SealedRecord]) -> Vec<&str> {
    sealed.iter().map(|it| it.key.name.as_str()).collect()
}

fn find(sealed: &[SealedRecord], name: &str) -> Option<SealedRecord> {
    sealed.iter().find(|it| it.key.name == name).cloned()
}

/// What the names of credentials begin with that are no more than a variable.
pub const PLAIN: &str = "env:";

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
         `aod credential set` for all sessions",
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

    #[test]
    fn open_variables_are_given_and_not_hidden() {
        let mut secrets = TurnSecrets::default();
        secrets.add_open("PLACE".to_owned(), "/workspace/build");
        let key = SecretString::from("/workspace/key");
        secrets.variables.insert("KEY".to_owned(), key);
        let redacted = secrets
            .redactor()
            .redact_str("/workspace/build /workspace/key")
            .into_owned();
        assert_eq!(redacted, "/workspace/build [redacted:KEY]");
        assert!(secrets.get("PLACE").is_some() && secrets.is_open("PLACE"));
    }
}
