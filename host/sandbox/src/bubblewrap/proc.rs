//! The sandbox's `/proc`: its own processes, and as little of the host as programs can do without.
//!
//! The kernel asks for the owner's uid, and not for a capability, before it shows or changes most
//! of this. Root's uid is what the sandbox of a server run by root has outside.
//!
//! `/proc/<pid>/mountinfo` cannot be hidden, since it is another file for each process. It names
//! where on the host's file systems the sandbox's folders lie; the probe says so.

use std::path::{Path, PathBuf};

use super::arguments::Arguments;

/// Where it is mounted.
const PROC: &str = "/proc";

/// What programs read and must not be able to write.
const READ_ONLY: &[&str] = &["pressure", "sys", "sysrq-trigger"];

/// Files that tell about the host as a whole: they are empty. What container runtimes mask, and
/// what else is of no use to ordinary programs.
const MASKED_FILES: &[&str] = &[
    "allocinfo",
    "buddyinfo",
    "cmdline",
    "config.gz",
    "consoles",
    "diskstats",
    "interrupts",
    "iomem",
    "ioports",
    "kallsyms",
    "kcore",
    "key-users",
    "keys",
    "kmsg",
    "kpagecgroup",
    "kpagecount",
    "kpageflags",
    "latency_stats",
    "mdstat",
    "modules",
    "mtrr",
    "pagetypeinfo",
    "partitions",
    "sched_debug",
    "slabinfo",
    "softirqs",
    "swaps",
    "timer_list",
    "timer_stats",
    "vmallocinfo",
    "zoneinfo",
];

/// Folders of that kind.
const MASKED_FOLDERS: &[&str] = &[
    "acpi",
    "asound",
    "bus",
    "driver",
    "fs",
    "irq",
    "scsi",
    "tty/driver",
];

/// Adds the mounts.
pub(super) fn mount(arguments: &mut Arguments) {
    arguments.words(["--proc", PROC]);
    for path in present(READ_ONLY) {
        arguments.option(["--ro-bind".as_ref(), path.as_os_str(), path.as_os_str()]);
    }
    for path in present(MASKED_FILES) {
        // As a device: on a mount without devices, opening it would fail, which programs do not
        // expect of a file that exists.
        let null = "/dev/null".as_ref();
        arguments.option(["--dev-bind".as_ref(), null, path.as_os_str()]);
    }
    for path in present(MASKED_FOLDERS) {
        arguments.option(["--tmpfs".as_ref(), path.as_os_str()]);
        arguments.option(["--remount-ro".as_ref(), path.as_os_str()]);
    }
}

/// What the host's `/proc` has and a sandbox's must not show as it is.
pub(super) fn covered() -> impl Iterator<Item = PathBuf> {
    [READ_ONLY, MASKED_FILES, MASKED_FOLDERS]
        .into_iter()
        .flat_map(present)
}

fn present(names: &'static [&'static str]) -> impl Iterator<Item = PathBuf> {
    let path = |name| Path::new(PROC).join(name);
    names.iter().map(path).filter(|path| path.exists())
}
