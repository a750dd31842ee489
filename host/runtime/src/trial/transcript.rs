//! Recorded output.

use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

use crate::types::{Exit, ExitCause};

/// How much of stderr a host hands over at the end.
const STDERR_TAIL: usize = 4 << 10;

/// The recorded output of one process with one prompt.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// Its name, for messages.
    pub name: String,
    /// All that the CLI wrote to stdout.
    pub stdout: String,
    /// All that it wrote to stderr.
    pub stderr: String,
    /// How it ended.
    pub exit: Exit,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExitFile {
    code: Option<i32>,
    signal: Option<i32>,
    #[serde(default)]
    cause: Option<Cause>,
}

/// Why a process ended, in a file.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cause {
    Own,
    Interrupted,
    Terminated,
    Timeout,
    Idle,
    Limit,
    Closed,
}

impl From<Cause> for ExitCause {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Own => Self::Own,
            Cause::Interrupted => Self::Interrupted,
            Cause::Terminated => Self::Terminated,
            Cause::Timeout => Self::Timeout,
            Cause::Idle => Self::Idle,
            Cause::Limit => Self::Limit,
            Cause::Closed => Self::Closed,
        }
    }
}

impl Transcript {
    /// Reads `<name>.jsonl`, and `<name>.stderr` and `<name>.exit.json` where they lie beside it.
    /// The latter holds `code` or `signal`, and a `cause` other than `own`; without it the process
    /// ended with code 0.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or is no UTF-8 or not what it should be.
    pub fn read(path: &Path) -> io::Result<Self> {
        let named = |path: &Path, error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        };
        let stdout = fs::read_to_string(path).map_err(|error| named(path, error))?;
        let beside = |extension: &str| {
            let path = path.with_extension(extension);
            match fs::read_to_string(&path) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(named(&path, error)),
            }
        };
        let stderr = beside("stderr")?.unwrap_or_default();
        let exit = match beside("exit.json")? {
            Some(text) => serde_json::from_str(&text)
                .map_err(|error| named(&path.with_extension("exit.json"), error.into()))?,
            None => ExitFile {
                code: Some(0),
                ..ExitFile::default()
            },
        };
        let tail = (stderr.len().saturating_sub(STDERR_TAIL)..stderr.len())
            .find_map(|at| stderr.get(at..))
            .unwrap_or_default();
        Ok(Self {
            name: path.display().to_string(),
            exit: Exit {
                code: exit.code,
                signal: exit.signal,
                cause: exit.cause.map_or(ExitCause::Own, ExitCause::from),
                stderr_tail: tail.to_owned(),
            },
            stdout,
            stderr,
        })
    }
}
