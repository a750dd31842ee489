//! Protecting the process: no other process can read its memory, stray signals do not end it, and
//! it does not depend on the host that started it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

/// Signals that are sent to whole groups or sessions and must not end a turn.
const IGNORED: [libc::c_int; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGPIPE];

/// Which of the two processes [`detach`] returns in.
pub enum Side {
    /// The one that the host started; it exits.
    Host,
    /// The one that runs the turn.
    Turn {
        /// Where the host waits for the report.
        report: File,
    },
}

/// No core dumps, no debuggers, no reading of `/proc/self/mem` by others.
pub fn protect() {
    aod_launch::protect_memory();
    for signal in IGNORED {
        // SAFETY: ignoring a signal installs no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    limit_heap();
}

/// Makes the allocator return freed memory at once, so that one huge line does not keep memory for
/// hours.
fn limit_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: plain parameters of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 128 << 10);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives freed memory back to the system.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: only affects memory that is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Leaves the host's process tree, session and descriptors.
pub fn detach() -> io::Result<Side> {
    // SAFETY: no descriptor above 2 has an owner in this process yet.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    // SAFETY: this process has one thread, so its copy is whole.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        _ => return Ok(Side::Host),
    }
    rustix::process::setsid()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let report = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    let null = null()?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(Side::Turn {
        report: report.into(),
    })
}

/// Opens `/dev/null`.
fn null() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        "/dev/null",
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}
