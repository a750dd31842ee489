//! The newest segment of a log, where its writer goes on.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::cursor::{Cursor, Step};
use crate::frame::Chain;
use crate::segment::{self, Header, Index, SEGMENT_HEAD};
use crate::writer::{MOST_BEHIND, failure};
use crate::{Error, Result};

/// The newest segment, and where it ends.
pub(crate) struct Newest {
    pub first_id: u64,
    pub file: File,
    pub size: u64,
    pub chain: Chain,
    pub index: Index,
}

/// Finds the end of the log in `dir` and mends it: cuts a torn last record, and sets aside what a
/// power loss has left behind a hole. None where there is no segment yet.
pub(crate) fn find(dir: &Path) -> Result<Option<Newest>> {
    let mut segments = segment::list(dir)?;
    let checked = segments.len().saturating_sub(2 * MOST_BEHIND + 2);
    let end = (checked + 1..segments.len())
        .map(|at| Ok((at, ends_before(dir, segments[at - 1], segments[at] - 1)?)))
        .find_map(|found: Result<_>| match found {
            Ok((_, false)) => None,
            Ok((at, true)) => Some(Ok(at)),
            Err(error) => Some(Err(error)),
        })
        .transpose()?;
    // A power loss took the end of a segment that had not been synced, and syncs are in order, so
    // nothing that follows it was ever safe. It is kept for whoever wants to look.
    for first_id in segments.drain(end.unwrap_or(segments.len())..).rev() {
        let path = segment::path(dir, first_id);
        let aside = path.with_extension("lost");
        fs::rename(&path, &aside).map_err(Error::io("set aside", &path))?;
    }
    while let Some(first_id) = segments.pop() {
        let path = segment::path(dir, first_id);
        if let Some(tail) = mend(dir, first_id)? {
            return Ok(Some(tail));
        }
        // A segment whose header never reached the disk holds nothing.
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    }
    Ok(None)
}

/// Whether the file of a segment ends, torn or not, before it has come to `last_id`. Damage in
/// its middle is another matter.
fn ends_before(dir: &Path, first_id: u64, last_id: u64) -> Result<bool> {
    let path = segment::path(dir, first_id);
    let Some((file, header)) = segment::open(dir, first_id)? else {
        return Ok(path.exists());
    };
    let trusted = segment::indexed(dir, first_id, &file, u64::MAX);
    let (id, offset) = trusted.unwrap_or((first_id, SEGMENT_HEAD as u64));
    let mut chain = Chain::new(id - 1, header.generation);
    let mut cursor = Cursor::new(file, offset);
    loop {
        match cursor.step(&path)? {
            Step::Whole(head, _) if chain.accept(&head).is_ok() => {}
            Step::End | Step::Partial => return Ok(chain.last_id < last_id),
            Step::Invalid(_) => {
                return Ok(chain.last_id < last_id && !cursor.record_follows(&chain, &path)?);
            }
            Step::Whole(..) => return Ok(false),
        }
    }
}

/// Finds the end of the newest segment and cuts a torn record there. None where the segment's
/// header is not whole and nothing follows it.
fn mend(dir: &Path, first_id: u64) -> Result<Option<Newest>> {
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
    Ok(Some(Newest {
        first_id,
        file,
        size,
        chain,
        index,
    }))
}

/// Begins a segment after `chain`. It gets its name once its header is whole; with `synced` both
/// are then on the disk.
pub(crate) fn begin(dir: &Path, chain: Chain, synced: bool) -> Result<Newest> {
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
        if synced {
            file.sync_all()?;
        }
        fs::rename(&draft, &path)?;
        if synced {
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
    Ok(Newest {
        first_id,
        file,
        size: SEGMENT_HEAD as u64,
        chain,
        index,
    })
}
