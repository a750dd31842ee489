//! One turn from beginning to end. The state lies in the store and the log; this task only moves
//! it on, and any later one can go on from there.

use std::collections::BTreeMap;

use aod_log::Reader;
use aod_metrics::metrics;
use aod_resources::event::FailureKind;
use aod_resources::{Actor, Outcome, Status, Timestamp};
use aod_runtime::Adapter;
use aod_store::{OnDisk, SessionRecord, StopRequest, TurnRecord};
use aod_supervisor::Exited;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::conclude::{self, End, conclude};
use super::context::{BeginNotice, BeginRecord};
use super::derive::Derivation;
use super::ending::{TurnSummary, abandon, commit, fence_off, journal};
use super::fold::{Fold, limit_text};
use super::input::UserInput;
use super::prepare::Ready;
use super::resting::{Hidden, Rested};
use super::restore::rebuild;
use super::seen::Watch;
use super::worker::PendingSupervisor;
use super::{Origin, Turns, measure};
use crate::admission::AdmissionPermit;
use crate::checkpoints::Settled;
use crate::disks::DiskUse;
use crate::fence::Crossing;
use crate::journal::Journal;
use crate::oauth::RunningToken;
use crate::paths::SessionPaths;
use crate::placement::{PlacementError, WorkerId};
use crate::provision::ProvisionError;
use crate::secrets::{TurnSecrets, missing_credential};
use crate::{Error, Result};

/// What users ask of a turn.
pub(super) struct TurnCommands {
    pub(super) stop: watch::Receiver<Option<StopRequest>>,
    pub(super) inputs: mpsc::Receiver<UserInput>,
    /// When the turn itself is on the disk, where that is still to come.
    pub(super) stored: Option<OnDisk>,
}

/// Runs a turn to its end, whatever goes wrong; one that is fenced off is failed. Answers its
/// process, if that stays.
#[tracing::instrument(name = "turn", skip_all, fields(session = %id.session, turn = id.turn))]
pub(super) async fn run(
    turns: &Turns,
    id: WorkerId,
    commands: TurnCommands,
    mut permit: AdmissionPermit,
    origin: Origin,
) -> Option<Rested> {
    if let Origin::Fenced { deaths } = origin {
        let asked = *commands.stop.borrow();
        fence_off(turns, id, deaths, asked).await;
        return None;
    }
    let done = match Task::load(turns, id, commands, origin == Origin::Left).await {
        Ok(task) => task.execute(&mut permit).await,
        Err(error) => Err(error.into()),
    };
    let error = match done {
        Ok(rested) => return rested,
        // The next start of the host goes on with it.
        Err(Failure::Detached) => {
            tracing::debug!("detached from a turn");
            return None;
        }
        Err(Failure::Broken(error)) => error,
    };
    tracing::error!(error = %error.details(), "a turn cannot be run");
    let end = End::error(match error {
        Error::FullDisk(_) => {
            "the server's disk is full, and the turn was stopped; make room and prompt again"
        }
        error if error.is_broken_log() => {
            "the session's log is damaged, and the turn was stopped: what can be read of it stays \
             readable, and the session takes no more turns"
        }
        _ => "the server failed to run this turn; its log has the cause",
    });
    abandon(turns, id, end).await;
    None
}

