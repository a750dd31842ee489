//! Room for running turns: so many of them, with so much memory between them.
//!
//! Next is a turn of the user who has the fewest running, and of several such users the one who has
//! waited longest since their last began. So a user who submits a hundred at once waits for the
//! last of them, and nobody else does.
//!
//! Processes that rest between turns count for their memory, and are the first to go when a turn
//! wants it: in the order of their last use.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use crate::config::AdmissionConfig;

/// Decides which turns may run.
#[derive(Clone, Debug)]
pub(crate) struct Admission(Arc<Mutex<State>>);

/// A turn that wants to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) session: Uuid,
    /// Whose session it is.
    pub(crate) owner: Uuid,
    /// The bytes of memory that it counts for.
    pub(crate) memory: u64,
}

#[derive(Debug)]
struct State {
    most: usize,
    budget: Option<u64>,
    /// Everybody who has had a turn.
    users: HashMap<Uuid, User>,
    /// What the running turns need together.
    used: u64,
    /// Processes at rest, the one that was used least lately first.
    resting: Vec<Rest>,
    /// In order of arrival.
    queue: Vec<Waiter>,
    next_ticket: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct User {
    /// How many of their turns run.
    running: usize,
    /// When the last of them began, as a ticket; 0 for never.
    last: u64,
}

/// What decides whose turn it is: the smallest is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// How many of the user's turns will run by then.
    ahead: usize,
    /// Who has had fewer so far goes before those who have just had one.
    running: Reverse<usize>,
    last: u64,
    ticket: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    claim: Claim,
    admit: oneshot::Sender<()>,
}

/// A process that rests.
#[derive(Debug)]
struct Rest {
    ticket: u64,
    session: Uuid,
    memory: u64,
    /// Told when its memory is wanted.
    unwanted: Arc<Notify>,
}

/// A resting process's claim to its memory. Dropping it gives that back.
#[derive(Debug)]
pub(crate) struct RestPermit {
    admission: Admission,
    ticket: u64,
    unwanted: Arc<Notify>,
}

/// A turn's permit to run, or its place in the queue for one. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct AdmissionPermit {
    admission: Admission,
    ticket: u64,
    claim: Claim,
    /// Until it is admitted.
    waiting: Option<oneshot::Receiver<()>>,
}

