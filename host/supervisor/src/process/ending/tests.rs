//! Every race of what can end a turn, with time that is made up.

use proptest::prelude::*;

use super::*;

const CLOCK: Clock = Clock {
    timeout_ms: 1000,
    idle_ms: 300,
    grace_ms: 50,
    after_result_grace_ms: 100,
    rest_ms: 0,
};

fn play(events: &[(u64, Event)]) -> (Vec<Action>, Reason) {
    let mut ending = Ending::new(CLOCK, true);
    let actions = events
        .iter()
        .map(|(now, event)| ending.apply(*now, *event))
        .filter(|action| *action != Action::None)
        .collect();
    (actions, ending.reason())
}

/// What happens, what is done about it, and why the turn then ends.
type Row<'t> = (&'t [(u64, Event)], &'t [Action], Reason);

#[test]
fn races() {
    use Action::{Kill, Signal};
    use Event::{Activity, Close, Gone, Interrupt, Limit, LogFailed, Terminate, Time};
    let table: &[Row<'_>] = &[
        (&[(1, Gone)], &[], Reason::Exit),
        (&[(1, Gone), (1, Interrupt)], &[], Reason::Exit),
        (&[(1, Interrupt), (2, Gone)], &[Signal], Reason::Interrupted),
        (
            &[(1, Interrupt), (50, Time), (51, Time), (60, Gone)],
            &[Signal, Kill],
            Reason::Interrupted,
        ),
        (
            &[(1, Interrupt), (2, Terminate), (3, Gone)],
            &[Signal, Kill],
            Reason::Terminated,
        ),
        (&[(1, Gone), (2, Terminate)], &[], Reason::Exit),
        (
            &[(1, Limit), (2, Interrupt), (3, Gone)],
            &[Signal],
            Reason::Limit,
        ),
        (
            &[(1, Interrupt), (2, Limit), (3, Gone)],
            &[Signal],
            Reason::Interrupted,
        ),
        (
            &[(1, Limit), (51, Time), (60, Gone)],
            &[Signal, Kill],
            Reason::Limit,
        ),
        (
            &[(300, Time), (301, Interrupt), (302, Gone)],
            &[Signal],
            Reason::Idle,
        ),
        (&[(299, Activity), (400, Time)], &[], Reason::Exit),
        (&[(999, Activity), (1000, Time)], &[Signal], Reason::Timeout),
        (
            &[(10, Close), (90, Close), (110, Time)],
            &[Signal],
            Reason::AfterResult,
        ),
        (
            &[(1, LogFailed), (2, Interrupt), (3, Gone)],
            &[Kill],
            Reason::LogError,
        ),
        (
            &[(1, LogFailed), (2, Terminate)],
            &[Kill],
            Reason::Terminated,
        ),
    ];
    for (events, actions, reason) in table {
        assert_eq!(play(events), (actions.to_vec(), *reason), "{events:?}");
    }
}

#[test]
fn without_a_signal_it_is_killed_at_once() {
    let mut ending = Ending::new(CLOCK, false);
    assert_eq!(ending.apply(1, Event::Interrupt), Action::Kill);
    assert_eq!(ending.reason(), Reason::Interrupted);
}

#[test]
fn a_turns_time_does_not_count_while_somebody_is_asked() {
    let mut ending = Ending::new(CLOCK, true);
    assert_eq!(ending.apply(100, Event::Hold), Action::None);
    assert_eq!(ending.deadline(), None);
    // Still held.
    assert_eq!(ending.apply(200, Event::Hold), Action::None);
    assert_eq!(ending.apply(50_000, Event::Time), Action::None);
    assert_eq!(ending.apply(50_000, Event::Release), Action::None);
    // Silence counts from now on, and of the turn's time 100 are over.
    assert_eq!(ending.deadline(), Some(50_300));
    assert_eq!(ending.apply(50_250, Event::Activity), Action::None);
    assert_eq!(ending.apply(50_500, Event::Activity), Action::None);
    assert_eq!(ending.apply(50_750, Event::Activity), Action::None);
    assert_eq!(ending.apply(50_899, Event::Time), Action::None);
    assert_eq!(ending.apply(50_900, Event::Time), Action::Signal);
    assert_eq!(ending.reason(), Reason::Timeout);
    // It may be stopped all the same.
    let mut ending = Ending::new(CLOCK, true);
    assert_eq!(ending.apply(1, Event::Hold), Action::None);
    assert_eq!(ending.apply(2, Event::Interrupt), Action::Signal);
    assert_eq!(ending.apply(52, Event::Time), Action::Kill);
}

