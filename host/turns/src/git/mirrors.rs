//! Bare mirrors of repositories: one for each URL, token and depth, shared by sessions.
//!
//! Who may read a mirror is who has its token: another token, or none, leads to another mirror.
//! What is in use is never changed: who clones holds a mirror for reading, and who fetches into it
//! waits.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aod_trees::{Limits, Trash};
use secrecy::ExposeSecret as _;
use serde_json::json;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};
use zeroize::Zeroizing;

use super::GitConfig;
use super::command::{GitSandbox, HOME};
use super::failure::Problem;
use super::remote::{self, FetchRequest, Found};
use crate::Seals;
use crate::hex::hex;
use crate::provision::{Cancelled, Output, Sandboxes, StageError};

/// So many mirrors are remembered; others are found again in the folder.
const MAX_KNOWN: usize = 1000;

/// Why there is nothing to clone from.
#[derive(Debug)]
pub(super) enum Failed {
    /// The repository's or the server's fault.
    Problem(Problem),
    /// The host's, or its user stopped it.
    Stage(StageError),
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl<E: Into<StageError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Stage(error.into())
    }
}

/// The mirrors of a data folder.
pub(crate) struct Mirrors {
    root: PathBuf,
    trash: Trash,
    config: GitConfig,
    seals: Seals,
    known: Mutex<HashMap<String, Arc<Mirror>>>,
}

#[derive(Default)]
struct Mirror {
    use_of_it: Arc<RwLock<()>>,
    /// When the last fetch that went well was begun.
    fetched: Mutex<Option<Instant>>,
}

impl Mirror {
    fn is_fresh(&self, since: Instant) -> bool {
        let fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        fetched.is_some_and(|begun| begun >= since)
    }
}

/// A mirror that stays as it is for as long as this is held.
pub(super) struct Held {
    /// Its folder.
    pub(super) folder: PathBuf,
    /// What is wanted of it.
    pub(super) found: Found,
    _guard: OwnedRwLockReadGuard<()>,
}

impl Mirrors {
    /// The mirrors in the folder `root`; those that nobody has used for long go.
    pub(crate) fn new(root: PathBuf, trash: Trash, config: GitConfig, seals: Seals) -> Self {
        let mirrors = Self {
            root,
            trash,
            config,
            seals,
            known: Mutex::default(),
        };
        mirrors.sweep();
        mirrors
    }

    /// Settings of git.
    pub(super) fn config(&self) -> &GitConfig {
        &self.config
    }

    /// A place for runs of git.
    pub(super) fn place<'a>(&'a self, sandboxes: &'a Sandboxes) -> std::io::Result<GitSandbox<'a>> {
        GitSandbox::make(sandboxes, &self.root, &self.trash)
    }

    fn sweep(&self) {
        let entries = std::fs::read_dir(&self.root)
            .into_iter()
            .flatten()
            .flatten();
        for entry in entries {
            let is_old = |modified: SystemTime| {
                let age = modified.elapsed().unwrap_or(Duration::ZERO);
                !self.config.mirror_age.is_zero() && age > self.config.mirror_age
            };
            let modified = entry.metadata().and_then(|it| it.modified());
            let is_left = entry.file_name().to_string_lossy().starts_with(HOME);
            if is_left || modified.is_ok_and(is_old) {
                self.discard(&entry.path());
            }
        }
    }

    fn discard(&self, path: &Path) {
        if let Err(error) = self.trash.discard_path(path, &Limits::default()) {
            tracing::warn!(%error, "a mirror of a repository cannot be removed");
        }
    }

    /// The name of a mirror: nobody can tell from it what it is of, and nobody without the token
    /// can come by it.
    fn key(&self, wanted: &FetchRequest<'_>) -> String {
        let token = wanted.token.map(|token| token.expose_secret());
        let facts = json!([wanted.url.as_str(), token, wanted.depth]);
        let text = Zeroizing::new(facts.to_string());
        let mac = self.seals.vault().mac("mirror", text.as_bytes());
        hex(mac.as_ref())
    }

    fn mirror(&self, key: &str) -> Arc<Mirror> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            let is_used = |mirror: &Arc<Mirror>| Arc::strong_count(&mirror.use_of_it) > 1;
            known.retain(|_, mirror| Arc::strong_count(mirror) > 1 || is_used(mirror));
        }
        known.entry(key.to_owned()).or_default().clone()
    }

    /// A mirror that has all that the server had when this was called. Sessions that want it at the
    /// same time wait for one fetch.
    pub(super) async fn hold(
        &self,
        sandboxes: &Sandboxes,
        wanted: &FetchRequest<'_>,
        output: &mut Output,
        cancelled: &Cancelled<'_>,
    ) -> Result<Held, Failed> {
        let asked = Instant::now();
        let key = self.key(wanted);
        let mirror = self.mirror(&key);
        let folder = self.root.join(&key);
        let place = self.place(sandboxes)?;
        let guard = mirror.use_of_it.clone();
        let guard = tokio::select! {
            guard = guard.read_owned() => guard,
            () = cancelled() => return Err(StageError::Cancelled.into()),
        };
        if mirror.is_fresh(asked)
            && let Some(found) = remote::look(&place, &folder, wanted, output, cancelled).await?
        {
            return Ok(Held {
                folder,
                found,
                _guard: guard,
            });
        }
        drop(guard);
        let guard = mirror.use_of_it.clone();
        let guard = tokio::select! {
            guard = guard.write_owned() => guard,
            () = cancelled() => return Err(StageError::Cancelled.into()),
        };
        if mirror.is_fresh(asked)
            && let Some(found) = remote::look(&place, &folder, wanted, output, cancelled).await?
        {
            return Ok(Held {
                folder,
                found,
                _guard: guard.downgrade(),
            });
        }
        let found = self
            .fetch(&place, &folder, wanted, &mirror, output, cancelled)
            .await?;
        Ok(Held {
            folder,
            found,
            _guard: guard.downgrade(),
        })
    }

    /// Fetches into a mirror that nobody else uses. One that is broken is made anew.
    async fn fetch(
        &self,
        place: &GitSandbox<'_>,
        folder: &Path,
        wanted: &FetchRequest<'_>,
        mirror: &Mirror,
        output: &mut Output,
        cancelled: &Cancelled<'_>,
    ) -> Result<Found, Failed> {
        let mut is_new = !folder.exists();
        loop {
            std::fs::create_dir_all(folder)?;
            let begun = Instant::now();
            let fetched =
                remote::update(place, &self.config, folder, wanted, output, cancelled).await;
            match fetched {
                Err(Failed::Problem(Problem::Other { said })) if !is_new => {
                    tracing::warn!(%said, "a mirror of a repository is made anew");
                    self.discard(folder);
                    is_new = true;
                }
                fetched => {
                    if fetched.is_ok() {
                        let mut last = mirror
                            .fetched
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner);
                        *last = Some(begun);
                        // By which a start tells what is in use.
                        File::open(folder)?.set_modified(SystemTime::now())?;
                    }
                    return fetched;
                }
            }
        }
    }
}
