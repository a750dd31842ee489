//! What a session has changed in its repositories.
//!
//! By now a repository is what its agent made of it, its settings and programs that they name
//! included. Git reads it in a sandbox without a network, which sees the workspace and cannot
//! change it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aod_resources::{RepositoryDiff, Resource};
use aod_sandbox::{Cancel, Ended, Network, RunOptions};
use tokio::sync::Semaphore;

use super::Mirrors;
use super::command::Script;
use super::mirrors::Failed;
use crate::paths::SessionPaths;
use crate::provision::{Sandboxes, StageError};
use crate::{Error, Result};

/// So many bytes are given of all repositories of a session.
const MAX: usize = 8 << 20;
/// So long may each repository take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// So many run at once.
const AT_ONCE: usize = 6;

/// What git is told whatever the repository says.
const OVERRIDES: [(&str, &str); 8] = [
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.quotePath", "false"),
    ("core.untrackedCache", "false"),
    ("color.ui", "false"),
    ("diff.noprefix", "false"),
    ("diff.mnemonicPrefix", "false"),
    ("core.pager", "cat"),
];

/// Bounds on what runs at once.
pub(crate) struct Diffs(Arc<Semaphore>);

impl Default for Diffs {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Diffs {
    /// What each of the repositories has that was not cloned.
    pub(crate) async fn of(
        &self,
        mirrors: &Mirrors,
        sandboxes: &Sandboxes,
        paths: &SessionPaths,
        resources: Vec<Resource>,
    ) -> Result<Vec<RepositoryDiff>> {
        let _permit = self.0.acquire().await.map_err(Error::internal)?;
        let mut left = MAX;
        let mut diffs = Vec::new();
        for resource in resources {
            let mut diff = RepositoryDiff {
                repository: resource.place(),
                url: resource.url,
                base: resource.commit,
                head: None,
                diff: String::new(),
                truncated: false,
                error: None,
            };
            if let Err(failed) = compare(mirrors, sandboxes, paths, left, &mut diff).await {
                match failed {
                    Failed::Stage(StageError::Host(error)) => return Err(error),
                    Failed::Stage(StageError::Failed(text)) => diff.error = Some(text),
                    Failed::Stage(StageError::Cancelled) => {}
                    Failed::Problem(problem) => diff.error = Some(problem.to_string()),
                }
            }
            left -= diff.diff.len().min(left);
            diffs.push(diff);
        }
        Ok(diffs)
    }
}

async fn compare(
    mirrors: &Mirrors,
    sandboxes: &Sandboxes,
    paths: &SessionPaths,
    max: usize,
    diff: &mut RepositoryDiff,
) -> Result<(), Failed> {
    let Some(base) = diff.base.clone() else {
        diff.error = Some("it is not cloned yet".to_owned());
        return Ok(());
    };
    let disk = {
        let paths = paths.clone();
        tokio::task::spawn_blocking(move || paths.disk()).await
    };
    let _disk = match disk.map_err(|error| StageError::from(Error::internal(error)))? {
        Ok(disk) => disk,
        Err(error) => {
            diff.error = Some(format!("the session's disk cannot be used: {error}"));
            return Ok(());
        }
    };
    if !paths.workspace().is_dir() {
        diff.error = Some("the session's workspace is gone".to_owned());
        return Ok(());
    }
    let place = mirrors.place(sandboxes)?;
    let (workspace, inside) = place.show(&paths.workspace(), "workspace");
    let script = Script {
        text: include_str!("diff.sh"),
        arguments: vec![format!("{inside}/{}", diff.repository), base],
        folder: place.home(),
        shown: vec![workspace],
        settings: String::new(),
        files: Vec::new(),
        network: Network::None,
    };
    let mut spec = place.spec(script);
    let count = OVERRIDES.len().to_string();
    let numbered = (0..).zip(OVERRIDES).flat_map(|(n, (key, value))| {
        [
            (format!("GIT_CONFIG_KEY_{n}"), key.to_owned()),
            (format!("GIT_CONFIG_VALUE_{n}"), value.to_owned()),
        ]
    });
    let overrides = numbered.chain([("GIT_CONFIG_COUNT".to_owned(), count)]);
    spec.env
        .extend(overrides.map(|(name, value)| (name, value.into())));
    // What git says to people is not of the diff.
    spec.argv[2] = format!("exec 2>\"$HOME/said\"\n{}", spec.argv[2]);
    let launch = sandboxes.driver.launch(&spec).map_err(StageError::from)?;
    let cancel = Cancel::new().map_err(StageError::from)?;
    let options = RunOptions {
        stdin: Vec::new(),
        timeout: Some(TIMEOUT),
        cancel: Some(cancel.clone()),
    };
    let (ended, text, is_cut) = tokio::task::spawn_blocking(move || {
        let text = Mutex::new((Vec::new(), false));
        let ended = aod_sandbox::run(&launch, &options, &mut |piece| {
            let mut kept = text.lock().unwrap_or_else(PoisonError::into_inner);
            let left = max - kept.0.len().min(max);
            kept.0.extend_from_slice(&piece[..piece.len().min(left)]);
            if piece.len() > left {
                kept.1 = true;
                cancel.trigger();
            }
        });
        let (text, is_cut) = text.into_inner().unwrap_or_else(PoisonError::into_inner);
        (ended, text, is_cut)
    })
    .await
    .map_err(|error| StageError::from(Error::internal(error)))?;
    let said = place.result("said")?;
    let head = place.result("head")?;
    let head = String::from_utf8_lossy(&head).trim().to_owned();
    diff.head = (!head.is_empty()).then_some(head);
    diff.diff = String::from_utf8_lossy(&text).into_owned();
    diff.truncated = is_cut;
    diff.error = match ended.map_err(StageError::from)? {
        Ended::Exited(0) => None,
        Ended::Cancelled if is_cut => None,
        Ended::Exited(73) => Some("the commit that was cloned is gone from it".to_owned()),
        Ended::TimedOut => Some(format!("it took longer than {} s", TIMEOUT.as_secs())),
        _ => {
            let said = super::remote::Tail(String::from_utf8_lossy(&said).into_owned());
            Some(format!("git cannot read it: {}", said.last_words()))
        }
    };
    Ok(())
}
