//! Looking for what has changed in a workspace: one walk, and then as much as was changed.

use std::collections::{BinaryHeap, HashMap};
use std::ffi::OsString;
use std::io::{Read as _, Result as IoResult};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use aod_resources::event::{ChangeKind, FileChange};
use aod_supervisor::Redactor;
use aod_trees::{
    Content, Difference, Error, Folder, Found, Kind, Limits, Status, Step, link_target, walk_chosen,
};

use super::{Seen, ToldPaths};
use crate::checkpoints::changes::{changed, diff};

/// How long a workspace is looked at: its turn's end waits for that.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long what has changed is compared with what was there.
const COMPARING: Duration = Duration::from_secs(2);
/// So many files are told.
const MOST: usize = 200;
/// So many are compared at most, as some turn out to be what they were.
const MOST_COMPARED: usize = 5_000;
/// A longer diff is left out.
const LONGEST_DIFF: usize = 60 << 10;
/// So many bytes of diffs are told.
const MOST_DIFFS: usize = 512 << 10;
/// Files of one length are read to be compared, up to this length.
const LONGEST_READ: u64 = 8 << 20;
/// Clocks of file systems are behind by a tick at most.
const TICK: i128 = 10_000_000;
/// What git keeps of a repository changes with all that it does, and tells nobody anything.
const GIT: &str = ".git";
/// What comes with prompts is put here by the host.
const OURS: &str = ".aod/attachments";

/// Where to look, and what for.
pub(super) struct Look<'a> {
    pub(super) workspace: &'a Path,
    /// What it was before.
    pub(super) before: Option<&'a Path>,
    /// When the turn began, in microseconds since 1970.
    pub(super) began: i64,
    /// What is told already.
    pub(super) told: &'a ToldPaths,
    pub(super) redactor: Option<&'a Redactor>,
}

/// Finds what was changed since a turn's beginning, and what the workspace takes of the disk.
///
/// Nobody sets at will when anything about a file was changed last, so that what was changed before
/// the turn began is not looked at: whoever changed it between two turns was not the turn.
pub(super) fn look(how: &Look<'_>) -> Result<Seen, Error> {
    let after = Folder::open(how.workspace)?;
    let before = how.before.and_then(|path| Folder::open_copy(path).ok());
    let mut search = Search {
        how,
        before: before.as_ref(),
        since: i128::from(how.began) * 1_000 - TICK,
        way: PathBuf::new(),
        level: 0,
        within_git: None,
        within_new: None,
        bytes: 0,
        files: Candidates::default(),
        folders: vec![PathBuf::new()],
    };
    let limits = Limits {
        time: PATIENCE,
        ..Limits::default()
    };
    let walked = walk_chosen(&after, &limits, &mut |found| search.take(found));
    if let Err(error) = &walked {
        tracing::debug!(%error, "a workspace was not looked at to its end");
    }
    let is_whole = walked.is_ok();
    let workspace = Some((search.bytes, is_whole));
    if how.told.are_too_many {
        return Ok(Seen {
            files: Vec::new(),
            is_cut: true,
            workspace,
            ..Seen::default()
        });
    }
    let until = Instant::now() + COMPARING;
    let mut found = Comparison {
        how,
        before: before.as_ref(),
        after: &after,
        until,
        files: Vec::new(),
        is_cut: !is_whole || search.files.dropped || search.folders.len() > MOST_COMPARED,
        left: MOST_DIFFS,
    };
    let gone = found.gone(&search.folders);
    let mut paths = search.files.into_sorted();
    paths.extend(gone);
    paths.sort_by(|one, other| (depth(one), one).cmp(&(depth(other), other)));
    paths.dedup();
    for path in paths {
        if found.files.len() == MOST || Instant::now() >= until {
            found.is_cut = true;
            break;
        }
        found.compare(&path)?;
    }
    found.files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(Seen {
        files: found.files,
        is_cut: found.is_cut,
        workspace,
        ..Seen::default()
    })
}

fn depth(path: &Path) -> usize {
    path.components().count()
}

/// The files nearest to the root, of all that may have changed: what a package manager writes lies
/// deep, and should not hide the rest.
#[derive(Default)]
struct Candidates {
    /// The deepest first.
    paths: BinaryHeap<(usize, PathBuf)>,
    dropped: bool,
}

