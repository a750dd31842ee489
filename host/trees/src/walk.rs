//! Looking at all of a tree.

use std::ffi::OsStr;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, Dir, FileType, Mode, Stat, fchmod, fstat, openat, openat2, statat};
use rustix::io::Errno;

use crate::access::{FILE, FOLDER, INSIDE, open_folder, open_up, with_access};
use crate::copy::allocated;
use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::limits::{Budget, Limits};
use crate::regular::not_regular;
use crate::status::Status;

/// How many levels are held open. The way back to one above them is its child's `..`, which is
/// taken only if it leads to the very folder that was left.
const HELD_OPEN: usize = 24;

/// An entry of a tree.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Found<'a> {
    /// Its name in its folder.
    pub name: &'a OsStr,
    /// What it is. Links are not followed.
    pub kind: FileType,
    /// How deep it lies: 1 for what is in the folder where the walk began.
    pub depth: usize,
    /// The length of a regular file; 0 for everything else.
    pub bytes: u64,
    /// What it takes of the disk, in bytes.
    pub allocated: u64,
    /// The folder that it is in, for as long as it is shown.
    pub folder: BorrowedFd<'a>,
    /// The rest of what the file system says of it.
    pub stat: Status,
}

impl Found<'_> {
    /// Opens a regular file for reading. It waits for nothing.
    ///
    /// # Errors
    /// [`Error::Io`], of kind `InvalidInput` where it is no regular file by now.
    pub fn file(&self) -> Result<File> {
        let error = |error| Error::io("open", self.name, error);
        let opened = openat2(self.folder, self.name, FILE, Mode::empty(), INSIDE);
        let file = opened.map_err(error)?;
        let stat = fstat(&file).map_err(error)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(File::from(file)),
            kind => Err(Error::Io {
                doing: "read",
                name: self.name.into(),
                source: not_regular(kind),
            }),
        }
    }
}

/// What a walk does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It goes on, into what was shown where that is a folder.
    Enter,
    /// It goes on, and leaves out what is in the folder that was shown.
    Skip,
    /// It ends.
    Stop,
}

/// The size of a tree. A file with several names counts for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// How many entries it has.
    pub entries: u64,
    /// The lengths of all regular files.
    pub bytes: u64,
    /// What all of it takes of the disk, in bytes.
    pub allocated: u64,
}

/// Measures what is in a folder; the folder itself does not count.
///
/// # Errors
/// As [`walk`].
pub fn measure(folder: &Folder, limits: &Limits) -> Result<Measure> {
    let mut measure = Measure::default();
    walk(folder, limits, &mut |found| {
        measure.entries += 1;
        measure.bytes = measure.bytes.saturating_add(found.bytes);
        measure.allocated = measure.allocated.saturating_add(found.allocated);
        ControlFlow::Continue(())
    })?;
    Ok(measure)
}

