//! What is accepted: the acknowledgement of a new session or prompt, and the same one again for the
//! same request.

use aod_resources::{Resource, Status, Timestamp};
use aod_store::Idempotency;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, Result, Sessions};

/// An idempotency key is remembered for so long.
const REMEMBERED_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// A request that carries an `Idempotency-Key`.
#[derive(Clone, Debug)]
pub struct Idempotent {
    /// The key.
    pub key: String,
    /// What is asked for: the same key on another route is another request.
    pub route: String,
    /// The request's body. Only a keyed hash of it is kept.
    pub body: Vec<u8>,
}

/// A session or a prompt that was accepted. The same request again is answered by the same value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Accepted {
    /// The session.
    pub session: Uuid,
    /// The turn's number.
    pub turn: u32,
    /// Where the session stands: it waits for room, or the turn runs that was steered.
    #[serde(default = "pending")]
    pub status: Status,
    /// What a new session was made with; none for the next prompt of one that was there.
    pub created: Option<Created>,
    /// The secret that was made for its webhook: shown once, and never kept.
    #[serde(skip)]
    pub webhook_secret: Option<SecretString>,
    /// What it is in the queue, where it waits there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<Queued>,
}

/// A prompt that waits in its session's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// Its id.
    pub id: Uuid,
}

/// What a new session was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// Its environment.
    pub environment: Option<Uuid>,
    /// Its repositories.
    pub resources: Vec<Resource>,
    /// Its own webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Uuid>,
}

const fn pending() -> Status {
    Status::Pending
}

impl Sessions {
    fn body_mac(&self, request: &Idempotent) -> [u8; 32] {
        let mut message = request.route.clone().into_bytes();
        message.push(0);
        message.extend_from_slice(&request.body);
        self.seals.vault().mac("idempotency", &message)
    }

    /// The id of what a request tells a turn: the same for the same request.
    pub(crate) fn input_id(&self, session: Uuid, request: &Idempotent) -> Uuid {
        let mut name = request.key.clone().into_bytes();
        name.push(0);
        name.extend_from_slice(&self.body_mac(request));
        Uuid::new_v5(&session, &name)
    }

    pub(crate) fn idempotency(
        &self,
        request: Option<&Idempotent>,
        accepted: &Accepted,
    ) -> Result<Option<Idempotency>> {
        let Some(request) = request else {
            return Ok(None);
        };
        Ok(Some(Idempotency {
            key: request.key.clone(),
            body_mac: self.body_mac(request),
            not_before: remembered(),
            answer: serde_json::to_string(accepted).map_err(Error::internal)?,
        }))
    }

    /// The first answer to the same request. Asked before anything is checked: what was accepted
    /// once is not refused the second time because the world has moved on.
    pub(crate) async fn replayed(
        &self,
        owner: Uuid,
        request: Option<&Idempotent>,
    ) -> Result<Option<Accepted>> {
        let Some(request) = request else {
            return Ok(None);
        };
        let mac = self.body_mac(request);
        let answer = self
            .store
            .replay(owner, request.key.clone(), mac, remembered())
            .await?;
        answer.map(|answer| read_answer(&answer)).transpose()
    }
}

fn remembered() -> Timestamp {
    Timestamp::from_micros(Timestamp::now().as_micros() - REMEMBERED_MICROS)
}

pub(crate) fn read_answer(answer: &str) -> Result<Accepted> {
    serde_json::from_str(answer).map_err(Error::internal)
}
