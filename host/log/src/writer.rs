//! The one writer.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cursor::{Cursor, Step};
use crate::error::is_full;
use crate::frame::{self, Chain};
use crate::lock::Lock;
use crate::reserve::Reserve;
use crate::segment::{self, Header, Index, SEGMENT_HEAD};
use crate::{Batch, Error, Result};

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
    /// At most so long after a batch.
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
    dirty_since: Option<Instant>,
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
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(Error::io("create", dir))?;
        let lock = Lock::take(dir)?;
        let reserve = Reserve::open(dir);
        let tail = loop {
            let Some(first_id) = segment::list(dir)?.pop() else {
                break None;
            };
            match find_tail(dir, first_id)? {
                Some(tail) => break Some(tail),
                // A segment whose header never reached the disk holds nothing.
                None => {
                    let path = segment::path(dir, first_id);
                    fs::remove_file(&path).map_err(Error::io("remove", &path))?;
                }
            }
        };
        let tail = match tail {
            Some(mut tail) => {
                tail.chain.generation = tail.chain.generation.saturating_add(1);
                tail
            }
            None => new_segment(dir, Chain::new(0, 1), options.fsync)?,
        };
        Ok(Self {
            dir: dir.to_owned(),
            options,
            chain: tail.chain,
            first_id: tail.first_id,
            file: tail.file,
            path: segment::path(dir, tail.first_id),
            size: tail.size,
            index: tail.index,
            reserve,
            dirty_since: None,
            _lock: lock,
        })
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

    /// Forces all that was appended to the disk.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&mut self) -> Result<()> {
        if self.dirty_since.take().is_some() {
            self.file
                .sync_data()
                .map_err(|source| self.failed("sync", source))?;
        }
        Ok(())
    }

    /// How long the policy lets what was appended wait for a [`Writer::sync`]; `None` where there
    /// is nothing to wait for.
    pub fn sync_due(&self) -> Option<Duration> {
        let Fsync::Interval(interval) = self.options.fsync else {
            return None;
        };
        Some(interval.saturating_sub(self.dirty_since?.elapsed()))
    }

    /// Syncs if it is due.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync_if_due(&mut self) -> Result<()> {
        match self.sync_due() {
            Some(Duration::ZERO) => self.sync(),
            _ => Ok(()),
        }
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

    fn roll(&mut self) -> Result<()> {
        if self.options.fsync != Fsync::Never {
            // Only the newest segment may have a torn tail.
            self.sync()?;
        }
        let next = new_segment(&self.dir, self.chain, self.options.fsync)?;
        self.path = segment::path(&self.dir, next.first_id);
        self.first_id = next.first_id;
        self.file = next.file;
        self.size = next.size;
        self.index = next.index;
        Ok(())
    }

    fn failed(&self, action: &'static str, source: io::Error) -> Error {
        failure(&self.dir, action, &self.path, source)
    }
}

/// The end of a log.
struct Tail {
    first_id: u64,
    file: File,
    size: u64,
    chain: Chain,
    index: Index,
}

/// Finds the end of the newest segment and cuts a torn record there. None where the segment's
/// header is not whole and nothing follows it.
fn find_tail(dir: &Path, first_id: u64) -> Result<Option<Tail>> {
    let path = segment::path(dir, first_id);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    let length = file.metadata().map_err(Error::io("inspect", &path))?.len();
    let Some(header) = segment::read_header(&file, &path, first_id)? else {
        if length > SEGMENT_HEAD as u64 {
            return Err(Error::Corrupt {
                segment: path,
                offset: 0,
                what: "its header is missing",
            });
        }
        return Ok(None);
    };
    let trusted = segment::indexed(dir, first_id, &file, u64::MAX);
    let (id, offset) = trusted.unwrap_or((first_id, SEGMENT_HEAD as u64));
    let mut chain = Chain::new(id - 1, header.generation);
    let mut index = Index::open(dir, first_id, trusted.map(|(_, offset)| offset));
    let reading = file.try_clone().map_err(Error::io("open", &path))?;
    let mut cursor = Cursor::new(reading, offset);
    let torn = loop {
        let at = cursor.offset();
        match cursor.step(&path)? {
            Step::Whole(head, _) => {
                chain.accept(&head).map_err(|what| Error::Corrupt {
                    segment: path.clone(),
                    offset: at,
                    what,
                })?;
                if head.id != 0 {
                    index.note(head.id, at);
                }
            }
            Step::End => break None,
            Step::Partial => break Some("it goes on past the end"),
            Step::Invalid(what) => break Some(what),
        }
    };
    let size = cursor.offset();
    if let Some(what) = torn {
        if cursor.record_follows(&chain, &path)? {
            return Err(Error::Corrupt {
                segment: path,
                offset: size,
                what,
            });
        }
        file.set_len(size)
            .map_err(Error::io("cut the torn end of", &path))?;
    }
    index.flush();
    index.trim();
    Ok(Some(Tail {
        first_id,
        file,
        size,
        chain,
        index,
    }))
}

/// Begins a segment after `chain`. It gets its name once its header is whole.
fn new_segment(dir: &Path, chain: Chain, fsync: Fsync) -> Result<Tail> {
    let first_id = chain.last_id + 1;
    let path = segment::path(dir, first_id);
    let draft = path.with_extension("new");
    let header = Header {
        generation: chain.generation,
        first_id,
    };
    let make = || {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all_at(&header.encode(), 0)?;
        if fsync != Fsync::Never {
            file.sync_all()?;
        }
        fs::rename(&draft, &path)?;
        if fsync != Fsync::Never {
            File::open(dir)?.sync_all()?;
        }
        Ok(file)
    };
    let file = make().map_err(|source| {
        // Nothing refers to it; the next attempt would overwrite it anyway.
        let _ = fs::remove_file(&draft);
        failure(dir, "begin", &path, source)
    })?;
    let index = Index::open(dir, first_id, None);
    index.trim();
    Ok(Tail {
        first_id,
        file,
        size: SEGMENT_HEAD as u64,
        chain,
        index,
    })
}

fn failure(dir: &Path, action: &'static str, path: &Path, source: io::Error) -> Error {
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
