//! Races: in one process, and between two that share a file.

use std::collections::BTreeSet;

use aod_resources::{Outcome, Timestamp};
use aod_store::{Error, SecretsUpdate, Store};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{Fixture, created, turn_end, user};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_race_for_a_transition_one_wins() {
    let fixture = Fixture::new().await;
    let id = fixture.session().await.id;
    fixture.start(id, 1).await;
    let mut racers = JoinSet::new();
    for number in 0..16 {
        let store = fixture.store.clone();
        racers.spawn(async move {
            let outcome = match number % 4 {
                0 => Outcome::Completed,
                1 => Outcome::Failed,
                2 => Outcome::Interrupted,
                _ => Outcome::Terminated,
            };
            let end = turn_end(id, 1, outcome);
            store.end_turn(end).await.map(|_| outcome)
        });
    }
    let results = racers.join_all().await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 15));
    for error in lost {
        assert!(
            matches!(error, Err(Error::IllegalTransition(_))),
            "{error:?}"
        );
    }
    let turn = fixture.store.turn_record(id, 1).await.unwrap().turn;
    assert_eq!(turn.outcome, won.into_iter().next().and_then(Result::ok));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_limit_holds_when_many_ask_at_once() {
    let fixture = Fixture::new().await;
    let mut racers = JoinSet::new();
    for _ in 0..24 {
        let mut new = fixture.new_session();
        new.active_limit = Some(5);
        let store = fixture.store.clone();
        racers.spawn(async move { store.create_session(new).await });
    }
    let results = racers.join_all().await;
    assert_eq!(results.iter().filter(|it| it.is_ok()).count(), 5);
    let counts = fixture.store.session_counts(None).await.unwrap();
    assert_eq!(counts.pending, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_updates_of_one_version_one_wins_also_across_processes() {
    let fixture = Fixture::new().await;
    // A second store on the same file is what another process is to SQLite.
    let second = Store::open(fixture.path()).unwrap();
    let mut racers = JoinSet::new();
    for number in 0..16 {
        let store = if number % 2 == 0 {
            &fixture.store
        } else {
            &second
        }
        .clone();
        let (user, mut agent) = (fixture.user, fixture.agent.clone());
        agent.name = format!("name {number}");
        racers.spawn(async move {
            store
                .update_agent(user, 1, agent, SecretsUpdate::Keep, Timestamp::now())
                .await
        });
    }
    let results = racers.join_all().await;
    assert_eq!(results.iter().filter(|it| it.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert!(
            matches!(
                error,
                Error::VersionMismatch {
                    expected: 2,
                    got: 1
                }
            ),
            "{error:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_failure_in_a_group_takes_nothing_from_the_others() {
    let fixture = Fixture::new().await;
    let taken = fixture.session().await.id;
    let mut racers = JoinSet::new();
    let mut expected = BTreeSet::from([taken]);
    for number in 0..200 {
        let mut new = fixture.new_session();
        if number % 3 == 0 {
            new.id = taken;
        } else {
            expected.insert(new.id);
        }
        let store = fixture.store.clone();
        racers.spawn(async move { store.create_session(new).await.map(created) });
    }
    let results = racers.join_all().await;
    assert_eq!(results.iter().filter(|it| it.is_err()).count(), 67);
    let ids: BTreeSet<Uuid> = fixture
        .store
        .session_ids()
        .await
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn what_was_asked_before_the_close_is_done_and_what_comes_after_is_refused() {
    let mut fixture = Fixture::new().await;
    let asked = tokio::spawn({
        let (store, new) = (fixture.store.clone(), fixture.new_session());
        async move { store.create_session(new).await }
    });
    let id = created(asked.await.unwrap().unwrap()).id;
    let handle = fixture.store.clone();
    fixture.reopen().await;
    assert!(matches!(handle.ping().await, Err(Error::Closed)));
    assert!(matches!(
        handle.session_record(id).await,
        Err(Error::Closed)
    ));
    assert_eq!(fixture.store.session_ids().await.unwrap(), [id]);
    fixture.store.ping().await.unwrap();
    user(&fixture.store, "bob").await;
}
