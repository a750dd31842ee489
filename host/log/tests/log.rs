//! The log as its users see it: writing, crashing, reading on, purging.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aod_log::{
    Batch, Error, Flags, Fsync, Kind, Meta, Options, PurgePolicy, Reader, ScanEnd, Writer,
    is_locked, purge, scan, tail,
};
use proptest::prelude::*;

const SMALL: Options = Options {
    segment_bytes: 2000,
    fsync: Fsync::Never,
};

#[derive(Clone, Debug, PartialEq)]
struct Owned {
    id: u64,
    kind: Kind,
    payload: Vec<u8>,
}

fn read_all(reader: &mut Reader) -> Vec<Owned> {
    let mut all = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        all.push(Owned {
            id: record.id,
            kind: record.kind,
            payload: record.payload.to_vec(),
        });
    }
    all
}

fn append(writer: &mut Writer, records: &[(Kind, Vec<u8>)]) {
    let mut batch = Batch::new();
    for (kind, payload) in records {
        batch.push(Meta::new(*kind, 1, 7), payload).unwrap();
    }
    writer.append(&mut batch).unwrap();
    assert!(batch.is_empty());
}

fn lines(writer: &mut Writer, range: std::ops::RangeInclusive<u64>) {
    for n in range {
        append(
            writer,
            &[(Kind::Stdout, format!("line {n}\n").into_bytes())],
        );
    }
}

/// What the log should hold, by the same rules written down once more.
fn expected(batches: &[Vec<(Kind, Vec<u8>)>]) -> Vec<Owned> {
    let mut id = 0;
    batches
        .iter()
        .flatten()
        .map(|(kind, payload)| {
            id += u64::from(kind.is_numbered());
            Owned {
                id,
                kind: *kind,
                payload: payload.clone(),
            }
        })
        .collect()
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

#[test]
fn metadata_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), Options::default()).unwrap();
    let mut batch = Batch::new();
    let meta = Meta {
        kind: Kind::Stderr,
        flags: Flags::FIRST | Flags::REPLACED,
        turn: 3,
        time: -5,
    };
    batch.push(meta, "grüß\n".as_bytes()).unwrap();
    assert_eq!(writer.append(&mut batch).unwrap(), 1);
    let mut reader = Reader::open(dir.path()).unwrap();
    let record = reader.next().unwrap().unwrap();
    assert_eq!(record.text(), "grüß\n");
    assert_eq!((record.turn, record.time, record.generation), (3, -5, 1));
    assert!(record.flags.contains(Flags::FIRST | Flags::REPLACED));
    assert!(!record.flags.contains(Flags::CONTINUED));
    assert!(!format!("{record:?}").contains("grü"));
}

#[test]
fn one_writer_at_a_time_and_generations_rise() {
    let dir = tempfile::tempdir().unwrap();
    assert!(!is_locked(dir.path()).unwrap());
    let mut first = Writer::open(dir.path(), SMALL).unwrap();
    assert!(is_locked(dir.path()).unwrap());
    assert!(matches!(
        Writer::open(dir.path(), SMALL),
        Err(Error::Locked { .. })
    ));
    lines(&mut first, 1..=1);
    drop(first);
    assert!(!is_locked(dir.path()).unwrap());
    let mut second = Writer::open(dir.path(), SMALL).unwrap();
    assert_eq!((second.last_id(), second.generation()), (1, 2));
    lines(&mut second, 2..=2);
    assert_eq!(tail(dir.path()).unwrap().generation, 2);
}

#[test]
fn a_reader_goes_on_when_the_log_grows_and_rolls() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("not/yet/there");
    let mut reader = Reader::open(&log).unwrap();
    assert!(reader.next().unwrap().is_none());
    let mut writer = Writer::open(&log, SMALL).unwrap();
    assert!(reader.next().unwrap().is_none());
    for n in 1..=500 {
        lines(&mut writer, n..=n);
        let record = reader.next().unwrap().unwrap();
        assert_eq!((record.id, record.text()), (n, &*format!("line {n}\n")));
        assert!(reader.next().unwrap().is_none());
    }
    assert!(segments(&log).len() > 5);
}

#[test]
fn unnumbered_records_at_a_roll_are_read_where_they_stand() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), SMALL).unwrap();
    let mut reader = Reader::open(dir.path()).unwrap();
    let mut batches = Vec::new();
    for n in 0..200_u64 {
        let kind = if n % 3 == 0 { Kind::Stdout } else { Kind::Note };
        let batch = vec![(kind, vec![b'x'; 100])];
        append(&mut writer, &batch);
        batches.push(batch);
    }
    let all = expected(&batches);
    assert_eq!(read_all(&mut reader), all);
    for id in 0..=writer.last_id() {
        reader.seek_after(id).unwrap();
        let after = all
            .iter()
            .position(|record| record.kind.is_numbered() && record.id == id);
        assert_eq!(read_all(&mut reader), all[after.map_or(0, |at| at + 1)..]);
    }
}

