//! How a turn's end is recorded: committed to the store first, and then told in the log.

use std::time::Duration;

use aod_resources::event::{StopKind, TurnResult};
use aod_resources::{Outcome, ProviderUsage, ReachedLimit, Sizes, Timestamp, Usage};
use aod_store::{StopRequest, TurnEnd, TurnRecord};
use aod_supervisor::{Conclusion, ConclusionKind, Request};
use uuid::Uuid;

use super::conclude::End;
use super::fold::{Fold, stop_by};
use super::{Turns, measure, worker};
use crate::journal::{Journal, Terminal};
use crate::placement::{ControlReply, WorkerId};
use crate::{Error, Result, sizes};

/// How soon it is tried again to end a turn that cannot be ended, at first and at last.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// What an adapter has told of a turn that is kept with its end.
#[derive(Default)]
pub(super) struct TurnSummary {
    usage: Usage,
    provider_usage: Option<ProviderUsage>,
    rounds: u32,
    remember: Option<String>,
    result: Option<TurnResult>,
    /// What the workspace takes of the disk, and whether that is all, where that is known.
    workspace: Option<(u64, bool)>,
    sizes: Option<Sizes>,
}

impl TurnSummary {
    pub(super) fn of(fold: &Fold) -> Self {
        Self {
            usage: fold.usage(),
            provider_usage: fold.provider_usage(),
            rounds: fold.rounds(),
            remember: fold.remember.clone().map(Option::unwrap_or_default),
            result: fold.result.clone(),
            workspace: fold.workspace(),
            sizes: None,
        }
    }

    /// With what the session takes of the disk by now.
    async fn measured(mut self, turns: &Turns, session: Uuid) -> Self {
        let (paths, workspace) = (turns.paths.session(session), self.workspace);
        let measured = tokio::task::spawn_blocking(move || sizes::measure(&paths, workspace));
        // A turn ends whether its session can be measured or not.
        self.sizes = measured.await.ok();
        self
    }

    /// Of a turn that was not begun, since a limit was reached before.
    pub(super) fn limited(limit: &ReachedLimit) -> Self {
        let mut result = TurnResult {
            stop: StopKind::Failed,
            text: None,
            structured: None,
            is_error: true,
            stop_reason: None,
            duration_ms: Some(0),
            failure: None,
        };
        stop_by(&mut result, limit);
        Self {
            result: Some(result),
            ..Self::default()
        }
    }
}

/// Takes the log of a session between turns, or once a turn's worker has ended.
pub(super) async fn journal(turns: &Turns, id: WorkerId) -> Result<Journal> {
    let log = turns.paths.session(id.session).log();
    let given = turns.store.last_logged(id.session).await?;
    Journal::open(&log, turns.config.log, id.turn, given).await
}

/// Ends a turn that nobody drives, as often as it takes: a full disk has room again some day.
pub(super) async fn abandon(turns: &Turns, id: WorkerId, end: End) {
    // Nobody would follow what the CLI goes on to do.
    worker::stop_for_good(&turns.placement, id).await;
    persist(turns, || give_up(turns, id, end.clone())).await;
}

/// Fails a turn that may kill the host where it touches the session's files.
pub(super) async fn fence_off(
    turns: &Turns,
    id: WorkerId,
    deaths: u32,
    asked: Option<StopRequest>,
) {
    let message = format!(
        "the server died {deaths} times while it went on with this session, and does not try \
         again; what it left can be read, and the session can be deleted"
    );
    tracing::error!(deaths, "a session that took the server down is failed");
    worker::stop_for_good(&turns.placement, id).await;
    let end = match asked {
        Some(StopRequest::Terminate) => End::not_started(Outcome::Terminated),
        _ => End::error(message),
    };
    // Its log is left alone, for good: whoever reads the session finds its state in the store.
    let is_ended = persist(turns, || {
        commit_to_store(turns, id, &end, TurnSummary::default(), false)
    });
    if !is_ended.await {
        return;
    }
    // What waits is not to take the server down as well.
    if let Err(error) = turns.store.clear_queue(id.session).await {
        tracing::warn!(%error, "prompts that wait for such a session stay");
    }
    let noted = turns.store.terminal_logged(id.session, id.turn, None);
    if let Err(error) = noted.await {
        // The next start leaves it alone by its mark.
        tracing::warn!(%error, "it cannot be noted that a turn's log is left alone");
    }
}

/// Tries to end a turn until that is done, or the host shuts down; says whether it is done.
async fn persist<F: Future<Output = Result<()>>>(turns: &Turns, end: impl Fn() -> F) -> bool {
    let mut wait = FIRST_RETRY;
    while let Err(error) = end().await {
        tracing::error!(
            error = %error.details(),
            ?wait,
            "a turn cannot be ended"
        );
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = turns.shutdown.cancelled() => return false,
        }
        wait = (wait * 2).min(LAST_RETRY);
    }
    true
}

