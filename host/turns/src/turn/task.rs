//! One turn from beginning to end. The state lies in the store and the log; this task only moves
//! it on, and any later one can go on from there.

use std::time::Duration;

use aod_log::Reader;
use aod_resources::{Outcome, Status, Timestamp, Usage};
use aod_store::{SessionRecord, StopRequest, TurnEnd, TurnRecord};
use aod_supervisor::{Exited, Redactor};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::answers::Attempt;
use super::conclude::{self, End, conclude};
use super::context::{Facts, context, sandbox_paths};
use super::derive::Derivation;
use super::fold::Fold;
use super::follow::stop_for_good;
use super::journal::{Journal, Terminal};
use super::prepare::Ready;
use super::summon::Summoned;
use super::{Origin, Turns};
use crate::admission::Place;
use crate::fence::Crossing;
use crate::paths::SessionPaths;
use crate::provision::Stop;
use crate::secrets::missing_credential;
use crate::{Error, Result};

/// How soon it is tried again to end a turn that cannot be ended, at first and at last.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// What users ask of a turn.
pub(super) struct Asks {
    pub(super) stop: watch::Receiver<Option<StopRequest>>,
    pub(super) answers: mpsc::Receiver<Attempt>,
}

/// Runs a turn that waits, goes on with one that runs, or fails one that is fenced off.
#[tracing::instrument(name = "turn", skip_all, fields(%session, turn))]
pub(super) async fn run(
    turns: &Turns,
    session: Uuid,
    turn: u32,
    asks: Asks,
    mut place: Place,
    origin: Origin,
) {
    if let Origin::Fenced { deaths } = origin {
        let asked = *asks.stop.borrow();
        return fence_off(turns, session, turn, deaths, asked).await;
    }
    let resumed = origin == Origin::Left;
    let place = &mut place;
    let error = match drive(turns, session, turn, asks, place, resumed).await {
        Ok(()) => return,
        // The next start of the host goes on with it.
        Err(Failure::LetGo) => return tracing::debug!("let go of a turn"),
        Err(Failure::Broken(error)) => error,
    };
    tracing::error!(error = format!("{error:#}"), "a turn cannot be run");
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
    abandon(turns, session, turn, end).await;
}

/// Ends a turn that nobody drives, as often as it takes.
pub(super) async fn abandon(turns: &Turns, session: Uuid, turn: u32, end: End) {
    // Nobody would follow what the CLI goes on to do.
    stop_for_good(&turns.paths.session(session)).await;
    // A turn that nobody drives must not stay as it is: a full disk has room again some day.
    let mut wait = FIRST_RETRY;
    while let Err(error) = give_up(turns, session, turn, end.clone()).await {
        tracing::error!(
            error = format!("{error:#}"),
            ?wait,
            "a turn cannot be ended"
        );
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = turns.shutdown.cancelled() => return,
        }
        wait = (wait * 2).min(LAST_RETRY);
    }
}

