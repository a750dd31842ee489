//! Exit codes that scripts can use: those of `sysexits.h` where a server is asked, and those of
//! shells where a signal has ended the command (`docs/commands.md`).

use std::process::ExitCode;

use reqwest::StatusCode;

use crate::client::ClientError;

/// The request is refused as it is (400, 413, 422).
const REFUSED: u8 = 65;
/// What was named is not there (404).
const NOT_THERE: u8 = 66;
/// The server does not answer, or cannot (5xx).
const UNAVAILABLE: u8 = 69;
/// Not now: it may be let later (409, 429).
const NOT_NOW: u8 = 75;
/// No token, or one that is not let (401).
const NOT_ALLOWED: u8 = 77;
/// As of a program that is ended by SIGPIPE: whoever read the result has seen enough of it.
pub(crate) const CLOSED: u8 = 141;

/// What a command that has failed exits with.
pub(crate) fn code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(match error.downcast_ref() {
        _ if crate::output::is_closed(error) => CLOSED,
        Some(ClientError::NoToken) => NOT_ALLOWED,
        Some(ClientError::Unreachable { .. }) => UNAVAILABLE,
        Some(ClientError::Refused(refusal)) => of(refusal.status),
        None => 1,
    })
}

fn of(status: StatusCode) -> u8 {
    match status {
        StatusCode::UNAUTHORIZED => NOT_ALLOWED,
        StatusCode::NOT_FOUND => NOT_THERE,
        StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS => NOT_NOW,
        status if status.is_server_error() => UNAVAILABLE,
        _ => REFUSED,
    }
}
