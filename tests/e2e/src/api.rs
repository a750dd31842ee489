//! The API's steps that most tests take.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Client;
use crate::stream::{Event, Stream, check_ids, output};
use crate::wait::{DEADLINE, eventually};

/// A model that the demo runtime serves.
pub const DEMO_MODEL: &str = "demo/echo";

impl Client {
    /// Creates an agent and returns its id.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn create_agent(&self, body: &Value) -> String {
        id(&self.post("/agents", body).await.expect(201))
    }

    /// Creates an agent of the demo runtime and returns its id.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn demo_agent(&self) -> String {
        let body = json!({"name": "demo", "runtime": "demo", "model": DEMO_MODEL});
        self.create_agent(&body).await
    }

    /// Creates an environment and returns its id.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn create_environment(&self, body: &Value) -> String {
        id(&self.post("/environments", body).await.expect(201))
    }

    /// Creates a session and starts its first turn.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn create_session(&self, body: &Value) -> Session {
        let ack = self.post("/sessions", body).await.expect(202);
        assert_eq!(ack["status"], "pending", "{ack}");
        Session {
            client: self.clone(),
            id: id(&ack),
        }
    }

    /// Starts a session of the demo runtime.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn demo_session(&self, prompt: &str) -> Session {
        let agent = self.demo_agent().await;
        self.create_session(&json!({"agent_id": agent, "prompt": prompt}))
            .await
    }
}

impl Client {
    /// Starts a session of the runtime `raw`, whose CLI is this script.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn raw_session(&self, script: &str) -> Session {
        let body = json!({"name": "raw", "runtime": "raw", "model": DEMO_MODEL});
        let agent = self.create_agent(&body).await;
        self.create_session(&json!({"agent_id": agent, "prompt": script}))
            .await
    }
}

fn id(body: &Value) -> String {
    match body["id"].as_str() {
        Some(id) => id.to_owned(),
        None => panic!("no id: {body}"),
    }
}

/// A session, seen by its owner.
#[derive(Clone, Debug)]
pub struct Session {
    /// Speaks as its owner. Replace it after a restart: the server's port is another then.
    pub client: Client,
    /// Its id.
    pub id: String,
}

/// A turn that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Everything that a stream from the start gives, its ids checked.
    pub events: Vec<Event>,
    /// The session, read when the stream had ended.
    pub session: Value,
    /// The last turn, read then.
    pub turn: Value,
}

impl Ended {
    /// What the CLI wrote to stdout, over all turns.
    #[must_use]
    pub fn stdout(&self) -> String {
        output(&self.events, "stdout")
    }

    /// What the CLI wrote to stdout in the last turn.
    #[must_use]
    pub fn last_stdout(&self) -> String {
        let turn = &self.turn["turn_number"];
        let of_turn: Vec<Event> = self
            .events
            .iter()
            .filter(|event| event.data["turn"] == *turn)
            .cloned()
            .collect();
        output(&of_turn, "stdout")
    }

    /// The last event.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn last(&self) -> &Event {
        match self.events.last() {
            Some(event) => event,
            None => panic!("no events"),
        }
    }

    /// Checks that the turn ended well.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn completed(self) -> Self {
        assert_eq!(self.session["status"], "completed", "{self:#?}");
        assert_eq!(self.turn["outcome"], "completed", "{self:#?}");
        // None where the process stays.
        let code = &self.session["exit_code"];
        assert!(code.is_null() || *code == 0, "{self:#?}");
        assert_eq!(self.session["error"], Value::Null, "{self:#?}");
        assert_eq!(self.last().kind(), "exit", "{self:#?}");
        assert_eq!(self.last().data["code"], 0, "{self:#?}");
        self
    }

    /// Checks that the turn failed, and returns why.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn failed(&self) -> String {
        assert_eq!(self.session["status"], "failed", "{self:#?}");
        assert_eq!(self.turn["outcome"], "failed", "{self:#?}");
        match self.session["error"].as_str() {
            Some(error) => error.to_owned(),
            None => panic!("it does not say why: {self:#?}"),
        }
    }
}