pub(super) enum Failure {
    /// The host shuts down.
    LetGo,
    Broken(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

/// A turn in hand.
pub(super) struct Task<'a> {
    pub(super) turns: &'a Turns,
    pub(super) session: SessionRecord,
    pub(super) turn: TurnRecord,
    pub(super) paths: SessionPaths,
    pub(super) stopped: watch::Receiver<Option<StopRequest>>,
    pub(super) answers: mpsc::Receiver<Attempt>,
    /// Whether an earlier host had it in hand.
    resumed: bool,
    /// The mark of one that is gone on with, until it is through what may have killed that host.
    pub(super) crossing: Option<Crossing>,
    /// Since when its supervisor has not answered.
    pub(super) silent_since: Option<Instant>,
    /// Finds the turn's secrets, as soon as they are open. What the supervisor has recorded is
    /// free of them, so a turn that is gone on with needs none.
    pub(super) redactor: Redactor,
}

async fn drive(
    turns: &Turns,
    session: Uuid,
    turn: u32,
    asks: Asks,
    place: &mut Place,
    resumed: bool,
) -> Result<(), Failure> {
    let task = Task {
        session: turns.store.session_record(session).await?,
        turn: turns.store.turn_record(session, turn).await?,
        paths: turns.paths.session(session),
        turns,
        stopped: asks.stop,
        answers: asks.answers,
        resumed,
        crossing: None,
        silent_since: None,
        redactor: Redactor::new([]),
    };
    task.drive(place).await
}

/// Takes the log of a session between turns, or once a turn's supervisor lets go of it.
pub(super) async fn journal(turns: &Turns, session: Uuid, turn: u32) -> Result<Journal> {
    Journal::open(&turns.paths.session(session).log(), turns.config.log, turn).await
}

/// Ends a turn that could not be run, whatever state it is in.
async fn give_up(turns: &Turns, session: Uuid, turn: u32, end: End) -> Result<()> {
    let record = turns.store.turn_record(session, turn).await?;
    if !record.turn.status.is_active() {
        // What failed came after the commit.
        return match super::settle_left(turns, &record).await {
            Err(error) if error.is_broken_log() => Ok(()),
            settled => settled,
        };
    }
    match journal(turns, session, turn).await {
        Ok(mut journal) => commit(turns, session, turn, end, Told::default(), &mut journal).await,
        // Whoever reads the session finds its state in the store; its log tells no end.
        Err(error) if error.is_broken_log() => {
            tracing::error!(
                error = format!("{error:#}"),
                "a turn's end is not in its log"
            );
            commit_to_store(turns, session, turn, &end, Told::default()).await
        }
        Err(error) => {
            // Where the log is kept from the host, it is by a supervisor that does not end.
            stop_for_good(&turns.paths.session(session)).await;
            Err(error)
        }
    }
}

/// Fails a turn that may kill the host where it touches the session's files.
async fn fence_off(
    turns: &Turns,
    session: Uuid,
    turn: u32,
    deaths: u32,
    asked: Option<StopRequest>,
) {
    let message = format!(
        "the server died {deaths} times while it went on with this session, and does not try \
         again; what it left can be read, and the session can be deleted"
    );
    tracing::error!(%session, turn, deaths, "a session that took the server down is failed");
    stop_for_good(&turns.paths.session(session)).await;
    let end = match asked {
        Some(StopRequest::Terminate) => End::not_started(Outcome::Terminated),
        _ => End::error(message),
    };
    // Its log is left alone, for good: whoever reads the session finds its state in the store.
    let mut wait = FIRST_RETRY;
    while let Err(error) = commit_to_store(turns, session, turn, &end, Told::default()).await {
        tracing::error!(
            error = format!("{error:#}"),
            ?wait,
            "a turn cannot be ended"
        );
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = turns.shutdown.cancelled() => return,
        }
        wait = (wait * 2).min(LAST_RETRY);
    }
    if let Err(error) = turns.store.terminal_logged(session, turn).await {
        // The next start leaves it alone by its mark.
        tracing::warn!(%error, "it cannot be noted that a turn's log is left alone");
    }
}

/// Commits a turn's end, and nothing else.
async fn commit_to_store(
    turns: &Turns,
    session: Uuid,
    turn: u32,
    end: &End,
    told: Told,
) -> Result<()> {
    let terminal = serde_json::to_value(&end.terminal).map_err(Error::internal)?;
    turns
        .store
        .end_turn(TurnEnd {
            session,
            turn,
            outcome: end.outcome,
            exit_code: end.exit_code,
            error: end.error.clone(),
            usage: told.usage,
            terminal,
            resume_token: told.remember,
            at: Timestamp::now(),
        })
        .await?;
    turns.bell.turn_ended(session);
    Ok(())
}

/// Commits a turn's end, and then tells those who follow it: who has seen the terminal event
/// finds the session in its final state.
async fn commit(
    turns: &Turns,
    session: Uuid,
    turn: u32,
    end: End,
    told: Told,
    journal: &mut Journal,
) -> Result<()> {
    commit_to_store(turns, session, turn, &end, told).await?;
    settle(turns, session, turn, &end.terminal, journal).await
}

