use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

use crate::{Exit, ExitCause};

/// The recorded output of one process with one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The case's name.
    pub name: String,
    /// All that the CLI wrote to stdout.
    pub stdout: String,
    /// All that it wrote to stderr.
    pub stderr: String,
    /// How it ended.
    pub exit: Exit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExitFile {
    code: Option<i32>,
    signal: Option<i32>,
    cause: Option<String>,
}

/// How much of stderr a host hands over at the end.
const STDERR_TAIL: usize = 4096;

/// Reads a folder of recordings, sorted by name. A case is `<name>.exit.json`, which holds `code`
/// or `signal` and a `cause` other than `own`, and what there is of `<name>.jsonl` and
/// `<name>.stderr`.
///
/// # Errors
///
/// The folder or a file in it cannot be read.
pub fn recordings(folder: impl AsRef<Path>) -> io::Result<Vec<Recording>> {
    let folder = folder.as_ref();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if let Some(name) = name
            .to_str()
            .and_then(|name| name.strip_suffix(".exit.json"))
        {
            found.push(read(folder, name)?);
        }
    }
    found.sort_by(|left: &Recording, right| left.name.cmp(&right.name));
    Ok(found)
}

fn read(folder: &Path, name: &str) -> io::Result<Recording> {
    let output = |kind: &str| match fs::read_to_string(folder.join(format!("{name}.{kind}"))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other,
    };
    let (stdout, stderr) = (output("jsonl")?, output("stderr")?);
    let file: ExitFile = serde_json::from_str(&output("exit.json")?)?;
    let cause = match file.cause.as_deref() {
        None => ExitCause::Own,
        Some("interrupted") => ExitCause::Interrupted,
        Some("terminated") => ExitCause::Terminated,
        Some("timeout") => ExitCause::Timeout,
        Some("idle") => ExitCause::Idle,
        Some("limit") => ExitCause::Limit,
        Some("closed") => ExitCause::Closed,
        Some(other) => return Err(io::Error::other(format!("{name}: unknown cause {other}"))),
    };
    let tail = (stderr.len().saturating_sub(STDERR_TAIL)..stderr.len())
        .find_map(|at| stderr.get(at..))
        .unwrap_or_default();
    Ok(Recording {
        name: name.to_owned(),
        exit: Exit {
            code: file.code,
            signal: file.signal,
            cause,
            stderr_tail: tail.to_owned(),
        },
        stdout,
        stderr,
    })
}
