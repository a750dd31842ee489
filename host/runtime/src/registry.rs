//! The runtimes of a server.

mod keep;
mod load;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use tokio::sync::watch;

use crate::adapter::Adapter;
use crate::cache::{Cache, CacheError};
use crate::catalog::Catalog;
use crate::digest::Digest;
use crate::engine::Engine;
use crate::error::ComponentError;
use crate::manifest::{Declaration, Location, Manifest, ManifestError};

/// The runtimes that `runtimes.toml` declares, and the adapters that sessions began with.
///
/// Reading is cheap and never waits for a reload: it sees one [`Snapshot`] or the next, and each
/// runtime changes as soon as it can. [`Registry::load`], [`Registry::reload`] and
/// [`Registry::by_digest`] read files and compile; run them off the threads that drive async tasks.
#[derive(Debug)]
pub struct Registry {
    manifest: PathBuf,
    adapters: PathBuf,
    engine: Engine,
    cache: Result<Cache, CacheError>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    /// Held by whoever loads, so that two reloads do not compile the same twice.
    loading: Mutex<()>,
    kept: keep::Kept,
}

/// The runtimes at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// By name, in the order of `runtimes.toml`.
    pub runtimes: IndexMap<String, Runtime>,
    /// The models of those that can be used.
    pub catalog: Catalog,
    /// Mistakes in `runtimes.toml` that belong to no runtime.
    pub errors: Vec<ManifestError>,
}

/// A runtime that `runtimes.toml` declares.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// Its name.
    pub name: String,
    /// Its tables. None: they could not be read.
    pub declaration: Option<Declaration>,
    /// Whether it can be used.
    pub health: Health,
}

/// Whether a runtime can be used.
#[derive(Clone, Debug)]
pub enum Health {
    /// It is being loaded for the first time: read, compiled where it has to be, and asked what it
    /// is. With the component's digest once that is being compiled.
    Compiling(Option<Digest>),
    /// It can.
    Ready(Arc<Adapter>),
    /// It can, as it was before: what is declared now, or lies there now, cannot be loaded.
    Stale(Arc<Adapter>, Arc<RuntimeError>),
    /// `runtimes.toml` says that it is not to be.
    Disabled,
    /// It cannot.
    Failed(Arc<RuntimeError>),
}

/// Why a runtime cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// `runtimes.toml` is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Its component is.
    #[error("{at}: runtime `{runtime}`: {source}")]
    Component {
        /// Where `runtimes.toml` names or pins it.
        at: Location,
        /// The runtime.
        runtime: String,
        /// What is wrong.
        source: Box<ComponentError>,
    },
}

/// What a reload did to one runtime.
#[derive(Clone, Debug)]
pub struct Report {
    /// The runtime.
    pub runtime: String,
    /// What became of it.
    pub change: Change,
}

/// What a reload did.
#[derive(Clone, Debug)]
pub enum Change {
    /// It was not there, or not ready, and is now.
    Added,
    /// It has another component or other settings.
    Changed,
    /// It is as it was.
    Unchanged,
    /// It is declared and not to be used.
    Disabled,
    /// It is no longer declared.
    Removed,
    /// It cannot be loaded. Where it was usable before it stays so, as it was.
    Failed(Arc<RuntimeError>),
}

/// No adapter of this digest is to be had.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// It was never kept, or its file is gone.
    #[error("adapter {digest} of runtime `{runtime}` is not kept at {path}", path = path.display())]
    Missing {
        /// The runtime that a session began with.
        runtime: String,
        /// The component's digest.
        digest: Digest,
        /// Where it should be.
        path: PathBuf,
    },
    /// It can no longer be loaded.
    #[error("adapter {digest} of runtime `{runtime}`: {source}")]
    Component {
        /// The runtime that a session began with.
        runtime: String,
        /// The component's digest.
        digest: Digest,
        /// Why.
        source: Box<ComponentError>,
    },
}

impl Snapshot {
    /// A runtime's adapter, if it can be used.
    #[must_use]
    pub fn adapter(&self, runtime: &str) -> Option<&Arc<Adapter>> {
        self.runtimes.get(runtime)?.health.adapter()
    }

    /// Whether it is not known yet if a runtime can be used.
    #[must_use]
    pub fn is_compiling(&self, runtime: &str) -> bool {
        let runtime = self.runtimes.get(runtime);
        runtime.is_some_and(|runtime| matches!(runtime.health, Health::Compiling(_)))
    }
}

impl Health {
    /// The adapter that new sessions get, if there is one.
    #[must_use]
    pub fn adapter(&self) -> Option<&Arc<Adapter>> {
        match self {
            Self::Ready(adapter) | Self::Stale(adapter, _) => Some(adapter),
            Self::Compiling(_) | Self::Disabled | Self::Failed(_) => None,
        }
    }

