//! The lines that the CLI writes, as far as the adapter reads them.
//!
//! One structure serves all kinds of lines, so that each is read once, whatever the order of its
//! keys: `type` is not always the first.

use std::fmt;

use aod_plugin_sdk::json::{MaybeText, Text};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A line of stdout.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Line<'a> {
    #[serde(rename = "type")]
    pub kind: Text<'a>,
    pub subtype: Option<Text<'a>>,
    pub session_id: Option<Text<'a>>,
    /// Set in what a subagent says: the call of the tool that started it.
    pub parent_tool_use_id: Option<Text<'a>>,
    /// In `assistant` and `user`; in some notices a plain text.
    pub message: Message<'a>,
    /// In `stream_event`.
    pub event: Option<StreamEvent<'a>>,
    /// A word for what went wrong, in `assistant` and `system/api_retry`.
    pub error: MaybeText<'a>,
    /// In `user`, next to a tool's result.
    pub tool_use_result: ToolUseResult<'a>,

    // `system/init`
    pub mcp_servers: Vec<McpServer<'a>>,

    // `system/status`
    pub status: MaybeText<'a>,

    // `system/api_retry`
    pub attempt: Option<u32>,
    pub max_retries: Option<u32>,
    pub retry_delay_ms: Option<f64>,
    pub error_status: Option<u16>,

    // `rate_limit_event`
    pub rate_limit_info: Option<RateLimit<'a>>,

    // What background tasks and other notices are about
    pub description: MaybeText<'a>,
    pub summary: MaybeText<'a>,
    pub content: MaybeText<'a>,

    // `result`
    pub is_error: Option<bool>,
    pub api_error_status: Option<u16>,
    pub result: MaybeText<'a>,
    pub duration_ms: Option<u64>,
    pub stop_reason: Option<Text<'a>>,
    pub terminal_reason: Option<Text<'a>>,
    pub total_cost_usd: Option<f64>,
    pub usage: Option<Usage>,
    pub errors: Vec<MaybeText<'a>>,
}

/// A server in `system/init`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct McpServer<'a> {
    pub name: Text<'a>,
    pub status: Text<'a>,
}

/// What a `rate_limit_event` says.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct RateLimit<'a> {
    pub status: MaybeText<'a>,
    #[serde(rename = "resetsAt")]
    pub resets_at: Option<u64>,
    #[serde(rename = "rateLimitType")]
    pub kind: MaybeText<'a>,
}

/// Tokens of a turn.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Usage {
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    pub cache_creation_input_tokens: Option<u64>,
    pub cache_read_input_tokens: Option<u64>,
}

/// A message of the API.
#[derive(Debug, Default)]
pub struct Message<'a> {
    pub content: Content<'a>,
}

/// A message's or a tool result's content.
#[derive(Debug, Default)]
pub enum Content<'a> {
    #[default]
    Absent,
    Text(Text<'a>),
    Blocks(Vec<Block<'a>>),
}

/// A block of a content.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Block<'a> {
    #[serde(rename = "type")]
    pub kind: Text<'a>,
    pub text: Option<Text<'a>>,
    pub thinking: Option<Text<'a>>,
    pub id: Option<Text<'a>>,
    pub name: Option<Text<'a>>,
    #[serde(borrow)]
    pub input: Option<&'a RawValue>,
    pub tool_use_id: Option<Text<'a>>,
    pub tool_name: Option<Text<'a>>,
    pub content: Content<'a>,
    pub is_error: Option<bool>,
}

/// A piece of a message that is being made.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct StreamEvent<'a> {
    #[serde(rename = "type")]
    pub kind: Text<'a>,
    pub delta: Delta<'a>,
}

/// What a piece adds.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Delta<'a> {
    #[serde(rename = "type")]
    pub kind: Text<'a>,
    pub text: Option<Text<'a>>,
}

/// What a tool says for programs; of any type.
#[derive(Debug, Default)]
pub struct ToolUseResult<'a> {
    /// With files: `create` or `update`.
    pub kind: Option<Text<'a>>,
    /// With a new task: its id.
    pub task: Option<Text<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Message<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MessageVisitor;

        impl<'de> Visitor<'de> for MessageVisitor {
            type Value = Message<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a message")
            }

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(Message::default())
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Message::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut message = Message::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    if &*key == "content" {
                        message.content = map.next_value()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(message)
            }
        }

        deserializer.deserialize_any(MessageVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContentVisitor;

        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text or blocks")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Content::Text(Text(text.into())))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Content::Text(Text(text.to_owned().into())))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Content::Absent)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut blocks = Vec::new();
                while let Some(block) = items.next_element()? {
                    blocks.push(block);
                }
                Ok(Content::Blocks(blocks))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Content::Absent)
            }
        }

        deserializer.deserialize_any(ContentVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for ToolUseResult<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ResultVisitor;

        #[derive(Default, Deserialize)]
        #[serde(default, bound(deserialize = "'de: 'a"))]
        struct Task<'a> {
            id: MaybeText<'a>,
        }

        impl<'de> Visitor<'de> for ResultVisitor {
            type Value = ToolUseResult<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("any value")
            }

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(ToolUseResult::default())
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(ToolUseResult::default())
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(ToolUseResult::default())
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(ToolUseResult::default())
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(ToolUseResult::default())
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(ToolUseResult::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(ToolUseResult::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut result = ToolUseResult::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    match &*key {
                        "type" => result.kind = map.next_value::<MaybeText<'de>>()?.0,
                        "task" => result.task = map.next_value::<Task<'de>>()?.id.0,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(result)
            }
        }

        deserializer.deserialize_any(ResultVisitor)
    }
}
