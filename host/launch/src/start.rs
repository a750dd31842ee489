//! Starting a launch.

use std::ffi::{CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, OFlags};
use rustix::pipe::PipeFlags;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::child::{self, Prepared, Stage, Strings, terminated};
use crate::data::{self, ABOVE};
use crate::netns::Handshake;
use crate::{EgressServer, Launch, Process};

/// How much of a failed launcher's output is told, of each stream, in bytes.
const MAX_WORDS: u64 = 1024;

/// How the starter is connected to the command.
#[derive(Clone, Copy, Debug, Default)]
pub struct StartOptions<'a> {
    /// What the command's stdin is.
    pub input: Input<'a>,
    /// Where its stdout and stderr go.
    pub output: Output,
    /// The permission bits that are taken from files it makes; none leaves the starter's own.
    pub umask: Option<u32>,
}

/// What a command's stdin is.
#[derive(Clone, Copy, Default)]
pub enum Input<'a> {
    /// `/dev/null`.
    #[default]
    Null,
    /// This content, and then the end. Nobody has to write it.
    Content(&'a [u8]),
    /// A pipe, whose other end is [`Pipes::stdin`].
    Pipe,
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Content(content) => write!(f, "Content([{} bytes])", content.len()),
            Self::Pipe => f.write_str("Pipe"),
        }
    }
}

/// Where a command's output goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Stdout and stderr have a pipe each.
    #[default]
    Separate,
    /// Both go into [`Pipes::stdout`], in the order in which they were written.
    Joined,
}

/// The starter's ends of a command's pipes; all are non-blocking.
#[derive(Debug)]
pub struct Pipes {
    /// For [`Input::Pipe`].
    pub stdin: Option<File>,
    /// What the command writes.
    pub stdout: File,
    /// For [`Output::Separate`].
    pub stderr: Option<File>,
    /// For [`Launch::egress`]: whoever started the command has to keep it going.
    pub egress: Option<EgressServer>,
}

/// Why a launch was not started. Nothing runs then. No message holds a value of the environment or
/// content of a descriptor.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The launch cannot be carried out by anybody.
    #[error("the launch is invalid: {what}")]
    Invalid {
        /// What is wrong with it.
        what: String,
    },
    /// The program could not be executed, or is not there.
    #[error("cannot execute {} in {}", program.display(), cwd.display())]
    Execute {
        /// The program.
        program: PathBuf,
        /// The working directory.
        cwd: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something that comes before failed.
    #[error("cannot {action} for {}", program.display())]
    Prepare {
        /// What was tried.
        action: &'static str,
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Starts a launch: in a session and process group of its own, in its cgroup, with nothing but its
/// own environment and descriptors, with the default action for every signal, and dying with the
/// calling *thread*.
///
/// # Errors
/// See [`StartError`].
pub fn start(launch: &Launch, options: StartOptions<'_>) -> Result<(Process, Pipes), StartError> {
    start_with(launch, options, Vec::new())
}

/// [`start`], with further descriptors and the numbers under which the command finds them. Their
/// own numbers are those of [`data::lift`].
pub(crate) fn start_with(
    launch: &Launch,
    options: StartOptions<'_>,
    given: Vec<(OwnedFd, RawFd)>,
) -> Result<(Process, Pipes), StartError> {
    let failed = |action: &'static str| {
        move |source: io::Error| StartError::Prepare {
            action,
            program: launch.program.clone(),
            source,
        }
    };
    let not_executed = |source| StartError::Execute {
        program: launch.program.clone(),
        cwd: launch.cwd.clone(),
        source,
    };
    let program =
        find_program(launch)?.ok_or_else(|| not_executed(io::ErrorKind::NotFound.into()))?;
    let mut descriptors = data_descriptors(launch)?;
    descriptors.extend(given);
    let handshake = handshake(launch, &mut descriptors).map_err(failed("make pipes"))?;
    let mut pipes = connect(options, &mut descriptors).map_err(failed("make pipes"))?;
    let cgroup = match &launch.cgroup {
        Some(folder) => Some(open_procs(folder).map_err(failed("open the cgroup"))?),
        None => None,
    };
    let (report, reporting) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed("make pipes")(e.into()))?;
    let prepared = Prepared {
        args: arguments(launch, program.as_os_str())?,
        program: text(program.as_os_str(), "the program")?,
        env: environment(launch)?,
        cwd: text(launch.cwd.as_os_str(), "the working directory")?,
        descriptors,
        cgroup,
        umask: options.umask,
        parent: rustix::process::getpid().as_raw_nonzero().get(),
        report: data::lift(&reporting).map_err(failed("make pipes"))?,
    };
    drop(reporting);
    let pid = child::fork(&prepared).map_err(failed("fork"))?;
    // The parent's copies of the command's ends go: reading must end with the command.
    drop(prepared);
    // From here on whatever fails kills the process, as it is dropped.
    let mut process = Process::new(pid, launch).map_err(failed("watch the process"))?;
    match child::read_report(File::from(report)).map_err(failed("start the process"))? {
        None => {
            if let (Some(egress), Some(handshake)) = (&launch.egress, handshake) {
                let sockets = handshake
                    .listen(process.id(), &egress.listen, egress.tunnel.as_ref())
                    .map_err(|error| with_last_words(error, &mut process, &pipes))
                    .map_err(failed("open the sandbox's network"))?;
                let server = EgressServer::new(egress, sockets).map_err(failed("make a flag"))?;
                pipes.egress = Some(server);
            }
            Ok((process, pipes))
        }
        Some((Stage::Execute | Stage::WorkingDirectory, source)) => Err(not_executed(source)),
        Some((stage, source)) => Err(failed(match stage {
            Stage::Session => "begin a session",
            Stage::ParentDeath => "tie the process to its starter",
            Stage::JoinCgroup => "join the cgroup",
            _ => "place descriptors",
        })(source)),
    }
}

