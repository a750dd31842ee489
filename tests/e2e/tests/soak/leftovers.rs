//! What a server has and leaves behind.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aod_e2e::{DEADLINE, Process, Server, eventually};
use tokio::time::sleep;

/// How much larger the server may be than before, in bytes: what its allocator keeps of a busy
/// time, and the caches of its database.
pub(crate) const MEMORY_MARGIN: u64 = 48 << 20;
/// How many more descriptors it may have: connections to its database are made as needed.
pub(crate) const DESCRIPTOR_MARGIN: usize = 8;

/// What the server takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Footprint {
    /// Its memory in bytes: its share, where this user may see that, else what is resident.
    pub(crate) memory: u64,
    /// Its open descriptors, where this user may see them.
    pub(crate) descriptors: Option<usize>,
}

impl Footprint {
    pub(crate) fn of(server: &Server) -> Self {
        let pid = server.process().pid;
        let line = |file: &str, name: &str| -> Option<u64> {
            let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let kib = line("smaps_rollup", "Pss:").or_else(|| line("status", "VmRSS:"));
        Self {
            memory: kib.unwrap() << 10,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd"))
                .ok()
                .map(Iterator::count),
        }
    }

    /// As [`Footprint::of`], once it fits `before`, or after a while: clients' connections that
    /// were dropped are closed when the server notices.
    pub(crate) async fn settling(server: &Server, before: &Self) -> Self {
        let end = tokio::time::Instant::now() + DEADLINE;
        loop {
            let now = Self::of(server);
            if now.fits(before) || tokio::time::Instant::now() > end {
                return now;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    pub(crate) fn fits(&self, before: &Self) -> bool {
        let descriptors = self.descriptors.zip(before.descriptors);
        self.memory <= before.memory + MEMORY_MARGIN
            && descriptors.is_none_or(|(now, then)| now <= then + DESCRIPTOR_MARGIN)
    }
}

/// Waits until nothing is left of sessions, which have all been deleted by then.
pub(crate) async fn settled(server: &Server) {
    for folder in ["sessions", "removals", "trash"] {
        let path = server.data().join(folder);
        eventually(&format!("{folder} is empty"), DEADLINE * 3, async || {
            is_empty(&path).then_some(())
        })
        .await;
    }
    eventually("no supervisor runs", DEADLINE, async || {
        server.supervisors().is_empty().then_some(())
    })
    .await;
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// Children of the server that have ended and were not waited for.
pub(crate) fn zombies(server: &Server) -> usize {
    let own = server.process().pid;
    let is_zombie = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
        (fields.first() == Some(&"Z") && fields.get(1)?.parse() == Ok(own)).then_some(())
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(is_zombie).count()
}

/// Remembers every process that it sees under the server's supervisors.
pub(crate) struct Watch(Arc<Mutex<HashSet<Process>>>);

impl Watch {
    pub(crate) fn start(server: &Server) -> Self {
        let seen: Arc<Mutex<HashSet<Process>>> = Arc::default();
        let (weak, data) = (Arc::downgrade(&seen), server.data());
        std::thread::spawn(move || {
            while let Some(seen) = weak.upgrade() {
                for tree in aod_e2e::supervisors(&data) {
                    seen.lock().unwrap().extend(tree.survivors());
                }
                drop(seen);
                std::thread::sleep(Duration::from_millis(300));
            }
        });
        Self(seen)
    }

    /// Those that still run, with their commands, and how many there were.
    pub(crate) fn survivors(&self) -> (usize, Vec<String>) {
        let seen = self.0.lock().unwrap();
        let alive = seen.iter().filter(|process| process.is_alive());
        (seen.len(), alive.map(|process| process.command()).collect())
    }
}
