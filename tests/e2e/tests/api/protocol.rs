//! HTTP itself: who may ask, and how everything that cannot be done is refused.

use std::collections::HashSet;

use aod_e2e::{Client, Server, ServerOptions, serve_until_exit};
use reqwest::Method;
use serde_json::json;

use crate::{agent, runtimes, server};

#[tokio::test]
async fn every_error_is_in_the_envelope_with_a_request_id() {
    let server = server().await;
    let client = server.client();
    let id = uuid::Uuid::new_v4();
    let mut request_ids = HashSet::new();
    let big = "x".repeat(3 << 20);
    let text = |path: &str, body: &str| client.request(Method::POST, path).body(body.to_owned());
    let packed = text("/agents", "{}").header("Content-Encoding", "gzip");
    for (status, reply) in [
        (404, client.get("/nowhere").await),
        (404, client.get("/assets/nowhere").await),
        (404, client.get(&format!("/agents/{id}")).await),
        (404, client.get(&format!("/agents/{id}/nowhere")).await),
        (404, client.get("/agents/%ff").await),
        (404, client.get("/runtimes/nope").await),
        (405, client.delete("/agents").await),
        (405, client.put("/sessions", &json!({})).await),
        (
            405,
            client.send(client.request(Method::PATCH, "/health")).await,
        ),
        (
            405,
            client.post_empty(&format!("/sessions/{id}/stream")).await,
        ),
        (400, client.send(text("/agents", "{")).await),
        (400, client.send(text("/agents", "")).await),
        (
            400,
            client.send(text("/agents", "{\"name\": \"\u{1}\"}")).await,
        ),
        (413, client.send(text("/agents", &big)).await),
        (
            413,
            client
                .post("/sessions", &json!({"agent_id": id, "prompt": big}))
                .await,
        ),
        (415, client.send(packed).await),
        (422, client.post("/agents", &json!([])).await),
        (422, client.post("/agents", &json!(null)).await),
        (422, client.post("/agents", &json!("text")).await),
    ] {
        assert_eq!(reply.status, status, "{}: {}", reply.request, reply.text);
        reply.check_envelope();
        let id = reply.headers["x-request-id"].to_str().unwrap().to_owned();
        assert!(request_ids.insert(id), "a request id was used twice");
    }
    let reply = client.send(text("/agents", "{\"a\":")).await;
    assert_eq!(reply.refusal(400), "Invalid JSON");
    let reply = client
        .send(
            client
                .request(Method::POST, "/agents")
                .body(vec![0xff, 0xfe]),
        )
        .await;
    assert_eq!(reply.refusal(400), "Invalid JSON");
    // The id under which it is in the log.
    let id = reply.headers["x-request-id"].to_str().unwrap();
    assert!(server.log().contains(id), "the log does not know {id}");
}

#[tokio::test]
async fn a_deeply_nested_body_is_refused() {
    let server = server().await;
    let client = server.client();
    let deep = "[".repeat(500_000);
    let request = client.request(Method::POST, "/agents").body(deep);
    assert_eq!(client.send(request).await.refusal(400), "Invalid JSON");
    client.get("/health").await.expect(200);
}

#[tokio::test]
async fn a_field_that_is_given_twice_is_refused() {
    let server = server().await;
    let client = server.client();
    let id = client.create_agent(&agent()).await;
    let body = format!(
        r#"{{"agent_id": "{id}", "limits": {{"max_rounds": 1, "max_rounds": 900}}, "nam": 1}}"#
    );
    let reply = client
        .send(client.request(Method::POST, "/sessions").body(body))
        .await;
    let problems = reply.refused(422);
    assert_eq!(
        problems[0]["loc"],
        json!(["body", "limits", "max_rounds"]),
        "{problems}"
    );
    assert_eq!(problems[1]["loc"], json!(["body", "nam"]), "{problems}");
    let labels = r#"{"metadata": {"a": "1", "a": "1"}}"#;
    let path = format!("/agents/{id}");
    let reply = client
        .send(client.request(Method::PUT, &path).body(labels))
        .await;
    reply.refused(422);
}

/// Each name in a body of two megabytes may be a problem of its own.
#[tokio::test]
async fn problems_without_end_are_not_all_told() {
    let server = server().await;
    let client = server.client();
    for twice in [true, false] {
        let fields: Vec<String> = (0..100_000)
            .map(|n| format!("\"{}\":0", if twice { 0 } else { n }))
            .collect();
        let body = format!("{{{}}}", fields.join(","));
        let reply = client
            .send(client.request(Method::POST, "/agents").body(body))
            .await;
        let told = reply.refused(422).as_array().unwrap().len();
        assert!((1000..2000).contains(&told), "{told}");
    }
}

#[tokio::test]
async fn a_client_does_not_choose_its_request_id() {
    let server = server().await;
    let client = server.client();
    let request = client
        .request(Method::GET, "/nowhere")
        .header("x-request-id", "chosen");
    let reply = client.send(request).await;
    assert_ne!(reply.headers["x-request-id"], "chosen");
}

