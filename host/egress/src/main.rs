//! `aod-egress`: serves the sockets of one sandbox's network namespace. The library describes what
//! it reads.

mod process;

use std::io::Read as _;
use std::process::ExitCode;

use aod_egress::Config;
use zeroize::Zeroizing;

const ABOUT: &str = "aod-egress is a sandbox's way to the network and is started by aod itself. It \
    is of no use by hand.";

fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == "--version")
    {
        println!("aod-egress {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    // Before it reads secrets.
    process::protect();
    let mut json = Zeroizing::new(Vec::new());
    let config: Option<Config> = std::io::stdin()
        .lock()
        .read_to_end(&mut json)
        .ok()
        .and_then(|_| serde_json::from_slice(&json).ok());
    drop(json);
    // What is wrong with it is not quoted: it may hold secrets.
    match config.map(process::run) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            eprintln!("aod-egress: {error}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("{ABOUT}");
            ExitCode::from(2)
        }
    }
}
