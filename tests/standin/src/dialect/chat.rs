//! OpenAI's chat completions API, which many others speak too.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Dialect, Ids, openai, pieces, text_of};
use crate::conversation::{Call, Item};
use crate::play::Event;
use crate::record::{INPUT_TOKENS, OUTPUT_TOKENS, Request};
use crate::script::{End, Part, Reply};

/// `POST /v1/chat/completions`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chat;

impl Dialect for Chat {
    fn read(self, request: &Request) -> Call {
        let body = &request.body;
        let tools = body["tools"].as_array().into_iter().flatten();
        let mut call = Call {
            model: request.model.clone().unwrap_or_default(),
            stream: body["stream"].as_bool().unwrap_or(false),
            tools: tools
                .map(|tool| openai::function(&tool["function"], None))
                .collect(),
            ..Call::default()
        };
        for message in body["messages"].as_array().into_iter().flatten() {
            let text = text_of(&message["content"]);
            match message["role"].as_str() {
                Some("user") => call.push_user_text(&text),
                Some("tool") => call.push_tool_result(&text),
                Some("assistant") => call.items.push(Item::Reply),
                _ => {}
            }
        }
        call
    }

    fn events(self, call: &Call, reply: &Reply, ids: &Ids<'_>) -> Vec<Event> {
        let id = ids("chatcmpl-");
        let chunk = |delta: Value, finish: Option<&str>| {
            let mut chunk = head(&id, "chat.completion.chunk", call);
            chunk["choices"] = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
            Event::plain(&chunk)
        };
        let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), None)];
        for part in &reply.parts {
            match part {
                Part::Think(text) => events.extend(
                    pieces(text)
                        .map(|piece| chunk(json!({"reasoning_content": piece}), None).as_delta()),
                ),
                Part::Text(text) => events.extend(
                    pieces(text).map(|piece| chunk(json!({"content": piece}), None).as_delta()),
                ),
                Part::Tool(_) => {
                    let mut tool = tool_call(part, ids);
                    tool["index"] = json!(0);
                    events.push(chunk(json!({"tool_calls": [tool]}), None).as_delta());
                }
            }
        }
        if reply.end == End::Whole {
            events.push(chunk(json!({}), Some(finish_reason(reply))));
            let mut last = head(&id, "chat.completion.chunk", call);
            last["choices"] = json!([]);
            last["usage"] = usage();
            events.push(Event::plain(&last));
            events.push(Event {
                name: None,
                data: "[DONE]".to_owned(),
                delta: false,
            });
        }
        events
    }

    fn whole(self, call: &Call, reply: &Reply, ids: &Ids<'_>) -> Value {
        let mut message = json!({"role": "assistant", "content": null});
        let (mut text, mut thoughts) = (String::new(), String::new());
        for part in &reply.parts {
            match part {
                Part::Think(more) => thoughts.push_str(more),
                Part::Text(more) => text.push_str(more),
                Part::Tool(_) => message["tool_calls"] = json!([tool_call(part, ids)]),
            }
        }
        if !text.is_empty() {
            message["content"] = json!(text);
        }
        if !thoughts.is_empty() {
            message["reasoning_content"] = json!(thoughts);
        }
        let mut whole = head(&ids("chatcmpl-"), "chat.completion", call);
        whole["choices"] =
            json!([{"index": 0, "message": message, "finish_reason": finish_reason(reply)}]);
        whole["usage"] = usage();
        whole
    }

    fn error(self, status: StatusCode, message: &str, _: u32) -> Value {
        openai::error(status, message)
    }
}

fn head(id: &str, object: &str, call: &Call) -> Value {
    json!({"id": id, "object": object, "created": 1_700_000_000, "model": call.model})
}

fn tool_call(part: &Part, ids: &Ids<'_>) -> Value {
    let Part::Tool(choice) = part else {
        return Value::Null;
    };
    json!({
        "id": ids("call_"), "type": "function",
        "function": {"name": choice.name, "arguments": choice.input.to_string()},
    })
}

fn finish_reason(reply: &Reply) -> &str {
    match &reply.finish {
        Some(word) => word,
        None if reply.calls_tool() => "tool_calls",
        None => "stop",
    }
}

fn usage() -> Value {
    json!({
        "prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS,
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
        "prompt_tokens_details": {"cached_tokens": 0},
    })
}