#[tokio::test]
async fn a_token_is_needed_for_all_but_health_and_the_description() {
    let server = server().await;
    let base = server.client().base();
    let nobody = Client::new(base, None);
    let stranger = Client::new(
        base,
        Some("aod_0000000000000000000000000000000000000000000"),
    );
    for path in ["/health", "/health/live", "/health/ready"] {
        assert_eq!(nobody.get(path).await.expect(200)["status"], "ok");
    }
    let document = nobody.get("/openapi.json").await.expect(200);
    let id = uuid::Uuid::new_v4().to_string();
    for (path, routes) in document["paths"].as_object().unwrap() {
        // A login link stands for a token.
        if path.starts_with("/health") || path == "/login" {
            continue;
        }
        for method in routes.as_object().unwrap().keys() {
            let Ok(verb) = Method::from_bytes(method.to_uppercase().as_bytes()) else {
                continue;
            };
            let path = path
                .replace("{id}", &id)
                .replace("{name}", "x")
                .replace("{path}", "x");
            for client in [&nobody, &stranger] {
                let reply = client.send(client.request(verb.clone(), &path)).await;
                // A guesser is slowed down in the end.
                if reply.status == 429 {
                    assert!(reply.headers.contains_key("retry-after"));
                    reply.check_envelope();
                    continue;
                }
                reply.refused(401);
                assert_eq!(
                    reply.headers["www-authenticate"], "Bearer",
                    "{method} {path}"
                );
            }
        }
    }
    for wrong in ["", "Basic YTpi", "Bearer", "Bearer ", "aod_x"] {
        let request = nobody
            .request(Method::GET, "/agents")
            .header("Authorization", wrong);
        assert!(
            matches!(nobody.send(request).await.status.as_u16(), 401 | 429),
            "{wrong:?}"
        );
    }
    // Whoever has a good token is let in all the same.
    server.client().get("/agents").await.expect(200);
}

#[tokio::test]
async fn guessing_tokens_is_slowed_down() {
    let server = server().await;
    let guesser = Client::new(server.client().base(), Some("aod_guess"));
    let mut slowed = None;
    for _ in 0..200 {
        let reply = guesser.get("/agents").await;
        if reply.status == 429 {
            slowed = Some(reply);
            break;
        }
        reply.refused(401);
    }
    let slowed = slowed.expect("two hundred guesses went through");
    let seconds: u64 = slowed.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=120).contains(&seconds), "{seconds}");
    server.client().get("/agents").await.expect(200);
}

#[tokio::test]
async fn the_server_does_not_open_itself_to_others_without_a_token() {
    let (success, said) = serve_until_exit(&["--listen", "0.0.0.0:0"]).await;
    assert!(!success);
    assert!(said.contains("aod token create"), "{said}");
    assert!(!said.contains("listening on"), "{said}");
}

#[tokio::test]
async fn an_unknown_setting_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("aod.toml");
    std::fs::write(&config, "[limits]\nsesions_per_user = 3\n").unwrap();
    let (success, said) = serve_until_exit(&["--config", config.to_str().unwrap()]).await;
    assert!(!success);
    assert!(said.contains("sesions_per_user"), "{said}");
}

#[tokio::test]
async fn a_method_that_is_not_served_is_told_which_are() {
    let server = server().await;
    let client = server.client();
    let path = format!("/agents/{}", client.create_agent(&agent()).await);
    let reply = client.delete(&path).await;
    reply.refused(405);
    let allow = reply.headers["allow"].to_str().unwrap();
    assert!(allow.contains("GET") && allow.contains("PUT"), "{allow}");
}

#[tokio::test]
async fn a_page_whose_name_was_made_to_point_here_is_refused() {
    let settings =
        |options: ServerOptions| options.set("AOD_HTTP__ALLOWED_HOSTS", "[\"aod.example.com\"]");
    let server = Server::start(settings(ServerOptions::new(runtimes()))).await;
    let client = server.client();
    let ask = async |host: &str, path: &str| {
        let request = client.request(Method::GET, path).header("Host", host);
        client.send(request).await
    };
    for host in [
        "evil.example.com",
        "evil.example.com:8777",
        "localhost.evil.com",
    ] {
        for path in ["/health", "/agents", "/openapi.json"] {
            ask(host, path).await.refused(421);
        }
    }
    for host in [
        "localhost:8777",
        "127.0.0.1",
        "[::1]:8777",
        "aod.example.com",
    ] {
        ask(host, "/agents").await.expect(200);
    }
}

#[tokio::test]
async fn browsers_may_use_the_api_from_named_origins_alone() {
    let origin = "https://app.example.com";
    let mut server = server().await;
    let ask = async |client: &Client, method: Method, origin: &str| {
        let request = client
            .request(method, "/agents")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", "authorization");
        client.send(request).await
    };
    let allowed = |reply: &aod_e2e::Reply| {
        let header = reply.headers.get("access-control-allow-origin");
        header.map(|origin| origin.to_str().unwrap().to_owned())
    };
    // Nobody, where nothing is said.
    let reply = ask(server.client(), Method::GET, origin).await;
    assert_eq!((reply.status.as_u16(), allowed(&reply)), (200, None));
    ask(server.client(), Method::OPTIONS, origin)
        .await
        .refused(405);

    server.kill();
    let options =
        ServerOptions::new(runtimes()).set("AOD_HTTP__ALLOWED_ORIGINS", format!("[\"{origin}\"]"));
    server.start_again_with(options).await;
    let client = server.client();
    for method in [Method::GET, Method::OPTIONS] {
        let reply = ask(client, method.clone(), origin).await;
        assert_eq!(reply.status, 200, "{method}: {}", reply.text);
        assert_eq!(allowed(&reply).as_deref(), Some(origin), "{method}");
        let reply = ask(client, method, "https://evil.example.com").await;
        assert_eq!(allowed(&reply), None);
    }
    // What a page may send: whatever the API reads.
    let reply = ask(client, Method::OPTIONS, origin).await;
    let headers = reply.headers["access-control-allow-headers"]
        .to_str()
        .unwrap();
    for name in [
        "authorization",
        "content-type",
        "idempotency-key",
        "last-event-id",
        "if-modified-since",
        "if-none-match",
        "range",
    ] {
        assert!(
            headers.split(',').any(|it| it.trim() == name),
            "{name}: {headers}"
        );
    }
}
