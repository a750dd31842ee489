//! Sessions as their users see them: made, prompted, read, stopped, deleted.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::time::Duration;

use aod_log::Reader;
use aod_resources::event::EventId;
use aod_resources::{
    NewPrompt, NewResource, NewSession, RepositoryDiff, Resource, Secrets, Session, Status,
    Timestamp, Turn, WhenBusy,
};
use aod_store::{Ask, Page, SealedKind, StopRequest, Store, Submitted, VersionRef};
use aod_streams::events::{EventFollower, EventPage, PageRequest, PageStart, read_event};
use aod_streams::follow::{Follower, Log, StreamStart};
use aod_streams::provisioning::ProvisioningFollower;
use aod_turns::{Seals, Turns};
use indexmap::IndexMap;
use uuid::Uuid;

use crate::accepted::{Accepted, Created, Idempotent, read_answer};
use crate::begin::Taken;
use crate::labels::{check_labels, without_empty};
use crate::prompts::{self, Asked};
use crate::runtimes::Runtimes;
use crate::session_changes::Followers;
use crate::structured::check_schema;
use crate::webhooks::Webhooks;
use crate::{Error, Kind, Result};

/// How long a request to terminate waits for the end of it.
const TERMINATED_IN: Duration = Duration::from_secs(20);

/// The sessions of all users.
#[derive(Clone, Debug)]
pub struct Sessions {
    pub(crate) store: Store,
    pub(crate) seals: Seals,
    pub(crate) runtimes: Runtimes,
    pub(crate) turns: Turns,
    pub(crate) webhooks: Webhooks,
    pub(crate) followers: Followers,
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
    /// Only those whose labels have these values.
    pub metadata: IndexMap<String, String>,
    /// Only those whose title or first prompt holds this text.
    pub text: Option<String>,
}

