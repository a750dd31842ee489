//! How a turn and its process end: a state machine with one transition function.
//!
//! The first cause that asks the CLI to stop becomes the reason; a later request to terminate
//! replaces it. A process whose turn is over may rest and take another one. Once the CLI has ended
//! nothing changes any more. The caller passes the time, in milliseconds since the process began.

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
    /// The turn is over; the process may rest.
    EndTurn,
    /// The next turn begins.
    Turn {
        /// How long it may take; 0: as long as it likes.
        timeout_ms: u64,
    },
    /// Its user interrupts it.
    Interrupt,
    /// It has reached a limit.
    Limit,
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
    /// Close its stdin.
    CloseStdin,
    /// Send the signal to stop.
    Signal,
    /// Kill the CLI and all that it started.
    Kill,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running { exit_by: Option<u64> },
    Resting { close_at: u64 },
    Closing { exit_by: Option<u64> },
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
    /// When the turn began.
    turn_at: u64,
    active_at: u64,
    state: State,
}

impl Ending {
    /// A turn that begins at 0.
    pub const fn new(clock: Clock, asks: bool) -> Self {
        Self {
            clock,
            asks,
            turn_at: 0,
            active_at: 0,
            state: State::Running { exit_by: None },
        }
    }

    /// Whether the turn is over and the process waits for another one.
    pub const fn is_resting(&self) -> bool {
        matches!(self.state, State::Resting { .. })
    }

    /// Whether the turn runs, and is not being stopped.
    pub const fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Whether a turn is under way, be it that it is being stopped.
    pub const fn is_in_turn(&self) -> bool {
        matches!(
            self.state,
            State::Running { .. } | State::Stopping { .. } | State::Killing { .. }
        )
    }

    /// Whether the turn may end and leave the process at rest. One that is stopped by a signal, or
    /// because its time is over, ends with its process.
    pub const fn may_rest(&self) -> bool {
        let is_open = matches!(
            self.state,
            State::Running { exit_by: None }
                | State::Stopping {
                    reason: Reason::Interrupted | Reason::Limit,
                    ..
                }
        );
        self.clock.rest_ms > 0 && is_open
    }

    /// Whether the launched process has ended.
    pub const fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone { .. })
    }

    /// Why the turn ends, as far as it is known.
    pub const fn reason(&self) -> Reason {
        match self.state {
            State::Running { .. } | State::Resting { .. } | State::Closing { .. } => Reason::Exit,
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
            State::Resting { close_at } => Some(close_at),
            State::Closing { exit_by } => exit_by,
            State::Stopping { kill_at, .. } => Some(kill_at),
            State::Killing { .. } | State::Gone { .. } => None,
        }
    }

    /// The one transition function.
    pub fn apply(&mut self, now: u64, event: Event) -> Action {
        let (state, action) = self.next(now, event);
        let begins = self.is_resting() && matches!(state, State::Running { .. });
        self.state = state;
        if begins && let Event::Turn { timeout_ms } = event {
            self.clock.timeout_ms = timeout_ms;
            self.turn_at = now;
        }
        if begins || event == Event::Activity {
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
            (State::Running { .. } | State::Stopping { .. }, Event::EndTurn) => {
                if !self.may_rest() {
                    return same;
                }
                let close_at = now.saturating_add(self.clock.rest_ms);
                (State::Resting { close_at }, Action::None)
            }
            (State::Stopping { .. }, _) => same,
            (State::Resting { .. }, Event::Turn { .. }) => {
                (State::Running { exit_by: None }, Action::None)
            }
            (State::Resting { .. }, Event::Close) => self.close(now),
            (State::Resting { close_at }, Event::Time) if now >= close_at => self.close(now),
            (State::Resting { .. }, _) => same,
            (State::Closing { exit_by }, Event::Time) if exit_by.is_some_and(|at| now >= at) => {
                self.stop(now, Reason::AfterResult)
            }
            (State::Closing { .. }, _) => same,
            (State::Running { .. }, Event::Interrupt) => self.stop(now, Reason::Interrupted),
            (State::Running { .. }, Event::Limit) => self.stop(now, Reason::Limit),
            (State::Running { exit_by: None }, Event::Close) => {
                let exit_by = self.exit_by(now);
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
            (State::Running { .. }, Event::Close | Event::Turn { .. }) => same,
        }
    }

    fn stop(&self, now: u64, reason: Reason) -> (State, Action) {
        if !self.asks || self.clock.grace_ms == 0 {
            return kill(reason);
        }
        let kill_at = now.saturating_add(self.clock.grace_ms);
        (State::Stopping { reason, kill_at }, Action::Signal)
    }

    /// Ends a process at rest in good order.
    fn close(&self, now: u64) -> (State, Action) {
        let exit_by = self.exit_by(now);
        (State::Closing { exit_by }, Action::CloseStdin)
    }

    fn exit_by(&self, now: u64) -> Option<u64> {
        limit(self.clock.after_result_grace_ms).map(|grace| now.saturating_add(grace))
    }

    fn timeout_at(&self) -> Option<u64> {
        limit(self.clock.timeout_ms).map(|timeout| self.turn_at.saturating_add(timeout))
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
