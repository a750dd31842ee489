//! Turns from end to end: what an agent remembers, does and is given.

use aod_e2e::{files_with, place_mcp_server};
use serde_json::{Value, json};

use crate::{Agent, Lab, can_be_loaded, events, of_type, result, secret, with_each_agent};

with_each_agent!(
    two_turns_are_remembered_and_told_once,
    a_later_process_goes_on,
    a_file_is_written,
    an_mcp_server_is_called_with_its_sealed_value,
    a_missing_key_is_named,
    a_failing_provider_fails_the_turn,
);

async fn two_turns_are_remembered_and_told_once(agent: Agent) {
    let system = json!({"system": "You are a pomologist."});
    let lab = Lab::with(agent, "", system, json!({})).await;
    let session = lab.session("[[say apricot]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(result(&ended, &session).await, "apricot");
    let process = lab.server.supervisor().root;
    session.prompt("[[recall]]").await;
    let ended = session.ended().await.completed();
    let answer = result(&ended, &session).await;
    assert!(
        answer.contains("[[say apricot]]") && answer.contains("You are a pomologist."),
        "{answer}"
    );
    let all = events(&session).await;
    let messages = of_type(&all, "message");
    let texts: Vec<_> = messages
        .iter()
        .map(|it| it["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["apricot", answer.as_str()], "{all:#?}");
    for turn in [1, 2] {
        let mut deltas = of_type(&all, "message.delta");
        deltas.retain(|event| event["turn"] == turn);
        let joined: String = deltas.iter().filter_map(|it| it["text"].as_str()).collect();
        assert_eq!(joined, texts[turn - 1]);
    }
    assert!(of_type(&all, "unparsed").is_empty(), "{all:#?}");
    assert_eq!(of_type(&all, "session.started").len(), 1);
    assert_eq!(ended.turn["usage"]["output_tokens"], 7, "{:#?}", ended.turn);
    assert_eq!(lab.server.supervisor().root, process);
}

async fn a_later_process_goes_on(agent: Agent) {
    let nothing = json!({});
    let lab = Lab::where_processes_stay("0s", agent, "", nothing.clone(), nothing).await;
    let session = lab.session("[[say apricot]]").await;
    session.ended().await.completed();
    can_be_loaded(agent).await;
    session.prompt("[[recall]]").await;
    let ended = session.ended().await.completed();
    let answer = result(&ended, &session).await;
    assert!(answer.contains("[[say apricot]]"), "{answer}");
    let all = events(&session).await;
    assert_eq!(of_type(&all, "session.started").len(), 2, "{all:#?}");
    // What was said before is not told again.
    assert_eq!(of_type(&all, "message").len(), 2, "{all:#?}");
}

async fn a_file_is_written(agent: Agent) {
    let lab = Lab::new(agent, "permissions = \"allow\"").await;
    let session = lab.session("[[write hello.txt fine]] [[say done]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(result(&ended, &session).await, "done");
    assert_eq!(
        lab.server
            .workspace_file(&session.id, "hello.txt")
            .unwrap()
            .trim_end(),
        "fine"
    );
    let all = events(&session).await;
    let (calls, results) = (of_type(&all, "tool.call"), of_type(&all, "tool.result"));
    assert_eq!((calls.len(), results.len()), (1, 1), "{all:#?}");
    assert_eq!(calls[0]["call_id"], results[0]["call_id"]);
    assert_eq!(results[0]["is_error"], false);
    let changes = of_type(&all, "file.change");
    assert_eq!(changes.len(), 1, "{all:#?}");
    assert!(changes[0]["path"].as_str().unwrap().ends_with("hello.txt"));
    assert!(of_type(&all, "permission.request").is_empty());
}

async fn an_mcp_server_is_called_with_its_sealed_value(agent: Agent) {
    let value = secret();
    let servers = json!([{
        "name": "notes",
        "type": "stdio",
        "command": "node",
        "args": ["/workspace/server.mjs", "/workspace/calls.jsonl"],
        "env": {"MCP_TOKEN": value, "MCP_ODD": "a \"quoted\" \\ value"},
    }]);
    let lab = Lab::with(
        agent,
        "permissions = \"allow\"",
        json!({"mcp_servers": servers}),
        json!({"setup_script": place_mcp_server()}),
    )
    .await;
    let session = lab.session("[[mcp echo {\"text\": \"plum\"}]]").await;
    let ended = session.ended().await.completed();
    assert!(result(&ended, &session).await.contains("echo: plum"));
    let calls = lab
        .server
        .workspace_file(&session.id, "calls.jsonl")
        .unwrap();
    let call: Value = serde_json::from_str(calls.lines().next().unwrap()).unwrap();
    assert_eq!(call["arguments"], json!({"text": "plum"}));
    assert_eq!(call["env"]["MCP_TOKEN"], value);
    assert_eq!(call["env"]["MCP_ODD"], "a \"quoted\" \\ value");
    // What went to the agent's stdin is on record without it.
    let private = |path: &std::path::Path| path.ends_with("workspace") || path.ends_with("home");
    let files = files_with(&lab.server.data(), &value, &private);
    assert!(files.is_empty(), "the sealed value is in {files:?}");
    assert!(!lab.server.log().contains(&value));
}

async fn a_missing_key_is_named(agent: Agent) {
    let variables = json!({"env_vars": {"UNRELATED": "x"}});
    let lab = Lab::with(agent, "", json!({}), variables).await;
    let session = lab.session("hello").await;
    let error = session.ended().await.failed();
    assert!(error.contains(agent.key), "{error}");
}

async fn a_failing_provider_fails_the_turn(agent: Agent) {
    let lab = Lab::new(agent, "").await;
    let session = lab.session("[[status 401]]").await;
    let error = session.ended().await.failed();
    assert!(!error.is_empty());
    let all = events(&session).await;
    let results = of_type(&all, "turn.result");
    assert_eq!(results.len(), 1, "{all:#?}");
    assert_eq!(results[0]["is_error"], true, "{all:#?}");
    session.prompt("[[say on]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(result(&ended, &session).await, "on");
}
