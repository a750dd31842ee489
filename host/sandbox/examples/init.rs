//! The sandbox's init alone, for this crate's tests: what `aod-supervisor` is with `--init`.

use std::process::ExitCode;

use aod_launch::init;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(first) if first == init::FLAG => init::main(arguments),
        _ => ExitCode::FAILURE,
    }
}
