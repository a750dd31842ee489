//! Layers of packages: what is told of them, and who needs them.

use std::time::Duration;

use aod_resources::{Environment, PackageLayer};
use uuid::Uuid;

use super::Turns;
use crate::packages::PackageSet;
use crate::periodic::Periodic;
use crate::{Error, Result};

/// How often layers are looked at.
const PERIOD: Duration = Duration::from_secs(3600);

impl Turns {
    /// What there is of the packages of each of these environments; nothing where it names none.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub async fn package_layers(
        &self,
        environments: &[Environment],
    ) -> Result<Vec<Option<PackageLayer>>> {
        let wanted: Vec<_> = environments.iter().map(PackageSet::of).collect();
        if wanted.iter().all(Option::is_none) {
            return Ok(vec![None; wanted.len()]);
        }
        let turns = self.clone();
        let look = tokio::task::spawn_blocking(move || {
            let look = |wanted: &PackageSet| turns.packages.look(wanted);
            let layers = wanted.iter().map(|wanted| wanted.as_ref().map(look));
            layers.collect()
        });
        look.await.map_err(Error::internal)
    }

    /// The sessions with a turn or with a process at rest.
    fn busy_sessions(&self) -> Vec<Uuid> {
        let mut busy: Vec<Uuid> = self.active().keys().copied().collect();
        busy.extend(self.resting.sessions());
        busy
    }
}

/// Removes layers that nobody has used for long: at once, and then every hour, until the server
/// stops.
pub(super) async fn sweep_now_and_then(turns: Turns) {
    if !turns.packages.is_swept() {
        return;
    }
    let mut periodic = Periodic::new(PERIOD, turns.shutdown.clone());
    while periodic.next().await {
        let mut used = Vec::new();
        for session in turns.busy_sessions() {
            // One that is gone by now needs none.
            if let Ok(record) = turns.store.session_record(session).await {
                used.extend(record.environment.as_ref().and_then(PackageSet::of));
            }
        }
        let turns = turns.clone();
        let sweep = tokio::task::spawn_blocking(move || turns.packages.sweep(&used));
        if let Err(error) = sweep.await {
            tracing::error!(%error, "layers of packages cannot be looked at");
        }
    }
}
