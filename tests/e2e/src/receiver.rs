//! A receiver of webhooks, which verifies what comes with the published library.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::program::repository;
use crate::python::python_with;
use crate::wait::{DEADLINE, eventually};

/// What a receiver does.
#[derive(Clone, Debug, Default)]
pub struct ReceiverOptions {
    /// Where it listens; anywhere where nothing is said.
    pub port: u16,
    /// What messages are verified with.
    pub secrets: Vec<String>,
    /// Statuses that it answers with, the last one for ever: `500,200`.
    pub answers: String,
    /// More of its arguments.
    pub more: Vec<String>,
}

/// A receiver that listens, until it is dropped.
#[derive(Debug)]
pub struct Receiver {
    _process: Child,
    folder: tempfile::TempDir,
    /// Where it listens.
    pub port: u16,
}

impl Receiver {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(options: ReceiverOptions) -> Self {
        let folder = repository().join("tests/webhooks");
        let python = python_with("webhooks-venv", &folder.join("requirements.txt")).await;
        let own = match tempfile::tempdir() {
            Ok(own) => own,
            Err(error) => panic!("no temporary folder: {error}"),
        };
        let file = |name: &str| match std::fs::File::create(own.path().join(name)) {
            Ok(file) => file,
            Err(error) => panic!("{name}: {error}"),
        };
        let mut command = Command::new(python);
        command
            .arg(folder.join("receiver.py"))
            .args(["--port", &options.port.to_string()])
            .args(options.more)
            .stdin(Stdio::null())
            .stdout(file("said"))
            .stderr(file("errors"))
            .kill_on_drop(true);
        if !options.answers.is_empty() {
            command.args(["--answers", &options.answers]);
        }
        for secret in &options.secrets {
            command.args(["--secret", secret]);
        }
        let process = match command.spawn() {
            Ok(process) => process,
            Err(error) => panic!("the receiver does not start: {error}"),
        };
        let mut receiver = Self {
            _process: process,
            folder: own,
            port: 0,
        };
        receiver.port = eventually("the receiver listens", DEADLINE, async || {
            let errors = std::fs::read_to_string(receiver.folder.path().join("errors"));
            let errors = errors.unwrap_or_default();
            assert!(!errors.contains("Error"), "{errors}");
            let port = receiver.said().first()?["port"].as_u64()?;
            u16::try_from(port).ok()
        })
        .await;
        receiver
    }

    /// Where messages are sent to reach it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook?x=y", self.port)
    }

    fn said(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.file()).unwrap_or_default();
        // A last line that is not whole is read the next time.
        text.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("said")
    }

    /// Every request that came.
    #[must_use]
    pub fn requests(&self) -> Vec<Value> {
        self.said().into_iter().skip(1).collect()
    }

    /// The bodies that were taken, of this type.
    #[must_use]
    pub fn taken(&self, event: &str) -> Vec<Value> {
        let requests = self.requests().into_iter();
        requests
            .filter(|request| request["answered"] == 200 && request["body"]["type"] == event)
            .map(|request| request["body"].clone())
            .collect()
    }

    /// Waits until so many requests have come.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn has(&self, count: usize) -> Vec<Value> {
        eventually("requests reach the receiver", DEADLINE, async || {
            let requests = self.requests();
            (requests.len() >= count).then_some(requests)
        })
        .await
    }
}

/// A port on which nobody listens now.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    match port {
        Ok(address) => address.port(),
        Err(error) => panic!("no port: {error}"),
    }
}
