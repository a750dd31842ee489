//! The new process between `fork` and `exec`.
//!
//! The starter may have threads, so that nothing here may allocate, lock or panic: everything is
//! prepared by the parent, and the child makes system calls only.

use std::ffi::{CString, c_char, c_int};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use zeroize::Zeroizing;

/// All that the child needs. Its descriptors have numbers that no command can ask for.
pub(crate) struct Prepared {
    pub(crate) program: CString,
    pub(crate) args: Strings,
    pub(crate) env: Strings,
    pub(crate) cwd: CString,
    /// Descriptors and the numbers under which the command finds them.
    pub(crate) descriptors: Vec<(OwnedFd, RawFd)>,
    /// The open `cgroup.procs` of the group to join.
    pub(crate) cgroup: Option<OwnedFd>,
    pub(crate) umask: Option<u32>,
    /// The process that starts it.
    pub(crate) parent: libc::pid_t,
    /// Where the child reports what failed; closed by `exec`.
    pub(crate) report: OwnedFd,
}

/// Strings as `execve` takes them. They may be secret, and are overwritten when dropped.
pub(crate) struct Strings {
    _owned: Vec<Zeroizing<Vec<u8>>>,
    pointers: Vec<*const c_char>,
}

impl Strings {
    /// Of texts without a NUL byte.
    pub(crate) fn new(owned: Vec<Zeroizing<Vec<u8>>>) -> Self {
        // What a vector holds on the heap does not move with the vector.
        let texts = owned.iter().map(|text| text.as_ptr().cast::<c_char>());
        let pointers = texts.chain([std::ptr::null()]).collect();
        Self {
            _owned: owned,
            pointers,
        }
    }
}

/// A text with a NUL byte at its end, never moved while it grows.
pub(crate) fn terminated(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut text = Zeroizing::new(Vec::with_capacity(length + 1));
    for part in parts {
        text.extend_from_slice(part);
    }
    text.push(0);
    text
}

/// What the child was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    Session = 1,
    ParentDeath,
    JoinCgroup,
    WorkingDirectory,
    Descriptors,
    Execute,
}

impl Stage {
    const ALL: [Self; 6] = [
        Self::Session,
        Self::ParentDeath,
        Self::JoinCgroup,
        Self::WorkingDirectory,
        Self::Descriptors,
        Self::Execute,
    ];
}

/// A failed child's report: the stage and the error's number.
const REPORT: usize = 5;

/// Reads a report; answers none where the command was executed.
pub(crate) fn read_report(pipe: impl io::Read) -> io::Result<Option<(Stage, io::Error)>> {
    let mut report = Vec::with_capacity(REPORT);
    pipe.take(REPORT as u64).read_to_end(&mut report)?;
    let Some((stage, number)) = report.split_first() else {
        return Ok(None);
    };
    let stage = Stage::ALL.into_iter().find(|one| *one as u8 == *stage);
    let number = <[u8; 4]>::try_from(number).map(i32::from_ne_bytes);
    match (stage, number) {
        (Some(stage), Ok(number)) => Ok(Some((stage, io::Error::from_raw_os_error(number)))),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Forks a process that becomes the command; answers its id.
pub(crate) fn fork(prepared: &Prepared) -> io::Result<libc::pid_t> {
    // SAFETY: the sets are initialised by the calls that take them; `run` keeps to what is allowed
    // after a fork, and does not return.
    unsafe {
        // No handler of the starter may run in the child: it would act on the starter's behalf,
        // through descriptors that both have.
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let pid = libc::fork();
        if pid == 0 {
            run(prepared);
        }
        let error = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        if pid < 0 { Err(error) } else { Ok(pid) }
    }
}

/// In the child, with all signals blocked.
unsafe fn run(prepared: &Prepared) -> ! {
    // SAFETY: as for `become_command`; `_exit` runs no destructors, which belong to the parent.
    unsafe {
        let stage = become_command(prepared);
        let number = *libc::__errno_location();
        let mut report = [stage as u8, 0, 0, 0, 0];
        report[1..].copy_from_slice(&number.to_ne_bytes());
        libc::write(
            prepared.report.as_raw_fd(),
            report.as_ptr().cast(),
            report.len(),
        );
        libc::_exit(127);
    }
}

/// Returns only where something failed, with the error's number in `errno`.
unsafe fn become_command(prepared: &Prepared) -> Stage {
    // SAFETY: system calls on memory and descriptors that the parent prepared and that this copy
    // of the process has, too.
    unsafe {
        // What the starter ignores or handles is its own affair.
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        if libc::setsid() < 0 {
            return Stage::Session;
        }
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) < 0 {
            return Stage::ParentDeath;
        }
        if libc::getppid() != prepared.parent {
            // The starter died before the call above took effect.
            *libc::__errno_location() = libc::ESRCH;
            return Stage::ParentDeath;
        }
        if let Some(umask) = prepared.umask {
            libc::umask(umask);
        }
        if let Some(procs) = &prepared.cgroup {
            // 0 stands for whoever writes it.
            if libc::write(procs.as_raw_fd(), c"0".as_ptr().cast(), 1) < 0 {
                return Stage::JoinCgroup;
            }
        }
        if libc::chdir(prepared.cwd.as_ptr()) < 0 {
            return Stage::WorkingDirectory;
        }
        // What the starter has open without the close-on-exec flag must not reach the command.
        let (first, last): (c_int, libc::c_uint) = (3, libc::c_uint::MAX);
        let flags = libc::CLOSE_RANGE_CLOEXEC;
        if libc::syscall(libc::SYS_close_range, first, last, flags) < 0 {
            return Stage::Descriptors;
        }
        for (source, target) in &prepared.descriptors {
            // The copy has no such flag. No source has the number of a target.
            if libc::dup2(source.as_raw_fd(), *target) < 0 {
                return Stage::Descriptors;
            }
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        libc::execve(
            prepared.program.as_ptr(),
            prepared.args.pointers.as_ptr(),
            prepared.env.pointers.as_ptr(),
        );
        Stage::Execute
    }
}
