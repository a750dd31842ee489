//! How much one user may have done at once of what keeps a thread busy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::FilesError;

/// So many archives and lists of one user are made at once. A client that is slow to take an
/// archive keeps a thread waiting.
const EACH: u32 = 16;

/// How many places each user has taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<Uuid, u32>>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    all: Places,
    owner: Uuid,
}

impl Places {
    /// Takes a place.
    ///
    /// # Errors
    /// [`FilesError::TooMany`].
    pub(super) fn take(&self, owner: Uuid) -> Result<Place, FilesError> {
        let mut taken = self.taken();
        let own = taken.entry(owner).or_insert(0);
        if *own >= EACH {
            return Err(FilesError::TooMany(EACH));
        }
        *own += 1;
        Ok(Place {
            all: self.clone(),
            owner,
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Uuid, u32>> {
        // Nothing can panic while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
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
    fn a_user_has_so_many_places_and_leaves_those_of_others_alone() {
        let places = Places::default();
        let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
        let mut held: Vec<Place> = (0..EACH).map(|_| places.take(one).unwrap()).collect();
        assert!(matches!(places.take(one), Err(FilesError::TooMany(_))));
        drop(places.take(other).unwrap());
        held.pop();
        held.push(places.take(one).unwrap());
        drop(held);
        assert!(places.taken().is_empty());
    }
}
