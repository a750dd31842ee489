//! Copies of trees that an agent shapes, as cheap as the file system lets them be.
//!
//! A file's content is shared where the file system can (`FICLONE`), and copied otherwise, with its
//! holes left out. Where an earlier copy of the same tree is at hand, a file that has not changed
//! since becomes another name of the one that is there: the copies are read-only by convention, so
//! that each costs what has changed. Where it is asked for, content that is not shared is compressed.

mod attributes;
mod content;
mod known;
mod packed;
mod trail;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, fchmod, fstat, linkat,
    mknodat, openat, openat2, statat, symlinkat, utimensat,
};
use rustix::io::Errno;

use crate::access::{FILE, INSIDE};
use crate::beneath::link_target;
use crate::error::{Bound, Error, Result};
use crate::folder::Folder;
use crate::limits::Limits;
use crate::status::Status;
use crate::walk::{Found, Step, walk_chosen};

use self::content::{Content, Written};
pub use self::known::Known;
pub use self::packed::Unpacked;
pub(crate) use self::packed::{MARK, is_packed};
use self::trail::Trail;

/// A file that was changed so shortly before it was copied may change again without another time,
/// as clocks of file systems are coarse: it is not taken for known the next time.
const COARSE: Duration = Duration::from_secs(1);

/// How often a file is copied that is written to meanwhile.
const ATTEMPTS: u32 = 3;

/// How a tree is copied.
pub struct Copy<'a> {
    /// Bounds on the walk.
    pub limits: Limits,
    /// The most bytes that may be written.
    pub bytes: u64,
    /// A folder on the same file system for the time of the copy, where files with several names
    /// are kept; trees that are copied with the same one keep the names that they share.
    pub names: &'a Folder,
    /// Earlier copies of the tree, those first that are looked at first.
    pub earlier: &'a [Earlier<'a>],
    /// Whether content is compressed that the file system cannot share: the copy is then to be read as
    /// one ([`Folder::open_copy`]).
    pub compress: bool,
    /// What has this name is left out, with all that is in it.
    pub without: Option<&'a OsStr>,
    /// Asked now and then whether to go on.
    pub wanted: &'a dyn Fn() -> bool,
}

/// An earlier copy of a tree, and what it was made of.
#[derive(Clone, Copy, Debug)]
pub struct Earlier<'a> {
    /// The copy, or as much of it as there is.
    pub tree: &'a Folder,
    /// Which files it was made of.
    pub known: &'a Known,
    /// Whether it goes on to be there, so that what is shared with it takes nothing of the disk.
    pub stays: bool,
}

impl std::fmt::Debug for Copy<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Copy").finish_non_exhaustive()
    }
}

/// What a copy has come to.
#[derive(Clone, Debug, Default)]
pub struct Copied {
    /// How many entries the tree has.
    pub entries: u64,
    /// What the whole copy takes of the disk, in bytes.
    pub bytes: u64,
    /// Of these, what is not shared with an earlier copy.
    pub new_bytes: u64,
    /// Sockets and devices, which are left out.
    pub left_out: u64,
    /// Stands for what the tree was: a walk that finds the same has the same.
    pub state: TreeState,
    /// Which files it was made of.
    pub known: Known,
}

/// A short form of what a tree is: the same for a tree in which nothing has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeState(u64);

impl TreeState {
    fn add(&mut self, found: &Found<'_>) {
        let mut hash = DefaultHasher::new();
        let stat = &found.stat;
        (self.0, found.depth, found.name.as_bytes(), stat.inode).hash(&mut hash);
        match stat.kind {
            // Looking into what is closed changes when it was changed.
            FileType::Directory => stat.modified.hash(&mut hash),
            FileType::RegularFile if stat.mode & 0o400 == 0 => {
                (stat.modified, stat.size).hash(&mut hash);
            }
            _ => (stat.changed, stat.size, stat.mode).hash(&mut hash),
        }
        self.0 = hash.finish();
    }

    /// Looks at a tree.
    ///
    /// # Errors
    /// As [`walk`](crate::walk()); [`Error::Unwanted`].
    pub fn of(folder: &Folder, limits: &Limits, wanted: &dyn Fn() -> bool) -> Result<Self> {
        let mut state = Self::default();
        let mut is_wanted = true;
        walk_chosen(folder, limits, &mut |found| {
            is_wanted = wanted();
            state.add(found);
            match is_wanted {
                true => Step::Enter,
                false => Step::Stop,
            }
        })?;
        match is_wanted {
            true => Ok(state),
            false => Err(Error::Unwanted),
        }
    }
}

