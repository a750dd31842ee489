//! What a turn was seen to change in its workspace, where its CLI told nothing of it.
//!
//! It is looked for once, when the turn is over, and kept beside the turn's events before any of it
//! is told: a host that starts again tells the same.

mod look;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use aod_resources::event::FileChange;
use aod_streams::events::turns_with;
use aod_supervisor::Redactor;
use serde::{Deserialize, Serialize};

use self::look::{Look, look};
use crate::paths::SessionPaths;

/// How the name of the file ends that is kept of a turn.
const ENDING: &str = ".files";
/// What was told of more files is not remembered, and nothing is looked for then.
const MOST_TOLD: usize = 10_000;

/// What a turn's workspace was before it, and what may be told of it.
pub(crate) struct Watch {
    pub(crate) paths: SessionPaths,
    pub(crate) turn: u32,
    /// The workspace as the turn found it, where that was kept.
    pub(crate) before: Option<PathBuf>,
    /// Finds the turn's secrets in diffs.
    pub(crate) redactor: Redactor,
    /// What the turn's secrets are told from others by; empty where that is not known, and no diff
    /// is told then.
    pub(crate) secrets: String,
    /// Whether no agent has written to the workspace before it.
    pub(crate) is_first: bool,
    /// Whether the workspace is still what this turn has left.
    pub(crate) may_look: bool,
}

/// What was seen.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) files: Vec<FileChange>,
    /// Whether more was changed than these and what the CLI told.
    pub(super) is_cut: bool,
    /// What the turn's secrets are told from others by, where all turns before had the same ones.
    #[serde(default)]
    secrets: Option<String>,
    /// What the workspace takes of the disk, and whether that is all; where it was looked at.
    #[serde(skip)]
    pub(super) workspace: Option<(u64, bool)>,
}

impl Watch {
    /// What the turn has changed since it began, in microseconds since 1970, but for what was told.
    pub(super) fn seen(&self, began: i64, told: &ToldPaths) -> Seen {
        match self.kept() {
            Ok(Some(seen)) => return seen,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "what a turn has changed cannot be read");
                return Seen::default();
            }
        }
        if !self.may_look {
            return Seen::default();
        }
        // What was a secret once, and is none of this turn's, may stand in any file.
        let has_other_secrets = self.has_other_secrets();
        let redactor = (!has_other_secrets).then_some(&self.redactor);
        let looked = look(&Look {
            workspace: &self.paths.workspace(),
            before: self.before.as_deref(),
            began,
            told,
            redactor,
        });
        let seen = match looked {
            Ok(seen) => Seen {
                secrets: Some(self.secrets.clone()).filter(|_| !has_other_secrets),
                ..seen
            },
            Err(error) => {
                tracing::warn!(%error, "a workspace cannot be searched for changes");
                return Seen::default();
            }
        };
        match self.keep(&seen) {
            Ok(()) => seen,
            Err(error) => {
                tracing::warn!(%error, "what a turn has changed cannot be kept, and is not told");
                Seen {
                    workspace: seen.workspace,
                    ..Seen::default()
                }
            }
        }
    }

    /// Whether an earlier turn may have had secrets that this one does not know.
    fn has_other_secrets(&self) -> bool {
        if self.secrets.is_empty() {
            return true;
        }
        if self.is_first {
            return false;
        }
        match newest_before(&self.paths.events(), self.turn) {
            Ok(Some(earlier)) => earlier.secrets.as_ref() != Some(&self.secrets),
            Ok(None) => true,
            Err(error) => {
                tracing::warn!(%error, "what an earlier turn has changed cannot be read");
                true
            }
        }
    }

    fn place(&self) -> PathBuf {
        place(&self.paths.events(), self.turn)
    }

    fn kept(&self) -> io::Result<Option<Seen>> {
        match fs::read(self.place()) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Also where that is nothing: somebody might find more later. What is then lost by a power
    /// loss was nothing.
    fn keep(&self, seen: &Seen) -> io::Result<()> {
        let place = self.place();
        let draft = place.with_extension("draft");
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&draft)?;
        file.write_all(&serde_json::to_vec(seen)?)?;
        if seen.files.is_empty() {
            return fs::rename(&draft, &place);
        }
        file.sync_data()?;
        fs::rename(&draft, &place)?;
        File::open(self.paths.events())?.sync_all()
    }
}

/// Forgets what turns before this one were seen to change: their events are gone.
pub(crate) fn forget_seen(events: &Path, before: u32) -> io::Result<()> {
    let turns = turns_with(events, ENDING)?;
    for turn in turns.into_iter().filter(|turn| *turn < before) {
        fs::remove_file(place(events, turn))?;
    }
    Ok(())
}

/// What is kept of the newest turn before this one.
fn newest_before(events: &Path, turn: u32) -> io::Result<Option<Seen>> {
    let mut turns = turns_with(events, ENDING)?.into_iter();
    let Some(newest) = turns.rfind(|earlier| *earlier < turn) else {
        return Ok(None);
    };
    Ok(serde_json::from_slice(&fs::read(place(events, newest))?)?)
}

/// Where it is kept what a turn was seen to change.
fn place(events: &Path, turn: u32) -> PathBuf {
    events.join(format!("{turn}{ENDING}"))
}

/// The files of which a CLI has told, by their paths in the workspace.
#[derive(Debug, Default)]
pub(super) struct ToldPaths {
    paths: HashSet<PathBuf>,
    are_too_many: bool,
}

impl ToldPaths {
    /// Takes what was told by a CLI that runs in this workspace.
    pub(super) fn take(&mut self, change: &FileChange, workspace: &str) {
        for path in [Some(&change.path), change.moved_from.as_ref()] {
            let Some(path) = path.and_then(|path| inside(path, workspace)) else {
                continue;
            };
            if self.paths.len() == MOST_TOLD {
                self.are_too_many = true;
                return;
            }
            self.paths.insert(path);
        }
    }

    fn has(&self, path: &Path) -> bool {
        self.paths.contains(path)
    }
}

/// A path as a CLI says it, from the workspace on; none outside.
fn inside(path: &str, workspace: &str) -> Option<PathBuf> {
    let path = match Path::new(path).is_absolute() {
        true => Path::new(path).strip_prefix(workspace).ok()?,
        false => Path::new(path),
    };
    let mut parts: Vec<OsString> = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part.to_owned()),
            Component::CurDir => {}
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.into_iter().collect())
}
