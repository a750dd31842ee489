//! Checkpoints, sessions that are taken back, and sessions whose files are removed.

use std::collections::BTreeMap;

use aod_resources::{CheckpointState, ForkedFrom, Outcome, Timestamp, WebhookEvent};
use aod_store::{CheckpointWork, Error, ForkOrigin, Made, NewWebhook};
use proptest::prelude::*;
use uuid::Uuid;

use crate::support::*;

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_micros(Timestamp::now().as_micros() + seconds * 1_000_000)
}

impl Fixture {
    /// Ends a turn, wants its checkpoint, and names the conversation after the turn.
    async fn end_wanting(&self, session: Uuid, turn: u32) {
        let mut end = turn_end(session, turn, Outcome::Completed);
        end.checkpoint = true;
        end.resume_token = Some(format!("conversation-{turn}"));
        self.store.end_turn(end).await.unwrap();
    }

    async fn turn(&self, session: Uuid, turn: u32) {
        if turn > 1 {
            created(add_turn(&self.store, self.new_turn(session)).await.unwrap());
        }
        self.start(session, turn).await;
        self.end_wanting(session, turn).await;
    }

    async fn make(&self, session: Uuid, turn: u32, bytes: (u64, u64)) -> Vec<u32> {
        let made = Made {
            session,
            turn,
            bytes: bytes.0,
            new_bytes: bytes.1,
            keep: 3,
            max_bytes: 1000,
        };
        self.store.checkpoint_made(made).await.unwrap().kept
    }

    async fn restore(&self, session: Uuid, turn: u32) -> Result<(), Error> {
        let at = Timestamp::now();
        let restored =
            self.store
                .restore_session(self.user, session, turn, "folder".to_owned(), at);
        let restored = restored.await?;
        assert_eq!(restored.restored_to, Some(turn));
        let work = self.store.checkpoint_work(session).await.unwrap();
        assert_eq!(work, Some(CheckpointWork::Replace("folder".to_owned())));
        self.store
            .files_replaced(session, "folder".to_owned())
            .await
    }

    async fn token(&self, session: Uuid) -> Option<String> {
        self.store
            .session_record(session)
            .await
            .unwrap()
            .resume_token
    }
}

#[tokio::test]
async fn a_turns_end_wants_its_checkpoint_until_that_is_made_or_not() {
    let mut fixture = Fixture::new().await;
    let id = fixture.session().await.id;
    assert_eq!(fixture.store.checkpoint_work(id).await.unwrap(), None);
    fixture.turn(id, 1).await;
    // Who opens the store again finds what is to be done.
    fixture.reopen().await;
    let store = &fixture.store;
    assert_eq!(store.sessions_with_checkpoint_work().await.unwrap(), [id]);
    let make = |turn, earlier| {
        let bytes = None;
        Some(CheckpointWork::Make {
            turn,
            earlier,
            bytes,
            is_changed: false,
            is_last: true,
        })
    };
    assert_eq!(store.checkpoint_work(id).await.unwrap(), make(1, None));
    let early = store.usable_checkpoint(id, 1).await;
    assert!(matches!(
        early,
        Err(Error::NoCheckpoint {
            turn: 1,
            reason: None,
            ..
        })
    ));
    fixture.make(id, 1, (10, 10)).await;
    assert_eq!(store.checkpoint_work(id).await.unwrap(), None);
    let usable = store.usable_checkpoint(id, 1).await.unwrap();
    assert_eq!(usable.resume_token.as_deref(), Some("conversation-1"));
    fixture.turn(id, 2).await;
    assert_eq!(store.checkpoint_work(id).await.unwrap(), make(2, Some(1)));
    store
        .checkpoint_failed(id, 2, "no room".to_owned())
        .await
        .unwrap();
    assert_eq!(store.checkpoint_work(id).await.unwrap(), None);
    let again = store.checkpoint_failed(id, 2, "x".to_owned()).await;
    assert!(
        matches!(again, Err(Error::NotFound { .. })),
        "it is settled"
    );
    let failed = store.usable_checkpoint(id, 2).await;
    let Err(Error::NoCheckpoint { reason, there, .. }) = failed else {
        panic!("{failed:?}");
    };
    assert_eq!((reason.as_deref(), there), (Some("no room"), vec![1]));
    let listed = store.checkpoints(fixture.user, id).await.unwrap();
    let states: Vec<_> = listed.iter().map(|it| (it.turn, it.state)).collect();
    assert_eq!(
        states,
        [(1, CheckpointState::Ready), (2, CheckpointState::Failed)]
    );
    assert_eq!(store.checkpoint_counts().await.unwrap(), (1, 1));
    let foreign = store.checkpoints(Uuid::new_v4(), id).await;
    assert!(matches!(foreign, Err(Error::NotFound { .. })));
    // What is to go on for ever is of use to nobody.
    store.delete_session(fixture.user, id).await.unwrap();
    assert_eq!(store.checkpoint_counts().await.unwrap(), (0, 0));
}

