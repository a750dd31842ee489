//! Webhooks and their outbox.

use aod_resources::{DeliveryState, Outcome, Timestamp, WebhookEvent};
use aod_store::{
    AttemptEnd, DeliveryFilter, DueDelivery, Error, NewWebhook, Page, SealedKind, Store,
    WEBHOOK_SECRET, WebhookUpdate,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::*;

fn hook(owner: Uuid, events: &[WebhookEvent]) -> NewWebhook {
    NewWebhook {
        id: Uuid::new_v4(),
        owner,
        session: None,
        url: "https://example.com/".to_owned(),
        events: events.to_vec(),
        description: None,
        enabled: true,
        secret: b"sealed".to_vec(),
        limit: 5,
        at: Timestamp::now(),
    }
}

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_micros(Timestamp::now().as_micros() + seconds * 1_000_000)
}

async fn due(store: &Store) -> Vec<DueDelivery> {
    store.due_deliveries(later(1), 10).await.unwrap().0
}

fn told(due: &[DueDelivery]) -> Vec<(Uuid, String)> {
    let read = |delivery: &DueDelivery| {
        let payload: Value = serde_json::from_str(&delivery.payload).unwrap();
        (delivery.hook, payload["type"].as_str().unwrap().to_owned())
    };
    let mut told: Vec<_> = due.iter().map(read).collect();
    told.sort();
    told
}

/// A session whose turn runs.
async fn running(fixture: &Fixture) -> Uuid {
    let session = fixture.session().await.id;
    fixture
        .store
        .start_turn(session, 1, "digest".to_owned(), Timestamp::now())
        .await
        .unwrap();
    session
}

#[tokio::test]
async fn a_turns_end_is_told_in_its_own_transaction_to_those_who_want_it() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let owner = fixture.user;
    let all = store.create_webhook(hook(owner, &[])).await.unwrap();
    let failures = hook(owner, &[WebhookEvent::TurnFailed]);
    let failures = store.create_webhook(failures).await.unwrap();
    let off = NewWebhook {
        enabled: false,
        ..hook(owner, &[])
    };
    store.create_webhook(off).await.unwrap();
    let other = user(store, "eve").await;
    store.create_webhook(hook(other, &[])).await.unwrap();

    let session = running(&fixture).await;
    assert!(due(store).await.is_empty());
    // What is refused tells of nothing.
    let wrong = turn_end(session, 2, Outcome::Completed);
    store.end_turn(wrong).await.unwrap_err();
    assert!(due(store).await.is_empty());
    fixture.end(session, 1, Outcome::Failed).await;
    let mut expected = vec![
        (all.id, "turn.failed".to_owned()),
        (failures.id, "turn.failed".to_owned()),
    ];
    expected.sort();
    let due = due(store).await;
    assert_eq!(told(&due), expected);
    // Both are told under one id.
    assert_eq!(due[0].message, due[1].message);
    assert_ne!(due[0].id, due[1].id);
}

#[tokio::test]
async fn the_end_of_a_session_is_told_beside_its_last_turns() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let all = store.create_webhook(hook(fixture.user, &[])).await.unwrap();
    let terminated = running(&fixture).await;
    fixture.end(terminated, 1, Outcome::Terminated).await;
    // One that never stood takes no further prompt.
    let failed = fixture.session().await.id;
    fixture.end(failed, 1, Outcome::Failed).await;
    let mut expected = [
        "turn.terminated",
        "session.terminated",
        "turn.failed",
        "session.failed",
    ]
    .map(|event| (all.id, event.to_owned()));
    expected.sort();
    assert_eq!(told(&due(store).await), expected);
}

