//! What a tree of processes uses.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::ipc;

/// More processes than this are not measured one by one: their number is over any limit.
const MOST_PROCESSES: usize = 100_000;
/// More descriptors than this are not looked at in one measurement.
const MOST_DESCRIPTORS: usize = 100_000;
/// What the kernel keeps for a file in memory besides its content, about.
const INODE_BYTES: u64 = 1024;
/// The type of a file system in memory, as `statfs` has it.
const TMPFS: i64 = 0x0102_1994;

/// What a tree of processes uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Memory in bytes. Below the `enough` of [`memory`] it may be more than is truly used.
    pub(crate) memory_bytes: u64,
    /// Processes and threads.
    pub(crate) tasks: u64,
}

/// The memory of these processes, in bytes; 0 where nobody wants to know (`enough` is none).
/// Processes that end meanwhile count for nothing.
///
/// It is what would not be there without them: private memory, their share of memory that
/// processes share (forks share most of theirs), what is swapped out, and files in memory, whether
/// in one of `folders` or without a name. It is not pages of files on a disk, which the kernel
/// drops when it needs room. Where a rough figure is at most `enough`, it is not looked at more
/// closely, because that is costly for large processes.
pub(crate) fn memory(processes: &[u32], folders: &[PathBuf], enough: Option<u64>) -> u64 {
    let Some(enough) = enough else { return 0 };
    let files = files_in_memory(processes, folders);
    let rough = processes.iter().map(|pid| resident(*pid)).sum::<u64>() + files;
    if rough <= enough {
        return rough;
    }
    let (mut own, mut shared) = (0, 0);
    for pid in processes {
        let share = share_of(*pid);
        own += share.private;
        shared += share.in_files;
    }
    // Mapped files are in both figures, and nothing tells which. This is never more than all there
    // is.
    own + files.max(shared)
}

/// All processes from `root` down, and the number of their threads.
pub(crate) fn tree(root: u32) -> (Vec<u32>, u64) {
    let mut found = Vec::new();
    let mut waiting = vec![root];
    let mut count = 0;
    while let Some(pid) = waiting.pop() {
        if found.len() >= MOST_PROCESSES {
            break;
        }
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
            continue;
        };
        found.push(pid);
        for task in tasks.flatten() {
            count += 1;
            // Any thread may have forked, and its children are listed under it alone.
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            waiting.extend(
                children
                    .split_ascii_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
    }
    (found, count)
}

/// All resident memory of a process, shared or not.
fn resident(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages = text.split_ascii_whitespace().nth(1);
    let pages: u64 = pages.and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// A process's share of what it has in memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    /// Of memory that belongs to no file, swapped out or not.
    private: u64,
    /// Of files in memory.
    in_files: u64,
}

fn share_of(pid: u32) -> Share {
    if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
        return Share {
            private: kibibytes(&text, &["Pss_Anon:", "SwapPss:"]),
            in_files: kibibytes(&text, &["Pss_Shmem:"]),
        };
    }
    // It does not let itself be looked at: all counts, shared or not.
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    Share {
        private: kibibytes(&text, &["RssAnon:", "VmSwap:"]),
        in_files: kibibytes(&text, &["RssShmem:"]),
    }
}

/// The sum of some lines of a file in `/proc`, in bytes.
fn kibibytes(text: &str, names: &[&str]) -> u64 {
    let mut sum = 0;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if words.next().is_some_and(|name| names.contains(&name)) {
            sum += words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        }
    }
    sum * 1024
}

/// Files in memory, in folders of the processes' own or without a name, and what else is in memory
/// and belongs to no process.
fn files_in_memory(processes: &[u32], folders: &[PathBuf]) -> u64 {
    let init = match folders {
        [] => None,
        _ => first_apart(processes, "mnt"),
    };
    let inside = init.map_or(0, |pid| {
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        let named = folders
            .iter()
            .map(|folder| used(&root.join(folder.strip_prefix("/").unwrap_or(folder))));
        named.sum::<u64>() + ipc::used(pid)
    });
    inside + unnamed(processes)
}