#[tokio::test]
async fn a_copy_is_provisioned_and_goes_on_with_the_conversation() {
    let fixture = Fixture::new().await;
    let from = fixture.session().await.id;
    let mut new = fixture.new_session();
    new.fork = Some(ForkOrigin {
        from: ForkedFrom {
            session_id: from,
            turn: 7,
        },
        resume_token: Some("conversation-7".to_owned()),
    });
    let copy = created(fixture.store.create_session(new).await.unwrap());
    assert_eq!(copy.forked_from.map(|it| it.turn), Some(7));
    let record = fixture.store.session_record(copy.id).await.unwrap();
    assert!(record.provisioned);
    assert_eq!(record.resume_token.as_deref(), Some("conversation-7"));
}

#[tokio::test]
async fn a_session_is_taken_back_only_between_turns() {
    let fixture = Fixture::new().await;
    let id = fixture.session().await.id;
    fixture.turn(id, 1).await;
    fixture.make(id, 1, (1, 1)).await;
    created(
        add_turn(&fixture.store, fixture.new_turn(id))
            .await
            .unwrap(),
    );
    let active = fixture.restore(id, 1).await;
    assert!(
        matches!(active, Err(Error::SessionActive { .. })),
        "{active:?}"
    );
    fixture.start(id, 2).await;
    fixture.end_wanting(id, 2).await;
    let missing = fixture.restore(id, 2).await;
    assert!(
        matches!(missing, Err(Error::NoCheckpoint { .. })),
        "{missing:?}"
    );
    fixture.restore(id, 1).await.unwrap();
    assert_eq!(fixture.token(id).await.as_deref(), Some("conversation-1"));
    // What is still said of the turn that is undone is not of the session any more.
    let late = fixture.store.set_resume_token(id, 2, "late".to_owned());
    late.await.unwrap();
    assert_eq!(fixture.token(id).await.as_deref(), Some("conversation-1"));
    // A checkpoint that was not made by then never is: the files are others.
    let all = fixture.store.checkpoints(fixture.user, id).await.unwrap();
    assert_eq!(all[1].state, CheckpointState::Failed);
    assert_eq!(fixture.store.checkpoint_work(id).await.unwrap(), None);
}

#[tokio::test]
async fn files_of_old_sessions_go_once_that_was_announced() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let hook = NewWebhook {
        id: Uuid::new_v4(),
        owner: fixture.user,
        session: None,
        url: "https://example.com/".to_owned(),
        events: vec![WebhookEvent::SessionExpiring],
        description: None,
        enabled: true,
        secret: b"sealed".to_vec(),
        limit: 5,
        at: Timestamp::now(),
    };
    store.create_webhook(hook).await.unwrap();
    let (old, busy, used) = (
        fixture.session().await.id,
        fixture.session().await.id,
        fixture.session().await.id,
    );
    for id in [old, used] {
        fixture.turn(id, 1).await;
        fixture.make(id, 1, (5, 5)).await;
    }
    let announce = |expires| store.announce_expiry(later(1), expires, Timestamp::now());
    assert_eq!(announce(later(10)).await.unwrap(), 2);
    assert_eq!(announce(later(20)).await.unwrap(), 0, "once");
    let (due, _) = store.due_deliveries(later(1), 10).await.unwrap();
    assert_eq!(due.len(), 2);
    assert!(
        due[0].payload.contains("session.expiring"),
        "{}",
        due[0].payload
    );
    assert!(
        store
            .session(fixture.user, old)
            .await
            .unwrap()
            .expires_at
            .is_some()
    );
    created(add_turn(store, fixture.new_turn(used)).await.unwrap());
    store.expire_sessions(later(5)).await.unwrap();
    assert!(
        store.sessions_to_empty().await.unwrap().is_empty(),
        "not yet"
    );
    store.expire_sessions(later(11)).await.unwrap();
    assert_eq!(store.sessions_to_empty().await.unwrap(), [old]);
    store.session_emptied(old).await.unwrap();
    assert!(store.sessions_to_empty().await.unwrap().is_empty());
    for id in [busy, used] {
        let session = store.session(fixture.user, id).await.unwrap();
        assert_eq!((session.expires_at, session.files_removed_at), (None, None));
    }
    let expired = store.session(fixture.user, old).await.unwrap();
    assert!(expired.files_removed_at.is_some() && !expired.resumable);
    let prompted = add_turn(store, fixture.new_turn(old)).await.map(drop);
    assert!(
        matches!(prompted, Err(Error::FilesRemoved { .. })),
        "{prompted:?}"
    );
    let restored = fixture.restore(old, 1).await;
    assert!(
        matches!(restored, Err(Error::FilesRemoved { .. })),
        "{restored:?}"
    );
    assert_eq!(store.total_sizes().await.unwrap().checkpoints, 5);
}

