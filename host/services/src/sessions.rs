//! Sessions as their users see them: made, prompted, read, stopped, deleted.

use std::fs::File;
use std::time::Duration;

use aod_log::Reader;
use aod_resources::event::EventId;
use aod_resources::{NewPrompt, NewSession, Resource, Session, Status, Timestamp, Turn};
use aod_store::{
    Idempotency, NewTurn, Page, SealedKind, StopRequest, Store, Submitted, VersionRef,
};
use aod_streams::events::{EventFollower, EventPage};
use aod_streams::follow::{Follower, From, Log};
use aod_turns::{Seals, Turns};
use serde_json::json;
use uuid::Uuid;

use crate::runtimes::Runtimes;
use crate::{Error, Result};

/// An idempotency key is remembered for so long.
const REMEMBERED_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// How long a request to terminate waits for the end of it.
const TERMINATED_IN: Duration = Duration::from_secs(20);

/// The sessions of all users.
#[derive(Clone, Debug)]
pub struct Sessions {
    pub(crate) store: Store,
    pub(crate) seals: Seals,
    pub(crate) runtimes: Runtimes,
    pub(crate) turns: Turns,
    /// How many sessions of one user may be pending or running.
    pub(crate) active_limit: u32,
}

/// Which sessions to list.
#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    /// Only those that stand so.
    pub status: Option<Status>,
    /// Only those made from this agent.
    pub agent_id: Option<Uuid>,
    /// Only those of this runtime.
    pub runtime: Option<String>,
}

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

/// An acknowledgement, as it is given and, to the same request again, given once more.
#[derive(Clone, Debug)]
pub struct Ack {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body.
    pub body: String,
}

impl Ack {
    const ACCEPTED: u16 = 202;

    fn accepted(body: &serde_json::Value) -> Self {
        Self {
            status: Self::ACCEPTED,
            body: body.to_string(),
        }
    }
}

impl Sessions {
    /// Creates a session and starts its first turn.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the agent or environment, [`Error::Conflict`] where one is
    /// archived, [`Error::UnknownRuntime`] where the agent's runtime is no longer there,
    /// [`Error::Invalid`] where its model is not, [`Error::ActiveLimit`].
    pub async fn create(
        &self,
        owner: Uuid,
        new: NewSession,
        request: Option<Idempotent>,
    ) -> Result<Ack> {
        let idempotency = |ack: &Ack| self.idempotency(request.as_ref(), ack);
        if let Some(ack) = self.replayed(owner, request.as_ref()).await? {
            return Ok(ack);
        }
        let agent = self.store.agent(owner, new.agent_id).await?;
        if agent.archived_at.is_some() {
            return Err(Error::Conflict(
                "Agent is archived and starts no new session".to_owned(),
            ));
        }
        let environment = match new.environment_id.or(agent.environment_id) {
            Some(id) => Some(self.store.environment(owner, id).await?),
            None => None,
        };
        if environment
            .as_ref()
            .is_some_and(|environment| environment.archived_at.is_some())
        {
            return Err(Error::Conflict(
                "Environment is archived and starts no new session".to_owned(),
            ));
        }
        self.runtimes.check(&agent.runtime, &agent.model)?;

        let id = Uuid::new_v4();
        let mut secrets =
            self.seals
                .seal_all(owner, SealedKind::SessionVariable, id, &new.secret_env_vars)?;
        secrets.extend(self.seals.seal_all(
            owner,
            SealedKind::RepositoryToken,
            id,
            &new.resource_tokens,
        )?);
        let environment = environment.map(|it| VersionRef {
            id: it.id,
            version: it.version,
        });
        let ack = create_ack(id, environment.map(|it| it.id), &new.resources);
        let runtime = agent.runtime.clone();
        let build = self.runtimes.build(&runtime);
        let session = aod_store::NewSession {
            id,
            owner,
            agent: VersionRef {
                id: agent.id,
                version: agent.version,
            },
            environment,
            runtime: agent.runtime,
            model: agent.model,
            resources: new.resources,
            timeout: new.timeout.unwrap_or(self.turns.config().turn.timeout),
            prompt: new.prompt,
            secrets,
            adapter_digest: build.as_ref().map(|build| build.adapter_digest.clone()),
            install_key: build.and_then(|build| build.install_key),
            active_limit: Some(self.active_limit),
            idempotency: idempotency(&ack),
            at: Timestamp::now(),
        };
        // Made before the session can be seen: a stream is opened on the log's folder.
        let paths = self.turns.paths().session(id);
        paths.create().map_err(Error::internal)?;
        match self.store.create_session(session).await {
            Ok(Submitted::New(_)) => {
                self.turns.begin(owner, id, 1, &runtime);
                Ok(ack)
            }
            Ok(Submitted::Replayed(replay)) => {
                self.turns.abandon(id).await?;
                Ok(Ack {
                    status: replay.status,
                    body: replay.response,
                })
            }
            Err(error) => {
                self.turns.abandon(id).await?;
                Err(error.into())
            }
        }
    }