pub(super) enum Failure {
    /// The host shuts down; the turn goes on.
    Detached,
    Broken(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

/// A turn that waits or runs.
pub(super) struct Task<'a> {
    pub(super) turns: &'a Turns,
    /// Apart, as it is moved from one step of a turn to the next.
    pub(super) session: Box<SessionRecord>,
    pub(super) turn: Box<TurnRecord>,
    pub(super) paths: SessionPaths,
    /// Has the session's files at their paths.
    pub(super) disk: Option<DiskUse>,
    pub(super) stopped: watch::Receiver<Option<StopRequest>>,
    pub(super) inputs: mpsc::Receiver<UserInput>,
    /// When it is on the disk, where that is still to come.
    pub(super) stored: Option<OnDisk>,
    /// Whether an earlier host ran it.
    resumed: bool,
    /// The mark of one that is gone on with, until it is through what may have killed that host.
    pub(super) crossing: Option<Crossing>,
    /// Since when its supervisor has not answered.
    pub(super) silent_since: Option<Instant>,
    /// The turn's secrets, as soon as they are open. What the supervisor has recorded is free of
    /// them, so a turn that is gone on with needs none.
    pub(super) hidden: Hidden,
    /// What its process was started with, once it runs.
    pub(super) begin: Option<BeginRecord>,
    /// What its user should know of when it begins.
    pub(super) notices: Vec<BeginNotice>,
    /// The tokens that its gateways are told others of.
    pub(super) tokens: Vec<RunningToken>,
}

impl<'a> Task<'a> {
    async fn load(
        turns: &'a Turns,
        id: WorkerId,
        commands: TurnCommands,
        resumed: bool,
    ) -> Result<Self> {
        Ok(Self {
            session: Box::new(turns.store.session_record(id.session).await?),
            turn: Box::new(turns.store.turn_record(id.session, id.turn).await?),
            paths: turns.paths.session(id.session),
            disk: None,
            turns,
            stopped: commands.stop,
            inputs: commands.inputs,
            stored: commands.stored,
            resumed,
            crossing: None,
            silent_since: None,
            hidden: Hidden::default(),
            begin: None,
            notices: Vec::new(),
            tokens: Vec::new(),
        })
    }
}

impl Task<'_> {
    pub(super) fn worker(&self) -> WorkerId {
        WorkerId {
            session: self.id(),
            turn: self.number(),
        }
    }

    pub(super) fn id(&self) -> Uuid {
        self.session.session.id
    }

    pub(super) fn number(&self) -> u32 {
        self.turn.turn.turn_number
    }

    /// A thousand turns may run and say nothing, so each keeps no more than following it takes:
    /// what comes before stands apart, and its memory goes with it.
    async fn execute(mut self, permit: &mut AdmissionPermit) -> Result<Option<Rested>, Failure> {
        match Box::pin(self.start_or_resume(permit)).await? {
            Some(derivation) => Box::pin(self.follow(derivation)).await,
            None => Ok(None),
        }
    }

    /// Waits for room and starts the CLI, or goes on where an earlier host was. None where the
    /// turn has ended already.
    async fn start_or_resume(
        &mut self,
        permit: &mut AdmissionPermit,
    ) -> Result<Option<Derivation>, Failure> {
        if self.turn.turn.status == Status::Running {
            self.cross().await;
            self.look_at_disk().await;
            return self.resume().await;
        }
        let waits_since = Instant::now();
        tokio::select! {
            () = permit.admitted() => {
                let waited = waits_since.elapsed().as_secs_f64();
                metrics().admission_wait_seconds.observe(waited);
            }
            outcome = self.asked_to_stop() => {
                self.end(End::not_started(outcome), TurnSummary::default()).await?;
                return Ok(None);
            }
            () = self.turns.shutdown.cancelled() => return Err(Failure::Detached),
        }
        if self.resumed {
            self.cross().await;
        }
        if self.resumed && self.recorded().map_err(Error::internal)?.is_some() {
            // An earlier host died between the start of the CLI and the note of it.
            self.look_at_disk().await;
            return self.resume().await;
        }
        if self.number() == 0 {
            self.provision_session().await?;
            return Ok(None);
        }
        if let Some(limit) = self.turns.day_limit(self.session.owner).await? {
            let end = End::error(limit_text(&limit));
            self.end(end, TurnSummary::limited(&limit)).await?;
            return Ok(None);
        }
        let turns = self.turns;
        self.settle_files().await?;
        self.look_at_disk().await;
        if let Some(derivation) = self.go_on().await? {
            return Ok(Some(derivation));
        }
        if let Some(stored) = &mut self.stored {
            stored.wait().await?;
        }
        let supervisor = PendingSupervisor::start(self.turns.placement.clone(), self.worker());
        let mut journal = self.journal().await?;
        let end = match self.provision(&mut journal).await {
            Ok(ready) => {
                if self.number() == 1 {
                    turns.keep_provisioned(self.id()).await?;
                }
                return self.hand_over(journal, ready, supervisor).await;
            }
            Err(error) => self.unprovisioned(error)?,
        };
        self.commit(end, TurnSummary::default(), &mut journal)
            .await?;
        Ok(None)
    }

