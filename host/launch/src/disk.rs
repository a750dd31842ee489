//! What a command leaves on the disk, polled by the process that started it.
//!
//! Walking through all that is there is costly, so that it is done only when it may be too much:
//! the folders have grown by no more than the file system that they are on, which is asked instead.
//! What others free there meanwhile hides growth, so that they are walked through now and then too.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use aod_trees::{Folder, Limits, walk};

use crate::launch::DiskLimit;
use crate::limits::LimitExceeded;
use crate::usage;

/// When the file system is asked first, in milliseconds …
const FIRST_MS: u64 = 100;
/// … how often where nothing grows …
const LONGEST_MS: u64 = 1_000;
/// … and at most.
const SHORTEST_MS: u64 = 50;
/// The folders are walked through so often at least, where the file system changes.
const REFRESH_MS: u64 = 60_000;
/// How long each folder may be walked through. What was not seen by then does not count.
const PATIENCE: Duration = Duration::from_secs(20);
/// How much more there may be of what is too much already, in bytes: a CLI that is to clear up
/// writes a log of it.
const SLACK: u64 = 16 << 20;

/// Measures the folders of a [`DiskLimit`].
#[derive(Debug)]
pub(crate) struct DiskPoller {
    limit: DiskLimit,
    /// What they may hold, known with the first measurement.
    allowed: Option<u64>,
    last: Measured,
    /// A measurement that is being made, and how it stood as that began.
    measuring: Option<(Measured, JoinHandle<u64>)>,
    due: u64,
}

/// A measurement.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    /// When it was begun.
    at: u64,
    /// What the folders held, in bytes.
    held: u64,
    /// What the whole file system held as it began, in bytes.
    file_system: u64,
}

impl DiskPoller {
    pub(crate) fn new(limit: DiskLimit) -> Self {
        Self {
            limit,
            allowed: None,
            last: Measured::default(),
            measuring: None,
            due: FIRST_MS,
        }
    }

    /// When to look next, in milliseconds since the command was started.
    pub(crate) const fn due(&self) -> u64 {
        self.due
    }

    /// Looks, if that is due `now`. Deleted files that `root` or a process below it has open count.
    pub(crate) fn poll(&mut self, now: u64, root: u32) -> Option<LimitExceeded> {
        if now < self.due {
            return None;
        }
        let file_system = self.limit.folders.first().map_or(0, |folder| used(folder));
        if let Some((begun, measuring)) = self.measuring.take() {
            if !measuring.is_finished() {
                self.measuring = Some((begun, measuring));
                self.due = now.saturating_add(SHORTEST_MS);
                return None;
            }
            // A walk that has panicked has measured nothing.
            let held = measuring.join().unwrap_or(self.last.held);
            self.last = Measured { held, ..begun };
            let most = self.limit.bytes;
            let allowed = *self.allowed.get_or_insert_with(|| match held > most {
                true => held.saturating_add(SLACK),
                false => most,
            });
            if held > allowed {
                return Some(LimitExceeded::Disk {
                    used: held,
                    limit: most,
                });
            }
        } else if self.is_to_be_measured(now, file_system) {
            let begun = Measured {
                at: now,
                held: 0,
                file_system,
            };
            let folders = self.limit.folders.clone();
            let measure = move || measure(&folders, root);
            let thread = std::thread::Builder::new().name("disk".to_owned());
            // Where there is no room for a thread, it is tried again.
            self.measuring = thread.spawn(measure).ok().map(|thread| (begun, thread));
            self.due = now.saturating_add(SHORTEST_MS);
            return None;
        }
        self.due = now.saturating_add(self.pause(now, file_system));
        None
    }

    /// Whether the folders may hold too much.
    fn is_to_be_measured(&self, now: u64, file_system: u64) -> bool {
        let Some(allowed) = self.allowed else {
            return true;
        };
        let grown = file_system.saturating_sub(self.last.file_system);
        let is_old = now.saturating_sub(self.last.at) >= REFRESH_MS;
        self.last.held.saturating_add(grown) > allowed
            || is_old && file_system != self.last.file_system
    }

    /// How long to wait: half of what it would take to get to the limit at the rate of growth since
    /// the last measurement.
    fn pause(&self, now: u64, file_system: u64) -> u64 {
        let took = u128::from(now.saturating_sub(self.last.at));
        let grown = file_system.saturating_sub(self.last.file_system);
        let held = self.last.held.saturating_add(grown);
        let room = self
            .allowed
            .unwrap_or(self.limit.bytes)
            .saturating_sub(held);
        let needed = (u128::from(room) * took / 2).checked_div(u128::from(grown));
        let ms = needed.and_then(|needed| u64::try_from(needed).ok());
        ms.map_or(LONGEST_MS, |ms| ms.clamp(SHORTEST_MS, LONGEST_MS))
    }
}

