//! Failed authentications, limited per address.

use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// How many failures an address may have at once, and per minute from then on. A person who
/// mistypes a token never gets there; a guesser does at once.
const BURST: NonZeroU32 = NonZeroU32::new(30).unwrap();

/// Counts failed authentications per address.
///
/// A valid token is let in whatever else its address did: behind one address there may be many
/// people, and one of them must not be able to lock out the others.
#[derive(Debug)]
pub(crate) struct Failures(DefaultKeyedRateLimiter<IpAddr>);

impl Failures {
    pub(crate) fn new() -> Self {
        Self(RateLimiter::keyed(Quota::per_minute(BURST)))
    }

    /// Counts a failure. When there were too many, says how many seconds to wait.
    pub(crate) fn count(&self, address: IpAddr) -> Option<u64> {
        let until = self.0.check_key(&address).err()?;
        self.0.retain_recent();
        Some(
            until
                .wait_time_from(DefaultClock::default().now())
                .as_secs()
                + 1,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_address_that_fails_has_to_wait_and_only_beyond_the_burst() {
        let failures = Failures::new();
        let (guesser, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for _ in 0..BURST.get() {
            assert_eq!(failures.count(guesser), None);
        }
        assert!(failures.count(guesser).is_some());
        assert_eq!(failures.count(other), None);
    }
}
