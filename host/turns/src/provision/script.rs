//! An environment's setup script: as what it is run, and what comes of it.

use std::borrow::Cow;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use aod_resources::{Environment, Secrets};
use aod_sandbox::{Mount, PrivateFile};
use aod_trees::{Folder, Trash};
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::Setup;
use super::error::StageError;
use super::sandboxes::Sandboxes;
use super::step::{self, Output, Step};
use super::variables;
use crate::network::{SandboxNetwork, packets};
use crate::{Error, git};

/// The variable that names the file for variables.
pub(super) const VARIABLE: &str = "AOD_ENV";
/// The folder of that file, in the sandbox.
const FOLDER: &str = "/run/aod-env";
/// The file's name.
const FILE: &str = "env";
/// The script's name, as messages have it.
const NAME: &str = "setup_script";

/// The script of an environment, if it has one.
pub(crate) fn of(environment: &Environment) -> Option<&str> {
    let script = environment.setup_script.as_deref();
    script.filter(|script| !script.trim().is_empty())
}

/// Runs a setup script; gives the variables that it left for what comes after it.
pub(super) async fn run(
    setup: &Setup<'_>,
    script: &str,
    timeout: Duration,
    output: &mut Output,
    cancelled: impl Future<Output = ()>,
) -> Result<Secrets, StageError> {
    let Setup {
        sandboxes,
        paths,
        layer,
        secrets,
        trash,
        ..
    } = *setup;
    let script = mended(script);
    let driver = &*sandboxes.driver;
    let place = driver.private_dir(&paths.home()).join(NAME);
    let mut argv = interpreter(&script);
    argv.push(place.to_string_lossy().into_owned());
    let mut spec = sandboxes.of_session(paths, None, layer, argv);
    let session = setup.session;
    spec.private_files.push(PrivateFile {
        path: place,
        mode: 0o755,
        content: Zeroizing::new(script.into_owned().into_bytes()),
    });
    for (name, value) in &secrets.variables {
        let value = Zeroizing::new(value.expose_secret().to_owned());
        Sandboxes::set_variable(&mut spec, name, value);
    }
    git::give_identity(&mut spec, sandboxes, session, &[]);
    let packets = packets(&sandboxes.egress, session).map_err(StageError::Failed)?;
    SandboxNetwork::open(&sandboxes.egress, setup.bound.cloned(), packets)?.apply(&mut spec);
    let host = paths.setup();
    make_folder(&host, trash)?;
    let inside = driver.place(&host, FOLDER.as_ref());
    let file = inside.join(FILE).to_string_lossy().into_owned();
    spec.writable.push(Mount::new(&host, inside));
    spec.env.push((VARIABLE.to_owned(), Zeroizing::new(file)));
    let step = Step {
        spec,
        stdin: Vec::new(),
        what: NAME,
        timeout,
    };
    let ended = step::run(sandboxes, step, output, cancelled).await;
    // It may hold secrets: whatever the script came to, it does not stay on the disk.
    let (folder, trash) = (host, trash.clone());
    let left = tokio::task::spawn_blocking(move || {
        let text = read(&folder);
        discard(&folder, &trash).map(|()| text)
    });
    let left = left.await.map_err(Error::internal)??;
    ended?;
    let wrong = |problem: &dyn std::fmt::Display| {
        StageError::Failed(format!(
            "what {NAME} wrote to ${VARIABLE} is wrong: {problem}"
        ))
    };
    let text = left.map_err(|problem| wrong(&problem))?;
    variables::read(&text).map_err(|problem| wrong(&problem))
}

/// A script as Unix expects it: without a byte order mark, and with lines that end in a line feed.
fn mended(script: &str) -> Cow<'_, str> {
    let script = script.strip_prefix('\u{feff}').unwrap_or(script);
    match script.contains('\r') {
        true => script
            .replace("\r\n", "\n")
            .trim_end_matches('\r')
            .to_owned()
            .into(),
        false => script.into(),
    }
}

/// What runs a script: what its first line names after `#!`, with all that follows as one argument,
/// as the kernel does it; else the shell.
fn interpreter(script: &str) -> Vec<String> {
    let first = script.lines().next().unwrap_or_default();
    let named = first.strip_prefix("#!").map(str::trim).unwrap_or_default();
    let (program, argument) = named.split_once([' ', '\t']).unwrap_or((named, ""));
    let words = match (program, argument.trim()) {
        ("", _) => ["/bin/sh", "-eu"].as_slice(),
        (program, "") => &[program],
        (program, argument) => &[program, argument],
    };
    words.iter().map(|&word| word.to_owned()).collect()
}

/// Makes the folder anew, with an empty file in it: what an earlier attempt wrote does not count.
fn make_folder(folder: &Path, trash: &Trash) -> io::Result<()> {
    discard(folder, trash)?;
    std::fs::DirBuilder::new().mode(0o700).create(folder)?;
    std::fs::write(folder.join(FILE), "")
}

fn discard(folder: &Path, trash: &Trash) -> io::Result<()> {
    Ok(trash.discard_path(folder, &aod_trees::Limits::default())?)
}

/// What the script left in the file, which is no longer what the host made: it may be a link, a
/// FIFO, or gone.
fn read(folder: &Path) -> io::Result<Vec<u8>> {
    let read = Folder::open(folder).and_then(|it| it.read(FILE.as_ref(), variables::MAX_BYTES));
    match read.map_err(io::Error::from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_what_runs_a_script() {
        for (script, expected) in [
            ("echo hi", vec!["/bin/sh", "-eu"]),
            ("# no\n#!/bin/bash", vec!["/bin/sh", "-eu"]),
            ("#!", vec!["/bin/sh", "-eu"]),
            ("#!  \nx", vec!["/bin/sh", "-eu"]),
            ("#!/bin/bash\nx", vec!["/bin/bash"]),
            (
                "#! /usr/bin/env python3 \nx",
                vec!["/usr/bin/env", "python3"],
            ),
            (
                "#!/usr/bin/env -S bash -e",
                vec!["/usr/bin/env", "-S bash -e"],
            ),
        ] {
            assert_eq!(interpreter(script), expected, "{script:?}");
        }
    }

    #[test]
    fn line_ends_of_other_systems_are_mended() {
        for (script, expected) in [
            ("a\nb\n", "a\nb\n"),
            ("\u{feff}#!/bin/sh\r\na\r\n", "#!/bin/sh\na\n"),
            ("a\r\nb\r", "a\nb"),
            ("a\rb", "a\rb"),
        ] {
            assert_eq!(mended(script), expected);
        }
    }
}
