//! Processes, as `/proc` shows them.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::{DEADLINE, eventually};

/// Lets this process have as many open files as it may: one for each of a thousand readers.
///
/// # Panics
/// When it may not.
pub fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        panic!("the limit on open files cannot be raised: {error}");
    }
}

/// A process that cannot be taken for a later one with the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// When it began, in clock ticks since the machine did.
    begun: u64,
}

impl Process {
    /// The process with that id, if there is one that is not a zombie.
    #[must_use]
    pub fn find(pid: i32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        (stat.state != 'Z').then_some(Self {
            pid,
            begun: stat.begun,
        })
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    /// Its arguments, with blanks between them.
    #[must_use]
    pub fn command(self) -> String {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    }

    /// The program that it runs; none for a process that hides it.
    #[must_use]
    pub fn program(self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/exe", self.pid)).ok()
    }

    /// Kills it, if it still runs.
    ///
    /// # Panics
    /// When it may not be killed.
    pub fn kill(self) {
        if self.is_alive()
            && let Some(pid) = Pid::from_raw(self.pid)
            && let Err(error) = kill_process(pid, Signal::KILL)
        {
            assert_eq!(error, rustix::io::Errno::SRCH, "cannot kill {}", self.pid);
        }
    }
}

/// What the tests need of `/proc/PID/stat`.
struct Stat {
    state: char,
    parent: i32,
    begun: u64,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The program's name stands in brackets and may hold blanks and brackets itself.
        let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            begun: fields.get(19)?.parse().ok()?,
        })
    }
}

/// All processes of this machine that can be seen, without zombies.
#[must_use]
pub fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Process::find)
        .collect()
}

/// A process and everything below it.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The process at its root.
    pub root: Process,
    /// Those below it.
    pub below: Vec<Process>,
}

impl Tree {
    /// The trees under some processes, as they are now.
    #[must_use]
    pub fn under(roots: &[Process]) -> Vec<Self> {
        let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
        for process in all() {
            if let Some(stat) = Stat::read(process.pid) {
                children.entry(stat.parent).or_default().push(process);
            }
        }
        let tree = |root: &Process| {
            let mut below = Vec::new();
            let mut next = vec![*root];
            while let Some(process) = next.pop() {
                let found = children.get(&process.pid).into_iter().flatten();
                below.extend(found.clone());
                next.extend(found);
            }
            Self { root: *root, below }
        };
        roots.iter().map(tree).collect()
    }

    /// Those of the tree that still run.
    #[must_use]
    pub fn survivors(&self) -> Vec<Process> {
        let all = std::iter::once(&self.root).chain(&self.below);
        all.copied().filter(|process| process.is_alive()).collect()
    }

    /// Checks that nothing is left under a supervisor that has ended its turn. It has released the
    /// session by then, and is about to exit.
    ///
    /// # Panics
    /// Where something is left.
    pub async fn none_left(&self) {
        let mut left = self.survivors();
        left.retain(|process| process.pid != self.root.pid);
        let left: Vec<_> = left.into_iter().map(Process::command).collect();
        assert!(left.is_empty(), "still running: {left:#?}");
        eventually("its supervisor exits", DEADLINE, async || {
            (!self.root.is_alive()).then_some(())
        })
        .await;
    }
}
