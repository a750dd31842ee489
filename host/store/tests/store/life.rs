//! Sessions and turns, and what a restart finds.

use aod_resources::{Outcome, Status, Timestamp};
use aod_store::{
    Error, Idempotency, Page, SealedKind, SecretsUpdate, SessionFilter, StatusCounts, StopRequest,
    Submitted, VersionRef,
};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Fixture, add_turn, agent, created, turn_end, user, value};

#[tokio::test]
async fn two_turns_from_prompt_to_end() {
    let mut fixture = Fixture::new().await;
    let mut new = fixture.new_session();
    new.secrets = vec![value(SealedKind::SessionVariable, "KEY", b"sealed")];
    let id = new.id;
    let session = created(fixture.store.create_session(new).await.unwrap());
    assert_eq!(session.status, Status::Pending);
    assert_eq!((session.turn_count, session.current_turn), (1, Some(1)));
    assert!(!session.resumable);

    fixture
        .store
        .set_build(id, "abc".to_owned(), Some("cli-1".to_owned()))
        .await
        .unwrap();
    fixture
        .store
        .set_provisioned(id, Timestamp::now())
        .await
        .unwrap();
    fixture.start(id, 1).await;
    let mut end = turn_end(id, 1, Outcome::Completed);
    end.resume_token = Some("native-1".to_owned());
    let session = fixture.store.end_turn(end).await.unwrap();
    assert_eq!(
        (session.status, session.exit_code),
        (Status::Completed, Some(0))
    );
    assert_eq!(session.usage.cost_usd, Some(0.5));

    let turn = created(
        add_turn(&fixture.store, fixture.new_turn(id))
            .await
            .unwrap(),
    );
    assert_eq!(
        (turn.turn_number, turn.status, turn.timeout),
        (2, Status::Pending, 600)
    );
    let pending = fixture.store.session(fixture.user, id).await.unwrap();
    assert_eq!((pending.status, pending.exit_code), (Status::Pending, None));
    fixture.start(id, 2).await;
    let mut end = turn_end(id, 2, Outcome::Failed);
    end.exit_code = Some(3);
    end.error = Some("the provider is down".to_owned());
    fixture.store.end_turn(end).await.unwrap();

    fixture.reopen().await;
    let record = fixture.store.session_record(id).await.unwrap();
    let session = fixture.store.session(fixture.user, id).await.unwrap();
    assert_eq!(record.session, session);
    assert_eq!(
        (session.status, session.exit_code),
        (Status::Failed, Some(3))
    );
    assert_eq!(session.error.as_deref(), Some("the provider is down"));
    assert!(session.resumable);
    assert_eq!(
        (session.usage.input_tokens, session.usage.cost_usd),
        (20, Some(1.0))
    );
    assert_eq!(record.resume_token.as_deref(), Some("native-1"));
    assert_eq!(record.adapter_digest.as_deref(), Some("abc"));
    assert_eq!(record.install_key.as_deref(), Some("cli-1"));

    let turns = fixture.store.turns(fixture.user, id).await.unwrap();
    let words: Vec<_> = turns
        .iter()
        .map(|it| (it.turn_number, it.status, it.outcome))
        .collect();
    assert_eq!(
        words,
        [
            (1, Status::Completed, Some(Outcome::Completed)),
            (2, Status::Failed, Some(Outcome::Failed)),
        ]
    );
    assert!(
        turns
            .iter()
            .all(|it| it.started_at.is_some() && it.ended_at.is_some())
    );

    fixture
        .store
        .delete_session(fixture.user, id)
        .await
        .unwrap();
    let gone = fixture.store.turn_record(id, 1).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })));
    let sealed = fixture
        .store
        .list_sealed(fixture.user, SealedKind::SessionVariable, id)
        .await
        .unwrap();
    assert!(sealed.is_empty());
}

