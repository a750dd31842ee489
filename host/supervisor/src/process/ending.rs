//! How a turn ends: a state machine with one transition function.
//!
//! The first cause that asks the CLI to stop becomes the reason; a later request to terminate
//! replaces it. Once the CLI has ended nothing changes any more. The caller passes the time, in
//! milliseconds since the turn began.

use aod_supervisor::{Clock, Reason};

/// What happens to a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Time,
    /// The CLI wrote or was written to.
    Activity,
    /// Its stdin was closed, and it has its last grace to exit.
    Close,
    /// Its user interrupts it.
    Interrupt,
    /// Its user terminates it.
    Terminate,
    /// It uses more than it may.
    OverLimit,
    /// Its output can no longer be recorded.
    LogFailed,
    /// The launched process has ended.
    Gone,
}

/// What the caller has to do about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Send the signal to stop.
    Signal,
    /// Kill the CLI and all that it started.
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
    /// Whether the CLI can be asked to stop before it is killed.
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
            (State::Running { exit_by: None }, Event::Close) => {
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
            (State::Running { .. }, Event::Close) => same,
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
mod tests;
