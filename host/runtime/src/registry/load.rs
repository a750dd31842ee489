//! Loading what a `runtimes.toml` declares: first all that need not be compiled, then the others.

use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;

use super::{Change, Health, Registry, Report, Runtime, RuntimeError, Snapshot};
use crate::adapter::Adapter;
use crate::catalog::Catalog;
use crate::check::split_model;
use crate::component::Binary;
use crate::error::ComponentError;
use crate::manifest::{Declaration, Location, Manifest, ManifestError, Position};

/// Components that are compiled at once, at least: a large one should not keep all others waiting.
const FEWEST_COMPILERS: usize = 2;

/// One entry of the file.
struct Entry<'a> {
    name: &'a str,
    declaration: &'a Declaration,
    /// The file.
    file: &'a Path,
}

/// An entry whose component is to be compiled.
struct Uncompiled<'a> {
    entry: Entry<'a>,
    binary: Binary,
}

/// What a component that has been read is found to be.
enum Found {
    Adapter(Arc<Adapter>),
    Uncompiled,
}

/// The runtimes of a manifest before any of them is loaded: those that were there stay as they
/// were, and those that are new are compiling.
pub(super) fn declared(manifest: &Manifest, before: &Snapshot) -> Snapshot {
    let entries = manifest.runtimes.iter().map(|(name, declared)| {
        let runtime = before.runtimes.get(name).cloned();
        let runtime = runtime.unwrap_or_else(|| Runtime {
            name: name.clone(),
            declaration: declared.as_ref().ok().cloned(),
            health: match declared {
                Ok(declared) if declared.enabled => Health::Compiling(None),
                Ok(_) => Health::Disabled,
                Err(error) => Health::Failed(Arc::new(error.clone().into())),
            },
        });
        (name.clone(), runtime)
    });
    let mut runtimes: IndexMap<String, Runtime> = entries.collect();
    if !manifest.complete {
        for (name, runtime) in &before.runtimes {
            let kept = runtimes.entry(name.clone());
            kept.or_insert_with(|| runtime.clone());
        }
    }
    Snapshot {
        catalog: catalog(&runtimes),
        runtimes,
        errors: manifest.errors.clone(),
    }
}

fn catalog(runtimes: &IndexMap<String, Runtime>) -> Catalog {
    Catalog::new(runtimes.values().filter_map(|runtime| {
        let adapter = runtime.health.adapter()?;
        let models = runtime.declaration.as_ref().map_or(&[][..], |d| &d.models);
        Some((runtime.name.as_str(), adapter.description(), models))
    }))
}

/// Does some work for each item, several at once, in their order.
fn each<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    let workers = workers.max(FEWEST_COMPILERS).min(items.len());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    });
}

impl Registry {
    /// Loads every runtime of a manifest. Each is in the snapshot as soon as it is loaded.
    pub(super) fn load_all(&self, manifest: Manifest, before: &Snapshot) -> Vec<Report> {
        for error in &manifest.errors {
            tracing::error!("{error}");
        }
        self.change(|snapshot| *snapshot = declared(&manifest, before));

        let uncompiled = Mutex::new(Vec::new());
        let entries: Vec<_> = manifest.runtimes.iter().collect();
        each(&entries, |(name, declared)| {
            match self.survey(name, declared, &manifest.path, before) {
                Ok(runtime) => self.publish(runtime),
                Err(later) => {
                    self.note_compiling(&later);
                    let mut uncompiled = uncompiled.lock().unwrap_or_else(PoisonError::into_inner);
                    uncompiled.push(later);
                }
            }
        });
        let mut uncompiled = uncompiled
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        // Who waits for a small one should not wait for a large one first.
        uncompiled.sort_by_key(|later| later.binary.bytes.len());
        each(&uncompiled, |later| {
            self.publish(self.compile(later, before));
        });
        reports(before, &self.snapshot().runtimes)
    }

