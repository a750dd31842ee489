//! Users, tokens, agents, environments, sealed values, credentials.

use aod_resources::{Actor, CredentialKind, Timestamp};
use aod_store::{
    Credential, Error, NewAuditEntry, NewCredential, NewToken, Page, SealedKey, SealedKind,
    SecretsUpdate, User,
};
use uuid::Uuid;

use crate::support::{Fixture, agent, environment, user, value};

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

#[tokio::test]
async fn a_users_name_is_theirs_alone() {
    let fixture = Fixture::new().await;
    let again = User {
        id: Uuid::new_v4(),
        name: "ada".to_owned(),
        admin: true,
        created_at: at(1),
    };
    let refused = fixture.store.create_user(again).await.unwrap_err();
    assert!(matches!(refused, Error::AlreadyExists { what: "user", .. }));
    let found = fixture.store.user_by_name("ada").await.unwrap();
    assert_eq!(found.id, fixture.user);
    assert!(!found.admin);
    assert_eq!(fixture.store.user(fixture.user).await.unwrap(), found);
    assert_eq!(fixture.store.list_users().await.unwrap(), [found]);
    let missing = fixture.store.user_by_name("bob").await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }));
}

#[tokio::test]
async fn tokens_are_found_by_hash_expire_and_are_revoked_by_their_user() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let other = user(store, "bob").await;
    let new = NewToken {
        id: Uuid::new_v4(),
        user: fixture.user,
        name: "laptop".to_owned(),
        sha256: [7; 32],
        created_at: at(100),
        expires_at: Some(at(200)),
    };
    assert!(!store.any_valid_token(at(150)).await.unwrap());
    let token = store.create_token(new.clone()).await.unwrap();
    assert!(store.any_valid_token(at(150)).await.unwrap());
    assert!(!store.any_valid_token(at(200)).await.unwrap());

    let duplicate = NewToken {
        id: Uuid::new_v4(),
        ..new.clone()
    };
    let refused = store.create_token(duplicate).await.unwrap_err();
    assert!(matches!(refused, Error::AlreadyExists { .. }));
    let nobodys = NewToken {
        id: Uuid::new_v4(),
        user: Uuid::new_v4(),
        sha256: [8; 32],
        ..new
    };
    let refused = store.create_token(nobodys).await.unwrap_err();
    assert!(matches!(refused, Error::NotFound { what: "user", .. }));

    let found = store.token_by_hash([7; 32]).await.unwrap();
    assert_eq!((found.sha256, found.user.id), ([7; 32], fixture.user));
    assert!(found.token.is_valid(at(199)) && !found.token.is_valid(at(200)));
    assert!(store.token_by_hash([9; 32]).await.is_err());

    store.touch_token(token.id, at(120)).await.unwrap();
    store.touch_token(token.id, at(110)).await.unwrap();
    let refused = store.revoke_token(other, token.id, at(130)).await;
    assert!(matches!(refused, Err(Error::NotFound { .. })));
    store
        .revoke_token(fixture.user, token.id, at(130))
        .await
        .unwrap();
    let token = store
        .revoke_token(fixture.user, token.id, at(140))
        .await
        .unwrap();
    assert_eq!(token.last_used_at, Some(at(120)));
    assert_eq!(token.revoked_at, Some(at(130)));
    assert!(!token.is_valid(at(131)));
    assert_eq!(store.list_tokens(fixture.user).await.unwrap(), [token]);
    assert!(store.list_tokens(other).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_update_raises_the_version_once_and_keeps_what_was() {
    let fixture = Fixture::new().await;
    let (store, user) = (&fixture.store, fixture.user);
    let first = fixture.agent.clone();
    assert_eq!(first.version, 1);

    let same = store
        .update_agent(user, 1, first.clone(), SecretsUpdate::Keep, at(5))
        .await
        .unwrap();
    assert_eq!(same, first, "a change of nothing is none");

    let mut renamed = first.clone();
    renamed.name = "renamed".to_owned();
    renamed.created_at = at(0);
    let second = store
        .update_agent(user, 1, renamed.clone(), SecretsUpdate::Keep, at(5))
        .await
        .unwrap();
    assert_eq!((second.version, second.updated_at), (2, at(5)));
    assert_eq!(second.created_at, first.created_at);
    assert_eq!(store.agent(user, first.id).await.unwrap(), second);

    let stale = store
        .update_agent(user, 1, renamed.clone(), SecretsUpdate::Keep, at(6))
        .await
        .unwrap_err();
    assert_eq!(stale.to_string(), "Version mismatch: expected 2, got 1");

    let versions = store.agent_versions(user, first.id).await.unwrap();
    let names: Vec<_> = versions
        .iter()
        .map(|it| (it.agent.version, it.agent.name.as_str()))
        .collect();
    assert_eq!(names, [(2, "renamed"), (1, "hello")]);

    let archived = store.archive_agent(user, first.id, at(9)).await.unwrap();
    assert_eq!(archived.archived_at, Some(at(9)));
    assert_eq!(store.agent(user, first.id).await.unwrap(), archived);
    assert!(
        store
            .list_agents(user, Page::default())
            .await
            .unwrap()
            .is_empty()
    );
    let again = store.archive_agent(user, first.id, at(10)).await;
    assert!(matches!(again, Err(Error::Archived { .. })));
    let update = store
        .update_agent(user, 2, renamed, SecretsUpdate::Keep, at(11))
        .await;
    assert!(matches!(update, Err(Error::Archived { .. })));
}

#[tokio::test]
async fn another_users_agent_is_not_there() {
    let fixture = Fixture::new().await;
    let (store, mine) = (&fixture.store, fixture.agent.id);
    let other = user(store, "bob").await;
    let page = Page {
        after: Some(mine),
        limit: None,
    };
    let keep = SecretsUpdate::Keep;
    let errors = [
        store.agent(other, mine).await.unwrap_err(),
        store.agent_versions(other, mine).await.unwrap_err(),
        store.archive_agent(other, mine, at(1)).await.unwrap_err(),
        store.list_agents(other, page).await.unwrap_err(),
        store
            .update_agent(other, 1, fixture.agent.clone(), keep, at(1))
            .await
            .unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::NotFound { what: "agent", .. }));
    }
    assert!(
        store
            .list_agents(other, Page::default())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn lists_go_by_arrival_whatever_the_clock_says() {
    let fixture = Fixture::new().await;
    let (store, user) = (&fixture.store, fixture.user);
    let mut ids = vec![fixture.agent.id];
    for micros in [50, 50, 10] {
        let mut new = agent();
        new.created_at = at(micros);
        ids.push(store.create_agent(user, new, vec![]).await.unwrap().id);
    }
    ids.reverse();
    let list = async |page| -> Vec<Uuid> {
        let agents = store.list_agents(user, page).await.unwrap();
        agents.iter().map(|agent| agent.id).collect()
    };
    assert_eq!(list(Page::default()).await, ids);
    let mut paged = vec![];
    loop {
        let page = Page {
            limit: Some(3),
            after: paged.last().copied(),
        };
        let part = list(page).await;
        if part.is_empty() {
            break;
        }
        paged.extend(part);
    }
    assert_eq!(paged, ids);
}

#[tokio::test]
async fn an_environments_variables_change_with_it_or_not_at_all() {
    let fixture = Fixture::new().await;
    let (store, user) = (&fixture.store, fixture.user);
    let kind = SealedKind::EnvironmentVariable;
    let new = environment();
    let id = new.id;
    let secrets = vec![value(kind, "A", b"1"), value(kind, "B", b"2")];
    let first = store.create_environment(user, new, secrets).await.unwrap();
    let names = async || -> Vec<(String, Vec<u8>)> {
        let sealed = store.list_sealed(user, kind, id).await.unwrap();
        sealed
            .into_iter()
            .map(|it| (it.key.name, it.blob))
            .collect()
    };
    let pair = |name: &str, blob: &[u8]| (name.to_owned(), blob.to_vec());
    assert_eq!(names().await, [pair("A", b"1"), pair("B", b"2")]);

    let stale = SecretsUpdate::Replace(vec![]);
    let refused = store
        .update_environment(user, 7, first.clone(), stale, at(5))
        .await;
    assert!(matches!(refused, Err(Error::VersionMismatch { .. })));
    assert_eq!(names().await.len(), 2);

    let replace = SecretsUpdate::Replace(vec![value(kind, "B", b"3")]);
    let second = store
        .update_environment(user, 1, first.clone(), replace, at(5))
        .await
        .unwrap();
    assert_eq!(second.version, 2, "new variables are a change");
    assert_eq!(names().await, [pair("B", b"3")]);

    let put = SecretsUpdate::Put(vec![value(kind, "C", b"4")]);
    store
        .update_environment(user, 2, second, put, at(6))
        .await
        .unwrap();
    assert_eq!(names().await, [pair("B", b"3"), pair("C", b"4")]);

    store.delete_environment(user, id).await.unwrap();
    assert!(names().await.is_empty());
    let gone = store.environment_versions(user, id).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn an_environment_that_any_session_used_stays() {
    let fixture = Fixture::new().await;
    let (store, user) = (&fixture.store, fixture.user);
    let session = fixture.session().await;
    fixture
        .end(session.id, 1, aod_resources::Outcome::Failed)
        .await;
    store.delete_session(user, session.id).await.unwrap();
    let refused = store.delete_environment(user, fixture.environment.id).await;
    assert!(matches!(refused, Err(Error::InUse { .. })));
    let foreign = crate::support::user(store, "bob").await;
    let refused = store
        .delete_environment(foreign, fixture.environment.id)
        .await;
    assert!(matches!(refused, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn sealed_values_are_paged_in_full_and_swapped_only_for_what_was_seen() {
    let fixture = Fixture::new().await;
    let (store, owner) = (&fixture.store, fixture.user);
    let mut keys = vec![];
    for kind in SealedKind::ALL {
        for name in ["", "a", "mcp/x/headers/Y", "é"] {
            let key = SealedKey {
                owner,
                kind,
                record: Uuid::new_v4(),
                name: name.to_owned(),
            };
            store
                .put_sealed(key.clone(), vec![1, 2], at(1))
                .await
                .unwrap();
            keys.push(key);
        }
    }
    let mut seen = vec![];
    loop {
        let after = seen.last().cloned();
        let page = store.sealed_page(after, 3).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|record| record.key));
    }
    keys.sort_by_key(|key| (key.kind.as_str(), key.record.to_string(), key.name.clone()));
    assert_eq!(seen, keys);

    let key = &keys[0];
    let swap = |old: Vec<u8>, new: Vec<u8>| {
        store.swap_sealed(key.clone(), old, new, Actor::Operator, at(2))
    };
    assert!(!swap(vec![9], vec![3]).await.unwrap());
    assert!(swap(vec![1, 2], vec![3]).await.unwrap());
    assert!(!swap(vec![1, 2], vec![4]).await.unwrap());
    let record = store.sealed(key.clone()).await.unwrap().unwrap();
    assert_eq!(
        (record.blob.as_slice(), record.updated_at),
        (&[3][..], at(2))
    );
    assert!(!format!("{record:?}").contains("[3]"));

    let stranger = SealedKey {
        owner: Uuid::new_v4(),
        ..key.clone()
    };
    assert_eq!(store.sealed(stranger.clone()).await.unwrap(), None);
    assert!(!store.delete_sealed(stranger).await.unwrap());
    assert!(store.delete_sealed(key.clone()).await.unwrap());
    assert_eq!(store.sealed(key.clone()).await.unwrap(), None);
}

#[tokio::test]
async fn a_credential_leaves_a_trail_that_nothing_can_change() {
    let fixture = Fixture::new().await;
    let (store, owner) = (&fixture.store, fixture.user);
    let new = |blob: &[u8], at| NewCredential {
        owner,
        name: "key".to_owned(),
        kind: CredentialKind::ProviderKey,
        hosts: None,
        blob: blob.to_vec(),
        at,
    };
    let by = || Actor::Token {
        name: "ada".to_owned(),
    };
    store.put_credential(new(b"1", at(9)), by()).await.unwrap();
    // The clock was set back: still an update.
    store.put_credential(new(b"2", at(3)), by()).await.unwrap();
    let session = Uuid::new_v4();
    store
        .use_credentials(owner, vec!["key".to_owned()], by(), session, 4, at(10))
        .await
        .unwrap();
    let credential = store.credential(owner, "key".to_owned()).await.unwrap();
    assert_eq!(
        (credential.created_at, credential.updated_at),
        (at(9), at(3))
    );
    assert_eq!(credential.last_used_at, Some(at(10)));
    assert_eq!(store.list_credentials(owner).await.unwrap(), [credential]);
    let key = Credential::key(owner, "key");
    assert_eq!(store.sealed(key.clone()).await.unwrap().unwrap().blob, b"2");

    let swap =
        |old: &[u8]| store.swap_sealed(key.clone(), old.to_vec(), b"3".to_vec(), by(), at(10));
    assert!(swap(b"2").await.unwrap());
    assert!(
        !swap(b"2").await.unwrap(),
        "a swap that fails leaves no entry"
    );

    store
        .delete_credential(owner, "key".to_owned(), by(), at(11))
        .await
        .unwrap();
    assert_eq!(store.sealed(key.clone()).await.unwrap(), None);
    // A turn that had opened it by then has used it nevertheless.
    store
        .use_credentials(owner, vec!["key".to_owned()], by(), session, 5, at(12))
        .await
        .unwrap();
    let again = store
        .delete_credential(owner, "key".to_owned(), by(), at(12))
        .await;
    assert!(matches!(again, Err(Error::NotFound { .. })));

    let trail = store.audit(owner, None, 100).await.unwrap();
    let actions: Vec<_> = trail.iter().map(|it| it.entry.action.as_str()).collect();
    assert_eq!(
        actions,
        ["use", "delete", "rotate", "use", "update", "create"]
    );
    assert_eq!(
        (trail[3].entry.session, trail[3].entry.turn),
        (Some(session), Some(4))
    );
    let older = store.audit(owner, Some(trail[3].seq), 1).await.unwrap();
    assert_eq!(older, [trail[4].clone()]);
    assert!(
        store
            .audit(user(store, "bob").await, None, 9)
            .await
            .unwrap()
            .is_empty()
    );

    let tamper = rusqlite::Connection::open(fixture.path()).unwrap();
    assert!(tamper.execute("DELETE FROM audit", []).is_err());
    assert!(
        tamper
            .execute("UPDATE audit SET actor = 'eve'", [])
            .is_err()
    );

    // All entries or none: the second names a user that is not there.
    let entry = trail[0].entry.clone();
    let bad = NewAuditEntry {
        owner: Uuid::new_v4(),
        ..entry.clone()
    };
    assert!(store.append_audit(vec![entry, bad]).await.is_err());
    assert_eq!(store.audit(owner, None, 100).await.unwrap(), trail);
}
