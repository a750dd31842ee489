//! Checkpoints: a session's home and workspace as they were at its turns' ends.
//!
//! A turn's end asks for one, in the transaction that ends the turn; it is made beside all else.
//! Whoever is about to change the session's files, such as its next turn, first sees to it that
//! what was asked for is done ([`Turns::settle_files`]), also where an earlier host was to do it. They
//! wait for the copy alone: a checkpoint can be used once it is on the disk, which takes longer. A turn
//! waits so long and no longer: what is not copied by then is given up, and what of it was copied is
//! the next one's to share.
//! A session that is taken back to a turn's end gets its files in the same way: they are copied
//! aside, the store notes that they are to be put in place, and that is done before anything else.

pub(crate) mod changes;
mod files;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aod_resources::{Session, Timestamp, TurnChanges};
use aod_store::{CheckpointState, CheckpointWork, Made};
use tokio::sync::{RwLock, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::paths::SessionPaths;
use crate::placement::WorkerId;
use crate::turn::Turns;
use crate::{Error, Result};

pub(crate) use files::MakeError;

/// So many are made at once. What is large rests while others wait for a processor, and must not keep
/// small ones, which sessions' next prompts wait for, from being made meanwhile.
const MADE_AT_ONCE: usize = 16;
/// So many are compared at once: each takes what the disk gives.
const COMPARED_AT_ONCE: usize = 2;

/// Which checkpoints are made and kept.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointConfig {
    /// Whether they are made at all.
    pub enabled: bool,
    /// So many are kept of a session, the newest ones.
    pub keep: u32,
    /// They may take so many bytes of the disk together.
    pub max_bytes: u64,
    /// Whether content is compressed that the file system cannot share.
    pub compress: bool,
    /// So long a session's next turn waits for the copy.
    pub wait: Duration,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            keep: 10,
            max_bytes: 2 << 30,
            compress: false,
            wait: Duration::from_secs(2),
        }
    }
}

/// Why a session was not taken back to a turn's end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// It cannot be, as it stands.
    #[error(transparent)]
    Store(#[from] aod_store::Error),
    /// The host failed.
    #[error(transparent)]
    Turns(#[from] Error),
}

/// Whether what was to be done was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It was, or there was nothing.
    Done,
    /// It was copied, and is still to be forced to the disk.
    Copied,
    /// The server stops: the next start goes on with it.
    Interrupted,
}

/// How far checkpoints are to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// The last one is copied, and the files may change.
    Copied,
    /// All can be used.
    OnDisk,
}

/// A workspace as a turn found it.
#[derive(Debug)]
pub(crate) struct Before {
    /// The turn at whose end it was so; none where that is what provisioning left.
    pub(crate) since: Option<u32>,
    /// Where it is kept.
    pub(crate) place: PathBuf,
}

/// Who works with sessions' checkpoints and files at the moment.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    gates: Mutex<HashMap<Uuid, Arc<Gate>>>,
    making: Semaphore,
    comparing: Semaphore,
}

/// A session's: whoever makes or removes its checkpoints, or replaces its files, is alone with them.
#[derive(Debug, Default)]
struct Gate {
    files: RwLock<()>,
    /// Cancelled when a turn begins that waits no longer for what is being made.
    overtaken: Mutex<CancellationToken>,
}

impl Gate {
    fn token(&self) -> MutexGuard<'_, CancellationToken> {
        // Nothing can panic while the token is being changed.
        let token = self.overtaken.lock();
        token.unwrap_or_else(PoisonError::into_inner)
    }

    /// For those who make what is to be made now.
    fn overtaken(&self) -> CancellationToken {
        self.token().clone()
    }

    /// Tells those who make something that nobody waits any longer. What is begun afterwards is not
    /// meant.
    fn overtake(&self) {
        std::mem::take(&mut *self.token()).cancel();
    }
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self {
            gates: Mutex::default(),
            making: Semaphore::new(MADE_AT_ONCE),
            comparing: Semaphore::new(COMPARED_AT_ONCE),
        }
    }
}