    /// Puts a runtime in the place of what it was.
    fn publish(&self, runtime: Runtime) {
        if let Some(error) = runtime.health.error() {
            tracing::error!("{error}");
        }
        self.change(|snapshot| {
            snapshot.runtimes.insert(runtime.name.clone(), runtime);
            snapshot.catalog = catalog(&snapshot.runtimes);
        });
    }

    /// Tells who looks that a runtime which cannot be used is being compiled.
    fn note_compiling(&self, later: &Uncompiled<'_>) {
        self.change(|snapshot| {
            if let Some(runtime) = snapshot.runtimes.get_mut(later.entry.name)
                && runtime.health.adapter().is_none()
            {
                runtime.declaration = Some(later.entry.declaration.clone());
                runtime.health = Health::Compiling(Some(later.binary.digest));
            }
        });
    }

    /// Loads a runtime that need not be compiled.
    fn survey<'a>(
        &self,
        name: &'a str,
        declared: &'a Result<Declaration, ManifestError>,
        file: &'a Path,
        before: &Snapshot,
    ) -> Result<Runtime, Uncompiled<'a>> {
        let declaration = match declared {
            Err(error) => return Ok(failed(name, None, error.clone().into(), before)),
            Ok(declaration) => declaration,
        };
        if !declaration.enabled {
            return Ok(Runtime {
                name: name.to_owned(),
                declaration: Some(declaration.clone()),
                health: Health::Disabled,
            });
        }
        let entry = Entry {
            name,
            declaration,
            file,
        };
        let binary = Binary::read(&declaration.component, declaration.sha256);
        let found = binary.and_then(|binary| {
            let found = self.find(&entry, &binary, before)?;
            Ok((binary, found))
        });
        let loaded = match found {
            Ok((binary, Found::Uncompiled)) => return Err(Uncompiled { entry, binary }),
            Ok((binary, Found::Adapter(adapter))) => self.finish(&entry, adapter, &binary),
            Err(error) => Err(entry.component_error(error)),
        };
        Ok(entry.runtime(loaded, before))
    }

    /// The adapter of a component, as far as it need not be compiled.
    fn find(
        &self,
        entry: &Entry<'_>,
        binary: &Binary,
        before: &Snapshot,
    ) -> Result<Found, ComponentError> {
        let settings = &entry.declaration.settings;
        let same = before
            .adapter(entry.name)
            .filter(|adapter| adapter.digest() == binary.digest);
        if let Some(adapter) = same {
            return Ok(Found::Adapter(if adapter.settings() == settings {
                Arc::clone(adapter)
            } else {
                Arc::new(adapter.with_settings(entry.name, settings.clone())?)
            }));
        }
        let cache = self.cache.as_ref().ok();
        let cached = Adapter::cached(&self.engine, cache, entry.name, binary, settings.clone());
        Ok(match cached {
            Some(adapter) => Found::Adapter(Arc::new(adapter?)),
            None => Found::Uncompiled,
        })
    }

    /// Loads a runtime that has to be compiled.
    fn compile(&self, later: &Uncompiled<'_>, before: &Snapshot) -> Runtime {
        let Uncompiled { entry, binary } = later;
        let settings = entry.declaration.settings.clone();
        let cache = self.cache.as_ref().ok();
        let loaded = Adapter::load(&self.engine, cache, entry.name, binary, settings)
            .map_err(|error| entry.component_error(error))
            .and_then(|adapter| self.finish(entry, Arc::new(adapter), binary));
        entry.runtime(loaded, before)
    }

    /// Checks what can be checked once the adapter is there, and keeps its component.
    fn finish(
        &self,
        entry: &Entry<'_>,
        adapter: Arc<Adapter>,
        binary: &Binary,
    ) -> Result<Arc<Adapter>, RuntimeError> {
        let name = entry.name;
        let providers = &adapter.description().providers;
        for model in &entry.declaration.models {
            let provider = split_model(&model.id).map_or("", |(provider, _)| provider);
            if !model.hidden && !providers.iter().any(|served| served.id == provider) {
                let served: Vec<&str> = providers.iter().map(|p| p.id.as_str()).collect();
                let problem = format!(
                    "runtime `{name}` does not serve provider `{provider}`, only {}",
                    served.join(", ")
                );
                return Err(ManifestError {
                    at: entry.location(model.at),
                    problem,
                }
                .into());
            }
        }
        self.keep(binary);
        Ok(adapter)
    }
}

