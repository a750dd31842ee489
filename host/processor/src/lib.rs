//! Processor time: who has used much of it lately, and whether somebody waits for it.
//!
//! Hostile sessions and good ones share a machine's processors. Whoever computes for one session
//! has a [`ProcessorBudget`], and goes behind the others once that is used up. Work of the server's
//! own that can wait is done a piece at a time, and [rests](Pace) in between while somebody else
//! wants to run: a nice value counts only among the threads of one process where the kernel shares
//! processors out among sessions (`sched(7)`, "The autogroup feature"), and those who wait are the
//! sandboxes of others.

mod budget;
mod rest;

pub use budget::ProcessorBudget;
pub use rest::{LongWork, NICENESS, Pace, go_behind, processors, thread_time};
