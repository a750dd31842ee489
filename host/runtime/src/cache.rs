//! Compiled components, so that a start does not compile.
//!
//! What lies here is machine code that the host runs without looking at it, so it is taken only
//! from a folder and files that nobody else can have written.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read, Write as _};
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
        let cache = Self {
            folder: folder.to_owned(),
            engine: engine_hash(engine),
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
        match component.serialize() {
            Ok(code) => self.store_code(digest, code.as_slice()),
            Err(error) => self.warn(digest, &format!("{error:#}")),
        }
    }

    /// Keeps a component's code, as the compiler gave it. A failure costs the next start some time
    /// and nothing else.
    pub(crate) fn store_code(&self, digest: Digest, mut code: impl Read) {
        let mut sum = Checksum::default();
        // The checksum last: a file without one is not loaded.
        let stored = self
            .write(&self.path(digest, "cwasm"), |file| {
                sum.copy(&mut code, Some(file))
            })
            .and_then(|()| {
                self.write(&self.path(digest, "sum"), |file| {
                    file.write_all(sum.to_string().as_bytes())
                })
            });
        if let Err(error) = stored {
            self.warn(digest, &error.to_string());
        }
    }

    fn warn(&self, digest: Digest, error: &str) {
        let folder = self.folder.display();
        tracing::warn!("{folder}: component {digest} cannot be kept compiled: {error}");
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
        let mut sum = Checksum::default();
        sum.copy(&mut file, None).map_err(io_error)?;
        if expected != sum.to_string().as_bytes() {
            tracing::warn!("{}: damaged, so it is compiled again", path.display());
            return Ok(false);
        }
        Ok(true)
    }

    /// Writes a file whole or not at all.
    fn write(&self, path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| fill(&mut file))
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

/// What tells the code of one engine from that of another, as it stands in the names of files.
pub(crate) fn engine_hash(engine: &wasmtime::Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// A checksum of what has been read so far, and its length.
#[derive(Default)]
struct Checksum {
    crc: u32,
    length: u64,
}

impl Checksum {
    /// Reads to the end, and writes what is read. Code may be large, and is not held in memory.
    fn copy(&mut self, from: &mut impl Read, mut to: Option<&mut File>) -> io::Result<()> {
        let mut piece = [0; 16 << 10];
        loop {
            let length = match from.read(&mut piece) {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            let read = piece.get(..length).unwrap_or_default();
            self.crc = crc32c::crc32c_append(self.crc, read);
            self.length += length as u64;
            if let Some(to) = &mut to {
                to.write_all(read)?;
            }
        }
    }
}

impl std::fmt::Display for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}-{}", self.crc, self.length)
    }
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
