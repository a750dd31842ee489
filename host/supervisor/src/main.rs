//! The `aod-supervisor` process.

fn main() {}
