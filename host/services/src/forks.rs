//! Sessions as they were at a turn's end: copied, or taken back to it.

use aod_resources::{
    Checkpoint, ForkedFrom, NewFork, Secrets, Session, Status, Timestamp, TurnChanges,
};
use aod_store::{Ask, ForkOrigin, SESSION_SECRETS, SealedValue, Submitted, VersionRef};
use uuid::Uuid;

use crate::accepted::{Accepted, Created, Idempotent, read_answer};
use crate::prompts::Asked;
use crate::{Error, Result, Sessions};

impl Sessions {
    /// Makes a new session of what another was at the end of one of its turns, and starts its first
    /// turn. That other one stays what it is.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NoSuchTurn`]; [`Error::TurnNotEnded`];
    /// [`Error::NothingToCopy`]; [`Error::NoCheckpoint`]; and what [`Sessions::create`] is refused
    /// with.
    pub async fn fork(
        &self,
        owner: Uuid,
        id: Uuid,
        new: NewFork,
        request: Option<Idempotent>,
    ) -> Result<Accepted> {
        if let Some(accepted) = self.replayed(owner, request.as_ref()).await? {
            return Ok(accepted);
        }
        let session = self.store.session(owner, id).await?;
        let turn = turn_to_copy(&session, new.turn)?;
        self.check_usable(owner, &session).await?;
        if new.prompt.is_some() {
            self.check_day(owner).await?;
        }
        let asked = new.prompt.map(Asked::read).transpose()?;
        let fork = Fork {
            from: session,
            turn,
            title: new.title,
            asked,
        };
        // To its end, whether the client waits for it or not: nothing is left half done.
        let sessions = self.clone();
        let made = tokio::spawn(async move { sessions.make_fork(owner, fork, request).await });
        made.await.map_err(Error::internal)?
    }

    /// Refuses what could not be created now: as early as that is known.
    async fn check_usable(&self, owner: Uuid, session: &Session) -> Result<()> {
        self.runtimes.check(&session.runtime, &session.model)?;
        let limit = self.active_limit;
        Ok(self.store.check_active_limit(owner, limit).await?)
    }

    /// What a turn has changed in its session's workspace; the last one that has ended where nothing
    /// is said.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NoSuchTurn`]; [`Error::TurnNotEnded`];
    /// [`Error::FilesRemoved`]; [`Error::NoCheckpoint`].
    pub async fn changes(&self, owner: Uuid, id: Uuid, turn: Option<u32>) -> Result<TurnChanges> {
        let session = self.store.session(owner, id).await?;
        let count = session.turn_count;
        let ended = count - u32::from(session.status.is_active() && count > 0);
        let turn = turn.unwrap_or(ended.max(1));
        if turn > count {
            return Err(Error::NoSuchTurn { turn, count });
        }
        if turn > ended {
            return Err(Error::TurnNotEnded(turn));
        }
        if let Some(at) = session.files_removed_at {
            return Err(Error::FilesRemoved { at });
        }
        self.turns.settle_checkpoint(id).await?;
        let cloned = session.resources.iter();
        let cloned = cloned.map(|resource| resource.place().into()).collect();
        Ok(self.turns.changes(id, turn, cloned).await?)
    }

    async fn make_fork(
        &self,
        owner: Uuid,
        mut fork: Fork,
        request: Option<Idempotent>,
    ) -> Result<Accepted> {
        let (from, turn) = (fork.from.id, fork.turn);
        self.turns.settle_checkpoint(from).await?;
        let checkpoint = self.store.usable_checkpoint(from, turn).await?;
        let id = Uuid::new_v4();
        // Where the server dies before the session is there, what was copied goes.
        let removal = self.turns.note_removal(id).await?;
        let made = self
            .copy_and_create(owner, id, &mut fork, checkpoint.resume_token, request)
            .await;
        match made {
            Ok(Submitted::New(accepted)) => {
                let first = accepted.turn;
                self.turns.queue(owner, id, first, &fork.from.runtime, None);
                self.turns.keep(removal).await?;
                Ok(accepted)
            }
            Ok(Submitted::Replayed(answer)) => {
                self.turns.forget(removal).await?;
                read_answer(&answer)
            }
            Err(error) => {
                self.turns.forget(removal).await?;
                Err(error)
            }
        }
    }

