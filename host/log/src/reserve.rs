//! Disk space kept back so that the end of a turn can be recorded on a full disk.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::FallocateFlags;

const NAME: &str = "reserve";
/// Enough for a few small records with the file system's own needs.
const STEP: u64 = 16 << 10;
/// Two: one for the supervisor's last record, one for the host's after it.
const SIZE: u64 = 2 * STEP;

/// The reserve's file. Without one the log works as before, only not on a full disk.
#[derive(Debug)]
pub(crate) struct Reserve(Option<File>);

impl Reserve {
    /// Fills the reserve up as far as there is room.
    pub fn open(dir: &Path) -> Self {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join(NAME))
            .ok();
        if let Some(file) = &file {
            // Best effort: on a full disk what is left of it stays as it is.
            let _ = rustix::fs::fallocate(file, FallocateFlags::empty(), 0, SIZE);
        }
        Self(file)
    }

    /// Frees one part; false when there is nothing left to free.
    pub fn release(&self) -> bool {
        let Some(file) = &self.0 else { return false };
        let Ok(size) = file.metadata().map(|meta| meta.len()) else {
            return false;
        };
        size > 0 && file.set_len(size.saturating_sub(STEP)).is_ok()
    }
}
