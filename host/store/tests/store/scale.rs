//! Ten thousand sessions cost a request less than twice what ten do.

use std::time::{Duration, Instant};

use aod_resources::{Outcome, Status};
use aod_store::{Page, SessionFilter};
use tokio::task::JoinSet;

use crate::support::Fixture;

/// The least of many tries: what the work takes when nothing else disturbs it.
const TRIES: usize = 150;

async fn fastest(tries: usize, mut work: impl AsyncFnMut()) -> Duration {
    let mut least = Duration::MAX;
    for _ in 0..tries {
        let begun = Instant::now();
        work().await;
        least = least.min(begun.elapsed());
    }
    least
}

async fn filled(sessions: usize) -> Fixture {
    let fixture = Fixture::new().await;
    let mut adding = JoinSet::new();
    for _ in 0..sessions {
        let (store, new) = (fixture.store.clone(), fixture.new_session());
        adding.spawn(async move {
            let id = new.id;
            store.create_session(new).await.unwrap();
            let mut end = crate::support::turn_end(id, 1, Outcome::Failed);
            end.exit_code = None;
            store.end_turn(end).await.unwrap();
            store.terminal_logged(id, 1).await.unwrap();
        });
    }
    adding.join_all().await;
    fixture
}

/// The least times of: a page of the list, a filtered page, one session, a start's look for
/// unsettled turns, a creation under a limit.
async fn measure(fixture: &Fixture) -> [(&'static str, Duration); 5] {
    let (store, user) = (&fixture.store, fixture.user);
    let page = Page {
        limit: Some(10),
        after: None,
    };
    let list = SessionFilter {
        page,
        ..SessionFilter::default()
    };
    let filtered = SessionFilter {
        status: Some(Status::Completed),
        ..list.clone()
    };
    let id = store.list_sessions(user, list.clone()).await.unwrap()[9].id;
    let list = fastest(TRIES, async || {
        let sessions = store.list_sessions(user, list.clone()).await.unwrap();
        assert_eq!(sessions.len(), 10);
    });
    let list = list.await;
    let filtered = fastest(TRIES, async || {
        let sessions = store.list_sessions(user, filtered.clone()).await.unwrap();
        assert!(sessions.is_empty());
    });
    let filtered = filtered.await;
    let get = fastest(TRIES, async || {
        store.session(user, id).await.unwrap();
    });
    let get = get.await;
    let unsettled = fastest(TRIES, async || {
        assert!(store.list_unsettled().await.unwrap().is_empty());
    });
    let unsettled = unsettled.await;
    let create = fastest(TRIES, async || {
        let mut new = fixture.new_session();
        new.active_limit = Some(1000);
        store.create_session(new).await.unwrap();
    });
    let create = create.await;
    [
        ("list", list),
        ("filtered list", filtered),
        ("get", get),
        ("unsettled", unsettled),
        ("create", create),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sessions_are_as_quick_as_ten() {
    let few = measure(&filled(10).await).await;
    let many = measure(&filled(10_000).await).await;
    for ((what, few), (_, many)) in few.into_iter().zip(many) {
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        println!("{what}: {few:?} with 10, {many:?} with 10,000: {ratio:.2} times");
        assert!(ratio < 2.0, "{what} takes {ratio:.2} times as long");
    }
}
