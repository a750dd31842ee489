//! What the host itself writes into a session's log: stages and terminal events, between turns.

use std::path::Path;
use std::time::Duration;

use aod_log::{Batch, Kind, Meta, Options, Writer};
use aod_resources::Timestamp;
use serde_json::Value;

use crate::{Error, Result};

/// How long to wait for a supervisor that is about to let go of the log.
const PATIENCE: Duration = Duration::from_secs(10);

/// The right to write into a session's log, as the host.
pub(crate) struct Journal {
    writer: Writer,
    turn: u32,
    batch: Batch,
}

impl Journal {
    /// Takes the log, as soon as nobody else has it. Entries up to the number `given` were on the
    /// disk: where they are not any more, it is gone on with behind them.
    ///
    /// # Errors
    /// [`Error::Internal`] where the log is damaged, or somebody else keeps it.
    pub(crate) async fn open(log: &Path, options: Options, turn: u32, given: u64) -> Result<Self> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut wait = Duration::from_millis(1);
        loop {
            match Writer::open_after(log, options, given) {
                Ok(writer) => {
                    if writer.lost() > 0 {
                        tracing::error!(
                            log = %log.display(),
                            entries = writer.lost(),
                            "a log has lost its end, or is gone; it goes on behind entry {given}"
                        );
                    }
                    return Ok(Self {
                        writer,
                        turn,
                        batch: Batch::new(),
                    });
                }
                Err(aod_log::Error::Locked { .. }) if tokio::time::Instant::now() < deadline => {
                    // Released by the end of a process, which nothing announces.
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_millis(50));
                }
                Err(error) => return Err(Error::internal(error)),
            }
        }
    }

    /// The number of the last record.
    pub(crate) fn last_id(&self) -> u64 {
        self.writer.last_id()
    }

    /// Whether entries were gone when the log was taken.
    pub(crate) fn has_lost(&self) -> bool {
        self.writer.lost() > 0
    }

    /// Appends a stage's beginning or end.
    pub(crate) fn stage(&mut self, payload: &Value) -> Result<()> {
        self.push(Kind::Stage, payload)?;
        self.writer
            .append(&mut self.batch)
            .map_err(Error::internal)?;
        Ok(())
    }

    /// Appends a turn's terminal event and forces the log to the disk.
    pub(crate) fn terminal(&mut self, terminal: &Terminal) -> Result<()> {
        self.push(terminal.kind(), &terminal.payload())?;
        self.writer
            .append_final(&mut self.batch)
            .map_err(Error::internal)?;
        self.writer.sync().map_err(Error::internal)
    }

    fn push(&mut self, kind: Kind, payload: &Value) -> Result<()> {
        let meta = Meta::new(kind, self.turn, Timestamp::now().as_micros());
        self.batch
            .push(meta, payload.to_string().as_bytes())
            .map_err(Error::internal)
    }
}

/// The event that ends a turn for those who follow it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Terminal {
    /// The CLI exited.
    Exit {
        /// With this code.
        code: i32,
    },
    /// The host could not run or finish the turn.
    Error {
        /// Why.
        message: String,
    },
    /// The session was terminated.
    Terminated {
        /// By whom.
        message: String,
    },
}

impl Terminal {
    fn kind(&self) -> Kind {
        match self {
            Self::Exit { .. } => Kind::Exit,
            Self::Error { .. } => Kind::Error,
            Self::Terminated { .. } => Kind::Terminated,
        }
    }

    pub(crate) fn payload(&self) -> Value {
        match self {
            Self::Exit { code } => serde_json::json!({ "code": code }),
            Self::Error { message } | Self::Terminated { message } => {
                serde_json::json!({ "message": message })
            }
        }
    }
}
