//! Small components, written by hand, that do what no good adapter does.

mod guest;
mod hostile;

pub use guest::{Guest, NOTHING};
pub use hostile::{BOMB, DEEP, Hostile, LOOP, hostile};