    /// What is wrong, if anything is.
    #[must_use]
    pub fn error(&self) -> Option<&Arc<RuntimeError>> {
        match self {
            Self::Stale(_, error) | Self::Failed(error) => Some(error),
            Self::Compiling(_) | Self::Ready(_) | Self::Disabled => None,
        }
    }
}

impl Registry {
    /// Reads `runtimes.toml` and none of the components: what is declared is
    /// [`Health::Compiling`] until [`Registry::reload`] has loaded it. Nothing here keeps a server
    /// from starting.
    ///
    /// `cache` is the folder of compiled components, and `adapters` the one of components that
    /// sessions may need again. Both are made where they are missing.
    #[must_use]
    pub fn open(engine: Engine, manifest: &Path, cache: &Path, adapters: &Path) -> Self {
        let cache = Cache::open(cache, engine.raw());
        if let Err(error) = &cache {
            tracing::warn!("components are compiled at every start: {error}");
        }
        let snapshot = match Manifest::read(manifest) {
            Ok(manifest) => load::declared(&manifest, &Snapshot::default()),
            Err(error) => Snapshot {
                errors: vec![error],
                ..Snapshot::default()
            },
        };
        Self {
            manifest: manifest.to_owned(),
            adapters: adapters.to_owned(),
            engine,
            cache,
            snapshot: watch::Sender::new(Arc::new(snapshot)),
            loading: Mutex::default(),
            kept: keep::Kept::default(),
        }
    }

    /// Reads `runtimes.toml` and loads what it declares. What cannot be loaded is in the snapshot
    /// with its error. The folders are those of [`Registry::open`].
    #[must_use]
    pub fn load(engine: Engine, manifest: &Path, cache: &Path, adapters: &Path) -> Self {
        let registry = Self::open(engine, manifest, cache, adapters);
        registry.reload();
        registry
    }

    /// The runtimes as they are now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// Sees every change of the snapshot.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    /// Waits until a runtime is not [`Health::Compiling`], and returns how things stand then. Does
    /// not wait for one that is not declared.
    pub async fn settled(&self, runtime: &str) -> Arc<Snapshot> {
        self.wait_for(|snapshot| !snapshot.is_compiling(runtime))
            .await
    }

    /// Waits until a component of a runtime is not being compiled, or to be looked at for that.
    pub async fn compiled(&self, runtime: &str, digest: Digest) {
        let is_compiling = |snapshot: &Snapshot| {
            let runtime = snapshot.runtimes.get(runtime);
            runtime.is_some_and(|runtime| match runtime.health {
                Health::Compiling(compiling) => compiling.is_none_or(|it| it == digest),
                _ => false,
            })
        };
        self.wait_for(|snapshot| !is_compiling(snapshot)).await;
    }

    async fn wait_for(&self, condition: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut snapshots = self.subscribe();
        match snapshots.wait_for(|snapshot| condition(snapshot)).await {
            Ok(snapshot) => Arc::clone(&snapshot),
            // The sender is ours, and lives.
            Err(_) => self.snapshot(),
        }
    }

    /// A runtime's adapter, if it is ready.
    #[must_use]
    pub fn get(&self, runtime: &str) -> Option<Arc<Adapter>> {
        self.snapshot().adapter(runtime).cloned()
    }

    /// The engine that everything here was compiled by.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Why compiled components are not kept, if they are not.
    #[must_use]
    pub fn cache_problem(&self) -> Option<&CacheError> {
        self.cache.as_ref().err()
    }

    /// The files whose change is a reason to reload: `runtimes.toml` and the components.
    #[must_use]
    pub fn watched(&self) -> Vec<PathBuf> {
        let snapshot = self.snapshot();
        let declared = snapshot
            .runtimes
            .values()
            .filter_map(|r| r.declaration.as_ref());
        let components = declared.map(|declaration| declaration.component.clone());
        std::iter::once(self.manifest.clone())
            .chain(components)
            .collect()
    }

    /// Reads `runtimes.toml` again. Adapters that did not change stay as they are, and those that
    /// turns hold stay alive until they let go. A runtime that cannot be loaded any more is
    /// [`Health::Stale`]. Where the file itself cannot be read, everything stays as it is, and the
    /// snapshot's errors say why.
    pub fn reload(&self) -> Vec<Report> {
        let _loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.snapshot();
        match Manifest::read(&self.manifest) {
            Ok(manifest) => self.load_all(manifest, &before),
            Err(error) => {
                tracing::error!("{error}");
                self.change(|snapshot| snapshot.errors = vec![error]);
                Vec::new()
            }
        }
    }

    /// Makes the next snapshot of the present one.
    fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        self.snapshot.send_modify(|snapshot| {
            let mut next = Snapshot::clone(snapshot);
            change(&mut next);
            *snapshot = Arc::new(next);
        });
    }
}
