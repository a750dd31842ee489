//! The `aod-standin` command.

fn main() {}
