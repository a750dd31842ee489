//! What ten thousand sessions cost a request, against ten: `cargo bench --workspace --bench scale`.

#![allow(clippy::unwrap_used, reason = "what fails here is told by its panic")]

#[path = "../tests/store/support.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod support;

use std::time::{Duration, Instant};

use aod_resources::{Outcome, Status};
use aod_store::{Page, SessionFilter};
use tokio::task::JoinSet;

use uuid::Uuid;

use support::{Fixture, turn_end};

/// Tries of each operation; the least time of them is what the work takes undisturbed.
const TRIES: usize = 200;

async fn filled(sessions: usize) -> Fixture {
    let fixture = Fixture::new().await;
    let mut adding = JoinSet::new();
    for _ in 0..sessions {
        let (store, new) = (fixture.store.clone(), fixture.new_session());
        adding.spawn(async move {
            let id = new.id;
            store.create_session(new).await.unwrap();
            let end = turn_end(id, 1, Outcome::Failed);
            store.end_turn(end).await.unwrap();
            store.terminal_logged(id, 1, None).await.unwrap();
        });
    }
    adding.join_all().await;
    fixture
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    List,
    FilteredList,
    Get,
    Unsettled,
    Create,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::FilteredList => "list by status",
            Self::Get => "get",
            Self::Unsettled => "look for what is unfinished",
            Self::Create => "create",
        }
    }

    async fn time(self, fixture: &Fixture) -> Duration {
        let (store, user) = (&fixture.store, fixture.user);
        let filter = SessionFilter {
            status: matches!(self, Self::FilteredList).then_some(Status::Completed),
            page: Page {
                limit: Some(10),
                after: None,
            },
            ..SessionFilter::default()
        };
        let mut new = fixture.new_session();
        new.active_limit = Some(1000);
        let newest = store.list_sessions(user, filter.clone()).await.unwrap();
        let id = newest.first().map_or(Uuid::nil(), |session| session.id);
        let begun = Instant::now();
        match self {
            Self::List => assert_eq!(store.list_sessions(user, filter).await.unwrap().len(), 10),
            Self::FilteredList => {
                assert!(store.list_sessions(user, filter).await.unwrap().is_empty());
            }
            Self::Get => assert_eq!(store.session(user, id).await.unwrap().id, id),
            Self::Unsettled => assert!(store.list_unsettled().await.unwrap().is_empty()),
            Self::Create => drop(store.create_session(new).await.unwrap()),
        }
        begun.elapsed()
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let (small, large) = (filled(10).await, filled(10_000).await);
    // Creation last: it adds pending sessions, which the look for unsettled turns would find.
    for operation in [
        Operation::List,
        Operation::FilteredList,
        Operation::Get,
        Operation::Unsettled,
        Operation::Create,
    ] {
        let (mut few, mut many) = (Duration::MAX, Duration::MAX);
        // Taken in turns, so that what else the machine does falls on both alike.
        for _ in 0..TRIES {
            few = few.min(operation.time(&small).await);
            many = many.min(operation.time(&large).await);
        }
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        println!(
            "| the store with 10,000 sessions: {} | {many:.0?} | with 10, {few:.0?} | {ratio:.2}× | < 2× |",
            operation.name()
        );
    }
}