    async fn copy_and_create(
        &self,
        owner: Uuid,
        id: Uuid,
        fork: &mut Fork,
        resume_token: Option<String>,
        request: Option<Idempotent>,
    ) -> Result<Submitted<Accepted>> {
        let from = &fork.from;
        let paths = self.turns.paths().session(id);
        paths.create().map_err(Error::internal)?;
        self.turns.copy_checkpoint(from.id, fork.turn, id).await?;
        if let Some(asked) = &mut fork.asked {
            asked.keep(&paths).await?;
        }
        let record = self.store.session_record(from.id).await?;
        let accepted = Accepted {
            session: id,
            // Provisioning alone is turn 0, which nobody sees.
            turn: u32::from(fork.asked.is_some()),
            status: Status::Pending,
            created: Some(Created {
                environment: from.environment_id,
                resources: from.resources.clone(),
                webhook: None,
            }),
            webhook_secret: None,
            queued: None,
        };
        let session = aod_store::NewSession {
            id,
            owner,
            agent: VersionRef {
                id: record.agent.id,
                version: record.agent.version,
            },
            environment: record.environment.map(|it| VersionRef {
                id: it.id,
                version: it.version,
            }),
            runtime: from.runtime.clone(),
            model: from.model.clone(),
            resources: from.resources.clone(),
            vars: from.vars.clone(),
            settings: from.settings.clone(),
            limits: from.limits,
            title: fork.title.clone().or_else(|| from.title.clone()),
            metadata: from.metadata.clone(),
            timeout: record.timeout,
            fork: Some(ForkOrigin {
                from: ForkedFrom {
                    session_id: from.id,
                    turn: fork.turn,
                },
                // An empty one was to be forgotten.
                resume_token: resume_token
                    .filter(|token| !token.is_empty() && self.turns.conversations_can_be_copied()),
            }),
            first: fork.asked.as_ref().map(|asked| Ask {
                prompt: asked.text.clone(),
                blocks: asked.blocks.clone(),
                ..Ask::default()
            }),
            secrets: self.secrets_for(owner, from.id, id).await?,
            adapter_digest: record.adapter_digest,
            install_key: record.install_key,
            active_limit: Some(self.active_limit),
            webhook: None,
            idempotency: self.idempotency(request.as_ref(), &accepted)?,
            at: Timestamp::now(),
        };
        Ok(match self.store.create_session(session).await? {
            Submitted::New(_) => Submitted::New(accepted),
            Submitted::Replayed(answer) => Submitted::Replayed(answer),
        })
    }

    /// A session's secrets, sealed to another one: a sealed value opens only where it belongs.
    async fn secrets_for(&self, owner: Uuid, from: Uuid, to: Uuid) -> Result<Vec<SealedValue>> {
        let mut sealed = Vec::new();
        for &kind in SESSION_SECRETS {
            let mut secrets = Secrets::new();
            for record in self.store.list_sealed(owner, kind, from).await? {
                let secret = self.seals.open(&record)?;
                secrets.insert(record.key.name, secret);
            }
            sealed.extend(self.seals.seal_all(owner, kind, to, &secrets)?);
        }
        Ok(sealed)
    }

    /// Takes a session back to the end of one of its turns.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NoSuchTurn`]; [`Error::RestoreWhileActive`];
    /// [`Error::PromptsQueued`]; [`Error::NothingToCopy`]; [`Error::FilesRemoved`];
    /// [`Error::NoCheckpoint`].
    pub async fn restore(&self, owner: Uuid, id: Uuid, turn: u32) -> Result<Session> {
        let session = self.store.session(owner, id).await?;
        if session.status.is_active() {
            return Err(Error::RestoreWhileActive(session.status));
        }
        let turn = turn_to_copy(&session, Some(turn))?;
        let turns = self.turns.clone();
        let restored = tokio::spawn(async move { turns.restore_to(owner, id, turn).await });
        let restored = restored.await.map_err(Error::internal)?;
        restored.map_err(|error| match error.into() {
            Error::SessionActive(status) => Error::RestoreWhileActive(status),
            error => error,
        })
    }

    /// A session's checkpoints, in the order of their turns.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn checkpoints(&self, owner: Uuid, id: Uuid) -> Result<Vec<Checkpoint>> {
        Ok(self.store.checkpoints(owner, id).await?)
    }
}

/// A copy that is wanted.
struct Fork {
    from: Session,
    turn: u32,
    title: Option<String>,
    asked: Option<Asked>,
}

/// The turn whose end is wanted, where it has one.
fn turn_to_copy(session: &Session, asked: Option<u32>) -> Result<u32> {
    let count = session.turn_count;
    if let Some(turn) = asked.filter(|turn| *turn > count) {
        return Err(Error::NoSuchTurn { turn, count });
    }
    if let Some(at) = session.files_removed_at {
        return Err(Error::FilesRemoved { at });
    }
    match session.status {
        Status::Terminated => return Err(Error::NothingToCopy("is terminated")),
        Status::Failed if !session.resumable => {
            return Err(Error::NothingToCopy(
                "failed before its sandbox was provisioned, or for good, as its error says",
            ));
        }
        _ => {}
    }
    // What a session that was taken back is like is what it was then.
    let turn = asked.or(session.restored_to).unwrap_or(count);
    match turn == count && session.status.is_active() {
        true => Err(Error::TurnNotEnded(turn)),
        false => Ok(turn),
    }
}
