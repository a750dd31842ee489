//! One server owns a data folder, for as long as its process lives.
//!
//! Commands that work on the folder beside a server need no ownership: what they change is guarded
//! by the database's locks and the vault's.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aod_resources::Timestamp;
use thiserror::Error;

const NAME: &str = "server.lock";

/// How long the lock of a process that has just been killed may take to go: a child that it was
/// about to start may hold it for a moment.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a server says of itself is a few short lines.
const LONGEST: u64 = 1 << 10;

/// The ownership of a data folder; it ends with this, or with the process.
#[derive(Debug)]
pub(crate) struct Owner {
    file: File,
    about: About,
}

/// Why a data folder cannot be owned.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OwnerError {
    /// Another server has it.
    #[error(
        "the data folder {} is in use by another server: {other}; stop that one first, or give \
         this one another folder with --data", folder.display()
    )]
    Taken {
        /// The data folder.
        folder: PathBuf,
        /// What the other one says of itself.
        other: String,
    },
    /// The lock cannot be had at all.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The lock's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a server says of itself to those who come later.
#[derive(Clone, Debug)]
struct About {
    since: Timestamp,
    listen: Option<SocketAddr>,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}, since {}", std::process::id(), self.since)?;
        match self.listen {
            Some(address) => write!(f, ", listening on http://{address}"),
            None => write!(f, ", about to listen"),
        }
    }
}

impl Owner {
    /// Takes a data folder.
    pub(crate) fn take(folder: &Path) -> Result<Self, OwnerError> {
        let path = folder.join(NAME);
        let failed = |source| OwnerError::Io {
            path: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(&path)
            .map_err(failed)?;
        let until = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    // Nothing announces the end of a process that is not a child.
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => {
                    let text = aod_trees::read_regular(&path, LONGEST).unwrap_or_default();
                    let other = String::from_utf8_lossy(&text).trim().to_owned();
                    return Err(OwnerError::Taken {
                        folder: folder.to_owned(),
                        other: match other.is_empty() {
                            true => "it does not say which".to_owned(),
                            false => other,
                        },
                    });
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
        let mut owner = Self {
            file,
            about: About {
                since: Timestamp::now(),
                listen: None,
            },
        };
        owner.write().map_err(failed)?;
        Ok(owner)
    }

    /// Tells those who come later where this server listens.
    pub(crate) fn listens_on(&mut self, address: SocketAddr) -> io::Result<()> {
        self.about.listen = Some(address);
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(format!("{}\n", self.about).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Owner::take(folder.path()).unwrap();
        let address = "127.0.0.1:8777".parse().unwrap();
        first.listens_on(address).unwrap();
        let error = Owner::take(folder.path()).unwrap_err().to_string();
        let pid = std::process::id().to_string();
        for part in [&*pid, "127.0.0.1:8777", "since 20"] {
            assert!(error.contains(part), "{part:?} is not in {error:?}");
        }
        drop(first);
        Owner::take(folder.path()).unwrap();
    }
}