impl Candidates {
    fn push(&mut self, path: PathBuf) {
        self.paths.push((depth(&path), path));
        if self.paths.len() > MOST_COMPARED {
            self.paths.pop();
            self.dropped = true;
        }
    }

    fn into_sorted(self) -> Vec<PathBuf> {
        self.paths.into_iter().map(|(_, path)| path).collect()
    }
}

/// A walk through a workspace.
struct Search<'a> {
    how: &'a Look<'a>,
    before: Option<&'a Folder>,
    /// In nanoseconds.
    since: i128,
    /// The folder that the walk is in, and how deep that is.
    way: PathBuf,
    level: usize,
    /// The depth of the folder of git's that the walk is in, and of one that was not there before.
    within_git: Option<usize>,
    within_new: Option<usize>,
    bytes: u64,
    files: Candidates,
    /// Folders in which something may have gone.
    folders: Vec<PathBuf>,
}

impl Search<'_> {
    fn take(&mut self, found: &Found<'_>) -> Step {
        self.bytes = self.bytes.saturating_add(found.allocated);
        while self.level >= found.depth {
            self.way.pop();
            self.level -= 1;
        }
        let is_left = |depth: &mut Option<usize>| {
            *depth = depth.filter(|depth| *depth < found.depth);
        };
        is_left(&mut self.within_git);
        is_left(&mut self.within_new);
        let is_folder = found.kind == Kind::Directory;
        if is_folder {
            self.way.push(found.name);
            self.level = found.depth;
        }
        if self.within_git.is_some() {
            return Step::Enter;
        }
        if found.name == GIT {
            self.within_git = is_folder.then_some(found.depth);
            return Step::Enter;
        }
        let is_changed = found.stat.changed >= self.since;
        match is_folder {
            true if is_changed && self.within_new.is_none() => {
                let was_there = self
                    .before
                    .is_none_or(|before| before.folder(&self.way).is_ok());
                if !was_there {
                    // What is moved with its folder keeps its times.
                    self.within_new = Some(found.depth);
                } else if self.folders.len() <= MOST_COMPARED {
                    self.folders.push(self.way.clone());
                }
            }
            false if is_changed || self.within_new.is_some() => {
                let path = self.way.join(found.name);
                if !self.how.told.has(&path) && !path.starts_with(OURS) {
                    self.files.push(path);
                }
            }
            _ => {}
        }
        Step::Enter
    }
}

/// What is found when files are compared with what they were.
struct Comparison<'a> {
    how: &'a Look<'a>,
    before: Option<&'a Folder>,
    after: &'a Folder,
    until: Instant,
    files: Vec<FileChange>,
    is_cut: bool,
    /// So many bytes of diffs may follow.
    left: usize,
}

