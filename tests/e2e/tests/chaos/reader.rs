//! A client that follows a session whatever happens to the server, as the documentation says:
//! where the connection breaks off, it resumes after the last id that it saw.

use std::time::Duration;

use eventsource_stream::Eventsource as _;
use futures::StreamExt as _;
use reqwest::Method;
use serde_json::Value;

use crate::Address;

/// How long to wait before the next try. A server that is being started refuses connections.
const PAUSE: Duration = Duration::from_millis(50);

/// One of a session's two streams, read to the end of turn after turn.
pub(crate) struct Reader {
    address: Address,
    path: String,
    /// The last id that was seen.
    last: Option<String>,
}

impl Reader {
    pub(crate) fn new(address: &Address, session: &str, stream: &str) -> Self {
        Self {
            address: address.clone(),
            path: format!("/sessions/{session}/{stream}"),
            last: None,
        }
    }

    /// The last id that was seen.
    pub(crate) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Reads on until the server ends the stream, however often it is killed meanwhile. Only
    /// events with an id are returned: the others may come with each connection.
    pub(crate) async fn rest(&mut self) -> Vec<Value> {
        let mut seen = Vec::new();
        while !self.read(&mut seen).await {
            tokio::time::sleep(PAUSE).await;
        }
        seen
    }

    /// Reads until the connection ends; says whether the server meant it to.
    async fn read(&mut self, seen: &mut Vec<Value>) -> bool {
        let client = self.address.borrow().clone();
        let mut request = client.request(Method::GET, &self.path);
        if let Some(last) = &self.last {
            request = request.header("Last-Event-ID", last);
        }
        let Ok(reply) = request.send().await else {
            return false;
        };
        assert_eq!(reply.status(), 200, "{}", self.path);
        let mut events = reply.bytes_stream().eventsource();
        while let Some(event) = events.next().await {
            // A server that is killed breaks off in the middle of its reply. Who has seen how the
            // turn ended need not hear it twice: what comes after that is the next turn.
            let Ok(event) = event else {
                return seen.last().is_some_and(is_terminal);
            };
            let event: Value = serde_json::from_str(&event.data).unwrap();
            let id = match &event["id"] {
                Value::Number(id) if event["type"] != "turn_start" => id.to_string(),
                Value::String(id) => id.clone(),
                _ => continue,
            };
            self.last = Some(id);
            seen.push(event);
        }
        true
    }
}

/// Whether an event of the native stream ends its turn.
pub(crate) fn is_terminal(event: &Value) -> bool {
    matches!(
        event["type"].as_str(),
        Some("exit" | "error" | "terminated")
    )
}
