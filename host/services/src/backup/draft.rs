//! A backup that is not whole yet.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::content::{io_error, is_free, make, private_folder};
use super::{BackupError, MANIFEST, Manifest, SUMS, remove};

/// Locked for as long as a backup is being taken; what has it is no backup.
const LOCK: &str = "being-taken";

/// A folder beside the one that the backup is to be.
pub(super) struct Draft {
    target: PathBuf,
    path: PathBuf,
    /// Locked until this is dropped.
    lock: File,
}

impl Draft {
    /// Begins anew, also where an earlier try was cut short.
    pub(super) fn begin(target: &Path) -> Result<Self, BackupError> {
        let target = std::path::absolute(target).map_err(io_error("find", target))?;
        let name = target.file_name().filter(|_| is_free(&target));
        let Some(name) = name else {
            return Err(BackupError::NotEmpty(target));
        };
        let mut partial = OsString::from(name);
        partial.push(".partial");
        let path = target.with_file_name(partial);
        let lock = path.join(LOCK);
        if path.exists() {
            let held = File::open(&lock);
            // What is not ours is left alone.
            let held = held.map_err(|_| BackupError::NotEmpty(path.clone()))?;
            match held.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(BackupError::Underway(target)),
                Err(TryLockError::Error(error)) => return Err(io_error("lock", &lock)(error)),
            }
            remove(&path)?;
        }
        private_folder(&path)?;
        let file = make(&lock)?;
        file.try_lock()
            .map_err(|_| BackupError::Underway(target.clone()))?;
        Ok(Self {
            target,
            path,
            lock: file,
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Sums up what is there, and gives it its name.
    pub(super) fn finish(self, mut manifest: Manifest) -> Result<Manifest, BackupError> {
        let sums = self.path.join(SUMS);
        let mut list = Summed::new(BufWriter::new(make(&sums)?));
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let at = self.path.join(&folder);
            let mut names = Vec::new();
            for entry in fs::read_dir(&at).map_err(io_error("list", &at))? {
                let entry = entry.map_err(io_error("list", &at))?;
                let is_folder = entry
                    .file_type()
                    .map_err(io_error("look at", &at))?
                    .is_dir();
                names.push((entry.file_name(), is_folder));
            }
            names.sort();
            for (name, is_folder) in names {
                let path = folder.join(name);
                if is_folder {
                    folders.push(path);
                } else if path != Path::new(SUMS) && path != Path::new(LOCK) {
                    let (sum, bytes) = sum_of(&self.path.join(&path))?;
                    manifest.files += 1;
                    manifest.bytes += bytes;
                    // Each name in it is the server's own choice, and text.
                    writeln!(list, "{sum}  {}", path.display())
                        .map_err(io_error("write", &sums))?;
                }
            }
            let folder = File::open(&at).map_err(io_error("open", &at))?;
            folder.sync_all().map_err(io_error("sync", &at))?;
        }
        let (list, sum) = list.finish();
        manifest.sums = sum;
        let file = list
            .into_inner()
            .map_err(|error| io_error("write", &sums)(error.into_error()))?;
        file.sync_all().map_err(io_error("sync", &sums))?;
        self.sign(&manifest)?;
        Ok(manifest)
    }

    fn sign(&self, manifest: &Manifest) -> Result<(), BackupError> {
        let path = self.path.join(MANIFEST);
        let mut file = make(&path)?;
        let text =
            serde_json::to_string_pretty(manifest).map_err(|source| BackupError::Manifest {
                path: path.clone(),
                source,
            })?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.write_all(b"\n"))
            .and_then(|()| file.sync_all())
            .map_err(io_error("write", &path))?;
        let lock = self.path.join(LOCK);
        fs::remove_file(&lock).map_err(io_error("remove", &lock))?;
        let sync = |path: &Path| {
            File::open(path)
                .and_then(|folder| folder.sync_all())
                .map_err(io_error("sync", path))
        };
        sync(&self.path)?;
        fs::rename(&self.path, &self.target).map_err(io_error("make", &self.target))?;
        // The lock ends with this.
        let _ = self.lock.unlock();
        sync(self.target.parent().unwrap_or(Path::new("/")))
    }
}

/// The SHA-256 of a file in hex, and its length.
pub(super) fn sum_of(path: &Path) -> Result<(String, u64), BackupError> {
    let mut file = File::open(path).map_err(io_error("open", path))?;
    let mut summed = Summed::new(io::sink());
    let bytes = io::copy(&mut file, &mut summed).map_err(io_error("read", path))?;
    Ok((summed.finish().1, bytes))
}

/// Sums up what is written.
pub(super) struct Summed<W> {
    to: W,
    sum: Sha256,
}

impl<W: Write> Summed<W> {
    pub(super) fn new(to: W) -> Self {
        Self {
            to,
            sum: Sha256::new(),
        }
    }

    /// What it was written to, and the SHA-256 in hex.
    pub(super) fn finish(self) -> (W, String) {
        let sum = self.sum.finalize();
        let sum = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        (self.to, sum)
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = self.to.write(data)?;
        self.sum.update(&data[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
