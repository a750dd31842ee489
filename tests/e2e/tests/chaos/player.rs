//! A user with one session: prompts, follows, checks, and prompts again.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::Address;
use crate::reader::{Reader, is_terminal};

/// What becomes of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It must complete: what is killed does not concern it.
    Completes,
    /// It may also fail, and then says why.
    MayFail,
}

/// What a player has seen.
#[derive(Debug, Default)]
pub(crate) struct Score {
    pub(crate) turns: usize,
    pub(crate) failed: usize,
    pub(crate) lines: usize,
}

/// A session and those who follow it.
pub(crate) struct Player {
    address: Address,
    session: String,
    native: Reader,
    normalized: Reader,
    /// The last number in the native stream.
    last: u64,
    /// How many lines a turn writes.
    lines: usize,
    pub(crate) score: Score,
}

fn prompt(turn: usize, lines: usize) -> String {
    let line = |number| format!("$ sleep 0.02; echo {}\n", text(turn, number));
    (0..lines).map(line).collect()
}

fn text(turn: usize, number: usize) -> String {
    format!("turn-{turn}-line-{number}")
}

impl Player {
    /// Creates a session whose turns write so many lines; its first is under way when this
    /// returns.
    pub(crate) async fn new(address: &Address, agent: &str, lines: usize) -> Self {
        let body = json!({"agent_id": agent, "prompt": prompt(1, lines)});
        let ack = post(address, "/sessions", &body).await;
        let session = ack["id"].as_str().unwrap().to_owned();
        Self {
            native: Reader::new(address, &session, "stream"),
            normalized: Reader::new(address, &session, "events"),
            address: address.clone(),
            session,
            last: 0,
            lines,
            score: Score::default(),
        }
    }

    /// Follows the turn that is under way to its end, and checks it.
    pub(crate) async fn follow(&mut self, fate: Fate) {
        let (native, normalized) = tokio::join!(self.native.rest(), self.normalized.rest());
        self.score.turns += 1;
        let turn = self.score.turns;
        let about = format!("session {}, turn {turn}", self.session);
        for event in &native {
            assert_eq!(event["id"], self.last + 1, "{about}: {event}");
            self.last += 1;
        }
        let ends = native.iter().filter(|event| is_terminal(event));
        assert_eq!(ends.count(), 1, "{about}");
        let end = native.last().unwrap();
        assert!(is_terminal(end), "{about}: {end}");

        let outputs = native.iter().filter(|event| event["type"] == "output");
        let said: String = outputs
            .filter(|event| event["stream"] == "stdout")
            .filter_map(|event| event["data"].as_str())
            .collect();
        let native_lines = said
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|line| line["demo"] == "tool-result")
            .map(|line| line["output"].as_str().unwrap().to_owned());
        let native_lines: Vec<_> = native_lines.collect();
        let results = normalized
            .iter()
            .filter(|event| event["type"] == "tool.result");
        let normalized_lines: Vec<_> = results
            .map(|event| event["output"].as_str().unwrap().to_owned())
            .collect();

        let session = self.read().await;
        let complete = session["status"] == "completed" && end["code"] == 0;
        if !complete {
            assert_eq!(fate, Fate::MayFail, "{about}: {session:#} {end}");
            assert_eq!(session["status"], "failed", "{about}: {session:#}");
            assert!(session["error"].is_string(), "{about}: {session:#}");
            assert_eq!(session["resumable"], true, "{about}: {session:#}");
            self.score.failed += 1;
        }
        let expected = match complete {
            true => self.lines,
            false => native_lines.len(),
        };
        let expected: Vec<_> = (0..expected).map(|number| text(turn, number)).collect();
        assert_eq!(native_lines, expected, "{about}");
        assert_eq!(normalized_lines, expected, "{about}");
        self.score.lines += expected.len();
    }

    /// Starts the next turn.
    pub(crate) async fn prompt(&self) {
        let path = format!("/sessions/{}/prompt", self.session);
        let body = json!({"prompt": prompt(self.score.turns + 1, self.lines)});
        post(&self.address, &path, &body).await;
    }

    /// How far the normalized events have been read.
    pub(crate) fn mark(&self) -> &str {
        self.normalized.last().unwrap_or("0")
    }

    /// The first normalized event after such a mark.
    pub(crate) async fn event_after(&self, mark: &str) -> Value {
        let path = format!("/sessions/{}/events?after={mark}&limit=1", self.session);
        self.get(&path).await["data"][0].clone()
    }

    async fn read(&self) -> Value {
        self.get(&format!("/sessions/{}", self.session)).await
    }

    async fn get(&self, path: &str) -> Value {
        loop {
            let client = self.address.borrow().clone();
            let request = client.request(reqwest::Method::GET, path);
            if let Ok(reply) = client.try_send(request).await {
                return reply.expect(200);
            }
            pause().await;
        }
    }
}

/// Posts until there is an answer. The server may be killed when it has taken the request and not
/// yet answered; the key makes sure that it is taken once.
async fn post(address: &Address, path: &str, body: &Value) -> Value {
    let key = Uuid::new_v4().to_string();
    loop {
        let client = address.borrow().clone();
        let request = client.request(reqwest::Method::POST, path).json(body);
        let request = request.header("Idempotency-Key", &key);
        if let Ok(reply) = client.try_send(request).await {
            return reply.expect(202);
        }
        pause().await;
    }
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}
