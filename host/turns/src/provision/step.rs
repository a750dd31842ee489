//! One command of provisioning, run in a sandbox, its output kept and redacted.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aod_sandbox::{Cancel, Ended, RunOptions, SandboxSpec};
use aod_streams::events::Bell;
use aod_supervisor::Redactor;
use uuid::Uuid;

use super::error::StageError;
use super::sandboxes::Sandboxes;
use crate::Error;

/// How many of the last lines a failure quotes.
const QUOTED: usize = 20;
/// How many characters of each.
const QUOTED_WIDTH: usize = 500;
/// How many bytes are kept for that.
const TAIL: usize = 64 << 10;

/// Where a session's provisioning output goes.
pub(crate) struct Output {
    file: Capped,
    redactor: Arc<Redactor>,
    readers: Readers,
}

/// Those who follow the output of a session's provisioning.
#[derive(Clone)]
pub(crate) struct Readers {
    /// Wakes them.
    pub(crate) bell: Bell,
    /// The session.
    pub(crate) session: Uuid,
}

/// A file that keeps so much and no more, and says where it was cut.
#[derive(Clone)]
struct Capped {
    file: Arc<File>,
    /// What it may have in all.
    max: u64,
}

impl Output {
    /// Appends to a file for its owner alone, until it has `max` bytes.
    pub(crate) fn open(
        path: &Path,
        max: u64,
        redactor: Redactor,
        readers: Readers,
    ) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            file: Capped {
                file: Arc::new(file),
                max,
            },
            redactor: Arc::new(redactor),
            readers,
        })
    }

    /// Appends a line of the host's own, which holds no secret.
    pub(crate) fn say(&self, line: &str) {
        // Kept for people, as all of it.
        let _ = self.file.write(format!("{line}\n").as_bytes());
        self.readers.bell.ring(self.readers.session);
    }
}

/// Makes futures that end when provisioning is to be broken off.
pub(crate) type Cancelled<'a> = dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Sync + 'a;

/// A command of provisioning.
pub(crate) struct Step<'a> {
    /// The command, and its sandbox.
    pub(crate) spec: SandboxSpec,
    /// What it reads.
    pub(crate) stdin: Vec<u8>,
    /// What messages call it.
    pub(crate) what: &'a str,
    /// How long it may take.
    pub(crate) timeout: Duration,
}

/// Runs a command and waits for its end.
///
/// # Errors
/// [`StageError::Failed`] names the command, how it ended and the last lines of its output.
pub(crate) async fn run(
    sandboxes: &Sandboxes,
    step: Step<'_>,
    output: &mut Output,
    cancelled: impl Future<Output = ()>,
) -> Result<(), StageError> {
    let (what, timeout) = (step.what, step.timeout);
    let (ended, tail) = execute(sandboxes, step, output, cancelled).await?;
    let how = match ended {
        Ended::Exited(0) => return Ok(()),
        Ended::Cancelled => return Err(StageError::Cancelled),
        Ended::Exited(code) => format!("exited with code {code}"),
        Ended::Signaled(signal) => format!("was killed by signal {signal}"),
        Ended::OverLimit(exceeded) => format!("was killed: {exceeded}"),
        Ended::TimedOut => {
            format!("took longer than {} s", timeout.as_secs())
        }
    };
    Err(StageError::Failed(match tail.trim_end() {
        "" => format!("{what} {how} and said nothing"),
        tail => format!("{what} {how}; its last lines:\n{tail}"),
    }))
}