/// Ends a turn that could not be run, whatever state it is in.
async fn give_up(turns: &Turns, id: WorkerId, end: End) -> Result<()> {
    let record = turns.store.turn_record(id.session, id.turn).await?;
    if !record.turn.status.is_active() {
        // What failed came after the commit.
        return match settle_left(turns, &record).await {
            Err(error) if error.is_broken_log() => Ok(()),
            settled => settled,
        };
    }
    match journal(turns, id).await {
        Ok(mut journal) => commit(turns, id, end, TurnSummary::default(), &mut journal).await,
        // Whoever reads the session finds its state in the store; its log tells no end, and takes
        // no further turn.
        Err(error) if error.is_broken_log() => {
            tracing::error!(error = %error.details(), "a turn's end is not in its log");
            commit_to_store(turns, id, &end, TurnSummary::default(), true).await
        }
        Err(error) => {
            // Where the log is kept from the host, it is by a worker that does not end.
            worker::stop_for_good(&turns.placement, id).await;
            Err(error)
        }
    }
}

/// Commits a turn's end, and nothing else.
async fn commit_to_store(
    turns: &Turns,
    id: WorkerId,
    end: &End,
    summary: TurnSummary,
    is_broken: bool,
) -> Result<()> {
    let terminal = serde_json::to_value(&end.terminal).map_err(Error::internal)?;
    let result = summary.result.map(serde_json::to_value).transpose();
    let session = turns
        .store
        .end_turn(TurnEnd {
            session: id.session,
            turn: id.turn,
            outcome: end.outcome,
            exit_code: end.exit_code,
            error: end.error.clone(),
            usage: summary.usage,
            provider_usage: summary.provider_usage,
            rounds: summary.rounds,
            result: result.map_err(Error::internal)?,
            terminal,
            resume_token: summary.remember,
            // Where its files were looked at, they can be copied.
            checkpoint: turns.config.checkpoints.enabled && summary.sizes.is_some(),
            sizes: summary.sizes,
            is_broken,
            at: Timestamp::now(),
        })
        .await?;
    turns.bell.turn_ended(id.session);
    turns.setup_bell.turn_ended(id.session);
    measure::ended(turns, id, &session, end.outcome).await;
    Ok(())
}

/// Commits the end of a turn whose process stays, and has its worker tell it: the log is the
/// worker's.
pub(super) async fn commit_resting(
    turns: &Turns,
    id: WorkerId,
    end: &End,
    summary: TurnSummary,
) -> Result<()> {
    let summary = summary.measured(turns, id.session).await;
    commit_to_store(turns, id, end, summary, false).await?;
    if !tell_by_worker(turns, id, &end.terminal).await? {
        // It has ended meanwhile.
        settle(turns, id, &end.terminal, &mut journal(turns, id).await?).await?;
    }
    Ok(())
}

/// Has the worker whose process rests record the event that ends the turn; says whether it has.
async fn tell_by_worker(turns: &Turns, id: WorkerId, terminal: &Terminal) -> Result<bool> {
    let kind = match terminal {
        Terminal::Exit { .. } => ConclusionKind::Exit,
        Terminal::Error { .. } => ConclusionKind::Error,
        // Its process is killed.
        Terminal::Terminated { .. } => return Ok(false),
    };
    let request = Request::Conclude(Conclusion {
        turn: id.turn,
        kind,
        payload: terminal.payload(),
    });
    if worker::ask(&turns.placement, id, request).await? != ControlReply::Done {
        return Ok(false);
    }
    let log = turns.paths.session(id.session).log();
    let last_id = aod_log::tail(&log).map_err(Error::internal)?.last_id;
    let noted = turns
        .store
        .terminal_logged(id.session, id.turn, Some(last_id));
    if let Err(error) = noted.await {
        // The next start looks at the log instead.
        tracing::warn!(%error, "it cannot be noted that a turn's end is in the log");
    }
    Ok(true)
}

/// Commits a turn's end, and then tells those who follow it: who has seen the terminal event
/// finds the session in its final state.
pub(super) async fn commit(
    turns: &Turns,
    id: WorkerId,
    end: End,
    summary: TurnSummary,
    journal: &mut Journal,
) -> Result<()> {
    let summary = summary.measured(turns, id.session).await;
    commit_to_store(turns, id, &end, summary, false).await?;
    settle(turns, id, &end.terminal, journal).await
}

/// Appends the terminal event of a turn that has been committed.
pub(super) async fn settle(
    turns: &Turns,
    id: WorkerId,
    terminal: &Terminal,
    journal: &mut Journal,
) -> Result<()> {
    journal.terminal(terminal)?;
    let last_id = Some(journal.last_id());
    let noted = turns.store.terminal_logged(id.session, id.turn, last_id);
    if let Err(error) = noted.await {
        // The next start looks at the log instead.
        tracing::warn!(%error, "it cannot be noted that a turn's end is in the log");
    }
    Ok(())
}

/// Appends the terminal event of a turn whose end an earlier host had committed.
pub(crate) async fn settle_left(turns: &Turns, turn: &TurnRecord) -> Result<()> {
    let Some(terminal) = turn.terminal.clone() else {
        return Ok(());
    };
    let terminal = serde_json::from_value(terminal).map_err(Error::internal)?;
    let id = WorkerId {
        session: turn.session,
        turn: turn.turn.turn_number,
    };
    let is_held = turns.placement.is_running(id).map_err(Error::internal)?;
    if is_held && tell_by_worker(turns, id, &terminal).await? {
        return Ok(());
    }
    let mut journal = journal(turns, id).await?;
    settle(turns, id, &terminal, &mut journal).await
}
