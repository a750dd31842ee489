//! Short records share a frame, which nobody who reads them can tell.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use aod_log::{Batch, Flags, Fsync, Kind, Meta, Options, Reader, Writer, scan, tail};

const OPTIONS: Options = Options {
    segment_bytes: 64 << 10,
    fsync: Fsync::Never,
};

fn stdout(flags: Flags) -> Meta {
    Meta {
        flags,
        ..Meta::new(Kind::Stdout, 1, 7)
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "log"))
        .collect();
    found.sort();
    found
}

/// Number, flags and payload of all that follows.
fn rest(reader: &mut Reader) -> Vec<(u64, Flags, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        assert_eq!(
            (record.kind, record.turn, record.time),
            (Kind::Stdout, 1, 7)
        );
        all.push((record.id, record.flags, record.payload.to_vec()));
    }
    all
}

#[test]
fn a_line_of_one_character_costs_one_byte_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), Options::default()).unwrap();
    let mut batch = Batch::new();
    let lines = 200_000;
    for _ in 0..lines {
        batch.push(stdout(Flags::NONE), b"x\n").unwrap();
    }
    assert_eq!(batch.len(), lines);
    assert_eq!(writer.append(&mut batch).unwrap(), lines as u64);
    let bytes = fs::metadata(&segments(dir.path())[0]).unwrap().len();
    assert!(bytes < 3 * lines as u64 + 2000, "{bytes}");
}

#[test]
fn each_record_keeps_its_number_and_flags() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), OPTIONS).unwrap();
    let mut batch = Batch::new();
    let mut expected = Vec::new();
    for n in 0..30_000_u64 {
        let flags = match n {
            0 => Flags::FIRST,
            _ if n % 7 == 0 => Flags::REPLACED,
            _ if n % 1000 == 1 => Flags::CONTINUED,
            _ => Flags::NONE,
        };
        let line = match n % 500 {
            3 => "y".repeat(n as usize % 300),
            4 => String::new(),
            _ => format!("{n}\n"),
        };
        batch.push(stdout(flags), line.as_bytes()).unwrap();
        expected.push((n + 1, flags, line.into_bytes()));
        if n % 977 == 0 {
            writer.append(&mut batch).unwrap();
        }
    }
    writer.append(&mut batch).unwrap();
    assert_eq!(writer.last_id(), 30_000);
    assert!(segments(dir.path()).len() > 2);
    let mut reader = Reader::open(dir.path()).unwrap();
    assert_eq!(rest(&mut reader), expected);
    for id in (0..30_000).step_by(1013).chain(29_990..=30_000) {
        reader.seek_after(id).unwrap();
        assert_eq!(rest(&mut reader), expected[id as usize..]);
        assert_eq!(reader.last_id(), 30_000);
    }
    let found = tail(dir.path()).unwrap();
    assert_eq!((found.last_id, found.time), (30_000, Some(7)));
    let scanned: u64 = segments(dir.path())
        .iter()
        .map(|path| scan(&fs::read(path).unwrap()).records)
        .sum();
    assert_eq!(scanned, 30_000);
    drop(writer);
    for segment in segments(dir.path()) {
        let _ = fs::remove_file(segment.with_extension("idx"));
    }
    assert_eq!(Writer::open(dir.path(), OPTIONS).unwrap().last_id(), 30_000);
}

#[test]
fn what_is_torn_is_lost_as_a_whole_and_its_numbers_are_given_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), OPTIONS).unwrap();
    let mut batch = Batch::new();
    for lines in [&b"abc"[..], b"def"] {
        for line in lines.chunks(1) {
            batch.push(stdout(Flags::NONE), line).unwrap();
        }
        writer.append(&mut batch).unwrap();
    }
    drop(writer);
    let path = &segments(dir.path())[0];
    let whole = fs::metadata(path).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(whole - 1).unwrap();
    let mut reader = Reader::open(dir.path()).unwrap();
    assert_eq!(rest(&mut reader).len(), 3);
    let mut writer = Writer::open(dir.path(), OPTIONS).unwrap();
    assert_eq!(writer.last_id(), 3);
    batch.push(stdout(Flags::NONE), b"g").unwrap();
    batch.push(stdout(Flags::NONE), b"h").unwrap();
    assert_eq!(writer.append(&mut batch).unwrap(), 5);
    let more = rest(&mut reader);
    assert_eq!(more[0], (4, Flags::NONE, b"g".to_vec()));
    assert_eq!(more[1], (5, Flags::NONE, b"h".to_vec()));
}

#[test]
fn what_differs_in_more_than_its_payload_stands_apart() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), OPTIONS).unwrap();
    let mut batch = Batch::new();
    let metas = [
        Meta::new(Kind::Stdout, 1, 7),
        Meta::new(Kind::Stdout, 1, 7),
        Meta::new(Kind::Stderr, 1, 7),
        Meta::new(Kind::Stdout, 2, 7),
        Meta::new(Kind::Stdout, 2, 8),
        Meta::new(Kind::Note, 2, 8),
        Meta::new(Kind::Note, 2, 8),
        Meta::new(Kind::Stdout, 2, 8),
    ];
    for meta in metas {
        batch.push(meta, b"x").unwrap();
    }
    assert_eq!(writer.append(&mut batch).unwrap(), 6);
    let mut reader = Reader::open(dir.path()).unwrap();
    let mut ids = Vec::new();
    for meta in metas {
        let record = reader.next().unwrap().unwrap();
        assert_eq!(
            (record.kind, record.turn, record.time, record.payload),
            (meta.kind, meta.turn, meta.time, &b"x"[..])
        );
        ids.push(record.id);
    }
    assert!(reader.next().unwrap().is_none());
    assert_eq!(ids, [1, 2, 3, 4, 5, 5, 5, 6]);
}

#[test]
fn a_log_of_the_first_version_is_read_and_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), OPTIONS).unwrap();
    let mut batch = Batch::new();
    for line in [b"a", b"b"] {
        batch.push(stdout(Flags::NONE), line).unwrap();
        writer.append(&mut batch).unwrap();
    }
    drop(writer);
    // Unpacked frames are the same; the header's version differs, and its checksum.
    let path = &segments(dir.path())[0];
    let mut bytes = fs::read(path).unwrap();
    bytes[8] = 1;
    let checksum = crc32c::crc32c(&bytes[..24]);
    bytes[24..28].copy_from_slice(&checksum.to_le_bytes());
    fs::write(path, bytes).unwrap();
    let mut writer = Writer::open(dir.path(), OPTIONS).unwrap();
    for line in [b"c", b"d"] {
        batch.push(stdout(Flags::NONE), line).unwrap();
    }
    assert_eq!(writer.append(&mut batch).unwrap(), 4);
    let mut reader = Reader::open(dir.path()).unwrap();
    let text: Vec<u8> = rest(&mut reader).into_iter().flat_map(|it| it.2).collect();
    assert_eq!(text, b"abcd");
}
