//! How a turn's end is recorded: committed to the store first, and then told in the log.

use aod_resources::{Timestamp, Usage};
use aod_store::{TurnEnd, TurnRecord};

use super::Turns;
use super::conclude::End;
use super::fold::Fold;
use crate::journal::{Journal, Terminal};
use crate::placement::WorkerId;
use crate::{Error, Result};

/// What an adapter has told of a turn that is kept with its end.
#[derive(Default)]
pub(super) struct TurnSummary {
    usage: Usage,
    remember: Option<String>,
}

impl TurnSummary {
    pub(super) fn of(fold: &Fold) -> Self {
        Self {
            usage: fold.usage(),
            remember: fold.remember.clone().map(Option::unwrap_or_default),
        }
    }
}

/// Takes the log of a session between turns, or once a turn's worker has ended.
pub(super) async fn journal(turns: &Turns, id: WorkerId) -> Result<Journal> {
    let log = turns.paths.session(id.session).log();
    Journal::open(&log, turns.config.log, id.turn).await
}

/// Ends a turn that could not be run, whatever state it is in.
pub(super) async fn give_up(turns: &Turns, id: WorkerId, end: End) -> Result<()> {
    let record = turns.store.turn_record(id.session, id.turn).await?;
    if !record.turn.status.is_active() {
        // What failed came after the commit.
        return settle_left(turns, &record).await;
    }
    let mut journal = journal(turns, id).await?;
    commit(turns, id, end, TurnSummary::default(), &mut journal).await
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
    let terminal = serde_json::to_value(&end.terminal).map_err(Error::internal)?;
    turns
        .store
        .end_turn(TurnEnd {
            session: id.session,
            turn: id.turn,
            outcome: end.outcome,
            exit_code: end.exit_code,
            error: end.error,
            usage: summary.usage,
            terminal,
            resume_token: summary.remember,
            at: Timestamp::now(),
        })
        .await?;
    turns.bell.turn_ended(id.session);
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
    if let Err(error) = turns.store.terminal_logged(id.session, id.turn).await {
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
    let mut journal = journal(turns, id).await?;
    settle(turns, id, &terminal, &mut journal).await
}