/// Of a process that may rest.
const LIVE: Clock = Clock {
    rest_ms: 200,
    ..CLOCK
};

#[test]
fn a_process_may_rest_and_take_another_turn() {
    let mut ending = Ending::new(LIVE, true);
    assert_eq!(ending.apply(10, Event::EndTurn), Action::None);
    assert!(ending.is_resting());
    // There is no turn to stop.
    assert_eq!(ending.apply(20, Event::Interrupt), Action::None);
    assert!(ending.is_resting());
    assert_eq!(ending.reason(), Reason::Exit);
    // Its time counts from the turn's beginning.
    let next = Event::Turn { timeout_ms: 250 };
    assert_eq!(ending.apply(100, next), Action::None);
    assert!(!ending.is_resting());
    assert_eq!(ending.deadline(), Some(350));
    // One that is interrupted and ends leaves its process at rest.
    assert_eq!(ending.apply(150, Event::Interrupt), Action::Signal);
    assert_eq!(ending.reason(), Reason::Interrupted);
    assert_eq!(ending.apply(160, Event::EndTurn), Action::None);
    assert_eq!(ending.deadline(), Some(360));
    // Nobody wants it: it is closed, asked, and killed.
    assert_eq!(ending.apply(360, Event::Time), Action::CloseStdin);
    assert_eq!(ending.apply(361, next), Action::None);
    assert_eq!(ending.apply(460, Event::Time), Action::Signal);
    assert_eq!(ending.apply(510, Event::Time), Action::Kill);
}

#[test]
fn a_turn_whose_time_is_over_ends_with_its_process() {
    let mut ending = Ending::new(LIVE, true);
    assert_eq!(ending.apply(300, Event::Time), Action::Signal);
    assert!(!ending.may_rest());
    assert_eq!(ending.apply(301, Event::EndTurn), Action::None);
    assert!(!ending.is_resting());
    assert_eq!(ending.reason(), Reason::Idle);
}

proptest! {
    /// Whatever happens to a process that may rest: it is killed once at most, does nothing after
    /// its end, and comes to one if it is left alone.
    #[test]
    fn a_process_that_may_rest_comes_to_an_end(
        steps in proptest::collection::vec(
            (0_u64..200, proptest::sample::select(&LIVE_EVENTS)),
            1..40,
        ),
    ) {
        let mut ending = Ending::new(LIVE, true);
        let (mut now, mut kills) = (0, 0);
        let mut step = |ending: &mut Ending, now: u64, event| {
            let was_gone = ending.is_gone();
            let action = ending.apply(now, event);
            kills += u32::from(action == Action::Kill);
            assert!(kills <= 1 && !(was_gone && action != Action::None));
            kills
        };
        for (pause, event) in steps {
            now += pause;
            step(&mut ending, now, event);
        }
        // Nobody is asked for ever.
        step(&mut ending, now, Event::Release);
        let mut killed = 0;
        while let Some(deadline) = ending.deadline() {
            now = now.max(deadline);
            killed = step(&mut ending, now, Event::Time);
        }
        killed = killed.max(step(&mut ending, now, Event::Time));
        prop_assert!(ending.is_gone() || killed == 1);
    }
}

