//! Starts that are to fail.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::Duration;

use super::options::{ServerOptions, command};
use super::write;

/// Runs `aod serve` where it is expected to refuse: returns whether it succeeded and what it said.
///
/// # Panics
/// When it goes on running.
pub async fn serve_until_exit(arguments: &[&str]) -> (bool, String) {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => panic!("no temporary folder: {error}"),
    };
    let runtimes = folder.path().join("runtimes.toml");
    write(&runtimes, "");
    let log = folder.path().join("log");
    let stderr = match File::create(&log) {
        Ok(file) => file,
        Err(error) => panic!("no file for the server's log: {error}"),
    };
    let child = command(&ServerOptions::default())
        .current_dir(folder.path())
        .arg("serve")
        .args(arguments)
        .arg("--data")
        .arg(folder.path().join("data"))
        .arg("--runtimes")
        .arg(runtimes)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => panic!("the server does not start: {error}"),
    };
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return (
                status.success(),
                fs::read_to_string(&log).unwrap_or_default(),
            );
        }
        if tokio::time::Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            panic!(
                "the server runs on: {}",
                fs::read_to_string(&log).unwrap_or_default()
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