impl Sessions {
    /// Creates a session and starts its first turn.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the agent or environment, [`Error::ArchivedForSessions`],
    /// [`Error::RuntimeUnknown`] or [`Error::RuntimeUnusable`] where the agent's runtime is no
    /// longer there, [`Error::Model`] where its model is not, [`Error::ActiveLimit`],
    /// [`Error::IdempotencyMismatch`].
    pub async fn create(
        &self,
        owner: Uuid,
        new: NewSession,
        request: Option<Idempotent>,
    ) -> Result<Accepted> {
        if let Some(accepted) = self.replayed(owner, request.as_ref()).await? {
            return Ok(accepted);
        }
        let agent = self.store.agent(owner, new.agent_id).await?;
        if agent.archived_at.is_some() {
            return Err(Error::ArchivedForSessions(Kind::Agent));
        }
        let environment = match new.environment_id.or(agent.environment_id) {
            Some(id) => Some(self.store.environment(owner, id).await?),
            None => None,
        };
        if environment
            .as_ref()
            .is_some_and(|environment| environment.archived_at.is_some())
        {
            return Err(Error::ArchivedForSessions(Kind::Environment));
        }
        // Where the runtime is being compiled, the turn waits for it, and checks the model then.
        self.runtimes.check(&agent.runtime, &agent.model)?;
        self.runtimes
            .check_settings(&agent.runtime, &new.settings)?;
        check_schema(new.output_schema.as_ref())?;
        if new.prompt.is_some() {
            self.check_day(owner).await?;
        }
        check_labels(&new.metadata)?;
        if new.prompt.is_none() && new.output_schema.is_some() {
            return Err(Error::SchemaWithoutPrompt);
        }
        let mut asked = new.prompt.map(Asked::read).transpose()?;
        // What only provisions a sandbox is turn 0, which nobody sees.
        let first = u32::from(asked.is_some());

        check_schemes(&new.resources, self.turns.config().git.allow_http)?;

        let id = Uuid::new_v4();
        let webhook = match new.webhook {
            Some(webhook) => Some(self.webhooks.of_session(owner, id, webhook)?),
            None => None,
        };
        let (resources, tokens) = apart(new.resources);
        let mut secrets =
            self.seals
                .seal_all(owner, SealedKind::SessionVariable, id, &new.secret_env_vars)?;
        secrets.extend(
            self.seals
                .seal_all(owner, SealedKind::RepositoryToken, id, &tokens)?,
        );
        let environment = environment.map(|it| VersionRef {
            id: it.id,
            version: it.version,
        });
        let accepted = Accepted {
            session: id,
            turn: first,
            status: Status::Pending,
            created: Some(Created {
                environment: environment.map(|it| it.id),
                resources: resources.clone(),
                webhook: webhook.as_ref().map(|webhook| webhook.new.id),
            }),
            webhook_secret: webhook.as_ref().and_then(|webhook| webhook.made.clone()),
            queued: None,
        };
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
            resources,
            vars: new.vars,
            settings: new.settings,
            limits: new.limits,
            timeout: new.timeout.unwrap_or(self.turns.config().turn.timeout),
            title: new.title,
            metadata: without_empty(new.metadata),
            fork: None,
            first: asked.as_ref().map(|asked| Ask {
                prompt: asked.text.clone(),
                blocks: asked.blocks.clone(),
                output_schema: new.output_schema,
                ..Ask::default()
            }),
            secrets,
            adapter_digest: build.as_ref().map(|build| build.adapter_digest.clone()),
            install_key: build.and_then(|build| build.install_key),
            active_limit: Some(self.active_limit),
            webhook: webhook.map(|webhook| webhook.new),
            idempotency: self.idempotency(request.as_ref(), &accepted)?,
            at: Timestamp::now(),
        };
        // Made before the session can be seen: a stream is opened on the log's folder.
        let paths = self.turns.paths().session(id);
        paths.create().map_err(Error::internal)?;
        if let Some(asked) = &mut asked
            && let Err(error) = asked.keep(&paths).await
        {
            self.turns.abandon(id).await?;
            return Err(error);
        }
        match self.store.create_session(session).await {
            Ok(Submitted::New(_)) => {
                self.turns.queue(owner, id, first, &runtime, None);
                Ok(accepted)
            }
            Ok(Submitted::Replayed(answer)) => {
                self.turns.abandon(id).await?;
                read_answer(&answer)
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
    /// [`Error::NotFound`]; [`Error::NotInThisState`] where the session takes no prompt;
    /// [`Error::ActiveLimit`].
    pub async fn prompt(
        &self,
        owner: Uuid,
        id: Uuid,
        new: NewPrompt,
        request: Option<Idempotent>,
    ) -> Result<Accepted> {
        if let Some(accepted) = self.replayed(owner, request.as_ref()).await? {
            return Ok(accepted);
        }
        let session = self.store.session(owner, id).await?;
        self.runtimes
            .check_settings(&session.runtime, &new.settings)?;
        check_schema(new.output_schema.as_ref())?;
        if new.when_busy == Some(WhenBusy::Steer) && session.status == Status::Running {
            return self.steer(owner, &session, new, request).await;
        }
        self.check_day(owner).await?;
        let may_wait = new.when_busy == Some(WhenBusy::Queue);
        let mut asked = Asked::read(new.prompt)?;
        let paths = self.turns.paths().session(id);
        asked.keep(&paths).await?;
        let kept = asked.blocks.clone();
        let ask = Ask {
            prompt: asked.text,
            blocks: asked.blocks,
            timeout: new.timeout,
            settings: new.settings,
            output_schema: new.output_schema,
            limits: new.limits,
        };
        let taken = match may_wait {
            true => self.queue_or_begin(owner, session, ask, request).await,
            false => self.begin(owner, &session, ask, request.as_ref()).await,
        };
        let is_kept = matches!(&taken, Ok((_, Taken::Now)));
        if !is_kept {
            prompts::discard(kept, &paths).await;
        }
        taken.map(|(accepted, _)| accepted)
    }

    /// Refuses a user who may use nothing more on this day.
    pub(crate) async fn check_day(&self, owner: Uuid) -> Result<()> {
        match self.turns.day_limit(owner).await? {
            None => Ok(()),
            Some(limit) => Err(Error::DayLimit(limit)),
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
            metadata: filter.metadata,
            text: filter.text,
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
    pub(crate) fn in_queue(&self, mut session: Session) -> Session {
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

    /// The output of a session's provisioning steps from a byte on, secrets redacted: a file to be
    /// read, and how many bytes of it were left when it was opened. None where no step printed
    /// anything.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn provisioning(
        &self,
        owner: Uuid,
        id: Uuid,
        offset: u64,
    ) -> Result<Option<(File, u64)>> {
        self.store.session(owner, id).await?;
        let path = self.turns.paths().session(id).provisioning();
        let opened = tokio::task::spawn_blocking(move || {
            let mut file = aod_trees::open_regular(&path)?;
            let length = file.metadata()?.len();
            let from = file.seek(SeekFrom::Start(offset.min(length)))?;
            std::io::Result::Ok((file, length - from))
        });
        match opened.await.map_err(Error::internal)? {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            opened => Ok(Some(opened.map_err(Error::internal)?)),
        }
    }

    /// Opens a reader of the output of a session's provisioning, which goes on until that is over.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn follow_provisioning(
        &self,
        owner: Uuid,
        id: Uuid,
        start: StreamStart,
    ) -> Result<ProvisioningFollower> {
        let listener = self.turns.setup_bell().listen(id);
        self.store.session(owner, id).await?;
        let path = self.turns.paths().session(id).provisioning();
        let store = self.store.clone();
        Ok(ProvisioningFollower::new(
            store, owner, id, path, listener, start,
        ))
    }

    /// What a session has changed in its repositories since they were cloned, or in the one at a
    /// path.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NoSuchRepository`].
    pub async fn diff(
        &self,
        owner: Uuid,
        id: Uuid,
        repository: Option<String>,
    ) -> Result<Vec<RepositoryDiff>> {
        let mut resources = self.store.session(owner, id).await?.resources;
        if let Some(path) = repository {
            let wanted = path.strip_prefix("/workspace").unwrap_or(&path);
            let wanted = wanted.trim_matches('/');
            resources.retain(|resource| resource.place() == wanted);
            if resources.is_empty() {
                return Err(Error::NoSuchRepository { path });
            }
        }
        Ok(self.turns.diff(id, resources).await?)
    }

    /// Asks the running turn to stop; the session takes another prompt then.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NotInThisState`] where no turn runs.
    pub async fn interrupt(&self, owner: Uuid, id: Uuid) -> Result<Status> {
        self.stop(owner, id, StopRequest::Interrupt).await?;
        Ok(self.store.session(owner, id).await?.status)
    }

    /// Stops a session for good, and returns once nothing of it is left running.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NotInThisState`] where it has ended already;
    /// [`Error::StillTerminating`].
    pub async fn terminate(&self, owner: Uuid, id: Uuid) -> Result<Status> {
        self.stop(owner, id, StopRequest::Terminate).await?;
        if tokio::time::timeout(TERMINATED_IN, self.turns.ended(id))
            .await
            .is_err()
        {
            return Err(Error::StillTerminating);
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
    /// [`Error::NotFound`]; [`Error::SessionActive`] while a turn waits or runs.
    pub async fn delete(&self, owner: Uuid, id: Uuid) -> Result<()> {
        let removal = self.turns.note_removal(id).await?;
        match self.store.delete_session(owner, id).await {
            Ok(()) => Ok(self.turns.forget(removal).await?),
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
    pub async fn follow(&self, owner: Uuid, id: Uuid, start: StreamStart) -> Result<Follower> {
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
        Follower::new(self.store.clone(), owner, &session, log, start, stale)
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
        start: StreamStart<EventId>,
    ) -> Result<EventFollower> {
        let listener = self.turns.bell().listen(id);
        self.store.session(owner, id).await?;
        self.turns.restore_events(id).await?;
        let dir = self.turns.paths().session(id).events();
        EventFollower::new(self.store.clone(), owner, id, &dir, listener, start)
            .map_err(Error::internal)
    }

    /// A page of a session's normalized events.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NoSuchTurn`].
    pub async fn events(&self, owner: Uuid, id: Uuid, request: PageRequest) -> Result<EventPage> {
        let session = self.store.session(owner, id).await?;
        if let PageStart::Turn(turn) = request.start
            && turn > session.turn_count
        {
            let count = session.turn_count;
            return Err(Error::NoSuchTurn { turn, count });
        }
        self.turns.restore_events(id).await?;
        let dir = self.turns.paths().session(id).events();
        tokio::task::spawn_blocking(move || EventPage::read(&dir, &request))
            .await
            .map_err(Error::internal)?
            .map_err(Error::internal)
    }

    /// One of a session's normalized events, as a line of JSON.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn event(&self, owner: Uuid, id: Uuid, event: EventId) -> Result<Vec<u8>> {
        self.store.session(owner, id).await?;
        self.turns.restore_events(id).await?;
        let dir = self.turns.paths().session(id).events();
        let found = tokio::task::spawn_blocking(move || read_event(&dir, event));
        let found = found.await.map_err(Error::internal)?;
        let found = found.map_err(Error::internal)?;
        found.ok_or(Error::NotFound(Kind::Event))
    }
}

/// Refuses repositories that would be fetched without TLS, where that is not allowed.
fn check_schemes(new: &[NewResource], allow_http: bool) -> Result<()> {
    let is_plain = |new: &NewResource| new.resource.url.starts_with("http://");
    match new.iter().position(is_plain).filter(|_| !allow_http) {
        Some(index) => Err(Error::PlainHttp { index }),
        None => Ok(()),
    }
}

/// Repositories, and their tokens by position.
fn apart(new: Vec<NewResource>) -> (Vec<Resource>, Secrets) {
    let tokens = new.iter().enumerate().filter_map(|(position, new)| {
        let token = new.authorization_token.clone()?;
        Some((position.to_string(), token))
    });
    let tokens = tokens.collect();
    (new.into_iter().map(|new| new.resource).collect(), tokens)
}