#[test]
fn seeks_in_a_log_of_many_index_entries() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 1 << 20,
        fsync: Fsync::Never,
    };
    let mut writer = Writer::open(dir.path(), options).unwrap();
    let mut batch = Batch::new();
    for n in 1..=20_000 {
        let line = format!("{n} {}\n", "y".repeat(200));
        batch
            .push(Meta::new(Kind::Stdout, 1, n), line.as_bytes())
            .unwrap();
        if n % 97 == 0 {
            writer.append(&mut batch).unwrap();
        }
    }
    writer.append(&mut batch).unwrap();
    let check = |reader: &mut Reader| {
        for id in (0..20_000).step_by(611) {
            reader.seek_after(id).unwrap();
            let record = reader.next().unwrap().unwrap();
            assert_eq!((record.id, record.time), (id + 1, id as i64 + 1));
        }
        reader.seek_after(99_999).unwrap();
        assert!(reader.next().unwrap().is_none());
        assert_eq!(reader.last_id(), 20_000);
    };
    let mut reader = Reader::open(dir.path()).unwrap();
    check(&mut reader);
    let found = tail(dir.path()).unwrap();
    assert_eq!((found.last_id, found.time), (20_000, Some(20_000)));
    // Without and with rubbish for an index it is only slower.
    for segment in segments(dir.path()) {
        fs::write(segment.with_extension("idx"), vec![7; 4000]).unwrap();
    }
    check(&mut reader);
    drop(writer);
    assert_eq!(Writer::open(dir.path(), options).unwrap().last_id(), 20_000);
    for segment in segments(dir.path()) {
        let _ = fs::remove_file(segment.with_extension("idx"));
    }
    check(&mut reader);
}

#[test]
fn a_huge_record_needs_no_more_than_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), Options::default()).unwrap();
    let huge = vec![b'z'; 20 << 20];
    append(
        &mut writer,
        &[
            (Kind::Stdout, huge.clone()),
            (Kind::Stdout, b"next\n".to_vec()),
        ],
    );
    let mut reader = Reader::open(dir.path()).unwrap();
    assert!(reader.next().unwrap().unwrap().payload == huge);
    assert_eq!(reader.next().unwrap().unwrap().payload, b"next\n");
}

#[test]
fn a_payload_beyond_the_limit_is_refused_and_leaves_the_batch_as_it_was() {
    let mut batch = Batch::new();
    batch.push(Meta::new(Kind::Note, 0, 0), b"{}").unwrap();
    let size = batch.size();
    let result = batch.push_with(Meta::new(Kind::Note, 0, 0), |buffer| {
        buffer.resize(buffer.len() + aod_log::MAX_PAYLOAD + 1, 0);
    });
    assert!(matches!(result, Err(Error::TooLarge { .. })));
    assert_eq!((batch.len(), batch.size()), (1, size));
}

#[test]
fn damage_in_the_middle_names_the_place_and_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), Options::default()).unwrap();
    lines(&mut writer, 1..=10);
    drop(writer);
    let path = &segments(dir.path())[0];
    // The first record's payload: 28 bytes of header, 34 of head.
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(b"X", 28 + 34).unwrap();
    let before = fs::read(path).unwrap();
    let error = Writer::open(dir.path(), Options::default()).unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt { offset: 28, .. }),
        "{error}"
    );
    assert_eq!(fs::read(path).unwrap(), before);
    let mut reader = Reader::open(dir.path()).unwrap();
    assert!(matches!(
        reader.next(),
        Err(Error::Corrupt { offset: 28, .. })
    ));
    assert!(matches!(
        reader.next(),
        Err(Error::Corrupt { offset: 28, .. })
    ));
    // A damaged length must not hide what follows either.
    file.write_all_at(&[0xff, 0xff, 0xff, 0x00], 32).unwrap();
    let error = Writer::open(dir.path(), Options::default()).unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt { offset: 28, .. }),
        "{error}"
    );
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(Writer::open(dir.path(), SMALL).unwrap());
    let path = &segments(dir.path())[0];
    let mut bytes = fs::read(path).unwrap();
    bytes[8] = 3;
    fs::write(path, &bytes).unwrap();
    let error = Writer::open(dir.path(), SMALL).unwrap_err();
    assert!(matches!(
        error,
        Error::NewerFormat {
            found: 3,
            supported: 2,
            ..
        }
    ));
    assert!(matches!(
        Reader::open(dir.path()),
        Err(Error::NewerFormat { .. })
    ));
    assert_eq!(fs::read(path).unwrap(), bytes);
    assert_eq!(scan(&bytes).end, ScanEnd::Newer(3));
}

