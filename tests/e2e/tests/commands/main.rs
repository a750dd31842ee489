//! The commands that ask a server, as people and scripts use them: the real program against a real
//! server.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod backups;
mod documents;
mod image;
mod refusals;
mod release;
mod runs;
mod sessions;
mod shells;
mod stops;
mod templates;
mod tour;

use std::io::Write as _;
use std::process::{Child, Command, Output, Stdio};

use aod_e2e::Server;
use serde_json::Value;

/// What a command has said and how it ended.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// What it printed, if it ended well.
    #[track_caller]
    fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }

    /// What it printed as JSON, if it ended well.
    #[track_caller]
    fn json(self) -> Value {
        serde_json::from_str(&self.good()).unwrap()
    }

    /// What it said of its failure.
    #[track_caller]
    fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self.stderr
    }
}

/// Runs a command to its end, with nothing on its standard input.
fn aod(server: &Server, arguments: &[&str]) -> Said {
    Said::of(server.command(arguments).output().unwrap())
}

/// The same with something piped in.
fn aod_with(server: &Server, arguments: &[&str], input: &[u8]) -> Said {
    let mut child = spawn(server.command(arguments).stdin(Stdio::piped()));
    child.stdin.take().unwrap().write_all(input).unwrap();
    Said::of(child.wait_with_output().unwrap())
}

fn spawn(command: &mut Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The lines of JSON that a command has printed.
fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

/// The id of the session that `aod run` has told on stderr.
fn session_of(stderr: &str) -> String {
    let line = stderr
        .lines()
        .find_map(|line| line.strip_prefix("session "));
    line.unwrap_or_else(|| panic!("no session: {stderr}"))
        .to_owned()
}
