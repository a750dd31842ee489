//! Room for running turns: so many of them, with so much memory between them. Who comes first is
//! served first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use uuid::Uuid;

use crate::config::AdmissionConfig;

/// Decides which turns may run.
#[derive(Clone, Debug)]
pub(crate) struct Admission(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    most: usize,
    budget: Option<u64>,
    running: usize,
    /// What the running turns need together.
    used: u64,
    queue: VecDeque<Waiter>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    session: Uuid,
    memory: u64,
    admit: oneshot::Sender<()>,
}

/// A turn's place: in the queue, and once it is admitted, among those that run. Dropping it gives
/// it back.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Admission,
    ticket: u64,
    memory: u64,
    /// Until it is admitted.
    waiting: Option<oneshot::Receiver<()>>,
}

impl Admission {
    pub(crate) fn new(config: &AdmissionConfig) -> Self {
        Self(Arc::new(Mutex::new(State {
            most: config.max_running,
            budget: config.memory,
            running: 0,
            used: 0,
            queue: VecDeque::new(),
            next_ticket: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing can panic while the state is being changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the last place in the queue, or room where there is some and nobody waits.
    pub(crate) fn enter(&self, session: Uuid, memory: u64) -> Place {
        let mut state = self.state();
        let ticket = state.ticket();
        let (admit, waiting) = oneshot::channel();
        state.queue.push_back(Waiter {
            ticket,
            session,
            memory,
            admit,
        });
        state.admit();
        Place {
            admission: self.clone(),
            ticket,
            memory,
            waiting: Some(waiting),
        }
    }

    /// Takes room for a turn that runs already, whether there is some or not.
    pub(crate) fn occupy(&self, memory: u64) -> Place {
        let mut state = self.state();
        let ticket = state.ticket();
        state.take(memory);
        Place {
            admission: self.clone(),
            ticket,
            memory,
            waiting: None,
        }
    }

    /// Where a session's turn stands in the queue, from 1; none for one that does not wait.
    pub(crate) fn position(&self, session: Uuid) -> Option<usize> {
        let state = self.state();
        let place = state
            .queue
            .iter()
            .position(|waiter| waiter.session == session)?;
        Some(place + 1)
    }

    /// How many turns wait.
    pub(crate) fn waiting(&self) -> usize {
        self.state().queue.len()
    }
}

impl State {
    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    fn take(&mut self, memory: u64) {
        self.running += 1;
        self.used = self.used.saturating_add(memory);
    }

    /// One that needs more than there is at all runs alone rather than never.
    fn has_room(&self, memory: u64) -> bool {
        let fits = self
            .budget
            .is_none_or(|budget| self.used.saturating_add(memory) <= budget);
        self.running < self.most && (fits || self.running == 0)
    }

    /// Admits from the front for as long as there is room. A small turn does not overtake a large
    /// one, which might never run then.
    fn admit(&mut self) {
        while let Some(first) = self.queue.front()
            && self.has_room(first.memory)
            && let Some(first) = self.queue.pop_front()
        {
            self.take(first.memory);
            // Who has gone meanwhile gives the room back by dropping its place.
            let _ = first.admit.send(());
        }
    }
}

impl Place {
    /// Waits until the turn may run. Cancel-safe: the place in the queue is kept.
    pub(crate) async fn admitted(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            // The sender goes only when it has sent, or with this place.
            let _ = waiting.await;
            self.waiting = None;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        let before = state.queue.len();
        state.queue.retain(|waiter| waiter.ticket != self.ticket);
        if state.queue.len() == before {
            state.running -= 1;
            state.used = state.used.saturating_sub(self.memory);
        }
        state.admit();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn admission(max_running: usize, memory: Option<u64>) -> Admission {
        Admission::new(&AdmissionConfig {
            max_running,
            memory,
            turn_memory: 1,
        })
    }

    fn runs(place: &mut Place) -> bool {
        place.admitted().now_or_never().is_some()
    }

    #[test]
    fn first_come_first_served() {
        let admission = admission(1, None);
        let sessions = [(); 4].map(|()| Uuid::new_v4());
        let [mut a, mut b, c, mut d] = sessions.map(|session| admission.enter(session, 1));
        assert!(runs(&mut a) && !runs(&mut b) && !runs(&mut d));
        let positions = || sessions.map(|session| admission.position(session));
        assert_eq!(positions(), [None, Some(1), Some(2), Some(3)]);
        // Who goes away moves the others up, and takes no room with it.
        drop(c);
        assert_eq!(positions(), [None, Some(1), None, Some(2)]);
        drop(a);
        assert!(runs(&mut b) && !runs(&mut d));
        assert_eq!(positions()[3], Some(1));
        drop(b);
        assert!(runs(&mut d));
        assert_eq!(admission.waiting(), 0);
    }

    #[test]
    fn memory_is_a_budget_and_nobody_is_overtaken() {
        let admission = admission(10, Some(100));
        let enter = |memory| admission.enter(Uuid::new_v4(), memory);
        let (mut a, mut b, mut large, mut small) = (enter(40), enter(40), enter(60), enter(10));
        assert!(runs(&mut a) && runs(&mut b));
        assert!(!runs(&mut large) && !runs(&mut small));
        drop(a);
        assert!(runs(&mut large) && !runs(&mut small));
        drop(b);
        assert!(runs(&mut small));
        // More than there is at all: alone.
        let mut huge = enter(1000);
        drop(large);
        assert!(!runs(&mut huge));
        drop(small);
        assert!(runs(&mut huge));
    }

    #[test]
    fn what_runs_already_takes_room_that_is_not_there() {
        let admission = admission(1, Some(100));
        let recovered = [80, 80].map(|memory| admission.occupy(memory));
        let mut next = admission.enter(Uuid::new_v4(), 10);
        let [first, second] = recovered;
        drop(first);
        assert!(!runs(&mut next));
        drop(second);
        assert!(runs(&mut next));
        drop(next);
        let state = admission.state();
        assert_eq!((state.running, state.used), (0, 0));
    }

    #[test]
    fn who_is_admitted_and_gone_at_once_gives_its_room_back() {
        let admission = admission(1, None);
        let first = admission.enter(Uuid::new_v4(), 1);
        let second = admission.enter(Uuid::new_v4(), 1);
        drop(first);
        drop(second);
        let state = admission.state();
        assert_eq!((state.running, state.queue.len()), (0, 0));
    }
}