/// What is done with a session between two turns.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A turn ends, and its checkpoint is made: all of it, and what is new of it.
    Turn { bytes: u64, new: u64 },
    /// A turn ends, and its checkpoint is not made.
    Failed,
    /// It is taken back to a turn.
    Restore(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..600, 0u64..600).prop_map(|(a, b)| Step::Turn { bytes: a.max(b), new: a.min(b) }),
        1 => Just(Step::Failed),
        3 => any::<prop::sample::Index>().prop_map(Step::Restore),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// In whatever order turns end and sessions are taken back: what is kept is the newest within
    /// its bounds, what is undone is what the session's present state does not come from, and the
    /// conversation is that of the turn that it came from.
    #[test]
    fn what_is_kept_and_undone_is_as_it_should_be(steps in prop::collection::vec(step(), 1..24)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::new().await;
            let id = fixture.session().await.id;
            // Each turn's whole history, and the checkpoints: turn, bytes, new bytes.
            let mut histories: BTreeMap<u32, Vec<u32>> = BTreeMap::from([(0, vec![])]);
            let mut kept: Vec<(u32, u64, u64)> = Vec::new();
            let (mut head, mut count) = (0, 0);
            for step in steps {
                if let Step::Restore(index) = step {
                    if count == 0 {
                        continue;
                    }
                    let turn = 1 + u32::try_from(index.index(count as usize)).unwrap();
                    let restored = fixture.restore(id, turn).await;
                    let is_there = kept.iter().any(|(kept, ..)| *kept == turn);
                    prop_assert_eq!(restored.is_ok(), is_there, "{:?}", restored);
                    if is_there {
                        head = turn;
                    }
                } else {
                    count += 1;
                    fixture.turn(id, count).await;
                    let mut history = histories[&head].clone();
                    history.push(count);
                    histories.insert(count, history);
                    head = count;
                    if let Step::Turn { bytes, new } = step {
                        let is_first = kept.is_empty();
                        let new = if is_first { bytes } else { new };
                        kept.push((count, bytes, new));
                        let taken = |kept: &[(u32, u64, u64)]| -> u64 {
                            kept.iter().enumerate().map(|(at, it)| if at == 0 { it.1 } else { it.2 }).sum()
                        };
                        while kept.len() > 3 || taken(&kept) > 1000 {
                            kept.remove(0);
                        }
                        let turns: Vec<u32> = kept.iter().map(|(turn, ..)| *turn).collect();
                        prop_assert_eq!(fixture.make(id, count, (bytes, new)).await, turns);
                        let sum = fixture.store.total_sizes().await.unwrap().checkpoints;
                        prop_assert_eq!(sum, taken(&kept));
                    } else {
                        let failed = fixture.store.checkpoint_failed(id, count, "x".to_owned());
                        failed.await.unwrap();
                    }
                }
                for turn in fixture.store.turns(fixture.user, id).await.unwrap() {
                    let is_done = histories[&head].contains(&turn.turn_number);
                    prop_assert_eq!(turn.undone, !is_done, "{} at {}", turn.turn_number, head);
                }
                let token = (head > 0).then(|| format!("conversation-{head}"));
                prop_assert_eq!(fixture.token(id).await, token);
            }
            Ok(())
        })?;
    }
}
