//! The four APIs as a client sees them on the wire.

mod api;

use std::time::{Duration, Instant};

use aod_standin::{DEFAULT_ANSWER, INPUT_TOKENS, OUTPUT_TOKENS, Options, Standin};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use crate::api::{APIS, Api};

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
        ..Options::default()
    })
    .await;
    let error = again.expect_err("the port is taken").to_string();
    assert!(error.contains(&standin.address().to_string()), "{error}");
}
