//! Which files a copy was made of, so that the next copy of the same tree knows them again.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Write as _};

use crate::status::Status;

/// A file at its path, as it was: nobody sets the time when a file was last changed at will.
pub(super) fn identity(path: u64, status: &Status) -> u64 {
    let mut hash = DefaultHasher::new();
    (
        path,
        status.device,
        status.inode,
        status.changed,
        status.size,
    )
        .hash(&mut hash);
    hash.finish()
}

/// The files that a copy was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known(Vec<u64>);

impl Known {
    pub(super) fn add(&mut self, identity: u64) {
        self.0.push(identity);
    }

    /// Once all are there.
    pub(super) fn seal(&mut self) {
        self.0.sort_unstable();
        self.0.dedup();
    }

    pub(super) fn has(&self, identity: u64) -> bool {
        self.0.binary_search(&identity).is_ok()
    }

    /// Writes it to a file.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write(&self, to: impl io::Write) -> io::Result<()> {
        let mut to = io::BufWriter::new(to);
        for identity in &self.0 {
            to.write_all(&identity.to_le_bytes())?;
        }
        to.flush()
    }

    /// Reads what was written. What is left of a torn file is good for nothing but less sharing.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let mut known = Self(words.iter().map(|word| u64::from_le_bytes(*word)).collect());
        known.seal();
        known
    }
}