#[tokio::test]
async fn a_session_keeps_the_versions_that_it_was_made_from() {
    let fixture = Fixture::new().await;
    let (store, user) = (&fixture.store, fixture.user);
    let session = fixture.session().await;
    let mut changed = fixture.agent.clone();
    changed.system = None;
    store
        .update_agent(user, 1, changed, SecretsUpdate::Keep, Timestamp::now())
        .await
        .unwrap();
    store
        .archive_agent(user, fixture.agent.id, Timestamp::now())
        .await
        .unwrap();
    let record = store.session_record(session.id).await.unwrap();
    assert_eq!(record.agent, fixture.agent);
    assert_eq!(record.environment, Some(fixture.environment.clone()));
    assert_eq!(record.session.agent_version, Some(1));

    let refused = store.create_session(fixture.new_session()).await;
    assert!(matches!(
        refused,
        Err(Error::Archived { what: "agent", .. })
    ));
}

#[tokio::test]
async fn a_session_is_made_only_from_what_its_owner_has() {
    let fixture = Fixture::new().await;
    let other = user(&fixture.store, "bob").await;
    let mut foreign = fixture.new_session();
    foreign.owner = other;
    let mut future = fixture.new_session();
    future.agent.version = 2;
    let mut missing = fixture.new_session();
    missing.environment = Some(VersionRef {
        id: Uuid::new_v4(),
        version: 1,
    });
    for new in [foreign, future, missing] {
        let refused = fixture.store.create_session(new).await;
        assert!(
            matches!(refused, Err(Error::NotFound { .. })),
            "{refused:?}"
        );
    }
    let session = fixture.session().await;
    let store = &fixture.store;
    let mut turn = fixture.new_turn(session.id);
    turn.owner = other;
    let errors = [
        store.session(other, session.id).await.unwrap_err(),
        store.turns(other, session.id).await.unwrap_err(),
        store.delete_session(other, session.id).await.unwrap_err(),
        add_turn(store, turn).await.unwrap_err(),
        store
            .request_stop(other, session.id, StopRequest::Terminate)
            .await
            .unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(
            error,
            Error::NotFound {
                what: "session",
                ..
            }
        ));
    }
}

#[tokio::test]
async fn a_failed_creation_leaves_nothing() {
    let fixture = Fixture::new().await;
    let first = fixture.session().await;
    let mut again = fixture.new_session();
    again.id = first.id;
    again.idempotency = Some(idempotency("k", 1));
    let refused = fixture.store.create_session(again).await;
    assert!(matches!(refused, Err(Error::AlreadyExists { .. })));
    let replay = fixture
        .store
        .replay(
            fixture.user,
            "k".to_owned(),
            [1; 32],
            Timestamp::from_micros(0),
        )
        .await
        .unwrap();
    assert_eq!(replay, None, "the key was rolled back with the session");
}

fn idempotency(key: &str, body: u8) -> Idempotency {
    Idempotency {
        key: key.to_owned(),
        body_mac: [body; 32],
        not_before: Timestamp::from_micros(1000),
        answer: format!("answer {body}"),
    }
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let mut new = fixture.new_session();
    new.idempotency = Some(idempotency("k", 1));
    let session = created(store.create_session(new.clone()).await.unwrap());
    new.id = Uuid::new_v4();
    let replay = "answer 1".to_owned();
    let again = store.create_session(new.clone()).await.unwrap();
    assert_eq!(again, Submitted::Replayed(replay));
    assert_eq!(store.session_ids().await.unwrap(), [session.id]);

    new.idempotency = Some(idempotency("k", 2));
    let other_body = store.create_session(new).await;
    assert!(matches!(other_body, Err(Error::IdempotencyMismatch)));

    // A prompt that is repeated while its turn waits is answered, not refused.
    fixture.start(session.id, 1).await;
    fixture.end(session.id, 1, Outcome::Completed).await;
    let mut turn = fixture.new_turn(session.id);
    turn.idempotency = Some(idempotency("p", 3));
    created(add_turn(store, turn.clone()).await.unwrap());
    let again = add_turn(store, turn).await.unwrap();
    assert!(matches!(again, Submitted::Replayed(_)));

    // Too old to count, and then gone.
    let mut late = fixture.new_session();
    late.at = Timestamp::from_micros(Timestamp::now().as_micros() + 60_000_000);
    late.idempotency = Some(Idempotency {
        not_before: late.at,
        ..idempotency("k", 2)
    });
    let last = late.at;
    created(store.create_session(late).await.unwrap());
    assert_eq!(store.purge_idempotency(last).await.unwrap(), 1);
    let kept = store
        .replay(fixture.user, "k".to_owned(), [2; 32], last)
        .await
        .unwrap();
    assert_eq!(kept.as_deref(), Some("answer 2"));
}

