//! Loading what a `runtimes.toml` declares.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use indexmap::IndexMap;

use super::{Change, Health, Registry, Report, Runtime, RuntimeError, Snapshot};
use crate::adapter::Adapter;
use crate::catalog::Catalog;
use crate::check::split_model;
use crate::component::Binary;
use crate::error::ComponentError;
use crate::manifest::{Declaration, Location, Manifest, ManifestError};

impl Registry {
    /// Loads every runtime of a manifest, several at once.
    pub(super) fn load_all(
        &self,
        manifest: Manifest,
        before: &Snapshot,
    ) -> (Snapshot, Vec<Report>) {
        let entries: Vec<_> = manifest.runtimes.into_iter().collect();
        let loaded: Vec<OnceLock<Runtime>> = entries.iter().map(|_| OnceLock::new()).collect();
        let next = AtomicUsize::new(0);
        let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
        std::thread::scope(|scope| {
            for _ in 0..workers.min(entries.len()) {
                scope.spawn(|| {
                    while let Some(((name, declared), slot)) = {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        entries.get(index).zip(loaded.get(index))
                    } {
                        let runtime = self.load_one(name, declared, &manifest.path, before);
                        // Each index is taken once, so the slot is empty.
                        let _ = slot.set(runtime);
                    }
                });
            }
        });
        let mut runtimes: IndexMap<String, Runtime> = loaded
            .into_iter()
            .filter_map(OnceLock::into_inner)
            .map(|runtime| (runtime.name.clone(), runtime))
            .collect();
        if !manifest.complete {
            for (name, runtime) in &before.runtimes {
                let kept = runtimes.entry(name.clone());
                kept.or_insert_with(|| runtime.clone());
            }
        }
        let catalog = Catalog::new(runtimes.values().filter_map(|runtime| {
            let adapter = runtime.health.adapter()?;
            let models = runtime.declaration.as_ref().map_or(&[][..], |d| &d.models);
            Some((runtime.name.as_str(), adapter.description(), models))
        }));
        let reports = reports(before, &runtimes);
        (
            Snapshot {
                runtimes,
                catalog,
                errors: manifest.errors,
            },
            reports,
        )
    }

    fn load_one(
        &self,
        name: &str,
        declared: &Result<Declaration, ManifestError>,
        file: &std::path::Path,
        before: &Snapshot,
    ) -> Runtime {
        let declaration = declared.as_ref().ok().cloned();
        let loaded = match declared {
            Err(error) => Err(error.clone().into()),
            Ok(declaration) if !declaration.enabled => {
                return Runtime {
                    name: name.to_owned(),
                    declaration: Some(declaration.clone()),
                    health: Health::Disabled,
                };
            }
            Ok(declaration) => self.load_declared(name, declaration, file, before),
        };
        match loaded {
            Ok(adapter) => Runtime {
                name: name.to_owned(),
                declaration,
                health: Health::Ready(adapter),
            },
            Err(error) => failed(name, declaration, error, before),
        }
    }

    fn load_declared(
        &self,
        name: &str,
        declaration: &Declaration,
        file: &std::path::Path,
        before: &Snapshot,
    ) -> Result<Arc<Adapter>, RuntimeError> {
        let location = |position| Location {
            file: file.to_owned(),
            position,
        };
        let component_error = |source: ComponentError| {
            let position = match (&source, declaration.sha256_at) {
                (ComponentError::Digest { .. }, Some(pinned)) => pinned,
                _ => declaration.component_at,
            };
            RuntimeError::Component {
                at: location(position),
                runtime: name.to_owned(),
                source: Box::new(source),
            }
        };
        let binary =
            Binary::read(&declaration.component, declaration.sha256).map_err(component_error)?;
        let same = before
            .adapter(name)
            .filter(|adapter| adapter.digest() == binary.digest);
        let adapter = match same {
            Some(adapter) if *adapter.settings() == declaration.settings => Arc::clone(adapter),
            Some(adapter) => {
                let settings = declaration.settings.clone();
                Arc::new(
                    adapter
                        .with_settings(name, settings)
                        .map_err(component_error)?,
                )
            }
            None => {
                let settings = declaration.settings.clone();
                let cache = self.cache.as_ref().ok();
                let loaded = Adapter::load(&self.engine, cache, name, &binary, settings);
                Arc::new(loaded.map_err(component_error)?)
            }
        };
        let providers = &adapter.description().providers;
        for model in &declaration.models {
            let provider = split_model(&model.id).map_or("", |(provider, _)| provider);
            if !model.hidden && !providers.iter().any(|served| served.id == provider) {
                let served: Vec<&str> = providers.iter().map(|p| p.id.as_str()).collect();
                let problem = format!(
                    "runtime `{name}` does not serve provider `{provider}`, only {}",
                    served.join(", ")
                );
                return Err(ManifestError {
                    at: location(model.at),
                    problem,
                }
                .into());
            }
        }
        self.keep(&binary);
        Ok(adapter)
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
                    tracing::error!("{error}");
                    Change::Failed(Arc::clone(error))
                }
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
