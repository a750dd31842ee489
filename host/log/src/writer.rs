//! The one writer.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::error::is_full;
use crate::frame::{self, Chain};
use crate::lock::Lock;
use crate::newest;
use crate::reserve::Reserve;
use crate::segment::{self, Index};
use crate::syncer::{Failed, Job, LOOK_AGAIN, Syncer};
use crate::{Batch, Error, Result};

/// So many finished segments may wait for their sync, beside those whose sync runs, before the
/// writer waits for the disk.
pub(crate) const MOST_BEHIND: usize = 16;

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Size in bytes at which a new segment is begun. A batch is never split, so a segment may
    /// be larger by one batch.
    pub segment_bytes: u64,
    /// What survives a power loss.
    pub fsync: Fsync,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            fsync: Fsync::default(),
        }
    }
}

/// When records are forced to the disk. The death of processes costs nothing in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fsync {
    /// With every batch.
    Always,
    /// At most so long after a batch, beside the writer, which does not wait for it.
    Interval(Duration),
    /// When [`Writer::sync`] is called.
    Never,
}

impl Default for Fsync {
    fn default() -> Self {
        Self::Interval(Duration::from_secs(1))
    }
}

/// The right to append to a log.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    options: Options,
    chain: Chain,
    first_id: u64,
    file: File,
    path: PathBuf,
    size: u64,
    index: Index,
    reserve: Reserve,
    lost: u64,
    dirty_since: Option<Instant>,
    syncer: Syncer,
    /// Finished segments, and folders for the names in them, that wait for the next sync.
    behind: Job,
    // Last, so that all else is closed when the lock is released.
    _lock: Lock,
}

impl Writer {
    /// Takes the log in `dir`, made where it is missing (0700), cuts a torn last record, and
    /// raises the generation.
    ///
    /// # Errors
    /// [`Error::Locked`] while another writer has it, [`Error::Corrupt`] where damage is followed
    /// by whole records, [`Error::NewerFormat`]; [`Error::DiskFull`] and [`Error::Io`].
    pub fn open(dir: &Path, options: Options) -> Result<Self> {
        Self::open_after(dir, options, 0)
    }

