//! `aod-egress`: serves the sockets of one sandbox's network namespace. The library describes what
//! it reads.

mod process;

use std::io::Read as _;
use std::process::ExitCode;

use aod_egress::{Config, RenewedCredential};
use serde::Deserialize as _;
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
    let read = std::io::stdin().lock().read_to_end(&mut json);
    let told = read.ok().and_then(|_| read_told(&json));
    drop(json);
    // What is wrong with it is not quoted: it may hold secrets.
    match told.map(|(config, renewed)| process::run(config, renewed)) {
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

/// The configuration, and the credentials that have another value by now, a line each.
fn read_told(json: &[u8]) -> Option<(Config, Vec<RenewedCredential>)> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let config = Config::deserialize(&mut reader).ok()?;
    let renewed: Result<_, _> = reader.into_iter().collect();
    Some((config, renewed.ok()?))
}
