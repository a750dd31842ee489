//! What bubblewrap leaves where it is killed early.
//!
//! Bubblewrap's child, which becomes process 1 of the sandbox, first waits for its parent to write
//! to an eventfd, and only then asks the kernel to be killed with it (`--die-with-parent`). Where
//! the parent is killed in between, the child waits for ever: it holds the eventfd itself. None of
//! the command runs in it, but it holds what the command was to be given.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::INIT;

/// Kills each process that was to become a sandbox of ours and has lost its parent; answers how many
/// there were. They may be another server's: whoever they belonged to, nobody goes on with them.
pub(super) fn end(program: &Path) -> usize {
    let Ok(program) = fs::metadata(program) else {
        return 0;
    };
    let program = (program.dev(), program.ino());
    let Ok(processes) = fs::read_dir("/proc") else {
        return 0;
    };
    let pids = processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| end_one(*pid, program)).count()
}

fn end_one(pid: i32, program: (u64, u64)) -> bool {
    // Cheap, and no for nearly all of them.
    if !runs(pid, program) {
        return false;
    }
    // Opened before it is looked at: the number may become another process's.
    let Some(process) = Pid::from_raw(pid) else {
        return false;
    };
    let Ok(process) = pidfd_open(process, PidfdFlags::empty()) else {
        return false;
    };
    let is_orphan = runs(pid, program) && is_ours(pid) && {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        is_first_of_its_own(&status) && parent(&status).is_some_and(|parent| !runs(parent, program))
    };
    is_orphan && pidfd_send_signal(&process, Signal::KILL).is_ok()
}

/// Whether a process runs this very program.
fn runs(pid: i32, program: (u64, u64)) -> bool {
    let running = fs::metadata(format!("/proc/{pid}/exe"));
    running.is_ok_and(|running| (running.dev(), running.ino()) == program)
}

/// Whether it was told to start our init: others use bubblewrap, too.
fn is_ours(pid: i32) -> bool {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command
        .split(|byte| *byte == 0)
        .any(|it| it == INIT.as_bytes())
}

/// Whether it is process 1 of a PID namespace below the one that is looked from.
fn is_first_of_its_own(status: &str) -> bool {
    let numbers = field(status, "NSpid:").unwrap_or_default();
    let mut numbers = numbers.split_whitespace().rev();
    numbers.next() == Some("1") && numbers.next().is_some()
}

fn parent(status: &str) -> Option<i32> {
    field(status, "PPid:")?.trim().parse().ok()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_1_of_a_sandbox_is_known_by_its_numbers() {
        let status = "Name:\tbwrap\nPPid:\t77\nNSpid:\t2765\t1\nState:\tS (sleeping)\n";
        assert!(is_first_of_its_own(status));
        assert_eq!(parent(status), Some(77));
        assert!(!is_first_of_its_own("NSpid:\t2765\t12\n"));
        assert!(!is_first_of_its_own("NSpid:\t1\n"), "of the machine");
        assert!(!is_first_of_its_own(""));
    }
}
