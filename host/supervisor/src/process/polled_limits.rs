//! Limits polled by the supervisor because no cgroup enforces them: it measures what the launched
//! processes use, and kills them beyond.
//!
//! Where a cgroup is delegated the kernel enforces these limits and nothing is polled. Elsewhere
//! processes that grow faster than they are measured exceed the limit for a moment, and are then
//! killed.

use std::fs;

use aod_launch::PolledLimits;

/// How often it is looked, in milliseconds.
const PERIOD_MS: u64 = 2_000;
/// More processes than this are not looked at one by one: the count is limit enough.
const MOST: usize = 100_000;

/// Measures a tree of processes now and then.
#[derive(Debug)]
pub struct LimitPoller {
    limits: PolledLimits,
    due: u64,
}

/// What a tree uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Use {
    memory_bytes: u64,
    tasks: u64,
}

impl LimitPoller {
    /// The first look comes after one period.
    pub const fn new(limits: PolledLimits) -> Self {
        Self {
            limits,
            due: PERIOD_MS,
        }
    }

    /// When to look next, if there is anything to look for.
    pub const fn due(&self) -> Option<u64> {
        match self.limits {
            PolledLimits {
                memory_bytes: None,
                pids: None,
            } => None,
            _ => Some(self.due),
        }
    }

    /// Looks if it is due; says which limit the tree under `root` is over.
    pub fn look(&mut self, now: u64, root: u32) -> Option<String> {
        if self.due().is_none_or(|due| now < due) {
            return None;
        }
        self.due = now.saturating_add(PERIOD_MS);
        let used = measure(root);
        let over = |limit: Option<u64>, used: u64| limit.filter(|limit| used > *limit);
        if let Some(limit) = over(self.limits.memory_bytes, used.memory_bytes) {
            let mib = |bytes: u64| bytes >> 20;
            return Some(format!(
                "its processes used {} MiB of memory, and the sandbox's limit is {} MiB",
                mib(used.memory_bytes),
                mib(limit)
            ));
        }
        over(self.limits.pids, used.tasks).map(|limit| {
            format!(
                "it had {} processes and threads, and the sandbox's limit is {limit}",
                used.tasks
            )
        })
    }
}

/// Adds up what a process and all below it use. Processes that end meanwhile count for nothing.
fn measure(root: u32) -> Use {
    let mut used = Use::default();
    let mut waiting = vec![root];
    let mut seen = 0;
    while let Some(pid) = waiting.pop() {
        seen += 1;
        if seen > MOST {
            break;
        }
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
            continue;
        };
        used.memory_bytes += private_bytes(pid);
        for task in tasks.flatten() {
            used.tasks += 1;
            // Any thread may have forked, and its children are listed under it alone.
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            waiting.extend(
                children
                    .split_ascii_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
    }
    used
}

/// Resident memory that a process does not share with files or other processes.
fn private_bytes(pid: u32) -> u64 {
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/statm")) else {
        return 0;
    };
    let mut pages = text
        .split_ascii_whitespace()
        .skip(1)
        .map(|word| word.parse().unwrap_or(0_u64));
    let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    // SAFETY: asks for a constant of the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    resident.saturating_sub(shared) * u64::try_from(page).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_tree_is_measured_whole() {
        // The shell tells that both of its children run.
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 60 & sleep 60 & echo ready; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(shell.stdout.take().unwrap()),
            &mut line,
        )
        .unwrap();
        let used = measure(shell.id());
        assert_eq!(used.tasks, 3);
        assert!(used.memory_bytes > 0);
        let mut poller = LimitPoller::new(PolledLimits {
            memory_bytes: None,
            pids: Some(2),
        });
        assert_eq!(poller.look(PERIOD_MS - 1, shell.id()), None);
        assert!(
            poller
                .look(PERIOD_MS, shell.id())
                .unwrap()
                .contains("limit is 2")
        );
        let mut poller = LimitPoller::new(PolledLimits {
            memory_bytes: Some(1 << 30),
            pids: Some(3),
        });
        assert_eq!(poller.look(PERIOD_MS, shell.id()), None);
        assert!(LimitPoller::new(PolledLimits::default()).due().is_none());
        for child in fs::read_to_string(format!("/proc/{0}/task/{0}/children", shell.id()))
            .unwrap()
            .split_ascii_whitespace()
        {
            Command::new("kill").arg(child).status().unwrap();
        }
        shell.wait().unwrap();
    }
}
