//! Disk space kept back for what must be committed on a full disk: the ends of turns.
//!
//! Whoever filled the disk would take what is given back at once, so it is given back only for an
//! operation that ends somebody's writing.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

/// Enough for a good number of ends, each a few pages in the write-ahead log.
const SIZE: u64 = 2 << 20;

/// The reserve's file, beside the database.
#[derive(Debug)]
pub(crate) struct Reserve(PathBuf);

impl Reserve {
    /// Fills the reserve as far as there is room; without one the store works as before, only
    /// not on a full disk.
    pub(crate) fn beside(database: &Path) -> Self {
        let mut name = database.as_os_str().to_owned();
        name.push("-reserve");
        let reserve = Self(name.into());
        reserve.refill();
        reserve
    }

    /// Gives the space back to the disk; false when there was none to give.
    pub(crate) fn release(&self) -> bool {
        let held = self.file().and_then(|file| {
            let held = file.metadata()?.len();
            file.set_len(0)?;
            Ok(held)
        });
        held.is_ok_and(|held| held > 0)
    }

    /// Takes the space again, if there is room by now.
    pub(crate) fn refill(&self) {
        let filled = self.file().map(|file| {
            let filled = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, SIZE);
            // Half a reserve would only keep space from those who need it now.
            filled.or_else(|_| file.set_len(0))
        });
        if let Err(error) = filled {
            tracing::debug!(%error, "no reserve for a full disk");
        }
    }

    fn file(&self) -> std::io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.0)
    }
}
