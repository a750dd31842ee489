//! How a run is stopped, and what does not stop it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::Arc;

use aod_e2e::{DEADLINE, Runtimes, Server, ServerOptions, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{Said, lines, spawn};

/// A run whose turn is under way, and which session it is in.
struct Running {
    child: Child,
    session: String,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Running {
    async fn start(server: &Server, arguments: &[&str]) -> Self {
        let mut child = spawn(server.command(arguments).stdin(Stdio::null()));
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut session = String::new();
        while !session.starts_with("session ") {
            session.clear();
            assert!(stderr.read_line(&mut session).unwrap() > 0, "it has ended");
        }
        let session = session.trim()["session ".len()..].to_owned();
        let running = Self {
            child,
            session,
            stderr,
        };
        running.wait_for(server, "running").await;
        running
    }

    async fn wait_for(&self, server: &Server, status: &str) {
        eventually(status, DEADLINE, async || {
            (self.read(server).await["status"] == status).then_some(())
        })
        .await;
    }

    async fn read(&self, server: &Server) -> Value {
        let path = format!("/sessions/{}", self.session);
        server.client().get(&path).await.expect(200)
    }

    async fn outcome(&self, server: &Server) -> Value {
        let path = format!("/sessions/{}/turns", self.session);
        let turns = server.client().get(&path).await.expect(200);
        turns["data"][0]["outcome"].clone()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits until stderr has a line with this in it.
    fn hear(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(self.stderr.read_line(&mut line).unwrap() > 0, "no {text}");
        }
    }

    fn end(mut self) -> Said {
        let mut stderr = String::new();
        self.stderr.read_to_string(&mut stderr).unwrap();
        let said = Said::of(self.child.wait_with_output().unwrap());
        Said { stderr, ..said }
    }
}

#[tokio::test]
async fn signals_interrupt_the_turn_and_a_second_ctrl_c_terminates_the_session() {
    let server = Server::demo().await;
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let running = Running::start(&server, &["run", "sleep 300"]).await;
        running.signal(signal);
        running.wait_for(&server, "completed").await;
        assert_eq!(running.outcome(&server).await, "interrupted");
        let said = running.end();
        assert_eq!(said.code, Some(code), "{said:#?}");
        assert!(said.stderr.contains("interrupted;"), "{said:#?}");
    }

    // A command that does not heed the wish to stop.
    let stubborn = "$ trap '' INT TERM; echo stubborn; sleep 300";
    let mut running = Running::start(&server, &["run", stubborn]).await;
    running.signal(Signal::INT);
    running.hear("interrupting");
    running.signal(Signal::INT);
    running.wait_for(&server, "terminated").await;
    assert_eq!(running.end().code, Some(130));
}

#[tokio::test]
async fn a_session_that_waits_for_its_first_turn_is_stopped_for_good() {
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_ADMISSION__MAX_RUNNING", 1);
    let server = Server::start(options).await;
    let first = Running::start(&server, &["run", "sleep 300"]).await;
    let mut child = spawn(server.command(&["run", "hello"]).stdin(Stdio::null()));
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("session ") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it has ended");
    }
    let second = Running {
        child,
        session: line.trim()["session ".len()..].to_owned(),
        stderr,
    };
    second.signal(Signal::TERM);
    second.wait_for(&server, "terminated").await;
    assert_eq!(second.end().code, Some(143));
    first.signal(Signal::INT);
    assert_eq!(first.end().code, Some(130));
}

#[tokio::test]
async fn what_nobody_reads_is_not_paid_for() {
    let server = Server::demo().await;
    let arguments = [
        "run",
        "hello\nsleep 1\nbytes 400000\nsleep 300",
        "--json",
        "--deltas",
    ];
    let mut running = Running::start(&server, &arguments).await;
    drop(running.child.stdout.take());
    running.wait_for(&server, "completed").await;
    assert_eq!(running.outcome(&server).await, "interrupted");
    assert_eq!(running.end().code, Some(141));
}

#[tokio::test]
async fn a_server_that_is_started_again_costs_nothing() {
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let options = ServerOptions::new(Runtimes::demo()).listening_on(listener);
    let mut server = Server::start(options).await;
    let gate = "$ while [ ! -e gate ]; do sleep 0.05; done; echo opened";
    let arguments = ["run", gate, "--json"];
    let mut running = Running::start(&server, &arguments).await;
    server.kill();
    running.hear("trying again");
    server.start_again().await;
    let workspace = server.session_files(&running.session).join("workspace");
    std::fs::write(workspace.join("gate"), "").unwrap();
    let told = lines(&running.end().good());
    let ids: Vec<&str> = told
        .iter()
        .filter_map(|event| event["id"].as_str())
        .collect();
    let page = server
        .client()
        .get(&format!(
            "/sessions/{}/events?deltas=false",
            told[0]["session"]["id"].as_str().unwrap()
        ))
        .await
        .expect(200);
    let expected = page["data"].as_array().unwrap().iter();
    let expected: Vec<&str> = expected
        .map(|event| event["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, expected);
}
