//! Compiled components, so that a start does not compile.
//!
//! What lies here is machine code that the host runs without looking at it, so it is taken only
//! from a folder and files that nobody else can have written.

use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use wasmtime::component::Component;

use crate::digest::Digest;

/// A folder of compiled components, `<component digest>-<engine hash>.cwasm`. Beside each lies a
/// `.sum` with its checksum, against files that were damaged rather than forged.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    engine: String,
}

/// The cache cannot be used; adapters are compiled at every start instead.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It cannot be made or read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could have written it.
    #[error(
        "{path}: {problem}; compiled components are loaded only from what nobody else can write",
        path = path.display()
    )]
    Untrusted {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl Cache {
    /// Opens the folder, and makes it where it is missing.
    pub(crate) fn open(folder: &Path, engine: &wasmtime::Engine) -> Result<Self, CacheError> {
        let io_error = |source| CacheError::Io {
            path: folder.to_owned(),
            source,
        };
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent).map_err(io_error)?;
        }
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(io_error(error));
            }
            _ => {}
        }
        let metadata = fs::symlink_metadata(folder).map_err(io_error)?;
        if !metadata.is_dir() {
            let problem = "is not a folder".to_owned();
            return Err(CacheError::Untrusted {
                path: folder.to_owned(),
                problem,
            });
        }
        trusted(folder, &metadata)?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let cache = Self {
            folder: folder.to_owned(),
            engine: format!("{:016x}", hasher.finish()),
        };
        cache.sweep();
        Ok(cache)
    }

    /// The compiled form of a component, if it is here and sound.
    pub(crate) fn load(&self, engine: &wasmtime::Engine, digest: Digest) -> Option<Component> {
        let path = self.path(digest, "cwasm");
        match self.verify(digest, &path) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                tracing::warn!("compiled component not used: {error}");
                return None;
            }
        }
        // SAFETY: the bytes must be those that `Component::serialize` gave. The file lies in a
        // folder that only this user can write, and was itself checked to be this user's and
        // writable by nobody else, so no one but this user, who can do anything to this process
        // already, can have put other bytes there; only `store` below writes such files. Damage by
        // accident is caught by the checksum, and another engine's code by its hash in the name
        // and by the engine itself.
        match unsafe { Component::deserialize_file(engine, &path) } {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!("{}: compiled component not used: {error:#}", path.display());
                None
            }
        }
    }

    /// Keeps a compiled component. A failure costs the next start some time and nothing else.
    pub(crate) fn store(&self, digest: Digest, component: &Component) {
        let stored = component
            .serialize()
            .map_err(|error| format!("{error:#}"))
            .and_then(|code| {
                let sum = checksum(&code);
                // The checksum last: a file without one is not loaded.
                self.write(&self.path(digest, "cwasm"), &code)
                    .and_then(|()| self.write(&self.path(digest, "sum"), sum.as_bytes()))
                    .map_err(|error| error.to_string())
            });
        if let Err(error) = stored {
            let folder = self.folder.display();
            tracing::warn!("{folder}: component {digest} cannot be kept compiled: {error}");
        }
    }

    /// Whether there is a file, and it is what was written.
    fn verify(&self, digest: Digest, path: &Path) -> Result<bool, CacheError> {
        let io_error = |source| CacheError::Io {
            path: path.to_owned(),
            source,
        };
        let mut file = match aod_trees::open_regular(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file.map_err(io_error)?,
        };
        trusted(path, &file.metadata().map_err(io_error)?)?;
        let Ok(expected) = aod_trees::read_regular(&self.path(digest, "sum"), 64) else {
            return Ok(false);
        };
        let mut code = Vec::new();
        file.read_to_end(&mut code).map_err(io_error)?;
        if expected != checksum(&code).as_bytes() {
            tracing::warn!("{}: damaged, so it is compiled again", path.display());
            return Ok(false);
        }
        Ok(true)
    }

    /// Writes a file whole or not at all.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| file.write_all(bytes))
            .and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            // What is left behind is swept at the next start.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Removes what other engines compiled and what was left half-written.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        let ours = [
            format!("-{}.cwasm", self.engine),
            format!("-{}.sum", self.engine),
        ];
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if !ours.iter().any(|ending| name.ends_with(ending.as_str())) {
                // A file that stays is only a waste of space.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn path(&self, digest: Digest, extension: &str) -> PathBuf {
        self.folder
            .join(format!("{digest}-{}.{extension}", self.engine))
    }
}

fn checksum(bytes: &[u8]) -> String {
    format!("{:08x}-{}", crc32c::crc32c(bytes), bytes.len())
}

/// Whether only this user can have written something.
fn trusted(path: &Path, metadata: &fs::Metadata) -> Result<(), CacheError> {
    let user = rustix::process::geteuid().as_raw();
    let problem = if metadata.uid() != user {
        format!(
            "belongs to user {}, and this is user {user}",
            metadata.uid()
        )
    } else if metadata.mode() & 0o022 != 0 {
        format!(
            "is writable by others (mode {:04o})",
            metadata.mode() & 0o7777
        )
    } else {
        return Ok(());
    };
    Err(CacheError::Untrusted {
        path: path.to_owned(),
        problem,
    })
}
