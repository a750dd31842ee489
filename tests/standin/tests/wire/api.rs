//! The four APIs: what a client sends, and where in the replies things are.

use aod_standin::Standin;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

/// One of the APIs, and where in its replies things are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Api {
    Messages,
    Responses,
    Chat,
    Gemini,
}

/// All of them.
pub const APIS: [Api; 4] = [Api::Messages, Api::Responses, Api::Chat, Api::Gemini];

impl Api {
    /// Where a reply is asked for.
    pub fn path(self, stream: bool) -> &'static str {
        match self {
            Self::Messages => "/v1/messages",
            Self::Responses => "/v1/responses",
            Self::Chat => "/v1/chat/completions",
            Self::Gemini if stream => "/v1beta/models/m-1:streamGenerateContent?alt=sse",
            Self::Gemini => "/v1beta/models/m-1:generateContent",
        }
    }

    /// A request whose conversation is `prompts`, with replies between them, and tool results.
    pub fn body(self, prompts: &[&str], results: &[&str], stream: bool) -> Value {
        let schema = json!({
            "type": "object",
            "properties": {"command": {"type": "string"}, "why": {"type": "string"}},
            "required": ["command", "why"],
        });
        let mut body = match self {
            Self::Messages => json!({"tools": [{"name": "Bash", "input_schema": schema}]}),
            Self::Responses => json!({"tools": [
                {"type": "namespace", "name": "mcp__x", "tools": [
                    {"type": "function", "name": "shell", "parameters": schema}
                ]}
            ]}),
            Self::Chat => {
                json!({"tools": [{"type": "function", "function": {"name": "bash", "parameters": schema}}]})
            }
            Self::Gemini => json!({"tools": [{"functionDeclarations": [
                {"name": "run_shell_command", "parametersJsonSchema": schema}
            ]}]}),
        };
        if self != Self::Gemini {
            body["model"] = json!("m-1");
            body["stream"] = json!(stream);
        }
        let mut items = Vec::new();
        for (index, prompt) in prompts.iter().enumerate() {
            if index > 0 {
                items.push(self.model_said("earlier"));
            }
            items.push(self.user_said(prompt));
        }
        for result in results {
            items.push(self.model_called());
            items.push(self.tool_gave(result));
        }
        let key = match self {
            Self::Messages | Self::Chat => "messages",
            Self::Responses => "input",
            Self::Gemini => "contents",
        };
        body[key] = Value::Array(items);
        body
    }

    fn user_said(self, text: &str) -> Value {
        match self {
            Self::Messages => json!({"role": "user", "content": [
                {"type": "text", "text": "<system-reminder>[[hang]]</system-reminder>"},
                {"type": "text", "text": text},
            ]}),
            Self::Responses => json!({"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": text}
            ]}),
            Self::Chat => json!({"role": "user", "content": text}),
            Self::Gemini => json!({"role": "user", "parts": [
                {"text": "<session_context>[[hang]]</session_context>"}, {"text": text}
            ]}),
        }
    }

    fn model_said(self, text: &str) -> Value {
        match self {
            Self::Messages | Self::Chat => json!({"role": "assistant", "content": text}),
            Self::Responses => json!({"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": text}
            ]}),
            Self::Gemini => json!({"role": "model", "parts": [{"text": text}]}),
        }
    }

    fn model_called(self) -> Value {
        match self {
            Self::Messages => json!({"role": "assistant", "content": [
                {"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}
            ]}),
            Self::Responses => json!({"type": "function_call", "call_id": "t1", "name": "shell"}),
            Self::Chat => json!({"role": "assistant", "tool_calls": [{"id": "t1"}]}),
            Self::Gemini => json!({"role": "model", "parts": [{"functionCall": {"name": "x"}}]}),
        }
    }

    fn tool_gave(self, output: &str) -> Value {
        match self {
            Self::Messages => json!({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": output}
            ]}),
            Self::Responses => {
                json!({"type": "function_call_output", "call_id": "t1", "output": output})
            }
            Self::Chat => json!({"role": "tool", "tool_call_id": "t1", "content": output}),
            Self::Gemini => json!({"role": "user", "parts": [
                {"functionResponse": {"name": "x", "response": {"output": output}}}
            ]}),
        }
    }

    /// Adds a key in the way of this API.
    pub fn with_key(self, request: RequestBuilder, key: &str) -> RequestBuilder {
        match self {
            Self::Messages => request.header("x-api-key", key),
            Self::Responses | Self::Chat => request.bearer_auth(key),
            Self::Gemini => request.header("x-goog-api-key", key),
        }
    }

    /// Sends a body with a good key.
    pub async fn send(self, standin: &Standin, body: &Value, stream: bool) -> Response {
        let url = format!("{}{}", standin.url(), self.path(stream));
        let request = Client::new().post(url).json(body);
        self.with_key(request, "sk-test")
            .send()
            .await
            .expect("the stand-in answers")
    }

    /// Sends one prompt.
    pub async fn ask(self, standin: &Standin, prompt: &str, stream: bool) -> Response {
        self.send(standin, &self.body(&[prompt], &[], stream), stream)
            .await
    }

    /// Sends a conversation; gives the events of the streamed reply.
    pub async fn events(self, standin: &Standin, prompts: &[&str], results: &[&str]) -> Vec<Value> {
        let response = self
            .send(standin, &self.body(prompts, results, true), true)
            .await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        events(&response.text().await.expect("the stream ends"))
    }

    /// The pieces of text in a stream.
    pub fn deltas(self, events: &[Value]) -> Vec<String> {
        let piece = |event: &Value| match self {
            Self::Messages => event["delta"]["text"].as_str().map(str::to_owned),
            Self::Responses if event["type"] == "response.output_text.delta" => {
                event["delta"].as_str().map(str::to_owned)
            }
            Self::Responses => None,
            Self::Chat => event["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned),
            Self::Gemini => {
                let part = &event["candidates"][0]["content"]["parts"][0];
                part.get("thought")
                    .is_none()
                    .then(|| part["text"].as_str().map(str::to_owned))?
            }
        };
        events
            .iter()
            .filter_map(piece)
            .filter(|piece| !piece.is_empty())
            .collect()
    }

    /// The whole text of a stream.
    pub fn text(self, events: &[Value]) -> String {
        self.deltas(events).concat()
    }

    /// The pieces of thought in a stream.
    pub fn thought(self, events: &[Value]) -> String {
        let piece = |event: &Value| match self {
            Self::Messages => event["delta"]["thinking"].as_str().map(str::to_owned),
            Self::Responses if event["type"] == "response.reasoning_summary_text.delta" => {
                event["delta"].as_str().map(str::to_owned)
            }
            Self::Responses => None,
            Self::Chat => event["choices"][0]["delta"]["reasoning_content"]
                .as_str()
                .map(str::to_owned),
            Self::Gemini => {
                let part = &event["candidates"][0]["content"]["parts"][0];
                part.get("thought")?;
                part["text"].as_str().map(str::to_owned)
            }
        };
        events.iter().filter_map(piece).collect()
    }

    /// Name and arguments of the tool call in a stream.
    pub fn tool_call(self, events: &[Value]) -> Option<(String, Value)> {
        let parse = |text: &Value| serde_json::from_str(text.as_str()?).ok();
        events.iter().find_map(|event| match self {
            Self::Messages => {
                let block = &event["content_block"];
                let name = block["name"].as_str()?.to_owned();
                let input = events
                    .iter()
                    .find_map(|event| parse(&event["delta"]["partial_json"]))?;
                Some((name, input))
            }
            Self::Responses if event["type"] == "response.output_item.done" => {
                let item = &event["item"];
                let name = item["name"].as_str()?.to_owned();
                assert_eq!(item["namespace"], "mcp__x");
                Some((name, parse(&item["arguments"])?))
            }
            Self::Responses => None,
            Self::Chat => {
                let function = &event["choices"][0]["delta"]["tool_calls"][0]["function"];
                Some((
                    function["name"].as_str()?.to_owned(),
                    parse(&function["arguments"])?,
                ))
            }
            Self::Gemini => {
                let part = &event["candidates"][0]["content"]["parts"][0];
                let call = part.get("functionCall")?;
                Some((call["name"].as_str()?.to_owned(), call["args"].clone()))
            }
        })
    }

    /// Why the model stopped, and the tokens read and written.
    pub fn end(self, events: &[Value]) -> Option<(String, u64, u64)> {
        events.iter().rev().find_map(|event| {
            let (reason, input, output) = match self {
                Self::Messages => {
                    let usage = &event["usage"];
                    let reason = &event["delta"]["stop_reason"];
                    (reason, &usage["input_tokens"], &usage["output_tokens"])
                }
                Self::Responses => {
                    let response = &event["response"];
                    let usage = &response["usage"];
                    (
                        &response["status"],
                        &usage["input_tokens"],
                        &usage["output_tokens"],
                    )
                }
                Self::Chat => {
                    let usage = &event["usage"];
                    let reason = events.iter().find_map(|event| {
                        event["choices"][0]
                            .get("finish_reason")
                            .filter(|r| !r.is_null())
                    })?;
                    (reason, &usage["prompt_tokens"], &usage["completion_tokens"])
                }
                Self::Gemini => {
                    let usage = &event["usageMetadata"];
                    let reason = &event["candidates"][0]["finishReason"];
                    (
                        reason,
                        &usage["promptTokenCount"],
                        &usage["candidatesTokenCount"],
                    )
                }
            };
            Some((
                reason.as_str()?.to_owned(),
                input.as_u64()?,
                output.as_u64()?,
            ))
        })
    }

    /// The text of a reply that is not streamed.
    pub fn whole_text(self, reply: &Value) -> Option<&str> {
        match self {
            Self::Messages => reply["content"][0]["text"].as_str(),
            Self::Responses => reply["output"][0]["content"][0]["text"].as_str(),
            Self::Chat => reply["choices"][0]["message"]["content"].as_str(),
            Self::Gemini => reply["candidates"][0]["content"]["parts"][0]["text"].as_str(),
        }
    }

    /// What marks a 401 in this API's own error.
    pub fn unauthorized(self, error: &Value) -> bool {
        match self {
            Self::Messages => {
                error["type"] == "error" && error["error"]["type"] == "authentication_error"
            }
            Self::Responses | Self::Chat => error["error"]["code"] == "invalid_api_key",
            Self::Gemini => error["error"]["status"] == "UNAUTHENTICATED",
        }
    }
}

/// The events of a stream; what is no JSON is left out.
fn events(stream: &str) -> Vec<Value> {
    let data = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|data| serde_json::from_str(data).ok())
        .collect()
}
