//! Syncing beside the writer: who appends does not wait for the disk.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Enough for three system calls. Only what is touched of it counts as memory.
const STACK: usize = 64 << 10;
/// How soon to look again for the end of a sync that takes longer than the interval.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// At most one sync that runs. Its thread lives only as long: between syncs a turn costs nothing.
#[derive(Debug, Default)]
pub(crate) struct Syncer(Option<JoinHandle<Result<(), Failed>>>);

/// What a sync does, in this order.
#[derive(Debug, Default)]
pub(crate) struct Job(Vec<(File, PathBuf)>);

/// A file that could not be forced to the disk.
#[derive(Debug)]
pub(crate) struct Failed {
    pub path: PathBuf,
    pub source: io::Error,
}

impl Job {
    /// Adds a file, or a folder for the names in it.
    pub fn then(mut self, file: File, path: PathBuf) -> Self {
        self.0.push((file, path));
        self
    }

    /// How many files and folders it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Does it here and now.
    ///
    /// # Errors
    /// With the first that cannot be done.
    pub fn run(&self) -> Result<(), Failed> {
        self.0.iter().try_for_each(|(file, path)| {
            file.sync_all().map_err(|source| Failed {
                path: path.clone(),
                source,
            })
        })
    }
}

impl Syncer {
    /// Whether a sync runs.
    pub fn is_busy(&self) -> bool {
        self.0.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Begins a sync, once the one before has ended: syncs stay in order, and what is not yet
    /// safe stays bounded.
    ///
    /// # Errors
    /// As [`Syncer::wait`]; the new sync is then not begun.
    pub fn begin(&mut self, job: Job) -> Result<(), Failed> {
        self.wait()?;
        // The files are shared: where no thread can be had, the caller does the work.
        let job = Arc::new(job);
        let theirs = job.clone();
        let builder = Builder::new().name("log-sync".to_owned()).stack_size(STACK);
        match builder.spawn(move || theirs.run()) {
            Ok(thread) => {
                self.0 = Some(thread);
                Ok(())
            }
            Err(_) => job.run(),
        }
    }

    /// Waits for the sync that runs, if one does.
    ///
    /// # Errors
    /// Where it failed, or one failed that nobody has asked for since.
    pub fn wait(&mut self) -> Result<(), Failed> {
        match self.0.take().map(JoinHandle::join) {
            // It calls nothing that panics.
            None | Some(Err(_)) => Ok(()),
            Some(Ok(done)) => done,
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        // Before the lock goes: the next writer counts on what lies behind it.
        let _ = self.wait();
    }
}
