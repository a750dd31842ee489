//! Any order of events against the state machine.

use aod_resources::{Outcome, SessionEvent, SessionState, Timestamp};
use aod_store::Error;
use proptest::prelude::*;

use crate::support::{Fixture, add_turn, created, turn_end};

#[derive(Clone, Copy, Debug)]
enum Step {
    Event(SessionEvent),
    Provisioned,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    use SessionEvent::{Break, End, Prompt, Start};
    prop_oneof![
        4 => Just(Step::Event(Prompt)),
        4 => Just(Step::Event(Start)),
        2 => Just(Step::Event(End(Outcome::Completed))),
        2 => Just(Step::Event(End(Outcome::Failed))),
        2 => Just(Step::Event(End(Outcome::Interrupted))),
        1 => Just(Step::Event(End(Outcome::Terminated))),
        1 => Just(Step::Event(Break)),
        1 => Just(Step::Provisioned),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is asked in whatever order, the store moves exactly where the state machine says
    /// and nowhere else, and turns agree with their session.
    #[test]
    fn transitions_are_those_of_the_state_machine(
        steps in prop::collection::vec(step(), 1..40),
        is_asked in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut fixture = Fixture::new().await;
            let mut new = fixture.new_session();
            if !is_asked {
                new.first = None;
            }
            let id = created(fixture.store.create_session(new).await.unwrap()).id;
            let first = u32::from(is_asked);
            let (mut state, mut turn, mut ended) = (SessionState::NEW, first, 0);
            let mut hidden = 0;
            for step in steps {
                let Step::Event(event) = step else {
                    match step {
                        Step::Reopen => fixture.reopen().await,
                        _ => {
                            fixture.store.set_provisioned(id, Timestamp::now()).await.unwrap();
                            state.provisioned = true;
                        }
                    }
                    continue;
                };
                // Nobody sees turn 0.
                let event = match (turn, event) {
                    (0, SessionEvent::End(Outcome::Completed)) => SessionEvent::Provisioned,
                    (_, event) => event,
                };
                let is_seen = turn > 0;
                let (store, now) = (&fixture.store, Timestamp::now());
                let result = match event {
                    SessionEvent::Prompt => add_turn(store, fixture.new_turn(id)).await.map(drop),
                    SessionEvent::Start => {
                        store.start_turn(id, turn, "d".to_owned(), now).await.map(drop)
                    }
                    SessionEvent::End(outcome) => {
                        store.end_turn(turn_end(id, turn, outcome)).await.map(drop)
                    }
                    SessionEvent::Provisioned => {
                        store.end_turn(turn_end(id, 0, Outcome::Completed)).await.map(drop)
                    }
                    SessionEvent::Break => {
                        let mut end = turn_end(id, turn, Outcome::Failed);
                        end.is_broken = true;
                        store.end_turn(end).await.map(drop)
                    }
                };
                match state.apply(event) {
                    Ok(next) => {
                        result.unwrap();
                        state = next;
                        turn += u32::from(event == SessionEvent::Prompt);
                        if matches!(
                            event,
                            SessionEvent::End(_) | SessionEvent::Break | SessionEvent::Provisioned
                        ) {
                            ended += 1;
                            hidden += u64::from(!is_seen);
                        }
                    }
                    Err(illegal) => {
                        let same = matches!(
                            &result, Err(Error::IllegalTransition(error)) if *error == illegal
                        );
                        assert!(same, "{result:?} instead of {illegal:?}");
                    }
                }
                let record = fixture.store.session_record(id).await.unwrap();
                assert_eq!(record.state(), state);
                assert_eq!(record.session.turn_count, turn);
                assert_eq!(record.session.usage.input_tokens, 10 * ended);
                let turns = fixture.store.turns(fixture.user, id).await.unwrap();
                let active = turns.iter().filter(|it| it.status.is_active()).count();
                assert_eq!(active, usize::from(state.status.is_active() && turn > 0));
                let told = turns.iter().filter(|it| it.outcome.is_some()).count() as u64;
                assert_eq!(told + hidden, ended);
                assert_eq!(record.session.current_turn, (turn > 0).then_some(turn));
            }
        });
    }
}
