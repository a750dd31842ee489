//! The `aod` command.

fn main() {}
