//! Limits of single processes, which the sandbox's init sets for the command.

use aod_launch::init;
use rustix::process::{Resource, getrlimit};

use crate::Limits;

/// The init's options for the limits that the kernel holds for each process.
///
/// Core dumps are always off: they would write memory, with its secrets, to wherever the host's
/// kernel collects them.
pub(crate) fn options(limits: &Limits, count_processes: bool) -> Vec<String> {
    let mut options = Vec::new();
    for (name, resource) in init::LIMITS {
        let limit = match resource {
            Resource::Core => Some(0),
            Resource::Cpu => limits.cpu_seconds,
            Resource::Nofile => limits.open_files,
            Resource::Fsize => limits.file_size,
            Resource::Nproc => limits.pids.filter(|_| count_processes),
            _ => None,
        };
        if let Some(limit) = limit {
            // Nobody may raise a hard limit in a user namespace of its own.
            let limit = getrlimit(resource)
                .maximum
                .map_or(limit, |most| most.min(limit));
            options.extend([init::LIMIT.to_owned(), format!("{name}={limit}")]);
        }
    }
    options
}

/// Whether the limit on processes is one: the kernel exempts root's uid, also where it is mapped to
/// another one in a user namespace.
pub(crate) fn process_count_holds() -> bool {
    !rustix::process::getuid().is_root()
}
