//! Normalized events: one vocabulary for what all runtimes do.
//!
//! The same types serve adapters (by way of their bindings), the store, the stream, the OpenAPI
//! description and clients.

mod body;
mod id;
mod schema;
mod tools;
mod turns;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

pub use body::{
    Compaction, EventBody, Level, McpServer, McpState, Message, MessageDelta, MessageDiscarded,
    Notice, Other, Reasoning, Role, SessionStarted, Task, TaskKind, TaskState, Unparsed,
    UsageDifference,
};
pub use id::{EventId, InvalidEventId};
pub use schema::json_schema;
pub use tools::{
    ChangeKind, Diff, FileChange, Image, Link, Location, Part, Todo, TodoItem, TodoStatus,
    ToolCall, ToolKind, ToolResult, ToolUpdate,
};
pub use turns::{
    Choice, ChoiceMeaning, Continuity, Failure, FailureKind, InputState, PermissionAnswer,
    PermissionRequest, PermissionWithdrawn, QuestionKind, StopKind, ToolAnswer, ToolAnswerContent,
    ToolRequest, ToolWithdrawn, TurnCause, TurnInput, TurnResult, TurnStarted,
};

use crate::Timestamp;

/// A normalized event.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Event {
    /// Its place among the session's events.
    pub id: EventId,
    /// The turn's number, from 1; null for what belongs to no turn.
    #[schema(required)]
    pub turn: Option<u32>,
    /// Its number within the turn, from 1, by which other events name it. A message has the number
    /// that its pieces named before it was whole, so numbers are unique and need not rise.
    pub ordinal: u32,
    /// The call that it happened inside of, by its `call_id`: what a subagent does happens inside
    /// of the call that started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub inside: Option<String>,
    /// When what it tells was written.
    pub at: Timestamp,
    /// The fields that are cut in a page, since they are large: read by its id, the event has
    /// them whole. Absent where none is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub truncated: Vec<String>,
    /// What it tells.
    #[serde(flatten)]
    pub body: EventBody,
}

#[derive(Deserialize)]
struct Envelope {
    id: EventId,
    turn: Option<u32>,
    ordinal: u32,
    inside: Option<String>,
    at: Timestamp,
    #[serde(default)]
    truncated: Vec<String>,
    r#type: String,
}

impl Event {
    /// Reads an event as it is sent. One of a type that is not known here becomes
    /// [`EventBody::Other`], with all that was sent.
    ///
    /// # Errors
    /// The text is no event.
    pub fn from_json(text: &str) -> serde_json::Result<Self> {
        let envelope: Envelope = serde_json::from_str(text)?;
        let body = match EventBody::read(&envelope.r#type, text) {
            Some(body) => body?,
            None => EventBody::Other(Other {
                json: RawValue::from_string(text.trim().to_owned())?,
                kind: envelope.r#type,
            }),
        };
        Ok(Self {
            id: envelope.id,
            turn: envelope.turn,
            ordinal: envelope.ordinal,
            inside: envelope.inside,
            at: envelope.at,
            truncated: envelope.truncated,
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(body: EventBody) -> Event {
        Event {
            id: EventId { entry: 7, index: 0 },
            turn: Some(1),
            ordinal: 3,
            inside: None,
            at: Timestamp::from_micros(0),
            truncated: Vec::new(),
            body,
        }
    }

    #[test]
    fn an_event_is_one_flat_object_and_keeps_json_as_it_stood() {
        let event = event(EventBody::ToolCall(ToolCall {
            call_id: "c".to_owned(),
            name: "n".to_owned(),
            kind: ToolKind::Execute,
            title: None,
            server: None,
            canonical_name: None,
            input: RawValue::from_string("{\"b\":1.50,\"a\":2}".to_owned()).unwrap(),
            locations: Vec::new(),
        }));
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(
            text,
            "{\"id\":\"7.0\",\"turn\":1,\"ordinal\":3,\"at\":\"1970-01-01T00:00:00.000000+00:00\",\
             \"type\":\"tool.call\",\"call_id\":\"c\",\"name\":\"n\",\"kind\":\"execute\",\
             \"input\":{\"b\":1.50,\"a\":2}}"
        );
        let read = Event::from_json(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn what_is_written_reads_back_whatever_its_type() {
        for body in EventBody::samples() {
            let text = serde_json::to_string(&event(body)).unwrap();
            let read = Event::from_json(&text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
    }

    #[test]
    fn a_type_that_is_not_known_is_kept_whole() {
        let text = "{\"type\":\"weather.change\",\"id\":\"1.0\",\"turn\":null,\"ordinal\":1,\
                    \"at\":\"1970-01-01T00:00:00.000000+00:00\",\"sky\":\"blue\"}";
        let read = Event::from_json(text).unwrap();
        let EventBody::Other(other) = &read.body else {
            panic!("{read:?}");
        };
        assert_eq!(other.kind, "weather.change");
        assert_eq!(other.json.get(), text);
        assert_eq!((read.turn, read.body.kind()), (None, "other"));
        assert!(Event::from_json("{\"type\":\"notice\"}").is_err());
    }
}
