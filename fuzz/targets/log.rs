//! A log that was written, and whose newest segment was then damaged anywhere: a reader gets the
//! records from the first on until the damage, unchanged, and a writer that takes the log goes on
//! without a gap.

#![no_main]

use std::fs;
use std::path::{Path, PathBuf};

use aod_log::{Batch, Error, Flags, Fsync, Kind, MAX_PAYLOAD, Meta, Options, Reader, Writer, scan};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Case {
    batches: Vec<Vec<Written>>,
    damage: Vec<Damage>,
}

#[derive(Arbitrary, Debug)]
struct Written {
    kind: u8,
    flags: u8,
    turn: u8,
    payload: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
enum Damage {
    Set { at: u16, byte: u8 },
    Cut { at: u16 },
    Append { bytes: Vec<u8> },
}

/// A record as it can be compared: number, kind, turn, payload.
type Known = (u64, Kind, u32, Vec<u8>);

/// Small, so that a few records make several segments.
const OPTIONS: Options = Options {
    segment_bytes: 256,
    fsync: Fsync::Never,
};

fuzz_target!(|case: Case| {
    let folder = tempfile::tempdir_in(memory()).expect("a temporary folder");
    let dir = folder.path().join("log");
    let written = write(&dir, &case.batches);
    let (found, end) = read(&dir);
    assert!(end.is_none(), "an undamaged log: {end:?}");
    assert_eq!(found, written);

    let whole = contents(&dir);
    for damage in &case.damage {
        apply(damage, &dir);
    }
    if contents(&dir) == whole {
        return;
    }
    for path in segments(&dir) {
        let bytes = fs::read(path).expect("a segment");
        assert!(scan(&bytes).valid <= bytes.len() as u64);
    }
    let (before, _) = read(&dir);
    assert!(written.starts_with(&before), "{before:?} of {written:?}");

    let mut writer = match Writer::open(&dir, OPTIONS) {
        Ok(writer) => writer,
        Err(Error::Corrupt { .. } | Error::NewerFormat { .. }) => return,
        Err(error) => panic!("{error:?}"),
    };
    let mut batch = Batch::new();
    batch
        .push(Meta::new(Kind::Stdout, 1, 0), b"after\n")
        .expect("it is short");
    let id = writer.append(&mut batch).expect("there is room");
    drop(writer);
    let (after, end) = read(&dir);
    assert!(end.is_none(), "a log that a writer has taken: {end:?}");
    let (last, kept) = after.split_last().expect("what was just written");
    assert!(written.starts_with(kept), "{kept:?} of {written:?}");
    assert_eq!(last, &(id, Kind::Stdout, 1, b"after\n".to_vec()));
    let before = kept.last().map_or(0, |(id, ..)| *id);
    assert_eq!(id, before + 1);
});

fn write(dir: &Path, batches: &[Vec<Written>]) -> Vec<Known> {
    let mut writer = Writer::open(dir, OPTIONS).expect("a new log");
    let mut known: Vec<Known> = Vec::new();
    let mut last = 0;
    for records in batches {
        let mut batch = Batch::new();
        for record in records {
            assert!(record.payload.len() <= MAX_PAYLOAD);
            let kind = Kind::ALL[usize::from(record.kind) % Kind::ALL.len()];
            let mut meta = Meta::new(kind, record.turn.into(), 0);
            for (bit, flag) in [Flags::CONTINUED, Flags::REPLACED, Flags::FIRST]
                .into_iter()
                .enumerate()
            {
                if record.flags >> bit & 1 == 1 {
                    meta.flags |= flag;
                }
            }
            batch.push(meta, &record.payload).expect("it is short");
            last += u64::from(kind.is_numbered());
            known.push((last, kind, record.turn.into(), record.payload.clone()));
        }
        assert_eq!(writer.append(&mut batch).expect("there is room"), last);
    }
    known
}

/// All records that can be read, and what ended the reading if it was no end of the log.
fn read(dir: &Path) -> (Vec<Known>, Option<Error>) {
    let mut reader = match Reader::open(dir) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut found = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(record)) => {
                found.push((record.id, record.kind, record.turn, record.payload.to_vec()))
            }
            Ok(None) => return (found, None),
            Err(error) => return (found, Some(error)),
        }
    }
}

/// The log's segments, oldest first.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .expect("the log's folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|it| it == "log"))
        .collect();
    paths.sort();
    paths
}

fn contents(dir: &Path) -> Vec<Vec<u8>> {
    let read = |path| fs::read(path).expect("a segment");
    segments(dir).into_iter().map(read).collect()
}

fn apply(damage: &Damage, dir: &Path) {
    // A writer goes on behind damage in an older segment, and what has no number can be cut off there
    // without a trace.
    let Some(path) = segments(dir).pop() else {
        return;
    };
    let mut bytes = fs::read(&path).expect("a segment");
    match damage {
        Damage::Set { at, byte } => {
            let at = usize::from(*at) % bytes.len().max(1);
            if let Some(there) = bytes.get_mut(at) {
                *there = *byte;
            }
        }
        Damage::Cut { at } => bytes.truncate(usize::from(*at) % (bytes.len() + 1)),
        Damage::Append { bytes: more } => bytes.extend_from_slice(more),
    }
    fs::write(path, bytes).expect("a segment");
}

/// Where files cost least.
fn memory() -> PathBuf {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() {
        shared.to_owned()
    } else {
        std::env::temp_dir()
    }
}
