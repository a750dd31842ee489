//! The stages of provisioning, and the journal's records of them.

use std::collections::HashSet;
use std::time::Instant;

use aod_log::{Kind, Reader};
use aod_metrics::metrics;
use aod_supervisor::Redactor;
use serde_json::{Value, json};

use super::error::{ProvisionError, StageError};
use crate::journal::Journal;
use crate::paths::SessionPaths;
use crate::{Error, Result};

/// A stage of provisioning, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    CreateSandbox,
    EnvFile,
    ProvisionSetup,
    NetworkPolicy,
    McpConfig,
    Skills,
    RuntimeStart,
}

impl Stage {
    /// Its name on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CreateSandbox => "create_sandbox",
            Self::EnvFile => "env_file",
            Self::ProvisionSetup => "provision_setup",
            Self::NetworkPolicy => "network_policy",
            Self::McpConfig => "mcp_config",
            Self::Skills => "skills",
            Self::RuntimeStart => "runtime_start",
        }
    }
}

/// Writes a stage's beginning and end around what it does.
pub(crate) struct Stages<'a> {
    journal: &'a mut Journal,
    compat: bool,
    done: HashSet<String>,
    redactor: Redactor,
}

impl<'a> Stages<'a> {
    /// With what an earlier host, or an earlier turn, has done already.
    pub(crate) fn resume(
        journal: &'a mut Journal,
        paths: &SessionPaths,
        compat: bool,
    ) -> Result<Self> {
        let mut done = HashSet::new();
        let mut reader = Reader::open(&paths.log()).map_err(Error::internal)?;
        while let Some(record) = reader.next().map_err(Error::internal)? {
            if record.kind.is_output() {
                // The first turn's CLI ran: all stages before it are done.
                break;
            }
            if record.kind != Kind::Stage {
                continue;
            }
            let Ok(stage) = serde_json::from_slice::<Value>(record.payload) else {
                continue;
            };
            if let (Some(name), Some("done")) = (stage["stage"].as_str(), stage["state"].as_str()) {
                done.insert(name.to_owned());
            }
        }
        Ok(Self {
            journal,
            compat,
            done,
            redactor: Redactor::new([]),
        })
    }

    /// Keeps a turn's secrets out of what failures say from now on.
    pub(crate) fn redact(&mut self, redactor: Redactor) {
        self.redactor = redactor;
    }

    /// Whether a stage is done already.
    pub(crate) fn is_done(&self, stage: Stage) -> bool {
        self.done.contains(self.wire_name(stage))
    }

    fn wire_name(&self, stage: Stage) -> &'static str {
        match stage {
            Stage::CreateSandbox if self.compat => "create_sprite",
            stage => stage.name(),
        }
    }

    /// Runs a stage.
    pub(crate) async fn run<T>(
        &mut self,
        stage: Stage,
        work: impl Future<Output = Result<T, StageError>>,
    ) -> Result<T, ProvisionError> {
        let name = self.wire_name(stage);
        let begun = Instant::now();
        self.journal
            .stage(&json!({ "stage": name, "state": "started" }))?;
        let result = work.await;
        let word = match &result {
            Ok(_) => "done",
            Err(StageError::Cancelled) => "cancelled",
            Err(_) => "failed",
        };
        metrics()
            .stage_seconds
            .with_label_values(&[stage.name(), word])
            .observe(begun.elapsed().as_secs_f64());
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match result {
            Ok(done) => {
                self.journal
                    .stage(&json!({ "stage": name, "state": "done", "duration_ms": millis }))?;
                Ok(done)
            }
            Err(StageError::Failed(message)) => self.failed(name, millis, &message),
            Err(StageError::Host(error)) => {
                if error.is_internal() {
                    let cause = error.details().to_string();
                    let cause = self.redactor.redact_str(&cause);
                    tracing::error!(stage = name, error = %cause, "a stage failed");
                }
                self.failed(name, millis, &error.to_string())
            }
            Err(StageError::Cancelled) => {
                self.journal.stage(&json!({
                    "stage": name, "state": "failed", "duration_ms": millis, "message": "stopped by its user",
                }))?;
                Err(ProvisionError::Cancelled)
            }
        }
    }

    fn failed<T>(&mut self, name: &str, millis: u64, message: &str) -> Result<T, ProvisionError> {
        let message = self.redactor.redact_str(message);
        self.journal.stage(&json!({
            "stage": name, "state": "failed", "duration_ms": millis, "message": message,
        }))?;
        Err(ProvisionError::Failed(format!("{name} failed: {message}")))
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::instrument::WithSubscriber as _;
    use uuid::Uuid;

    use super::*;
    use crate::Paths;

    /// Runs a stage that fails; gives what its user is told, the journal's record of it, and what
    /// went into the server's log.
    async fn fail(error: impl Into<StageError>) -> (String, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::create(&folder.path().join("data")).unwrap();
        let paths = paths.session(Uuid::new_v4());
        paths.create().unwrap();
        let mut journal = Journal::open(&paths.log(), aod_log::Options::default(), 1, 0)
            .await
            .unwrap();
        let mut stages = Stages::resume(&mut journal, &paths, false).unwrap();
        stages.redact(Redactor::new([("TOKEN", "a-secret-value")]));
        let logged = Written::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer({
                let logged = logged.clone();
                move || logged.clone()
            })
            .finish();
        let error = error.into();
        let told = stages
            .run::<()>(Stage::Skills, async { Err(error) })
            .with_subscriber(subscriber)
            .await;
        let Err(ProvisionError::Failed(told)) = told else {
            panic!("{told:?}");
        };
        let mut reader = Reader::open(&paths.log()).unwrap();
        let mut record = String::new();
        while let Some(next) = reader.next().unwrap() {
            record = next.text().to_owned();
        }
        let logged = logged.0.lock().unwrap().clone();
        (told, record, String::from_utf8(logged).unwrap())
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_user_is_told_what_to_do_and_the_log_has_the_cause() {
        let cause = io::Error::other("/srv/secret-place: Input/output error; a-secret-value");
        let (told, record, logged) = fail(cause).await;
        for text in [&told, &record] {
            assert!(text.contains("ask its operator"), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
        assert!(
            logged.contains("/srv/secret-place: Input/output error"),
            "{logged}"
        );
        assert!(!logged.contains("a-secret-value"), "{logged}");
    }

    #[tokio::test]
    async fn a_full_disk_is_named() {
        let cause = io::Error::from(io::ErrorKind::StorageFull);
        let (told, record, _) = fail(cause).await;
        for text in [&told, &record] {
            assert!(text.contains("disk is full"), "{text}");
        }
    }
}
