//! The example of the API's documentation, and what follows from it.

use aod_e2e::{MODEL_HOST, Runtimes, Server, ServerOptions, types};
use aod_standin::{DEFAULT_ANSWER, Options, Standin};
use serde_json::json;

use crate::{Lab, lines, result, secret};

/// The requests are those of the documentation, to the letter; the model's address is the one
/// thing that is added, by the operator.
#[tokio::test]
async fn the_documented_example_works_as_it_stands() {
    let model = Standin::start(Options::default()).await.unwrap();
    let runtimes = Runtimes::default().with(
        "claude",
        &aod_e2e::plugin("claude"),
        &format!(
            "command = {:?}\nenv = {{ ANTHROPIC_BASE_URL = {:?} }}\n",
            aod_e2e::cli("claude"),
            model.url_at(MODEL_HOST)
        ),
    );
    let server = Server::start(ServerOptions::new(runtimes)).await;
    let client = server.client();
    let agent = client
        .post(
            "/agents",
            &json!({"name": "hello", "runtime": "claude", "model": "anthropic/claude-sonnet-4-6"}),
        )
        .await
        .expect(201);
    assert_eq!(agent["type"], "agent");
    assert_eq!(agent["version"], 1);
    let key = secret();
    let environment = client
        .post(
            "/environments",
            &json!({"name": "with-anthropic-key", "env_vars": {"ANTHROPIC_API_KEY": key}}),
        )
        .await
        .expect(201);
    assert_eq!(environment["type"], "environment");
    assert!(environment.get("env_vars").is_none());
    let session = client
        .create_session(&json!({
            "agent_id": agent["id"],
            "environment_id": environment["id"],
            "prompt": "Say hello",
        }))
        .await;
    let ended = session.ended().await.completed();
    let kinds = types(&ended.events);
    assert_eq!(kinds[0], "start");
    assert_eq!(ended.events[0].data["runtime"], "claude");
    assert_eq!(kinds[1], "stage");
    let turn_start = kinds.iter().position(|kind| *kind == "turn_start").unwrap();
    assert!(
        kinds[1..turn_start].iter().all(|kind| *kind == "stage"),
        "{kinds:?}"
    );
    let (last, outputs) = kinds[turn_start + 1..].split_last().unwrap();
    assert_eq!(*last, "exit");
    assert!(
        !outputs.is_empty() && outputs.iter().all(|kind| *kind == "output"),
        "{kinds:?}"
    );

    let lines = lines(&ended.stdout());
    let init = lines.iter().find(|line| line["subtype"] == "init").unwrap();
    assert_eq!(init["type"], "system");
    assert_eq!(init["model"], "claude-sonnet-4-6");
    let last = lines.iter().rfind(|line| line["type"] == "result").unwrap();
    assert_eq!(last["is_error"], false);
    assert_eq!(last["result"], DEFAULT_ANSWER);
    let asked = &model.requests()[0];
    assert_eq!(asked.headers["x-api-key"], key);
    assert_eq!(asked.model.as_deref(), Some("claude-sonnet-4-6"));
}

#[tokio::test]
async fn a_tool_call_writes_a_file_into_the_workspace() {
    let lab = Lab::new().await;
    let session = lab
        .session("[[write note.txt from-the-model]] [[say written]]")
        .await;
    let ended = session.ended().await.completed();
    assert_eq!(result(&ended.stdout()), "written");
    let note = lab.server.workspace_file(&session.id, "note.txt").unwrap();
    assert_eq!(note.trim(), "from-the-model");
    session
        .prompt("[[bash cat note.txt && pwd && id -u]]")
        .await;
    let ended = session.ended().await.completed();
    let answer = result(&ended.last_stdout());
    assert!(answer.contains("from-the-model"), "{answer}");
    assert!(answer.contains("/workspace"), "{answer}");
    assert!(
        !answer.lines().any(|line| line == "0"),
        "root inside: {answer}"
    );
}

#[tokio::test]
async fn the_model_is_reached_under_the_name_that_the_operator_gave() {
    let model = Standin::start(Options::default()).await.unwrap();
    let address = model.address();
    let options = ServerOptions::new(Runtimes::vendor("claude"))
        .set("AOD_EGRESS__HOSTS", format!("model.test={address}"));
    let server = Server::start(options).await;
    let client = server.client();
    let body = json!({"name": "hello", "runtime": "claude", "model": crate::MODEL});
    let agent = client.create_agent(&body).await;
    let environment = client
        .create_environment(&json!({
            "name": "e",
            "env_vars": {
                "ANTHROPIC_API_KEY": secret(),
                "ANTHROPIC_BASE_URL": format!("http://model.test:{}", address.port()),
            },
        }))
        .await;
    let body = json!({"agent_id": agent, "environment_id": environment, "prompt": "[[say hi]]"});
    let ended = client.create_session(&body).await.ended().await.completed();
    assert_eq!(result(&ended.stdout()), "hi");
    assert!(model.requests()[0].headers["host"].starts_with("model.test"));
}

#[tokio::test]
async fn text_is_streamed_as_it_comes() {
    let lab = Lab::new().await;
    let session = lab.session("[[slow 20]] [[words 100]]").await;
    let mut stream = session.stream().await;
    let delta = |word: &str| format!("\"text\":\"{word}");
    let first = delta("word1 ");
    let seen = stream.until(|event| event.says(&first)).await;
    assert_eq!(
        session.read().await["status"],
        "running",
        "it came only with the end"
    );
    let rest = stream.rest().await;
    assert!(seen.iter().all(|event| event.kind() != "exit"));
    let deltas = rest.iter().filter(|event| event.says("stream_event"));
    assert!(deltas.count() > 5, "{rest:#?}");
    session.ended().await.completed();
}
