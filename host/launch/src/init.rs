//! An init: the process above a command, which adopts what the command leaves behind, and ends it.
//!
//! As pid 1 of a pid namespace it forwards signals to the command, reaps orphans, and exits when
//! the command does, upon which the kernel kills everything else in the namespace. Outside of a
//! namespace it is a subreaper: when the command ends, when it gets `SIGTERM`, and when the process
//! that started it dies, it kills all its descendants before it exits.
//!
//! The command must not be able to tamper with it. It is not dumpable, so that no process without
//! privileges can trace it or open its `/proc/<pid>/mem`; and the environment of the command, which
//! may name libraries to preload, reaches it as data and never as its own environment. No program
//! stands between it and the command: it sets the command's limits itself.
//!
//! It is a mode of the `aod-supervisor` program:
//! `--init [--env-fd N] [--limit NAME=N]... -- PROGRAM [ARGUMENT...]`.

use std::ffi::{OsStr, OsString, c_int};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use rustix::process::{
    DumpableBehavior, Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus, setrlimit,
};
use zeroize::Zeroizing;

use crate::process::children;

/// The first argument of a program that is to be the init.
pub const FLAG: &str = "--init";
/// The option that names a descriptor with the command's environment: variables as `NAME=value`,
/// each followed by a NUL byte. Without it the command gets the init's own environment.
pub const ENV_FD: &str = "--env-fd";
/// The option that sets a limit of the command, soft and hard, as `NAME=N` with a name of
/// [`LIMITS`]. Limits are set inside of namespaces, where the one on processes counts those of the
/// sandbox and not all that the server's user runs.
pub const LIMIT: &str = "--limit";
/// The limits that can be set: the size of core dumps, seconds of CPU time, open files, the size of
/// a file, and processes.
pub const LIMITS: [(&str, Resource); 5] = [
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("nofile", Resource::Nofile),
    ("fsize", Resource::Fsize),
    ("nproc", Resource::Nproc),
];
/// What pid 1 passes on to the command.
const FORWARDED: [c_int; 9] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGCONT,
    libc::SIGWINCH,
];
/// The exit code where the command cannot be executed, as shells have it.
const CANNOT_EXECUTE: u8 = 127;

/// Runs as the init of the command that the program's arguments after [`FLAG`] name. Returns the
/// command's exit code, or 128 and the number of the signal that ended it; outside of a pid
/// namespace it does not return but dies of the same signal.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // First, before the command or anything else can run beside it.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    match Init::start(arguments) {
        Ok(init) => init.run(),
        Err(problem) => {
            eprintln!("the sandbox's init: {problem}");
            ExitCode::from(CANNOT_EXECUTE)
        }
    }
}

struct Init {
    /// Whether it is pid 1 of a pid namespace.
    is_first: bool,
    command: Pid,
}

impl Init {
    fn start(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let is_first = std::process::id() == 1;
        if !is_first {
            let own = rustix::process::getpid();
            let tied = rustix::process::set_child_subreaper(Some(own)).and_then(|()| {
                // Until here the starter's death kills it; from here on there is more to kill.
                rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
            });
            tied.map_err(|error| format!("cannot adopt processes: {error}"))?;
        }
        mask(&all_signals());
        let Arguments {
            mut command,
            limits,
        } = parse(arguments)?;
        // SAFETY: between fork and exec this makes system calls only.
        unsafe {
            command.pre_exec(move || {
                // The command's group must not be the init's own.
                rustix::process::setsid()?;
                if !is_first {
                    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
                }
                for (resource, limit) in &limits {
                    setrlimit(*resource, *limit)?;
                }
                mask(&no_signals());
                Ok(())
            });
        }
        let child = command.spawn().map_err(|error| {
            let program = command.get_program().to_string_lossy();
            format!("cannot execute {program}: {error}")
        })?;
        let command = Pid::from_child(&child);
        drop(child);
        release();
        if is_first {
            crate::ipc::expose();
        }
        Ok(Self { is_first, command })
    }

    /// Waits for the command's end, and ends everything else.
    fn run(self) -> ExitCode {
        loop {
            match next_signal() {
                libc::SIGCHLD => {
                    if let Some(status) = self.reap() {
                        return self.end(status);
                    }
                }
                libc::SIGTERM if !self.is_first => {
                    kill_descendants();
                    die(libc::SIGKILL);
                }
                signal if self.is_first && FORWARDED.contains(&signal) => {
                    if let Some(signal) = Signal::from_named_raw(signal) {
                        let _ = rustix::process::kill_process(self.command, signal);
                    }
                }
                _ => {}
            }
        }
    }

