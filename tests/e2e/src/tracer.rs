//! Killing a program just before a chosen change to a file.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

/// How a traced run ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Killed before that change.
    Killed,
    /// By itself, with this exit code, since it made fewer changes.
    Exited(i32),
}

/// Runs a command and kills it, as `kill -9` does, when it is about to make its `nth` change to
/// files, from 1.
#[expect(
    clippy::zombie_processes,
    reason = "this waits for it by the tracer's own means"
)]
pub(crate) fn kill_before_change(mut command: Command, nth: usize) -> Ended {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // SAFETY: between fork and exec only this one system call is made.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    let child = command
        .spawn()
        .expect("the program starts under the tracer");
    let pid = i32::try_from(child.id()).unwrap();
    let (stopped, _) = wait(pid).expect("it stops at its first instruction");
    assert_eq!(stopped, pid);
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_EXITKILL;
    request(
        libc::PTRACE_SETOPTIONS,
        pid,
        usize::try_from(options).unwrap(),
    );
    request(libc::PTRACE_SYSCALL, pid, 0);
    let mut changes = 0;
    let mut killed = false;
    loop {
        let Some((thread, status)) = wait(-1) else {
            panic!("the program ended unseen")
        };
        if libc::WIFEXITED(status) && thread == pid {
            return Ended::Exited(libc::WEXITSTATUS(status));
        }
        if libc::WIFSIGNALED(status) && thread == pid {
            assert!(killed, "it was killed by another");
            return Ended::Killed;
        }
        if !libc::WIFSTOPPED(status) {
            continue;
        }
        let signal = libc::WSTOPSIG(status);
        if signal == libc::SIGTRAP | 0x80 && !killed && is_change(thread) {
            changes += 1;
            if changes == nth {
                killed = true;
                // SAFETY: a plain system call on a process of our own.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        }
        let own =
            signal == libc::SIGTRAP | 0x80 || signal == libc::SIGTRAP || signal == libc::SIGSTOP;
        let deliver = if own {
            0
        } else {
            usize::try_from(signal).unwrap()
        };
        request(libc::PTRACE_SYSCALL, thread, deliver);
    }
}

/// Waits for a process that this thread traces.
fn wait(pid: i32) -> Option<(i32, i32)> {
    let mut status = 0;
    // SAFETY: `status` outlives the call. Other threads' children are left to them.
    let found = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
    (found > 0).then_some((found, status))
}

/// A thread that was killed meanwhile does not take requests any more, which its end tells.
fn request(request: libc::c_uint, thread: i32, data: usize) {
    // SAFETY: these requests take a number and no pointer.
    unsafe { libc::ptrace(request, thread, 0usize, data) };
}

/// Whether a stopped thread is about to change a file.
fn is_change(thread: i32) -> bool {
    // SAFETY: the structure is plain numbers, and its size is told with it.
    let info = unsafe {
        let mut info: libc::ptrace_syscall_info = std::mem::zeroed();
        let size = size_of_val(&info);
        if libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, thread, size, &raw mut info) <= 0
            || info.op != libc::PTRACE_SYSCALL_INFO_ENTRY
        {
            return false;
        }
        info.u.entry
    };
    let Ok(number) = libc::c_long::try_from(info.nr) else {
        return false;
    };
    match number {
        // Eight bytes are a wake-up among the program's own threads.
        libc::SYS_write => info.args[2] != 8,
        libc::SYS_pwrite64
        | libc::SYS_ftruncate
        | libc::SYS_fsync
        | libc::SYS_fdatasync
        | libc::SYS_renameat
        | libc::SYS_renameat2
        | libc::SYS_unlinkat => true,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_rename | libc::SYS_unlink => true,
        _ => false,
    }
}