/// The file to execute, if there is one.
fn find_program(launch: &Launch) -> Result<Option<PathBuf>, StartError> {
    if launch.program.as_os_str().as_bytes().contains(&b'/') {
        return Ok(Some(launch.program.clone()));
    }
    if launch.program.as_os_str().is_empty() {
        return Err(invalid("it has no program"));
    }
    let path = launch.env.iter().rev().find(|(name, _)| name == "PATH");
    let folders = path
        .iter()
        .flat_map(|(_, path)| std::env::split_paths(path.as_str()));
    Ok(folders
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(&launch.program))
        .find(|file| file.is_file() && rustix::fs::access(file, Access::EXEC_OK).is_ok()))
}

fn data_descriptors(launch: &Launch) -> Result<Vec<(OwnedFd, RawFd)>, StartError> {
    let wanted = &launch.data_fds;
    let mut descriptors = Vec::with_capacity(wanted.len() + 3);
    for (n, data) in wanted.iter().enumerate() {
        let repeated = wanted[..n].iter().any(|other| other.fd == data.fd);
        if !(3..ABOVE).contains(&data.fd) || repeated {
            let what = format!("descriptor {} is out of range or wanted twice", data.fd);
            return Err(invalid(what));
        }
        let file = data::sealed(data.content.expose()).map_err(|source| StartError::Prepare {
            action: "put data into memory",
            program: launch.program.clone(),
            source,
        })?;
        descriptors.push((file, data.fd));
    }
    Ok(descriptors)
}

/// What a launcher wrote before it failed says more than that it did.
fn with_last_words(error: io::Error, process: &mut Process, pipes: &Pipes) -> io::Error {
    // Where it lives, its end is not waited for.
    let _ = process.end(Duration::ZERO);
    let mut words = Vec::new();
    for pipe in std::iter::once(&pipes.stdout).chain(&pipes.stderr) {
        // It ends with an error where somebody still has the other end; what came before is kept.
        let _ = pipe.take(MAX_WORDS).read_to_end(&mut words);
    }
    match String::from_utf8_lossy(&words).trim() {
        "" => error,
        words => io::Error::other(format!("{error}: {words}")),
    }
}

/// Adds the launcher's ends of what it says of its namespaces, and answers ours.
fn handshake(
    launch: &Launch,
    descriptors: &mut Vec<(OwnedFd, RawFd)>,
) -> io::Result<Option<Handshake>> {
    let Some(egress) = &launch.egress else {
        return Ok(None);
    };
    let (info, informing) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let (blocking, block) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    descriptors.push((data::lift(&informing)?, egress.info_fd));
    descriptors.push((data::lift(&blocking)?, egress.block_fd));
    Ok(Some(Handshake {
        info: info.into(),
        block: block.into(),
    }))
}

/// Adds the command's ends of its standard streams, and answers ours.
fn connect(
    options: StartOptions<'_>,
    descriptors: &mut Vec<(OwnedFd, RawFd)>,
) -> io::Result<Pipes> {
    let mut stdin = None;
    let input = match options.input {
        Input::Null => {
            let null = OpenOptions::new().read(true).open("/dev/null")?;
            data::lift(&null)?
        }
        Input::Content(content) => data::sealed(content)?,
        Input::Pipe => {
            let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            stdin = Some(non_blocking(writer)?);
            data::lift(&reader)?
        }
    };
    descriptors.push((input, 0));
    let (stdout, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    descriptors.push((data::lift(&writer)?, 1));
    let stderr = match options.output {
        Output::Joined => {
            descriptors.push((data::lift(&writer)?, 2));
            None
        }
        Output::Separate => {
            let (stderr, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            descriptors.push((data::lift(&writer)?, 2));
            Some(non_blocking(stderr)?)
        }
    };
    Ok(Pipes {
        stdin,
        stdout: non_blocking(stdout)?,
        stderr,
        egress: None,
    })
}

pub(crate) fn non_blocking(fd: OwnedFd) -> io::Result<File> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
    Ok(fd.into())
}

fn open_procs(cgroup: &Path) -> io::Result<OwnedFd> {
    let procs = OpenOptions::new()
        .write(true)
        .open(cgroup.join("cgroup.procs"))?;
    data::lift(&procs)
}

fn arguments(launch: &Launch, program: &OsStr) -> Result<Strings, StartError> {
    let mut strings = vec![terminated(&[program.as_bytes()])];
    for (at, argument) in launch.args.iter().enumerate() {
        if argument.contains('\0') {
            return Err(invalid(format!("argument {at} contains a NUL byte")));
        }
        strings.push(terminated(&[argument.as_bytes()]));
    }
    Ok(Strings::new(strings))
}

fn environment(launch: &Launch) -> Result<Strings, StartError> {
    let mut strings: Vec<Zeroizing<Vec<u8>>> = Vec::with_capacity(launch.env.len());
    for (at, (name, value)) in launch.env.iter().enumerate() {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(invalid(format!("variable {name:?} cannot be passed on")));
        }
        if launch.env[at + 1..].iter().all(|(later, _)| later != name) {
            strings.push(terminated(&[name.as_bytes(), b"=", value.as_bytes()]));
        }
    }
    Ok(Strings::new(strings))
}

fn text(text: &OsStr, what: &str) -> Result<CString, StartError> {
    CString::new(text.to_owned().into_vec())
        .map_err(|_| invalid(format!("{what} contains a NUL byte")))
}

fn invalid(what: impl Into<String>) -> StartError {
    StartError::Invalid { what: what.into() }
}
