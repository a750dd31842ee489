//! Limits of single processes, set by the command that starts the command.

use std::path::Path;

use rustix::process::{Resource, getrlimit};

use crate::{Limits, SandboxError};

/// Sets limits and executes its arguments in its own place; part of util-linux.
const PRLIMIT: &str = "/usr/bin/prlimit";

/// Whether [`wrap`] will work.
pub(crate) fn available() -> bool {
    Path::new(PRLIMIT).is_file()
}

/// `argv`, started with the limits that the kernel holds for each process.
///
/// They are set inside the sandbox and not by the spawner, because the limit on processes is
/// counted for a user within a user namespace: set outside, it would count all that the server's
/// user runs on the host. Core dumps are always off: they would write memory, with its secrets, to
/// wherever the host's kernel collects them.
pub(crate) fn wrap(
    argv: &[String],
    limits: &Limits,
    count_processes: bool,
) -> Result<Vec<String>, SandboxError> {
    if !available() {
        return Err(SandboxError::MissingProgram {
            program: PRLIMIT.into(),
            fix: "install util-linux (`apt install util-linux`)",
        });
    }
    let pids = limits.pids.filter(|_| count_processes);
    let wanted = [
        ("cpu", Resource::Cpu, limits.cpu_seconds),
        ("nofile", Resource::Nofile, limits.open_files),
        ("fsize", Resource::Fsize, limits.file_size),
        ("nproc", Resource::Nproc, pids),
    ];
    let mut wrapped = vec![PRLIMIT.to_owned(), "--core=0".to_owned()];
    for (name, resource, limit) in wanted {
        if let Some(limit) = limit {
            // Nobody may raise a hard limit in a user namespace of its own.
            let limit = getrlimit(resource)
                .maximum
                .map_or(limit, |most| most.min(limit));
            wrapped.push(format!("--{name}={limit}"));
        }
    }
    wrapped.push("--".to_owned());
    wrapped.extend_from_slice(argv);
    Ok(wrapped)
}

/// Whether the limit on processes that [`wrap`] sets is one: the kernel exempts root's uid, also
/// where it is mapped to another one in a user namespace.
pub(crate) fn process_count_holds() -> bool {
    !rustix::process::getuid().is_root()
}
