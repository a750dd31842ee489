//! What is kept of sessions' history, and for how long.

use std::time::{Duration, SystemTime};

use aod_log::PurgePolicy;
use aod_streams::events::purge_events;
use uuid::Uuid;

use crate::turn::Turns;

/// How often all sessions are looked at: as often as what is kept may grow old, within these.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(600);

/// Looks at all sessions now and then, until the server stops. Turns purge their own session when
/// they end.
pub(crate) async fn run(turns: Turns) {
    let retention = turns.config().retention;
    if !retention.is_set() {
        return;
    }
    let often = retention.age.unwrap_or(LONGEST);
    let mut period = tokio::time::interval(often.clamp(SHORTEST, LONGEST));
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = period.tick() => {}
            () = turns.shutdown.cancelled() => return,
        }
        let all = turns.clone();
        // It has logged what went wrong.
        let _ = tokio::task::spawn_blocking(move || purge_all(&all)).await;
    }
}

fn purge_all(turns: &Turns) {
    let sessions = match turns.paths().list_sessions() {
        Ok(sessions) => sessions,
        Err(error) => {
            tracing::warn!(%error, "cannot list the sessions to purge");
            return;
        }
    };
    for session in sessions {
        if turns.shutdown.is_cancelled() {
            return;
        }
        // One that has a turn in hand is purged at that turn's end. Where one begins just now, its
        // records stand in the newest segment or behind it, which is never deleted.
        if !turns.is_in_hand(session) {
            purge(turns, session);
        }
    }
}

/// Deletes what a session whose turn has ended need not keep, and nobody is about to read. Blocks.
pub(crate) fn purge(turns: &Turns, session: Uuid) {
    if !turns.config().retention.is_set() {
        return;
    }
    match try_purge(turns, session) {
        Ok(0) => {}
        Ok(bytes) => tracing::info!(%session, bytes, "purged old history"),
        // History that stays for longer is no reason to fail anything.
        Err(error) => {
            tracing::warn!(%session, error = format!("{error:#}"), "cannot purge old history");
        }
    }
}

fn try_purge(turns: &Turns, session: Uuid) -> anyhow::Result<u64> {
    let config = turns.config().retention;
    let paths = turns.paths().session(session);
    let policy = PurgePolicy {
        max_bytes: config.bytes,
        max_age: config.age,
        // A reader that does not go on is cut before long, and what it has not read goes then.
        keep_from: turns
            .watch()
            .slowest(session)
            .map(|read| read.saturating_add(1)),
    };
    let purged = aod_log::purge(&paths.log(), &policy, SystemTime::now())?;
    if let Some(first_id) = purged.first_id
        && !turns.bell().is_heard(session)
    {
        purge_events(&paths.events(), first_id)?;
    }
    Ok(purged.bytes)
}