impl Comparison<'_> {
    /// What was in these folders and is not there any more.
    fn gone(&mut self, folders: &[PathBuf]) -> Vec<PathBuf> {
        let mut gone = Vec::new();
        let Some(before) = self.before else {
            return gone;
        };
        for path in folders {
            let Ok(was) = before.folder(path) else {
                continue;
            };
            let (Ok(was), Ok(is)) = (was.list(MOST_LISTED), self.listed(path)) else {
                self.is_cut = true;
                continue;
            };
            for entry in was {
                let now = is.get(&entry.name);
                let place = path.join(&entry.name);
                match entry.kind == Kind::Directory {
                    _ if entry.name == GIT => {}
                    true if now != Some(&Kind::Directory) => self.all_in(before, place, &mut gone),
                    false if now.is_none_or(|now| *now == Kind::Directory) => gone.push(place),
                    _ => {}
                }
                if gone.len() > MOST_COMPARED || Instant::now() >= self.until {
                    self.is_cut = true;
                    return gone;
                }
            }
        }
        gone.retain(|path| !self.how.told.has(path) && !path.starts_with(OURS));
        gone
    }

    fn listed(&self, path: &Path) -> Result<HashMap<OsString, Kind>, Error> {
        let listed = self.after.folder(path)?.list(MOST_LISTED)?;
        Ok(listed
            .into_iter()
            .map(|entry| (entry.name, entry.kind))
            .collect())
    }

    /// All files of a folder that is gone.
    fn all_in(&mut self, before: &Folder, folder: PathBuf, gone: &mut Vec<PathBuf>) {
        let mut waiting = vec![folder];
        while let Some(folder) = waiting.pop() {
            let listed = before.folder(&folder).and_then(|it| it.list(MOST_LISTED));
            let Ok(listed) = listed else {
                self.is_cut = true;
                continue;
            };
            for entry in listed {
                if gone.len() > MOST_COMPARED || Instant::now() >= self.until {
                    self.is_cut = true;
                    return;
                }
                let path = folder.join(&entry.name);
                match entry.kind == Kind::Directory {
                    _ if entry.name == GIT => {}
                    true => waiting.push(path),
                    false => gone.push(path),
                }
            }
        }
    }

    /// Tells of a file, if it is not what it was.
    fn compare(&mut self, path: &Path) -> Result<(), Error> {
        let was = self.before.map(|before| file_in(before, path));
        let is = file_in(self.after, path);
        let (kind, before) = match (was, is) {
            (Some(was), is) => match (was, is) {
                (None, None) => return Ok(()),
                (Some(was), Some(is)) if self.is_same(path, was, is)? => return Ok(()),
                (was, _) => (None, was),
            },
            // Of what was there before nothing is known but how old a file is.
            (None, Some(is)) => {
                let kind = match self.is_new(path) {
                    true => ChangeKind::Created,
                    false => ChangeKind::Modified,
                };
                (Some(kind), (kind == ChangeKind::Modified).then_some(is))
            }
            (None, None) => return Ok(()),
        };
        let difference = Difference {
            path,
            before,
            after: is,
        };
        let Some((file, _)) = changed(&difference) else {
            return Ok(());
        };
        let kind = kind.unwrap_or(file.kind);
        let can_be_compared = self.before.is_some() || kind == ChangeKind::Created;
        let diff = self
            .how
            .redactor
            .filter(|_| can_be_compared && self.left > 0)
            .and_then(|redactor| {
                let diff = diff(self.before, self.after, path, &file)?;
                Some(redactor.redact_str(&diff).into_owned())
            })
            .filter(|diff| !diff.is_empty() && diff.len() <= LONGEST_DIFF.min(self.left));
        self.left -= diff.as_ref().map_or(0, String::len);
        self.files.push(FileChange {
            path: file.path,
            kind,
            moved_from: None,
            diff,
            call_id: None,
            seen_by_host: true,
        });
        Ok(())
    }

    fn is_new(&self, path: &Path) -> bool {
        let since = (i128::from(self.how.began) * 1_000 - TICK).max(0);
        let since = Duration::from_nanos(u64::try_from(since).unwrap_or(0));
        let began = SystemTime::UNIX_EPOCH + since;
        let file = self.after.file(path).ok();
        let made = file.and_then(|file| file.metadata().ok()?.created().ok());
        made.is_some_and(|made| made >= began)
    }

    fn is_same(&self, path: &Path, was: Status, is: Status) -> Result<bool, Error> {
        let Some(before) = self.before else {
            return Ok(false);
        };
        if was.kind != is.kind || was.mode != is.mode && was.kind != Kind::Symlink {
            return Ok(false);
        }
        match is.kind {
            Kind::Symlink => {
                let target = |root: &Folder| {
                    let (folder, name) = root.parent_of(path, false)?;
                    Ok::<_, Error>(link_target(std::os::fd::AsFd::as_fd(&folder), &name))
                };
                Ok(target(before)? == target(self.after)?)
            }
            Kind::RegularFile if was.size != is.size || is.size > LONGEST_READ => Ok(false),
            Kind::RegularFile => {
                let (Ok(was), Ok(is)) = (before.content(path), self.after.content(path)) else {
                    return Ok(false);
                };
                Ok(has_same_content(was, is).unwrap_or(false))
            }
            _ => Ok(true),
        }
    }
}

/// A folder with more entries is not listed.
const MOST_LISTED: usize = 100_000;

/// What the file system says of a file; none where there is none, or a folder.
fn file_in(root: &Folder, path: &Path) -> Option<Status> {
    let (folder, name) = root.parent_of(path, false).ok()?;
    let status = folder.status(&name).ok()??;
    (status.kind != Kind::Directory).then_some(status)
}

/// Both are of one length, which is not much.
fn has_same_content(was: Content, is: Content) -> IoResult<bool> {
    let read = |file: Content| {
        let mut content = Vec::new();
        file.take(LONGEST_READ).read_to_end(&mut content)?;
        IoResult::Ok(content)
    };
    Ok(read(was)? == read(is)?)
}
