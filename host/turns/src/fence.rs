//! A session that takes the host down is fenced off.
//!
//! What a start of the host goes on with may be the very thing that killed the last one. So each
//! turn that is gone on with leaves a mark, which goes once it is through what could have killed
//! the host before. A mark that a start finds is a death. Turns with a mark are gone on with one
//! at a time, so that each death counts against one session alone, and the third start does not go
//! on with it but fails it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::paths::SessionPaths;

/// So many starts may die before a session is failed.
pub(crate) const DEATHS: u32 = 2;

/// How long one suspect keeps the next one waiting: what has not killed the host by then may take
/// as long as it does.
const PATIENCE: Duration = Duration::from_secs(30);

/// A mark is a number of a few digits.
const LONGEST: u64 = 16;

/// Where suspects wait for each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Suspects(Arc<Mutex<()>>);

/// How many starts of the host have died while they went on with this session.
pub(crate) fn deaths(paths: &SessionPaths) -> u32 {
    match aod_trees::read_regular(&paths.recovering(), LONGEST) {
        Ok(text) => {
            let number = std::str::from_utf8(&text).ok();
            // One that was cut off while it was written is a mark as well.
            number
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(1)
        }
        Err(_) => 0,
    }
}

/// Forgets the deaths of a session: its user begins another turn.
pub(crate) fn forgive(paths: &SessionPaths) {
    remove(&paths.recovering());
}

fn remove(mark: &Path) {
    match fs::remove_file(mark) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "a session's mark cannot be removed");
        }
        _ => {}
    }
}

/// Goes on with a session. The mark is there until this is dropped, which a death of the host
/// does not do.
pub(crate) struct Crossing {
    mark: PathBuf,
    _alone: Option<OwnedMutexGuard<()>>,
}

impl Crossing {
    /// Leaves the mark; one that has one already waits until it is alone with the host.
    pub(crate) async fn begin(paths: &SessionPaths, suspects: &Suspects) -> Self {
        let deaths = deaths(paths);
        let alone = match deaths {
            0 => None,
            _ => {
                let turn = suspects.0.clone().lock_owned();
                tokio::time::timeout(PATIENCE, turn).await.ok()
            }
        };
        let mark = paths.recovering();
        // It need not outlive the machine, only this process.
        if let Err(error) = fs::write(&mark, (deaths + 1).to_string()) {
            tracing::warn!(%error, "a session that is gone on with cannot be marked");
        }
        failpoint(paths);
        Self {
            mark,
            _alone: alone,
        }
    }
}

impl Drop for Crossing {
    fn drop(&mut self) {
        remove(&self.mark);
    }
}

/// Tests have the host die, or a task panic, where it goes on with a session:
/// `AOD_FAILPOINT=abort:<session>` or `panic:<session>`.
fn failpoint(paths: &SessionPaths) {
    if !cfg!(debug_assertions) {
        return;
    }
    let Ok(wanted) = std::env::var("AOD_FAILPOINT") else {
        return;
    };
    let session = paths.root().file_name().unwrap_or_default();
    match wanted.split_once(':') {
        Some(("abort", id)) if session == id => std::process::abort(),
        Some(("panic", id)) if session == id => panic!("as AOD_FAILPOINT asks"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::Paths;

    #[tokio::test]
    async fn deaths_are_counted_until_one_gets_through() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::create(folder.path()).unwrap();
        let session = paths.session(Uuid::new_v4());
        session.create().unwrap();
        let suspects = Suspects::default();
        assert_eq!(deaths(&session), 0);
        for death in 1..=3 {
            // What dies drops nothing.
            std::mem::forget(Crossing::begin(&session, &Suspects::default()).await);
            assert_eq!(deaths(&session), death);
        }
        drop(Crossing::begin(&session, &suspects).await);
        assert_eq!(deaths(&session), 0);
        fs::write(session.recovering(), "").unwrap();
        assert_eq!(deaths(&session), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn suspects_wait_for_each_other_and_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::create(folder.path()).unwrap();
        let suspects = Suspects::default();
        let sessions = [Uuid::new_v4(), Uuid::new_v4()].map(|id| paths.session(id));
        for session in &sessions {
            session.create().unwrap();
            fs::write(session.recovering(), "1").unwrap();
        }
        let first = Crossing::begin(&sessions[0], &suspects).await;
        let waits = tokio::time::timeout(PATIENCE / 2, Crossing::begin(&sessions[1], &suspects));
        assert!(waits.await.is_err());
        assert_eq!(deaths(&sessions[1]), 1, "who waits has not begun");
        let second = Crossing::begin(&sessions[1], &suspects).await;
        drop((first, second));
    }
}