/// Copies what is in a folder into another one, which is empty and nobody else's: files, folders,
/// symbolic links and FIFOs, with their permissions and times, extended attributes of files and folders
/// where both file systems have them, and files with several names as one.
/// What vanishes meanwhile is left out, and so are sockets and devices. What is compressed in `from`
/// is not in the new copy, where `from` was opened as one.
///
/// # Errors
/// As [`walk`](crate::walk()); [`Error::Bound`] where more would be written than may be;
/// [`Error::Unwanted`].
pub fn copy(from: &Folder, to: &Folder, how: &Copy<'_>) -> Result<Copied> {
    let mut copied = Copied::default();
    copy_into(from, to, how, &mut copied).map(|()| copied)
}

/// The same, which says what it has come to also where it ends before its time: what is there then is
/// an [`Earlier`] copy for the next one.
///
/// # Errors
/// As [`copy()`].
pub fn copy_into(from: &Folder, to: &Folder, how: &Copy<'_>, copied: &mut Copied) -> Result<()> {
    let earlier = how.earlier.iter().map(Shared::new);
    let mut work = Work {
        how,
        to: Trail::new(to)?,
        earlier: earlier.collect::<Result<_>>()?,
        paths: vec![0],
        folders: Vec::new(),
        names: HashSet::new(),
        can_clone: true,
        unpacks: from.is_copy(),
        settled: SystemTime::now() - COARSE,
        copied,
    };
    let mut failed = Ok(());
    let walked = walk_chosen(from, &how.limits, &mut |found| match work.take(found) {
        Ok(step) => step,
        Err(error) => {
            failed = Err(error);
            Step::Stop
        }
    });
    let left = failed.and(walked).and_then(|()| work.leave(1));
    copied.known.seal();
    left
}

/// An earlier copy, beside the walk.
struct Shared<'a> {
    trail: Trail,
    earlier: &'a Earlier<'a>,
}

impl<'a> Shared<'a> {
    fn new(earlier: &'a Earlier<'a>) -> Result<Self> {
        Ok(Self {
            trail: Trail::new(earlier.tree)?,
            earlier,
        })
    }

    /// Gives a file of the copy another name, where that is the same; says what it takes of the disk.
    fn give(&self, found: &Found<'_>, identity: u64, to: BorrowedFd<'_>) -> Option<u64> {
        if !self.earlier.known.has(identity) {
            return None;
        }
        let there = self.trail.there()?;
        let stat = statat(there, found.name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let taken = allocated(&stat);
        let stat = Status::new(&stat);
        let is_same = stat.kind == FileType::RegularFile
            && (stat.size, stat.mode, stat.modified)
                == (found.stat.size, found.stat.mode, found.stat.modified);
        if !is_same {
            return None;
        }
        let linked = linkat(there, found.name, to, found.name, AtFlags::empty());
        linked.ok().map(|()| taken)
    }
}

struct Work<'a> {
    how: &'a Copy<'a>,
    to: Trail,
    earlier: Vec<Shared<'a>>,
    /// Hashes of the paths of the folders that the copy is in.
    paths: Vec<u64>,
    /// What the folders that the copy is in are to be in the end.
    folders: Vec<Status>,
    /// Files with several names that were copied: by device and number.
    names: HashSet<(u64, u64)>,
    can_clone: bool,
    /// Whether what is copied is a copy, which may have packed files.
    unpacks: bool,
    /// What was changed before this is settled.
    settled: SystemTime,
    copied: &'a mut Copied,
}

