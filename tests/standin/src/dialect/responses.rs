//! OpenAI's Responses API.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Dialect, Ids, openai, pieces, text_of};
use crate::conversation::{Call, Item, Tool};
use crate::play::Event;
use crate::record::{INPUT_TOKENS, OUTPUT_TOKENS, Request};
use crate::script::{End, Part, Reply};

/// `POST /v1/responses`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Responses;

impl Dialect for Responses {
    fn read(self, request: &Request) -> Call {
        let body = &request.body;
        let mut call = Call {
            model: request.model.clone().unwrap_or_default(),
            stream: body["stream"].as_bool().unwrap_or(false),
            tools: body["tools"]
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(tools)
                .collect(),
            ..Call::default()
        };
        match &body["input"] {
            Value::String(text) => call.push_user_text(text),
            Value::Array(items) => items.iter().for_each(|item| read_item(&mut call, item)),
            _ => {}
        }
        call
    }

    fn events(self, call: &Call, reply: &Reply, ids: &Ids<'_>) -> Vec<Event> {
        let id = ids("resp_");
        let begun = response(&id, call, "in_progress", &[]);
        let mut stream = Stream::default();
        stream.push(json!({"type": "response.created", "response": begun}));
        stream.push(json!({"type": "response.in_progress", "response": begun}));
        let items: Vec<Value> = reply
            .parts
            .iter()
            .enumerate()
            .map(|(index, part)| stream.push_item(index, part, ids))
            .collect();
        if reply.end == End::Whole {
            let done = ended(&id, call, reply, &items);
            let kind = format!("response.{}", done["status"].as_str().unwrap_or_default());
            stream.push(json!({"type": kind, "response": done}));
        }
        stream.events
    }

    fn whole(self, call: &Call, reply: &Reply, ids: &Ids<'_>) -> Value {
        let items: Vec<Value> = reply.parts.iter().map(|part| item(part, ids)).collect();
        ended(&ids("resp_"), call, reply, &items)
    }

    fn error(self, status: StatusCode, message: &str, _: u32) -> Value {
        openai::error(status, message)
    }
}

/// The tools of one entry of the offer: itself, or those of its group.
fn tools(entry: &Value) -> Vec<Tool> {
    match entry["type"].as_str() {
        Some("function") => vec![openai::function(entry, None)],
        Some("namespace") => {
            let group = entry["name"].as_str();
            let members = entry["tools"].as_array().into_iter().flatten();
            members
                .map(|member| openai::function(member, group))
                .collect()
        }
        _ => Vec::new(),
    }
}

fn read_item(call: &mut Call, item: &Value) {
    let kind = item["type"].as_str().unwrap_or("message");
    match (kind, item["role"].as_str()) {
        ("message", Some("user")) => match &item["content"] {
            Value::Array(parts) => {
                for text in parts.iter().filter_map(|part| part["text"].as_str()) {
                    call.push_user_text(text);
                }
            }
            content => call.push_user_text(&text_of(content)),
        },
        ("message", Some("assistant")) | ("function_call" | "reasoning", _) => {
            call.items.push(Item::Reply);
        }
        ("function_call_output" | "custom_tool_call_output", _) => {
            call.push_tool_result(&text_of(&item["output"]));
        }
        _ => {}
    }
}

/// A reply that is over.
fn ended(id: &str, call: &Call, reply: &Reply, output: &[Value]) -> Value {
    let Some(word) = &reply.finish else {
        return response(id, call, "completed", output);
    };
    let mut ended = response(id, call, "incomplete", output);
    ended["incomplete_details"] = json!({"reason": word});
    ended
}

fn response(id: &str, call: &Call, status: &str, output: &[Value]) -> Value {
    let usage = (status != "in_progress").then(|| {
        json!({
            "input_tokens": INPUT_TOKENS, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": OUTPUT_TOKENS, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
        })
    });
    json!({
        "id": id, "object": "response", "created_at": 1_700_000_000, "status": status,
        "model": call.model, "output": output, "error": null, "incomplete_details": null,
        "usage": usage,
    })
}

