//! What is accepted: the acknowledgement of a new session or prompt, and the same one again for the
//! same request.

use aod_resources::{Resource, Timestamp};
use aod_store::Idempotency;
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

/// A session or a prompt that was accepted: its turn waits for room. The same request again is
/// answered by the same value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The session.
    pub session: Uuid,
    /// The turn's number.
    pub turn: u32,
    /// What a new session was made with; none for the next prompt of one that was there.
    pub created: Option<Created>,
}

/// What a new session was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// Its environment.
    pub environment: Option<Uuid>,
    /// Its repositories.
    pub resources: Vec<Resource>,
}

impl Sessions {
    fn body_mac(&self, request: &Idempotent) -> [u8; 32] {
        let mut message = request.route.clone().into_bytes();
        message.push(0);
        message.extend_from_slice(&request.body);
        self.seals.vault().mac("idempotency", &message)
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
