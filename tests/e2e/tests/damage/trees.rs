//! Trees that are too deep for recursion and for paths.

use aod_e2e::{DEADLINE, Runtimes, Server, ServerOptions, eventually, plugin};
use serde_json::json;

/// Deep enough for a recursive walk of any thread of the host to overflow its stack.
const DEEP: u32 = 100_000;

/// A shell command that nests so many folders in the working directory.
fn nest(levels: u32) -> String {
    format!("perl -e 'for (1..{levels}) {{ mkdir \"d\" or die; chdir \"d\" or die }}'")
}

/// With its data in memory where that is permitted: a disk takes minutes for a tree of that depth.
fn options(runtimes: Runtimes) -> ServerOptions {
    let options = ServerOptions::new(runtimes);
    let in_memory = options.clone().on_a_disk_of("size=2g,nr_inodes=1m");
    in_memory.unwrap_or(options)
}

fn is_empty(folder: &std::path::Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

async fn swept(server: &Server) {
    eventually("the trash is empty", DEADLINE * 3, async || {
        is_empty(&server.data().join("trash")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_deep_tree_in_the_workspace_is_deleted_with_its_session() {
    let server = Server::start(options(Runtimes::demo())).await;
    // The second has a closed folder where its path is too long for the kernel.
    let closed = "perl -e 'for (1..1200) { mkdir \"d\"; chdir \"d\" } mkdir \"e\"; mkdir \"e/f\"; chmod 0, \"e\"'";
    for command in [nest(DEEP), closed.to_owned()] {
        let session = server.client().demo_session(&format!("$ {command}")).await;
        session.ended().await.completed();
        let path = format!("/sessions/{}", session.id);
        server
            .client()
            .delete(&format!("{path}/delete"))
            .await
            .expect(200);
        server.client().get(&path).await.refused(404);
        assert!(!server.session_folder(&session.id).exists());
    }
    swept(&server).await;
    server
        .client()
        .demo_session("hello")
        .await
        .ended()
        .await
        .completed();
}

#[tokio::test]
async fn a_deep_tree_in_the_place_of_a_skill_is_replaced() {
    // What comes before its CLI is started is what matters here.
    let runtimes = Runtimes::demo().with("claude", &plugin("claude"), "command = \"/bin/true\"\n");
    let mut server = Server::start(options(runtimes)).await;
    let client = server.client();
    let agent = json!({
        "name": "skilled", "runtime": "claude", "model": "anthropic/claude-sonnet-4-6",
        "skills": [{"name": "trap", "description": "d", "content": "the skill"}],
    });
    let agent = client.create_agent(&agent).await;
    let file = "$HOME/.claude/skills/trap/SKILL.md";
    let script = format!("mkdir -p {file}; cd {file}; {}", nest(DEEP));
    let environment = json!({"name": "e", "setup_script": script});
    let environment = client.create_environment(&environment).await;
    let body = json!({"agent_id": agent, "prompt": "true", "environment_id": environment});
    let session = client.create_session(&body).await;
    let ended = session.ended().await;
    let done = |stage: &str| {
        let mut events = ended.events.iter();
        events.any(|event| event.data["stage"] == stage && event.data["state"] == "done")
    };
    assert!(done("provision_setup") && done("skills"), "{ended:#?}");
    let path = server
        .session_files(&session.id)
        .join("home/.claude/skills/trap/SKILL.md");
    assert!(std::fs::read_to_string(path).unwrap().contains("the skill"));
    server.kill_and_start_again().await;
    swept(&server).await;
    let path = format!("/sessions/{}/delete", session.id);
    server.client().delete(&path).await.expect(200);
}
