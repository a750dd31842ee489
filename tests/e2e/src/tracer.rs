//! Killing a program just before a chosen change to a file.
//!
//! What a program does to files it does in steps, and `kill -9` may come between any two. The
//! tracer counts the steps as the kernel sees them, so that a test can be killed at each in turn.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::mpsc;
use std::thread::JoinHandle;

/// How a traced run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Killed before that change.
    Killed,
    /// By itself, since it made fewer changes.
    Exited {
        /// Its exit code.
        code: i32,
        /// How many it made.
        changes: usize,
    },
}

/// A program that is killed, as `kill -9` does, when it is about to make a certain change to
/// files. What it starts itself is not traced. It is killed when this is dropped.
pub struct Traced {
    pid: i32,
    tracer: Option<JoinHandle<Ended>>,
}

impl Traced {
    /// Starts the program, to be killed before its `nth` change, from 1.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(command: Command, nth: usize) -> Self {
        let (begun, pid) = mpsc::channel();
        // Only the thread that started it may trace it.
        let tracer = std::thread::spawn(move || trace(command, nth, &begun));
        match pid.recv() {
            Ok(pid) => Self {
                pid,
                tracer: Some(tracer),
            },
            Err(_) => panic!("the program did not start under the tracer"),
        }
    }

    /// Asks it to end, as an operator does.
    pub fn terminate(&self) {
        self.signal(libc::SIGTERM);
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.tracer.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until it has ended. Blocks.
    ///
    /// # Panics
    /// When it was killed by somebody else.
    #[must_use]
    pub fn ended(mut self) -> Ended {
        match self.tracer.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            _ => panic!("the tracer failed"),
        }
    }

    fn signal(&self, signal: i32) {
        // SAFETY: a plain system call on a process of our own, which is not reaped before the
        // tracer ends.
        unsafe { libc::kill(self.pid, signal) };
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.signal(libc::SIGKILL);
        }
        if let Some(tracer) = self.tracer.take() {
            // What it has to complain of nobody waits for any more.
            let _ = tracer.join();
        }
    }
}

fn trace(mut command: Command, nth: usize, begun: &mpsc::Sender<i32>) -> Ended {
    // SAFETY: between fork and exec only this one system call is made.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    let pid = match command.spawn().map(|child| i32::try_from(child.id())) {
        Ok(Ok(pid)) => pid,
        other => panic!("the program does not start under the tracer: {other:?}"),
    };
    let stopped = wait(pid).map(|(stopped, _)| stopped);
    assert_eq!(stopped, Some(pid), "it stops at its first instruction");
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_EXITKILL;
    request(libc::PTRACE_SETOPTIONS, pid, options);
    request(libc::PTRACE_SYSCALL, pid, 0);
    // Whoever started this may not want to know.
    let _ = begun.send(pid);
    let mut changes = 0;
    loop {
        let Some((thread, status)) = wait(-1) else {
            panic!("the program ended unseen")
        };
        if libc::WIFEXITED(status) && thread == pid {
            let code = libc::WEXITSTATUS(status);
            return Ended::Exited { code, changes };
        }
        if libc::WIFSIGNALED(status) && thread == pid {
            assert_eq!(changes, nth, "it was killed by another");
            return Ended::Killed;
        }
        if !libc::WIFSTOPPED(status) {
            continue;
        }
        let signal = libc::WSTOPSIG(status);
        if signal == libc::SIGTRAP | 0x80 && changes < nth && is_change(thread) {
            changes += 1;
            if changes == nth {
                // SAFETY: a plain system call on a process of our own.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        }
        let own =
            signal == libc::SIGTRAP | 0x80 || signal == libc::SIGTRAP || signal == libc::SIGSTOP;
        request(libc::PTRACE_SYSCALL, thread, if own { 0 } else { signal });
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
fn request(request: libc::c_uint, thread: i32, data: i32) {
    // SAFETY: these requests take a number, never a negative one, and no pointer.
    unsafe { libc::ptrace(request, thread, 0usize, libc::c_long::from(data)) };
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
        // Eight bytes are a wake-up among the program's own threads; the first descriptors are
        // where it says what it does.
        libc::SYS_write => info.args[2] != 8 && info.args[0] > 2,
        libc::SYS_pwrite64
        | libc::SYS_ftruncate
        | libc::SYS_fsync
        | libc::SYS_fdatasync
        | libc::SYS_renameat
        | libc::SYS_renameat2
        | libc::SYS_mkdirat
        | libc::SYS_unlinkat => true,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_rename | libc::SYS_mkdir | libc::SYS_rmdir | libc::SYS_unlink => true,
        _ => false,
    }
}
