//! The loaded runtimes that sessions choose from: the adapter and the CLI that a session keeps.

use std::sync::Arc;

use aod_runtime::{Adapter, Cli, Digest, Registry};
use aod_store::{SessionRecord, Store};

use crate::{Error, Result};

/// The adapters that turns are run with.
#[derive(Clone)]
pub struct Adapters {
    registry: Arc<Registry>,
    store: Store,
}

impl std::fmt::Debug for Adapters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adapters").finish_non_exhaustive()
    }
}

/// What a session keeps of its runtime: the adapter and the CLI that it began with.
#[derive(Clone, Debug)]
pub struct Build {
    /// SHA-256 of the adapter's component, in hex.
    pub adapter_digest: String,
    /// Names the installation of its CLI; none where the operator installed it.
    pub install_key: Option<String>,
}

impl Build {
    /// What a session that begins with this adapter keeps.
    pub fn of(adapter: &Adapter) -> Self {
        Self {
            adapter_digest: adapter.digest().to_string(),
            install_key: adapter.cli().install_key(),
        }
    }
}

/// The adapter and the CLI of a session.
pub(crate) struct Chosen {
    pub(crate) adapter: Arc<Adapter>,
    pub(crate) cli: Cli,
    pub(crate) install_key: Option<String>,
}

impl Adapters {
    /// Those of the loaded runtimes.
    pub fn new(registry: Arc<Registry>, store: Store) -> Self {
        Self { registry, store }
    }

    /// The memory that `runtimes.toml` says a turn of this runtime needs.
    pub(crate) fn turn_memory(&self, runtime: &str) -> Option<u64> {
        let snapshot = self.registry.snapshot();
        let runtime = snapshot.runtimes.get(runtime)?;
        match runtime.health.adapter() {
            Some(adapter) => adapter.turn_memory(),
            // Not known yet, but what is declared is.
            None => runtime.declaration.as_ref()?.settings.turn_memory,
        }
    }

    /// The adapter and the CLI that a session began with. One that was made while its runtime was
    /// being compiled waits for that, and begins with what it is then.
    ///
    /// How the CLI is started (`command`, `env`, `options`, `limits`) is not kept with the session
    /// but read from the runtime's table, which has to be there.
    pub(crate) async fn choose(&self, session: &SessionRecord) -> Result<Chosen> {
        self.check_declared(&session.session.runtime)?;
        if let Some(digest) = &session.adapter_digest {
            let adapter = self.by_digest(session, digest).await?;
            return Ok(Chosen {
                cli: adapter.cli().clone(),
                adapter,
                install_key: session.install_key.clone(),
            });
        }
        let name = &session.session.runtime;
        let snapshot = self.registry.settled(name).await;
        let adapter = snapshot
            .adapter(name)
            .ok_or_else(|| Error::RuntimeUnusable {
                runtime: name.clone(),
            })?;
        snapshot
            .catalog
            .validate_model(name, &session.session.model)?;
        let Build {
            adapter_digest,
            install_key,
        } = Build::of(adapter);
        self.store
            .set_build(session.session.id, adapter_digest, install_key.clone())
            .await?;
        Ok(Chosen {
            cli: adapter.cli().clone(),
            adapter: Arc::clone(adapter),
            install_key,
        })
    }

    /// Checks that a runtime's table is there and was read.
    fn check_declared(&self, name: &str) -> Result<()> {
        let snapshot = self.registry.snapshot();
        let runtime = name.to_owned();
        match snapshot.runtimes.get(name) {
            Some(declared) if declared.declaration.is_some() => Ok(()),
            Some(declared) => Err(Error::RuntimeUnreadable {
                runtime,
                problem: declared
                    .health
                    .error()
                    .map_or_else(|| "it was not read".to_owned(), ToString::to_string),
            }),
            // It may well be there, but nothing of the file could be read.
            None => Err(match snapshot.errors.first() {
                Some(error) => Error::RuntimeUnreadable {
                    runtime,
                    problem: error.to_string(),
                },
                None => Error::RuntimeUndeclared { runtime },
            }),
        }
    }

    /// The adapter with a digest, whatever `runtimes.toml` says by now.
    pub(crate) async fn by_digest(
        &self,
        session: &SessionRecord,
        digest: &str,
    ) -> Result<Arc<Adapter>> {
        let registry = self.registry.clone();
        let runtime = session.session.runtime.clone();
        let digest: Digest = digest.parse().map_err(Error::internal)?;
        if let Some(adapter) = registry.loaded(&runtime, digest) {
            return Ok(adapter);
        }
        // It may just be what is being compiled: who waits for that here takes no thread.
        registry.compiled(&runtime, digest).await;
        tokio::task::spawn_blocking(move || registry.by_digest(&runtime, digest))
            .await
            .map_err(Error::internal)?
            .map_err(Error::AdapterGone)
    }
}
