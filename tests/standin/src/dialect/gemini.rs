//! Google's Gemini API.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Dialect, Ids, pieces};
use crate::conversation::{Call, Item, Tool};
use crate::play::Event;
use crate::record::{INPUT_TOKENS, OUTPUT_TOKENS, Request};
use crate::script::{End, Part, Reply};

/// `POST /v1beta/models/MODEL:generateContent` and `:streamGenerateContent`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gemini;

impl Dialect for Gemini {
    fn read(self, request: &Request) -> Call {
        let body = &request.body;
        let mut call = Call {
            model: request.model.clone().unwrap_or_default(),
            stream: request.path.ends_with(":streamGenerateContent"),
            tools: body["tools"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|group| group["functionDeclarations"].as_array())
                .flatten()
                .map(tool)
                .collect(),
            ..Call::default()
        };
        for content in body["contents"].as_array().into_iter().flatten() {
            if content["role"] == "model" {
                call.items.push(Item::Reply);
                continue;
            }
            for part in content["parts"].as_array().into_iter().flatten() {
                if let Some(text) = part["text"].as_str() {
                    call.push_user_text(text);
                } else if let Some(result) = part.get("functionResponse") {
                    call.push_tool_result(&output(&result["response"]));
                }
            }
        }
        call
    }

    fn events(self, call: &Call, reply: &Reply, ids: &Ids<'_>) -> Vec<Event> {
        let id = ids("");
        let mut events = Vec::new();
        for part in &reply.parts {
            match part {
                Part::Think(text) => events.extend(pieces(text).map(|piece| {
                    let part = json!({"text": piece, "thought": true});
                    Event::plain(&response(&id, call, &[part], None)).as_delta()
                })),
                Part::Text(text) => events.extend(pieces(text).map(|piece| {
                    let part = json!({"text": piece});
                    Event::plain(&response(&id, call, &[part], None)).as_delta()
                })),
                Part::Tool(_) => {
                    let part = whole_part(part, ids);
                    events.push(Event::plain(&response(&id, call, &[part], None)).as_delta());
                }
            }
        }
        if reply.end == End::Whole {
            let nothing = json!({"text": ""});
            events.push(Event::plain(&response(
                &id,
                call,
                &[nothing],
                Some(finish(reply)),
            )));
        }
        events
    }

    fn whole(self, call: &Call, reply: &Reply, ids: &Ids<'_>) -> Value {
        let parts: Vec<Value> = reply
            .parts
            .iter()
            .map(|part| whole_part(part, ids))
            .collect();
        response(&ids(""), call, &parts, Some(finish(reply)))
    }

    fn error(self, status: StatusCode, message: &str, retry_after: u32) -> Value {
        let name = match status.as_u16() {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            429 => "RESOURCE_EXHAUSTED",
            400..500 => "INVALID_ARGUMENT",
            503 => "UNAVAILABLE",
            _ => "INTERNAL",
        };
        let details = match status.as_u16() {
            429 => {
                let delay = format!("{retry_after}s");
                json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}])
            }
            _ => json!([]),
        };
        let code = status.as_u16();
        json!({"error": {"code": code, "message": message, "status": name, "details": details}})
    }
}

fn finish(reply: &Reply) -> &str {
    reply.finish.as_deref().unwrap_or("STOP")
}

fn tool(declaration: &Value) -> Tool {
    let schema = declaration
        .get("parametersJsonSchema")
        .or_else(|| declaration.get("parameters"))
        .cloned()
        .unwrap_or_default();
    Tool {
        namespace: None,
        name: declaration["name"].as_str().unwrap_or_default().to_owned(),
        schema,
    }
}

/// A tool's output: clients put it under `output` or `content`; otherwise the whole response.
fn output(response: &Value) -> String {
    match response["output"]
        .as_str()
        .or_else(|| response["content"].as_str())
    {
        Some(text) => text.to_owned(),
        None => response.to_string(),
    }
}

fn response(id: &str, call: &Call, parts: &[Value], finish: Option<&str>) -> Value {
    let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": parts}});
    let mut response = json!({"modelVersion": call.model, "responseId": id});
    if let Some(reason) = finish {
        candidate["finishReason"] = json!(reason);
        response["usageMetadata"] = json!({
            "promptTokenCount": INPUT_TOKENS, "candidatesTokenCount": OUTPUT_TOKENS,
            "totalTokenCount": INPUT_TOKENS + OUTPUT_TOKENS,
        });
    }
    response["candidates"] = json!([candidate]);
    response
}

fn whole_part(part: &Part, ids: &Ids<'_>) -> Value {
    match part {
        Part::Think(text) => json!({"text": text, "thought": true}),
        Part::Text(text) => json!({"text": text}),
        Part::Tool(choice) => json!({
            "functionCall": {"id": ids("call_"), "name": choice.name, "args": choice.input},
        }),
    }
}
