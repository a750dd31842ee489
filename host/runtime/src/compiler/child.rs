//! What the child does.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use rustix::process::{
    Pid, Resource, Rlimit, Signal, getppid, nice, set_parent_process_death_signal, setrlimit,
};

use crate::cache::engine_hash;
use crate::engine::config;
use crate::limits::{MAX_CODE_BYTES, MAX_COMPILE_MEMORY, MAX_COMPONENT_BYTES};

/// The exit code that says that the component is to blame. A panic has another.
pub(super) const REFUSED: u8 = 3;

/// Others are served while adapters are compiled.
const NICENESS: i32 = 5;

/// Compiles the component at stdin and writes its code to stdout: the whole life of a process that
/// a [`Compiler`](super::Compiler) has started. Its last arguments are the hash of the engine that
/// is to run the code, and the id of the process that waits for it.
///
/// Limits this process for good, and ends it when that other process ends.
#[must_use]
pub fn compile_component(engine: &str, parent: u32) -> ExitCode {
    match compile(engine, parent) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Component(message)) => {
            // Nobody listens who could be told that this cannot be said.
            let _ = io::stderr().write_all(message.as_bytes());
            ExitCode::from(REFUSED)
        }
        Err(Error::Process(error)) => {
            let _ = io::stderr().write_all(error.to_string().as_bytes());
            ExitCode::FAILURE
        }
    }
}

enum Error {
    /// The compiler says what is wrong with the component.
    Component(String),
    /// The process cannot do its work.
    Process(io::Error),
}

impl<E: Into<io::Error>> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Process(error.into())
    }
}

fn compile(hash: &str, parent: u32) -> Result<(), Error> {
    end_with(parent)?;
    limit()?;
    let mut component = Vec::new();
    io::stdin()
        .take(MAX_COMPONENT_BYTES)
        .read_to_end(&mut component)?;
    let engine = wasmtime::Engine::new(&config(None)).map_err(failure)?;
    if engine_hash(&engine) != hash {
        return Err(io::Error::other("this is not the program that asked for it").into());
    }
    let code = engine
        .precompile_component(&component)
        .map_err(|error| Error::Component(format!("{error:#}")))?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&code)?;
    Ok(stdout.flush()?)
}

fn failure(error: wasmtime::Error) -> io::Error {
    io::Error::other(format!("{error:#}"))
}

/// Ends this process when the one that waits for it ends, however it does.
fn end_with(parent: u32) -> Result<(), Error> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended before that.
    match getppid().map(Pid::as_raw_pid) {
        Some(now) if u32::try_from(now) == Ok(parent) => Ok(()),
        _ => Err(io::Error::other("whoever asked for it is gone").into()),
    }
}

/// Takes from this process what no component needs. Memory is what is written to: address space
/// that is only reserved does not count.
fn limit() -> io::Result<()> {
    let at_most = |resource, bytes| {
        let limit = Rlimit {
            current: Some(bytes),
            maximum: Some(bytes),
        };
        setrlimit(resource, limit)
    };
    at_most(Resource::Data, MAX_COMPILE_MEMORY)?;
    at_most(Resource::Fsize, MAX_CODE_BYTES)?;
    at_most(Resource::Core, 0)?;
    // A process that may not be nice works all the same.
    let _ = nice(NICENESS);
    Ok(())
}