#[tokio::test]
async fn a_question_is_told_once_and_goes_with_its_turn() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    store.create_webhook(hook(fixture.user, &[])).await.unwrap();
    let session = running(&fixture).await;
    let note = async |turn, id: &str| {
        let question = json!({"request_id": id, "title": "may I?"});
        store
            .note_question(session, turn, id.to_owned(), question, Timestamp::now())
            .await
            .unwrap();
    };
    let open = async || {
        let open = store.open_questions(vec![session]).await.unwrap();
        open.get(&session).map_or(0, Vec::len)
    };
    note(1, "a").await;
    note(1, "a").await;
    note(1, "b").await;
    // No turn of that number runs.
    note(2, "c").await;
    assert_eq!(open().await, 2);
    let asked = due(store).await;
    assert_eq!(asked.len(), 2);
    let payload: Value = serde_json::from_str(&asked[0].payload).unwrap();
    assert_eq!(payload["type"], "permission.requested");
    assert_eq!(payload["data"]["session_id"], json!(session));
    assert_eq!(payload["data"]["question"]["title"], "may I?");
    // A call of one of the agent's own tools is no question of the CLI's.
    let call = json!({"request_id": "t", "kind": "tool", "name": "lookup"});
    let noted = store.note_question(session, 1, "t".to_owned(), call, Timestamp::now());
    noted.await.unwrap();
    let told = due(store).await.pop().unwrap();
    let payload: Value = serde_json::from_str(&told.payload).unwrap();
    assert_eq!(payload["type"], "tool.requested");
    assert_eq!(payload["data"]["question"]["name"], "lookup");
    store
        .close_question(session, 1, "t".to_owned())
        .await
        .unwrap();
    store
        .close_question(session, 1, "a".to_owned())
        .await
        .unwrap();
    assert_eq!(open().await, 1);
    // A host that reads the turn once more meets it again.
    note(1, "a").await;
    assert_eq!(open().await, 1);
    fixture.end(session, 1, Outcome::Completed).await;
    assert_eq!(open().await, 0);
    note(1, "b").await;
    assert_eq!(open().await, 0);
    assert_eq!(due(store).await.len(), 4);
}

#[tokio::test]
async fn a_try_ends_in_one_of_three_ways() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let hook = store.create_webhook(hook(fixture.user, &[])).await.unwrap();
    let test = store
        .test_webhook(fixture.user, hook.id, Uuid::new_v4(), Timestamp::now())
        .await
        .unwrap();
    let end = |status, error: Option<&str>, again| AttemptEnd {
        id: test.id,
        status: Some(status),
        error: error.map(str::to_owned),
        again,
        at: Timestamp::now(),
    };
    let read = async || {
        let (delivery, _) = store
            .delivery(fixture.user, hook.id, test.id)
            .await
            .unwrap();
        (delivery.state, delivery.attempts, delivery.last_status)
    };
    let again = later(100);
    store
        .end_attempt(end(500, Some("no"), Some(again)))
        .await
        .unwrap();
    assert_eq!(read().await, (DeliveryState::Pending, 1, Some(500)));
    let (due, next) = store.due_deliveries(later(1), 10).await.unwrap();
    assert!(due.is_empty());
    assert_eq!(next, Some(again));
    assert_eq!(
        store.due_deliveries(later(101), 10).await.unwrap().0.len(),
        1
    );
    store.end_attempt(end(400, Some("no"), None)).await.unwrap();
    assert_eq!(read().await, (DeliveryState::Failed, 2, Some(400)));
    let now = Timestamp::now();
    store
        .redeliver(fixture.user, hook.id, test.id, now)
        .await
        .unwrap();
    assert_eq!(store.due_deliveries(later(1), 10).await.unwrap().0.len(), 1);
    store.end_attempt(end(204, None, None)).await.unwrap();
    assert_eq!(read().await, (DeliveryState::Delivered, 1, Some(204)));
    // A late note changes nothing.
    store.end_attempt(end(500, Some("no"), None)).await.unwrap();
    assert_eq!(read().await, (DeliveryState::Delivered, 1, Some(204)));
    assert_eq!(store.delivery_counts().await.unwrap().pending, 0);
}

