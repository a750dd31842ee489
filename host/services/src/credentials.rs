//! Users' registered credentials: given once, used by all of their sessions, never shown again.

use aod_resources::{Actor, CredentialAction, CredentialKind, HOME_VARIABLE, Timestamp};
use aod_runtime::types::Credential as Declared;
use aod_store::{AuditEntry, Credential, NewCredential, Store};
use aod_turns::{HostPort, PLAIN, Seals};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::runtimes::Runtimes;
use crate::{Error, Result};

/// The credentials of all users.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub(crate) store: Store,
    pub(crate) seals: Seals,
    pub(crate) runtimes: Runtimes,
}

/// A registered credential, without its value.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CredentialInfo {
    /// `provider_key:<provider>`, `runtime_token:<name>` or `env:<NAME>`; one of each per user.
    pub name: String,
    /// What comes before the name's colon.
    pub kind: CredentialKind,
    /// The variable in which sessions get it; `null` while no loaded runtime declares it.
    pub variable: Option<String>,
    /// The hosts that it is for, where they are named: sandboxes have a placeholder in the variable,
    /// and requests to these hosts, over TLS, have the value instead.
    pub hosts: Vec<String>,
    /// When it was first set.
    pub created_at: Timestamp,
    /// When its value was last set.
    pub updated_at: Timestamp,
    /// When a turn was last given it.
    pub last_used_at: Option<Timestamp>,
    /// Since when it is a login that cannot be renewed: it has to be set anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub expired_at: Option<Timestamp>,
    /// Why it cannot be renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub expired_reason: Option<String>,
    /// When its renewal was asked for, where that has no answer yet. One that stays was lost when
    /// the server stopped: the next turn tries it again, and says what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub renewing_since: Option<Timestamp>,
}

/// A credential that was just set.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Registered {
    /// The credential.
    #[serde(flatten)]
    pub credential: CredentialInfo,
    /// What looks wrong about the value; it is kept as it is.
    pub hint: Option<String>,
}

/// Something that was done with a credential.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CredentialEvent {
    /// Its place in the trail; rises.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// The credential's name.
    pub credential: String,
    /// What.
    pub action: CredentialAction,
    /// The session that used it.
    pub session_id: Option<Uuid>,
    /// That session's turn.
    pub turn: Option<u32>,
}

impl From<AuditEntry> for CredentialEvent {
    fn from(AuditEntry { seq, entry }: AuditEntry) -> Self {
        Self {
            id: seq,
            at: entry.at,
            actor: entry.actor,
            credential: entry.credential,
            action: entry.action,
            session_id: entry.session,
            turn: entry.turn,
        }
    }
}