    /// Starts a session's next turn.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] where the session takes no prompt;
    /// [`Error::ActiveLimit`].
    pub async fn prompt(
        &self,
        owner: Uuid,
        id: Uuid,
        new: NewPrompt,
        request: Option<Idempotent>,
    ) -> Result<Ack> {
        if let Some(ack) = self.replayed(owner, request.as_ref()).await? {
            return Ok(ack);
        }
        let session = self.store.session(owner, id).await?;
        let next = session.turn_count + 1;
        let ack = Ack::accepted(&json!({
            "id": id,
            "status": Status::Pending,
            "stream_url": stream_url(id),
            "current_turn": next,
        }));
        let turn = NewTurn {
            session: id,
            owner,
            prompt: new.prompt,
            timeout: new.timeout,
            active_limit: Some(self.active_limit),
            idempotency: self.idempotency(request.as_ref(), &ack),
            at: Timestamp::now(),
        };
        match self.store.add_turn(turn).await? {
            // Two prompts cannot both be accepted at once: the second finds the session pending.
            Submitted::New(turn) => {
                let number = turn.turn_number;
                self.turns.begin(owner, id, number, &session.runtime);
                Ok(ack)
            }
            Submitted::Replayed(replay) => Ok(Ack {
                status: replay.status,
                body: replay.response,
            }),
        }
    }

    /// A user's sessions, newest first.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the page begins after none of theirs.
    pub async fn list(
        &self,
        owner: Uuid,
        filter: SessionFilter,
        page: Page,
    ) -> Result<Vec<Session>> {
        let filter = aod_store::SessionFilter {
            status: filter.status,
            agent: filter.agent_id,
            runtime: filter.runtime,
            page,
        };
        let sessions = self.store.list_sessions(owner, filter).await?;
        Ok(sessions
            .into_iter()
            .map(|session| self.in_queue(session))
            .collect())
    }