#[tokio::test]
async fn one_webhook_with_much_to_be_told_does_not_hide_others() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let owner = fixture.user;
    let mut hooks = Vec::new();
    for count in [30, 1, 0] {
        let hook = store.create_webhook(hook(owner, &[])).await.unwrap();
        for _ in 0..count {
            store
                .test_webhook(owner, hook.id, Uuid::new_v4(), Timestamp::now())
                .await
                .unwrap();
        }
        hooks.push(hook.id);
    }
    let (due, _) = store.due_deliveries(later(1), 4).await.unwrap();
    let of = |hook| due.iter().filter(|delivery| delivery.hook == hook).count();
    assert_eq!(
        hooks.iter().map(|hook| of(*hook)).collect::<Vec<_>>(),
        [4, 1, 0]
    );
    let filter = DeliveryFilter {
        state: Some(DeliveryState::Pending),
        page: Page {
            limit: Some(7),
            after: None,
        },
    };
    let page = store
        .list_deliveries(owner, hooks[0], filter)
        .await
        .unwrap();
    assert_eq!(page.len(), 7);
}

#[tokio::test]
async fn what_is_disabled_is_told_nothing_and_what_is_deleted_leaves_nothing() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let owner = fixture.user;
    let hook = store.create_webhook(hook(owner, &[])).await.unwrap();
    let test = async || {
        store
            .test_webhook(owner, hook.id, Uuid::new_v4(), Timestamp::now())
            .await
    };
    test().await.unwrap();
    let off = WebhookUpdate {
        enabled: Some(false),
        ..WebhookUpdate::default()
    };
    store
        .update_webhook(owner, hook.id, off, Timestamp::now())
        .await
        .unwrap();
    assert!(due(store).await.is_empty());
    assert!(matches!(test().await, Err(Error::Disabled { .. })));
    store.delete_webhook(owner, hook.id).await.unwrap();
    assert!(matches!(test().await, Err(Error::NotFound { .. })));
    let sealed = store.list_sealed(owner, SealedKind::WebhookSecret, hook.id);
    assert!(sealed.await.unwrap().is_empty());
}

#[tokio::test]
async fn old_deliveries_go_and_so_do_webhooks_of_deleted_sessions_that_owe_nothing() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let owner = fixture.user;
    let session = running(&fixture).await;
    let own = NewWebhook {
        session: Some(session),
        ..hook(owner, &[])
    };
    let own = store.create_webhook(own).await.unwrap();
    fixture.end(session, 1, Outcome::Completed).await;
    store.delete_session(owner, session).await.unwrap();
    assert!(!store.purge_deliveries(later(10)).await.unwrap());
    let waiting = due(store).await;
    assert_eq!(waiting.len(), 1, "it was not told yet");
    let taken = AttemptEnd {
        id: waiting[0].id,
        status: Some(200),
        error: None,
        again: None,
        at: Timestamp::now(),
    };
    store.end_attempt(taken).await.unwrap();
    store.purge_deliveries(later(10)).await.unwrap();
    assert!(matches!(
        store.webhook(owner, own.id).await,
        Err(Error::NotFound { .. })
    ));
    let sealed = store.list_sealed(owner, SealedKind::WebhookSecret, own.id);
    assert!(sealed.await.unwrap().is_empty());
}

#[tokio::test]
async fn a_user_has_no_more_webhooks_than_they_may() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    for _ in 0..5 {
        let new = store.create_webhook(hook(fixture.user, &[])).await.unwrap();
        let key = store.list_sealed(fixture.user, SealedKind::WebhookSecret, new.id);
        assert_eq!(key.await.unwrap()[0].key.name, WEBHOOK_SECRET);
    }
    let refused = store.create_webhook(hook(fixture.user, &[])).await;
    assert!(matches!(refused, Err(Error::TooMany { limit: 5, .. })));
}

#[tokio::test]
async fn changes_are_told_when_they_are_committed() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let mut changes = store.session_changes();
    let session = running(&fixture).await;
    fixture.end(session, 1, Outcome::Completed).await;
    store.delete_session(fixture.user, session).await.unwrap();
    for _ in 0..4 {
        let change = changes.try_recv().unwrap();
        assert_eq!((change.owner, change.session), (fixture.user, session));
    }
    assert!(changes.try_recv().is_err());
}
