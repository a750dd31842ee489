//! OAuth tokens that expire: the host alone renews them, one at a time, and seals what it is given
//! before anybody uses it. No sandbox ever has what renews them. The gateways of turns that run are
//! told.

mod grant;
mod request;
mod running;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aod_egress::Policy;
use aod_resources::Timestamp;
use aod_runtime::{Adapter, OauthEndpoint};
use aod_store::{Credential, SealedKey, SealedRecord, Store};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::grant::{Grant, Renewed};
use self::request::{RenewalError, renew};
use self::running::{Id, RunningTurns, answer, tell};
use crate::config::EgressConfig;
use crate::placement::{Placement, WorkerId};
use crate::seal::Seals;
use crate::{Error, Result};

pub(crate) use self::running::RunningToken;

/// How often and how soon it is tried again to keep what was renewed.
const TRIES: u32 = 5;
const RETRY: Duration = Duration::from_millis(200);
/// A token that was renewed so recently is not renewed because a server refuses it: that has another
/// reason, and whoever has it refused would have it renewed for ever.
const PAUSE: Duration = Duration::from_secs(60);

/// Renews tokens. Clones share it.
#[derive(Clone)]
pub(crate) struct OauthTokens(Arc<Shared>);

struct Shared {
    store: Store,
    seals: Seals,
    policy: Policy,
    authorities: Option<String>,
    placement: Arc<dyn Placement>,
    /// What is under way when the host stops is waited for.
    tasks: TaskTracker,
    /// Credentials that are being renewed, or were.
    renewals: Mutex<HashMap<Id, Arc<tokio::sync::Mutex<Renewing>>>>,
    /// Credentials that a provider has refused, though they had not expired.
    refused: Mutex<HashSet<Id>>,
    /// How many tokens were renewed.
    renewed: AtomicU64,
    running: RunningTurns,
}

/// One credential's renewal at a time, and what is known of earlier ones.
#[derive(Default)]
struct Renewing {
    unsaved: Option<Unsaved>,
    /// When it was renewed last.
    renewed: Option<Instant>,
}

/// What was renewed and could not be kept.
struct Unsaved {
    /// What is kept in its place.
    base: Vec<u8>,
    value: SecretString,
}

/// Why a token is to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// It has to be good for so long.
    Life(Duration),
    /// A server refuses it.
    Refused,
}

/// A user's credential as a turn is given it.
pub(crate) struct Token {
    pub(crate) value: SecretString,
    /// Whether it may be another one while the turn runs.
    pub(crate) is_renewed: bool,
}

