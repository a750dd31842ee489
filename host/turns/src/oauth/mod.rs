//! OAuth tokens that expire: the host alone renews them, one at a time, and seals what it is given
//! before anybody uses it. No sandbox ever has what renews them.

mod grant;
mod request;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aod_egress::Policy;
use aod_resources::Timestamp;
use aod_runtime::OauthEndpoint;
use aod_store::{SealedKey, SealedRecord, Store};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use self::grant::{Grant, Renewed};
use self::request::{RenewalError, renew};
use crate::config::EgressConfig;
use crate::seal::Seals;
use crate::{Error, Result};

/// How often and how soon it is tried again to keep what was renewed.
const TRIES: u32 = 5;
const RETRY: Duration = Duration::from_millis(200);

/// Renews tokens. Clones share it.
#[derive(Clone)]
pub(crate) struct OauthTokens(Arc<Shared>);

struct Shared {
    store: Store,
    seals: Seals,
    policy: Policy,
    authorities: Option<String>,
    /// Credentials that are being renewed, or were.
    renewals: Mutex<HashMap<(Uuid, String), Renewing>>,
    /// Credentials that a provider has refused, though they had not expired.
    refused: Mutex<HashSet<(Uuid, String)>>,
}

/// One credential's renewal at a time, and what an earlier one could not keep.
type Renewing = Arc<tokio::sync::Mutex<Option<Unsaved>>>;

/// What was renewed and could not be kept.
struct Unsaved {
    /// What is kept in its place.
    base: Vec<u8>,
    value: SecretString,
}

impl OauthTokens {
    pub(crate) fn new(store: Store, seals: Seals, egress: &EgressConfig) -> Self {
        Self(Arc::new(Shared {
            store,
            seals,
            policy: Policy {
                allowed: None,
                hosts: egress.hosts.clone(),
                allow_private: egress.allow_private,
                guarded: Vec::new(),
            },
            authorities: egress.authorities.clone(),
            renewals: Mutex::default(),
            refused: Mutex::default(),
        }))
    }

    /// A provider has refused this credential: it is renewed before it is used again.
    pub(crate) fn refused(&self, owner: Uuid, credential: &str) {
        lock(&self.0.refused).insert((owner, credential.to_owned()));
    }

    /// The token of a credential that is good for so long, renewed if it has to be. What is no OAuth
    /// login is the token as it stands.
    pub(crate) async fn token(
        &self,
        record: &SealedRecord,
        opened: SecretString,
        endpoint: &OauthEndpoint,
        life: Duration,
    ) -> Result<SecretString> {
        let key = &record.key;
        let Some(grant) = Grant::parse(opened.expose_secret(), endpoint) else {
            return Ok(opened);
        };
        if !self.is_due(&grant, key, life) {
            return grant.access_token().ok_or_else(|| malformed(key));
        }
        let (this, key, endpoint) = (self.clone(), key.clone(), endpoint.clone());
        // A turn that is stopped meanwhile must not lose what it is answered.
        let renewed = tokio::spawn(async move { this.renewed(&key, &endpoint, life).await });
        renewed.await.map_err(Error::internal)?
    }

    fn is_due(&self, grant: &Grant<'_>, key: &SealedKey, life: Duration) -> bool {
        let is_refused = lock(&self.0.refused).contains(&(key.owner, key.name.clone()));
        let ends = grant.expires_at();
        let is_short = ends.is_some_and(|at| at <= now().saturating_add(life.as_secs()));
        is_refused || is_short || grant.access_token().is_none()
    }

