//! Loading beside the server: compiling takes seconds, and neither the server's start nor its end
//! waits for that.

use std::sync::Arc;
use std::time::Duration;

use aod_runtime::{Engine, Health, Registry, Report, Snapshot};
use aod_turns::Paths;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Runtimes;
use crate::{Config, Error, OpenError, Result};

/// A start waits for so long until it is known which components have to be compiled. Where none
/// has, all runtimes can be used as soon as the server listens.
const LOOK_AROUND: Duration = Duration::from_millis(50);

/// A request waits for so long until what it names is compiled.
const PATIENCE: Duration = Duration::from_secs(20);

impl Runtimes {
    /// Reads the manifest and begins to load the components. What has to be compiled is so beside
    /// everything else.
    pub(crate) async fn open(config: &Config, paths: &Paths) -> Result<Self, OpenError> {
        let (manifest, cwasm, adapters) =
            (config.runtimes.clone(), paths.cwasm(), paths.adapters());
        let compiler = config.compiler.clone();
        let precompiled = config.precompiled.clone();
        let registry = tokio::task::spawn_blocking(move || {
            let mut engine = Engine::new()?.compiling_by(compiler);
            if let Some(folder) = precompiled {
                engine = engine.with_precompiled(folder);
            }
            Ok::<_, OpenError>(Registry::open(engine, &manifest, &cwasm, &adapters))
        });
        let registry = Arc::new(registry.await??);
        let mut snapshots = registry.subscribe();
        // Who wants to know what became of it looks at the snapshot.
        drop(reload(registry.clone()).map_err(OpenError::Thread)?);
        let looked_around = snapshots.wait_for(|snapshot| !is_unknown(snapshot));
        let _ = timeout(LOOK_AROUND, looked_around).await;
        Ok(Self {
            registry,
            installs: paths.runtimes().into(),
        })
    }

    /// Reloads, and says what that did. It goes on when this is dropped.
    pub(super) async fn reports(&self) -> Result<Vec<Report>> {
        let reports = reload(self.registry.clone()).map_err(Error::internal)?;
        reports.await.map_err(Error::internal)
    }

    /// Checks that a runtime is there and serves a model. Waits for one that is being compiled.
    pub(crate) async fn check_when_compiled(&self, runtime: &str, model: &str) -> Result<()> {
        if timeout(PATIENCE, self.registry.settled(runtime))
            .await
            .is_err()
        {
            return Err(Error::StillCompiling {
                runtime: runtime.to_owned(),
            });
        }
        self.check(runtime, model)
    }

    /// Waits until nothing is being compiled any more, or does not come to an end.
    pub(crate) async fn compiled(&self) {
        let mut snapshots = self.registry.subscribe();
        let compiled = snapshots.wait_for(|snapshot| {
            let mut names = snapshot.runtimes.keys();
            !names.any(|name| snapshot.is_compiling(name))
        });
        // What is there by then is what there is.
        let _ = timeout(PATIENCE, compiled).await;
    }

    /// Waits until it is known of each declared runtime whether it can be used.
    pub async fn loaded(&self) {
        let names: Vec<String> = self.registry.snapshot().runtimes.keys().cloned().collect();
        for name in names {
            self.registry.settled(&name).await;
        }
    }
}

/// Reloads on a thread of its own, which nobody waits for when the process ends: a compiler that
/// takes its time keeps no server from ending, and what it is at is lost whole.
fn reload(registry: Arc<Registry>) -> std::io::Result<oneshot::Receiver<Vec<Report>>> {
    let (done, reports) = oneshot::channel();
    let work = move || {
        // Nobody may want to know.
        let _ = done.send(registry.reload());
    };
    std::thread::Builder::new()
        .name("aod-load".to_owned())
        .spawn(work)?;
    Ok(reports)
}

/// Whether it is not known yet of some runtime if it has to be compiled.
fn is_unknown(snapshot: &Snapshot) -> bool {
    let mut runtimes = snapshot.runtimes.values();
    runtimes.any(|runtime| matches!(runtime.health, Health::Compiling(None)))
}
