//! A bound that the kernel keeps on how many processes a pid namespace has, whoever runs them.
//!
//! A limit that is polled comes late where processes are forked by the thousand, and the kernel's
//! limit on a user's processes (`RLIMIT_NPROC`) leaves out root's, whatever uid they have inside of
//! the namespace. From Linux 6.14 on each pid namespace has a greatest pid of its own
//! (`/proc/sys/kernel/pid_max`), which those outside may lower. The number of pids bounds that of
//! processes and threads.

use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::usage::first_apart;

/// Before this version the greatest pid is one for the whole machine, and must be left alone.
const FIRST_KERNEL: (u32, u32) = (6, 14);
/// Once the pids have been through, the kernel gives none below this one a second time.
const RESERVED: u64 = 300;

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// It is set.
    Set,
    /// There is no namespace yet.
    Early,
    /// This process may not set it, or the kernel has none.
    Unable,
}

/// Bounds the namespace of the first of `processes` that has one of its own: so many processes and
/// threads always fit, and a few hundred more at most.
pub(crate) fn set(processes: &[u32], tasks: u64) -> Bound {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    if !rustix::process::geteuid().is_root() || !is_per_namespace(&release) {
        return Bound::Unable;
    }
    let Some(init) = first_apart(processes, "pid") else {
        return Bound::Early;
    };
    let opened =
        Pid::from_raw(init.cast_signed()).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    // It has ended meanwhile.
    let Some(init) = opened else {
        return Bound::Early;
    };
    let most = tasks.saturating_add(RESERVED + 1).to_string();
    match write_inside(&init, most.as_bytes()) {
        true => Bound::Set,
        false => Bound::Unable,
    }
}

/// Whether a kernel of this release has a greatest pid for each pid namespace.
fn is_per_namespace(release: &str) -> bool {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= FIRST_KERNEL
}

/// Writes the greatest pid from within the namespace: the kernel takes the writer's own. The writer
/// is a grandchild, since who enters a pid namespace does so with its next child. In the namespace
/// it is seen for a moment, and can be killed there but not traced: it keeps this process's user
/// namespace and capabilities.
fn write_inside(init: &OwnedFd, most: &[u8]) -> bool {
    const FILE: &std::ffi::CStr = c"/proc/sys/kernel/pid_max";
    let init = init.as_raw_fd();
    // SAFETY: after each fork the child makes system calls only, on data that stands still, and
    // ends without running anything of this process's.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            if libc::setns(init, libc::CLONE_NEWPID) != 0 {
                libc::_exit(1);
            }
            let writer = libc::fork();
            if writer == 0 {
                let file = libc::open(FILE.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                let written = libc::write(file, most.as_ptr().cast(), most.len());
                libc::_exit(i32::from(written.cast_unsigned() != most.len()));
            }
            libc::_exit(i32::from(!has_succeeded(writer)));
        }
        has_succeeded(child)
    }
}

/// Waits for a child's end; false, too, where there is none.
fn has_succeeded(child: libc::pid_t) -> bool {
    let mut status = 0;
    child > 0
        // SAFETY: a plain call; `status` is written by it.
        && unsafe { libc::waitpid(child, &raw mut status, 0) } == child
        && libc::WIFEXITED(status)
        && libc::WEXITSTATUS(status) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_kernels_are_left_alone() {
        for (release, wanted) in [
            ("6.14.0-rc1", true),
            ("6.18.44-fc-v669", true),
            ("7.0.0", true),
            ("6.13.12-1-default", false),
            ("5.15.0-100-generic", false),
            ("6", false),
            ("x", false),
            ("", false),
        ] {
            assert_eq!(is_per_namespace(release), wanted, "{release}");
        }
    }
}
