//! Normalized events: one vocabulary for what all runtimes do (`docs/stream.md`).

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{Timestamp, Usage};

/// Where an event stands among a session's events, written `ENTRY.INDEX`.
///
/// Ids rise strictly, over all turns. As the place to resume after, `ENTRY` alone stands behind
/// everything that came from that entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The number of the log's entry that the event came from.
    pub entry: u64,
    /// Counts the events of one entry, from 0.
    pub index: u32,
}

impl EventId {
    /// Before every event.
    pub const START: Self = Self { entry: 0, index: 0 };
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.entry, self.index)
    }
}

/// A text is no [`EventId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event's id is ENTRY.INDEX, or ENTRY alone, in digits")]
pub struct InvalidEventId;

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        fn number<T: FromStr>(digits: &str) -> Result<T, InvalidEventId> {
            // `parse` would take a sign, too.
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            plain
                .then(|| digits.parse().ok())
                .flatten()
                .ok_or(InvalidEventId)
        }
        Ok(match text.split_once('.') {
            Some((entry, index)) => Self {
                entry: number(entry)?,
                index: number(index)?,
            },
            None => Self {
                entry: number(text)?,
                index: u32::MAX,
            },
        })
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl utoipa::PartialSchema for EventId {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^[0-9]+\\.[0-9]+$"))
            .description(Some(
                "The number of the log's entry that the event came from, and an index. Ids rise \
                 strictly.",
            ))
            .into()
    }
}

impl ToSchema for EventId {}

/// A normalized event.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Event {
    /// Its place.
    pub id: EventId,
    /// The turn's number, from 1.
    pub turn: u32,
    /// When what it tells was written.
    pub at: Timestamp,
    /// What it tells.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What an event tells.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "type")]
pub enum EventBody {
    /// The CLI has begun and names its own session.
    #[serde(rename = "session.started")]
    SessionStarted {
        /// The CLI's own id of its session.
        native_session_id: String,
    },
    /// A piece of the assistant's text, which a `message` repeats whole.
    #[serde(rename = "message.delta")]
    MessageDelta {
        /// The piece.
        text: String,
    },
    /// A whole message.
    #[serde(rename = "message")]
    Message {
        /// Who says it.
        role: Role,
        /// What is said.
        text: String,
    },
    /// What the model says of its thinking.
    #[serde(rename = "reasoning")]
    Reasoning {
        /// What it says.
        text: String,
    },
    /// A tool is called.
    #[serde(rename = "tool.call")]
    ToolCall {
        /// Pairs it with its result.
        call_id: String,
        /// The tool's name, as the CLI has it.
        name: String,
        /// Its input, any JSON value.
        #[schema(value_type = Value)]
        input: Box<RawValue>,
    },
    /// A tool has answered.
    #[serde(rename = "tool.result")]
    ToolResult {
        /// The call's id.
        call_id: String,
        /// What came out, as text.
        output: String,
        /// Whether the tool failed.
        is_error: bool,
    },
    /// A file was changed.
    #[serde(rename = "file.change")]
    FileChange {
        /// Its path, as the CLI says it.
        path: String,
        /// What happened to it.
        kind: ChangeKind,
    },
    /// The agent's list of things to do, whole.
    #[serde(rename = "todo")]
    Todo {
        /// The list.
        items: Vec<TodoItem>,
    },
    /// Tokens used since the last `usage` of this turn: the sum over a turn is the turn's.
    #[serde(rename = "usage")]
    Usage {
        /// Tokens sent that were not read from the provider's cache.
        input_tokens: u64,
        /// Tokens received.
        output_tokens: u64,
        /// Tokens sent that the provider had cached.
        cached_tokens: u64,
        /// US dollars, where the CLI says.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(required = false, nullable = false)]
        cost_usd: Option<f64>,
    },
    /// A retry, a rate limit, a warning; also where the runtime's adapter failed.
    #[serde(rename = "notice")]
    Notice {
        /// How much it matters.
        level: Level,
        /// What it is.
        text: String,
    },
    /// How the turn ended, as the CLI tells it. At most one in a turn; none where the CLI died
    /// without a word.
    #[serde(rename = "turn.result")]
    TurnResult {
        /// The final text, where the CLI gives one.
        #[schema(required)]
        text: Option<String>,
        /// Whether the turn failed.
        is_error: bool,
        /// The model's or CLI's own word for why it stopped.
        #[schema(required)]
        stop_reason: Option<String>,
        /// How long it took: by the CLI's account, else by the log's clock.
        duration_ms: u64,
        /// Why it failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(required = false, nullable = false)]
        failure: Option<Failure>,
    },
    /// The CLI asks its user, who answers by `POST /sessions/{id}/answers`.
    #[serde(rename = "permission.request")]
    PermissionRequest {
        /// Unique within the turn.
        request_id: String,
        /// What kind of question it is.
        kind: QuestionKind,
        /// What is asked, for people.
        title: String,
        /// More about it, such as a tool's input; any JSON value.
        #[schema(value_type = Value)]
        detail: Box<RawValue>,
        /// The answers to choose from; none: free text.
        choices: Vec<Choice>,
        /// What is answered where nobody does: a choice's id, or text.
        default: String,
        /// Milliseconds to answer in.
        deadline_ms: u32,
    },
    /// A question of the CLI was answered.
    #[serde(rename = "permission.answer")]
    PermissionAnswer {
        /// The question's id.
        request_id: String,
        /// A choice's id, or text.
        answer: String,
        /// Whether nobody answered in time and this is the default.
        by_default: bool,
    },
    /// What the adapter did not know, as it stood.
    #[serde(rename = "unparsed")]
    Unparsed {
        /// A line without its line end, or a piece of one that is too long.
        data: String,
    },
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The model.
    Assistant,
    /// The user.
    User,
    /// The CLI or its configuration.
    System,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It was not there before.
    Created,
    /// It has another content.
    Modified,
    /// It is gone.
    Deleted,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TodoItem {
    /// What.
    pub text: String,
    /// How far.
    pub status: TodoStatus,
}

/// How far a thing to do has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TodoStatus {
    /// Not begun.
    Pending,
    /// Begun.
    InProgress,
    /// Done.
    Completed,
}

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Good to know.
    Info,
    /// Something may be wrong.
    Warning,
    /// Something is wrong.
    Error,
}