    /// As [`Writer::open`], where numbers up to `given` are known to have been on the disk: a log
    /// that ends before that was cut, or is not there any more. It is gone on with behind them, so
    /// that no number is given twice, and [`Writer::lost`] says how many are gone.
    ///
    /// # Errors
    /// As [`Writer::open`].
    pub fn open_after(dir: &Path, options: Options, given: u64) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(Error::io("create", dir))?;
        let lock = Lock::take(dir)?;
        let reserve = Reserve::open(dir);
        let tail = newest::find(dir)?;
        let tail = match tail {
            Some(mut tail) => {
                tail.chain.generation = tail.chain.generation.saturating_add(1);
                tail
            }
            None => newest::begin(dir, Chain::new(0, 1), options.fsync == Fsync::Always)?,
        };
        // A writer before this one may have made the newest segment and not stayed to sync its name.
        let behind = match options.fsync {
            Fsync::Always => Job::default(),
            Fsync::Interval(_) | Fsync::Never => Job::default().then(folder(dir)?, dir.to_owned()),
        };
        let mut writer = Self {
            dir: dir.to_owned(),
            options,
            chain: tail.chain,
            first_id: tail.first_id,
            file: tail.file,
            path: segment::path(dir, tail.first_id),
            size: tail.size,
            index: tail.index,
            reserve,
            lost: 0,
            dirty_since: None,
            syncer: Syncer::default(),
            behind,
            _lock: lock,
        };
        writer.pass_over(given)?;
        Ok(writer)
    }

    /// How many of the numbers that were known to be given were not there when this was opened.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Says in the log that the numbers up to `given` are gone, where they are.
    fn pass_over(&mut self, given: u64) -> Result<()> {
        if self.chain.last_id >= given {
            return Ok(());
        }
        let frame = frame::gap(given, self.chain.generation, now());
        if let Err(source) = self.file.write_all_at(&frame, self.size) {
            // What was written of it is a torn record, which the next writer cuts.
            return Err(self.failed("append to", source));
        }
        self.lost = given - self.chain.last_id;
        self.size += frame.len() as u64;
        self.chain.last_id = given;
        self.dirty_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// The number of the last numbered record; 0 for none.
    pub const fn last_id(&self) -> u64 {
        self.chain.last_id
    }

    /// The number of this opening of the log; written into every record.
    pub const fn generation(&self) -> u32 {
        self.chain.generation
    }

    /// Appends a batch with one system call and empties it. Returns the last number given.
    ///
    /// # Errors
    /// [`Error::DiskFull`] or [`Error::Io`]. What was written whole stays in the log and is taken
    /// out of the batch; nothing else is left behind.
    pub fn append(&mut self, batch: &mut Batch) -> Result<u64> {
        let is_full = self.size + batch.size() as u64 > self.options.segment_bytes;
        // A segment's name is its first number, so one without a number cannot be followed.
        if is_full && self.chain.last_id >= self.first_id && !batch.is_empty() {
            self.roll()?;
        }
        self.write(batch)
    }

    /// Like [`Writer::append`], for the small last records of a turn: on a full disk it uses
    /// space that was kept back for them.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub fn append_final(&mut self, batch: &mut Batch) -> Result<u64> {
        loop {
            match self.write(batch) {
                Err(Error::DiskFull { .. }) if self.reserve.release() => {}
                result => return result,
            }
        }
    }

    /// Forces all that was appended to the disk, and waits until it is there.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&mut self) -> Result<()> {
        self.synced()?;
        if self.dirty_since.take().is_some() {
            self.file
                .sync_data()
                .map_err(|source| self.failed("sync", source))?;
        }
        Ok(())
    }

    /// How long the policy lets what was appended wait for a [`Writer::sync_if_due`]; `None`
    /// where there is nothing to wait for.
    pub fn sync_due(&self) -> Option<Duration> {
        let Fsync::Interval(interval) = self.options.fsync else {
            return None;
        };
        let due = interval.saturating_sub(self.dirty_since?.elapsed());
        Some(if self.syncer.is_busy() {
            due.max(LOOK_AGAIN)
        } else {
            due
        })
    }

    /// Begins to sync if it is due, and does not wait for the end.
    ///
    /// # Errors
    /// When the disk fails, or has failed since the last call.
    pub fn sync_if_due(&mut self) -> Result<()> {
        if self.sync_due() != Some(Duration::ZERO) {
            return Ok(());
        }
        let file = self.current()?;
        let job = std::mem::take(&mut self.behind).then(file, self.path.clone());
        self.begin_sync(job)?;
        self.dirty_since = None;
        Ok(())
    }

    /// The current segment's file once more.
    fn current(&self) -> Result<File> {
        let file = self.file.try_clone();
        file.map_err(|source| self.failed("sync", source))
    }

    fn begin_sync(&mut self, job: Job) -> Result<()> {
        let begun = self.syncer.begin(job);
        begun.map_err(|failed| self.sync_failed(failed))
    }

    /// Waits until all finished segments are safe.
    fn synced(&mut self) -> Result<()> {
        let behind = std::mem::take(&mut self.behind);
        self.syncer
            .wait()
            .and_then(|()| behind.run())
            .map_err(|failed| self.sync_failed(failed))
    }

    fn sync_failed(&self, Failed { path, source }: Failed) -> Error {
        failure(&self.dir, "sync", &path, source)
    }

    fn write(&mut self, batch: &mut Batch) -> Result<u64> {
        if batch.is_empty() {
            return Ok(self.chain.last_id);
        }
        let (base, indexed) = (self.size, self.index.last_offset());
        let index = &mut self.index;
        let last_id = frame::seal(
            &mut batch.bytes,
            self.chain.last_id,
            self.chain.generation,
            |offset, id| {
                if id != 0 {
                    index.note(id, base + offset as u64);
                }
            },
        );
        let mut written = 0;
        while written < batch.bytes.len() {
            let error = match self
                .file
                .write_at(&batch.bytes[written..], base + written as u64)
            {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(count) => {
                    written += count;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            self.index.forget(indexed);
            return Err(self.keep_whole(batch, written, error));
        }
        self.size += written as u64;
        self.chain.last_id = last_id;
        self.index.flush();
        batch.clear();
        self.written()?;
        Ok(last_id)
    }

    /// After a failed write: keeps the whole records of what was written and cuts the rest.
    fn keep_whole(&mut self, batch: &mut Batch, written: usize, error: io::Error) -> Error {
        let (records, bytes, last_id) =
            frame::whole_within(&batch.bytes, written, self.chain.last_id);
        self.size += bytes as u64;
        self.chain.last_id = last_id;
        batch.take_out(records, bytes);
        if records > 0 {
            self.dirty_since.get_or_insert_with(Instant::now);
        }
        if written > bytes
            && let Err(source) = self.file.set_len(self.size)
        {
            return Error::io("cut the torn end of", &self.path)(source);
        }
        match self.failed("append to", error) {
            Error::DiskFull { dir, source, .. } => Error::DiskFull {
                dir,
                written: records,
                source,
            },
            other => other,
        }
    }

    fn written(&mut self) -> Result<()> {
        self.dirty_since.get_or_insert_with(Instant::now);
        match self.options.fsync {
            Fsync::Always => self.sync(),
            Fsync::Interval(_) => self.sync_if_due(),
            Fsync::Never => Ok(()),
        }
    }

    /// Goes on in a new segment. By an interval, the old one is synced when that is over: of what
    /// was never synced, a power loss may then take the ends of the newest few segments, which the
    /// next writer mends.
    fn roll(&mut self) -> Result<()> {
        let beside = matches!(self.options.fsync, Fsync::Interval(_));
        if self.options.fsync == Fsync::Always {
            self.sync()?;
        }
        let (old, path) = (self.current()?, self.path.clone());
        let next = newest::begin(&self.dir, self.chain, self.options.fsync == Fsync::Always)?;
        self.path = segment::path(&self.dir, next.first_id);
        self.first_id = next.first_id;
        self.file = next.file;
        self.size = next.size;
        self.index = next.index;
        if beside {
            let folder = folder(&self.dir)?;
            let behind = std::mem::take(&mut self.behind).then(old, path);
            self.behind = behind.then(folder, self.dir.clone());
            if self.behind.len() >= 2 * MOST_BEHIND {
                let job = std::mem::take(&mut self.behind);
                self.begin_sync(job)?;
            }
        }
        Ok(())
    }

    fn failed(&self, action: &'static str, source: io::Error) -> Error {
        failure(&self.dir, action, &self.path, source)
    }
}

/// In microseconds since the Unix epoch.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
}

/// The log's folder, to sync the names in it.
fn folder(dir: &Path) -> Result<File> {
    File::open(dir).map_err(Error::io("open", dir))
}

pub(crate) fn failure(dir: &Path, action: &'static str, path: &Path, source: io::Error) -> Error {
    if is_full(&source) {
        Error::DiskFull {
            dir: dir.to_owned(),
            written: 0,
            source,
        }
    } else {
        Error::io(action, path)(source)
    }
}