impl Work<'_> {
    fn take(&mut self, found: &Found<'_>) -> Result<Step> {
        if !(self.how.wanted)() {
            return Err(Error::Unwanted);
        }
        self.leave(found.depth)?;
        if self.how.without == Some(found.name) {
            return Ok(Step::Skip);
        }
        self.copied.state.add(found);
        self.copied.entries += 1;
        match found.kind {
            FileType::Directory => self.folder(found)?,
            FileType::RegularFile => self.file(found)?,
            FileType::Symlink => self.link(found)?,
            FileType::Fifo => self.fifo(found)?,
            _ => self.copied.left_out += 1,
        }
        Ok(Step::Enter)
    }

    /// Comes back up to where the entries of a depth are.
    fn leave(&mut self, depth: usize) -> Result<()> {
        while self.folders.len() >= depth {
            let Some(status) = self.folders.pop() else {
                break;
            };
            self.paths.pop();
            for earlier in &mut self.earlier {
                earlier.trail.up()?;
            }
            let folder = self.to.up()?.ok_or(Error::Changed)?;
            let error = |error| Error::io("write", OsStr::new("."), error);
            rustix::fs::futimens(&folder, &times(&status)).map_err(error)?;
            fchmod(&folder, Mode::from_raw_mode(status.mode)).map_err(error)?;
        }
        Ok(())
    }

    fn path(&self, name: &OsStr) -> u64 {
        let mut hash = DefaultHasher::new();
        (self.paths.last(), name.as_bytes()).hash(&mut hash);
        hash.finish()
    }

    fn folder(&mut self, found: &Found<'_>) -> Result<()> {
        self.paths.push(self.path(found.name));
        self.folders.push(found.stat);
        self.count(found.allocated, true);
        self.to.make(found.name)?;
        attributes::of_folder(found.folder, found.name, self.to.current()?);
        for earlier in &mut self.earlier {
            earlier.trail.down(found.name)?;
        }
        Ok(())
    }

    fn link(&mut self, found: &Found<'_>) -> Result<()> {
        let Some(target) = link_target(found.folder, found.name) else {
            return Ok(());
        };
        let to = self.to.current()?;
        let error = |error| Error::io("write", found.name, error);
        symlinkat(&target, to, found.name).map_err(error)?;
        self.set_times(found)
    }

    fn fifo(&mut self, found: &Found<'_>) -> Result<()> {
        let to = self.to.current()?;
        let mode = Mode::from_raw_mode(found.stat.mode);
        let made = mknodat(to, found.name, FileType::Fifo, mode, 0);
        made.map_err(|error| Error::io("write", found.name, error))?;
        self.set_times(found)
    }

    fn set_times(&self, found: &Found<'_>) -> Result<()> {
        let to = self.to.current()?;
        let set = utimensat(
            to,
            found.name,
            &times(&found.stat),
            AtFlags::SYMLINK_NOFOLLOW,
        );
        set.map_err(|error| Error::io("write", found.name, error))
    }

    fn count(&mut self, bytes: u64, is_new: bool) {
        self.copied.bytes = self.copied.bytes.saturating_add(bytes);
        if is_new {
            self.copied.new_bytes = self.copied.new_bytes.saturating_add(bytes);
        }
    }

    fn file(&mut self, found: &Found<'_>) -> Result<()> {
        let key = (found.stat.device, found.stat.inode);
        let kept = format!("{:x}-{:x}", key.0, key.1);
        let has_names = found.stat.links > 1;
        if has_names && self.names.contains(&key) {
            let (names, to) = (self.how.names, self.to.current()?);
            let linked = linkat(names, &*kept, to, found.name, AtFlags::empty());
            return linked.map_err(|error| Error::io("write", found.name, error));
        }
        if !self.again(found)? && !self.content(found)? {
            return Ok(());
        }
        if has_names {
            let (names, to) = (self.how.names, self.to.current()?);
            match linkat(to, found.name, names, &*kept, AtFlags::empty()) {
                // By the copy of another tree.
                Ok(()) | Err(Errno::EXIST) => {}
                // A file has only so many names: its others become files of their own.
                Err(Errno::MLINK) => return Ok(()),
                Err(error) => return Err(Error::io("write", found.name, error)),
            }
            self.names.insert(key);
        }
        Ok(())
    }

    /// Gives a file of an earlier copy another name, where that is the same.
    fn again(&mut self, found: &Found<'_>) -> Result<bool> {
        let identity = known::identity(self.path(found.name), &found.stat);
        let to = self.to.current()?;
        let mut each = self.earlier.iter();
        let given = each.find_map(|shared| {
            let taken = shared.give(found, identity, to)?;
            Some((taken, shared.earlier.stays))
        });
        let Some((taken, stays)) = given else {
            return Ok(false);
        };
        self.copied.known.add(identity);
        self.count(taken, !stays);
        Ok(true)
    }

    /// Copies a file; says whether it was there.
    fn content(&mut self, found: &Found<'_>) -> Result<bool> {
        let Some(file) = open(found)? else {
            return Ok(false);
        };
        let to = self.to.current()?;
        let error = |error| Error::io("write", found.name, error);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let made = openat(to, found.name, flags, Mode::RUSR | Mode::WUSR).map_err(error)?;
        let mut content = Content {
            name: found.name,
            from: file,
            to: made.into(),
            can_clone: self.can_clone,
            unpacks: false,
            packs: self.how.compress,
            is_new: true,
            room: self.how.bytes.saturating_sub(self.copied.new_bytes),
            wanted: self.how.wanted,
        };
        let look = |file: &std::fs::File| {
            fstat(file).map_err(|error| Error::io("look at", found.name, error))
        };
        let stat = look(&content.from)?;
        content.unpacks = self.unpacks && is_packed(&stat);
        let mut status = Status::new(&stat);
        let mut written = Written::default();
        let mut is_settled = false;
        for _ in 0..ATTEMPTS {
            written = match content.copy(status.size) {
                Err(Error::Bound(Bound::Total(_))) => {
                    return Err(Error::Bound(Bound::Total(self.how.bytes)));
                }
                written => written?,
            };
            let after = Status::new(&look(&content.from)?);
            is_settled = after == status;
            status = after;
            if is_settled {
                break;
            }
        }
        self.can_clone = content.can_clone;
        attributes::copy(&content.from, &content.to);
        rustix::fs::futimens(&content.to, &times(&status)).map_err(error)?;
        let mark = if written.is_packed { MARK } else { 0 };
        fchmod(&content.to, Mode::from_raw_mode(status.mode | mark)).map_err(error)?;
        self.count(written.bytes, true);
        if is_settled && status.changed_at() < self.settled {
            let identity = known::identity(self.path(found.name), &status);
            self.copied.known.add(identity);
        }
        Ok(true)
    }
}

