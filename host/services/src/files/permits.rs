//! How much one user may have done at once of what keeps a thread busy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::FilesError;

/// So many archives and lists of one user are made at once. A client that is slow to take an
/// archive keeps a thread waiting.
const EACH: u32 = 16;

/// How many permits each user has taken.
#[derive(Clone, Debug, Default)]
pub(super) struct UserPermits(Arc<Mutex<HashMap<Uuid, u32>>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct UserPermit {
    all: UserPermits,
    owner: Uuid,
}

impl UserPermits {
    /// Takes one.
    ///
    /// # Errors
    /// [`FilesError::TooMany`].
    pub(super) fn take(&self, owner: Uuid) -> Result<UserPermit, FilesError> {
        let mut taken = self.taken();
        let own = taken.entry(owner).or_insert(0);
        if *own >= EACH {
            return Err(FilesError::TooMany(EACH));
        }
        *own += 1;
        Ok(UserPermit {
            all: self.clone(),
            owner,
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Uuid, u32>> {
        // Nothing can panic while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UserPermit {
    fn drop(&mut self) {
        let mut taken = self.all.taken();
        if let Some(own) = taken.get_mut(&self.owner) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_so_many_permits_and_leaves_those_of_others_alone() {
        let permits = UserPermits::default();
        let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
        let mut held: Vec<UserPermit> = (0..EACH).map(|_| permits.take(one).unwrap()).collect();
        assert!(matches!(permits.take(one), Err(FilesError::TooMany(_))));
        drop(permits.take(other).unwrap());
        held.pop();
        held.push(permits.take(one).unwrap());
        drop(held);
        assert!(permits.taken().is_empty());
    }
}
