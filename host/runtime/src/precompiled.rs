//! Components that were compiled when a release was made, so that not even the first start compiles.
//!
//! Like what lies in the cache, this is machine code that the host runs without looking at it. It
//! comes from one folder alone, beside the program, and is trusted as the program is: never from
//! beside a component, which anybody may have written who is trusted with no more than computing.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use wasmtime::component::Component;

use crate::digest::Digest;
use crate::engine::config;
use crate::limits::MAX_CODE_BYTES;

/// A folder of `<component digest>.cwasm`, each with a `.sum` that has the SHA-256 of it.
#[derive(Clone, Debug)]
pub(crate) struct Precompiled {
    folder: PathBuf,
}

/// A component cannot be compiled ahead.
#[derive(Debug, thiserror::Error)]
pub enum PrecompileError {
    /// The compiler cannot be had, or refuses the component.
    #[error("the component cannot be compiled: {0}")]
    Compile(String),
    /// The code cannot be kept.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What every processor of this kind has that a server may be expected on, and more is not asked
/// for: x86-64-v2, which is what is sold since 2009.
#[cfg(target_arch = "x86_64")]
const BASELINE: &[&str] = &[
    "has_cmpxchg16b",
    "has_popcnt",
    "has_sse3",
    "has_sse41",
    "has_sse42",
    "has_ssse3",
];
#[cfg(not(target_arch = "x86_64"))]
const BASELINE: &[&str] = &[];

/// Compiles a component for any processor of this machine's kind, and puts the code into a folder
/// that goes with a release. Blocks for seconds.
///
/// # Errors
/// The compiler refuses it, or the code cannot be written.
pub fn precompile(component: &[u8], folder: &Path) -> Result<PathBuf, PrecompileError> {
    let failed = |error: wasmtime::Error| PrecompileError::Compile(format!("{error:#}"));
    let mut config = config(None);
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    config.target(&target).map_err(failed)?;
    for flag in BASELINE {
        // SAFETY: a flag that says what the processor can do makes code that only such ones run.
        // Whoever loads the code has the engine check that before any of it runs.
        unsafe { config.cranelift_flag_enable(flag) };
    }
    let engine = wasmtime::Engine::new(&config).map_err(failed)?;
    let code = engine.precompile_component(component).map_err(failed)?;
    let digest = Digest::of(component);
    let write = |extension: &str, bytes: &[u8]| {
        let path = folder.join(format!("{digest}.{extension}"));
        let written = fs::write(&path, bytes);
        match written {
            Ok(()) => Ok(path),
            Err(source) => Err(PrecompileError::Io { path, source }),
        }
    };
    write("sum", Digest::of(&code).to_string().as_bytes())?;
    write("cwasm", &code)
}

impl Precompiled {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The code of a component, if it is here, and this engine and this processor can run it.
    pub(crate) fn load(&self, engine: &wasmtime::Engine, digest: Digest) -> Option<Component> {
        let path = self.folder.join(format!("{digest}.cwasm"));
        match self.verify(digest, &path) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(problem) => {
                let path = path.display();
                tracing::warn!("{path}: precompiled component not used: {problem}");
                return None;
            }
        }
        // SAFETY: the bytes must be those that `precompile_component` gave. The folder lies beside
        // the program that this is, and it and the file can be written by nobody but root and this
        // user, who could put another program there as well. Damage is caught by the checksum,
        // and code of another engine, or for a processor that can do more, by the engine itself.
        match unsafe { Component::deserialize_file(engine, &path) } {
            Ok(component) => Some(component),
            Err(error) => {
                let path = path.display();
                tracing::warn!("{path}: precompiled component does not fit: {error:#}");
                None
            }
        }
    }

    fn verify(&self, digest: Digest, path: &Path) -> Result<bool, String> {
        let folder = match fs::symlink_metadata(&self.folder) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error.to_string()),
        };
        let sum = self.folder.join(format!("{digest}.sum"));
        let file = match fs::symlink_metadata(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error.to_string()),
        };
        trusted(&folder)?;
        trusted(&file)?;
        let expected = aod_trees::read_regular(&sum, 128).map_err(|error| error.to_string())?;
        let code = aod_trees::read_regular(path, MAX_CODE_BYTES);
        let code = code.map_err(|error| error.to_string())?;
        if Digest::of(&code).to_string().as_bytes() != expected.trim_ascii() {
            return Err("it is damaged".to_owned());
        }
        Ok(true)
    }
}

/// Whether nobody but root and this user can have written something.
fn trusted(metadata: &fs::Metadata) -> Result<(), String> {
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user && metadata.uid() != 0 {
        return Err(format!(
            "it belongs to user {}, who is neither root nor this user",
            metadata.uid()
        ));
    }
    if !metadata.is_dir() && !metadata.is_file() {
        return Err("it is neither a file nor a folder".to_owned());
    }
    match metadata.mode() & 0o022 {
        0 => Ok(()),
        _ => Err(format!(
            "it is writable by others (mode {:04o})",
            metadata.mode() & 0o7777
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn component() -> Vec<u8> {
        wat::parse_str("(component)").unwrap()
    }

    /// A folder with the component's code, and the name of the file.
    fn folder() -> (tempfile::TempDir, PathBuf, Digest) {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = precompile(&component(), folder.path()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        (folder, path, Digest::of(&component()))
    }

    fn loads(folder: &Path, digest: Digest) -> bool {
        let engine = wasmtime::Engine::new(&config(Some(256))).unwrap();
        Precompiled::new(folder.to_owned())
            .load(&engine, digest)
            .is_some()
    }

    #[test]
    fn code_for_the_baseline_is_run_by_the_engine_of_the_server() {
        let (folder, _, digest) = folder();
        assert!(loads(folder.path(), digest));
        assert!(!loads(folder.path(), Digest::of(b"another")));
        assert!(!loads(&folder.path().join("missing"), digest));
    }

    #[test]
    fn what_is_damaged_or_of_another_engine_is_not_used() {
        let (folder, path, digest) = folder();
        let code = fs::read(&path).unwrap();
        let mut damaged = code.clone();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        fs::write(&path, &damaged).unwrap();
        assert!(!loads(folder.path(), digest));
        // Sound, and made with other settings.
        let mut other = config(None);
        other.epoch_interruption(false);
        let engine = wasmtime::Engine::new(&other).unwrap();
        let code = engine.precompile_component(&component()).unwrap();
        fs::write(&path, &code).unwrap();
        let sum = path.with_extension("sum");
        fs::write(&sum, Digest::of(&code).to_string()).unwrap();
        assert!(!loads(folder.path(), digest));
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn code_for_another_processor_is_not_used() {
        let (folder, path, digest) = folder();
        let mut other = config(None);
        other.target("aarch64-unknown-linux-gnu").unwrap();
        // Only where the compiler was built for both.
        let Ok(engine) = wasmtime::Engine::new(&other) else {
            return;
        };
        let code = engine.precompile_component(&component()).unwrap();
        fs::write(&path, &code).unwrap();
        let sum = path.with_extension("sum");
        fs::write(&sum, Digest::of(&code).to_string()).unwrap();
        assert!(!loads(folder.path(), digest));
    }

    #[test]
    fn what_others_can_write_is_not_used() {
        let (folder, path, digest) = folder();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(!loads(folder.path(), digest));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(!loads(folder.path(), digest));
    }
}