impl Checkpoints {
    fn gate(&self, session: Uuid) -> Arc<Gate> {
        // Nothing can panic while the map is being changed.
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        gates.entry(session).or_default().clone()
    }
}

impl Turns {
    /// Does what is to be done with a session's files before a turn changes them: waits for the
    /// checkpoint of its last turn, for some time, or puts those in place that it was taken back to.
    pub(crate) async fn settle_files(&self, session: Uuid) -> Result<Settled> {
        let work = self.work_before_changes(session).await?;
        if !matches!(work, Some(CheckpointWork::Make { .. })) {
            return self.do_before_changes(session, work).await;
        }
        let turns = self.clone();
        // It ends in its own time, and is alone with the files until then.
        let settling = self
            .tasks()
            .spawn(async move { turns.do_before_changes(session, work).await });
        let gate = self.checkpoints.gate(session);
        match tokio::time::timeout(self.config().checkpoints.wait, settling).await {
            Ok(settled) => settled.map_err(Error::internal)?,
            Err(_) => {
                gate.overtake();
                self.give_up_what_is_not_copied(session).await
            }
        }
    }

    /// What is to be done before a session's files are changed. Nobody waits for those who copy what
    /// is there already.
    async fn work_before_changes(&self, session: Uuid) -> Result<Option<CheckpointWork>> {
        let work = self.store.checkpoint_work(session).await?;
        match work {
            Some(CheckpointWork::Make { turn, is_last, .. })
                if is_last && self.copied(session, turn).await?.is_some() =>
            {
                Ok(None)
            }
            work => Ok(work),
        }
    }

    async fn do_before_changes(
        &self,
        session: Uuid,
        work: Option<CheckpointWork>,
    ) -> Result<Settled> {
        if work.is_none() {
            return Ok(Settled::Done);
        }
        let gate = self.checkpoints.gate(session);
        let overtaken = gate.overtaken();
        let _alone = gate.files.write().await;
        self.settle(session, Until::Copied, &overtaken).await
    }

    /// The session's next turn goes first.
    async fn give_up_what_is_not_copied(&self, session: Uuid) -> Result<Settled> {
        for turn in self.store.pending_checkpoints(session).await? {
            if self.copied(session, turn).await?.is_none() {
                tracing::info!(%session, turn, "a checkpoint was not copied in time");
                self.give_up_checkpoint(session, turn, files::OVERTAKEN.to_owned())
                    .await?;
            }
        }
        Ok(Settled::Done)
    }

