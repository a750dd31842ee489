//! Starting a supervisor beside what else has to be done before a turn.

use std::path::PathBuf;

use aod_supervisor::{SpawnError, Started, TurnSpec, Waiting};

use crate::{Error, Result};

/// A supervisor on its way, while all else is made ready.
pub(super) struct Summoned(tokio::task::JoinHandle<std::result::Result<Waiting, SpawnError>>);

impl Summoned {
    pub(super) fn start(binary: PathBuf) -> Self {
        Self(tokio::task::spawn_blocking(move || Waiting::start(&binary)))
    }

    /// Gives it its turn, and waits until that has begun; the inner error says why it has not.
    pub(super) async fn begin(
        self,
        spec: Box<TurnSpec>,
    ) -> Result<std::result::Result<Started, SpawnError>> {
        let waiting = match self.0.await.map_err(Error::internal)? {
            Ok(waiting) => waiting,
            Err(error) => return Ok(Err(error)),
        };
        let begun = tokio::task::spawn_blocking(move || waiting.begin(&spec));
        begun.await.map_err(Error::internal)
    }
}
