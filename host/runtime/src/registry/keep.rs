//! Components that sessions began with.
//!
//! A turn that survived a restart of the host must be read by the adapter that it was planned by,
//! even if `runtimes.toml` names another by now. So every component that is loaded is kept under
//! its digest, and stays until [`Registry::retain`] says that no session needs it.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{KeptError, Registry};
use crate::adapter::Adapter;
use crate::component::Binary;
use crate::digest::Digest;
use crate::error::ComponentError;

/// Adapters loaded by digest that are still in use.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<HashMap<Key, Weak<Adapter>>>);

/// A runtime and a component of it.
type Key = (String, Digest);

impl Kept {
    fn find(&self, key: &Key) -> Option<Arc<Adapter>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).and_then(Weak::upgrade)
    }

    /// Adds an adapter, or returns the one that somebody else has added meanwhile: nobody waits
    /// for another's component to be compiled.
    fn insert(&self, key: Key, adapter: Adapter) -> Arc<Adapter> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(adapter) = kept.get(&key).and_then(Weak::upgrade) {
            return adapter;
        }
        let adapter = Arc::new(adapter);
        kept.retain(|_, adapter| adapter.strong_count() > 0);
        kept.insert(key, Arc::downgrade(&adapter));
        adapter
    }
}

impl Registry {
    /// As [`Registry::by_digest`], where it is loaded. Does not block.
    #[must_use]
    pub fn loaded(&self, runtime: &str, digest: Digest) -> Option<Arc<Adapter>> {
        if let Some(adapter) = self.snapshot().adapter(runtime)
            && adapter.digest() == digest
        {
            return Some(Arc::clone(adapter));
        }
        self.kept.find(&(runtime.to_owned(), digest))
    }

    /// The adapter of a runtime as a session began with it: the present one if it has the digest,
    /// or the kept component with the runtime's present settings.
    ///
    /// # Errors
    ///
    /// The component is not kept, or can no longer be loaded.
    pub fn by_digest(&self, runtime: &str, digest: Digest) -> Result<Arc<Adapter>, KeptError> {
        if let Some(adapter) = self.loaded(runtime, digest) {
            return Ok(adapter);
        }
        let snapshot = self.snapshot();
        let key = (runtime.to_owned(), digest);
        let path = self.kept_path(digest);
        let component_error = |source| KeptError::Component {
            runtime: runtime.to_owned(),
            digest,
            source: Box::new(source),
        };
        let binary = Binary::read(&path, Some(digest)).map_err(|source| match source {
            ComponentError::Read { path, source } if source.kind() == io::ErrorKind::NotFound => {
                KeptError::Missing {
                    runtime: runtime.to_owned(),
                    digest,
                    path,
                }
            }
            source => component_error(source),
        })?;
        let declared = snapshot
            .runtimes
            .get(runtime)
            .and_then(|r| r.declaration.as_ref());
        let settings = declared
            .map(|declared| declared.settings.clone())
            .unwrap_or_default();
        let cache = self.cache.as_ref().ok();
        let adapter = Adapter::load(&self.engine, cache, runtime, &binary, settings)
            .map_err(component_error)?;
        Ok(self.kept.insert(key, adapter))
    }

    /// Removes kept components that are neither in the set nor in use by a runtime.
    pub fn retain(&self, needed: &HashSet<Digest>) {
        let _loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.snapshot();
        let current: HashSet<Digest> = snapshot
            .runtimes
            .keys()
            .filter_map(|name| snapshot.adapter(name))
            .map(|adapter| adapter.digest())
            .collect();
        let Ok(entries) = fs::read_dir(&self.adapters) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let digest = path
                .file_stem()
                .and_then(|stem| stem.to_str()?.parse::<Digest>().ok());
            if digest.is_some_and(|digest| !needed.contains(&digest) && !current.contains(&digest))
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!("{}: cannot be removed: {error}", path.display());
            }
        }
    }

    /// Keeps a component. It is verified by its digest when it is read again, so a failure here
    /// shows as a missing file there.
    pub(super) fn keep(&self, binary: &Binary) {
        let path = self.kept_path(binary.digest);
        if path.exists() {
            return;
        }
        // Two runtimes may have the same component, and are loaded at the same time: each writes a
        // file of its own, and whichever comes last is as good.
        let kept = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.adapters)
            .and_then(|()| tempfile::NamedTempFile::new_in(&self.adapters))
            .and_then(|mut file| {
                file.write_all(&binary.bytes)?;
                file.as_file().sync_data()?;
                file.persist(&path).map_err(io::Error::from)
            });
        if let Err(error) = kept {
            tracing::error!("{}: the adapter cannot be kept: {error}", path.display());
        }
    }

    fn kept_path(&self, digest: Digest) -> PathBuf {
        self.adapters.join(format!("{digest}.wasm"))
    }
}
