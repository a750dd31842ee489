//! What an agent brings: MCP servers of both kinds, skills, a system prompt.

use aod_e2e::{Ended, MODEL_HOST, files_with, place_mcp_server};
use serde_json::{Value, json};

use crate::lab::{Lab, Vendor, said, secret};

each_vendor!(
    an_mcp_server_in_the_sandbox_is_called,
    an_mcp_server_over_http_is_called,
    a_system_prompt_and_skills_arrive,
    an_image_reaches_the_model_as_one,
    a_commit_has_an_author,
);

/// A picture of 16 by 16 points (PNG).
const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAB10lEQVR42g3LoRWFIABAUZiChG7BORDYQk0u\
     gUbC28BgZARJRCewGu2wA/H/268QglHgBasgCpLgFnyCLlACI5gEu+AUFMErEMIyWrxltURLstyWz9ItymIs\
     k2W3nJZiee0/BMaAD6yBGEiBO/AFekAFTGAK7IEzUAJv+IeL8cJfrBfxIl3cF99Fv1AX5mK62C/Oi3LxXv9Q\
     GSu+slZiJVXuylfpFVUxlamyV85Kqbz1HzSjxmtWTdQkza35NF2jNEYzaXbNqSmaV//DzDjjZ9aZOJNm7plv\
     ps+oGTMzzewz50yZeed/OBgP/MF6EA/SwX3wHfQDdWAOpoP94DwoB+/xDw/jg39YH+JDergfvof+oB7Mw/Sw\
     P5wP5eF9/kEySrxklURJktyST9IlSmIkk2SXnJIieeU/OEaHd6yO6EiO2/E5ukM5jGNy7I7TURyv+4eNccNv\
     rBtxI23cG99G31AbZmPa2DfOjbLxbv+QGTM+s2ZiJmXuzJfpGZUxmSmzZ85Mybz5HxpjwzfWRmykxt34Gr2h\
     GqYxNfbG2SiNt/3DwDjgB9aBOJAG7oFvoA+oATMwDewD50AZeId/WBgX/MK6EBfSwr3wLfQFtWAWpoV94Vwo\
     C+/CDyNpZBAC1k0FAAAAAElFTkSuQmCC";

async fn an_mcp_server_in_the_sandbox_is_called(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let value = secret(vendor);
    let servers = json!([{
        "name": "notes",
        "type": "stdio",
        "command": "node",
        "args": ["/workspace/server.mjs", "/workspace/calls.jsonl"],
        "env": {"MCP_TOKEN": value, "MCP_ODD": "a \"quoted\" \\ $value"},
    }]);
    let agent = lab.agent(json!({"mcp_servers": servers})).await;
    let environment = lab
        .client()
        .create_environment(&json!({"name": "e", "setup_script": place_mcp_server()}))
        .await;
    let session = lab
        .session_with(json!({
            "agent_id": agent,
            "environment_id": environment,
            "prompt": "[[mcp echo {\"text\": \"plum\"}]]",
        }))
        .await;
    let ended = session.ended().await.completed();
    let answer = said(&session, &ended).await;
    assert!(answer.contains("echo: plum"), "{answer}");
    assert_eq!(stages(&ended), ["mcp_config"]);
    let calls = || {
        let calls = lab.server.workspace_file(&session.id, "calls.jsonl");
        let lines = calls.unwrap_or_default();
        let read = |line| serde_json::from_str(line).unwrap();
        lines.lines().map(read).collect::<Vec<Value>>()
    };
    let call = &calls()[0];
    assert_eq!(call["tool"], "echo");
    assert_eq!(call["arguments"], json!({"text": "plum"}));
    assert_eq!(call["env"]["MCP_TOKEN"], value);
    assert_eq!(call["env"]["MCP_ODD"], "a \"quoted\" \\ $value");
    // And again in a later turn.
    session
        .prompt("[[mcp remember {\"text\": \"pear\"}]]")
        .await;
    session.ended().await.completed();
    assert_eq!(calls().len(), 2);
    let private = |path: &std::path::Path| path.ends_with("workspace") || path.ends_with("home");
    let files = files_with(&lab.server.data(), &value, &private);
    assert!(files.is_empty(), "the sealed value is in {files:?}");
    assert!(!lab.server.log().contains(&value));
}

