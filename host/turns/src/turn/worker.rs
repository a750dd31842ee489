//! A turn's worker, from this process's side: started beside what else has to be done before the
//! turn, given its turn, and asked.

use std::sync::Arc;

use aod_store::StopRequest;
use aod_supervisor::{Request, TurnSpec};
use tokio::task::JoinHandle;

use crate::placement::{ControlReply, PendingWorker, Placement, PlacementError, WorkerId};
use crate::{Error, Result};

/// A worker on its way, while all else is made ready.
pub(super) struct PendingSupervisor(JoinHandle<Result<Box<dyn PendingWorker>, PlacementError>>);

impl PendingSupervisor {
    pub(super) fn start(placement: Arc<dyn Placement>, worker: WorkerId) -> Self {
        Self(tokio::task::spawn_blocking(move || placement.start(worker)))
    }

    /// Gives it its turn, and waits until that runs; the inner error says why it does not.
    pub(super) async fn run(self, spec: Box<TurnSpec>) -> Result<Result<(), PlacementError>> {
        let pending = match self.0.await.map_err(Error::internal)? {
            Ok(pending) => pending,
            Err(error) => return Ok(Err(error)),
        };
        let run = tokio::task::spawn_blocking(move || pending.run(&spec));
        run.await.map_err(Error::internal)
    }
}

/// Asks a turn's worker for something.
pub(super) async fn ask(
    placement: &Arc<dyn Placement>,
    worker: WorkerId,
    request: Request,
) -> Result<ControlReply> {
    let placement = placement.clone();
    let asked = tokio::task::spawn_blocking(move || placement.ask(worker, &request));
    asked.await.map_err(Error::internal)
}

/// Has a turn's worker end the turn.
pub(super) async fn stop(
    placement: &Arc<dyn Placement>,
    worker: WorkerId,
    how: StopRequest,
) -> Result<ControlReply> {
    let placement = placement.clone();
    let asked = tokio::task::spawn_blocking(move || placement.stop(worker, how));
    asked.await.map_err(Error::internal)
}

/// Has a turn's worker end the turn, and all that runs under it: one that does not answer is killed
/// by its placement.
pub(super) async fn stop_for_good(placement: &Arc<dyn Placement>, worker: WorkerId) {
    match stop(placement, worker, StopRequest::Terminate).await {
        Ok(ControlReply::Done | ControlReply::Gone) => {}
        Ok(ControlReply::Refused(reason)) => {
            tracing::warn!(reason, "a turn's worker refuses to end it");
        }
        Ok(ControlReply::Silent) => tracing::warn!("a turn's worker does not answer"),
        Err(error) => {
            tracing::warn!(error = %error.details(), "a turn's worker cannot be asked to end it");
        }
    }
}