/// What a file system holds, in bytes; 0 where that cannot be said.
fn used(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |found| {
        found.f_blocks.saturating_sub(found.f_bfree) * found.f_frsize
    })
}

/// What is in the folders, and in deleted files on their file system that are open.
fn measure(folders: &[PathBuf], root: u32) -> u64 {
    let limits = Limits {
        time: PATIENCE,
        ..Limits::default()
    };
    let mut held = 0u64;
    for folder in folders {
        let Ok(folder) = Folder::open(folder) else {
            continue;
        };
        // What was counted until an error counts.
        let _ = walk(&folder, &limits, &mut |found| {
            held = held.saturating_add(found.allocated);
            ControlFlow::Continue(())
        });
    }
    let device = folders.first().and_then(|folder| fs::metadata(folder).ok());
    held + device.map_or(0, |folder| usage::deleted(root, folder.dev()))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;

    const MIB: u64 = 1 << 20;

    struct Disk {
        folder: tempfile::TempDir,
        poller: DiskPoller,
        now: u64,
    }

    impl Disk {
        fn new(mib: u64) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let limit = DiskLimit {
                folders: vec![folder.path().to_owned()],
                bytes: mib * MIB,
            };
            Self {
                folder,
                poller: DiskPoller::new(limit),
                now: 0,
            }
        }

        fn write(&self, name: &str, mib: usize) -> File {
            let mut file = File::create(self.folder.path().join(name)).unwrap();
            file.write_all(&vec![1; mib << 20]).unwrap();
            file
        }

        /// What is said once what is due has been measured.
        fn poll(&mut self) -> Option<LimitExceeded> {
            self.now = self.poller.due();
            let mut said = self.poller.poll(self.now, std::process::id());
            while self.poller.measuring.is_some() {
                std::thread::yield_now();
                self.now = self.poller.due();
                said = self.poller.poll(self.now, std::process::id());
            }
            said
        }

        /// As long as the folders may have grown unseen.
        fn poll_later(&mut self) -> Option<LimitExceeded> {
            self.poller.due += REFRESH_MS;
            self.poll()
        }
    }

    #[test]
    fn growth_is_noticed_also_in_files_without_a_name() {
        let mut disk = Disk::new(20);
        assert_eq!(disk.poll(), None);
        disk.write("a", 12);
        assert_eq!(disk.poll_later(), None);
        let open = disk.write("b", 12);
        let over = disk.poll_later();
        assert!(
            matches!(over, Some(LimitExceeded::Disk { used, limit })
                if used >= 24 * MIB && limit == 20 * MIB),
            "{over:?}"
        );
        fs::remove_file(disk.folder.path().join("b")).unwrap();
        assert!(matches!(
            disk.poll_later(),
            Some(LimitExceeded::Disk { .. })
        ));
        drop(open);
        assert_eq!(disk.poll_later(), None);
        // A sparse file takes no room.
        File::create(disk.folder.path().join("c"))
            .and_then(|file| file.set_len(1 << 40))
            .unwrap();
        assert_eq!(disk.poll_later(), None);
    }

    #[test]
    fn what_is_too_much_already_can_be_cleared_up_and_not_grow() {
        let mut disk = Disk::new(20);
        disk.write("a", 30);
        assert_eq!(disk.poll(), None);
        disk.write("log", 1);
        assert_eq!(disk.poll_later(), None);
        disk.write("b", 30);
        assert!(disk.poll_later().is_some());
    }

    #[test]
    fn it_is_looked_at_more_often_the_sooner_it_could_be_too_much() {
        let mut disk = Disk::new(100);
        assert_eq!(disk.poll(), None);
        let poller = &disk.poller;
        let (at, before) = (poller.last.at, poller.last.file_system);
        assert_eq!(poller.pause(at + 1_000, before), LONGEST_MS);
        // 10 MiB in a second: 90 more would take nine.
        assert_eq!(poller.pause(at + 1_000, before + 10 * MIB), LONGEST_MS);
        let soon = poller.pause(at + 1_000, before + 80 * MIB);
        assert!((SHORTEST_MS..200).contains(&soon), "{soon}");
        assert!(poller.is_to_be_measured(at + 1_000, before + 101 * MIB));
        assert!(!poller.is_to_be_measured(at + 1_000, before + 90 * MIB));
        assert!(!poller.is_to_be_measured(at + REFRESH_MS, before));
        assert!(poller.is_to_be_measured(at + REFRESH_MS, before.saturating_sub(1)));
    }
}
