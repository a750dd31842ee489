//! When a message that was not taken is tried again.

use std::time::Duration;

use rand::Rng as _;

use crate::Config;

/// How long to wait after so many failed tries, the last of which was answered with the wish not to
/// be asked before `retry_after`. Doubles from try to try, and is spread by a quarter, so that those
/// who failed together do not come back together.
pub(crate) fn wait(config: &Config, tries: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = 2_u32.saturating_pow(tries.saturating_sub(1));
    let wait = config.first_retry.saturating_mul(doubled);
    let wait = wait.max(retry_after.unwrap_or_default());
    wait.min(config.longest_retry)
        .mul_f64(rand::rng().random_range(0.75..1.25))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_about_twice_as_long_each_time_and_never_too_long(tries in 1..200_u32, after in 0..100_000_u64) {
            let config = Config::default();
            let bare = wait(&config, tries, None).as_secs_f64();
            let expected = (5.0 * 2_f64.powi(tries.min(30) as i32 - 1)).min(7200.0);
            prop_assert!((0.74..1.26).contains(&(bare / expected)), "{bare}");
            let asked = wait(&config, tries, Some(Duration::from_secs(after))).as_secs_f64();
            prop_assert!(asked <= 7200.0 * 1.25);
            prop_assert!(asked >= (after as f64).min(7200.0) * 0.75);
        }
    }

    /// When a message is sent that nobody takes, from its first try on.
    fn tries(config: &Config) -> Vec<Duration> {
        let mut tries = vec![Duration::ZERO];
        let mut at = Duration::ZERO;
        loop {
            at += wait(config, tries.len() as u32, None);
            if at > config.give_up {
                return tries;
            }
            tries.push(at);
        }
    }

    proptest! {
        /// Whenever a receiver comes back within half a day, and refuses twice more, there is a try
        /// left for it, and the first comes within three times as long as it was away, or seconds.
        #[test]
        fn a_receiver_that_was_away_is_asked_again_soon_and_often_enough(away in 0..43_200_u64) {
            let config = Config::default();
            let away = Duration::from_secs(away);
            let tries = tries(&config);
            let left: Vec<Duration> = tries.into_iter().filter(|&at| at >= away).collect();
            prop_assert!(left.len() >= 3, "{away:?}: {left:?}");
            let latest = away * 3 + config.first_retry * 2;
            prop_assert!(left[0] <= latest, "{away:?}: {left:?}");
        }

        #[test]
        fn a_minute_is_some_tries(_any in 0..200_u32) {
            let minute = Duration::from_secs(60);
            let tries = tries(&Config::default());
            let within = tries.iter().filter(|&&at| at < minute).count();
            prop_assert!((3..=6).contains(&within), "{tries:?}");
            // The one that finds the receiver back, and those behind two refusals.
            prop_assert!(tries[within] < 3 * minute, "{tries:?}");
            prop_assert!(tries[within + 2] < 13 * minute, "{tries:?}");
        }
    }

    #[test]
    fn a_day_has_about_twenty_tries() {
        let config = Config::default();
        let (mut tries, mut passed) = (1, Duration::ZERO);
        while passed < config.give_up {
            passed += wait(&config, tries, None);
            tries += 1;
        }
        assert!((18..26).contains(&tries), "{tries}");
    }
}
