//! What is forced to the disk when, and what a power loss leaves.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aod_log::{Batch, Fsync, Kind, Meta, Options, Reader, Writer};

fn options(fsync: Fsync) -> Options {
    Options {
        segment_bytes: 2000,
        fsync,
    }
}

fn lines(writer: &mut Writer, range: std::ops::RangeInclusive<u64>) {
    let mut batch = Batch::new();
    for n in range {
        let line = format!("line {n}\n");
        batch
            .push(Meta::new(Kind::Stdout, 1, 7), line.as_bytes())
            .unwrap();
        writer.append(&mut batch).unwrap();
    }
}

fn ids(dir: &Path) -> Vec<u64> {
    let mut reader = Reader::open(dir).unwrap();
    let mut ids = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        assert_eq!(record.text(), format!("line {}\n", record.id));
        ids.push(record.id);
    }
    ids
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_policy_writes_the_same_log() {
    let policies = [
        Fsync::Always,
        Fsync::Never,
        // Due at once: as many syncs beside the writer as there can be.
        Fsync::Interval(Duration::ZERO),
        Fsync::Interval(Duration::from_secs(3600)),
    ];
    for policy in policies {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(dir.path(), options(policy)).unwrap();
        lines(&mut writer, 1..=500);
        writer.sync().unwrap();
        assert_eq!(writer.sync_due(), None, "{policy:?}");
        assert!(segments(dir.path()).len() > 5);
        assert_eq!(ids(dir.path()), (1..=500).collect::<Vec<_>>(), "{policy:?}");
        drop(writer);
        let writer = Writer::open(dir.path(), options(policy)).unwrap();
        assert_eq!(writer.last_id(), 500);
    }
}

#[test]
fn an_interval_is_kept_without_waiting_for_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let hour = Duration::from_secs(3600);
    let mut writer = Writer::open(dir.path(), options(Fsync::Interval(hour))).unwrap();
    assert_eq!(writer.sync_due(), None);
    lines(&mut writer, 1..=1);
    assert!(writer.sync_due().unwrap() > hour / 2);
    // Not due, so not done.
    writer.sync_if_due().unwrap();
    assert!(writer.sync_due().is_some());
    writer.sync().unwrap();
    assert_eq!(writer.sync_due(), None);
}

#[test]
fn a_segment_that_lost_its_end_is_gone_on_with() {
    for cut in [1, 40, 700] {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(dir.path(), options(Fsync::Never)).unwrap();
        lines(&mut writer, 1..=200);
        drop(writer);
        let paths = segments(dir.path());
        let [.., before, newest] = &paths[..] else {
            panic!("too few segments");
        };
        let length = fs::metadata(before).unwrap().len();
        let file = OpenOptions::new().write(true).open(before).unwrap();
        file.set_len(length - cut).unwrap();

        let mut writer = Writer::open(dir.path(), options(Fsync::Never)).unwrap();
        let last = writer.last_id();
        assert!(!newest.exists());
        assert!(newest.with_extension("lost").exists());
        assert_eq!(ids(dir.path()), (1..=last).collect::<Vec<_>>());
        lines(&mut writer, last + 1..=300);
        assert_eq!(ids(dir.path()), (1..=300).collect::<Vec<_>>());
    }
}

#[test]
fn damage_in_an_older_segment_sets_nothing_aside() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), options(Fsync::Never)).unwrap();
    lines(&mut writer, 1..=200);
    drop(writer);
    let paths = segments(dir.path());
    let before = &paths[paths.len() - 2];
    let file = OpenOptions::new().write(true).open(before).unwrap();
    let middle = fs::metadata(before).unwrap().len() / 2;
    file.write_all_at(&[0xff; 4], middle).unwrap();
    let writer = Writer::open(dir.path(), options(Fsync::Never)).unwrap();
    assert_eq!(writer.last_id(), 200);
    assert_eq!(segments(dir.path()), paths);
}
