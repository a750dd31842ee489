//! What decides a turn's end: every cause, one transition function.
//!
//! The first cause that asks the CLI to stop is the reason, until it is terminated, which beats
//! them all; once the CLI is gone nothing changes any more. Time comes in from outside, in
//! milliseconds since the turn began.

use aod_supervisor::{Clock, Reason};

/// What happens to a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Time,
    /// The CLI wrote or was written to.
    Activity,
    /// Its result was seen.
    ResultSeen,
    /// It shall stop.
    Interrupt,
    /// It shall be killed.
    Terminate,
    /// It uses more than it may.
    OverLimit,
    /// Its output can no longer be recorded.
    LogFailed,
    /// The launched process has ended.
    Gone,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Send the signal to stop.
    Signal,
    /// Kill the tree.
    Kill,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running { exit_by: Option<u64> },
    Stopping { reason: Reason, kill_at: u64 },
    Killing { reason: Reason },
    Gone { reason: Reason },
}

/// The state of a turn's end.
#[derive(Clone, Debug)]
pub struct Ending {
    clock: Clock,
    /// Whether there is a signal to stop at all.
    asks: bool,
    active_at: u64,
    state: State,
}

impl Ending {
    /// A turn that begins at 0.
    pub const fn new(clock: Clock, asks: bool) -> Self {
        Self {
            clock,
            asks,
            active_at: 0,
            state: State::Running { exit_by: None },
        }
    }

    /// Whether the launched process has ended.
    pub const fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone { .. })
    }

    /// Why the turn ends, as far as it is known.
    pub const fn reason(&self) -> Reason {
        match self.state {
            State::Running { .. } => Reason::Exit,
            State::Stopping { reason, .. } | State::Killing { reason } | State::Gone { reason } => {
                reason
            }
        }
    }

    /// When [`Event::Time`] is wanted next.
    pub fn deadline(&self) -> Option<u64> {
        match self.state {
            State::Running { exit_by } => [self.timeout_at(), self.idle_at(), exit_by]
                .into_iter()
                .flatten()
                .min(),
            State::Stopping { kill_at, .. } => Some(kill_at),
            State::Killing { .. } | State::Gone { .. } => None,
        }
    }

    /// The one transition function.
    pub fn apply(&mut self, now: u64, event: Event) -> Action {
        let (state, action) = self.next(now, event);
        self.state = state;
        if event == Event::Activity {
            self.active_at = now;
        }
        action
    }

    fn next(&self, now: u64, event: Event) -> (State, Action) {
        let same = (self.state, Action::None);
        match (self.state, event) {
            (State::Gone { .. }, _) | (_, Event::Activity) => same,
            (_, Event::Gone) => {
                let reason = self.reason();
                (State::Gone { reason }, Action::None)
            }
            // Already killed; only the reason may change.
            (State::Killing { .. }, Event::Terminate) => {
                let reason = Reason::Terminated;
                (State::Killing { reason }, Action::None)
            }
            (State::Killing { .. }, _) => same,
            (_, Event::Terminate) => kill(Reason::Terminated),
            (_, Event::LogFailed) => kill(Reason::LogError),
            (_, Event::OverLimit) => kill(Reason::OverLimit),
            (State::Stopping { reason, kill_at }, Event::Time) if now >= kill_at => kill(reason),
            (State::Stopping { .. }, _) => same,
            (State::Running { .. }, Event::Interrupt) => self.stop(now, Reason::Interrupted),
            (State::Running { exit_by: None }, Event::ResultSeen) => {
                let grace = limit(self.clock.after_result_grace_ms);
                let exit_by = grace.map(|grace| now.saturating_add(grace));
                (State::Running { exit_by }, Action::None)
            }
            (State::Running { exit_by }, Event::Time) => {
                let is_over = |at: Option<u64>| at.is_some_and(|at| now >= at);
                if is_over(self.timeout_at()) {
                    self.stop(now, Reason::Timeout)
                } else if is_over(exit_by) {
                    self.stop(now, Reason::AfterResult)
                } else if is_over(self.idle_at()) {
                    self.stop(now, Reason::Idle)
                } else {
                    same
                }
            }
            (State::Running { .. }, Event::ResultSeen) => same,
        }
    }

    fn stop(&self, now: u64, reason: Reason) -> (State, Action) {
        if !self.asks || self.clock.grace_ms == 0 {
            return kill(reason);
        }
        let kill_at = now.saturating_add(self.clock.grace_ms);
        (State::Stopping { reason, kill_at }, Action::Signal)
    }

    fn timeout_at(&self) -> Option<u64> {
        limit(self.clock.timeout_ms)
    }

    fn idle_at(&self) -> Option<u64> {
        limit(self.clock.idle_ms).map(|idle| self.active_at.saturating_add(idle))
    }
}

const fn kill(reason: Reason) -> (State, Action) {
    (State::Killing { reason }, Action::Kill)
}

/// 0 is no limit.
const fn limit(ms: u64) -> Option<u64> {
    if ms == 0 { None } else { Some(ms) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLOCK: Clock = Clock {
        timeout_ms: 1000,
        idle_ms: 300,
        grace_ms: 50,
        after_result_grace_ms: 100,
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
        use Event::{Activity, Gone, Interrupt, LogFailed, ResultSeen, Terminate, Time};
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
                &[(300, Time), (301, Interrupt), (302, Gone)],
                &[Signal],
                Reason::Idle,
            ),
            (&[(299, Activity), (400, Time)], &[], Reason::Exit),
            (&[(999, Activity), (1000, Time)], &[Signal], Reason::Timeout),
            (
                &[(10, ResultSeen), (90, ResultSeen), (110, Time)],
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

    fn event() -> impl Strategy<Value = Event> {
        proptest::sample::select(vec![
            Event::Time,
            Event::Activity,
            Event::ResultSeen,
            Event::Interrupt,
            Event::Terminate,
            Event::LogFailed,
            Event::OverLimit,
            Event::Gone,
        ])
    }

    proptest! {
        #[test]
        fn whatever_happens(steps in proptest::collection::vec((0_u64..200, event()), 1..30)) {
            let mut ending = Ending::new(CLOCK, true);
            let (mut now, mut signals, mut kills) = (0, 0, 0);
            for (pause, event) in steps {
                now += pause;
                let (gone, before) = (ending.is_gone(), ending.reason());
                let action = ending.apply(now, event);
                signals += u32::from(action == Action::Signal);
                kills += u32::from(action == Action::Kill);
                // One signal at most, before one kill at most; nothing after the end.
                prop_assert!(signals <= 1 && kills <= 1);
                prop_assert!(!(action == Action::Signal && kills > 0));
                prop_assert!(!gone || (action == Action::None && ending.reason() == before));
                // A reason once set gives way to termination and the log's failure alone.
                let after = ending.reason();
                prop_assert!(
                    before == after || before == Reason::Exit
                        || matches!(after, Reason::Terminated | Reason::LogError | Reason::OverLimit)
                );
                prop_assert!(before != Reason::Terminated || after == Reason::Terminated);
                prop_assert!(after == Reason::Exit || ending.is_gone() || signals + kills > 0);
            }
            // Left alone, every turn with a limit is killed or gone.
            while let Some(deadline) = ending.deadline() {
                now = now.max(deadline);
                kills += u32::from(ending.apply(now, Event::Time) == Action::Kill);
            }
            prop_assert!(ending.is_gone() || kills == 1);
        }
    }
}