impl Admission {
    pub(crate) fn new(config: &AdmissionConfig) -> Self {
        Self(Arc::new(Mutex::new(State {
            most: config.max_running,
            budget: config.memory,
            users: HashMap::new(),
            used: 0,
            resting: Vec::new(),
            queue: Vec::new(),
            next_ticket: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing can panic while the state is being changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in the queue, or room where there is some and nobody waits.
    pub(crate) fn enter(&self, claim: Claim) -> AdmissionPermit {
        let mut state = self.state();
        let ticket = state.ticket();
        // It goes on with the memory that its process has.
        state.resting.retain(|rest| rest.session != claim.session);
        let (admit, waiting) = oneshot::channel();
        state.queue.push(Waiter {
            ticket,
            claim,
            admit,
        });
        state.admit();
        self.permit(ticket, claim, Some(waiting))
    }

    /// Takes room for a turn that runs already, whether there is some or not.
    pub(crate) fn occupy(&self, claim: Claim) -> AdmissionPermit {
        let mut state = self.state();
        let ticket = state.ticket();
        state.take(claim);
        self.permit(ticket, claim, None)
    }

    /// Counts the memory of a session's process that rests from now on.
    pub(crate) fn rest(&self, session: Uuid, memory: u64) -> RestPermit {
        let mut state = self.state();
        let ticket = state.ticket();
        let unwanted = Arc::new(Notify::new());
        state.resting.push(Rest {
            ticket,
            session,
            memory,
            unwanted: unwanted.clone(),
        });
        RestPermit {
            admission: self.clone(),
            ticket,
            unwanted,
        }
    }

    fn permit(
        &self,
        ticket: u64,
        claim: Claim,
        waiting: Option<oneshot::Receiver<()>>,
    ) -> AdmissionPermit {
        AdmissionPermit {
            admission: self.clone(),
            ticket,
            claim,
            waiting,
        }
    }

    /// How many turns have to begin for a session's turn to be the next, itself included; none for
    /// one that does not wait.
    pub(crate) fn position(&self, session: Uuid) -> Option<usize> {
        let state = self.state();
        let ranks: Vec<_> = state.ranks().collect();
        let (rank, _) = ranks
            .iter()
            .find(|(_, waiter)| waiter.claim.session == session)?;
        Some(ranks.iter().filter(|(other, _)| other <= rank).count())
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

    /// Who waits, and when it will be their turn.
    fn ranks(&self) -> impl Iterator<Item = (Rank, &Waiter)> {
        let mut before = HashMap::<Uuid, usize>::new();
        self.queue.iter().map(move |waiter| {
            let owner = waiter.claim.owner;
            let user = self.users.get(&owner).copied().unwrap_or_default();
            let before = before.entry(owner).or_default();
            let rank = Rank {
                ahead: user.running + *before,
                running: Reverse(user.running),
                last: user.last,
                ticket: waiter.ticket,
            };
            *before += 1;
            (rank, waiter)
        })
    }

    fn take(&mut self, claim: Claim) {
        let last = self.ticket();
        let user = self.users.entry(claim.owner).or_default();
        user.running += 1;
        user.last = last;
        self.used = self.used.saturating_add(claim.memory);
    }

    fn give_back(&mut self, claim: Claim) {
        if let Some(user) = self.users.get_mut(&claim.owner) {
            user.running -= 1;
        }
        self.used = self.used.saturating_sub(claim.memory);
    }

    fn running(&self) -> usize {
        self.users.values().map(|user| user.running).sum()
    }

    /// One that needs more than there is at all runs alone rather than never.
    fn has_room(&self, memory: u64) -> bool {
        let running = self.running();
        running < self.most && (self.lacks(memory) == 0 || running == 0)
    }

    /// How much memory is missing for so much more, without what rests.
    fn lacks(&self, memory: u64) -> u64 {
        let needed = self.used.saturating_add(memory);
        self.budget
            .map_or(0, |budget| needed.saturating_sub(budget))
    }

    /// How much of the memory that a turn of this size needs is held by processes at rest.
    fn held_by_resting(&self, memory: u64) -> u64 {
        let rested = self.resting.iter().map(|rest| rest.memory).sum::<u64>();
        self.lacks(memory.saturating_add(rested)).min(rested)
    }

    /// Has the processes at rest ended whose memory a turn of this size needs; says whether there
    /// are any.
    fn make_room(&self, memory: u64) -> bool {
        let wanted = self.held_by_resting(memory);
        let mut freed = 0;
        for rest in &self.resting {
            if freed >= wanted {
                break;
            }
            rest.unwanted.notify_one();
            freed += rest.memory;
        }
        wanted > 0
    }

    /// Admits whose turn it is for as long as there is room. A small turn does not overtake a
    /// large one, which might never run then.
    fn admit(&mut self) {
        while let Some((_, next)) = self.ranks().min_by_key(|(rank, _)| *rank) {
            let (ticket, claim) = (next.ticket, next.claim);
            if !self.has_room(claim.memory) || self.make_room(claim.memory) {
                return;
            }
            self.take(claim);
            if let Some(at) = self.queue.iter().position(|it| it.ticket == ticket) {
                // Who has gone meanwhile gives the room back by dropping its place.
                let _ = self.queue.remove(at).admit.send(());
            }
        }
    }
}

impl AdmissionPermit {
    /// The bytes of memory that the turn counts for.
    pub(crate) const fn memory(&self) -> u64 {
        self.claim.memory
    }

    /// Waits until the turn may run. Cancel-safe: the place in the queue is kept.
    pub(crate) async fn admitted(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            // The sender goes only when it has sent, or with this place.
            let _ = waiting.await;
            self.waiting = None;
        }
    }
}

impl RestPermit {
    /// Waits until its memory is wanted.
    pub(crate) async fn unwanted(&self) {
        self.unwanted.notified().await;
    }
}

impl Drop for RestPermit {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        state.resting.retain(|rest| rest.ticket != self.ticket);
        state.admit();
    }
}

impl Drop for AdmissionPermit {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        let before = state.queue.len();
        state.queue.retain(|waiter| waiter.ticket != self.ticket);
        if state.queue.len() == before {
            state.give_back(self.claim);
        }
        state.admit();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    fn admission(max_running: usize, memory: Option<u64>) -> Admission {
        Admission::new(&AdmissionConfig {
            max_running,
            memory,
            turn_memory: 1,
        })
    }

    const ANNA: Uuid = Uuid::from_u128(1);
    const BERT: Uuid = Uuid::from_u128(2);

    fn claim(owner: Uuid, memory: u64) -> Claim {
        Claim {
            session: Uuid::new_v4(),
            owner,
            memory,
        }
    }

    fn runs(place: &mut AdmissionPermit) -> bool {
        place.admitted().now_or_never().is_some()
    }

    #[test]
    fn first_come_first_served() {
        let admission = admission(1, None);
        let claims = [(); 4].map(|()| claim(ANNA, 1));
        let [mut a, mut b, c, mut d] = claims.map(|claim| admission.enter(claim));
        assert!(runs(&mut a) && !runs(&mut b) && !runs(&mut d));
        let positions = || claims.map(|claim| admission.position(claim.session));
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
    fn one_user_does_not_keep_others_out() {
        let admission = admission(2, None);
        let of = |owner| claim(owner, 1);
        let claims = [of(ANNA), of(ANNA), of(ANNA), of(ANNA), of(BERT), of(BERT)];
        let [mut a1, mut a2, mut a3, mut a4, mut b1, mut b2] =
            claims.map(|claim| admission.enter(claim));
        assert!(runs(&mut a1) && runs(&mut a2));
        let positions = || claims.map(|claim| admission.position(claim.session));
        // Of Bert's none runs: both are before Anna's third.
        assert_eq!(
            positions(),
            [None, None, Some(3), Some(4), Some(1), Some(2)]
        );
        drop(a1);
        assert!(runs(&mut b1) && !runs(&mut b2) && !runs(&mut a3));
        // One of each runs, and Bert's began later.
        assert_eq!(positions(), [None, None, Some(1), Some(3), None, Some(2)]);
        drop(b1);
        assert!(runs(&mut b2) && !runs(&mut a3));
        drop(a2);
        assert!(runs(&mut a3) && !runs(&mut a4));
        drop((b2, a3));
        assert!(runs(&mut a4));
    }

    #[test]
    fn with_room_for_one_they_take_turns() {
        let admission = admission(1, None);
        let order = [ANNA, ANNA, ANNA, BERT, BERT].map(|owner| claim(owner, 1));
        let mut permits: Vec<_> = order.map(|claim| admission.enter(claim)).into();
        let mut begun = Vec::new();
        while !permits.is_empty() {
            let running = permits.iter_mut().position(runs).unwrap();
            begun.push(permits.remove(running).claim.owner);
        }
        assert_eq!(begun, [ANNA, BERT, ANNA, BERT, ANNA]);
    }

    proptest! {
        /// Whoever comes and goes: no room stays empty while somebody waits, each who waits has a
        /// place of its own, and each user's turns begin in the order in which they came.
        #[test]
        fn whoever_comes_and_goes(steps in prop::collection::vec((0..4_u128, 0..8_usize), 1..40)) {
            const ROOM: usize = 2;
            let admission = admission(ROOM, None);
            let mut permits: Vec<AdmissionPermit> = Vec::new();
            for (owner, at) in steps {
                if owner == 0 && !permits.is_empty() {
                    permits.remove(at % permits.len());
                } else {
                    permits.push(admission.enter(claim(Uuid::from_u128(owner), 1)));
                }
                let running = permits.iter_mut().map(runs).filter(|runs| *runs).count();
                prop_assert_eq!(running, permits.len().min(ROOM));
                let told = |owner: Option<Uuid>| -> Vec<usize> {
                    let claims = permits.iter().map(|place| place.claim);
                    claims
                        .filter(|claim| owner.is_none_or(|owner| claim.owner == owner))
                        .filter_map(|claim| admission.position(claim.session))
                        .collect()
                };
                let mut all = told(None);
                all.sort_unstable();
                prop_assert_eq!(all, (1..=permits.len() - running).collect::<Vec<_>>());
                for owner in 0..4 {
                    let of_one = told(Some(Uuid::from_u128(owner)));
                    prop_assert!(of_one.is_sorted(), "{:?}", of_one);
                }
            }
        }
    }

    #[test]
    fn memory_is_a_budget_and_nobody_is_overtaken() {
        let admission = admission(10, Some(100));
        let enter = |memory| admission.enter(claim(ANNA, memory));
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
        let recovered = [80, 80].map(|memory| admission.occupy(claim(ANNA, memory)));
        let mut next = admission.enter(claim(ANNA, 10));
        let [first, second] = recovered;
        drop(first);
        assert!(!runs(&mut next));
        drop(second);
        assert!(runs(&mut next));
        drop(next);
        let state = admission.state();
        assert_eq!((state.running(), state.used), (0, 0));
    }

    #[test]
    fn who_is_admitted_and_gone_at_once_gives_its_room_back() {
        let admission = admission(1, None);
        let first = admission.enter(claim(ANNA, 1));
        let second = admission.enter(claim(ANNA, 1));
        drop(first);
        drop(second);
        let state = admission.state();
        assert_eq!((state.running(), state.queue.len()), (0, 0));
    }
}
