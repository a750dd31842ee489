//! What a tree of processes uses.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

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
    /// Memory in bytes. Below the `enough` of [`measure`] it may be more than is truly used.
    pub(crate) memory_bytes: u64,
    /// Processes and threads.
    pub(crate) tasks: u64,
}

/// Measures a process and all below it. Processes that end meanwhile count for nothing.
///
/// Memory is what would not be there without the tree: private memory, its share of memory that
/// processes share (forks share most of theirs), what is swapped out, and files in memory, whether
/// in one of `folders` or without a name. It is not pages of files on a disk, which the kernel
/// drops when it needs room. Where a rough figure is at most `enough`, it is not looked at more
/// closely, because that is costly for large processes.
pub(crate) fn measure(root: u32, folders: &[PathBuf], enough: Option<u64>) -> Usage {
    let (processes, tasks) = tree(root);
    let Some(enough) = enough else {
        return Usage {
            memory_bytes: 0,
            tasks,
        };
    };
    let files = files_in_memory(&processes, folders);
    let rough = processes.iter().map(|pid| resident(*pid)).sum::<u64>() + files;
    let memory_bytes = if rough <= enough {
        rough
    } else {
        let (mut own, mut shared) = (0, 0);
        for pid in &processes {
            let share = share_of(*pid);
            own += share.private;
            shared += share.in_files;
        }
        // Mapped files are in both figures, and nothing tells which. This is never more than all
        // there is.
        own + files.max(shared)
    };
    Usage {
        memory_bytes,
        tasks,
    }
}

/// All processes from `root` down, and the number of their threads.
fn tree(root: u32) -> (Vec<u32>, u64) {
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

/// Files in memory: in folders of the processes' own, or without a name.
fn files_in_memory(processes: &[u32], folders: &[PathBuf]) -> u64 {
    let own = namespace(std::process::id());
    let apart = |pid: &&u32| {
        let theirs = namespace(**pid);
        theirs.is_some() && theirs != own
    };
    let inside = match folders {
        [] => None,
        _ => processes.iter().find(apart),
    };
    let named = folders.iter().map(|folder| {
        inside.map_or(0, |pid| {
            let root = PathBuf::from(format!("/proc/{pid}/root"));
            used(&root.join(folder.strip_prefix("/").unwrap_or(folder)))
        })
    });
    named.sum::<u64>() + unnamed(processes)
}

/// The mount namespace of a process.
fn namespace(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()
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

/// What files made by `memfd_create` hold, each counted once.
fn unnamed(processes: &[u32]) -> u64 {
    let (mut seen, mut looked_at, mut sum) = (HashSet::new(), 0, 0);
    for pid in processes {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        for descriptor in descriptors.flatten() {
            looked_at += 1;
            if looked_at > MOST_DESCRIPTORS {
                return sum;
            }
            let path = descriptor.path();
            let is_memory = fs::read_link(&path).is_ok_and(|target| {
                target
                    .as_os_str()
                    .as_encoded_bytes()
                    .starts_with(b"/memfd:")
            });
            if is_memory
                && let Ok(file) = fs::metadata(&path)
                && seen.insert(file.ino())
            {
                sum += file.blocks() * 512;
            }
        }
    }
    sum
}
