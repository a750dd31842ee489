//! Turns that wait for room: fairly, and visibly so.

use std::path::Path;

use aod_e2e::{DEADLINE, Gate, Runtimes, Server, ServerOptions, Session, eventually};
use serde_json::Value;

/// Where a session stands in the queue; null for one that does not wait.
async fn position(session: &Session) -> Value {
    let read = session.read().await;
    let position = read.get("queue_position").cloned().unwrap_or_default();
    // Only a pending session waits.
    assert!(
        position.is_null() || read["status"] == "pending",
        "{read:#}"
    );
    position
}

async fn terminate(session: &Session) {
    let path = format!("/sessions/{}/terminate", session.id);
    session.client.post_empty(&path).await.expect(200);
}

#[tokio::test]
async fn with_room_for_one_they_run_in_order_and_see_their_places() {
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_ADMISSION__MAX_RUNNING", 1);
    let server = Server::start(options).await;
    let gate = Gate::new("gate");
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(server.client().demo_session(&gate.step()).await);
    }
    let [first, second, third, fourth] = &sessions[..] else {
        unreachable!("there are four");
    };
    gate.reached(&server, first).await;
    assert_eq!(position(first).await, Value::Null);
    for (place, session) in [second, third, fourth].into_iter().enumerate() {
        assert_eq!(position(session).await, place + 1);
    }
    let listed = server.client().get("/sessions").await.expect(200);
    assert_eq!(listed["data"][0]["queue_position"], 3, "{listed:#}");

    // Who goes away lets the others move up.
    terminate(second).await;
    assert_eq!(position(third).await, 1);
    assert_eq!(position(fourth).await, 2);

    gate.open(&server, first);
    first.ended().await.completed();
    gate.reached(&server, third).await;
    assert_eq!(position(third).await, Value::Null);
    assert_eq!(position(fourth).await, 1);
    assert_eq!(gate.arrivals(&server, fourth), 0);
    gate.open(&server, third);
    third.ended().await.completed();
    gate.reached(&server, fourth).await;
    gate.open(&server, fourth);
    fourth.ended().await.completed();
    assert_eq!(gate.arrivals(&server, second), 0);
}

#[tokio::test]
async fn memory_is_a_budget_that_a_runtime_may_say_its_part_of() {
    let runtimes = Runtimes::demo().with(
        "small",
        Path::new(&aod_e2e::plugin("demo")),
        "turn_memory = \"100MiB\"\n",
    );
    let options = ServerOptions::new(runtimes)
        .set("AOD_ADMISSION__MEMORY", "1GiB")
        .set("AOD_ADMISSION__TURN_MEMORY", "900MiB");
    let server = Server::start(options).await;
    let client = server.client();
    let small = client
        .create_agent(&serde_json::json!({
            "name": "small", "runtime": "small", "model": "demo/echo"
        }))
        .await;
    let gate = Gate::new("gate");
    let body = serde_json::json!({"agent_id": small, "prompt": gate.step()});
    let large = client.demo_session(&gate.step()).await;
    gate.reached(&server, &large).await;
    // 900 and 100 fit, and another 900 does not.
    let beside = client.create_session(&body).await;
    gate.reached(&server, &beside).await;
    let waiting = client.demo_session(&gate.step()).await;
    assert_eq!(position(&waiting).await, 1);
    // Nobody is overtaken, not even by one that would fit.
    gate.open(&server, &beside);
    beside.ended().await.completed();
    let behind = client.create_session(&body).await;
    assert_eq!(position(&behind).await, 2);
    gate.open(&server, &large);
    large.ended().await.completed();
    for session in [&waiting, &behind] {
        gate.reached(&server, session).await;
        gate.open(&server, session);
        session.ended().await.completed();
    }
}

#[tokio::test]
async fn what_runs_on_over_a_restart_takes_room() {
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_ADMISSION__MAX_RUNNING", 1);
    let mut server = Server::start(options).await;
    let gate = Gate::new("gate");
    let running = server.client().demo_session(&gate.step()).await;
    gate.reached(&server, &running).await;
    let waiting = server.client().demo_session(&gate.step()).await;
    let last = server.client().demo_session(&gate.step()).await;
    server.kill_and_start_again().await;
    let [running, waiting, last] =
        [running, waiting, last].map(|session| session.at(server.client()));
    let places = || async { (position(&waiting).await, position(&last).await) };
    eventually("they wait in the same order", DEADLINE, async || {
        (places().await == (1.into(), 2.into())).then_some(())
    })
    .await;
    assert_eq!(running.read().await["status"], "running");
    assert_eq!(server.supervisors().len(), 1);
    gate.open(&server, &running);
    running.ended().await.completed();
    for session in [&waiting, &last] {
        gate.reached(&server, session).await;
        gate.open(&server, session);
        session.ended().await.completed();
    }
}

#[tokio::test]
async fn one_user_does_not_keep_others_out() {
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_ADMISSION__MAX_RUNNING", 1);
    let server = Server::start(options).await;
    let other = server.add_user("other");
    let gate = Gate::new("gate");
    let mut flood = Vec::new();
    for _ in 0..3 {
        flood.push(server.client().demo_session(&gate.step()).await);
    }
    let [running, second, third] = &flood[..] else {
        unreachable!("there are three");
    };
    gate.reached(&server, running).await;
    let late = other.demo_session(&gate.step()).await;
    assert_eq!(position(&late).await, 1);
    assert_eq!(position(second).await, 2);
    assert_eq!(position(third).await, 3);
    gate.open(&server, running);
    for session in [&late, second, third] {
        gate.reached(&server, session).await;
        gate.open(&server, session);
        session.ended().await.completed();
    }
}
