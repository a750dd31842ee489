//! What hostile agents, accidents and full disks do to a data folder: each ends in a state in which
//! users can terminate, delete, and read what is readable.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod broken;
mod deletion;
mod disks;
mod fence;
mod output;
mod owner;
mod trees;