/// The stages that an agent's extras have brought.
fn stages(ended: &Ended) -> Vec<&str> {
    let done = ended.events.iter().filter(|it| it.data["state"] == "done");
    done.filter_map(|event| event.data["stage"].as_str())
        .filter(|stage| matches!(*stage, "mcp_config" | "skills"))
        .collect()
}

async fn an_mcp_server_over_http_is_called(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let value = secret(vendor);
    let servers = json!([{
        "name": "far-notes",
        "type": "url",
        "url": format!("{}/mcp", lab.model.url_at(MODEL_HOST)),
        "headers": {"X-Notes-Token": value},
    }]);
    let agent = lab.agent(json!({"mcp_servers": servers})).await;
    let prompt = "[[mcp echo {\"text\": \"plum\"}]]";
    let session = lab
        .session_with(json!({"agent_id": agent, "prompt": prompt}))
        .await;
    let ended = session.ended().await.completed();
    let answer = said(&session, &ended).await;
    assert!(answer.contains("echo: plum"), "{answer}");
    let requests = lab.model.requests();
    let calls: Vec<_> = requests
        .iter()
        .filter(|it| it.path == "/mcp" && it.body["method"] == "tools/call")
        .collect();
    assert_eq!(calls.len(), 1, "{calls:#?}");
    assert_eq!(
        calls[0].body["params"]["arguments"],
        json!({"text": "plum"})
    );
    assert_eq!(calls[0].headers["x-notes-token"], value);
    let private = |path: &std::path::Path| path.ends_with("workspace");
    let files = files_with(&lab.server.data(), &value, &private);
    assert!(files.is_empty(), "the header's value is in {files:?}");
}

async fn a_system_prompt_and_skills_arrive(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let skill = json!({
        "name": "tangerine-peeling",
        "description": "How tangerines are peeled without a knife.",
        "content": "Start at the top. The secret word is zest.",
    });
    let system = "You are a pomologist; 'quote' \"this\".\n$HOME stays as it is.";
    let agent = lab
        .agent(json!({"system": system, "skills": [skill]}))
        .await;
    let prompt = format!(
        "[[bash cat ~/{}/tangerine-peeling/SKILL.md]]",
        vendor.skills
    );
    let session = lab
        .session_with(json!({"agent_id": agent, "prompt": prompt}))
        .await;
    let ended = session.ended().await.completed();
    assert_eq!(stages(&ended), ["skills"]);
    let whole = lab.asked("pomologist")[0].body.to_string();
    // As it stands inside of a JSON string.
    let system = json!(system).to_string();
    assert!(whole.contains(system.trim_matches('"')), "{whole}");
    // The CLI itself found the skill, and tells the model of it.
    assert!(
        whole.contains("How tangerines are peeled without a knife."),
        "{whole}"
    );
    assert!(
        ended.stdout().contains("The secret word is zest."),
        "{}",
        ended.stdout()
    );
    // What an agent is told holds in later turns too.
    session.prompt("[[say still]] here").await;
    session.ended().await.completed();
    let later = lab.asked("[[say still]]")[0].body.to_string();
    assert!(later.contains(system.trim_matches('"')), "{later}");
}

async fn an_image_reaches_the_model_as_one(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let prompt = json!([
        {"type": "text", "text": "what is this?"},
        {"type": "image", "media_type": "image/png", "data": PICTURE},
    ]);
    let session = lab.session_with(json!({"prompt": prompt})).await;
    let ended = session.ended().await.completed();
    let asked = ended.turn["prompt"].as_str().unwrap();
    assert!(asked.ends_with(" bytes]"), "{asked}");
    let shown = |request: &aod_standin::Request| request.body.to_string().contains(PICTURE);
    let seen = lab.asked("what is this?").iter().any(shown);
    // What is spoken to takes it as it is; others are told where it lies.
    let stays = crate::lab::idle() != "0s";
    assert!(seen || !stays, "no request has the picture");
    // The next turn knows of it, and of what was said.
    session.prompt("and now?").await;
    session.ended().await.completed();
    assert!(lab.asked("and now?").iter().any(shown) || !stays);
}

async fn a_commit_has_an_author(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let prompt = "[[bash cd /workspace && git init -q && git commit -q --allow-empty -m one \
                  && git log --format='%an <%ae>' >author]] [[say committed]]";
    let session = lab.session(prompt).await;
    session.ended().await.completed();
    let author = lab.server.workspace_file(&session.id, "author").unwrap();
    assert_eq!(author.trim(), "Agent <agent@localhost>");
}
