//! `aod-supervisor`: runs one turn and outlives the host; or, with `--init`, is the init of a
//! sandbox, or, with `--overlay`, the step before its launcher. The library describes what it reads.

mod process;

use std::io::{self, IsTerminal as _, Read as _};
use std::process::ExitCode;

use aod_launch::{init, overlay};
use aod_supervisor::TurnSpec;
use zeroize::Zeroizing;

const ABOUT: &str = "aod-supervisor runs one turn of a session and is started by aod itself, \
    which writes a turn's specification to its stdin. It is of no use by hand.";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some(init::FLAG.as_ref()) {
        return init::main(arguments);
    }
    if first.as_deref() == Some(overlay::FLAG.as_ref()) {
        return overlay::main(arguments);
    }
    if first.is_some_and(|argument| argument == "--version") {
        println!("aod-supervisor {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    // Before it reads secrets.
    process::harden::protect();
    match read_spec() {
        Ok(spec) => process::run(spec),
        Err(problem) => {
            eprintln!("{ABOUT}\n{problem}");
            ExitCode::from(2)
        }
    }
}

fn read_spec() -> Result<TurnSpec, String> {
    let mut stdin = io::stdin().lock();
    let mut json = Zeroizing::new(Vec::new());
    if !stdin.is_terminal() {
        stdin
            .read_to_end(&mut json)
            .map_err(|error| format!("Its stdin cannot be read: {error}."))?;
    }
    if json.is_empty() {
        return Err("There is no specification.".to_owned());
    }
    serde_json::from_slice(&json).map_err(|error| {
        // Not the parser's message, which would quote the input.
        format!(
            "The specification is not understood at line {}, column {}.",
            error.line(),
            error.column()
        )
    })
}