impl Session {
    /// Makes a copy of the session as it was at a turn's end.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn fork(&self, body: &Value) -> Self {
        let path = format!("/sessions/{}/fork", self.id);
        let ack = self.client.post(&path, body).await.expect(202);
        assert_eq!(ack["status"], "pending", "{ack}");
        Self {
            client: self.client.clone(),
            id: id(&ack),
        }
    }

    /// Takes the session back to a turn's end, and returns it.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn restore(&self, turn: u32) -> Value {
        let path = format!("/sessions/{}/restore", self.id);
        let body = json!({"turn": turn});
        self.client.post(&path, &body).await.expect(200)
    }

    /// Waits until nothing is known of a turn's checkpoint any more, or it is made, or was not.
    ///
    /// # Panics
    /// When it is never.
    pub async fn checkpoint(&self, turn: u32) -> Option<Value> {
        let path = format!("/sessions/{}/checkpoints", self.id);
        crate::eventually("the checkpoint is made", crate::DEADLINE, async || {
            let listed = self.client.get(&path).await.expect(200);
            let mut all = listed["data"].as_array().into_iter().flatten();
            let found = all.find(|it| it["turn"] == turn).cloned();
            let is_pending = found.as_ref().is_some_and(|it| it["state"] == "pending");
            (!is_pending).then_some(found)
        })
        .await
    }

    /// The session as its owner reads it.
    ///
    /// # Panics
    /// When it cannot be read.
    pub async fn read(&self) -> Value {
        self.client
            .get(&format!("/sessions/{}", self.id))
            .await
            .expect(200)
    }

    /// Its turns.
    ///
    /// # Panics
    /// When they cannot be read.
    pub async fn turns(&self) -> Vec<Value> {
        let body = self
            .client
            .get(&format!("/sessions/{}/turns", self.id))
            .await
            .expect(200);
        match &body["data"] {
            Value::Array(turns) => turns.clone(),
            _ => panic!("no list: {body}"),
        }
    }

    /// Its stream from the start.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn stream(&self) -> Stream {
        self.client.stream(&self.id, None).await
    }

    /// Starts the next turn.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn prompt(&self, prompt: &str) -> Value {
        self.prompt_with(&json!({"prompt": prompt})).await
    }

    /// Starts the next turn with this body.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn prompt_with(&self, body: &Value) -> Value {
        self.client
            .post(&format!("/sessions/{}/prompt", self.id), body)
            .await
            .expect(202)
    }

    /// Waits until the session stands so.
    ///
    /// # Panics
    /// When it does not get there.
    pub async fn wait_for(&self, status: &str) -> Value {
        self.wait_within(status, DEADLINE).await
    }

    /// Waits until the session stands so.
    ///
    /// # Panics
    /// When it does not get there within `deadline`.
    pub async fn wait_within(&self, status: &str, deadline: Duration) -> Value {
        let mut last = Value::Null;
        let what = format!("session {} is {status}", self.id);
        eventually(&what, deadline, async || {
            last = self.read().await;
            let now = last["status"].as_str().unwrap_or_default();
            let over = matches!(now, "completed" | "failed" | "terminated");
            assert!(now == status || !over, "{status} was waited for: {last:#}");
            (now == status).then(|| last.clone())
        })
        .await
    }

    /// Reads the stream from the start to its end, and then the session: a reader that has seen
    /// the terminal event reads the final state.
    ///
    /// # Panics
    /// When the stream does not end with a terminal event, or its ids are wrong.
    pub async fn ended(&self) -> Ended {
        let events = self.stream().await.rest_within(DEADLINE * 2).await;
        check_ids(&events, 0);
        let terminal = events.last().is_some_and(Event::is_terminal);
        assert!(terminal, "no terminal event at the end: {events:#?}");
        let session = self.read().await;
        let turn = self.turns().await.pop().unwrap_or_default();
        Ended {
            events,
            session,
            turn,
        }
    }

    /// The session behind a server that was started again.
    #[must_use]
    pub fn at(&self, client: &Client) -> Self {
        Self {
            client: client.clone(),
            id: self.id.clone(),
        }
    }
}