/// What a file takes of the disk, in bytes.
pub(crate) fn allocated(stat: &rustix::fs::Stat) -> u64 {
    u64::try_from(stat.st_blocks).map_or(0, |blocks| blocks.saturating_mul(512))
}

/// Opens a file for reading, also one that its owner closed; none where it is gone, or something
/// else by now.
fn open(found: &Found<'_>) -> Result<Option<std::fs::File>> {
    let is_gone = |error: &Error| match error {
        Error::Io { source, .. } => {
            use std::io::ErrorKind::{InvalidInput, NotFound};
            let code = source.raw_os_error();
            // A link, or a socket.
            let another = [Errno::LOOP, Errno::NXIO].map(|errno| Some(errno.raw_os_error()));
            matches!(source.kind(), NotFound | InvalidInput) || another.contains(&code)
        }
        _ => false,
    };
    match found.file() {
        Ok(file) => return Ok(Some(file)),
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) if error.kind() == Some(std::io::ErrorKind::PermissionDenied) => {}
        Err(error) => return Err(error),
    }
    let error = |error| Error::io("open", found.name, error);
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let closed = match openat2(found.folder, found.name, flags, Mode::empty(), INSIDE) {
        Err(Errno::NOENT) => return Ok(None),
        closed => closed.map_err(error)?,
    };
    let stat = fstat(&closed).map_err(error)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let mode = Mode::from_raw_mode(stat.st_mode);
    // The link in `/proc` leads to this very file, wherever it is by now.
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&closed));
    rustix::fs::chmod(&link, mode | Mode::RUSR).map_err(error)?;
    let opened = openat(CWD, &link, FILE.difference(OFlags::NOFOLLOW), Mode::empty());
    rustix::fs::chmod(&link, mode).map_err(error)?;
    Ok(Some(opened.map_err(error)?.into()))
}

/// The times that a copy is given.
fn times(status: &Status) -> Timestamps {
    let nanos = |duration: Duration| i64::from(duration.subsec_nanos());
    let (tv_sec, tv_nsec) = match status.modified.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => (i64::try_from(since.as_secs()).unwrap_or(0), nanos(since)),
        // Before 1970: seconds count down, and nanoseconds always up.
        Err(before) => {
            let before = before.duration();
            let seconds = -i64::try_from(before.as_secs()).unwrap_or(0);
            match nanos(before) {
                0 => (seconds, 0),
                nanos => (seconds - 1, 1_000_000_000 - nanos),
            }
        }
    };
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec { tv_sec, tv_nsec },
    }
}
