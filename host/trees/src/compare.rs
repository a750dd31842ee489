//! What is different between two trees.

use std::cmp::Ordering;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::ops::ControlFlow;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::access::with_access;
use crate::beneath::link_target;
use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::limits::{Budget, Limits};
use crate::status::Status;

/// A folder of more entries is not compared.
const MOST_IN_A_FOLDER: usize = 100_000;

/// Something that is not the same in two trees. Folders are what is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference<'a> {
    /// Where it is, in both.
    pub path: &'a Path,
    /// What it was in the first.
    pub before: Option<Status>,
    /// What it is in the second.
    pub after: Option<Status>,
}

/// Whether two trees were compared to their ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// They were, or `visit` had enough.
    Whole,
    /// Some of it was left out: it is nested deeper than [`Limits::depth`], or a folder has more
    /// than a hundred thousand entries.
    InPart,
}

/// Shows `visit` all that is in one tree and not in the other, or is something else there, until it
/// breaks; all that is in `after` where there is nothing before. Files of the same number are the same; others of one length are read. Times do not
/// count, permissions do.
///
/// # Errors
/// [`Error::Bound`], but for depth; [`Error::Io`].
pub fn compare(
    before: Option<&Folder>,
    after: &Folder,
    limits: &Limits,
    visit: &mut dyn FnMut(&Difference<'_>) -> ControlFlow<()>,
) -> Result<Compared> {
    let mut work = Work {
        budget: Budget::new(limits),
        compared: Compared::Whole,
    };
    let mut waiting = vec![Pair {
        path: PathBuf::new(),
        depth: 1,
        before: before.is_some(),
        after: true,
    }];
    while let Some(pair) = waiting.pop() {
        if work.budget.depth(pair.depth).is_err() {
            work.compared = Compared::InPart;
            continue;
        }
        let before = before.filter(|_| pair.before);
        let after = pair.after.then_some(after);
        let first = waiting.len();
        if work
            .folder(&pair, before, after, &mut waiting, visit)?
            .is_break()
        {
            break;
        }
        // The first of them comes next.
        waiting.get_mut(first..).unwrap_or_default().reverse();
    }
    Ok(work.compared)
}

/// Folders of one path, which are in one tree or in both.
struct Pair {
    path: PathBuf,
    depth: usize,
    before: bool,
    after: bool,
}

struct Work {
    budget: Budget,
    compared: Compared,
}

/// A folder that is open, and its names in order.
struct Side {
    folder: Folder,
    names: std::iter::Peekable<std::vec::IntoIter<OsString>>,
}

impl Work {
    /// Compares what two folders hold, and notes the folders in them.
    fn folder(
        &mut self,
        pair: &Pair,
        before: Option<&Folder>,
        after: Option<&Folder>,
        waiting: &mut Vec<Pair>,
        visit: &mut dyn FnMut(&Difference<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let (Some(mut before), Some(mut after)) =
            (self.open(pair, before)?, self.open(pair, after)?)
        else {
            self.compared = Compared::InPart;
            return Ok(ControlFlow::Continue(()));
        };
        loop {
            self.budget.spend()?;
            let (first, second) = (next(&mut before), next(&mut after));
            let order = match (first, second) {
                (None, None) => return Ok(ControlFlow::Continue(())),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(first), Some(second)) => first.cmp(second),
            };
            let take = |side: &mut Option<Side>| side.as_mut().and_then(|side| side.names.next());
            let first = (order.is_le()).then(|| take(&mut before)).flatten();
            let second = (order.is_ge()).then(|| take(&mut after)).flatten();
            let Some(name) = first.as_ref().or(second.as_ref()) else {
                continue;
            };
            let was = status_in(before.as_ref(), first.as_ref())?;
            let is = status_in(after.as_ref(), second.as_ref())?;
            let path = pair.path.join(name);
            if !self.is_same(name, was, is)? {
                let file = |found: Option<(&Side, Status)>| {
                    let status = found.map(|(_, status)| status);
                    status.filter(|status| status.kind != FileType::Directory)
                };
                let difference = Difference {
                    path: &path,
                    before: file(was),
                    after: file(is),
                };
                let is_file = difference.before.is_some() || difference.after.is_some();
                if is_file && visit(&difference).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            let is_folder = |found: Option<(&Side, Status)>| {
                found.is_some_and(|(_, status)| status.kind == FileType::Directory)
            };
            let folders = (is_folder(was), is_folder(is));
            if folders.0 || folders.1 {
                waiting.push(Pair {
                    path,
                    depth: pair.depth + 1,
                    before: folders.0,
                    after: folders.1,
                });
            }
        }
    }

    /// Opens a folder where it is to be; an outer none says that it cannot be compared.
    fn open(&self, pair: &Pair, root: Option<&Folder>) -> Result<Option<Option<Side>>> {
        let Some(root) = root else {
            return Ok(Some(None));
        };
        let folder = match root.folder(&pair.path) {
            // Somebody has taken it away.
            Err(error) if error.kind().is_some() => return Ok(Some(None)),
            // Something is mounted there.
            Err(Error::Mount(_)) => return Ok(None),
            folder => folder?,
        };
        let mut names: Vec<OsString> = match folder.list(MOST_IN_A_FOLDER) {
            Err(Error::Bound(_)) => return Ok(None),
            listed => listed?.into_iter().map(|entry| entry.name).collect(),
        };
        names.sort_unstable();
        let names = names.into_iter().peekable();
        Ok(Some(Some(Side { folder, names })))
    }

    fn is_same(
        &mut self,
        name: &OsString,
        before: Option<(&Side, Status)>,
        after: Option<(&Side, Status)>,
    ) -> Result<bool> {
        let (Some((before, was)), Some((after, is))) = (before, after) else {
            return Ok(before.is_none() && after.is_none());
        };
        if was.kind != is.kind {
            return Ok(false);
        }
        match was.kind {
            FileType::Directory => Ok(true),
            FileType::Symlink => {
                let target = |side: &Side| link_target(side.folder.as_fd(), name);
                Ok(target(before) == target(after))
            }
            FileType::RegularFile if was.mode != is.mode || was.size != is.size => Ok(false),
            FileType::RegularFile if was.inode == is.inode => Ok(true),
            FileType::RegularFile => self.has_same_content(&before.folder, &after.folder, name),
            _ => Ok(true),
        }
    }

    fn has_same_content(
        &mut self,
        before: &Folder,
        after: &Folder,
        name: &OsString,
    ) -> Result<bool> {
        let path = Path::new(name);
        let (Ok(before), Ok(after)) = (before.content(path), after.content(path)) else {
            // What cannot be read counts as changed.
            return Ok(false);
        };
        let (mut before, mut after) = (BufReader::new(before), BufReader::new(after));
        loop {
            self.budget.spend()?;
            let (first, second) = (before.fill_buf(), after.fill_buf());
            let (Ok(first), Ok(second)) = (first, second) else {
                return Ok(false);
            };
            let length = first.len().min(second.len());
            if length == 0 {
                return Ok(first.len() == second.len());
            }
            if first.get(..length) != second.get(..length) {
                return Ok(false);
            }
            before.consume(length);
            after.consume(length);
        }
    }
}

fn next(side: &mut Option<Side>) -> Option<&OsString> {
    side.as_mut().and_then(|side| side.names.peek())
}

fn status_in<'a>(
    side: Option<&'a Side>,
    name: Option<&OsString>,
) -> Result<Option<(&'a Side, Status)>> {
    let (Some(side), Some(name)) = (side, name) else {
        return Ok(None);
    };
    let status = with_status(&side.folder, name)?;
    Ok(status.map(|status| (side, status)))
}

/// What the file system says of a name, also in a folder that its owner has closed.
fn with_status(folder: &Folder, name: &OsString) -> Result<Option<Status>> {
    with_access(folder.as_fd(), |folder| {
        match rustix::fs::statat(folder, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => Ok(None),
            found => Ok(Some(Status::new(&found?))),
        }
    })
    .map_err(|error| Error::io("look at", name, error))
}
