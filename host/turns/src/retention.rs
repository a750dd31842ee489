//! What is kept of sessions' history, and for how long.

use std::time::SystemTime;

use aod_log::PurgePolicy;
use aod_streams::LogWatch;
use aod_streams::events::{Bell, purge_events, stored_turns};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::RetentionConfig;
use crate::periodic::{LONGEST, Periodic, SHORTEST};
use crate::turn::forget_seen;
use crate::{Error, Paths, Result};

/// Deletes old history.
#[derive(Clone, Debug)]
pub(crate) struct Retention {
    pub(crate) config: RetentionConfig,
    pub(crate) paths: Paths,
    pub(crate) watch: LogWatch,
    pub(crate) bell: Bell,
}

impl Retention {
    /// Looks at all sessions now and then, until the server stops. Turns purge their own session
    /// when they end, so those whose turn waits or runs are passed over.
    pub(crate) async fn run(
        self,
        shutdown: CancellationToken,
        is_active: impl Fn(Uuid) -> bool + Clone + Send + 'static,
    ) {
        if !self.config.is_set() {
            return;
        }
        // As often as what is kept may grow old.
        let often = self.config.age.unwrap_or(LONGEST);
        let mut periodic = Periodic::new(often.clamp(SHORTEST, LONGEST), shutdown.clone());
        while periodic.next().await {
            let all = self.clone();
            let (shutdown, is_active) = (shutdown.clone(), is_active.clone());
            let work = move || all.purge_all(&shutdown, is_active);
            // It has logged what went wrong.
            let _ = tokio::task::spawn_blocking(work).await;
        }
    }

    fn purge_all(&self, shutdown: &CancellationToken, is_active: impl Fn(Uuid) -> bool) {
        let sessions = match self.paths.list_sessions() {
            Ok(sessions) => sessions,
            Err(error) => {
                tracing::warn!(%error, "cannot list the sessions to purge");
                return;
            }
        };
        for session in sessions {
            if shutdown.is_cancelled() {
                return;
            }
            // One with a turn is purged at that turn's end. Where one begins just now, its records
            // stand in the newest segment or behind it, which is never deleted.
            if !is_active(session) {
                self.purge_now(session);
            }
        }
    }

    /// Deletes what a session whose turn has ended need not keep, and nobody is about to read.
    pub(crate) async fn purge(&self, session: Uuid) {
        if self.config.is_set() {
            let all = self.clone();
            // It has logged what went wrong.
            let _ = tokio::task::spawn_blocking(move || all.purge_now(session)).await;
        }
    }

    fn purge_now(&self, session: Uuid) {
        match self.try_purge(session) {
            Ok(0) => {}
            Ok(bytes) => tracing::info!(%session, bytes, "purged old history"),
            // History that stays for longer is no reason to fail anything.
            Err(error) => {
                tracing::warn!(%session, error = %error.details(), "cannot purge old history");
            }
        }
    }

    fn try_purge(&self, session: Uuid) -> Result<u64> {
        let paths = self.paths.session(session);
        let policy = PurgePolicy {
            max_bytes: self.config.bytes,
            max_age: self.config.age,
            // A reader that does not go on is cut before long, and what it has not read goes then.
            keep_from: self
                .watch
                .slowest(session)
                .map(|read| read.saturating_add(1)),
        };
        let purged =
            aod_log::purge(&paths.log(), &policy, SystemTime::now()).map_err(Error::internal)?;
        if let Some(first_id) = purged.first_id
            && !self.bell.is_heard(session)
        {
            let events = paths.events();
            purge_events(&events, first_id).map_err(Error::internal)?;
            if let Some(first) = stored_turns(&events).map_err(Error::internal)?.first() {
                forget_seen(&events, *first).map_err(Error::internal)?;
            }
        }
        Ok(purged.bytes)
    }
}