#[test]
fn a_segment_whose_header_was_lost_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), SMALL).unwrap();
    lines(&mut writer, 1..=5);
    drop(writer);
    fs::write(dir.path().join(format!("{:020}.log", 6)), [0; 28]).unwrap();
    let mut reader = Reader::open(dir.path()).unwrap();
    assert_eq!(read_all(&mut reader).len(), 5);
    let mut writer = Writer::open(dir.path(), SMALL).unwrap();
    lines(&mut writer, 6..=6);
    assert_eq!(read_all(&mut reader).len(), 1);
}

#[test]
fn purging_takes_whole_old_segments_and_readers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), SMALL).unwrap();
    let mut reader = Reader::open(dir.path()).unwrap();
    lines(&mut writer, 1..=500);
    for id in 1..=3 {
        assert_eq!(reader.next().unwrap().unwrap().id, id);
    }
    let now = SystemTime::now();
    let kept = PurgePolicy {
        max_bytes: Some(0),
        keep_from: Some(1),
        ..PurgePolicy::default()
    };
    assert_eq!(purge(dir.path(), &kept, now).unwrap().segments, 0);
    let young = PurgePolicy {
        max_age: Some(Duration::from_secs(3600)),
        ..PurgePolicy::default()
    };
    assert_eq!(purge(dir.path(), &young, now).unwrap().segments, 0);
    let some = PurgePolicy {
        max_bytes: Some(5000),
        ..PurgePolicy::default()
    };
    assert!(purge(dir.path(), &some, now).unwrap().segments > 3);
    let survivors = segments(dir.path());
    assert!(survivors.len() >= 2);
    let oldest: u64 = survivors[0]
        .file_stem()
        .unwrap()
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    // What was open is read to its end, then the nearest survivor.
    let ids: Vec<u64> = read_all(&mut reader)
        .iter()
        .map(|record| record.id)
        .collect();
    let jump = ids
        .windows(2)
        .position(|pair| pair[1] != pair[0] + 1)
        .unwrap();
    assert_eq!(ids[jump + 1], oldest);
    assert_eq!(ids.last(), Some(&500));
    assert!(
        ids[jump + 1..]
            .windows(2)
            .all(|pair| pair[1] == pair[0] + 1)
    );
    reader.seek_after(2).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().id, oldest);
    let old = PurgePolicy {
        max_age: Some(Duration::ZERO),
        ..PurgePolicy::default()
    };
    purge(dir.path(), &old, now + Duration::from_secs(60)).unwrap();
    assert_eq!(segments(dir.path()).len(), 1);
    drop(writer);
    let mut writer = Writer::open(dir.path(), SMALL).unwrap();
    assert_eq!(writer.last_id(), 500);
    lines(&mut writer, 501..=501);
    assert_eq!(tail(dir.path()).unwrap().last_id, 501);
}

#[test]
fn readers_beside_a_busy_writer_see_every_number_once() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 20_000,
        fsync: Fsync::Never,
    };
    let mut writer = Writer::open(dir.path(), options).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut reader = Reader::open(dir.path()).unwrap();
                let mut seen = 0;
                while seen < 20_000 {
                    while let Some(record) = reader.next().unwrap() {
                        seen += 1;
                        assert_eq!(record.id, seen);
                        assert_eq!(record.text(), format!("line {seen}\n"));
                    }
                    std::thread::yield_now();
                }
            });
        }
        lines(&mut writer, 1..=20_000);
    });
}

fn record() -> impl Strategy<Value = (Kind, Vec<u8>)> {
    (
        proptest::sample::select(Kind::ALL.to_vec()),
        proptest::collection::vec(any::<u8>(), 0..300),
    )
}

