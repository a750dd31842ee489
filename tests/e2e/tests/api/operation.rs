//! What operators use: health, figures, runtimes, models, tokens.

use aod_e2e::{Client, DEADLINE, Runtimes, eventually, plugin};
use serde_json::{Value, json};

use crate::{runtimes, server};

#[tokio::test]
async fn health_has_details_for_users_alone() {
    let server = server().await;
    let base = server.client().base();
    for stranger in [
        Client::new(base, None),
        Client::new(base, Some("aod_wrong")),
    ] {
        let health = stranger.get("/health").await.expect(200);
        assert_eq!(health, json!({"status": "ok"}));
    }
    let health = server.client().get("/health").await.expect(200);
    assert_eq!(health["status"], "ok");
    assert_eq!(health["sandbox"]["driver"], "bubblewrap");
    let checks = health["sandbox"]["checks"].as_array().unwrap();
    assert!(!checks.is_empty(), "{health}");
    assert!(
        health["limits"]["sessions_per_user"].as_u64() > Some(0)
            && health["limits"]["running_turns"].as_u64() > Some(0)
            && health["limits"]["turn_timeout"].as_u64() > Some(0),
        "{health}"
    );
}

#[tokio::test]
async fn administrators_add_users_and_make_their_tokens() {
    let server = server().await;
    let admin = server.client();
    let added = json!({"name": "grace of the users"});
    let user = admin.post("/users", &added).await.expect(201);
    assert_eq!(user["admin"], false);
    let refusal = admin.post("/users", &added).await;
    assert_eq!(refusal.status, 409, "{}", refusal.text);
    let refusal = admin
        .post("/users", &json!({"name": ""}))
        .await
        .refused(422);
    assert_eq!(refusal[0]["loc"], json!(["body", "name"]));
    let users = admin.get("/users").await.expect(200);
    let users = users["data"].as_array().unwrap();
    assert_eq!(users.last().unwrap(), &user);
    assert_eq!(users[0]["admin"], true);

    let tokens = format!("/users/{}/tokens", user["id"].as_str().unwrap());
    let made = admin
        .post(&tokens, &json!({"name": "first"}))
        .await
        .expect(201);
    let grace = Client::new(admin.base(), made["token"].as_str());
    let own = grace.get("/tokens").await.expect(200);
    assert_eq!(own["data"][0]["id"], made["id"]);
    assert!(
        grace.get("/agents").await.expect(200)["data"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    // Who is no administrator sees and adds nobody.
    grace.get("/users").await.refused(401);
    grace
        .post("/users", &json!({"name": "eve"}))
        .await
        .refused(401);
    grace
        .post(&tokens, &json!({"name": "more"}))
        .await
        .refused(401);
    let nobody = format!("/users/{}/tokens", uuid::Uuid::new_v4());
    admin
        .post(&nobody, &json!({"name": "t"}))
        .await
        .refused(404);
}

#[tokio::test]
async fn figures_are_for_administrators() {
    let server = server().await;
    server
        .client()
        .demo_session("hello")
        .await
        .ended()
        .await
        .completed();
    let reply = server.client().get("/metrics").await;
    assert_eq!(reply.status, 200);
    assert!(
        reply.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    assert!(
        reply
            .text
            .contains("aod_sessions{status=\"completed\"} 1\n"),
        "{}",
        reply.text
    );
    for line in reply.text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').expect(line);
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    let other = server.add_user("other");
    other.get("/metrics").await.refused(401);
    other.post_empty("/runtimes/reload").await.refused(401);
}

#[tokio::test]
async fn runtimes_and_models_are_told() {
    let server = server().await;
    let client = server.client();
    let listed = client.get("/runtimes").await.expect(200);
    let names: Vec<_> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].clone())
        .collect();
    assert_eq!(names, ["demo", "claude"]);
    let claude = client.get("/runtimes/claude").await.expect(200);
    assert_eq!(claude, listed["data"][1]);
    assert_eq!(claude["health"], "ready");
    assert_eq!(claude["adapter_digest"].as_str().unwrap().len(), 64);
    assert!(claude["adapter_version"].is_string());
    assert!(
        claude["interface_version"]
            .as_str()
            .unwrap()
            .starts_with("1.")
    );
    let variables: Vec<_> = claude["credentials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["variable"].clone())
        .collect();
    assert_eq!(variables, ["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"]);
    let models = client.get("/models").await.expect(200);
    let models = models["data"].as_array().unwrap();
    let sonnet = models
        .iter()
        .find(|it| it["id"] == "anthropic/claude-sonnet-4-6")
        .unwrap();
    assert_eq!(sonnet["provider"], "anthropic");
    assert_eq!(sonnet["runtimes"], json!(["claude"]));
    assert!(claude["models"].as_array().unwrap().contains(&sonnet["id"]));
}

#[tokio::test]
async fn a_runtime_is_dropped_in_changed_and_removed_by_a_reload() {
    let mut server = server().await;
    let client = server.client().clone();
    let broken = std::env::temp_dir().join("aod-e2e-no-such-component.wasm");
    server.write_runtimes(
        runtimes()
            .with(
                "second",
                &plugin("demo"),
                "[[runtime.second.models]]\nid = \"demo/added\"\n",
            )
            .with("broken", &broken, ""),
    );
    let report = client.post_empty("/runtimes/reload").await.expect(200);
    let change = |report: &Value, name: &str| {
        let runtimes = report["runtimes"].as_array().unwrap();
        let found = runtimes.iter().find(|runtime| runtime["name"] == name);
        found
            .unwrap_or_else(|| panic!("{name} is not in {report}"))
            .clone()
    };
    assert_eq!(change(&report, "second")["change"], "added");
    assert_eq!(change(&report, "demo")["change"], "unchanged");
    assert_eq!(change(&report, "broken")["change"], "failed");
    assert!(
        change(&report, "broken")["error"]
            .as_str()
            .unwrap()
            .contains("no-such-component")
    );
    let read = client.get("/runtimes/broken").await.expect(200);
    assert_eq!(read["health"], "failed");
    assert!(read["error"].is_string());
    // One bad runtime does not take down the others.
    let body = json!({"name": "a", "runtime": "second", "model": "demo/added"});
    let agent = client.create_agent(&body).await;
    let session = client
        .create_session(&json!({"agent_id": agent, "prompt": "hi"}))
        .await;
    session.ended().await.completed();
    let body = json!({"name": "a", "runtime": "broken", "model": "demo/echo"});
    client.post("/agents", &body).await.refused(400);

    server.write_runtimes(Runtimes::demo());
    let report = client.post_empty("/runtimes/reload").await.expect(200);
    assert_eq!(change(&report, "second")["change"], "removed");
    client.get("/runtimes/second").await.refused(404);
    client
        .post("/sessions", &json!({"agent_id": agent, "prompt": "hi"}))
        .await
        .refused(400);
    // How its CLI is started is in the table, without which a session does not go on.
    session.prompt("still there?").await;
    let error = session.ended().await.failed();
    assert!(error.contains("no longer declared"), "{error}");
}

#[tokio::test]
async fn tokens_are_made_listed_and_revoked() {
    let server = server().await;
    let client = server.client();
    let made = client
        .post("/tokens", &json!({"name": "laptop"}))
        .await
        .expect(201);
    let secret = made["token"].as_str().unwrap();
    assert!(secret.starts_with("aod_") && secret.len() >= 46, "{secret}");
    let holder = Client::new(client.base(), Some(secret));
    holder.get("/agents").await.expect(200);
    let listed = client.get("/tokens").await;
    assert!(!listed.text.contains(secret), "a secret is shown once");
    let listed = listed.expect(200);
    let found = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["id"] == made["id"]);
    let found = found.unwrap();
    assert_eq!(found["name"], "laptop");
    assert!(
        found["last_used_at"].is_string() && found["revoked_at"].is_null(),
        "{found}"
    );
    client
        .delete(&format!("/tokens/{}", made["id"].as_str().unwrap()))
        .await
        .expect(200);
    holder.get("/agents").await.refused(401);

    let past = json!({"name": "old", "expires_at": "2020-01-01T00:00:00.000000+00:00"});
    let refusal = client.post("/tokens", &past).await.refused(422);
    assert_eq!(refusal[0]["loc"], json!(["body", "expires_at"]));
    let mut soon = server.command(&["token", "create", "old", "--expires", "1s"]);
    let old = String::from_utf8(soon.output().unwrap().stdout).unwrap();
    let holder = Client::new(client.base(), Some(old.trim()));
    eventually("the token expires", DEADLINE, async || {
        let reply = holder.get("/agents").await;
        (reply.status == 401).then_some(())
    })
    .await;
    client
        .post("/tokens", &json!({"name": ""}))
        .await
        .refused(422);
    client
        .post("/tokens", &json!({"name": "x", "expires_at": "soon"}))
        .await
        .refused(422);
    for secret in [secret, old.trim()] {
        let files = aod_e2e::files_with(&server.data(), secret, &|_| false);
        assert!(files.is_empty(), "a token lies open in {files:?}");
        assert!(!server.log().contains(secret));
    }
}

/// The documents are pages without a script, found by a search, and need no token.
#[tokio::test]
async fn the_documents_are_there_and_are_found() {
    let server = server().await;
    // Pages are not the API's, whose description the client holds all replies against.
    let base = server.client().base().to_owned();
    let get = async |path: &str| {
        let reply = reqwest::get(format!("{base}{path}")).await.unwrap();
        let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
        (status, headers, reply.text().await.unwrap())
    };
    for path in [
        "/docs",
        "/docs/tutorial",
        "/docs/search?q=webhook+signature",
    ] {
        let (status, headers, page) = get(path).await;
        assert_eq!(status, 200, "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self';"));
        assert!(
            !policy.contains("script-src") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert!(!page.contains("<script"), "{path}");
    }
    let (_, _, found) = get("/docs/search?q=webhook+signature").await;
    assert!(
        found.contains("href=\"/docs/webhooks#signatures\""),
        "{found}"
    );
    let (status, _, hostile) = get("/docs/search?q=%3Cscript%3Ealert(1)%3C%2Fscript%3E").await;
    assert_eq!(status, 200);
    assert!(!hostile.contains("<script>"), "{hostile}");
    assert_eq!(get("/docs/search?q=%FF").await.0, 200);
    assert_eq!(get("/docs/nothing-like-it").await.0, 404);
    let (_, _, dashboard) = get("/docs/grafana.json").await;
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    assert_eq!(dashboard["uid"], "aod");
    assert_eq!(get("/docs/style.css").await.0, 200);
}