#[tokio::test]
async fn the_limit_counts_pending_and_running_sessions_of_one_user() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let limited = || {
        let mut new = fixture.new_session();
        new.active_limit = Some(2);
        new
    };
    let first = created(store.create_session(limited()).await.unwrap());
    let second = created(store.create_session(limited()).await.unwrap());
    fixture.start(second.id, 1).await;
    let full = store.create_session(limited()).await;
    assert!(matches!(
        full,
        Err(Error::ActiveLimit {
            limit: 2,
            active: 2
        })
    ));

    fixture.end(second.id, 1, Outcome::Completed).await;
    created(store.create_session(limited()).await.unwrap());
    let mut turn = fixture.new_turn(second.id);
    turn.active_limit = Some(2);
    let full = add_turn(store, turn.clone()).await;
    assert!(matches!(full, Err(Error::ActiveLimit { .. })));
    fixture.end(first.id, 1, Outcome::Failed).await;
    created(add_turn(store, turn).await.unwrap());

    let other = user(store, "bob").await;
    let theirs = store.create_agent(other, agent(), vec![]).await.unwrap();
    let mut new = limited();
    new.owner = other;
    new.environment = None;
    new.agent = VersionRef {
        id: theirs.id,
        version: 1,
    };
    created(store.create_session(new).await.unwrap());
    let counts = StatusCounts {
        pending: 2,
        failed: 1,
        ..StatusCounts::default()
    };
    assert_eq!(
        store.session_counts(Some(fixture.user)).await.unwrap(),
        counts
    );
    assert_eq!(store.session_counts(None).await.unwrap().pending, 3);
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let second_agent = store
        .create_agent(fixture.user, agent(), vec![])
        .await
        .unwrap();
    let mut all = vec![];
    for number in 0..6 {
        let mut new = fixture.new_session();
        if number % 2 == 0 {
            new.runtime = "other".to_owned();
        }
        if number % 3 == 0 {
            new.agent.id = second_agent.id;
        }
        all.push(created(store.create_session(new).await.unwrap()).id);
    }
    fixture.end(all[0], 1, Outcome::Failed).await;
    fixture.end(all[4], 1, Outcome::Failed).await;
    let list = async |filter| -> Vec<usize> {
        let sessions = store.list_sessions(fixture.user, filter).await.unwrap();
        let place = |id| all.iter().position(|it| *it == id).unwrap();
        sessions.into_iter().map(|it| place(it.id)).collect()
    };
    let any = SessionFilter::default;
    assert_eq!(list(any()).await, [5, 4, 3, 2, 1, 0]);
    let failed = Some(Status::Failed);
    assert_eq!(
        list(SessionFilter {
            status: failed,
            ..any()
        })
        .await,
        [4, 0]
    );
    let agent = Some(second_agent.id);
    assert_eq!(list(SessionFilter { agent, ..any() }).await, [3, 0]);
    let runtime = Some("other".to_owned());
    assert_eq!(
        list(SessionFilter {
            runtime: runtime.clone(),
            ..any()
        })
        .await,
        [4, 2, 0]
    );
    let page = Page {
        limit: Some(1),
        after: Some(all[4]),
    };
    assert_eq!(
        list(SessionFilter {
            runtime: runtime.clone(),
            page,
            ..any()
        })
        .await,
        [2]
    );
    let filter = SessionFilter {
        runtime,
        agent,
        status: failed,
        ..any()
    };
    assert_eq!(list(filter).await, [0]);
}