    /// Reaps what has died; answers how the command ended, if it was among them.
    fn reap(&self) -> Option<WaitStatus> {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.command => return Some(status),
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }

    fn end(&self, status: WaitStatus) -> ExitCode {
        if !self.is_first {
            kill_descendants();
            if let Some(signal) = status.terminating_signal() {
                die(signal);
            }
        }
        let code = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code,
            (None, signal) => 128 + signal.unwrap_or(0),
        };
        // A code has eight bits, and signals go up to 64.
        ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
    }
}

/// What the arguments say.
struct Arguments {
    /// The command, with its environment.
    command: Command,
    limits: Vec<(Resource, Rlimit)>,
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, String> {
    let mut arguments = arguments.into_iter();
    let mut next = || arguments.next().ok_or("there is no command");
    let mut environment = None;
    let mut limits = Vec::new();
    loop {
        let word = next()?;
        if word == "--" {
            break;
        } else if word == ENV_FD && environment.is_none() {
            let number: RawFd = next()?
                .to_str()
                .and_then(|number| number.parse().ok())
                .filter(|number| *number > 2)
                .ok_or("the environment's descriptor is no number")?;
            // SAFETY: nothing in this process owns the number, which is above the standard streams
            // and comes once.
            environment = Some(File::from(unsafe { OwnedFd::from_raw_fd(number) }));
        } else if word == LIMIT {
            limits.push(limit(&next()?).ok_or("a limit is not understood")?);
        } else {
            return Err("the command does not follow `--`".to_owned());
        }
    }
    let mut command = Command::new(next()?);
    command.args(arguments);
    if let Some(mut file) = environment {
        let mut text = Zeroizing::new(Vec::new());
        file.read_to_end(&mut text)
            .map_err(|error| format!("cannot read the environment: {error}"))?;
        command.env_clear();
        for variable in text
            .split(|byte| *byte == 0)
            .filter(|text| !text.is_empty())
        {
            let at = variable.iter().position(|byte| *byte == b'=');
            let (name, value) = variable.split_at(at.ok_or("a variable has no value")?);
            command.env(
                OsStr::from_bytes(name),
                OsString::from_vec(value[1..].to_vec()),
            );
        }
    }
    Ok(Arguments { command, limits })
}

/// A limit, from `NAME=N`.
fn limit(text: &OsStr) -> Option<(Resource, Rlimit)> {
    let (name, number) = text.to_str()?.split_once('=')?;
    let (_, resource) = LIMITS.iter().find(|(known, _)| *known == name)?;
    let most = Some(number.parse().ok()?);
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    Some((*resource, limit))
}

/// Lets go of what belongs to the command alone: its streams must end with it.
fn release() {
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    } else {
        // SAFETY: nothing here reads or writes them any more.
        unsafe { libc::close_range(0, 2, 0) };
    }
    // SAFETY: nothing here uses a descriptor from now on but those it opens itself.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    let _ = rustix::process::chdir("/");
}

/// Kills all descendants: children, and what these leave behind and the kernel then hands over.
fn kill_descendants() {
    loop {
        for child in children(rustix::process::getpid()) {
            let _ = rustix::process::kill_process(child, Signal::KILL);
        }
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // No child is left.
            Err(_) => return,
        }
    }
}

/// Ends this process by a signal, so that whoever waits for it sees how the command ended.
fn die(signal: c_int) -> ! {
    let mut only = no_signals();
    // SAFETY: plain calls on an initialised set; the default action installs no handler.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::sigaddset(&mut only, signal);
        libc::kill(libc::getpid(), signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, &only, std::ptr::null_mut());
    }
    // Where the signal's default is not to end a process.
    std::process::exit(128 + signal)
}

/// Waits for a signal. All are blocked, so that none is lost and no handler runs.
fn next_signal() -> c_int {
    let all = all_signals();
    loop {
        // SAFETY: the set is initialised; no information about the signal is asked for.
        let signal = unsafe { libc::sigwaitinfo(&all, std::ptr::null_mut()) };
        if signal > 0 {
            return signal;
        }
    }
}

fn all_signals() -> libc::sigset_t {
    // SAFETY: the call initialises the set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&mut set);
        set
    }
}

fn no_signals() -> libc::sigset_t {
    // SAFETY: the call initialises the set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        set
    }
}

fn mask(set: &libc::sigset_t) {
    // SAFETY: an initialised set; this process has one thread.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, set, std::ptr::null_mut()) };
}