impl Entry<'_> {
    fn location(&self, position: Position) -> Location {
        Location {
            file: self.file.to_owned(),
            position,
        }
    }

    fn component_error(&self, source: ComponentError) -> RuntimeError {
        let position = match (&source, self.declaration.sha256_at) {
            (ComponentError::Digest { .. }, Some(pinned)) => pinned,
            _ => self.declaration.component_at,
        };
        RuntimeError::Component {
            at: self.location(position),
            runtime: self.name.to_owned(),
            source: Box::new(source),
        }
    }

    fn runtime(&self, loaded: Result<Arc<Adapter>, RuntimeError>, before: &Snapshot) -> Runtime {
        let declaration = Some(self.declaration.clone());
        match loaded {
            Ok(adapter) => Runtime {
                name: self.name.to_owned(),
                declaration,
                health: Health::Ready(adapter),
            },
            Err(error) => failed(self.name, declaration, error, before),
        }
    }
}

/// A runtime that cannot be loaded: what it was before, if a pin allows that.
fn failed(
    name: &str,
    declaration: Option<Declaration>,
    error: RuntimeError,
    before: &Snapshot,
) -> Runtime {
    let error = Arc::new(error);
    let pinned = declaration.as_ref().and_then(|declared| declared.sha256);
    let earlier = before.runtimes.get(name).and_then(|runtime| {
        let adapter = runtime.health.adapter()?;
        let allowed = pinned.is_none_or(|pinned| pinned == adapter.digest());
        allowed.then(|| (runtime.declaration.clone(), Arc::clone(adapter)))
    });
    let name = name.to_owned();
    match earlier {
        // The component of today is watched; the models are those that the adapter came with.
        Some((earlier, adapter)) => Runtime {
            name,
            declaration: match (declaration, earlier) {
                (Some(today), Some(earlier)) => Some(Declaration {
                    models: earlier.models,
                    settings: earlier.settings,
                    ..today
                }),
                (_, earlier) => earlier,
            },
            health: Health::Stale(adapter, error),
        },
        None => Runtime {
            name,
            declaration,
            health: Health::Failed(error),
        },
    }
}

fn reports(before: &Snapshot, after: &IndexMap<String, Runtime>) -> Vec<Report> {
    let mut reports: Vec<Report> = after
        .values()
        .map(|runtime| {
            let change = match (&runtime.health, before.adapter(&runtime.name)) {
                (Health::Failed(error) | Health::Stale(_, error), _) => {
                    Change::Failed(Arc::clone(error))
                }
                // Each of them is loaded by now, but for those behind a mistake in the file, which
                // are as they were.
                (Health::Compiling(_), _) => Change::Unchanged,
                (Health::Disabled, _) => Change::Disabled,
                (Health::Ready(_), None) => Change::Added,
                (Health::Ready(new), Some(old)) if Arc::ptr_eq(new, old) => {
                    let models = |runtime: &Runtime| {
                        runtime
                            .declaration
                            .as_ref()
                            .map(|declared| declared.models.clone())
                    };
                    match before.runtimes.get(&runtime.name) {
                        Some(old) if models(old) == models(runtime) => Change::Unchanged,
                        _ => Change::Changed,
                    }
                }
                (Health::Ready(_), Some(_)) => Change::Changed,
            };
            Report {
                runtime: runtime.name.clone(),
                change,
            }
        })
        .collect();
    let removed = before
        .runtimes
        .keys()
        .filter(|name| !after.contains_key(*name));
    reports.extend(removed.map(|name| Report {
        runtime: name.clone(),
        change: Change::Removed,
    }));
    reports
}