    /// Renews a token, unless somebody else just has.
    async fn renewed(
        &self,
        key: &SealedKey,
        endpoint: &OauthEndpoint,
        life: Duration,
    ) -> Result<SecretString> {
        let name = || key.name.clone();
        let renewal = {
            let mut renewals = lock(&self.0.renewals);
            renewals.entry((key.owner, name())).or_default().clone()
        };
        let mut unsaved = renewal.lock().await;
        let record = self.0.store.sealed(key.clone()).await?;
        let record = record.ok_or_else(|| Error::ValueGone { name: name() })?;
        let kept = self.0.seals.open(&record)?;
        let earlier = unsaved.take().filter(|it| it.base == record.blob);
        let is_unsaved = earlier.is_some();
        let value = earlier.map_or_else(|| kept.clone(), |it| it.value);
        let Some(mut grant) = Grant::parse(value.expose_secret(), endpoint) else {
            return Ok(value);
        };
        let error = if self.is_due(&grant, key, life) {
            lock(&self.0.refused).remove(&(key.owner, name()));
            match self.ask(&grant, endpoint).await {
                Ok(renewed) => {
                    grant.renew(&renewed, now());
                    *unsaved = self.keep(&record, &kept, grant.to_secret()).await;
                    tracing::info!(credential = key.name, "renewed an OAuth token");
                    return Ok(renewed.access_token);
                }
                Err(error) => Some(error),
            }
        } else {
            None
        };
        if is_unsaved {
            *unsaved = self.keep(&record, &kept, value.clone()).await;
        }
        let Some(error) = error else {
            return grant.access_token().ok_or_else(|| malformed(key));
        };
        tracing::warn!(credential = key.name, %error, "an OAuth token was not renewed");
        let is_good = grant.expires_at().is_none_or(|at| at > now());
        match (grant.access_token(), error) {
            // It may do for this turn; what its provider says of it is told by the turn.
            (Some(token), _) if is_good => Ok(token),
            (_, RenewalError::Refused(reason)) => Err(Error::CredentialExpired {
                name: name(),
                reason,
            }),
            (_, RenewalError::Unavailable(reason)) => Err(Error::CredentialNotRenewed {
                name: name(),
                reason,
            }),
        }
    }

    async fn ask(
        &self,
        grant: &Grant<'_>,
        endpoint: &OauthEndpoint,
    ) -> Result<Renewed, RenewalError> {
        let token = grant
            .refresh_token()
            .ok_or_else(|| RenewalError::Refused("it has no refresh token".to_owned()))?;
        let (policy, authorities) = (&self.0.policy, self.0.authorities.as_deref());
        renew(policy, authorities, endpoint, &token).await
    }

    /// Seals a new value in the place of an old one; what cannot be kept now is answered, to be
    /// kept later. A value that its user has set meanwhile stays.
    async fn keep(
        &self,
        record: &SealedRecord,
        old: &SecretString,
        new: SecretString,
    ) -> Option<Unsaved> {
        let mut base = record.blob.clone();
        for attempt in 1..=TRIES {
            match self.try_keep(&record.key, base.clone(), old, &new).await {
                Ok(None) => return None,
                // The same value, sealed to another identity.
                Ok(Some(other)) => base = other,
                Err(error) => {
                    tracing::error!(
                        error = %error.details(), attempt,
                        "a renewed OAuth token cannot be kept"
                    );
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
        Some(Unsaved { base, value: new })
    }

    async fn try_keep(
        &self,
        key: &SealedKey,
        base: Vec<u8>,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<Option<Vec<u8>>> {
        let Shared { store, seals, .. } = &*self.0;
        let blob = seals.seal(key, new)?;
        let renewed = store.renew_credential(key.clone(), base, blob, Timestamp::now());
        if renewed.await? {
            return Ok(None);
        }
        let Some(found) = store.sealed(key.clone()).await? else {
            return Ok(None);
        };
        let is_same = seals.open(&found)?.expose_secret() == old.expose_secret();
        Ok(is_same.then_some(found.blob))
    }
}

fn malformed(key: &SealedKey) -> Error {
    Error::CredentialExpired {
        name: key.name.clone(),
        reason: "it is JSON without an access token where runtimes.toml says that there is one"
            .to_owned(),
    }
}

/// Seconds since the Unix epoch.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing can panic while it is being changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