/// Appends the terminal event of a turn that has been committed.
pub(super) async fn settle(
    turns: &Turns,
    session: Uuid,
    turn: u32,
    terminal: &Terminal,
    journal: &mut Journal,
) -> Result<()> {
    journal.terminal(terminal)?;
    if let Err(error) = turns.store.terminal_logged(session, turn).await {
        // The next start looks at the log instead.
        tracing::warn!(%error, "it cannot be noted that a turn's end is in the log");
    }
    Ok(())
}

impl Task<'_> {
    pub(super) fn id(&self) -> Uuid {
        self.session.session.id
    }

    pub(super) fn number(&self) -> u32 {
        self.turn.turn.turn_number
    }

    /// A thousand turns may run and say nothing, so each keeps no more than following it takes:
    /// what comes before stands apart, and its memory goes with it.
    async fn drive(mut self, place: &mut Place) -> Result<(), Failure> {
        match Box::pin(self.begin(place)).await? {
            Some(derivation) => Box::pin(self.follow(derivation)).await,
            None => Ok(()),
        }
    }

    /// Waits for room and starts the CLI, or goes on where an earlier host was. None where the
    /// turn has ended already.
    async fn begin(&mut self, place: &mut Place) -> Result<Option<Derivation>, Failure> {
        if self.turn.turn.status == Status::Running {
            self.cross().await;
            return self.go_on().await;
        }
        tokio::select! {
            () = place.admitted() => {}
            outcome = self.asked_to_stop() => {
                self.end(End::not_started(outcome), Told::default()).await?;
                return Ok(None);
            }
            () = self.turns.shutdown.cancelled() => return Err(Failure::LetGo),
        }
        if self.resumed {
            self.cross().await;
        }
        if self.resumed && self.recorded().map_err(Error::internal)?.is_some() {
            // An earlier host died between the start of the CLI and the note of it.
            return self.go_on().await;
        }
        let supervisor = Summoned::start(self.turns.config.supervisor.clone());
        let mut journal = self.journal().await?;
        let end = match self.provision(&mut journal).await {
            Ok(ready) => return self.start(journal, ready, supervisor).await,
            Err(Stop::Failed(message)) => End::error(message),
            Err(Stop::Cancelled) if self.turns.shutdown.is_cancelled() => {
                return Err(Failure::LetGo);
            }
            Err(Stop::Cancelled) => {
                End::not_started(self.stop_outcome().unwrap_or(Outcome::Terminated))
            }
            Err(Stop::Broken(error)) => return Err(error.into()),
        };
        self.commit(end, Told::default(), &mut journal).await?;
        Ok(None)
    }

    /// Leaves a mark while it goes on with what an earlier host may have died of.
    async fn cross(&mut self) {
        self.crossing = Some(Crossing::begin(&self.paths, &self.turns.suspects).await);
    }

    async fn journal(&self) -> Result<Journal> {
        journal(self.turns, self.id(), self.number()).await
    }

    /// Ends the turn, when nobody holds the log.
    async fn end(&self, end: End, told: Told) -> Result<(), Failure> {
        self.commit(end, told, &mut self.last_journal().await?)
            .await
    }

    /// Takes the log to record the turn's end, however long somebody else keeps it: what the turn
    /// came to must not be lost for that.
    async fn last_journal(&self) -> Result<Journal, Failure> {
        let log = self.paths.log();
        loop {
            let journal = tokio::select! {
                journal = self.journal() => journal,
                () = self.turns.shutdown.cancelled() => return Err(Failure::LetGo),
            };
            match journal {
                Err(error) if aod_log::is_locked(&log).unwrap_or(false) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "a turn has ended, and its log is kept from the host"
                    );
                }
                journal => return Ok(journal?),
            }
        }
    }

    async fn commit(&self, end: End, told: Told, journal: &mut Journal) -> Result<(), Failure> {
        let end = end.redacted(&self.redactor);
        Ok(commit(self.turns, self.id(), self.number(), end, told, journal).await?)
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
    async fn start(
        &mut self,
        journal: Journal,
        ready: Ready,
        supervisor: Summoned,
    ) -> Result<Option<Derivation>, Failure> {
        let turns = self.turns;
        let mut reader = Reader::open(&self.paths.log()).map_err(Error::internal)?;
        reader
            .seek_after(journal.last_id())
            .map_err(Error::internal)?;
        drop(journal);
        let (id, number) = (self.id(), self.number());
        let digest = ready.adapter.digest().to_string();
        let at = Timestamp::now();
        for name in &ready.credentials {
            let (owner, name) = (self.session.owner, name.clone());
            turns
                .store
                .use_credential(owner, name, "session".to_owned(), id, number, at)
                .await?;
        }
        if let Err(error) = supervisor.begin(ready.spec).await? {
            tracing::error!(
                error = format!("{error:#}"),
                "a supervisor cannot be started"
            );
            let end = End::error(format!("the turn could not be started: {error}"));
            self.end(end, Told::default()).await?;
            return Ok(None);
        }
        let session = turns
            .store
            .start_turn(id, number, digest, Timestamp::now())
            .await?;
        self.session.session = session;
        self.crossing = None;
        let derivation = Derivation::open(turns, (id, number), reader, ready.fold, 0).await?;
        Ok(Some(derivation))
    }

    /// Goes on with a turn whose supervisor an earlier host started.
    async fn go_on(&mut self) -> Result<Option<Derivation>, Failure> {
        let turns = self.turns;
        let log = self.paths.log();
        let Some(facts) = self.recorded().map_err(Error::internal)? else {
            self.lost(None).await?;
            return Ok(None);
        };
        if self.turn.turn.status == Status::Pending {
            let at = Timestamp::now();
            turns
                .store
                .start_turn(self.id(), self.number(), facts.adapter.clone(), at)
                .await?;
            self.turn = turns.store.turn_record(self.id(), self.number()).await?;
        }
        let adapter = turns
            .adapters
            .by_digest(&self.session, &facts.adapter)
            .await?;
        let places = sandbox_paths(&*turns.driver, &self.paths);
        let context = context(&self.session, &self.turn.turn, &facts, places);
        let reader = Reader::open(&log).map_err(Error::internal)?;
        let fold = Fold::new(adapter, context);
        let entries = aod_log::tail(&log).map_err(Error::internal)?.last_id;
        let turn = (self.id(), self.number());
        let derivation = Derivation::open(turns, turn, reader, fold, entries).await?;
        Ok(Some(derivation))
    }

    /// What the log's `Begin` says of this turn.
    fn recorded(&self) -> aod_log::Result<Option<Facts>> {
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
        let facts = conclude::Facts {
            runtime: &self.session.session.runtime,
            timeout: self.turn.turn.timeout,
            idle: settings.idle.map_or(0, |idle| idle.as_secs()),
            stderr_tail: fold.stderr_tail(),
        };
        let mut end = conclude(&exited, fold.failure.as_ref(), &facts);
        if end.outcome == Outcome::Failed
            && let Some(missing) = self.missing_credential(&fold)
        {
            end.error = Some(missing);
        }
        let told = Told::by(&fold);
        drop(fold);
        self.end(end, told).await
    }

    fn missing_credential(&self, fold: &Fold) -> Option<String> {
        let session = &self.session.session;
        missing_credential(
            fold.description(),
            &session.runtime,
            &session.model,
            |variable| fold.has_secret(variable),
        )
    }

    /// Ends a turn whose supervisor is gone without a word: its sandbox died with it.
    pub(super) async fn lost(&self, derivation: Option<Derivation>) -> Result<(), Failure> {
        tracing::warn!("a turn's supervisor is gone");
        let told = match derivation {
            Some(derivation) => Told::by(&derivation.break_off().await?),
            None => Told::default(),
        };
        let mut journal = self.last_journal().await?;
        let end = match self.stop_outcome() {
            Some(Outcome::Terminated) => End::not_started(Outcome::Terminated),
            _ => End::error(
                "the process that watched over this turn died, and the turn with it; the session \
                 takes another prompt",
            ),
        };
        self.commit(end, told, &mut journal).await
    }
}

/// What an adapter has told of a turn that is kept with its end.
#[derive(Default)]
struct Told {
    usage: Usage,
    remember: Option<String>,
}

impl Told {
    fn by(fold: &Fold) -> Self {
        Self {
            usage: fold.usage,
            remember: fold.remember.clone(),
        }
    }
}