    /// Has the session's files at their paths until the turn is over.
    pub(super) async fn use_disk(&mut self) -> std::io::Result<()> {
        if self.disk.is_none() {
            let paths = self.paths.clone();
            self.disk = Some(tokio::task::spawn_blocking(move || paths.disk()).await??);
        }
        Ok(())
    }

    /// The same for those who only look at the files: a CLI that runs has them.
    async fn look_at_disk(&mut self) {
        if let Err(error) = self.use_disk().await {
            tracing::warn!(%error, "the files of a session cannot be looked at");
        }
    }

    /// Sees to it that nothing is to be done with the session's files before the turn changes them;
    /// finds what its user should know of what was.
    async fn settle_files(&mut self) -> Result<(), Failure> {
        let turns = self.turns;
        if turns.settle_files(self.id()).await? == Settled::Interrupted {
            return Err(Failure::Detached);
        }
        let continues = self.turn.turn.continues;
        let before = continues.unwrap_or(self.number().saturating_sub(1));
        if let Some(turn) = continues {
            self.notices.push(BeginNotice::restored(turn));
        }
        let checkpoint = turns.store.checkpoint(self.id(), before).await?;
        let failed = checkpoint.and_then(|it| it.checkpoint.error);
        let failed = failed.map(|error| BeginNotice::no_checkpoint(before, &error));
        self.notices.extend(failed);
        Ok(())
    }

    /// Provisions a session that nothing is asked of yet.
    async fn provision_session(&mut self) -> Result<(), Failure> {
        let mut journal = self.journal().await?;
        let end = match self.provision_alone(&mut journal).await {
            Ok(()) => End::provisioned(),
            Err(error) => self.unprovisioned(error)?,
        };
        self.commit(end, TurnSummary::default(), &mut journal).await
    }

    /// The end of a turn whose CLI was not started.
    fn unprovisioned(&self, error: ProvisionError) -> Result<End, Failure> {
        match error {
            ProvisionError::Failed(message) => Ok(End::error(message)),
            ProvisionError::Cancelled if self.turns.shutdown.is_cancelled() => {
                Err(Failure::Detached)
            }
            ProvisionError::Cancelled => Ok(End::not_started(
                self.stop_outcome().unwrap_or(Outcome::Terminated),
            )),
            ProvisionError::Host(error) => Err(error.into()),
        }
    }

    /// Leaves a mark while it goes on with what an earlier host may have died of.
    async fn cross(&mut self) {
        self.crossing = Some(Crossing::begin(&self.paths, &self.turns.suspects).await);
    }

    async fn journal(&self) -> Result<Journal> {
        journal(self.turns, self.worker()).await
    }

    /// Ends the turn, when nobody holds the log.
    async fn end(&self, end: End, summary: TurnSummary) -> Result<(), Failure> {
        self.commit(end, summary, &mut self.last_journal().await?)
            .await
    }

    /// Takes the log to record the turn's end, however long somebody else keeps it: what the turn
    /// came to must not be lost for that.
    async fn last_journal(&self) -> Result<Journal, Failure> {
        let log = self.paths.log();
        loop {
            let journal = tokio::select! {
                journal = self.journal() => journal,
                () = self.turns.shutdown.cancelled() => return Err(Failure::Detached),
            };
            match journal {
                Err(error) if aod_log::is_locked(&log).unwrap_or(false) => {
                    tracing::warn!(
                        error = %error.details(),
                        "a turn has ended, and its log is kept from the host"
                    );
                }
                journal => return Ok(journal?),
            }
        }
    }

    async fn commit(
        &self,
        end: End,
        summary: TurnSummary,
        journal: &mut Journal,
    ) -> Result<(), Failure> {
        let end = end.redacted(&self.hidden.redactor);
        Ok(commit(self.turns, self.worker(), end, summary, journal).await?)
    }

    fn stop_outcome(&self) -> Option<Outcome> {
        self.stopped.borrow().map(StopRequest::outcome)
    }

    async fn asked_to_stop(&self) -> Outcome {
        let mut stopped = self.stopped.clone();
        let request = stopped
            .wait_for(Option::is_some)
            .await
            .map(|request| *request);
        match request {
            Ok(request) => request.map_or(Outcome::Terminated, StopRequest::outcome),
            // Nobody is left who could ask.
            Err(_) => std::future::pending().await,
        }
    }

