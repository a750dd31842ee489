//! A copy of a log that others may be writing, up to a record that is not wanted any more.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::cursor::{Cursor, Step};
use crate::frame::Chain;
use crate::segment::{self, Header, SEGMENT_HEAD};
use crate::{Error, Kind, Result};

/// Copies the log in `from` into the folder `to`, which is there and empty: all records up to the
/// first that `keep`, told its kind and its turn, does not want. Needs no lock. What is purged
/// meanwhile is left out, and what is torn at the end, too; what is damaged is copied as it is.
/// Indexes are not copied: a log does without. The copy is on the disk when this returns.
///
/// # Errors
/// [`Error::NewerFormat`], [`Error::Corrupt`] (in a header), [`Error::Io`].
pub fn copy(from: &Path, to: &Path, mut keep: impl FnMut(Kind, u32) -> bool) -> Result<()> {
    let segments = segment::list(from)?;
    let mut made: Vec<PathBuf> = Vec::new();
    for first_id in segments {
        let Some((file, header)) = segment::open(from, first_id)? else {
            // It was purged, with all before it, or has just been begun.
            for path in made.drain(..) {
                fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
            continue;
        };
        let path = segment::path(from, first_id);
        let kept = measure(&file, header, &path, &mut keep)?;
        if kept.bytes > SEGMENT_HEAD as u64 || !kept.is_cut {
            let target = segment::path(to, first_id);
            copy_file(&file, &path, &target, kept.bytes)?;
            made.push(target);
        }
        if kept.is_cut {
            break;
        }
    }
    let folder = File::open(to).map_err(Error::io("open", to))?;
    folder.sync_all().map_err(Error::io("sync", to))
}

/// Whether this release reads all segments of a log.
///
/// # Errors
/// [`Error::NewerFormat`] where it does not; [`Error::Corrupt`] (in a header), [`Error::Io`].
pub fn check_format(dir: &Path) -> Result<()> {
    for first_id in segment::list(dir)? {
        segment::open(dir, first_id)?;
    }
    Ok(())
}

/// How much of a segment is copied.
struct Kept {
    bytes: u64,
    /// Whether nothing of what follows is wanted.
    is_cut: bool,
}

fn measure(
    file: &File,
    header: Header,
    path: &Path,
    keep: &mut impl FnMut(Kind, u32) -> bool,
) -> Result<Kept> {
    let again = file.try_clone().map_err(Error::io("open", path))?;
    let mut cursor = Cursor::new(again, SEGMENT_HEAD as u64);
    let mut chain = Chain::new(header.first_id - 1, header.generation);
    loop {
        let at = cursor.offset();
        // The records of a packed frame have their kind and their turn in common.
        let follows = match cursor.step(path)? {
            Step::Whole(head, _) if !keep(head.kind, head.turn) => {
                return Ok(Kept {
                    bytes: at,
                    is_cut: true,
                });
            }
            Step::Whole(head, _) => chain.accept(&head).is_ok(),
            Step::End => {
                return Ok(Kept {
                    bytes: at,
                    is_cut: false,
                });
            }
            Step::Partial | Step::Invalid(_) => {
                let is_damage = cursor.record_follows(&chain, path)?;
                let meta = file.metadata().map_err(Error::io("inspect", path))?;
                return Ok(Kept {
                    bytes: if is_damage { meta.len() } else { at },
                    is_cut: false,
                });
            }
        };
        if !follows {
            let meta = file.metadata().map_err(Error::io("inspect", path))?;
            return Ok(Kept {
                bytes: meta.len(),
                is_cut: false,
            });
        }
    }
}

fn copy_file(file: &File, path: &Path, target: &Path, bytes: u64) -> Result<()> {
    let mut copy = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(target)
        .map_err(Error::io("make", target))?;
    // Nobody has read on in it: headers and records are read by their places.
    let mut source = file.take(bytes);
    let copied = io::copy(&mut source, &mut copy).map_err(Error::io("copy", path))?;
    if copied < bytes {
        let short = io::Error::from(io::ErrorKind::UnexpectedEof);
        return Err(Error::io("copy", path)(short));
    }
    copy.sync_all().map_err(Error::io("sync", target))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::{Batch, Meta, Options, Reader, Writer};

    type Keep = fn(Kind, u32) -> bool;

    fn fill(dir: &Path) -> Writer {
        let options = Options {
            segment_bytes: 4096,
            ..Options::default()
        };
        let mut writer = Writer::open(dir, options).unwrap();
        for turn in 1..=4 {
            let mut batch = Batch::new();
            let mut push = |kind, text: &[u8]| {
                batch
                    .push(Meta::new(kind, turn, i64::from(turn)), text)
                    .unwrap();
            };
            push(Kind::Begin, b"{}");
            for line in 0..300 {
                push(Kind::Stdout, format!("line {line} of {turn}\n").as_bytes());
            }
            push(Kind::Exit, b"{}");
            writer.append(&mut batch).unwrap();
        }
        writer
    }

    fn records(dir: &Path) -> Vec<(u64, Kind, u32, Vec<u8>)> {
        let mut reader = Reader::open(dir).unwrap();
        let mut records = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            records.push((record.id, record.kind, record.turn, record.payload.to_vec()));
        }
        records
    }

    #[test]
    fn a_copy_has_what_is_wanted_and_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("log");
        let _writer = fill(&from);
        let all = records(&from);
        let wanted: [(&str, Keep); 4] = [
            ("all", |_, _| true),
            ("none", |_, _| false),
            ("two", |_, turn| turn <= 2),
            ("open", |kind, turn| {
                turn <= 3 && !(turn == 3 && kind.is_terminal())
            }),
        ];
        for (name, keep) in wanted {
            let to = folder.path().join(name);
            fs::create_dir(&to).unwrap();
            copy(&from, &to, keep).unwrap();
            let kept = all.iter().take_while(|it| keep(it.1, it.2));
            let expected: Vec<_> = kept.cloned().collect();
            assert_eq!(records(&to), expected, "{name}");
            let mut writer = Writer::open(&to, Options::default()).unwrap();
            let mut batch = Batch::new();
            batch.push(Meta::new(Kind::Error, 9, 9), b"{}").unwrap();
            writer.append(&mut batch).unwrap();
            let last = records(&to).pop().unwrap();
            let numbered = expected.iter().rev().find(|it| it.1.is_numbered());
            assert_eq!(last.0, numbered.map_or(0, |it| it.0) + 1, "{name}");
        }
        check_format(&from).unwrap();
    }

    #[test]
    fn a_torn_end_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("log"), folder.path().join("copy"));
        drop(fill(&from));
        let all = records(&from);
        let last = segment::list(&from).unwrap().pop().unwrap();
        let newest = OpenOptions::new()
            .append(true)
            .open(segment::path(&from, last));
        newest
            .unwrap()
            .write_all(&[7, 0, 0, 0, 200, 1, 0, 0, 1])
            .unwrap();
        fs::create_dir(&to).unwrap();
        copy(&from, &to, |_, _| true).unwrap();
        assert_eq!(records(&to), all);
        let size = |dir: &Path| fs::metadata(segment::path(dir, last)).unwrap().len();
        assert_eq!(size(&to) + 9, size(&from));
    }
}
