//! Turns that run with a token: they are told what it is when it is another.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aod_supervisor::{CredentialUpdate, RenewedCredential, Request};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::{OauthTokens, lock};
use crate::placement::{ControlReply, Placement, WorkerId};

/// How often, and how soon, a worker is told again that does not answer.
const TRIES: u32 = 5;
const RETRY: Duration = Duration::from_secs(1);

/// A user's credential: whose, and its name.
pub(super) type Id = (Uuid, String);

/// Workers with the variables of their sandboxes' placeholders, by numbers of their own.
type Numbered = BTreeMap<u64, (WorkerId, String)>;

/// The turns that run with each credential, by numbers of their own, each with the variable that its
/// sandbox has a placeholder in.
#[derive(Default)]
pub(super) struct RunningTurns {
    next: AtomicU64,
    turns: Mutex<HashMap<Id, Numbered>>,
}

impl RunningTurns {
    pub(super) fn with(&self, credential: &Id) -> Vec<(WorkerId, String)> {
        let turns = lock(&self.turns);
        let turns = turns.get(credential);
        turns.map_or_else(Vec::new, |turns| turns.values().cloned().collect())
    }
}

/// A turn that runs with a token. Dropping it says that it does so no more.
pub(crate) struct RunningToken {
    tokens: OauthTokens,
    credential: Id,
    number: u64,
}

impl RunningToken {
    pub(super) fn new(
        tokens: OauthTokens,
        credential: Id,
        worker: WorkerId,
        variable: String,
    ) -> Self {
        let running = &tokens.0.running;
        let number = running.next.fetch_add(1, Ordering::Relaxed);
        let mut turns = lock(&running.turns);
        let turns = turns.entry(credential.clone()).or_default();
        turns.insert(number, (worker, variable));
        Self {
            credential,
            number,
            tokens: tokens.clone(),
        }
    }
}

impl Drop for RunningToken {
    fn drop(&mut self) {
        let mut all = lock(&self.tokens.0.running.turns);
        if let Some(turns) = all.get_mut(&self.credential) {
            turns.remove(&self.number);
            if turns.is_empty() {
                all.remove(&self.credential);
            }
        }
    }
}

/// Tells a turn's worker what the token in a variable is by now.
pub(super) async fn tell(
    placement: &Arc<dyn Placement>,
    worker: WorkerId,
    variable: String,
    token: &SecretString,
) {
    let credential = RenewedCredential {
        credential: variable,
        value: Some(token.expose_secret().to_owned().into()),
        is_answer: false,
    };
    let problem = None;
    send(
        placement,
        worker,
        CredentialUpdate {
            credential,
            problem,
        },
    )
    .await;
}

/// Answers a turn's worker whose token is refused: with what it is by now, or with why there is no
/// other.
pub(super) async fn answer(
    placement: &Arc<dyn Placement>,
    worker: WorkerId,
    variable: String,
    token: Result<SecretString, String>,
) {
    let (value, problem) = match token {
        Ok(token) => (Some(token.expose_secret().to_owned().into()), None),
        Err(problem) => (None, Some(problem)),
    };
    let credential = RenewedCredential {
        credential: variable,
        value,
        is_answer: true,
    };
    send(
        placement,
        worker,
        CredentialUpdate {
            credential,
            problem,
        },
    )
    .await;
}

/// A worker that is gone needs nothing.
async fn send(placement: &Arc<dyn Placement>, worker: WorkerId, update: CredentialUpdate) {
    let request = Request::Credential(update);
    for _ in 0..TRIES {
        let (placement, request) = (placement.clone(), request.clone());
        let asked = tokio::task::spawn_blocking(move || placement.ask(worker, &request)).await;
        match asked {
            Ok(ControlReply::Silent) => tokio::time::sleep(RETRY).await,
            Ok(ControlReply::Refused(reason)) => {
                return tracing::debug!(reason, "a turn takes no token any more");
            }
            _ => return,
        }
    }
    tracing::warn!(session = %worker.session, "a turn was not told of its renewed token");
}