/// Why a turn failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Failure {
    /// The kind, for programs.
    pub kind: FailureKind,
    /// What happened, for people.
    pub message: String,
    /// With `quota`: when to try again, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub retry_at: Option<Timestamp>,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No credential, or one that was refused.
    Auth,
    /// A rate limit or an exhausted plan.
    Quota,
    /// The provider is unreachable, failed, or does not know the model.
    Provider,
    /// A tool or an MCP server.
    Tool,
    /// It took too long.
    Timeout,
    /// The earlier conversation was not found.
    Resume,
    /// The CLI broke.
    Crash,
}

/// Kinds of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    /// May the agent do this?
    Permission,
    /// Anything else.
    Question,
}

/// One answer to choose from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Choice {
    /// Its id.
    pub id: String,
    /// What it says, for people.
    pub label: String,
}

impl From<Usage> for EventBody {
    fn from(usage: Usage) -> Self {
        Self::Usage {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cached_tokens: usage.cached_tokens,
            cost_usd: usage.cost_usd,
        }
    }
}

/// The JSON Schema of an [`Event`], which is `docs/events.schema.json`.
pub fn json_schema() -> serde_json::Value {
    let mut schemas = Vec::new();
    <Event as ToSchema>::schemas(&mut schemas);
    let definitions: serde_json::Map<_, _> = schemas
        .into_iter()
        .map(|(name, schema)| (name, serde_json::json!(schema)))
        .collect();
    let mut schema = serde_json::json!(<Event as utoipa::PartialSchema>::schema());
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "A normalized event".into();
    schema["$defs"] = definitions.into();
    relink(&mut schema);
    schema
}

/// Points references at this schema's own definitions instead of an OpenAPI document's, and takes
/// out formats that OpenAPI alone knows.
fn relink(schema: &mut serde_json::Value) {
    use serde_json::Value;
    match schema {
        Value::Object(fields) => {
            fields.retain(|name, value| name != "format" || value == "date-time");
            for (name, value) in fields {
                match value {
                    Value::String(target) if name == "$ref" => {
                        *target = target.replace("#/components/schemas/", "#/$defs/");
                    }
                    value => relink(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(relink),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_two_numbers_or_one() {
        let id = EventId {
            entry: 12,
            index: 3,
        };
        assert_eq!("12.3".parse(), Ok(id));
        assert_eq!(id.to_string(), "12.3");
        let behind: EventId = "12".parse().unwrap();
        assert!(id < behind);
        assert!(behind < "13.0".parse().unwrap());
        assert!("0".parse::<EventId>().unwrap() < "1.0".parse().unwrap());
        for bad in [
            "",
            ".",
            "1.",
            ".1",
            "-1",
            "+1",
            "1.+1",
            "1.2.3",
            " 1",
            "1 ",
            "x",
            "0x1",
            "1.x",
            "١",
            "18446744073709551616",
            "1.4294967296",
        ] {
            assert_eq!(bad.parse::<EventId>(), Err(InvalidEventId), "{bad:?}");
        }
    }

    /// `UPDATE_SCHEMA=1 cargo test -p aod-resources schema` writes the file anew.
    #[test]
    fn the_schema_in_the_documentation_is_that_of_the_types() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/events.schema.json");
        let schema = format!("{:#}\n", json_schema());
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(file, &schema).unwrap();
        }
        let written = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            written == schema,
            "{file} is not what the types say: set UPDATE_SCHEMA=1 and look at what has changed"
        );
    }

    #[test]
    fn an_event_is_one_flat_object_and_keeps_json_as_it_stood() {
        let event = Event {
            id: EventId { entry: 7, index: 0 },
            turn: 1,
            at: Timestamp::from_micros(0),
            body: EventBody::ToolCall {
                call_id: "c".to_owned(),
                name: "n".to_owned(),
                input: RawValue::from_string("{\"b\":1.50,\"a\":2}".to_owned()).unwrap(),
            },
        };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            "{\"id\":\"7.0\",\"turn\":1,\"at\":\"1970-01-01T00:00:00.000000+00:00\",\
             \"type\":\"tool.call\",\"call_id\":\"c\",\"name\":\"n\",\"input\":{\"b\":1.50,\"a\":2}}"
        );
    }
}
