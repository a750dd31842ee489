//! The Messages API.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Dialect, Ids, pieces, text_of};
use crate::conversation::{Call, Item, Tool};
use crate::play::Event;
use crate::record::{INPUT_TOKENS, OUTPUT_TOKENS, Request};
use crate::script::{End, Part, Reply};
use crate::tool::LOOKUP_TOOL;

/// Stands for the signature of a thinking block, which clients send back unread.
const SIGNATURE: &str = "c3RhbmQtaW4=";

/// `POST /v1/messages`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Messages;

impl Dialect for Messages {
    fn read(self, request: &Request) -> Call {
        let body = &request.body;
        let mut call = Call {
            model: request.model.clone().unwrap_or_default(),
            stream: body["stream"].as_bool().unwrap_or(false),
            tools: body["tools"]
                .as_array()
                .into_iter()
                .flatten()
                .map(tool)
                .collect(),
            ..Call::default()
        };
        let mut lookup_ids = Vec::new();
        for message in body["messages"].as_array().into_iter().flatten() {
            let content = &message["content"];
            match (message["role"].as_str(), content) {
                (Some("user"), Value::String(text)) => call.push_user_text(text),
                (Some("user"), Value::Array(blocks)) => {
                    for block in blocks {
                        read_user_block(&mut call, &lookup_ids, block);
                    }
                }
                (Some("assistant"), _) => {
                    lookup_ids.extend(lookups(message));
                    call.items.push(Item::Reply);
                }
                _ => {}
            }
        }
        call
    }

    fn events(self, call: &Call, reply: &Reply, ids: &Ids<'_>) -> Vec<Event> {
        let mut message = message(call, ids);
        message["content"] = json!([]);
        message["stop_reason"] = Value::Null;
        message["usage"]["output_tokens"] = json!(1);
        let mut events = vec![
            Event::typed(&json!({"type": "message_start", "message": message})),
            Event::typed(&json!({"type": "ping"})),
        ];
        for (index, part) in reply.parts.iter().enumerate() {
            push_block(&mut events, index, part, ids);
        }
        if reply.end == End::Whole {
            events.push(Event::typed(&json!({
                "type": "message_delta",
                "delta": {"stop_reason": stop_reason(reply), "stop_sequence": null},
                "usage": usage(),
            })));
            events.push(Event::typed(&json!({"type": "message_stop"})));
        }
        events
    }

    fn whole(self, call: &Call, reply: &Reply, ids: &Ids<'_>) -> Value {
        let mut message = message(call, ids);
        message["content"] = reply
            .parts
            .iter()
            .map(|part| whole_block(part, ids))
            .collect();
        message["stop_reason"] = json!(stop_reason(reply));
        message
    }

    fn error(self, status: StatusCode, message: &str, _: u32) -> Value {
        let kind = match status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            529 => "overloaded_error",
            400..500 => "invalid_request_error",
            _ => "api_error",
        };
        json!({"type": "error", "error": {"type": kind, "message": message}})
    }
}

fn tool(tool: &Value) -> Tool {
    Tool {
        namespace: None,
        name: tool["name"].as_str().unwrap_or_default().to_owned(),
        schema: tool["input_schema"].clone(),
    }
}

fn read_user_block(call: &mut Call, lookups: &[&str], block: &Value) {
    match block["type"].as_str() {
        Some("text") => {
            let text = block["text"].as_str().unwrap_or_default();
            call.deferred.extend(deferred(text));
            call.push_user_text(text);
        }
        Some("tool_result") => {
            if block["tool_use_id"]
                .as_str()
                .is_some_and(|id| lookups.contains(&id))
            {
                call.items.push(Item::Lookup);
            } else {
                call.push_tool_result(&text_of(&block["content"]));
            }
        }
        _ => {}
    }
}

/// Ids of the calls of the tool that looks up other tools.
fn lookups(message: &Value) -> impl Iterator<Item = &str> {
    let blocks = message["content"].as_array().into_iter().flatten();
    blocks
        .filter(|block| block["name"] == LOOKUP_TOOL)
        .filter_map(|block| block["id"].as_str())
}

/// Names of the tools that a reminder lists as available after a look-up.
fn deferred(text: &str) -> Vec<String> {
    if !text.contains("deferred tools") {
        return Vec::new();
    }
    let names = text
        .lines()
        .filter(|line| !line.is_empty() && !line.contains([' ', '<']));
    names.map(str::to_owned).collect()
}

fn message(call: &Call, ids: &Ids<'_>) -> Value {
    json!({
        "id": ids("msg_"), "type": "message", "role": "assistant", "model": call.model,
        "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage(),
    })
}

fn usage() -> Value {
    json!({
        "input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS,
        "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
    })
}

fn stop_reason(reply: &Reply) -> &str {
    match &reply.finish {
        Some(word) => word,
        None if reply.calls_tool() => "tool_use",
        None => "end_turn",
    }
}

fn whole_block(part: &Part, ids: &Ids<'_>) -> Value {
    match part {
        Part::Think(text) => json!({"type": "thinking", "thinking": text, "signature": SIGNATURE}),
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Tool(choice) => json!({
            "type": "tool_use", "id": ids("toolu_"), "name": choice.name, "input": choice.input,
        }),
    }
}

fn push_block(events: &mut Vec<Event>, index: usize, part: &Part, ids: &Ids<'_>) {
    let mut block = whole_block(part, ids);
    let mut deltas: Vec<Value> = Vec::new();
    match part {
        Part::Think(text) => {
            block["thinking"] = json!("");
            block["signature"] = json!("");
            deltas.extend(
                pieces(text).map(|piece| json!({"type": "thinking_delta", "thinking": piece})),
            );
            deltas.push(json!({"type": "signature_delta", "signature": SIGNATURE}));
        }
        Part::Text(text) => {
            block["text"] = json!("");
            deltas.extend(pieces(text).map(|piece| json!({"type": "text_delta", "text": piece})));
        }
        Part::Tool(choice) => {
            block["input"] = json!({});
            let input = choice.input.to_string();
            deltas.push(json!({"type": "input_json_delta", "partial_json": input}));
        }
    }
    events.push(Event::typed(&json!({
        "type": "content_block_start", "index": index, "content_block": block,
    })));
    events.extend(deltas.iter().map(|delta| {
        Event::typed(&json!({"type": "content_block_delta", "index": index, "delta": delta}))
            .as_delta()
    }));
    events.push(Event::typed(
        &json!({"type": "content_block_stop", "index": index}),
    ));
}
