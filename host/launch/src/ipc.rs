//! What System V shared memory and message queues of a sandbox hold.
//!
//! They belong to an IPC namespace and to no process: memory that nobody has attached is in no
//! process's figures. The kernel shows them to those inside the namespace. So the sandbox's init,
//! which is inside, opens the kernel's tables and keeps them open under fixed numbers, and whoever
//! polls the limits takes a copy of its descriptors.

use std::fs::File;
use std::os::fd::IntoRawFd as _;
use std::os::unix::fs::FileExt as _;

use rustix::process::{ForeignRawFd, Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

/// The kernel's tables; the init's descriptor of each; and the columns that are bytes in memory.
const TABLES: [(&str, i32, &[&str]); 2] = [
    ("/proc/sysvipc/shm", 10, &["rss", "swap"]),
    ("/proc/sysvipc/msg", 11, &["cbytes"]),
];

/// As much of a table is read: more than the kernel's default limits let it grow to.
const MOST_BYTES: usize = 8 << 20;

/// Opens the tables of the calling process's namespace for [`used`]. The numbers must be free.
/// A kernel without them has nothing to count.
pub(crate) fn expose() {
    for (path, number, _) in TABLES {
        if let Ok(table) = File::open(path)
            && let Ok(kept) = rustix::io::fcntl_dupfd_cloexec(&table, number)
        {
            // Open until the process ends.
            let _ = kept.into_raw_fd();
        }
    }
}

/// What is held in the namespace of the init `pid`, in bytes; 0 where that cannot be found out.
pub(crate) fn used(pid: u32) -> u64 {
    let Some(pid) = Pid::from_raw(pid.cast_signed()) else {
        return 0;
    };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        return 0;
    };
    let mut sum = 0;
    for (_, number, columns) in TABLES {
        let number: ForeignRawFd = number;
        if let Ok(table) = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) {
            sum += total(&read(&File::from(table)), columns);
        }
    }
    sum
}

/// The copies of a descriptor share one position, so it is not used.
fn read(table: &File) -> String {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    while bytes.len() < MOST_BYTES
        && let Ok(count @ 1..) = table.read_at(&mut buffer, bytes.len() as u64)
    {
        bytes.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The sum of some columns, which the first line names.
fn total(table: &str, columns: &[&str]) -> u64 {
    let mut lines = table.lines();
    let names = lines.next().unwrap_or_default().split_ascii_whitespace();
    let wanted: Vec<bool> = names.map(|name| columns.contains(&name)).collect();
    lines
        .flat_map(|line| line.split_ascii_whitespace().zip(&wanted))
        .filter(|(_, wanted)| **wanted)
        .filter_map(|(word, _)| word.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_their_names() {
        let table = "       key      shmid perms       size  cpid  rss   swap\n\
                     \x20        0          1  1600  104857600     2  4096      10\n\
                     \x20        0          2  1600  104857600     2  100      0\n";
        assert_eq!(total(table, &["rss", "swap"]), 4206);
        assert_eq!(total("", &["rss"]), 0);
        assert_eq!(total("something else\n1 2 3\n", &["rss"]), 0);
    }
}
