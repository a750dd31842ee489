//! Keeping a process's memory from others.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// No core dumps, no debuggers, no reading of `/proc/self/mem` by others: for a process that holds
/// secrets, before it reads any.
pub fn protect_memory() {
    // Neither can fail for a process that lowers its own limits; and if it did, what the process is
    // for would matter more.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, none);
}
