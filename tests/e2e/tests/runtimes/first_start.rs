//! Starts on which nothing is compiled yet: the server serves all the same.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use aod_e2e::{DEMO_MODEL, Process, Runtimes, Server, ServerOptions, Session, Tree, eventually};
use aod_guests::{Guest, slow};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The compiler may take that long over [`slow`] on a busy machine.
const LONG: Duration = Duration::from_secs(300);

/// Enough for the compiler, however busy the machine is.
const PATIENT: &str = "limits = { compile_deadline = \"600s\" }\n";

fn slow_component() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = slow().write(folder.path(), "slow");
    (folder, path)
}

async fn runtime(server: &Server, name: &str) -> Value {
    let path = format!("/runtimes/{name}");
    server.client().get(&path).await.expect(200)
}

async fn until_health(server: &Server, name: &str, health: &str) -> Value {
    eventually(&format!("{name} is {health}"), LONG, async || {
        let runtime = runtime(server, name).await;
        (runtime["health"] == health).then_some(runtime)
    })
    .await
}

/// The processes in which the server compiles.
fn compilers(server: &Server) -> Vec<Process> {
    let mut below = Tree::under(&[server.process()]).remove(0).below;
    below.retain(|process| process.command().contains("compile-component"));
    below
}

#[tokio::test]
async fn a_server_serves_before_its_adapters_are_compiled() {
    let (folder, path) = slow_component();
    let late = Guest {
        tick: "unreachable",
        ..slow()
    };
    let late = late.write(folder.path(), "late");
    let hurry = "limits = { compile_deadline = \"300ms\" }\n";
    let runtimes = Runtimes::default()
        .with("slow", &path, PATIENT)
        .with("late", &late, hurry)
        .with_demo();
    let server = Server::start(ServerOptions::new(runtimes).cold()).await;
    let client = server.client();
    client.get("/health").await.expect(200);
    let listed = client.get("/runtimes").await.expect(200);
    assert_eq!(listed["data"][0]["health"], "compiling", "{listed:#}");
    assert_eq!(listed["data"][0]["error"], Value::Null, "{listed:#}");
    let listed = server.command(&["runtime", "list"]).output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).starts_with("slow  "));

    // The agent waits for its runtime, but not for ever.
    let agent = json!({"name": "d", "runtime": "demo", "model": DEMO_MODEL});
    let agent = eventually("there is an agent", LONG, async || {
        let reply = client.post("/agents", &agent).await;
        (reply.status != 503).then_some(reply)
    })
    .await;
    let body = json!({"agent_id": agent.expect(201)["id"], "prompt": "hello"});
    client.create_session(&body).await.ended().await.completed();
    assert_eq!(runtime(&server, "demo").await["health"], "ready");

    // What takes too long is given up, and hurts nobody.
    let failed = until_health(&server, "late", "failed").await;
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("does not compile within 0.3 s"), "{error}");
    assert!(error.contains("runtimes.toml:6:13"), "{error}");
    let agent = json!({"name": "l", "runtime": "late", "model": "guest/x"});
    let refusal = client.post("/agents", &agent).await.refusal(400);
    assert!(refusal.contains("GET /runtimes/late"), "{refusal}");
    assert!(compilers(&server).len() <= 1, "it is compiled on and on");
    client.demo_session("more").await.ended().await.completed();
}

#[tokio::test]
async fn sessions_wait_for_their_runtime_and_can_be_stopped_meanwhile() {
    let (_folder, slow) = slow_component();
    let mut server = Server::demo().await;
    let agent = server.client().demo_agent().await;
    server.stop().await;

    // Of the same name, and with other models.
    let other = Runtimes::default().with("demo", &slow, PATIENT);
    server.write_runtimes(other.clone());
    server
        .start_again_with(ServerOptions::new(other).cold())
        .await;
    let client = server.client().clone();
    let body = json!({"agent_id": agent, "prompt": "hello"});
    let (stopped, waiting): (Session, Session) = (
        client.create_session(&body).await,
        client.create_session(&body).await,
    );
    assert_eq!(runtime(&server, "demo").await["health"], "compiling");
    let path = format!("/sessions/{}/terminate", stopped.id);
    let begun = Instant::now();
    assert!(client.post_empty(&path).await.status.is_success());
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(stopped.read().await["status"], "terminated");

    until_health(&server, "demo", "ready").await;
    let error = waiting.ended().await.failed();
    assert!(error.contains(DEMO_MODEL), "{error}");
    // A server that compiles ends when it is told to.
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_is_killed_while_it_compiles_leaves_nothing_behind() {
    let (_folder, slow) = slow_component();
    let runtimes = Runtimes::demo().with("slow", &slow, PATIENT);
    let mut server = Server::start(ServerOptions::new(runtimes).cold()).await;
    let compiling = eventually("the compiler runs", LONG, async || {
        let compiling = compilers(&server);
        (!compiling.is_empty()).then_some(compiling)
    })
    .await;
    server.kill();
    eventually("the compiler is gone, too", LONG, async || {
        let mut compiling = compiling.iter();
        compiling.all(|process| !process.is_alive()).then_some(())
    })
    .await;

    server.start_again().await;
    let client = server.client();
    client.get("/health").await.expect(200);
    until_health(&server, "demo", "ready").await;
    let session = client.demo_session("hello").await;
    session.ended().await.completed();
    // Nor does one that is told to end wait for the compiler.
    let begun = Instant::now();
    server.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(!server.log().contains("damaged"));
}