const LIVE_EVENTS: [Event; 12] = [
    Event::Hold,
    Event::Release,
    Event::Time,
    Event::Activity,
    Event::Close,
    Event::EndTurn,
    Event::Turn { timeout_ms: 400 },
    Event::Interrupt,
    Event::Terminate,
    Event::LogFailed,
    Event::OverLimit,
    Event::Gone,
];

const EVENTS: [Event; 8] = [
    Event::Time,
    Event::Activity,
    Event::Close,
    Event::Interrupt,
    Event::Terminate,
    Event::LogFailed,
    Event::OverLimit,
    Event::Gone,
];

/// A turn's end under observation: each step is held to the laws that all of them obey.
#[derive(Clone)]
struct Watched {
    ending: Ending,
    now: u64,
    signals: u32,
    kills: u32,
}

impl Watched {
    fn new(asks: bool) -> Self {
        Self {
            ending: Ending::new(CLOCK, asks),
            now: 0,
            signals: 0,
            kills: 0,
        }
    }

    fn step(&mut self, pause: u64, event: Event) {
        self.now += pause;
        let (was_gone, before) = (self.ending.is_gone(), self.ending.reason());
        let action = self.ending.apply(self.now, event);
        let after = self.ending.reason();
        self.signals += u32::from(action == Action::Signal);
        self.kills += u32::from(action == Action::Kill);
        // One signal at most, before one kill at most; nothing after the end.
        assert!(self.signals <= 1 && self.kills <= 1);
        assert!(!(action == Action::Signal && self.kills > 0));
        assert!(!was_gone || (action == Action::None && after == before));
        // A reason once set gives way to a stronger one alone, and termination to none.
        let is_stronger = matches!(
            after,
            Reason::Terminated | Reason::LogError | Reason::OverLimit
        );
        assert!(before == after || before == Reason::Exit || is_stronger);
        assert!(before != Reason::Terminated || after == Reason::Terminated);
        // It is not said to be stopped unless something was done about it.
        assert!(after == Reason::Exit || self.signals + self.kills > 0);
        // What users ask for is done as soon as they have asked.
        if !was_gone {
            assert!(event != Event::Terminate || (self.kills == 1 && after == Reason::Terminated));
            assert!(event != Event::Interrupt || self.signals + self.kills > 0);
        }
    }

    /// Left alone, every turn with a limit is killed or gone, and in time.
    fn settle(mut self) {
        let latest = CLOCK.timeout_ms.max(self.now) + CLOCK.grace_ms;
        while let Some(deadline) = self.ending.deadline() {
            self.step(deadline.saturating_sub(self.now), Event::Time);
        }
        assert!(self.ending.is_gone() || self.kills == 1);
        assert!(self.now <= latest, "{} is after {latest}", self.now);
    }
}

/// Everything that can happen, in every order, at once, within the grace and after all limits.
fn every_order(watched: &Watched, steps: usize) -> u64 {
    watched.clone().settle();
    if steps == 0 {
        return 1;
    }
    let pauses = [0, CLOCK.grace_ms - 1, CLOCK.idle_ms + 1];
    let mut orders = 0;
    for (pause, event) in pauses
        .iter()
        .flat_map(|pause| EVENTS.map(|event| (*pause, event)))
    {
        let mut next = watched.clone();
        next.step(pause, event);
        // What comes after the end is looked at once.
        let left = match watched.ending.is_gone() {
            true => 0,
            false => steps - 1,
        };
        orders += every_order(&next, left);
    }
    orders
}

#[test]
fn every_race_of_four_causes_has_one_end() {
    for asks in [true, false] {
        let orders = every_order(&Watched::new(asks), 4);
        assert!(orders > 200_000, "only {orders} were looked at");
    }
}

proptest! {
    #[test]
    fn whatever_happens(
        steps in proptest::collection::vec((0_u64..200, proptest::sample::select(&EVENTS)), 1..30),
    ) {
        let mut watched = Watched::new(true);
        for (pause, event) in steps {
            watched.step(pause, event);
        }
        watched.settle();
    }
}
