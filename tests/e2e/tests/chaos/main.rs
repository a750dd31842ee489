//! Chaos: whatever is killed, and whenever, no line is lost, doubled or out of order, and no
//! session is stuck.
//!
//! Sessions write numbered lines, a client follows each and resumes by the last id it saw, and
//! somebody kills. `AOD_CHAOS_KILLS` says how often (`cargo xtask chaos` says a hundred times), and
//! `AOD_CHAOS_SEED` which way; each run prints its seed.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod clock;
mod disk;
mod killed;
mod player;
mod points;
mod reader;

use std::time::Duration;

use aod_e2e::Client;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;

/// Where the server is at the moment; another place after each start.
type Address = watch::Receiver<Client>;

/// How often to kill.
fn kills() -> u32 {
    let given = std::env::var("AOD_CHAOS_KILLS").ok();
    given.map_or(6, |kills| kills.parse().expect("AOD_CHAOS_KILLS"))
}

/// Lines that a turn writes: some three seconds' worth.
const LINES: usize = 120;

/// The dice of a run.
fn dice() -> StdRng {
    let given = std::env::var("AOD_CHAOS_SEED").ok();
    let seed = match given {
        Some(seed) => seed.parse().expect("AOD_CHAOS_SEED"),
        None => rand::random(),
    };
    println!("AOD_CHAOS_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// A moment of at most so many milliseconds.
fn moment(dice: &mut StdRng, most: u64) -> Duration {
    Duration::from_millis(dice.random_range(0..most))
}