impl OauthTokens {
    pub(crate) fn new(
        store: Store,
        seals: Seals,
        egress: &EgressConfig,
        placement: Arc<dyn Placement>,
        tasks: TaskTracker,
    ) -> Self {
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
            placement,
            tasks,
            renewals: Mutex::default(),
            refused: Mutex::default(),
            renewed: AtomicU64::new(0),
            running: RunningTurns::default(),
        }))
    }

    /// A provider has refused this credential: it is renewed before it is used again.
    pub(crate) fn refused(&self, owner: Uuid, credential: &str) {
        lock(&self.0.refused).insert((owner, credential.to_owned()));
    }

    /// How many tokens were renewed so far: what was read before it was more may be out of date.
    pub(crate) fn count(&self) -> u64 {
        self.0.renewed.load(Ordering::Acquire)
    }

    /// The token of a credential that is good for so long, renewed if it has to be. What is no OAuth
    /// login is the token as it stands.
    pub(crate) async fn token(
        &self,
        record: &SealedRecord,
        opened: SecretString,
        endpoint: &OauthEndpoint,
        life: Duration,
        worker: WorkerId,
    ) -> Result<Token> {
        let key = &record.key;
        let token = |value, is_renewed| Ok(Token { value, is_renewed });
        let Some(grant) = Grant::parse(opened.expose_secret(), endpoint) else {
            return token(opened, false);
        };
        if !self.is_due(&grant, key, life) {
            return token(grant.access_token().ok_or_else(|| malformed(key))?, true);
        }
        let (this, key, endpoint) = (self.clone(), key.clone(), endpoint.clone());
        let cause = Cause::Life(life);
        // A turn that is stopped meanwhile must not lose what it is answered.
        let renewed = self
            .0
            .tasks
            .spawn(async move { this.renewed(&key, &endpoint, cause, worker).await });
        token(renewed.await.map_err(Error::internal)??, true)
    }

    /// A server refuses the token that a turn runs with, in this variable: it is renewed, unless it
    /// just was, and the turn is told what it is, or why there is no other.
    pub(crate) fn refused_in_turn(
        &self,
        (owner, credential): (Uuid, &str),
        variable: &str,
        endpoint: &OauthEndpoint,
        worker: WorkerId,
    ) {
        let (this, endpoint) = (self.clone(), endpoint.clone());
        let key = Credential::key(owner, credential);
        let variable = variable.to_owned();
        self.0.tasks.spawn(async move {
            let renewed = this.renewed(&key, &endpoint, Cause::Refused, worker).await;
            let token = renewed.map_err(|error| error.to_string());
            answer(&this.0.placement, worker, variable, token).await;
        });
    }

    /// The turn runs with tokens of these credentials, by its variables: for as long as the answer
    /// is kept, it is told what they are when they are renewed.
    pub(crate) fn running(
        &self,
        owner: Uuid,
        credentials: &BTreeMap<String, String>,
        worker: WorkerId,
    ) -> Vec<RunningToken> {
        let credentials = credentials.iter();
        credentials
            .map(|(variable, credential)| {
                let id = (owner, credential.clone());
                RunningToken::new(self.clone(), id, worker, variable.clone())
            })
            .collect()
    }

    /// Tells a turn that runs what its tokens are by now, where it may not know.
    pub(crate) fn catch_up(
        &self,
        owner: Uuid,
        credentials: &BTreeMap<String, String>,
        adapter: &Adapter,
        worker: WorkerId,
    ) {
        for (variable, credential) in credentials {
            let Some(endpoint) = adapter.oauth().get(credential).cloned() else {
                continue;
            };
            let (this, variable) = (self.clone(), variable.clone());
            let key = Credential::key(owner, credential);
            self.0.tasks.spawn(async move {
                match this.kept(&key, &endpoint).await {
                    Ok(token) => tell(&this.0.placement, worker, variable, &token).await,
                    Err(error) => tracing::warn!(
                        credential = key.name, error = %error.details(),
                        "a turn that runs is not told what its token is"
                    ),
                }
            });
        }
    }

    /// The token of a credential as it is kept.
    async fn kept(&self, key: &SealedKey, endpoint: &OauthEndpoint) -> Result<SecretString> {
        let kept = self.0.seals.open(&self.sealed(key).await?)?;
        match Grant::parse(kept.expose_secret(), endpoint) {
            Some(grant) => grant.access_token().ok_or_else(|| malformed(key)),
            None => Ok(kept),
        }
    }

    async fn sealed(&self, key: &SealedKey) -> Result<SealedRecord> {
        let record = self.0.store.sealed(key.clone()).await?;
        record.ok_or_else(|| Error::ValueGone {
            name: key.name.clone(),
        })
    }

    fn is_due(&self, grant: &Grant<'_>, key: &SealedKey, life: Duration) -> bool {
        let is_refused = lock(&self.0.refused).contains(&id(key));
        let ends = grant.expires_at();
        let is_short = ends.is_some_and(|at| at <= now().saturating_add(life.as_secs()));
        is_refused || is_short || grant.access_token().is_none()
    }

    /// Renews a token, unless somebody else just has.
    async fn renewed(
        &self,
        key: &SealedKey,
        endpoint: &OauthEndpoint,
        cause: Cause,
        worker: WorkerId,
    ) -> Result<SecretString> {
        let renewal = {
            let mut renewals = lock(&self.0.renewals);
            renewals.entry(id(key)).or_default().clone()
        };
        let mut renewing = renewal.lock().await;
        let record = self.sealed(key).await?;
        let kept = self.0.seals.open(&record)?;
        let earlier = renewing.unsaved.take().filter(|it| it.base == record.blob);
        let is_unsaved = earlier.is_some();
        let value = earlier.map_or_else(|| kept.clone(), |it| it.value);
        let Some(mut grant) = Grant::parse(value.expose_secret(), endpoint) else {
            return Ok(value);
        };
        let is_due = match cause {
            Cause::Life(life) => self.is_due(&grant, key, life),
            Cause::Refused => renewing.renewed.is_none_or(|at| at.elapsed() >= PAUSE),
        };
        let error = if is_due {
            lock(&self.0.refused).remove(&id(key));
            match self.ask(&grant, endpoint, key).await {
                Ok(renewed) => {
                    grant.renew(&renewed, now());
                    // Before all else: what renews it the next time may be nowhere else.
                    renewing.unsaved = self.keep(&record, &kept, grant.to_secret()).await;
                    renewing.renewed = Some(Instant::now());
                    tracing::info!(credential = key.name, "renewed an OAuth token");
                    self.announce(key, &renewed.access_token);
                    return Ok(renewed.access_token);
                }
                Err(error) => Some(error),
            }
        } else {
            None
        };
        if is_unsaved {
            renewing.unsaved = self.keep(&record, &kept, value.clone()).await;
        }
        let Some(error) = error else {
            return grant.access_token().ok_or_else(|| malformed(key));
        };
        tracing::warn!(credential = key.name, %error, "an OAuth token was not renewed");
        let is_refused = cause == Cause::Refused;
        let is_good = !is_refused && grant.expires_at().is_none_or(|at| at > now());
        let is_final = match error {
            RenewalError::Refused(_) => true,
            RenewalError::NoRefreshToken => !is_good,
            _ => false,
        };
        let reason = error.to_string();
        if is_final {
            self.expire(key, reason.clone(), worker).await;
        }
        let name = key.name.clone();
        match (grant.access_token(), error) {
            // It may do for this turn; what its provider says of it is told by the turn.
            (Some(token), _) if is_good => Ok(token),
            (_, RenewalError::Unavailable(_) | RenewalError::Unanswered(_)) => {
                Err(Error::CredentialNotRenewed { name, reason })
            }
            _ => Err(Error::CredentialExpired { name, reason }),
        }
    }

    /// Asks for a new token. That it does is on record until the answer is: of a host that ends
    /// meanwhile, it is known that what renews the token may be spent.
    async fn ask(
        &self,
        grant: &Grant<'_>,
        endpoint: &OauthEndpoint,
        key: &SealedKey,
    ) -> std::result::Result<Renewed, RenewalError> {
        let token = grant.refresh_token().ok_or(RenewalError::NoRefreshToken)?;
        let Shared { store, .. } = &*self.0;
        let not_kept = |error: aod_store::Error| {
            let error = Error::from(error);
            tracing::error!(error = %error.details(), "no OAuth token can be renewed");
            RenewalError::Unavailable("the server cannot keep what it would be given".to_owned())
        };
        let (owner, name) = id(key);
        let before = store.credential(owner, name.clone()).await;
        let lost = before.map_err(not_kept)?.renewing_since;
        let since = lost.unwrap_or_else(Timestamp::now);
        let noted = store.note_renewal(owner, name.clone(), Some(since)).await;
        noted.map_err(not_kept)?;
        let (policy, authorities) = (&self.0.policy, self.0.authorities.as_deref());
        let asked = renew(policy, authorities, endpoint, &token).await;
        match (&asked, lost) {
            // What is kept has it no more; what is not answered stays on record.
            (Ok(_) | Err(RenewalError::Unanswered(_)), _) => {}
            // Nobody was asked, or somebody who is no judge of it.
            (Err(RenewalError::Unavailable(_) | RenewalError::Misconfigured(_)), Some(_)) => {}
            (Err(_), _) => {
                if let Err(error) = store.note_renewal(owner, name, None).await {
                    not_kept(error);
                }
            }
        }
        match (asked, lost) {
            (Err(RenewalError::Refused(word)), Some(at)) => Err(RenewalError::Refused(format!(
                "{word}; the answer to an earlier renewal, of {at}, was lost when the server \
                 stopped or the provider did not answer, and what renews the login with it"
            ))),
            (asked, _) => asked,
        }
    }

    /// Tells all turns that run with a token what it is now.
    fn announce(&self, key: &SealedKey, token: &SecretString) {
        self.0.renewed.fetch_add(1, Ordering::AcqRel);
        for (worker, variable) in self.0.running.with(&id(key)) {
            let (placement, token) = (self.0.placement.clone(), token.clone());
            self.0
                .tasks
                .spawn(async move { tell(&placement, worker, variable, &token).await });
        }
    }

    /// Notes that a login cannot be renewed, and has webhooks told.
    async fn expire(&self, key: &SealedKey, reason: String, worker: WorkerId) {
        let WorkerId { session, turn } = worker;
        let (owner, name) = id(key);
        let at = Timestamp::now();
        let store = &self.0.store;
        let noted = store.expire_credential(owner, name, reason, (session, turn), at);
        match noted.await.map_err(Error::from) {
            Ok(true) => tracing::warn!(credential = key.name, "a login has expired for good"),
            Ok(false) => {}
            Err(error) => tracing::error!(
                credential = key.name, error = %error.details(),
                "that a login has expired cannot be noted"
            ),
        }
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

fn id(key: &SealedKey) -> Id {
    (key.owner, key.name.clone())
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