    /// Waits for the checkpoint of a session's last turn, if that is still to be made.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub async fn settle_checkpoint(&self, session: Uuid) -> Result<()> {
        let gate = self.checkpoints.gate(session);
        // The session's next turn goes in between: it does not wait for the disk.
        for until in [Until::Copied, Until::OnDisk] {
            let overtaken = gate.overtaken();
            let _alone = match gate.files.try_write() {
                Ok(alone) => alone,
                // Those who copy what is there already are not waited for, where that is all.
                Err(_) if self.store.checkpoint_work(session).await?.is_none() => return Ok(()),
                Err(_) => gate.files.write().await,
            };
            match self.settle(session, until, &overtaken).await? {
                Settled::Copied => {}
                Settled::Done | Settled::Interrupted => return Ok(()),
            }
        }
        Ok(())
    }

    /// The same, beside all else.
    pub(crate) fn settle_files_later(&self, session: Uuid) {
        let turns = self.clone();
        self.tasks().spawn(async move {
            if let Err(error) = turns.settle_checkpoint(session).await {
                // The session's next turn, or the next start, tries it again.
                tracing::warn!(
                    %session, error = %error.details(), "a session's files are not settled"
                );
            }
        });
    }

    /// All of it; whoever calls is alone with the session's checkpoints.
    async fn settle(
        &self,
        session: Uuid,
        until: Until,
        overtaken: &CancellationToken,
    ) -> Result<Settled> {
        while let Some(work) = self.store.checkpoint_work(session).await? {
            let settled = match work {
                CheckpointWork::Make {
                    turn,
                    earlier,
                    bytes,
                    is_changed,
                    is_last,
                } => {
                    let how = files::Make {
                        turn,
                        earlier,
                        bytes,
                        max_bytes: self.config().checkpoints.max_bytes,
                        may_change: true,
                        compress: self.config().checkpoints.compress,
                    };
                    match self.copied(session, turn).await? {
                        Some(_) if is_last && until == Until::Copied => return Ok(Settled::Copied),
                        Some(sizes) => self.finish_checkpoint(session, turn, sizes).await?,
                        None if is_changed => {
                            let error = files::LOST.to_owned();
                            self.give_up_checkpoint(session, turn, error).await?
                        }
                        None => self.make(session, how, overtaken).await?,
                    }
                }
                CheckpointWork::Replace(folder) => {
                    self.replace(session, folder).await?;
                    Settled::Done
                }
            };
            if settled == Settled::Interrupted {
                return Ok(settled);
            }
        }
        Ok(Settled::Done)
    }

    /// What a checkpoint takes of the disk, and what of that is new, where it was copied whole.
    async fn copied(&self, session: Uuid, turn: u32) -> Result<Option<(u64, u64)>> {
        let paths = self.paths().session(session);
        blocking(move || files::copied(&paths, turn)).await
    }

    /// Copies what a turn has left.
    async fn make(
        &self,
        session: Uuid,
        mut how: files::Make,
        overtaken: &CancellationToken,
    ) -> Result<Settled> {
        let turn = how.turn;
        let give_up = || self.give_up_checkpoint(session, turn, files::OVERTAKEN.to_owned());
        let permit = tokio::select! {
            biased;
            () = overtaken.cancelled() => return give_up().await,
            permit = self.checkpoints.making.acquire() => permit,
        };
        let Ok(_permit) = permit else {
            return Ok(Settled::Interrupted);
        };
        let worker = WorkerId { session, turn };
        how.may_change = self.placement.is_running(worker).unwrap_or(true);
        let (paths, trash) = (self.paths().session(session), self.trash.clone());
        let shutdown = self.shutdown.clone();
        let made = blocking({
            let overtaken = overtaken.clone();
            move || {
                let wanted = || !shutdown.is_cancelled() && !overtaken.is_cancelled();
                files::make(&paths, &trash, &how, &wanted)
            }
        });
        match made.await? {
            Ok(_) => Ok(Settled::Done),
            Err(MakeError::Unwanted) if self.shutdown.is_cancelled() => Ok(Settled::Interrupted),
            Err(MakeError::Unwanted) => give_up().await,
            Err(error) => {
                tracing::warn!(%session, turn, %error, "a checkpoint was not made");
                self.give_up_checkpoint(session, turn, error.told()).await
            }
        }
    }

    async fn give_up_checkpoint(&self, session: Uuid, turn: u32, error: String) -> Result<Settled> {
        match self.store.checkpoint_failed(session, turn, error).await {
            // It was deleted meanwhile.
            Ok(()) | Err(aod_store::Error::NotFound { .. }) => Ok(Settled::Done),
            Err(error) => Err(error.into()),
        }
    }

    /// Forces what was copied to the disk, and notes that it can be used.
    async fn finish_checkpoint(
        &self,
        session: Uuid,
        turn: u32,
        (bytes, new_bytes): (u64, u64),
    ) -> Result<Settled> {
        let paths = self.paths().session(session);
        let synced = blocking(move || files::force_to_disk(&paths));
        if let Err(error) = synced.await? {
            let error = MakeError::from(error);
            tracing::warn!(%session, turn, %error, "a checkpoint is not on the disk");
            return self.give_up_checkpoint(session, turn, error.told()).await;
        }
        files::failpoint("checkpoint.synced");
        let config = self.config().checkpoints;
        self.keep_made(Made {
            session,
            turn,
            bytes,
            new_bytes,
            keep: config.keep.max(1),
            max_bytes: config.max_bytes,
        })
        .await
    }

    /// Notes what was made, and removes what is not kept.
    async fn keep_made(&self, made: Made) -> Result<Settled> {
        let kept = match self.store.checkpoint_made(made).await {
            Ok(retained) => retained.kept,
            Err(aod_store::Error::NotFound { .. }) => return Ok(Settled::Done),
            Err(error) => return Err(error.into()),
        };
        let (paths, trash) = (self.paths().session(made.session), self.trash.clone());
        let swept = blocking(move || files::keep_only(&paths, &trash, &kept));
        if let Err(error) = swept.await? {
            // The next one tries it again.
            tracing::warn!(session = %made.session, %error, "old checkpoints are not removed");
        }
        Ok(Settled::Done)
    }

    /// Whether what a CLI remembers can be found by the copy of a session: its home and workspace
    /// have the same paths in the sandbox.
    pub fn conversations_can_be_copied(&self) -> bool {
        let driver = &self.sandboxes.driver;
        let inside = Path::new(aod_sandbox::HOME);
        driver.place(&self.paths().session(Uuid::nil()).home(), inside) == inside
    }

    /// Makes the home and the workspace of a new session from the checkpoint of another's turn.
    ///
    /// # Errors
    /// As [`RestoreError`].
    pub async fn copy_checkpoint(
        &self,
        from: Uuid,
        turn: u32,
        to: Uuid,
    ) -> Result<(), RestoreError> {
        let gate = self.checkpoints.gate(from);
        let _kept = gate.files.read().await;
        self.store.usable_checkpoint(from, turn).await?;
        self.copy_out(from, turn, self.paths().session(to)).await?;
        Ok(())
    }

    /// What a turn has changed in its session's workspace since the end of the one that it went on
    /// from; since nothing at all where there was none, and without what is in `cloned` then.
    ///
    /// # Errors
    /// As [`RestoreError`].
    pub async fn changes(
        &self,
        session: Uuid,
        turn: u32,
        cloned: Vec<PathBuf>,
    ) -> Result<TurnChanges, RestoreError> {
        let gate = self.checkpoints.gate(session);
        let _kept = gate.files.read().await;
        self.store.usable_checkpoint(session, turn).await?;
        let continues = self.store.turn_record(session, turn).await?.turn.continues;
        let before = self.workspace_before(session, turn, continues).await?;
        if before.is_none() && continues.unwrap_or(turn.saturating_sub(1)) > 0 {
            // It says why, and which are there.
            let since = continues.unwrap_or(turn - 1);
            self.store.usable_checkpoint(session, since).await?;
        }
        let since = before.as_ref().and_then(|before| before.since);
        let before = before.map(|before| before.place);
        let _permit = self.checkpoints.comparing.acquire().await;
        let after = self.checkpointed(session, turn);
        let compared = blocking(move || {
            let trees = changes::Trees {
                left_out: if before.is_some() { Vec::new() } else { cloned },
                before,
                after,
            };
            changes::changes(&trees).map_err(Error::internal)
        });
        let (data, truncated) = compared.await??;
        Ok(TurnChanges {
            turn,
            since,
            data,
            truncated,
        })
    }

    /// Where a turn's workspace is kept as the turn found it, if it is.
    pub(crate) async fn workspace_before(
        &self,
        session: Uuid,
        turn: u32,
        continues: Option<u32>,
    ) -> Result<Option<Before>> {
        let since = continues.unwrap_or(turn.saturating_sub(1));
        let place = self.checkpointed(session, since);
        let found = self.store.checkpoint(session, since).await?;
        let state = found.map(|it| it.checkpoint.state);
        let since = match state {
            Some(CheckpointState::Ready) => Some(since),
            // Its way to the disk is long.
            Some(CheckpointState::Pending) if self.copied(session, since).await?.is_some() => {
                Some(since)
            }
            // What provisioning left is no checkpoint that anybody goes back to.
            None if since == 0 && place.is_dir() => None,
            _ => return Ok(None),
        };
        Ok(Some(Before { since, place }))
    }

    fn checkpointed(&self, session: Uuid, turn: u32) -> PathBuf {
        let all = self.paths().session(session).checkpoints();
        all.join(turn.to_string()).join(files::WORKSPACE)
    }

    /// Keeps what provisioning has left of a session's workspace, where that is little: what its first
    /// turn changes is compared with it.
    pub(crate) async fn keep_provisioned(&self, session: Uuid) -> Result<()> {
        if !self.config().checkpoints.enabled || self.store.checkpoint(session, 0).await?.is_some()
        {
            return Ok(());
        }
        let gate = self.checkpoints.gate(session);
        let _alone = gate.files.write().await;
        let (paths, trash) = (self.paths().session(session), self.trash.clone());
        let shutdown = self.shutdown.clone();
        let kept = blocking(move || {
            let wanted = || !shutdown.is_cancelled();
            files::keep_provisioned(&paths, &trash, &wanted)
        });
        if let Err(error) = kept.await? {
            // The turn's changes are found without it, though not all that may be told of them.
            tracing::debug!(%session, %error, "what provisioning left is not kept");
        }
        Ok(())
    }

    async fn copy_out(&self, from: Uuid, turn: u32, to: SessionPaths) -> Result<()> {
        let (paths, trash) = (self.paths().session(from), self.trash.clone());
        let shutdown = self.shutdown.clone();
        blocking(move || {
            let wanted = || !shutdown.is_cancelled();
            files::copy_out(&paths, &trash, turn, &to, &wanted)
        })
        .await?
        .map_err(Error::internal)
    }

    /// Takes a session back to the end of one of its turns.
    ///
    /// # Errors
    /// As [`RestoreError`].
    pub async fn restore_to(
        &self,
        owner: Uuid,
        session: Uuid,
        turn: u32,
    ) -> Result<Session, RestoreError> {
        let gate = self.checkpoints.gate(session);
        let _alone = gate.files.write().await;
        self.settle(session, Until::OnDisk, &gate.overtaken())
            .await?;
        self.store.check_restorable(owner, session, turn).await?;
        let folder = files::replacement_name();
        let place = self.paths().session(session).replacement(&folder);
        let prepared = match self.prepare_folder(place.root()).await {
            Ok(()) => self.copy_out(session, turn, place.clone()).await,
            failed => failed,
        };
        let restored = match prepared {
            Ok(()) => {
                files::failpoint("replacement.copied");
                let at = Timestamp::now();
                let restored = self
                    .store
                    .restore_session(owner, session, turn, folder.clone(), at);
                restored.await.map_err(RestoreError::from)
            }
            Err(error) => Err(error.into()),
        };
        let restored = match restored {
            Ok(restored) => restored,
            Err(error) => {
                self.discard(place).await;
                return Err(error);
            }
        };
        files::failpoint("replacement.noted");
        self.replace(session, folder).await?;
        Ok(restored)
    }

    async fn prepare_folder(&self, place: &Path) -> Result<()> {
        let place = place.to_owned();
        let made = blocking(move || files::private_folder(&place));
        made.await?.map_err(Error::internal)
    }

    async fn discard(&self, place: SessionPaths) {
        let trash = self.trash.clone();
        let discarded = blocking(move || place.discard(&trash));
        if let Ok(Err(error)) = discarded.await {
            tracing::warn!(%error, "what was copied for nothing is not removed");
        }
    }

    /// Puts what was copied aside in the place of a session's files.
    async fn replace(&self, session: Uuid, folder: String) -> Result<()> {
        // It would go on with what is not there any more.
        self.end_process(session).await?;
        let (paths, trash) = (self.paths().session(session), self.trash.clone());
        let name = folder.clone();
        let replaced = blocking(move || files::replace(&paths, &trash, &name));
        replaced.await?.map_err(Error::internal)?;
        Ok(self.store.files_replaced(session, folder).await?)
    }

    /// Removes the files of a session that has expired.
    pub(crate) async fn remove_files(&self, session: Uuid) -> Result<()> {
        let gate = self.checkpoints.gate(session);
        let _alone = gate.files.write().await;
        self.end_process(session).await?;
        let (paths, trash) = (self.paths().session(session), self.trash.clone());
        let removed = blocking(move || files::remove_all(&paths, &trash));
        removed.await?.map_err(Error::internal)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Error::internal)
}
