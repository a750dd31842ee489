//! What happens before a first turn's CLI is started.

use aod_e2e::{Ended, Runtimes, Server, ServerOptions, extend, plugin};
use serde_json::{Value, json};

async fn run(server: &Server, environment: &Value, prompt: &str) -> Ended {
    let client = server.client();
    let environment = client.create_environment(environment).await;
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": prompt, "environment_id": environment});
    client.create_session(&body).await.ended().await
}

#[tokio::test]
async fn a_setup_script_prepares_the_workspace() {
    let server = Server::demo().await;
    let script = "echo \"$FLAVOUR from $PWD\" >made\necho tool >$HOME/tool";
    let environment = json!({"name": "e", "setup_script": script, "env_vars": {"FLAVOUR": "plum"}});
    let ended = run(&server, &environment, "$ cat made $HOME/tool")
        .await
        .completed();
    let stdout = ended.stdout();
    assert!(stdout.contains("plum from /workspace\\ntool"), "{stdout}");
}

#[tokio::test]
async fn a_setup_script_that_fails_says_how() {
    let server = Server::demo().await;
    let script = "echo first line; echo the last line >&2; exit 23";
    let ended = run(
        &server,
        &json!({"name": "e", "setup_script": script}),
        "hello",
    )
    .await;
    let error = ended.failed();
    for part in ["setup_script", "23", "first line", "the last line"] {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
    let failed: Vec<_> = ended
        .events
        .iter()
        .filter(|event| event.data["state"] == "failed")
        .collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!(failed[0].data["stage"], "provision_setup");
    let message = failed[0].data["message"].as_str().unwrap();
    assert!(
        message.contains("23") && message.contains("the last line"),
        "{message}"
    );
    assert_eq!(ended.last().kind(), "error");
    assert_eq!(ended.session["resumable"], false);
    assert_eq!(ended.session["exit_code"], Value::Null);
    assert!(
        !ended
            .events
            .iter()
            .any(|event| event.data["stage"] == "runtime_start")
    );
}

#[tokio::test]
async fn a_setup_script_stops_at_its_first_failure() {
    let server = Server::demo().await;
    let script = "echo one\nfalse\necho two >/workspace/two";
    let ended = run(
        &server,
        &json!({"name": "e", "setup_script": script}),
        "hello",
    )
    .await;
    ended.failed();
    let id = ended.session["id"].as_str().unwrap();
    assert_eq!(server.workspace_file(id, "two"), None);
}

#[tokio::test]
async fn what_cannot_be_enforced_is_refused_and_not_pretended() {
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_SANDBOX__NETWORK", "host");
    let server = Server::start(options).await;
    for (asked, named) in [
        (
            json!({"networking": {"type": "limited", "allowed_hosts": ["a.test"]}}),
            "limited",
        ),
        (json!({"credentials": "brokered"}), "brokered"),
    ] {
        let mut environment = json!({"name": "e"});
        extend(&mut environment, asked);
        let ended = run(&server, &environment, "hello").await;
        let error = ended.failed();
        assert!(
            error.contains(named) && error.contains("sandbox.network"),
            "{error}"
        );
        assert!(!ended.events.iter().any(|event| event.kind() == "output"));
    }
}

#[tokio::test]
async fn declared_steps_install_a_cli_once() {
    // The steps count themselves in the prefix, which outlives them.
    let steps = "install = { steps = [\
                 [\"sh\", \"-c\", \"echo x >>$PREFIX/count\"], \
                 [\"sh\", \"-c\", \"ln -s /bin/sh $PREFIX/bin/demo-shell\"]] }\n";
    let runtimes = Runtimes::default().with("demo", &plugin("demo"), steps);
    let server = Server::start(ServerOptions::new(runtimes)).await;
    let client = server.client();
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "$ cat /opt/aod/runtime/count; demo-shell -c 'echo here'"});
    let first = client.create_session(&body).await;
    let second = client.create_session(&body).await;
    for session in [&first, &second] {
        let ended = session.ended().await.completed();
        let stdout = ended.stdout();
        assert!(stdout.contains("\"output\":\"x\\nhere\""), "{stdout}");
    }
    let third = client.create_session(&body).await.ended().await.completed();
    assert!(
        !third
            .events
            .iter()
            .any(|event| event.data["stage"] == "provision_setup"),
        "there was nothing to set up: {:#?}",
        third.events
    );
}

#[tokio::test]
async fn an_installation_that_fails_is_never_used_and_tried_again() {
    let step = |script: &str| format!("install = {{ steps = [[\"sh\", \"-c\", {script:?}]] }}\n");
    let runtimes = Runtimes::default().with(
        "demo",
        &plugin("demo"),
        &step("echo half >$PREFIX/half; echo no such package >&2; exit 9"),
    );
    let server = Server::start(ServerOptions::new(runtimes)).await;
    let client = server.client();
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "hello"});
    for _ in 0..2 {
        let ended = client.create_session(&body).await.ended().await;
        let error = ended.failed();
        assert!(
            error.contains("no such package") && error.contains('9'),
            "{error}"
        );
        let kept = std::fs::read_dir(server.data().join("runtimes"))
            .unwrap()
            .count();
        assert_eq!(kept, 0, "half an installation was kept");
    }
}

#[tokio::test]
async fn variables_that_change_how_programs_start_reach_the_cli_and_break_nothing() {
    let server = Server::demo().await;
    let environment = json!({
        "name": "e",
        "setup_script": "command -v sh >/dev/null",
        "env_vars": {"PATH": "/somewhere/else"},
        "vars": {"LD_LIBRARY_PATH": "/nowhere"},
    });
    let ended = run(&server, &environment, "$ echo $PATH $LD_LIBRARY_PATH")
        .await
        .completed();
    let stdout = ended.stdout();
    assert!(
        stdout.contains("/usr/bin") && stdout.contains("/nowhere"),
        "{stdout}"
    );
}