/// Shows `visit` everything in a folder, each folder before what is in it, until it breaks.
///
/// A closed folder is opened up for as long as the walk is in it. What vanishes meanwhile is left
/// out, and what is mounted inside is shown but not entered.
///
/// # Errors
/// [`Error::Bound`]; [`Error::Changed`] where a folder that the walk has to come back to was moved;
/// [`Error::Io`].
pub fn walk(
    folder: &Folder,
    limits: &Limits,
    visit: &mut dyn FnMut(&Found<'_>) -> ControlFlow<()>,
) -> Result<()> {
    walk_chosen(folder, limits, &mut |found| match visit(found) {
        ControlFlow::Continue(()) => Step::Enter,
        ControlFlow::Break(()) => Step::Stop,
    })
}

/// The same, where `visit` chooses the folders that are entered.
///
/// # Errors
/// As [`walk`].
pub fn walk_chosen(
    folder: &Folder,
    limits: &Limits,
    visit: &mut dyn FnMut(&Found<'_>) -> Step,
) -> Result<()> {
    let mut budget = Budget::new(limits);
    let name = OsStr::new(".");
    let root = with_access(folder, |folder| openat(folder, c".", FOLDER, Mode::empty()));
    let root = root.map_err(|error| Error::io("open", name, error))?;
    let root = Level::new(root, None).map_err(|error| Error::io("read", name, error))?;
    let mut way = Way(vec![root]);
    while let Some((depth, dir, position)) = way.current()? {
        let entry = match dir.read() {
            Some(Ok(entry)) => entry,
            Some(Err(error)) if error != Errno::NOENT => {
                return Err(Error::io("read", name, error));
            }
            _ => {
                way.up()?;
                continue;
            }
        };
        *position = entry.offset();
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        budget.spend()?;
        budget.depth(depth)?;
        let folder = dir.fd().map_err(|error| Error::io("use", name, error))?;
        let stat = with_access(folder, |folder| {
            statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        });
        let stat = match stat {
            Err(Errno::NOENT) => continue,
            stat => stat.map_err(|error| Error::io("look at", name, error))?,
        };
        let found = found(folder, name, depth, &stat);
        match visit(&found) {
            Step::Stop => return Ok(()),
            Step::Enter if found.kind == FileType::Directory => {}
            Step::Enter | Step::Skip => continue,
        }
        match open_folder(folder, name) {
            Ok((folder, closed)) => way.down(folder, closed, name)?,
            // A mount, or something else in its place by now.
            Err(Errno::XDEV | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(error) => return Err(Error::io("open", name, error)),
        }
    }
    Ok(())
}

fn found<'a>(folder: BorrowedFd<'a>, name: &'a OsStr, depth: usize, stat: &Stat) -> Found<'a> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    let bytes = match kind {
        FileType::RegularFile => u64::try_from(stat.st_size).unwrap_or(0),
        _ => 0,
    };
    // Blocks are of 512 bytes whatever the file system's own are.
    let allocated = allocated(stat);
    Found {
        name,
        kind,
        depth,
        bytes,
        allocated,
        folder,
        stat: Status::new(stat),
    }
}

/// A folder on the way down.
struct Level {
    /// None where so many are open below it that it was closed.
    dir: Option<Dir>,
    id: (u64, u64),
    /// Where to read on.
    position: i64,
    /// The mode that its owner gave it, where the walk changed that.
    closed: Option<Mode>,
}

impl Level {
    fn new(folder: OwnedFd, closed: Option<Mode>) -> Result<Self, Errno> {
        let stat = fstat(&folder)?;
        let id = (stat.st_dev, stat.st_ino);
        // Its owner may list it and not pass through it.
        let closed = match closed {
            None if stat.st_mode & 0o100 == 0 => Some(open_up(folder.as_fd())?),
            closed => closed,
        };
        Ok(Self {
            dir: Some(Dir::new(folder)?),
            id,
            position: 0,
            closed,
        })
    }

    /// Gives the folder its own mode back. One that was closed for want of descriptors meanwhile
    /// keeps the other.
    fn restore(&self) {
        if let (Some(mode), Some(Ok(folder))) = (self.closed, self.dir.as_ref().map(Dir::fd)) {
            // Its owner can do that, too.
            let _ = fchmod(folder, mode);
        }
    }
}

fn identity(folder: BorrowedFd<'_>) -> Result<(u64, u64), Errno> {
    let stat = fstat(folder)?;
    Ok((stat.st_dev, stat.st_ino))
}

struct Way(Vec<Level>);

impl Way {
    /// The depth of what is in the current folder, the folder, and where its position is kept;
    /// none at the end of the walk.
    fn current(&mut self) -> Result<Option<(usize, &mut Dir, &mut i64)>> {
        let depth = self.0.len();
        let Some(level) = self.0.last_mut() else {
            return Ok(None);
        };
        // `up` has opened it again.
        let dir = level.dir.as_mut().ok_or(Error::Changed)?;
        Ok(Some((depth, dir, &mut level.position)))
    }

    fn down(&mut self, folder: OwnedFd, closed: Option<Mode>, name: &OsStr) -> Result<()> {
        let level = Level::new(folder, closed);
        self.0
            .push(level.map_err(|error| Error::io("read", name, error))?);
        // The first one stays open: it costs one descriptor.
        let close = self.0.len().checked_sub(HELD_OPEN + 1);
        if let Some(level) = close.filter(|index| *index > 0) {
            self.0[level].dir = None;
        }
        Ok(())
    }

    fn up(&mut self) -> Result<()> {
        let Some(left) = self.0.pop() else {
            return Ok(());
        };
        if let (Some(level), Some(Ok(left))) = (self.0.last_mut(), left.dir.as_ref().map(Dir::fd))
            && level.dir.is_none()
        {
            let dir = back(left, level).map_err(|_| Error::Changed)?;
            level.dir = Some(dir.ok_or(Error::Changed)?);
        }
        left.restore();
        Ok(())
    }
}

/// Opens the folder above, if it is still the one that was left.
fn back(from: BorrowedFd<'_>, to: &Level) -> Result<Option<Dir>, Errno> {
    let open = |from: BorrowedFd<'_>| openat(from, c"..", FOLDER, Mode::empty());
    let folder = match open(from) {
        Err(Errno::ACCESS) => {
            open_up(from)?;
            open(from)?
        }
        opened => opened?,
    };
    if identity(folder.as_fd())? != to.id {
        return Ok(None);
    }
    let mut dir = Dir::new(folder)?;
    dir.seek(to.position)?;
    Ok(Some(dir))
}

impl Drop for Way {
    fn drop(&mut self) {
        for level in &self.0 {
            level.restore();
        }
    }
}
