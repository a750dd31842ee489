//! What folders hold together, bounded by the kernel: project quotas of ext4 and XFS.
//!
//! A folder can have a project, a number that is handed down to all that is made in it. The file
//! system counts what each project holds and refuses more than its limit at once (`EDQUOT`),
//! whoever writes and whatever has been deleted and is still open. Nothing in a sandbox changes a
//! file's project: the kernel allows that only in the first user namespace.
//!
//! The project of a session's home is the record of it; nothing else is kept. A limit outlives the
//! folders that it was for, until it is [forgotten](forget).

use std::ffi::{c_int, c_uint, c_void};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::ioctl::{Getter, Opcode, Setter, ioctl, opcode};

/// Numbers from here on are for sessions: what operators number by hand is far below.
const FIRST: u32 = 1 << 30;
/// So many numbers are tried until one is free.
const ATTEMPTS: u32 = 1_000;
/// How much more a command may write where the limit is as good as reached: a CLI that is to clear
/// up writes a log of it.
const SLACK: u64 = 16 << 20;

/// `struct fsxattr` of `linux/fs.h`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    padding: [u8; 8],
}

const GET: Opcode = opcode::read::<Attributes>(b'X', 31);
const SET: Opcode = opcode::write::<Attributes>(b'X', 32);
/// `FS_XFLAG_PROJINHERIT`: what is made in the folder gets its project.
const INHERIT: u32 = 0x200;

/// `struct if_dqblk` of `linux/quota.h`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct Quota {
    /// In units of a KiB.
    hard_limit: u64,
    soft_limit: u64,
    /// In bytes.
    used: u64,
    inode_hard_limit: u64,
    inode_soft_limit: u64,
    inodes: u64,
    block_time: u64,
    inode_time: u64,
    valid: u32,
}

const PROJECTS: u32 = 2;
const Q_GETQUOTA: u32 = 0x80_0007;
const Q_SETQUOTA: u32 = 0x80_0008;
/// `QIF_BLIMITS`: only the limits of what is stored are set.
const BLOCK_LIMITS: u32 = 1;
const Q_XGETQSTAT: u32 = ((b'X' as u32) << 8) + 5;
/// `FS_QUOTA_PDQ_ENFD`: limits of projects hold.
const ENFORCED: u16 = 1 << 5;

/// `struct fs_quota_stat` of `linux/dqblk_xfs.h`, as far as it is of interest here.
#[repr(C)]
struct Statistics {
    version: i8,
    flags: u16,
    rest: [u64; 16],
}

/// Whether the file system of `folder` holds limits of projects, and this process may set them.
///
/// # Errors
/// Why not, in words for an operator.
pub fn check(folder: &Path) -> Result<(), String> {
    let folder = open(folder).map_err(|error| error.to_string())?;
    if !is_enforced(&folder) {
        return Err(
            "its file system holds no limits of projects (ext4: `tune2fs -O project,quota` and \
             the mount option `prjquota`; XFS: `prjquota`)"
                .to_owned(),
        );
    }
    // Asking takes the same right as setting.
    match quota(&folder, FIRST) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "its file system holds limits of projects, but the server may not set them: {error}; \
             that takes root (CAP_SYS_ADMIN)"
        )),
    }
}

/// Has the kernel count what will be in these folders, which are empty, together and apart from all
/// else. Where they have a project, or their file system has none, nothing changes.
///
/// # Errors
/// Where it could have been and was not; then [`crate::Limits::disk_bytes`] is polled.
pub fn count_together(folders: &[&Path]) -> io::Result<()> {
    let opened = folders.iter().map(|folder| open(folder));
    let opened = opened.collect::<io::Result<Vec<File>>>()?;
    let Some(first) = opened.first().filter(|first| is_enforced(first)) else {
        return Ok(());
    };
    let number = match opened.iter().find_map(project) {
        // An earlier process has begun.
        Some(number) => number,
        None => match free_number(first) {
            Ok(number) => number,
            // An ordinary user's server: `check` says so.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            Err(error) => return Err(error),
        },
    };
    for (path, folder) in folders.iter().zip(&opened) {
        join(path, folder, number)?;
    }
    Ok(())
}

/// The number under which what is in a folder is counted, if it is.
#[must_use]
pub fn number(folder: &Path) -> Option<u32> {
    project(&open(folder).ok()?)
}

