//! Nothing that was overwritten or deleted can be found in the files afterwards.

use aod_resources::Timestamp;
use aod_store::{Error, SealedKey, SealedKind, Store};
use uuid::Uuid;

use crate::support::Fixture;

const OLD: &[u8] = b"ciphertext-for-the-old-identity";

fn holds_old(fixture: &Fixture) -> Vec<String> {
    let mut found = vec![];
    for entry in fixture.folder().read_dir().unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        if bytes.windows(OLD.len()).any(|window| window == OLD) {
            found.push(path.display().to_string());
        }
    }
    found
}

async fn fill(store: &Store, owner: Uuid) -> Vec<SealedKey> {
    let mut keys = vec![];
    for number in 0..300 {
        let key = SealedKey {
            owner,
            kind: SealedKind::SessionVariable,
            record: Uuid::new_v4(),
            name: format!("NAME_{number}"),
        };
        let blob = OLD.repeat(1 + number % 40);
        store
            .put_sealed(key.clone(), blob, Timestamp::now())
            .await
            .unwrap();
        keys.push(key);
    }
    keys
}

#[tokio::test]
async fn scrubbing_leaves_nothing_of_replaced_and_deleted_values() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    for (number, key) in fill(store, fixture.user).await.into_iter().enumerate() {
        if number % 2 == 0 {
            store.delete_sealed(key).await.unwrap();
        } else {
            store
                .put_sealed(key, b"new".to_vec(), Timestamp::now())
                .await
                .unwrap();
        }
    }
    assert!(
        !holds_old(&fixture).is_empty(),
        "the log of writes still holds them"
    );
    store.scrub().await.unwrap();
    assert_eq!(holds_old(&fixture), [""; 0]);
    let wal = std::fs::metadata(fixture.folder().join("aod.db-wal")).unwrap();
    assert_eq!(wal.len(), 0);
    store.ping().await.unwrap();
    assert_eq!(store.sealed_page(None, 1000).await.unwrap().len(), 150);
}

#[tokio::test]
async fn scrubbing_says_so_when_another_process_is_in_the_way() {
    let fixture = Fixture::new().await;
    let mut other = rusqlite::Connection::open(fixture.path()).unwrap();
    let reading = other.transaction().unwrap();
    let users: i64 = reading
        .query_row("SELECT count(*) FROM users", [], |row| row.get(0))
        .unwrap();
    assert_eq!(users, 1);
    let refused = fixture.store.scrub().await.unwrap_err();
    assert!(matches!(refused, Error::Busy), "{refused:?}");
    drop(reading);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = fixture.store.scrub().await.unwrap_err();
    assert!(matches!(refused, Error::Busy), "{refused:?}");
    other.execute_batch("ROLLBACK").unwrap();
    fixture.store.scrub().await.unwrap();
}
