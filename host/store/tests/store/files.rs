//! The file: made private, opened by two at once, newer or foreign ones left alone.

use std::{os::unix::fs::PermissionsExt, sync::Barrier};

use aod_store::{Error, SCHEMA_VERSION, Store};
use rusqlite::Connection;

use crate::support::{Fixture, user};

#[tokio::test]
async fn every_file_is_for_its_owner_only() {
    let fixture = Fixture::new().await;
    let mut names = vec![];
    for entry in fixture.folder().read_dir().unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", entry.path());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    let expected = [
        "aod.db",
        "aod.db-opening",
        "aod.db-reserve",
        "aod.db-shm",
        "aod.db-wal",
    ];
    assert_eq!(names, expected);
}

#[test]
fn many_may_make_the_same_file_at_once() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aod.db");
        let barrier = Barrier::new(6);
        std::thread::scope(|scope| {
            let open = || {
                barrier.wait();
                Store::open(&path)
            };
            let stores: Vec<_> = (0..6).map(|_| scope.spawn(open)).collect();
            for store in stores {
                store.join().unwrap().unwrap();
            }
        });
        let version: i64 = Connection::open(&path)
            .unwrap()
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        assert_eq!(version, SCHEMA_VERSION);
    }
}

#[tokio::test]
async fn a_newer_file_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aod.db");
    let store = Store::open(&path).unwrap();
    user(&store, "ada").await;
    store.close().await.unwrap();
    let newer = SCHEMA_VERSION + 1;
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", newer)
        .unwrap();
    let before = std::fs::read(&path).unwrap();

    let refused = Store::open(&path).unwrap_err();
    assert!(
        matches!(refused, Error::NewerSchema { found, supported: SCHEMA_VERSION, .. } if found == newer)
    );
    let said = refused.to_string();
    assert!(
        said.contains("aod.db has schema version") && said.contains("newer"),
        "{said}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn another_programs_database_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aod.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE cookies (name TEXT); INSERT INTO cookies VALUES ('x')")
        .unwrap();
    let before = std::fs::read(&path).unwrap();
    let refused = Store::open(&path).unwrap_err();
    assert!(
        matches!(refused, Error::ForeignDatabase { .. }),
        "{refused}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn rubbish_and_a_missing_folder_are_errors_not_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aod.db");
    std::fs::write(
        &path,
        "not a database, and longer than a header would be".repeat(20),
    )
    .unwrap();
    assert!(matches!(Store::open(&path), Err(Error::Unavailable(_))));
    let nowhere = Store::open(folder.path().join("none/aod.db")).unwrap_err();
    assert!(matches!(nowhere, Error::Io { .. }), "{nowhere}");
}

#[tokio::test]
async fn a_value_changed_by_hand_is_named_as_corrupt() {
    let mut fixture = Fixture::new().await;
    let id = fixture.session().await.id;
    Connection::open(fixture.path())
        .unwrap()
        .execute("UPDATE sessions SET status = 'asleep'", [])
        .unwrap();
    fixture.reopen().await;
    let error = fixture.store.session_record(id).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }));
    assert!(error.to_string().contains("asleep"), "{error}");
}

/// The names and contents of a folder's files, without those that SQLite keeps for its processes.
fn contents(folder: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let entries = folder.read_dir().unwrap();
    let mut contents: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.to_string_lossy().ends_with("-shm"))
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    contents.sort();
    contents
}

#[tokio::test]
async fn the_log_of_another_file_neither_hides_nor_overwrites_one_that_was_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aod.db");
    let log = folder.path().join("aod.db-wal");
    let other = Fixture::new().await;
    other.store.clone().close().await.unwrap();
    let store = Store::open(&path).unwrap();
    user(&store, "grace").await;
    store.close().await.unwrap();
    let older = std::fs::read(&path).unwrap();

    let store = Store::open(&path).unwrap();
    user(&store, "ada").await;
    // As a process leaves it that is killed.
    let left = std::fs::read(&log).unwrap();
    store.close().await.unwrap();
    for put_back in [older, std::fs::read(other.path()).unwrap()] {
        std::fs::write(&path, &put_back).unwrap();
        std::fs::write(&log, &left).unwrap();
        let before = contents(folder.path());
        for _ in 0..2 {
            let refused = Store::open(&path).unwrap_err();
            assert!(matches!(refused, Error::ForeignLog { .. }), "{refused:?}");
            assert!(refused.to_string().contains("aod.db-wal"), "{refused}");
            assert_eq!(contents(folder.path()), before);
        }
        std::fs::remove_file(&log).unwrap();
        let _ = std::fs::remove_file(folder.path().join("aod.db-shm"));
        let store = Store::open(&path).unwrap();
        assert_eq!(store.list_users().await.unwrap().len(), 1);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn the_log_of_its_own_is_taken_as_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aod.db");
    let (file, log) = (path.clone(), folder.path().join("aod.db-wal"));
    let store = Store::open(&path).unwrap();
    user(&store, "ada").await;
    let left = (std::fs::read(&file).unwrap(), std::fs::read(&log).unwrap());
    // Beside one that runs, and as one leaves it that is killed.
    user(&Store::open(&path).unwrap(), "grace").await;
    store.close().await.unwrap();
    std::fs::write(&file, left.0).unwrap();
    std::fs::write(&log, left.1).unwrap();
    let _ = std::fs::remove_file(folder.path().join("aod.db-shm"));
    let store = Store::open(&path).unwrap();
    let users = store.list_users().await.unwrap();
    assert_eq!(users.len(), 1, "{users:?}");
}
