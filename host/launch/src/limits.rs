//! Limits polled by the process that started a command, because no cgroup enforces them.
//!
//! Processes that grow faster than they are measured exceed a limit for a moment, and are then
//! killed. So they are measured more often the sooner they could reach it.

use std::fmt;
use std::path::PathBuf;

use crate::disk::DiskPoller;
use crate::fairness::Fairness;
use crate::process_bound::{self, Bound};
use crate::usage::{Usage, memory, tree};
use crate::{Launch, PolledLimits};

/// When processes are measured first, in milliseconds.
const FIRST_MS: u64 = 60;
/// How often it is tried to have the kernel bound how many there are …
const BOUND_MS: u64 = 5;
/// … and until when.
const BOUND_UNTIL_MS: u64 = 200;
/// How often processes are measured that do not grow …
const LONGEST_MS: u64 = 1_000;
/// … and at most, however fast they grow.
const SHORTEST_MS: u64 = 50;

/// Measures what a command and all that it started use.
#[derive(Debug)]
pub struct LimitPoller {
    limits: PolledLimits,
    /// Whether the kernel may yet be had to bound the processes.
    seeks_bound: bool,
    due: u64,
    /// The last measurement, and when it was.
    last: (u64, Usage),
    fairness: Fairness,
    /// The command's control group, which holds memory and processes, and shares out the processor.
    group: Option<PathBuf>,
    disk: Option<DiskPoller>,
}

/// A limit that was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitExceeded {
    /// Memory, in bytes.
    Memory {
        /// What was used.
        used: u64,
        /// What may be used.
        limit: u64,
    },
    /// Processes and threads.
    Pids {
        /// How many there were.
        used: u64,
        /// How many there may be.
        limit: u64,
    },
    /// What home and workspace hold together, in bytes.
    Disk {
        /// What they hold.
        used: u64,
        /// What they may hold.
        limit: u64,
    },
}

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { used, limit } => write!(
                f,
                "its processes used {} MiB of memory, and the sandbox's limit is {} MiB",
                used >> 20,
                limit >> 20
            ),
            Self::Pids { used, limit } => write!(
                f,
                "it had {used} processes and threads, and the sandbox's limit is {limit}"
            ),
            Self::Disk { used, limit } => write!(
                f,
                "home and workspace held {} MiB, and the limit is {} MiB; remove what is not needed",
                used >> 20,
                limit >> 20
            ),
        }
    }
}

impl LimitPoller {
    /// For the command of a launch that is started now.
    #[must_use]
    pub fn new(launch: &Launch) -> Self {
        Self::of(launch.polled_limits.clone(), launch.cgroup.clone())
    }

    fn of(mut limits: PolledLimits, group: Option<PathBuf>) -> Self {
        let seeks_bound = limits.pids.is_some();
        Self {
            disk: limits.disk.take().map(DiskPoller::new),
            limits,
            seeks_bound,
            due: if seeks_bound { BOUND_MS } else { FIRST_MS },
            last: (0, Usage::default()),
            fairness: Fairness::default(),
            group,
        }
    }

    /// Says that this process works for the command alone, so that it goes behind others with it.
    #[must_use]
    pub fn for_own_command(mut self) -> Self {
        self.fairness.count_self();
        self
    }

    /// Says that the command has ended, and that nothing is measured any more.
    pub fn end(&mut self) {
        self.fairness.end();
    }