    /// One session.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, owner: Uuid, id: Uuid) -> Result<Session> {
        Ok(self.in_queue(self.store.session(owner, id).await?))
    }

    /// Adds where a session's turn stands among those that wait for room.
    fn in_queue(&self, mut session: Session) -> Session {
        if session.status == Status::Pending {
            let position = self.turns.queue_position(session.id);
            session.queue_position = position.and_then(|position| position.try_into().ok());
        }
        session
    }

    /// A session's turns, in order.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn turns(&self, owner: Uuid, id: Uuid) -> Result<Vec<Turn>> {
        Ok(self.store.turns(owner, id).await?)
    }

    /// The output of a session's provisioning steps, secrets redacted: a file to be read, and how
    /// many bytes of it were there when it was opened. None where no step printed anything.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn provisioning(&self, owner: Uuid, id: Uuid) -> Result<Option<(File, u64)>> {
        self.store.session(owner, id).await?;
        let path = self.turns.paths().session(id).provisioning();
        let opened = tokio::task::spawn_blocking(move || {
            let file = aod_trees::open_regular(&path)?;
            let length = file.metadata()?.len();
            std::io::Result::Ok((file, length))
        });
        match opened.await.map_err(Error::internal)? {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            opened => Ok(Some(opened.map_err(Error::internal)?)),
        }
    }

    /// Asks the running turn to stop; the session takes another prompt then.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] where no turn runs.
    pub async fn interrupt(&self, owner: Uuid, id: Uuid) -> Result<Status> {
        self.stop(owner, id, StopRequest::Interrupt).await?;
        Ok(self.store.session(owner, id).await?.status)
    }

    /// Stops a session for good, and returns once nothing of it is left running.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] where it has ended already.
    pub async fn terminate(&self, owner: Uuid, id: Uuid) -> Result<Status> {
        self.stop(owner, id, StopRequest::Terminate).await?;
        if tokio::time::timeout(TERMINATED_IN, self.turns.ended(id))
            .await
            .is_err()
        {
            return Err(Error::Unavailable(
                "the session is being terminated, and that takes longer than it should: look again later"
                    .to_owned(),
            ));
        }
        Ok(Status::Terminated)
    }

    async fn stop(&self, owner: Uuid, id: Uuid, request: StopRequest) -> Result<()> {
        match self.store.request_stop(owner, id, request).await {
            Ok(_) => self.turns.stop(id, request),
            Err(error) => {
                let error = Error::from(error);
                // Where the wish cannot be kept, what runs is stopped all the same.
                if matches!(error, Error::Internal(_) | Error::FullDisk(_))
                    && self.store.session(owner, id).await.is_ok()
                {
                    self.turns.stop(id, request);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Deletes a session, its log and its workspace.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] while a turn waits or runs.
    pub async fn delete(&self, owner: Uuid, id: Uuid) -> Result<()> {
        let removal = self.turns.note_removal(id).await?;
        match self.store.delete_session(owner, id).await {
            Ok(()) => self.turns.forget(removal).await,
            Err(error) => {
                self.turns.keep(removal).await?;
                Err(error.into())
            }
        }
    }

    /// Opens a reader of a session's native stream.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn follow(&self, owner: Uuid, id: Uuid, from: From) -> Result<Follower> {
        let session = self.store.session(owner, id).await?;
        let paths = self.turns.paths().session(id);
        let log = paths.log();
        if !log.exists() {
            // Somebody removed it: an empty one is read in its place.
            paths.create().map_err(Error::internal)?;
        }
        let subscription = self
            .turns
            .watch()
            .subscribe(id, &log)
            .map_err(Error::internal)?;
        let reader = Reader::open(&log).map_err(Error::internal)?;
        let stale = self.turns.config().turn.stale;
        let log = Log {
            reader,
            tail: self.turns.tails().of(id),
            subscription,
        };
        Follower::new(self.store.clone(), owner, &session, log, from, stale)
            .map_err(Error::internal)
    }

    /// Opens a reader of a session's normalized events.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn follow_events(
        &self,
        owner: Uuid,
        id: Uuid,
        from: From<EventId>,
    ) -> Result<EventFollower> {
        let listener = self.turns.bell().listen(id);
        self.store.session(owner, id).await?;
        let dir = self.turns.paths().session(id).events();
        EventFollower::new(self.store.clone(), owner, id, &dir, listener, from)
            .map_err(Error::internal)
    }

    /// Up to `limit` of a session's normalized events, behind `after`.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn events(
        &self,
        owner: Uuid,
        id: Uuid,
        after: EventId,
        limit: usize,
    ) -> Result<EventPage> {
        self.store.session(owner, id).await?;
        let dir = self.turns.paths().session(id).events();
        tokio::task::spawn_blocking(move || EventPage::read(&dir, after, limit))
            .await
            .map_err(Error::internal)?
            .map_err(Error::internal)
    }

    fn body_mac(&self, request: &Idempotent) -> [u8; 32] {
        let mut message = request.route.clone().into_bytes();
        message.push(0);
        message.extend_from_slice(&request.body);
        self.seals.vault().mac("idempotency", &message)
    }

    fn idempotency(&self, request: Option<&Idempotent>, ack: &Ack) -> Option<Idempotency> {
        let request = request?;
        Some(Idempotency {
            key: request.key.clone(),
            body_mac: self.body_mac(request),
            not_before: remembered(),
            status: ack.status,
            response: ack.body.clone(),
        })
    }

    /// The first answer to the same request. Asked before anything is checked: what was accepted
    /// once is not refused the second time because the world has moved on.
    async fn replayed(&self, owner: Uuid, request: Option<&Idempotent>) -> Result<Option<Ack>> {
        let Some(request) = request else {
            return Ok(None);
        };
        let mac = self.body_mac(request);
        let replay = self
            .store
            .replay(owner, request.key.clone(), mac, remembered())
            .await?;
        Ok(replay.map(|replay| Ack {
            status: replay.status,
            body: replay.response,
        }))
    }
}

fn remembered() -> Timestamp {
    Timestamp::from_micros(Timestamp::now().as_micros() - REMEMBERED_MICROS)
}

fn stream_url(id: Uuid) -> String {
    format!("/sessions/{id}/stream")
}

fn create_ack(id: Uuid, environment: Option<Uuid>, resources: &[Resource]) -> Ack {
    Ack::accepted(&json!({
        "id": id,
        "status": Status::Pending,
        "stream_url": stream_url(id),
        "environment_id": environment,
        "resources": resources,
        "current_turn": 1,
    }))
}
