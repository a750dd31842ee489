//! Ends of turns: committed, and then told.

use aod_resources::{Timestamp, Usage};
use aod_store::TurnEnd;
use uuid::Uuid;

use super::Turns;
use super::conclude::End;
use super::fold::Fold;
use super::journal::{Journal, Terminal};
use crate::{Error, Result};

/// What an adapter has told of a turn that is kept with its end.
#[derive(Default)]
pub(super) struct Told {
    usage: Usage,
    remember: Option<String>,
}

impl Told {
    pub(super) fn by(fold: &Fold) -> Self {
        Self {
            usage: fold.usage,
            remember: fold.remember.clone(),
        }
    }
}

/// Takes the log of a session between turns, or once a turn's supervisor lets go of it.
pub(super) async fn journal(turns: &Turns, session: Uuid, turn: u32) -> Result<Journal> {
    Journal::open(&turns.paths.session(session).log(), turns.config.log, turn).await
}

/// Ends a turn that could not be run, whatever state it is in.
pub(super) async fn give_up(turns: &Turns, session: Uuid, turn: u32, end: End) -> Result<()> {
    let record = turns.store.turn_record(session, turn).await?;
    if !record.turn.status.is_active() {
        // What failed came after the commit.
        return settle_left(turns, &record).await;
    }
    let mut journal = journal(turns, session, turn).await?;
    commit(turns, session, turn, end, Told::default(), &mut journal).await
}

/// Commits a turn's end, and then tells those who follow it: who has seen the terminal event
/// finds the session in its final state.
pub(super) async fn commit(
    turns: &Turns,
    session: Uuid,
    turn: u32,
    end: End,
    told: Told,
    journal: &mut Journal,
) -> Result<()> {
    let terminal = serde_json::to_value(&end.terminal).map_err(Error::internal)?;
    turns
        .store
        .end_turn(TurnEnd {
            session,
            turn,
            outcome: end.outcome,
            exit_code: end.exit_code,
            error: end.error,
            usage: told.usage,
            terminal,
            resume_token: told.remember,
            at: Timestamp::now(),
        })
        .await?;
    turns.bell.turn_ended(session);
    settle(turns, session, turn, &end.terminal, journal).await
}

/// Appends the terminal event of a turn whose end was committed earlier, by this host or the one
/// before.
pub(crate) async fn settle_left(turns: &Turns, turn: &aod_store::TurnRecord) -> Result<()> {
    let Some(terminal) = turn.terminal.clone() else {
        return Ok(());
    };
    let terminal = serde_json::from_value(terminal).map_err(Error::internal)?;
    let (session, number) = (turn.session, turn.turn.turn_number);
    let mut journal = journal(turns, session, number).await?;
    settle(turns, session, number, &terminal, &mut journal).await
}

/// Appends the terminal event of a turn that has been committed.
async fn settle(
    turns: &Turns,
    session: Uuid,
    turn: u32,
    terminal: &Terminal,
    journal: &mut Journal,
) -> Result<()> {
    journal.terminal(terminal)?;
    Ok(turns.store.terminal_logged(session, turn).await?)
}
