//! Bounds on one operation.

use std::time::{Duration, Instant};

use aod_processor::LongWork;

use crate::error::{Bound, Error, Result};

/// How much one operation may do. Each bound that is reached ends it with
/// [`Error::Bound`](crate::Error::Bound).
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries that are looked at or removed, and attempts to do so.
    pub entries: u64,
    /// Levels below the folder where a walk begins. Removing has no use for it: there, depth costs
    /// nothing.
    pub depth: u32,
    /// How long it may take.
    pub time: Duration,
}

impl Default for Limits {
    /// Enough for any tree that somebody works with: ten million entries, a million levels, five
    /// minutes.
    fn default() -> Self {
        Self {
            entries: 10_000_000,
            depth: 1_000_000,
            time: Duration::from_secs(300),
        }
    }
}

/// What is left of some [`Limits`].
#[derive(Debug)]
pub(crate) struct Budget {
    limits: Limits,
    left: u64,
    until: Option<Instant>,
    work: LongWork,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            limits: *limits,
            left: limits.entries,
            // None is further away than clocks count.
            until: Instant::now().checked_add(limits.time),
            work: LongWork::new(),
        }
    }

    /// Takes one step, and rests before it where others wait and this one has taken long already. Rests
    /// are not counted.
    pub(crate) fn spend(&mut self) -> Result<()> {
        let now = Instant::now();
        let rested = self.work.step(now);
        self.until = self.until.and_then(|until| until.checked_add(rested));
        if self.until.is_some_and(|until| now >= until) {
            let millis = u64::try_from(self.limits.time.as_millis()).unwrap_or(u64::MAX);
            return Err(Error::Bound(Bound::Millis(millis)));
        }
        self.left = self
            .left
            .checked_sub(1)
            .ok_or(Error::Bound(Bound::Entries(self.limits.entries)))?;
        Ok(())
    }

    /// Checks a level, from 1.
    pub(crate) fn depth(&self, depth: usize) -> Result<()> {
        match u32::try_from(depth) {
            Ok(depth) if depth <= self.limits.depth => Ok(()),
            _ => Err(Error::Bound(Bound::Depth(self.limits.depth))),
        }
    }
}
