//! What the file system says of an entry.

use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, Stat};

use crate::copy::MARK;

/// What the file system says of an entry, its name apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// What it is.
    pub kind: FileType,
    /// Its length, for a regular file or a link.
    pub size: u64,
    /// Its permissions, `0o7777` at most; without the sticky bit where that means nothing, which is for
    /// files.
    pub mode: u32,
    /// When its content was changed last, as whoever wrote it wants it to be known.
    pub modified: SystemTime,
    /// When anything about it was changed last, in nanoseconds. Nobody sets this at will.
    pub changed: i128,
    /// Its number in the file system.
    pub inode: u64,
    /// The file system that it is on.
    pub device: u64,
    /// How many names it has.
    pub links: u64,
}

impl Status {
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_fallible_conversions,
        reason = "the widths of these fields differ between machines"
    )]
    pub(crate) fn new(stat: &Stat) -> Self {
        let nanos = |nanos: i128| i128::clamp(nanos, 0, 999_999_999);
        let kind = FileType::from_raw_mode(stat.st_mode);
        let left_out = match kind {
            FileType::RegularFile => MARK,
            _ => 0,
        };
        Self {
            kind,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mode: stat.st_mode & 0o7777 & !left_out,
            modified: moment(
                stat.st_mtime.into(),
                u32::try_from(nanos(i128::from(stat.st_mtime_nsec))).unwrap_or(0),
            ),
            changed: i128::from(stat.st_ctime) * 1_000_000_000
                + nanos(i128::from(stat.st_ctime_nsec)),
            inode: stat.st_ino,
            device: stat.st_dev,
            links: u64::try_from(stat.st_nlink).unwrap_or(u64::MAX),
        }
    }

    /// When anything about it was changed last.
    pub(crate) fn changed_at(&self) -> SystemTime {
        let nanos = self.changed.rem_euclid(1_000_000_000);
        let seconds = self.changed.div_euclid(1_000_000_000);
        moment(
            i64::try_from(seconds).unwrap_or(0),
            u32::try_from(nanos).unwrap_or(0),
        )
    }
}

/// A moment before or after 1970. What a clock cannot say is 1970.
fn moment(seconds: i64, nanos: u32) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let at = match seconds >= 0 {
        true => SystemTime::UNIX_EPOCH.checked_add(whole),
        false => SystemTime::UNIX_EPOCH.checked_sub(whole),
    };
    at.and_then(|at| at.checked_add(Duration::from_nanos(nanos.into())))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