#[tokio::test]
async fn a_wish_to_stop_is_kept_and_termination_wins() {
    let mut fixture = Fixture::new().await;
    let (user, id) = (fixture.user, fixture.session().await.id);
    let interrupt = fixture
        .store
        .request_stop(user, id, StopRequest::Interrupt)
        .await;
    assert!(
        matches!(interrupt, Err(Error::IllegalTransition(_))),
        "nothing stands yet"
    );
    fixture.start(id, 1).await;
    for (request, kept) in [
        (StopRequest::Interrupt, StopRequest::Interrupt),
        (StopRequest::Terminate, StopRequest::Terminate),
        (StopRequest::Interrupt, StopRequest::Terminate),
    ] {
        let turn = fixture.store.request_stop(user, id, request).await.unwrap();
        assert_eq!(turn.stop_requested, Some(kept));
    }
    fixture.reopen().await;
    let unsettled = fixture.store.list_unsettled().await.unwrap();
    assert_eq!(
        unsettled[0].turn.stop_requested,
        Some(StopRequest::Terminate)
    );
    let session = fixture.end(id, 1, Outcome::Terminated).await;
    assert_eq!(
        (session.status, session.resumable),
        (Status::Terminated, false)
    );
    let late = fixture
        .store
        .request_stop(user, id, StopRequest::Terminate)
        .await;
    assert!(matches!(late, Err(Error::IllegalTransition(_))));
}

#[tokio::test]
async fn a_start_finds_what_waits_what_runs_and_what_may_lack_its_last_event() {
    let mut fixture = Fixture::new().await;
    let waits = fixture.session().await.id;
    let runs = fixture.session().await.id;
    fixture.start(runs, 1).await;
    let ended = fixture.session().await.id;
    fixture.end(ended, 1, Outcome::Failed).await;
    let early = fixture.store.terminal_logged(waits, 1, None).await;
    assert!(matches!(early, Err(Error::NotFound { .. })));

    fixture.reopen().await;
    let found: Vec<_> = fixture
        .store
        .list_unsettled()
        .await
        .unwrap()
        .into_iter()
        .map(|it| (it.turn.session, it.status, it.turn.terminal))
        .collect();
    assert_eq!(
        found,
        [
            (waits, Status::Pending, None),
            (runs, Status::Running, None),
            (
                ended,
                Status::Failed,
                Some(json!({"type": "exit", "code": 0}))
            ),
        ]
    );
    fixture.store.terminal_logged(ended, 1, None).await.unwrap();
    fixture.store.terminal_logged(ended, 1, None).await.unwrap();
    let left = fixture.store.list_unsettled().await.unwrap();
    assert_eq!(left.len(), 2);
    let refused = fixture.store.delete_session(fixture.user, runs).await;
    assert!(matches!(
        refused,
        Err(Error::SessionActive {
            status: Status::Running,
            ..
        })
    ));
}

#[tokio::test]
async fn only_the_current_turn_moves_its_session() {
    let fixture = Fixture::new().await;
    let id = fixture.session().await.id;
    fixture.start(id, 1).await;
    fixture.end(id, 1, Outcome::Completed).await;
    created(
        add_turn(&fixture.store, fixture.new_turn(id))
            .await
            .unwrap(),
    );
    let late = fixture
        .store
        .end_turn(turn_end(id, 1, Outcome::Failed))
        .await;
    assert!(matches!(
        late,
        Err(Error::NotCurrentTurn {
            turn: 1,
            current: 2,
            ..
        })
    ));
    let late = fixture
        .store
        .set_resume_token(id, 1, "old".to_owned())
        .await;
    assert!(matches!(late, Err(Error::NotCurrentTurn { .. })));
    fixture
        .store
        .set_resume_token(id, 2, "new".to_owned())
        .await
        .unwrap();
    let record = fixture.store.session_record(id).await.unwrap();
    assert_eq!(record.resume_token.as_deref(), Some("new"));
}
