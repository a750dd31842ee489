//! The supervisor's process, from a specification to the turn's last record.

mod calls;
mod clients;
mod ending;
mod failure;
mod feed;
pub mod harden;
mod now;
mod output;
mod requests;
mod turn;

use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use aod_log::Writer;
use aod_supervisor::{Report, StartFailure, TurnSpec};

use self::failure::Failure;
use self::turn::Turn;

/// How long the host may take to release the log's lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// Detaches from the host and runs the turn to its end.
pub fn run(spec: TurnSpec) -> ExitCode {
    let report = match harden::detach() {
        Ok(harden::Side::Host) => return ExitCode::SUCCESS,
        Ok(harden::Side::Turn { report }) => report,
        // There is no pipe to report it: the host sees the process end.
        Err(_) => return ExitCode::FAILURE,
    };
    match start(spec) {
        Ok((turn, started)) => {
            send(report, &Report::Started(started));
            turn.run();
            ExitCode::SUCCESS
        }
        Err(Failure(failure, message)) => {
            send(report, &Report::Failed { failure, message });
            ExitCode::FAILURE
        }
    }
}

fn start(spec: TurnSpec) -> Result<(Turn, aod_supervisor::Started), Failure> {
    for (what, path) in [
        ("log folder", &spec.log_dir),
        ("control socket", &spec.control_socket),
    ] {
        if !path.is_absolute() {
            let message = format!("the {what}'s path is not absolute: {}", path.display());
            return Err(Failure(StartFailure::Spec, message));
        }
    }
    let log = take_log(&spec)?;
    Turn::begin(spec, log)
}

fn take_log(spec: &TurnSpec) -> Result<Writer, Failure> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match Writer::open_after(&spec.log_dir, spec.log, spec.last_id) {
            Ok(writer) => return Ok(writer),
            Err(error @ aod_log::Error::Locked { .. }) if Instant::now() > deadline => {
                return Err(Failure::new(StartFailure::Locked, "no log", &error));
            }
            Err(aod_log::Error::Locked { .. }) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(Failure::new(StartFailure::Log, "no log", &error)),
        }
    }
}

/// Sends the report to the host, if it still lives, and closes the pipe.
fn send(mut pipe: File, report: &Report) {
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let _ = pipe.write_all(&line);
    }
}
