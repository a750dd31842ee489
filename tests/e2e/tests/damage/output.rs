//! Provisioning output without an end.

use aod_e2e::{Runtimes, Server, ServerOptions};
use serde_json::json;

/// What a process takes of memory now, in bytes.
fn resident(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_cut_and_served_as_it_is_read() {
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_TURN__STEP_OUTPUT", "40MiB");
    let server = Server::start(options).await;
    let client = server.client();
    let script = "echo the-first-line; head -c 300000000 /dev/zero | tr '\\0' 'x'";
    let environment = json!({"name": "e", "setup_script": script});
    let environment = client.create_environment(&environment).await;
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "hello", "environment_id": environment});
    let session = client.create_session(&body).await;
    session.ended().await.completed();
    let before = resident(server.process().pid);
    // Readers that take the beginning and stop, as many as would double the server's memory.
    let path = format!("/sessions/{}/provisioning", session.id);
    let mut readers = Vec::new();
    for _ in 0..20 {
        let request = client.request(reqwest::Method::GET, &path);
        let mut reply = request.send().await.unwrap();
        assert_eq!(reply.status(), 200);
        reply.chunk().await.unwrap();
        readers.push(reply);
    }
    let grown = resident(server.process().pid).saturating_sub(before);
    assert!(grown < 100 << 20, "{} MiB for 20 readers", grown >> 20);
    drop(readers);
    let text = client.get(&path).await.text;
    assert!(text.contains("the-first-line"));
    assert!(
        (40 << 20..(40 << 20) + 200).contains(&text.len()),
        "{}",
        text.len()
    );
    assert!(
        text.contains("[cut here"),
        "it does not say that it was cut"
    );
}