/// Runs a command; gives how it ended, and the last lines of its output.
///
/// # Errors
/// [`StageError::Cancelled`] where it was stopped.
pub(crate) async fn execute(
    sandboxes: &Sandboxes,
    step: Step<'_>,
    output: &mut Output,
    cancelled: impl Future<Output = ()>,
) -> Result<(Ended, String), StageError> {
    let Step {
        spec,
        stdin,
        what,
        timeout,
    } = step;
    let launch = sandboxes.driver.launch(&spec)?;
    let cancel = Cancel::new()?;
    let options = RunOptions {
        stdin,
        timeout: Some(timeout),
        cancel: Some(cancel.clone()),
    };
    let mut kept = Kept {
        file: output.file.clone(),
        readers: output.readers.clone(),
        tail: Vec::new(),
    };
    let redactor = output.redactor.clone();
    let header = match what {
        "" => String::new(),
        what => format!("$ {what}\n"),
    };
    let run = tokio::task::spawn_blocking(move || {
        kept.keep_in_file(header.as_bytes());
        // Redacted as one text: a secret may be cut by any read, however long its line is.
        let mut stream = redactor.stream();
        let mut redacted = Vec::new();
        let ended = aod_sandbox::run(&launch, &options, &mut |piece| {
            stream.push(piece, &mut redacted);
            kept.keep(&redacted);
            redacted.clear();
        });
        stream.finish(&mut redacted);
        kept.keep(&redacted);
        kept.end_line();
        (ended, kept.last_lines())
    });
    tokio::pin!(run, cancelled);
    let ended = tokio::select! {
        ended = &mut run => ended,
        () = &mut cancelled => {
            cancel.trigger();
            run.await
        }
    };
    let (ended, tail) = ended.map_err(Error::internal)?;
    match ended? {
        Ended::Cancelled => Err(StageError::Cancelled),
        ended => Ok((ended, tail)),
    }
}

/// What becomes of a step's output, which is free of secrets by now.
struct Kept {
    file: Capped,
    readers: Readers,
    tail: Vec<u8>,
}

impl Capped {
    fn write(&self, text: &[u8]) -> io::Result<()> {
        let mut file = &*self.file;
        let has = file.metadata()?.len();
        // With the mark it is longer than it may be: the cut was told already.
        if has > self.max {
            return Ok(());
        }
        let left = self.max - has;
        let Some(cut) = usize::try_from(left).ok().filter(|left| text.len() > *left) else {
            return file.write_all(text);
        };
        file.write_all(&text[..cut])?;
        let max = self.max;
        let mark = format!("\n[cut here: no more than {max} bytes of output are kept]\n");
        file.write_all(mark.as_bytes())
    }
}

impl Kept {
    fn keep(&mut self, text: &[u8]) {
        self.keep_in_file(text);
        self.tail.extend_from_slice(text);
        if self.tail.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
    }

    fn keep_in_file(&mut self, text: &[u8]) {
        // Kept for people; a full disk will show in what follows.
        let _ = self.file.write(text);
        self.readers.bell.ring(self.readers.session);
    }

    /// What the next step says begins a line of its own.
    fn end_line(&mut self) {
        if self.tail.last().is_some_and(|last| *last != b'\n') {
            self.keep_in_file(b"\n");
        }
    }

    fn last_lines(&self) -> String {
        let text = String::from_utf8_lossy(&self.tail);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(QUOTED)..];
        let short = last
            .iter()
            .map(|line| line.chars().take(QUOTED_WIDTH).collect::<String>());
        short.collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_once_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        for size in [1, 7, 10, 11, 100] {
            let _ = std::fs::remove_file(&path);
            let readers = Readers {
                bell: Bell::default(),
                session: Uuid::new_v4(),
            };
            let open = || {
                let readers = readers.clone();
                Output::open(&path, 10, Redactor::new([]), readers)
                    .unwrap()
                    .file
            };
            let text = vec![b'x'; size];
            open().write(&text).unwrap();
            open().write(b"0123456789").unwrap();
            open().write(b"more").unwrap();
            let kept = std::fs::read_to_string(&path).unwrap();
            assert_eq!(kept.matches("[cut here").count(), 1, "{size}: {kept}");
            let (before, _) = kept.split_once("\n[cut").unwrap();
            assert_eq!(before.len(), 10, "{kept}");
        }
    }
}