    /// Hands the turn to its supervisor.
    async fn hand_over(
        &mut self,
        journal: Journal,
        ready: Ready,
        supervisor: PendingSupervisor,
    ) -> Result<Option<Derivation>, Failure> {
        let turns = self.turns;
        let mut reader = Reader::open(&self.paths.log()).map_err(Error::internal)?;
        reader
            .seek_after(journal.last_id())
            .map_err(Error::internal)?;
        let mut spec = ready.spec;
        spec.last_id = journal.last_id();
        drop(journal);
        let (id, number) = (self.id(), self.number());
        let digest = ready.adapter.digest().to_string();
        self.note_use(&ready.credentials).await?;
        let logins = ready.begin.logins.clone();
        self.run_with(&logins);
        self.begin = Some(ready.begin);
        if let Err(error) = supervisor.run(spec).await? {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "a turn cannot be started");
            let todo = match error {
                PlacementError::Command { .. } => "",
                _ => ": prompt again, or ask its operator",
            };
            let end = End::error(format!("the turn could not be started: {error}{todo}"));
            self.end(end, TurnSummary::default()).await?;
            return Ok(None);
        }
        if turns.oauth.count() != ready.renewals {
            self.catch_up(&logins, &ready.adapter);
        }
        let at = Timestamp::now();
        let session = turns.store.start_turn(id, number, digest, at).await?;
        measure::started(&session, &self.turn.turn, at);
        self.session.session = session;
        turns.setup_bell.ring(id);
        self.crossing = None;
        let mut fold = ready.fold;
        fold.watch(self.watch().await?);
        let derivation = Derivation::open(turns, (id, number), reader, fold, 0).await?;
        Ok(Some(derivation))
    }

    /// Notes which of the user's credentials the turn is given.
    pub(super) async fn note_use(&self, credentials: &[String]) -> Result<()> {
        if credentials.is_empty() {
            return Ok(());
        }
        let (id, number, at) = (self.id(), self.number(), Timestamp::now());
        let (owner, names) = (self.session.owner, credentials.to_vec());
        let note = (self.turns.store).use_credentials(owner, names, Actor::Session, id, number, at);
        Ok(note.await?)
    }

    /// Goes on with a turn whose supervisor an earlier host started.
    async fn resume(&mut self) -> Result<Option<Derivation>, Failure> {
        let turns = self.turns;
        let log = self.paths.log();
        let Some(begin) = self.recorded().map_err(Error::internal)? else {
            self.lost(None).await?;
            return Ok(None);
        };
        if self.turn.turn.status == Status::Pending {
            let at = Timestamp::now();
            turns
                .store
                .start_turn(self.id(), self.number(), begin.adapter.clone(), at)
                .await?;
            *self.turn = turns.store.turn_record(self.id(), self.number()).await?;
        }
        let entries = aod_log::tail(&log).map_err(Error::internal)?.last_id;
        let rebuilt = rebuild(turns, &self.session, &self.turn, begin.clone(), entries);
        let mut derivation = rebuilt.await?;
        derivation.fold.watch(self.watch().await?);
        self.run_with(&begin.logins);
        // An earlier host may have ended between a renewal and what it told of it.
        self.catch_up(&begin.logins, derivation.fold.adapter());
        self.begin = Some(begin);
        Ok(Some(derivation))
    }

    /// Has the turn told when tokens of these logins are renewed, until its end.
    pub(super) fn run_with(&mut self, logins: &BTreeMap<String, String>) {
        let (owner, worker) = (self.session.owner, self.worker());
        self.tokens = self.turns.oauth.running(owner, logins, worker);
    }

    fn catch_up(&self, logins: &BTreeMap<String, String>, adapter: &Adapter) {
        let (owner, worker) = (self.session.owner, self.worker());
        self.turns.oauth.catch_up(owner, logins, adapter, worker);
    }

    /// Has a token renewed that a server refuses, by the variable that the turn has a placeholder
    /// in.
    pub(super) fn renew(&self, variable: &str, adapter: &Adapter) {
        let logins = self.begin.as_ref().map(|begin| &begin.logins);
        let credential = logins.and_then(|logins| logins.get(variable));
        let endpoint = credential.and_then(|credential| adapter.oauth().get(credential));
        if let (Some(credential), Some(endpoint)) = (credential, endpoint) {
            let (owner, worker) = (self.session.owner, self.worker());
            let tokens = &self.turns.oauth;
            tokens.refused_in_turn((owner, credential), variable, endpoint, worker);
        }
    }

    /// Has these secrets found in what is told of the turn.
    pub(super) fn hide(&mut self, secrets: &TurnSecrets) {
        let mac = secrets.mac(&self.turns.seals);
        if mac != self.hidden.mac {
            self.hidden.redactor = secrets.redactor();
            self.hidden.mac = mac;
        }
        self.hidden.opened = secrets.opened.clone();
    }

    /// How the turn's workspace is looked at when it is over.
    pub(super) async fn watch(&self) -> Result<Watch> {
        let (turns, turn) = (self.turns, self.number());
        let before = turns
            .workspace_before(self.id(), turn, self.turn.turn.continues)
            .await?;
        Ok(Watch {
            paths: self.paths.clone(),
            turn,
            before: before.map(|before| before.place),
            redactor: self.hidden.redactor.clone(),
            secrets: self.hidden.mac.clone(),
            is_first: turn == 1 && self.session.session.forked_from.is_none(),
            may_look: true,
        })
    }

    /// What the log's `Begin` says of this turn.
    pub(super) fn recorded(&self) -> aod_log::Result<Option<BeginRecord>> {
        let mut reader = Reader::open(&self.paths.log())?;
        while let Some(record) = reader.next()? {
            if record.kind == aod_log::Kind::Begin && record.turn == self.number() {
                return Ok(serde_json::from_slice(record.payload).ok());
            }
        }
        Ok(None)
    }

    /// Ends a turn whose supervisor has recorded its end.
    pub(super) async fn finish(
        &self,
        derivation: Derivation,
        exited: Exited,
    ) -> Result<(), Failure> {
        let fold = derivation.finish(exited.clone()).await?;
        let settings = &self.turns.config.turn;
        let facts = conclude::MessageContext {
            runtime: &self.session.session.runtime,
            timeout: self.turn.turn.timeout,
            idle: settings.idle.map_or(0, |idle| idle.as_secs()),
            stderr_tail: fold.stderr_tail(),
        };
        let end = conclude(&exited, fold.failure.as_ref(), &facts);
        let end = self.advised(end, &fold);
        let summary = TurnSummary::of(&fold);
        drop(fold);
        self.end(end, summary).await
    }

    /// A turn that failed for want of a credential says which one, and how it is given.
    pub(super) fn advised(&self, mut end: End, fold: &Fold) -> End {
        let session = &self.session.session;
        if fold.failure.as_ref().map(|it| it.kind) == Some(FailureKind::Auth) {
            for credential in fold.oauth() {
                self.turns.oauth.refused(self.session.owner, credential);
            }
        }
        let missing = || {
            missing_credential(
                fold.description(),
                &session.runtime,
                &session.model,
                |variable| fold.has_secret(variable),
            )
        };
        if end.outcome == Outcome::Failed
            && let Some(missing) = missing()
        {
            end.error = Some(missing);
        }
        end
    }

    /// Ends a terminated turn whose last output is not told any more: there is too much of it.
    pub(super) async fn cut_short(&self, derivation: Derivation) -> Result<(), Failure> {
        tracing::info!("a terminated turn wrote more than is told of it");
        let summary = TurnSummary::of(&derivation.cut_short().await?);
        let end = End::not_started(Outcome::Terminated);
        self.end(end, summary).await
    }

    /// Ends a turn whose supervisor is gone without a word: its sandbox died with it.
    pub(super) async fn lost(&self, derivation: Option<Derivation>) -> Result<(), Failure> {
        tracing::warn!("a turn's supervisor is gone");
        self.turns.end_orphans_later();
        let summary = match derivation {
            Some(derivation) => TurnSummary::of(&derivation.break_off().await?),
            None => TurnSummary::default(),
        };
        let mut journal = self.last_journal().await?;
        let end = match self.stop_outcome() {
            Some(Outcome::Terminated) => End::not_started(Outcome::Terminated),
            _ => End::error(
                "the process that watched over this turn died, and the turn with it; the session \
                 takes another prompt",
            ),
        };
        self.commit(end, summary, &mut journal).await
    }
}
