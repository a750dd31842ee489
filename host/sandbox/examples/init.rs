//! The sandbox's init, and the step before its launcher, for this crate's tests: what
//! `aod-supervisor` is with `--init` and `--overlay`.

use std::process::ExitCode;

use aod_launch::{init, overlay};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(first) if first == init::FLAG => init::main(arguments),
        Some(first) if first == overlay::FLAG => overlay::main(arguments),
        _ => ExitCode::FAILURE,
    }
}
