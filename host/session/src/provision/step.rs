//! One command of provisioning, run in a sandbox, its output kept and redacted.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aod_sandbox::{Cancel, Ended, RunOptions, SandboxSpec};
use aod_supervisor::Redactor;

use super::Trouble;
use crate::turn::Turns;

/// How many of the last lines a failure quotes.
const QUOTED: usize = 20;

/// The step was stopped.
pub(crate) struct Cancelled;

/// Where a session's provisioning output goes.
pub(crate) struct Output {
    file: Option<File>,
    redactor: Arc<Redactor>,
}

impl Output {
    /// Appends to a file for its owner alone.
    pub(crate) fn open(path: &Path, redactor: Redactor) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            file: Some(file),
            redactor: Arc::new(redactor),
        })
    }
}

/// Runs a command and waits for its end.
///
/// # Errors
/// [`Trouble::Failed`] names the command, how it ended and the last lines of its output.
pub(crate) async fn run(
    turns: &Turns,
    spec: SandboxSpec,
    stdin: Vec<u8>,
    what: &str,
    output: &mut Output,
    cancelled: impl Future<Output = ()>,
) -> Result<(), Trouble> {
    let failed = |error: &dyn std::fmt::Display| Trouble::Failed(format!("{what}: {error}"));
    let launch = turns.driver.launch(&spec).map_err(|error| failed(&error))?;
    let cancel = Cancel::new().map_err(|error| failed(&error))?;
    let options = RunOptions {
        stdin,
        timeout: Some(turns.config.turn.step_timeout),
        cancel: Some(cancel.clone()),
    };
    let mut file = output.file.as_ref().map(File::try_clone).transpose()?;
    let redactor = output.redactor.clone();
    let header = format!("$ {what}\n");
    let last = Arc::new(Mutex::new(VecDeque::with_capacity(QUOTED)));
    let lines = last.clone();
    let run = tokio::task::spawn_blocking(move || {
        if let Some(file) = &mut file {
            // Kept for people; a full disk will show in what follows.
            let _ = file.write_all(header.as_bytes());
        }
        aod_sandbox::run(&launch, &options, &mut |line| {
            let mut line = redactor.redact(line).into_owned();
            if let Some(file) = &mut file {
                line.push(b'\n');
                let _ = file.write_all(&line);
                line.pop();
            }
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == QUOTED {
                lines.pop_front();
            }
            lines.push_back(
                String::from_utf8_lossy(&line)
                    .chars()
                    .take(500)
                    .collect::<String>(),
            );
        })
    });
    tokio::pin!(run, cancelled);
    let ended = tokio::select! {
        ended = &mut run => ended,
        () = &mut cancelled => {
            cancel.trigger();
            run.await
        }
    };
    let ended = ended
        .map_err(|error| failed(&error))?
        .map_err(|error| failed(&error))?;
    let how = match ended {
        Ended::Exited(0) => return Ok(()),
        Ended::Cancelled => return Err(Trouble::Cancelled),
        Ended::Exited(code) => format!("exited with code {code}"),
        Ended::Signaled(signal) => format!("was killed by signal {signal}"),
        Ended::TimedOut => {
            format!(
                "took longer than {} s",
                turns.config.turn.step_timeout.as_secs()
            )
        }
    };
    let last = last.lock().unwrap_or_else(PoisonError::into_inner);
    let tail: Vec<&str> = last.iter().map(String::as_str).collect();
    Err(Trouble::Failed(match tail.join("\n").trim_end() {
        "" => format!("{what} {how} and said nothing"),
        tail => format!("{what} {how}; its last lines:\n{tail}"),
    }))
}
