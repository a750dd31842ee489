//! Small components, written by hand, that do what no good adapter does.

#![allow(
    clippy::unwrap_used,
    reason = "what fails here fails the test that asked for it"
)]

mod guest;
mod hostile;

pub use guest::{Guest, NOTHING};
pub use hostile::{BOMB, DEEP, Hostile, LOOP, hostile, slow};
