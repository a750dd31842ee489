//! What a start of the host does about what an earlier one left.

use aod_log::Reader;
use aod_resources::Status;
use aod_store::Unsettled;

use crate::fence::{self, Crossing};
use crate::placement::WorkerId;
use crate::turn::{Left, Turns, settle_left};
use crate::{Error, Result};

/// Goes on with every turn that waits or runs, and appends the terminal events that are missing.
/// No session stays `running` without a process: a turn whose supervisor is gone is ended by its
/// own task, within moments.
///
/// # Errors
/// Where the store does not answer.
pub async fn recover(turns: &Turns) -> Result<()> {
    crate::removal::resume(turns).await?;
    for (owner, credential, since) in turns.store.lost_renewals().await? {
        tracing::warn!(
            %owner, credential, %since,
            "the server stopped while this login was renewed; its next renewal says whether it \
             still can be"
        );
    }
    // Those that run have room already, and take it before the others queue up for the rest.
    let (running, others): (Vec<_>, Vec<_>) = turns
        .store
        .list_unsettled()
        .await?
        .into_iter()
        .partition(|unsettled| runs(turns, unsettled));
    for (unsettled, runs) in running
        .into_iter()
        .map(|running| (running, true))
        .chain(others.into_iter().map(|other| (other, false)))
    {
        let (session, number) = (unsettled.turn.session, unsettled.turn.turn.turn_number);
        if matches!(
            unsettled.turn.turn.status,
            Status::Pending | Status::Running
        ) {
            tracing::info!(%session, turn = number, "going on with a turn");
            // One that cannot be made must not keep the server from starting: its turn fails.
            if let Err(error) = turns.paths.session(session).create() {
                tracing::error!(%session, %error, "a session's folder cannot be made");
            }
            let record = turns.store.session_record(session).await?;
            turns.resume(Left {
                session: &record.session,
                owner: record.owner,
                turn: number,
                runs,
                asked: unsettled.turn.stop_requested,
            });
            continue;
        }
        let paths = turns.paths.session(session);
        if fence::deaths(&paths) >= fence::DEATHS {
            // Its end is in the store, and who reads its log finds none.
            tracing::error!(%session, "a log that took the server down is left alone");
            continue;
        }
        let crossing = Crossing::begin(&paths, &turns.suspects).await;
        let settled = settle(turns, &unsettled).await;
        drop(crossing);
        // One damaged log must not keep the server from starting.
        if let Err(error) = settled {
            tracing::error!(%session, error = %error.details(), "cannot settle a turn");
        }
    }
    // What an earlier host was to do with sessions' files; those with a turn do it there.
    for session in turns.store.sessions_with_checkpoint_work().await? {
        if !turns.is_active(session) && fence::deaths(&turns.paths.session(session)) == 0 {
            turns.settle_files_later(session);
        }
    }
    // Those whose turn has ended, and the earlier host with it.
    for session in turns.store.idle_with_queue().await? {
        turns.begin_queued(session).await;
    }
    Ok(())
}

/// Whether a turn runs. An earlier host may have died between the start of the CLI and the note of
/// it, but not without a worker that runs.
fn runs(turns: &Turns, unsettled: &Unsettled) -> bool {
    match unsettled.turn.turn.status {
        Status::Running => true,
        Status::Pending => {
            let id = WorkerId {
                session: unsettled.turn.session,
                turn: unsettled.turn.turn.turn_number,
            };
            turns.placement.is_running(id).unwrap_or(false)
        }
        _ => false,
    }
}

async fn settle(turns: &Turns, unsettled: &Unsettled) -> Result<()> {
    let (session, number) = (unsettled.turn.session, unsettled.turn.turn.turn_number);
    if let Some(last_id) = terminal(turns, unsettled).map_err(Error::internal)? {
        let last_id = Some(last_id);
        return Ok(turns
            .store
            .terminal_logged(session, number, last_id)
            .await?);
    }
    settle_left(turns, &unsettled.turn).await
}

/// The number of a turn's terminal event, if its log has that.
fn terminal(turns: &Turns, unsettled: &Unsettled) -> aod_log::Result<Option<u64>> {
    let log = turns.paths.session(unsettled.turn.session).log();
    let mut reader = Reader::open(&log)?;
    while let Some(record) = reader.next()? {
        if record.kind.is_terminal() && record.turn == unsettled.turn.turn.turn_number {
            return Ok(Some(record.id));
        }
    }
    Ok(None)
}
