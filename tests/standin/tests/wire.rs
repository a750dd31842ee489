//! The four APIs as a client sees them on the wire.

use std::time::{Duration, Instant};

use aod_standin::{DEFAULT_ANSWER, INPUT_TOKENS, OUTPUT_TOKENS, Options, Standin};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

/// One of the APIs, and where in its replies things are.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Api {
    Messages,
    Responses,
    Chat,
    Gemini,
}

const APIS: [Api; 4] = [Api::Messages, Api::Responses, Api::Chat, Api::Gemini];

impl Api {
    fn path(self, stream: bool) -> &'static str {
        match self {
            Self::Messages => "/v1/messages",
            Self::Responses => "/v1/responses",
            Self::Chat => "/v1/chat/completions",
            Self::Gemini if stream => "/v1beta/models/m-1:streamGenerateContent?alt=sse",
            Self::Gemini => "/v1beta/models/m-1:generateContent",
        }
    }

    /// A request whose conversation is `prompts`, with replies between them, and tool results.
    fn body(self, prompts: &[&str], results: &[&str], stream: bool) -> Value {
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

    fn with_key(self, request: RequestBuilder, key: &str) -> RequestBuilder {
        match self {
            Self::Messages => request.header("x-api-key", key),
            Self::Responses | Self::Chat => request.bearer_auth(key),
            Self::Gemini => request.header("x-goog-api-key", key),
        }
    }

    async fn send(self, standin: &Standin, body: &Value, stream: bool) -> Response {
        let url = format!("{}{}", standin.url(), self.path(stream));
        let request = Client::new().post(url).json(body);
        self.with_key(request, "sk-test")
            .send()
            .await
            .expect("the stand-in answers")
    }

    async fn ask(self, standin: &Standin, prompt: &str, stream: bool) -> Response {
        self.send(standin, &self.body(&[prompt], &[], stream), stream)
            .await
    }

    async fn events(self, standin: &Standin, prompts: &[&str], results: &[&str]) -> Vec<Value> {
        let response = self
            .send(standin, &self.body(prompts, results, true), true)
            .await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        events(&response.text().await.expect("the stream ends"))
    }

    /// The pieces of text in a stream.
    fn deltas(self, events: &[Value]) -> Vec<String> {
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

    fn text(self, events: &[Value]) -> String {
        self.deltas(events).concat()
    }

    /// The pieces of thought in a stream.
    fn thought(self, events: &[Value]) -> String {
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
    fn tool_call(self, events: &[Value]) -> Option<(String, Value)> {
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
                assert_eq!(item["namespace"], "mcp__x");
                Some((
                    item["name"].as_str()?.to_owned(),
                    parse(&item["arguments"])?,
                ))
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
    fn end(self, events: &[Value]) -> Option<(String, u64, u64)> {
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

    fn whole_text(self, reply: &Value) -> Option<&str> {
        match self {
            Self::Messages => reply["content"][0]["text"].as_str(),
            Self::Responses => reply["output"][0]["content"][0]["text"].as_str(),
            Self::Chat => reply["choices"][0]["message"]["content"].as_str(),
            Self::Gemini => reply["candidates"][0]["content"]["parts"][0]["text"].as_str(),
        }
    }

    /// What marks a 401 in this API's own error.
    fn unauthorized(self, error: &Value) -> bool {
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

async fn standin() -> Standin {
    Standin::start(Options::default())
        .await
        .expect("a free port can be had")
}

#[tokio::test]
async fn streams_the_default_answer_with_usage() {
    let standin = standin().await;
    for api in APIS {
        let events = api.events(&standin, &["hi"], &[]).await;
        assert_eq!(api.text(&events), DEFAULT_ANSWER, "{api:?}");
        let reason = match api {
            Api::Messages => "end_turn",
            Api::Responses => "completed",
            Api::Chat => "stop",
            Api::Gemini => "STOP",
        };
        assert_eq!(
            api.end(&events),
            Some((reason.into(), INPUT_TOKENS, OUTPUT_TOKENS)),
            "{api:?}"
        );
    }
    let usage = standin.usage();
    assert_eq!(
        (usage.replies, usage.input_tokens, usage.output_tokens),
        (4, 4 * INPUT_TOKENS, 4 * OUTPUT_TOKENS)
    );
}

#[tokio::test]
async fn answers_in_one_piece_when_not_asked_to_stream() {
    let standin = standin().await;
    for api in APIS {
        let reply: Value = api
            .ask(&standin, "[[say a b]]", false)
            .await
            .json()
            .await
            .expect("the reply is JSON");
        assert_eq!(api.whole_text(&reply), Some("a b"), "{api:?}: {reply}");
    }
}

#[tokio::test]
async fn thinks_aloud_and_streams_words() {
    let standin = standin().await;
    for api in APIS {
        let events = api
            .events(&standin, &["[[think so it is]] [[words 4]]"], &[])
            .await;
        assert_eq!(api.thought(&events), "so it is", "{api:?}");
        assert_eq!(
            api.deltas(&events),
            ["word1 ", "word2 ", "word3 ", "word4"],
            "{api:?}"
        );
    }
}

#[tokio::test]
async fn calls_the_offered_shell_and_goes_on_after_its_result() {
    let standin = standin().await;
    let prompt = "[[bash echo hi]] [[bash echo ho]] [[say done]]";
    for api in APIS {
        let name = match api {
            Api::Messages => "Bash",
            Api::Responses => "shell",
            Api::Chat => "bash",
            Api::Gemini => "run_shell_command",
        };
        for (results, command) in [(&[][..], "echo hi"), (&["hi"][..], "echo ho")] {
            let events = api.events(&standin, &[prompt], results).await;
            let input = json!({"command": command, "why": "As the prompt asks"});
            assert_eq!(
                api.tool_call(&events),
                Some((name.into(), input)),
                "{api:?}"
            );
        }
        let events = api.events(&standin, &[prompt], &["hi", "ho"]).await;
        assert_eq!(
            (api.text(&events).as_str(), api.tool_call(&events)),
            ("done", None),
            "{api:?}"
        );
        let events = api.events(&standin, &["[[bash x]]"], &["the output"]).await;
        assert_eq!(api.text(&events), "The tool said: the output", "{api:?}");
    }
}

#[tokio::test]
async fn recalls_earlier_prompts_only() {
    let standin = standin().await;
    for api in APIS {
        let events = api
            .events(&standin, &["one", "two", "[[recall]]"], &[])
            .await;
        assert_eq!(api.text(&events), "You said: one | two", "{api:?}");
    }
}

#[tokio::test]
async fn refuses_bad_and_missing_keys_in_the_apis_own_words() {
    let standin = standin().await;
    for api in APIS {
        let url = format!("{}{}", standin.url(), api.path(true));
        for key in [None, Some("sk-bad-1")] {
            let mut request = Client::new().post(&url).json(&api.body(&["hi"], &[], true));
            if let Some(key) = key {
                request = api.with_key(request, key);
            }
            let response = request.send().await.expect("the stand-in answers");
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{api:?}");
            let error: Value = response.json().await.expect("the error is JSON");
            assert!(api.unauthorized(&error), "{api:?}: {error}");
        }
    }
    assert_eq!(standin.usage().replies, 0);
}

#[tokio::test]
async fn fails_as_often_as_asked() {
    let standin = standin().await;
    for api in APIS {
        for code in [400, 401, 403, 404, 429, 500, 503, 529] {
            let response = api.ask(&standin, &format!("[[status {code}]]"), true).await;
            assert_eq!(response.status().as_u16(), code, "{api:?}");
            assert_eq!(
                response.headers().contains_key("retry-after"),
                code == 429,
                "{api:?}"
            );
        }
        let prompt = format!("{api:?} [[status 500 2]] [[say ok]]");
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(api.ask(&standin, &prompt, true).await.status().as_u16());
        }
        assert_eq!(statuses, [500, 500, 200, 200], "{api:?}");
    }
}

#[tokio::test]
async fn slow_waits_before_each_delta() {
    let standin = standin().await;
    for api in APIS {
        let begin = Instant::now();
        api.events(&standin, &["[[slow 40]] [[words 5]]"], &[])
            .await;
        assert!(
            begin.elapsed() >= Duration::from_millis(200),
            "{api:?}: {:?}",
            begin.elapsed()
        );
    }
}

/// Reads a stream until `text` was seen; gives the response for more.
async fn read_until(mut response: Response, text: &str) -> Response {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        let chunk = response.chunk().await.expect("the stream is whole so far");
        seen.extend_from_slice(&chunk.expect("the stream has not ended"));
    }
    response
}

#[tokio::test]
async fn a_drop_breaks_the_stream_off() {
    let standin = standin().await;
    for api in APIS {
        let response = api.ask(&standin, "[[say before]] [[drop]]", true).await;
        let mut response = read_until(response, "before").await;
        let end = loop {
            match response.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        assert!(
            end.is_err(),
            "{api:?}: the stream ended as if it were whole"
        );
    }
    assert_eq!(standin.usage().replies, 0);
}

#[tokio::test]
async fn a_hang_is_silent_until_the_stand_in_ends() {
    for api in APIS {
        let standin = standin().await;
        let response = api.ask(&standin, "[[say before]] [[hang]]", true).await;
        let mut response = read_until(response, "before").await;
        let silence = async {
            // What was sent together with "before" may come in pieces; the end must not.
            while let Ok(Some(_)) = response.chunk().await {}
        };
        let ended = tokio::time::timeout(Duration::from_millis(100), silence).await;
        assert!(ended.is_err(), "{api:?}: the stream ended");
        drop(standin);
        let closed = tokio::time::timeout(Duration::from_secs(5), response.chunk()).await;
        assert!(closed.expect("the connection closes").is_err(), "{api:?}");
    }
}

#[tokio::test]
async fn records_what_it_was_asked() {
    let standin = standin().await;
    for api in APIS {
        api.ask(&standin, "hi", true).await;
    }
    let requests = standin.requests();
    assert_eq!(requests.len(), 4);
    for (api, request) in APIS.iter().zip(&requests) {
        assert_eq!(request.method, "POST");
        assert_eq!(
            api.path(true).split('?').next(),
            Some(request.path.as_str())
        );
        assert_eq!(request.credential.as_deref(), Some("sk-test"));
        assert_eq!(request.model.as_deref(), Some("m-1"));
        assert_eq!(request.status, Some(200));
        assert_eq!(request.body, api.body(&["hi"], &[], true));
        assert!(request.at_ms > 1_700_000_000_000);
    }
    assert_eq!(requests[3].query, "alt=sse");

    let url = format!("{}/_requests", standin.url());
    let client = Client::new();
    let over_http: Vec<Value> = client
        .get(&url)
        .send()
        .await
        .expect("it answers")
        .json()
        .await
        .expect("it is JSON");
    assert_eq!(over_http.len(), 4);
    assert_eq!(over_http[0]["headers"]["x-api-key"], "sk-test");
    client.delete(&url).send().await.expect("it answers");
    assert!(standin.requests().is_empty());
    assert_eq!(standin.usage().replies, 0);
}

#[tokio::test]
async fn answers_what_clis_ask_besides() {
    let standin = standin().await;
    let client = Client::new();
    let url = |path: &str| format!("{}{path}", standin.url());
    let head = client.head(url("/")).send().await.expect("it answers");
    assert_eq!(head.status(), StatusCode::OK);
    let socket = client
        .get(url("/v1/responses"))
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .send()
        .await
        .expect("it answers");
    assert_eq!(socket.status(), StatusCode::UPGRADE_REQUIRED);
    let models = client
        .get(url("/v1/models"))
        .bearer_auth("k")
        .send()
        .await
        .expect("it answers");
    assert_eq!(models.status(), StatusCode::OK);
    for (path, key) in [
        ("/v1/messages/count_tokens", "input_tokens"),
        ("/v1beta/models/m-1:countTokens", "totalTokens"),
    ] {
        let request = client
            .post(url(path))
            .header("x-api-key", "k")
            .json(&json!({}));
        let count: Value = request
            .send()
            .await
            .expect("it answers")
            .json()
            .await
            .expect("it is JSON");
        assert_eq!(count[key], INPUT_TOKENS, "{path}");
    }
    let unknown = client
        .post(url("/v1/other"))
        .send()
        .await
        .expect("it answers");
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn rubbish_gets_an_answer_too() {
    let standin = standin().await;
    for api in APIS {
        for body in [
            "",
            "no json",
            "[1]",
            r#"{"messages":7,"input":{},"contents":[1],"tools":"x"}"#,
        ] {
            let url = format!("{}{}", standin.url(), api.path(true));
            let request = Client::new().post(url).body(body);
            let response = api.with_key(request, "k").send().await.expect("it answers");
            assert_eq!(response.status(), StatusCode::OK, "{api:?} {body}");
        }
    }
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let standin = standin().await;
    let again = Standin::start(Options {
        listen: standin.address(),
    })
    .await;
    let error = again.expect_err("the port is taken").to_string();
    assert!(error.contains(&standin.address().to_string()), "{error}");
}
