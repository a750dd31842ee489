//! What the sandbox driver finds out about the machine, while the server already answers.

use std::sync::Arc;

use aod_sandbox::{Probe, SandboxDriver};
use tokio::sync::watch;

/// What the driver finds. Finding it out takes a sandbox, so that the server listens meanwhile.
#[derive(Clone, Debug)]
pub struct Machine {
    found: watch::Receiver<Option<Arc<Probe>>>,
}

impl Machine {
    /// Begins to find it out.
    pub(crate) fn look(driver: Arc<dyn SandboxDriver>) -> Self {
        let (tell, found) = watch::channel(None);
        tokio::task::spawn_blocking(move || {
            // Nobody may be left to be told.
            let _ = tell.send(Some(Arc::new(driver.probe())));
        });
        Self { found }
    }

    /// What was found, once it is; none if the driver failed to look.
    pub async fn probe(&self) -> Option<Arc<Probe>> {
        let mut found = self.found.clone();
        let probe = found.wait_for(Option::is_some).await.ok()?;
        probe.clone()
    }
}