/// Takes the limit away that a session's folders had: what is still in them is about to go.
///
/// # Errors
/// Where there was one and it stays.
pub fn forget(folder: &Path) -> io::Result<()> {
    let opened = match open(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    match project(&opened) {
        Some(number) if number >= FIRST => limit(&opened, number, 0),
        _ => Ok(()),
    }
}

/// Bounds what these folders hold together to `most` bytes, or not at all where that is none. They
/// may always hold a little more than they do: somebody has to be able to clear up. False where the
/// kernel does not do that, for whatever reason.
pub(crate) fn bound(folders: [&Path; 2], most: Option<u64>) -> bool {
    let [Ok(first), Ok(second)] = folders.map(open) else {
        return false;
    };
    let Some(number) = project(&first).filter(|number| Some(*number) == project(&second)) else {
        return false;
    };
    if !is_enforced(&first) {
        return false;
    }
    let set = quota(&first, number).and_then(|quota| {
        let most = most.map_or(0, |most| most.max(quota.used.saturating_add(SLACK)));
        limit(&first, number, most)
    });
    set.is_ok()
}

fn open(folder: &Path) -> io::Result<File> {
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags).open(folder)
}

fn is_enforced(folder: &File) -> bool {
    let mut statistics = Statistics {
        version: 0,
        flags: 0,
        rest: [0; 16],
    };
    let asked = quotactl(folder, Q_XGETQSTAT, 0, &mut statistics);
    asked.is_ok() && statistics.flags & ENFORCED != 0
}

/// A number that nothing has and that has no limit.
fn free_number(folder: &File) -> io::Result<u32> {
    // No other folder of the file system has the same inode.
    let inode = folder.metadata()?.ino();
    let below = u64::from(FIRST) - 1;
    for attempt in 0..u64::from(ATTEMPTS) {
        let number = FIRST | u32::try_from(inode.wrapping_add(attempt) & below).unwrap_or(0);
        let quota = quota(folder, number)?;
        if quota.inodes == 0 && quota.used == 0 && quota.hard_limit == 0 {
            return Ok(number);
        }
    }
    Err(io::Error::other("no number of a project is free"))
}

/// Gives an empty folder a project, unless it has one.
fn join(path: &Path, folder: &File, number: u32) -> io::Result<()> {
    if project(folder).is_some() {
        return Ok(());
    }
    if std::fs::read_dir(path)?.next().is_some() {
        // What is there would not be counted.
        return Err(io::ErrorKind::DirectoryNotEmpty.into());
    }
    let mut attributes = attributes(folder)?;
    attributes.project = number;
    attributes.flags |= INHERIT;
    // SAFETY: the kernel reads a `struct fsxattr` there.
    unsafe { ioctl(folder, Setter::<SET, Attributes>::new(attributes)) }?;
    Ok(())
}

/// The project that is handed down to what is made in a folder.
fn project(folder: &File) -> Option<u32> {
    let attributes = attributes(folder).ok()?;
    (attributes.flags & INHERIT != 0 && attributes.project != 0).then_some(attributes.project)
}

fn attributes(folder: &File) -> io::Result<Attributes> {
    // SAFETY: the kernel writes a `struct fsxattr` there.
    Ok(unsafe { ioctl(folder, Getter::<GET, Attributes>::new()) }?)
}

fn quota(folder: &File, number: u32) -> io::Result<Quota> {
    let mut quota = Quota::default();
    match quotactl(folder, Q_GETQUOTA, number, &mut quota) {
        // XFS knows nothing of a number that was never used.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Quota::default()),
        asked => asked.map(|()| quota),
    }
}

/// Sets a project's limit in bytes; 0: none.
fn limit(folder: &File, number: u32, most: u64) -> io::Result<()> {
    let mut quota = Quota {
        hard_limit: most.div_ceil(1024),
        valid: BLOCK_LIMITS,
        ..Quota::default()
    };
    quotactl(folder, Q_SETQUOTA, number, &mut quota)
}

/// `quotactl_fd(2)`, since Linux 5.14, for the file system of a folder.
fn quotactl<T>(folder: &File, command: u32, number: u32, data: &mut T) -> io::Result<()> {
    let command: c_uint = command << 8 | PROJECTS;
    let data: *mut c_void = std::ptr::from_mut(data).cast();
    let number = number as c_int;
    // SAFETY: each caller passes what its command reads or writes there.
    let asked = unsafe {
        libc::syscall(
            libc::SYS_quotactl_fd,
            folder.as_raw_fd(),
            command,
            number,
            data,
        )
    };
    match asked {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
