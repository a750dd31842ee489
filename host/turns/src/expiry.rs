//! Files of sessions that nobody has used for long are removed, where the server's settings say so.
//! That is announced first; whoever uses the session meanwhile keeps them.

use std::time::Duration;

use aod_resources::Timestamp;

use crate::Result;
use crate::periodic::{LONGEST, Periodic, SHORTEST};
use crate::turn::Turns;

/// Announces and removes, until the server stops.
pub(crate) async fn run(turns: Turns) {
    let config = turns.config().retention;
    let often = config.notice.clamp(SHORTEST, LONGEST);
    let mut periodic = Periodic::new(often, turns.shutdown.clone());
    while periodic.next().await {
        if let Err(error) = look(&turns, Timestamp::now()).await {
            tracing::warn!(error = %error.details(), "old sessions are not looked at");
        } else if config.files.is_none() {
            // What an earlier server had begun is done.
            return;
        }
    }
}

async fn look(turns: &Turns, now: Timestamp) -> Result<()> {
    let config = turns.config().retention;
    match config.files {
        Some(age) => {
            let notice = config.notice.min(age);
            let unused_since = moved(now, -micros(age - notice));
            let expires_at = moved(now, micros(notice));
            let store = &turns.store;
            let announced = store.announce_expiry(unused_since, expires_at, now).await?;
            if announced > 0 {
                tracing::info!(
                    sessions = announced,
                    "the files of old sessions will be removed"
                );
            }
            store.expire_sessions(now).await?;
        }
        None => turns.store.withdraw_expiry().await?,
    }
    for session in turns.store.sessions_to_empty().await? {
        if turns.shutdown.is_cancelled() {
            break;
        }
        // One that cannot be emptied keeps no other.
        match turns.remove_files(session).await {
            Ok(()) => {
                turns.store.session_emptied(session).await?;
                tracing::info!(%session, "the files of an old session are removed");
            }
            Err(error) => {
                tracing::warn!(
                    %session, error = %error.details(), "the files of an old session stay"
                );
            }
        }
    }
    Ok(())
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

fn moved(at: Timestamp, by: i64) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_add(by))
}
