//! Who asks for nothing of the network costs nothing for it.

use aod_e2e::{DEADLINE, Runtimes, Server, ServerOptions, eventually, repository};
use serde_json::json;

/// The programs outside that serve networks, of all sessions of a server whose processes run.
fn doors(server: &Server) -> Vec<String> {
    let supervisors = server.supervisors();
    assert!(!supervisors.is_empty(), "the session's processes run");
    let below = supervisors.into_iter().flat_map(|tree| tree.below);
    let commands = below.map(aod_e2e::Process::command);
    commands
        .filter(|command| command.contains("aod-egress"))
        .collect()
}

#[tokio::test]
async fn a_command_that_asks_for_nothing_has_no_program_until_it_does() {
    let server = Server::start(ServerOptions::new(Runtimes::demo().with_raw())).await;
    let script = "touch began; until [ -e go ]; do sleep 0.02; done
        at=${https_proxy##*:}
        bash -c \"exec 3<>/dev/tcp/127.0.0.1/${at%/}; touch asked
        until [ -e end ]; do sleep 0.02; done\"";
    let session = server.client().raw_session(script).await;
    let file = async |name: &str| {
        eventually(name, DEADLINE, async || {
            server.workspace_file(&session.id, name)
        })
        .await
    };
    let workspace = server.session_files(&session.id).join("workspace");
    file("began").await;
    assert_eq!(doors(&server), [""; 0]);
    std::fs::write(workspace.join("go"), "").unwrap();
    file("asked").await;
    eventually("a program serves it", DEADLINE, async || {
        (doors(&server).len() == 1).then_some(())
    })
    .await;
    std::fs::write(workspace.join("end"), "").unwrap();
    let ended = session.ended().await;
    assert_eq!(ended.last().data["code"], 0, "{ended:?}");
}

#[tokio::test]
async fn a_process_that_waits_for_its_next_prompt_has_none() {
    let component = repository().join("tests/conversant/conversant.wasm");
    let runtimes = Runtimes::default().with("conversant", &component, "");
    let options = ServerOptions::new(runtimes).set("AOD_LIVE__IDLE", "60s");
    let server = Server::start(options).await;
    let client = server.client();
    let agent = json!({"name": "a", "runtime": "conversant", "model": "test/conversant"});
    let agent = client.create_agent(&agent).await;
    let said = r#"{"say":"done","text":"done"}"#;
    let session = client
        .create_session(&json!({"agent_id": agent, "prompt": said}))
        .await;
    let ended = session.ended().await;
    assert_eq!(ended.last().data["code"], 0, "{ended:?}");
    assert_eq!(doors(&server), [""; 0]);
}