/// Records that stand alone, and runs of short ones that are packed.
fn batches() -> impl Strategy<Value = Vec<Vec<(Kind, Vec<u8>)>>> {
    let short = proptest::collection::vec(any::<u8>(), 0..130);
    let run = proptest::collection::vec((Just(Kind::Stdout), short), 1..12);
    let stretch = prop_oneof![record().prop_map(|record| vec![record]), run];
    let batch = proptest::collection::vec(stretch, 1..6).prop_map(|batch| batch.concat());
    proptest::collection::vec(batch, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn cut_at_every_byte_it_reads_back_a_prefix_and_goes_on(batches in batches()) {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { segment_bytes: 1 << 30, fsync: Fsync::Never };
        let mut writer = Writer::open(dir.path(), options).unwrap();
        for batch in &batches {
            append(&mut writer, batch);
        }
        drop(writer);
        let all = expected(&batches);
        let whole = fs::read(&segments(dir.path())[0]).unwrap();
        let step = (whole.len() / 60).max(1);
        for cut in (0..=whole.len()).filter(|cut| cut % step == 0 || whole.len() - cut < 40) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(format!("{:020}.log", 1));
            fs::write(&path, &whole[..cut]).unwrap();
            let mut reader = Reader::open(dir.path()).unwrap();
            let prefix = read_all(&mut reader);
            prop_assert_eq!(&prefix[..], &all[..prefix.len()]);
            let mut writer = Writer::open(dir.path(), options).unwrap();
            let last = prefix.last().map_or(0, |record| record.id);
            prop_assert_eq!(writer.last_id(), last);
            append(&mut writer, &[(Kind::Exit, b"{}".to_vec())]);
            let more = read_all(&mut reader);
            prop_assert_eq!(more.len(), 1);
            prop_assert_eq!(more[0].id, last + 1);
            let mut again = Reader::open(dir.path()).unwrap();
            prop_assert_eq!(read_all(&mut again).len(), prefix.len() + 1);
        }
    }

    #[test]
    fn any_seek_continues_right_there(batches in batches(), target in 0_u64..50) {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(dir.path(), SMALL).unwrap();
        for batch in &batches {
            append(&mut writer, batch);
        }
        let all = expected(&batches);
        let mut reader = Reader::open(dir.path()).unwrap();
        reader.seek_after(target).unwrap();
        let start = if target == 0 {
            0
        } else {
            all.iter()
                .position(|record| record.kind.is_numbered() && record.id == target)
                .map_or(all.len(), |at| at + 1)
        };
        prop_assert_eq!(&read_all(&mut reader)[..], &all[start..]);
    }

    #[test]
    fn corruption_never_panics_nor_invents(
        batches in batches(),
        places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(dir.path(), SMALL).unwrap();
        for batch in &batches {
            append(&mut writer, batch);
        }
        drop(writer);
        let all = expected(&batches);
        let paths = segments(dir.path());
        for (n, (place, byte)) in places.iter().enumerate() {
            let path = &paths[n % paths.len()];
            let mut bytes = fs::read(path).unwrap();
            let at = place.index(bytes.len());
            bytes[at] = *byte;
            scan(&bytes);
            fs::write(path, &bytes).unwrap();
        }
        if let Ok(mut reader) = Reader::open(dir.path()) {
            let mut seen = 0;
            while let Ok(Some(record)) = reader.next() {
                prop_assert_eq!(record.payload, &all[seen].payload[..]);
                seen += 1;
            }
        }
        let _ = tail(dir.path());
        let _ = Writer::open(dir.path(), SMALL);
    }

    #[test]
    fn scanning_rubbish_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        scan(&bytes);
    }
}

#[test]
fn numbers_that_were_given_are_passed_over_where_they_are_gone() {
    let texts = |dir: &std::path::Path, after: u64| {
        let mut reader = Reader::open(dir).unwrap();
        reader.seek_after(after).unwrap();
        let mut read = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            if record.kind.is_numbered() {
                read.push((record.id, record.text().to_owned()));
            }
        }
        read
    };
    let append = |writer: &mut Writer, text: &str| {
        let mut batch = Batch::new();
        let meta = Meta::new(Kind::Stage, 1, 1);
        batch.push(meta, text.as_bytes()).unwrap();
        writer.append(&mut batch).unwrap()
    };
    for kept in [100, 28, 0] {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(dir.path(), Options::default()).unwrap();
        for text in ["one", "two", "three"] {
            append(&mut writer, text);
        }
        drop(writer);
        let segment = dir.path().join("00000000000000000001.log");
        let file = std::fs::OpenOptions::new().write(true).open(segment);
        file.unwrap().set_len(kept).unwrap();
        let whole = texts(dir.path(), 0);
        for (given, lost) in [(3, 3 - whole.len() as u64), (3, 0), (2, 0)] {
            let mut writer = Writer::open_after(dir.path(), Options::default(), given).unwrap();
            assert_eq!(writer.lost(), lost, "{kept}");
            assert!(append(&mut writer, "next") > 3);
        }
        let next = (4..7).map(|id| (id, "next".to_owned()));
        let expected: Vec<_> = whole.into_iter().chain(next.clone()).collect();
        assert_eq!(texts(dir.path(), 0), expected);
        for after in 1..4 {
            let rest: Vec<_> = expected.iter().filter(|(id, _)| *id > after).collect();
            assert_eq!(texts(dir.path(), after).iter().collect::<Vec<_>>(), rest);
        }
        assert_eq!(aod_log::tail(dir.path()).unwrap().last_id, 6);
    }
}