/// The first of a tree's processes that is in another namespace of this kind than this one: the
/// sandbox's init, since parents come before their children.
pub(crate) fn first_apart(processes: &[u32], kind: &str) -> Option<u32> {
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
    let own = namespace(std::process::id());
    let is_apart = |pid: &u32| {
        let theirs = namespace(*pid);
        theirs.is_some() && theirs != own
    };
    processes.iter().copied().find(is_apart)
}

/// What the file system in memory at `path` uses; 0 where there is none.
fn used(path: &Path) -> u64 {
    match rustix::fs::statfs(path) {
        Ok(found) if found.f_type == TMPFS => {
            let blocks = found.f_blocks.saturating_sub(found.f_bfree);
            let inodes = found.f_files.saturating_sub(found.f_ffree);
            blocks * found.f_bsize.cast_unsigned() + inodes * INODE_BYTES
        }
        _ => 0,
    }
}

/// What files made by `memfd_create` hold, each counted once. Those that are on their way between
/// processes, open in none, are not found.
fn unnamed(processes: &[u32]) -> u64 {
    open_files(processes, &|descriptor| {
        let target = fs::read_link(descriptor).ok()?;
        let is_memfd = target
            .as_os_str()
            .as_encoded_bytes()
            .starts_with(b"/memfd:");
        is_memfd.then(|| fs::metadata(descriptor).ok())?
    })
}

/// What files of this device take that a process or one below it has open, and that have no name
/// any more, each counted once. Those that are only mapped are not found.
pub(crate) fn deleted(root: u32, device: u64) -> u64 {
    open_files(&tree(root).0, &|descriptor| {
        let file = fs::metadata(descriptor).ok()?;
        (file.is_file() && file.nlink() == 0 && file.dev() == device).then_some(file)
    })
}

/// What open files take that are `chosen`, by the path of a descriptor in `/proc`.
fn open_files(processes: &[u32], chosen: &dyn Fn(&str) -> Option<Metadata>) -> u64 {
    let (mut seen, mut looked_at, mut sum) = (HashSet::new(), 0, 0);
    for pid in processes {
        let descriptors = Descriptors::of(*pid);
        for number in descriptors.numbers() {
            looked_at += 1;
            if looked_at > MOST_DESCRIPTORS {
                return sum;
            }
            if let Some(file) = descriptors.look_at(number, chosen)
                && seen.insert((file.dev(), file.ino()))
            {
                sum += file.blocks() * 512;
            }
        }
    }
    sum
}

/// The descriptors of another process.
enum Descriptors {
    /// As `/proc` shows them.
    Shown { pid: u32 },
    /// As copies: the process has made itself undumpable, and `/proc` shows its descriptors to root
    /// alone. Whoever owns its user namespace may take copies all the same.
    Hidden { pid: u32, process: OwnedFd },
}

impl Descriptors {
    fn of(pid: u32) -> Self {
        let shown = fs::read_dir(format!("/proc/{pid}/fd")).is_ok();
        let open = || pidfd_open(Pid::from_raw(pid.cast_signed())?, PidfdFlags::empty()).ok();
        match (shown, open()) {
            (false, Some(process)) => Self::Hidden { pid, process },
            _ => Self::Shown { pid },
        }
    }

    fn numbers(&self) -> impl Iterator<Item = i32> + use<> {
        let folder = match self {
            Self::Shown { pid } => format!("/proc/{pid}/fd"),
            Self::Hidden { pid, .. } => format!("/proc/{pid}/fdinfo"),
        };
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
    }

    fn look_at(&self, number: i32, chosen: &dyn Fn(&str) -> Option<Metadata>) -> Option<Metadata> {
        match self {
            Self::Shown { pid } => chosen(&format!("/proc/{pid}/fd/{number}")),
            Self::Hidden { process, .. } => {
                let copy = pidfd_getfd(process, number, PidfdGetfdFlags::empty()).ok()?;
                chosen(&format!("/proc/self/fd/{}", copy.as_raw_fd()))
            }
        }
    }
}
