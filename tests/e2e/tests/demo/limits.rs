//! Limits, lists and requests that are sent twice.

use aod_e2e::{Gate, Runtimes, Server, ServerOptions};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_user_has_so_many_active_sessions_and_no_more() {
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_LIMITS__SESSIONS_PER_USER", 2);
    let server = Server::start(options).await;
    let client = server.client();
    let done = client.demo_session("hello").await;
    done.ended().await.completed();
    let agent = client.demo_agent().await;
    let gate = Gate::new("gate");
    let body = json!({"agent_id": agent, "prompt": gate.step()});
    let first = client.create_session(&body).await;
    let second = client.create_session(&body).await;
    for refused in [
        client.post("/sessions", &body).await,
        client
            .post(
                &format!("/sessions/{}/prompt", done.id),
                &json!({"prompt": "more"}),
            )
            .await,
    ] {
        let refusal = refused.expect(429);
        assert_eq!(refusal["limit"], 2, "{refusal}");
        assert_eq!(refusal["active"], 2, "{refusal}");
        assert!(refusal["detail"].is_string(), "{refusal}");
        refused.check_envelope();
    }
    assert_eq!(done.read().await["status"], "completed");
    let other = server.add_user("other");
    other.demo_session("hello").await.ended().await.completed();

    gate.reached(&server, &first).await;
    gate.open(&server, &first);
    first.ended().await.completed();
    let third = client.create_session(&body).await;
    for session in [&second, &third] {
        client
            .post_empty(&format!("/sessions/{}/terminate", session.id))
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn turns_wait_for_room_in_order() {
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_ADMISSION__MAX_RUNNING", 1);
    let server = Server::start(options).await;
    let gate = Gate::new("gate");
    let first = server.client().demo_session(&gate.step()).await;
    gate.reached(&server, &first).await;
    let second = server.client().demo_session(&gate.step()).await;
    let third = server.client().demo_session("hello").await;
    first.wait_for("running").await;
    gate.open(&server, &first);
    first.ended().await.completed();
    gate.reached(&server, &second).await;
    assert_eq!(third.read().await["status"], "pending");
    assert_eq!(server.supervisors().len(), 1);
    gate.open(&server, &second);
    third.ended().await.completed();
}

#[tokio::test]
async fn sessions_are_listed_filtered_and_paged() {
    let server = Server::demo().await;
    let client = server.client();
    let agent = client.demo_agent().await;
    let mut sessions = Vec::new();
    for prompt in ["a", "exit 1", "b", "c", "d"] {
        let body = json!({"agent_id": agent, "prompt": prompt});
        let session = client.create_session(&body).await;
        session.ended().await;
        sessions.push(session.id);
    }
    let other = client.demo_session("e").await;
    other.ended().await;
    sessions.push(other.id.clone());
    sessions.reverse();
    let ids = async |query: &str| -> Vec<String> {
        let body = client.get(&format!("/sessions{query}")).await.expect(200);
        let listed = body["data"].as_array().unwrap().clone();
        listed
            .iter()
            .map(|session| session["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids("").await, sessions, "newest first");
    assert_eq!(ids("?status=failed").await, [sessions[4].clone()]);
    assert_eq!(ids("?status=running").await, Vec::<String>::new());
    assert_eq!(ids(&format!("?agent_id={agent}")).await, sessions[1..]);
    assert_eq!(ids("?runtime=demo").await, sessions);
    assert_eq!(ids("?runtime=other").await, Vec::<String>::new());
    assert_eq!(
        ids(&format!("?agent_id={agent}&status=completed"))
            .await
            .len(),
        4
    );

    let whole = client.get("/sessions").await.expect(200);
    assert_eq!(whole.get("next").unwrap_or(&Value::Null), &Value::Null);
    let mut paged = Vec::new();
    let mut query = "?limit=4".to_owned();
    for pages in 1.. {
        let body = client.get(&format!("/sessions{query}")).await.expect(200);
        let data = body["data"].as_array().unwrap();
        assert!(data.len() <= 4);
        paged.extend(
            data.iter()
                .map(|session| session["id"].as_str().unwrap().to_owned()),
        );
        match body["next"].as_str() {
            Some(next) => query = format!("?limit=4&after={next}"),
            None => {
                assert_eq!(pages, 2);
                break;
            }
        }
    }
    assert_eq!(paged, sessions);
    for bad in [
        "limit=0",
        "limit=201",
        "limit=x",
        "after=x",
        "status=x",
        "agent_id=x",
    ] {
        client.get(&format!("/sessions?{bad}")).await.refused(422);
    }
}

#[tokio::test]
async fn a_request_that_is_sent_twice_is_done_once() {
    let mut server = Server::demo().await;
    let client = server.client().clone();
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "hello"});
    let send = async |client: &aod_e2e::Client, path: &str, key: &str, body: &Value| {
        let request = client
            .request(Method::POST, path)
            .header("Idempotency-Key", key)
            .json(body);
        client.send(request).await
    };
    let first = send(&client, "/sessions", "k1", &body).await;
    let ack = first.expect(202);
    let again = send(&client, "/sessions", "k1", &body).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    let another = json!({"agent_id": agent, "prompt": "other"});
    send(&client, "/sessions", "k1", &another)
        .await
        .refused(422);
    assert_ne!(
        send(&client, "/sessions", "k2", &body).await.expect(202)["id"],
        ack["id"]
    );
    // Another user's keys are their own.
    let other = server.add_user("other");
    let agent = other.demo_agent().await;
    send(
        &other,
        "/sessions",
        "k1",
        &json!({"agent_id": agent, "prompt": "x"}),
    )
    .await
    .expect(202);
    assert_eq!(
        client.get("/sessions").await.expect(200)["data"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let session = aod_e2e::Session {
        client,
        id: ack["id"].as_str().unwrap().to_owned(),
    };
    session.ended().await.completed();
    let path = format!("/sessions/{}/prompt", session.id);
    let more = json!({"prompt": "more"});
    let first = send(&session.client, &path, "k3", &more).await;
    first.expect(202);
    assert_eq!(
        send(&session.client, &path, "k3", &more).await.text,
        first.text
    );
    session.ended().await.completed();
    // Also when the turn is long over, and after a restart.
    server.kill_and_start_again().await;
    let session = session.at(server.client());
    assert_eq!(
        send(&session.client, &path, "k3", &more).await.text,
        first.text
    );
    assert_eq!(session.turns().await.len(), 2);
    send(&session.client, &path, "k3", &json!({"prompt": "x"}))
        .await
        .refused(422);
    send(&session.client, "/sessions", "", &body)
        .await
        .refused(400);
    let long = "k".repeat(300);
    send(&session.client, "/sessions", &long, &body)
        .await
        .refused(400);
}

#[tokio::test]
async fn two_equal_requests_at_once_make_one_session() {
    let server = Server::demo().await;
    let client = server.client();
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "hello"});
    let send = || {
        let request = client
            .request(Method::POST, "/sessions")
            .header("Idempotency-Key", "k");
        client.send(request.json(&body))
    };
    let replies = futures::future::join_all((0..8).map(|_| send())).await;
    for reply in &replies {
        assert_eq!(reply.expect(202), replies[0].expect(202));
    }
    assert_eq!(
        client.get("/sessions").await.expect(200)["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    // The folders of those that were not made are gone.
    let folders = std::fs::read_dir(server.data().join("sessions"))
        .unwrap()
        .count();
    assert_eq!(folders, 1);
}

#[tokio::test]
async fn a_user_may_use_so_much_on_a_day() {
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_LIMITS__USER_DAY_OUTPUT_TOKENS", 5);
    let mut server = Server::start(options).await;
    let client = server.client();
    // The demo agent counts the words that it says.
    let session = client
        .demo_session("$ true\none two three four five six")
        .await;
    session.ended().await.completed();
    let agent = client.demo_agent().await;
    let prompt = format!("/sessions/{}/prompt", session.id);
    for (path, body) in [
        ("/sessions", json!({"agent_id": agent, "prompt": "x"})),
        (&prompt, json!({"prompt": "x"})),
    ] {
        let refused = client.post(path, &body).await.refusal(429);
        assert!(refused.contains("max_output_tokens"), "{refused}");
        assert!(refused.contains("of at most 5"), "{refused}");
    }
    // It is kept with the server, whatever becomes of the session, and is each user's own.
    let path = format!("/sessions/{}/delete", session.id);
    client.delete(&path).await.expect(200);
    server.kill_and_start_again().await;
    let body = json!({"agent_id": agent, "prompt": "x"});
    server.client().post("/sessions", &body).await.refusal(429);
    let other = server.add_user("other");
    other.demo_session("hello").await.ended().await.completed();
}

#[tokio::test]
async fn limits_of_turns_are_checked_and_shown() {
    let server = Server::demo().await;
    let client = server.client();
    let agent = json!({
        "name": "a", "runtime": "demo", "model": "demo/echo",
        "limits": {"max_rounds": 40, "max_cost_usd": 1.5},
    });
    let agent = client.create_agent(&agent).await;
    let path = format!("/agents/{agent}");
    let read = client.get(&path).await.expect(200);
    assert_eq!(
        read["limits"],
        json!({"max_rounds": 40, "max_cost_usd": 1.5})
    );
    let changes = json!({"version": 1, "limits": {"max_rounds": 30}});
    let changed = client.put(&path, &changes).await.expect(200);
    assert_eq!(changed["limits"], json!({"max_rounds": 30}));
    for (limits, wanted) in [
        (json!({"max_rounds": 0}), "limits.max_rounds"),
        (
            json!({"max_output_tokens": 1.5}),
            "limits.max_output_tokens",
        ),
        (json!({"max_cost_usd": 0}), "limits.max_cost_usd"),
        (json!({"max_cost_usd": "1"}), "limits.max_cost_usd"),
        (json!({"max_round": 1}), "limits.max_round"),
        (json!([]), "limits"),
    ] {
        let body = json!({"agent_id": agent, "prompt": "x", "limits": limits});
        let problems = client.post("/sessions", &body).await.refused(422);
        let loc: Vec<_> = problems[0]["loc"].as_array().unwrap()[1..]
            .iter()
            .map(|part| part.as_str().unwrap())
            .collect();
        assert_eq!(loc.join("."), wanted, "{problems}");
    }
    let body = json!({
        "agent_id": agent, "prompt": "x", "limits": {"max_output_tokens": 1000},
    });
    let session = client.create_session(&body).await;
    let ended = session.ended().await.completed();
    assert_eq!(ended.session["limits"], json!({"max_output_tokens": 1000}));
    assert_eq!(ended.turn.get("limits"), None);
    session
        .prompt_with(&json!({"prompt": "x", "limits": {"max_rounds": 9}}))
        .await;
    let ended = session.ended().await.completed();
    assert_eq!(ended.turn["limits"], json!({"max_rounds": 9}));
}

#[tokio::test]
async fn what_a_session_leaves_on_the_disk_is_bounded() {
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_SANDBOX__DISK", "20MiB");
    let options = options.set("AOD_SANDBOX__DISK_BY", "watch");
    let server = Server::start(options).await;
    let client = server.client();
    let fill = "head -c 60000000 /dev/urandom >big; sleep 60";
    let says = |error: &str| {
        let (used, limit) = ("home and workspace held ", "the limit is 20 MiB");
        assert!(error.contains(used) && error.contains(limit), "{error}");
    };
    let session = client.demo_session(&format!("$ {fill}")).await;
    let ended = session.ended().await;
    assert_eq!(ended.session["resumable"], true);
    says(&ended.failed());
    // It can be cleared up, and goes on.
    session.prompt("$ sleep 1; rm big; echo cleared").await;
    let ended = session.ended().await.completed();
    assert!(ended.stdout().contains("cleared"));
    session.prompt("$ echo on").await;
    session.ended().await.completed();

    let environment = json!({"name": "e", "setup_script": fill});
    let environment = client.create_environment(&environment).await;
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "x", "environment_id": environment});
    says(&client.create_session(&body).await.ended().await.failed());
}
