//! Retention: whole segments are deleted, oldest first.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::{Error, Result, segment};

/// What may be deleted. The newest segment always stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PurgePolicy {
    /// Delete while the log has more bytes than this.
    pub max_bytes: Option<u64>,
    /// Delete segments last written longer ago than this.
    pub max_age: Option<Duration>,
    /// Never delete this number or one after it: a running turn's beginning, say.
    pub keep_from: Option<u64>,
}

/// What a purge did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// How many segments were deleted.
    pub segments: u32,
    /// How many bytes they had.
    pub bytes: u64,
    /// The number with which the oldest surviving segment begins; none where there is no log.
    pub first_id: Option<u64>,
}

/// Deletes what `policy` allows as of `now`. Needs no lock: writers append to the newest segment,
/// which stays, and readers keep what they have open.
///
/// # Errors
/// [`Error::Io`] where a file cannot be looked at or removed.
pub fn purge(dir: &Path, policy: &PurgePolicy, now: SystemTime) -> Result<Purged> {
    let mut segments = Vec::new();
    for first_id in segment::list(dir)? {
        let path = segment::path(dir, first_id);
        match fs::metadata(&path) {
            Ok(meta) => segments.push((first_id, path, meta)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("inspect", &path)(error)),
        }
    }
    let mut total: u64 = segments.iter().map(|(_, _, meta)| meta.len()).sum();
    let mut purged = Purged {
        first_id: segments.first().map(|(first_id, ..)| *first_id),
        ..Purged::default()
    };
    for pair in segments.windows(2) {
        let [(first_id, path, meta), (next_id, ..)] = pair else {
            break;
        };
        let is_kept = policy.keep_from.is_some_and(|keep| *next_id > keep);
        let is_over = policy.max_bytes.is_some_and(|max| total > max);
        let age = meta
            .modified()
            .ok()
            .and_then(|at| now.duration_since(at).ok());
        let is_old = matches!((policy.max_age, age), (Some(max), Some(age)) if age > max);
        if is_kept || !(is_over || is_old) {
            break;
        }
        // The index first: a segment without one still reads.
        for path in [&segment::index_path(dir, *first_id), path] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", path)(error));
                }
                _ => {}
            }
        }
        total -= meta.len();
        purged.segments += 1;
        purged.bytes += meta.len();
        purged.first_id = Some(*next_id);
    }
    Ok(purged)
}