impl Credentials {
    /// A user's credentials, by name.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub async fn list(&self, owner: Uuid) -> Result<Vec<CredentialInfo>> {
        let declared = self.runtimes.credentials();
        let registered = self.store.list_credentials(owner).await?;
        Ok(registered
            .into_iter()
            .map(|credential| info(credential, &declared))
            .collect())
    }

    /// One of them.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, owner: Uuid, name: String) -> Result<CredentialInfo> {
        let credential = self.store.credential(owner, name).await?;
        Ok(info(credential, &self.runtimes.credentials()))
    }

    /// Registers a credential, or gives it a new value. Where no hosts are named, it keeps those
    /// that it has.
    ///
    /// # Errors
    /// [`Error::CredentialUnknown`] where no loaded runtime declares such a credential,
    /// [`Error::CredentialReserved`] for a variable that the sandbox sets, and what is wrong with
    /// the hosts, or with a value that is for hosts.
    pub async fn set(
        &self,
        owner: Uuid,
        actor: Actor,
        name: String,
        value: SecretString,
        hosts: Option<Vec<String>>,
    ) -> Result<Registered> {
        if name.strip_prefix(PLAIN) == Some(HOME_VARIABLE) {
            return Err(Error::CredentialReserved { name });
        }
        let mut declared = self.runtimes.credentials();
        if variable(&name, &declared).is_none() {
            // A runtime that is being compiled may declare it.
            self.runtimes.compiled().await;
            declared = self.runtimes.credentials();
        }
        let known = variable(&name, &declared).and(CredentialKind::of(&name));
        let Some(kind) = known else {
            return Err(unknown(&name, &declared));
        };
        let hosts = hosts
            .map(|hosts| checked_hosts(&name, &hosts))
            .transpose()?;
        if !is_header(&value) && self.has_hosts(owner, &name, hosts.as_deref()).await? {
            return Err(Error::CredentialNoHeader);
        }
        let blob = self.seals.seal(&Credential::key(owner, &name), &value)?;
        let hint = hint(&name, &value, &declared);
        let new = NewCredential {
            owner,
            kind,
            name,
            hosts,
            blob,
            at: Timestamp::now(),
        };
        let credential = self.store.put_credential(new, actor).await?;
        Ok(Registered {
            credential: info(credential, &declared),
            hint,
        })
    }

    /// Whether a credential that is about to be set will have hosts.
    async fn has_hosts(&self, owner: Uuid, name: &str, given: Option<&[String]>) -> Result<bool> {
        if let Some(given) = given {
            return Ok(!given.is_empty());
        }
        match self.store.credential(owner, name.to_owned()).await {
            Ok(credential) => Ok(!credential.hosts.is_empty()),
            Err(aod_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a credential with its value. Running turns keep what they were given.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete(&self, owner: Uuid, actor: Actor, name: String) -> Result<()> {
        Ok(self
            .store
            .delete_credential(owner, name, actor, Timestamp::now())
            .await?)
    }

    /// At most `limit` entries of a user's trail, newest first, older than the entry `before`.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub async fn trail(
        &self,
        owner: Uuid,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<CredentialEvent>> {
        let entries = self.store.audit(owner, before, limit).await?;
        Ok(entries.into_iter().map(CredentialEvent::from).collect())
    }
}

fn info(credential: Credential, declared: &[Declared]) -> CredentialInfo {
    CredentialInfo {
        variable: variable(&credential.name, declared),
        name: credential.name,
        kind: credential.kind,
        hosts: credential.hosts,
        created_at: credential.created_at,
        updated_at: credential.updated_at,
        last_used_at: credential.last_used_at,
        expired_at: credential.expired.as_ref().map(|expired| expired.at),
        expired_reason: credential.expired.map(|expired| expired.reason),
        renewing_since: credential.renewing_since,
    }
}

/// Hosts in their one form, each once.
fn checked_hosts(name: &str, given: &[String]) -> Result<Vec<String>> {
    if !given.is_empty() && !name.starts_with(PLAIN) {
        let name = name.to_owned();
        return Err(Error::CredentialWithoutHosts { name });
    }
    let mut hosts = Vec::with_capacity(given.len());
    for host in given {
        let checked: HostPort = host.parse().map_err(|problem| Error::CredentialHost {
            host: host.clone(),
            problem,
        })?;
        let shown = checked.to_string();
        if !hosts.contains(&shown) {
            hosts.push(shown);
        }
    }
    Ok(hosts)
}

/// Whether a value can stand in a header (RFC 9110, section 5.5).
fn is_header(value: &SecretString) -> bool {
    let bytes = value.expose_secret().bytes();
    bytes
        .into_iter()
        .all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}

/// The variable that a credential becomes, if there is such a credential.
fn variable(name: &str, declared: &[Declared]) -> Option<String> {
    if let Some(variable) = name.strip_prefix(PLAIN) {
        return is_variable(variable).then(|| variable.to_owned());
    }
    let declared = declared.iter().find(|it| it.name == name)?;
    Some(declared.variable.clone())
}

/// `[A-Za-z_][A-Za-z0-9_]*`, at most 255 bytes.
fn is_variable(name: &str) -> bool {
    name.len() <= 255
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn unknown(name: &str, declared: &[Declared]) -> Error {
    let valid = declared
        .iter()
        .map(|it| format!("{} ({})", it.name, it.variable))
        .chain(["env:<NAME> (any other variable)".to_owned()])
        .collect();
    // A value given in the place of a name must not be repeated.
    let is_name = name.len() <= 100 && name.contains(':');
    Error::CredentialUnknown {
        name: is_name.then(|| name.to_owned()),
        valid,
    }
}

/// A warning about a value that does not look like others of its kind.
fn hint(name: &str, value: &SecretString, declared: &[Declared]) -> Option<String> {
    let value = value.expose_secret();
    if value.trim() != value {
        return Some("the value begins or ends with white space".to_owned());
    }
    let declared = declared.iter().find(|it| it.name == name)?;
    let prefix = declared.prefix.as_deref()?;
    (!value.starts_with(prefix)).then(|| {
        format!(
            "a value for {} usually begins with {prefix:?}, and this one does not: check that it \
             is the right one",
            declared.label
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared() -> Vec<Declared> {
        vec![Declared {
            sent: Vec::new(),
            name: "provider_key:acme".to_owned(),
            variable: "ACME_KEY".to_owned(),
            providers: vec!["acme".to_owned()],
            displaces: Vec::new(),
            prefix: Some("ak-".to_owned()),
            label: "Acme API key".to_owned(),
        }]
    }

    #[test]
    fn only_what_is_declared_and_variables_are_names_of_credentials() {
        let known = |name: &str| variable(name, &declared());
        assert_eq!(known("provider_key:acme").as_deref(), Some("ACME_KEY"));
        assert_eq!(known("env:MY_1").as_deref(), Some("MY_1"));
        for bad in [
            "",
            "env:",
            "env:1X",
            "env:A-B",
            "env:A=B",
            "env:Ä",
            "provider_key:",
            "provider_key:x",
            "ACME_KEY",
            "acme",
            "runtime_token:acme",
        ] {
            assert_eq!(known(bad), None, "{bad}");
        }
    }

    #[test]
    fn hosts_are_kept_in_one_form_and_only_for_variables() {
        let hosts = |name: &str, given: &[&str]| {
            let given: Vec<String> = given.iter().map(|&host| host.to_owned()).collect();
            checked_hosts(name, &given).map_err(|error| error.to_string())
        };
        let kept = hosts(
            "env:X",
            &["API.example.com.", "api.example.com:443", "a.b:8443"],
        );
        assert_eq!(kept.unwrap(), ["api.example.com", "a.b:8443"]);
        assert!(hosts("provider_key:acme", &[]).unwrap().is_empty());
        let refused = hosts("provider_key:acme", &["a.b"]).unwrap_err();
        assert!(
            refused.starts_with("hosts: ") && refused.contains("env:<NAME>"),
            "{refused}"
        );
        let refused = hosts("env:X", &["10.0.0.1"]).unwrap_err();
        assert!(
            refused.starts_with("hosts: \"10.0.0.1\" should"),
            "{refused}"
        );
    }

    #[test]
    fn what_no_header_holds_is_told() {
        for (value, good) in [
            ("a b\tc", true),
            ("ü", true),
            ("a\nb", false),
            ("a\0", false),
        ] {
            assert_eq!(is_header(&value.into()), good, "{value:?}");
        }
    }

    #[test]
    fn a_refusal_lists_what_is_valid_and_repeats_nothing_that_may_be_a_value() {
        let message = unknown("provider_key:x", &declared()).to_string();
        for part in [
            "provider_key:x",
            "provider_key:acme (ACME_KEY)",
            "env:<NAME>",
        ] {
            assert!(message.contains(part), "{message}");
        }
        let message = unknown("ak-something-secret", &declared()).to_string();
        assert!(!message.contains("secret"), "{message}");
    }

    #[test]
    fn a_hint_warns_of_what_looks_wrong_without_quoting_it() {
        let hint = |name: &str, value: &str| hint(name, &value.into(), &declared());
        assert_eq!(hint("provider_key:acme", "ak-123"), None);
        assert_eq!(hint("env:X", "123"), None);
        let warning = hint("provider_key:acme", "xy-17171717").unwrap();
        assert!(
            warning.contains("\"ak-\"") && !warning.contains("17171717"),
            "{warning}"
        );
        assert!(hint("env:X", "123\n").is_some());
    }
}