/// A part of the reply as an item of the output.
fn item(part: &Part, ids: &Ids<'_>) -> Value {
    match part {
        Part::Think(text) => json!({
            "type": "reasoning", "id": ids("rs_"),
            "summary": [{"type": "summary_text", "text": text}],
        }),
        Part::Text(text) => json!({
            "type": "message", "id": ids("msg_"), "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}],
        }),
        Part::Tool(choice) => {
            let mut item = json!({
                "type": "function_call", "id": ids("fc_"), "call_id": ids("call_"),
                "name": choice.name, "arguments": choice.input.to_string(), "status": "completed",
            });
            if let Some(namespace) = &choice.namespace {
                item["namespace"] = json!(namespace);
            }
            item
        }
    }
}

/// Events with their running number.
#[derive(Default)]
struct Stream {
    events: Vec<Event>,
}

impl Stream {
    fn push(&mut self, mut data: Value) {
        data["sequence_number"] = json!(self.events.len());
        let event = Event::typed(&data);
        let is_delta = event
            .name
            .as_deref()
            .is_some_and(|name| name.ends_with(".delta"));
        self.events
            .push(if is_delta { event.as_delta() } else { event });
    }

    /// Streams one part; gives its finished item.
    fn push_item(&mut self, index: usize, part: &Part, ids: &Ids<'_>) -> Value {
        let done = item(part, ids);
        let id = done["id"].clone();
        let at = |kind: &str, more: Value| {
            let mut event = json!({"type": kind, "item_id": id, "output_index": index});
            if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
                event.extend(more);
            }
            event
        };
        let mut begun = done.clone();
        begun["status"] = json!("in_progress");
        match part {
            Part::Think(text) => {
                begun["summary"] = json!([]);
                self.added(index, &begun);
                let (zero, empty) = (0, json!({"type": "summary_text", "text": ""}));
                self.push(at(
                    "response.reasoning_summary_part.added",
                    json!({"summary_index": zero, "part": empty}),
                ));
                for piece in pieces(text) {
                    self.push(at(
                        "response.reasoning_summary_text.delta",
                        json!({"summary_index": zero, "delta": piece}),
                    ));
                }
                self.push(at(
                    "response.reasoning_summary_text.done",
                    json!({"summary_index": zero, "text": text}),
                ));
                self.push(at(
                    "response.reasoning_summary_part.done",
                    json!({"summary_index": zero, "part": done["summary"][0]}),
                ));
            }
            Part::Text(text) => {
                begun["content"] = json!([]);
                self.added(index, &begun);
                let empty = json!({"type": "output_text", "text": "", "annotations": []});
                self.push(at(
                    "response.content_part.added",
                    json!({"content_index": 0, "part": empty}),
                ));
                for piece in pieces(text) {
                    self.push(at(
                        "response.output_text.delta",
                        json!({"content_index": 0, "delta": piece}),
                    ));
                }
                self.push(at(
                    "response.output_text.done",
                    json!({"content_index": 0, "text": text}),
                ));
                self.push(at(
                    "response.content_part.done",
                    json!({"content_index": 0, "part": done["content"][0]}),
                ));
            }
            Part::Tool(_) => {
                begun["arguments"] = json!("");
                self.added(index, &begun);
                let arguments = &done["arguments"];
                self.push(at(
                    "response.function_call_arguments.delta",
                    json!({"delta": arguments}),
                ));
                self.push(at(
                    "response.function_call_arguments.done",
                    json!({"arguments": arguments}),
                ));
            }
        }
        self.push(json!({
            "type": "response.output_item.done", "output_index": index, "item": done,
        }));
        done
    }

    fn added(&mut self, index: usize, item: &Value) {
        self.push(json!({
            "type": "response.output_item.added", "output_index": index, "item": item,
        }));
    }
}
