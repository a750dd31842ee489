//! A session's native stream.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde_json::Value;

use crate::contract;
use crate::wait::{DEADLINE, within};

/// One message of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its `id:` line.
    pub line_id: Option<u64>,
    /// Its data.
    pub data: Value,
}

impl Event {
    /// The event's type.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.data["type"].as_str().unwrap_or_default()
    }

    /// The `id` in its data.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        self.data["id"].as_u64()
    }

    /// Whether its output holds this text.
    #[must_use]
    pub fn says(&self, text: &str) -> bool {
        let data = self.data["data"].as_str();
        data.is_some_and(|data| data.contains(text))
    }

    /// Whether it ends a turn.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self.kind(), "exit" | "error" | "terminated")
    }
}

/// An open stream.
pub struct Stream {
    /// The reply's headers.
    pub headers: reqwest::header::HeaderMap,
    path: String,
    body: BoxStream<'static, reqwest::Result<Vec<u8>>>,
    buffer: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(reply: reqwest::Response) -> Self {
        let headers = reply.headers().clone();
        let path = reply.url().path().to_owned();
        let body = reply
            .bytes_stream()
            .map(|chunk| chunk.map(Vec::from))
            .boxed();
        Self {
            headers,
            path,
            body,
            buffer: Vec::new(),
        }
    }

    /// The next event; none when the server has closed the stream, or its host was killed.
    ///
    /// # Panics
    /// When nothing comes within the deadline.
    pub async fn next(&mut self) -> Option<Event> {
        within("the stream's next event", DEADLINE, self.read()).await
    }

    /// All events to the stream's end.
    ///
    /// # Panics
    /// When it does not end within the deadline.
    pub async fn rest(&mut self) -> Vec<Event> {
        self.rest_within(DEADLINE).await
    }

    /// All events to the stream's end.
    ///
    /// # Panics
    /// When it does not end within `deadline`.
    pub async fn rest_within(&mut self, deadline: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        within("the stream's end", deadline, async {
            while let Some(event) = self.read().await {
                events.push(event);
            }
        })
        .await;
        events
    }

    /// Events up to and with the first for which `wanted` says so.
    ///
    /// # Panics
    /// When the stream ends before, or nothing comes within the deadline.
    pub async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            match self.next().await {
                Some(event) => {
                    let found = wanted(&event);
                    events.push(event);
                    if found {
                        return events;
                    }
                }
                None => panic!("the stream ended without what was waited for: {events:#?}"),
            }
        }
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            if let Some(message) = self.message() {
                // A message without data is a comment, such as a heartbeat.
                if let Some(event) = parse(&message) {
                    contract::check_event(&self.path, &event.data);
                    return Some(event);
                }
                continue;
            }
            // A host that is killed breaks its connections off; that is an end like another.
            let chunk = self.body.next().await?.ok()?;
            self.buffer.extend(chunk);
        }
    }

    fn message(&mut self) -> Option<String> {
        let end = memchr::memmem::find(&self.buffer, b"\n\n")?;
        let message: Vec<u8> = self.buffer.drain(..end + 2).collect();
        match String::from_utf8(message) {
            Ok(message) => Some(message),
            Err(error) => panic!("a stream that is not UTF-8: {error}"),
        }
    }
}

fn parse(message: &str) -> Option<Event> {
    let mut line_id = None;
    let mut data = None;
    for line in message.lines().filter(|line| !line.is_empty()) {
        if let Some(id) = line.strip_prefix("id: ") {
            line_id = id.parse().ok();
            assert!(line_id.is_some(), "an id that is no number: {line:?}");
        } else if let Some(json) = line.strip_prefix("data: ") {
            assert!(data.is_none(), "two data lines in one message: {message:?}");
            data = serde_json::from_str(json).ok();
            assert!(data.is_some(), "data that is no JSON: {line:?}");
        } else {
            assert!(
                line.starts_with(':'),
                "a line that clients do not know: {line:?}"
            );
        }
    }
    data.map(|data| Event { line_id, data })
}

/// The events' types, in order.
#[must_use]
pub fn types(events: &[Event]) -> Vec<&str> {
    events.iter().map(Event::kind).collect()
}

/// What was written to `stdout` or `stderr`.
#[must_use]
pub fn output(events: &[Event], stream: &str) -> String {
    let outputs = events
        .iter()
        .filter(|event| event.kind() == "output" && event.data["stream"] == stream);
    outputs
        .filter_map(|event| event.data["data"].as_str())
        .collect()
}

/// Checks what holds for every stream: it begins with `start`, which has no id; the numbered
/// events go on from `after` without a gap, each id once; and `turn_start` has the id of the
/// event behind it and no `id:` line. Returns the last id.
///
/// # Panics
/// When one of these does not hold.
#[track_caller]
pub fn check_ids(events: &[Event], after: u64) -> u64 {
    const KNOWN: [&str; 8] = [
        "start",
        "stage",
        "turn_start",
        "output",
        "exit",
        "error",
        "terminated",
        "stale",
    ];
    assert_eq!(types(events).first(), Some(&"start"), "{events:#?}");
    let mut last = after;
    for (index, event) in events.iter().enumerate() {
        assert!(
            KNOWN.contains(&event.kind()),
            "a type that clients do not know: {event:?}"
        );
        match event.kind() {
            "start" => {
                assert_eq!(index, 0, "a second start: {events:#?}");
                assert_eq!((event.line_id, event.id()), (None, None), "{event:?}");
            }
            "turn_start" => {
                assert_eq!(
                    event.line_id, None,
                    "a resume would skip the event behind: {event:?}"
                );
                assert_eq!(event.id(), Some(last + 1), "{events:#?}");
            }
            // A stale stream ends with the id at which it stands.
            "stale" => assert_eq!(event.line_id, None, "{event:?}"),
            _ => {
                assert_eq!(event.id(), Some(last + 1), "{events:#?}");
                assert_eq!(event.line_id, event.id(), "{event:?}");
                last += 1;
            }
        }
    }
    last
}