    /// When to measure next, in milliseconds since the command was started; none where there is no
    /// limit.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        let disk = self.disk.as_ref().map(DiskPoller::due);
        [self.processes_due(), disk].into_iter().flatten().min()
    }

    fn processes_due(&self) -> Option<u64> {
        let any = self.is_measured() || self.group.is_some();
        any.then_some(self.due)
    }

    const fn is_measured(&self) -> bool {
        self.limits.memory_bytes.is_some() || self.limits.pids.is_some()
    }

    /// Measures the process `root` and all below it, if that is due `now`. Answers the limit that
    /// they exceed, if any.
    pub fn poll(&mut self, now: u64, root: u32) -> Option<LimitExceeded> {
        let processes = self.poll_processes(now, root);
        let disk = self.disk.as_mut();
        processes.or_else(|| disk?.poll(now, root))
    }

    fn poll_processes(&mut self, now: u64, root: u32) -> Option<LimitExceeded> {
        if self.processes_due().is_none_or(|due| now < due) {
            return None;
        }
        if let Some(group) = self.group.as_ref().filter(|_| !self.is_measured()) {
            self.fairness.look_at_group(now, group);
            let pause = self.fairness.patience().unwrap_or(LONGEST_MS);
            self.due = now.saturating_add(pause.clamp(SHORTEST_MS, LONGEST_MS));
            return None;
        }
        if self.seeks_bound && now < BOUND_UNTIL_MS {
            self.seek_bound(now, root);
            return None;
        }
        let limits = &self.limits;
        let (processes, tasks) = tree(root);
        let memory_bytes = memory(&processes, &limits.memory_mounts, limits.memory_bytes);
        let used = Usage {
            memory_bytes,
            tasks,
        };
        self.fairness.look(now, &processes);
        self.due = now.saturating_add(self.pause(now, used));
        self.last = (now, used);
        let over = |limit: Option<u64>, used: u64| limit.filter(|limit| used > *limit);
        if let Some(limit) = over(self.limits.memory_bytes, used.memory_bytes) {
            let used = used.memory_bytes;
            return Some(LimitExceeded::Memory { used, limit });
        }
        over(self.limits.pids, used.tasks).map(|limit| LimitExceeded::Pids {
            used: used.tasks,
            limit,
        })
    }

    /// Has the kernel bound the number of processes, as soon as there is what it can be bound for:
    /// until the first measurement there may be thousands.
    fn seek_bound(&mut self, now: u64, root: u32) {
        let Some(pids) = self.limits.pids else { return };
        let (processes, _) = tree(root);
        let is_early = process_bound::set(&processes, pids) == Bound::Early;
        self.seeks_bound = is_early;
        let soon = now.saturating_add(BOUND_MS);
        self.due = match is_early {
            true => soon,
            false => soon.max(FIRST_MS),
        };
    }

    /// How long to wait after a measurement: half of what it would take to reach a limit at the
    /// rate of growth since the last one, and no longer than it is to go on in front of others.
    fn pause(&self, now: u64, used: Usage) -> u64 {
        let (at, before) = self.last;
        let took = now.saturating_sub(at);
        let half_way = |limit: Option<u64>, before: u64, used: u64| {
            let room = limit?.saturating_sub(used);
            let grown = used.checked_sub(before).filter(|grown| *grown > 0)?;
            let needed = u128::from(room) * u128::from(took) / u128::from(grown);
            u64::try_from(needed / 2).ok()
        };
        let limits = &self.limits;
        [
            half_way(limits.memory_bytes, before.memory_bytes, used.memory_bytes),
            half_way(limits.pids, before.tasks, used.tasks),
            self.fairness.patience(),
        ]
        .into_iter()
        .flatten()
        .min()
        .map_or(LONGEST_MS, |ms| ms.clamp(SHORTEST_MS, LONGEST_MS))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A running shell that has said that it is ready. Killed with its children when dropped.
    struct Shell(Child);

    impl Shell {
        fn new(program: &str, option: &str, script: &str) -> Self {
            let mut child = Command::new(program)
                .args([option, script])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            let mut output = BufReader::new(child.stdout.take().unwrap());
            output.read_line(&mut line).unwrap();
            assert_eq!(line, "ready\n");
            Self(child)
        }

        /// None, with the reason printed, where there is no Python.
        fn python(script: &str) -> Option<Self> {
            let python = "/usr/bin/python3";
            if !std::path::Path::new(python).exists() {
                println!("skipped: no {python}");
                return None;
            }
            Some(Self::new(python, "-c", script))
        }

        fn poll(&self, limits: PolledLimits) -> Option<LimitExceeded> {
            LimitPoller::of(limits, None).poll(BOUND_UNTIL_MS, self.0.id())
        }

        fn memory_over(&self, mib: u64) -> Option<u64> {
            let limits = PolledLimits {
                memory_bytes: Some(mib << 20),
                ..PolledLimits::default()
            };
            match self.poll(limits) {
                Some(LimitExceeded::Memory { used, .. }) => Some(used >> 20),
                _ => None,
            }
        }
    }

    impl Drop for Shell {
        fn drop(&mut self) {
            // Its children read the same stdin, and end with it.
            drop(self.0.stdin.take());
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn a_tree_is_measured_whole() {
        let shell = Shell::new(
            "sh",
            "-c",
            "exec 3<&0; cat <&3 & cat <&3 & echo ready; wait",
        );
        let pids = |pids| PolledLimits {
            pids: Some(pids),
            ..PolledLimits::default()
        };
        let over = LimitExceeded::Pids { used: 3, limit: 2 };
        assert_eq!(shell.poll(pids(2)), Some(over));
        assert!(over.to_string().contains("limit is 2"));
        assert_eq!(shell.poll(pids(3)), None);
        assert_eq!(LimitPoller::of(PolledLimits::default(), None).due(), None);
    }

    #[test]
    fn forks_that_share_their_memory_are_not_counted_each() {
        let script = "import os, sys\n\
             data = bytearray(20 << 20)\n\
             for n in range(600):\n  if os.fork() == 0:\n    sys.stdin.read(); os._exit(0)\n\
             print('ready', flush=True); sys.stdin.read()\n";
        let Some(shell) = Shell::python(script) else {
            return;
        };
        // 600 times 20 MiB and an interpreter would be more than 12,000.
        assert_eq!(shell.memory_over(1_000), None);
        let used = shell.memory_over(15).unwrap();
        assert!((20..1_000).contains(&used), "{used}");
    }

    #[test]
    fn shared_memory_and_files_without_a_name_are_counted_once() {
        let script = "import mmap, os, sys\n\
             shared = mmap.mmap(-1, 64 << 20); shared.write(bytes(64 << 20))\n\
             fd = os.memfd_create('x'); [os.write(fd, bytes(1 << 20)) for n in range(96)]\n\
             os.dup(fd)\n\
             for n in range(3):\n  if os.fork() == 0:\n    sys.stdin.read(); os._exit(0)\n\
             print('ready', flush=True); sys.stdin.read()\n";
        let Some(shell) = Shell::python(script) else {
            return;
        };
        let used = shell.memory_over(90).unwrap();
        assert!((96..250).contains(&used), "{used}");
    }

    #[test]
    fn who_grows_is_measured_more_often() {
        let limits = PolledLimits {
            memory_bytes: Some(1000 << 20),
            ..PolledLimits::default()
        };
        let mut poller = LimitPoller::of(limits, None);
        let used = |mib: u64| Usage {
            memory_bytes: mib << 20,
            tasks: 1,
        };
        poller.last = (1_000, used(100));
        // 100 MiB in 200 ms: full after 1,600 ms more, and looked at after half of that.
        assert_eq!(poller.pause(1_200, used(200)), 800);
        assert_eq!(poller.pause(1_200, used(900)), SHORTEST_MS);
        assert_eq!(poller.pause(1_200, used(100)), LONGEST_MS);
        assert_eq!(poller.pause(1_200, used(50)), LONGEST_MS);
        assert_eq!(poller.pause(1_200, used(2_000)), SHORTEST_MS);
    }
}
