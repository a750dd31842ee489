//! Skills from repositories.

use aod_e2e::{GitServer, Runtimes, Server, ServerOptions, plugin};
use serde_json::{Value, json};

#[tokio::test]
async fn a_skill_is_a_repository_or_a_folder_of_one_and_stays_as_it_was() {
    let git = GitServer::https();
    let whole = git.repository("o/whole");
    whole.commit(&[("SKILL.md", "first"), ("scripts/run.sh", "#!/bin/sh\n")]);
    let many = git.repository("o/Many");
    many.commit(&[
        ("skills/one/SKILL.md", "one"),
        ("two/SKILL.md", "two"),
        ("other", "x"),
    ]);
    // What comes before its CLI is started is what matters here.
    let runtimes = Runtimes::demo().with("claude", &plugin("claude"), "command = \"/bin/true\"\n");
    let options = ServerOptions::new(runtimes)
        .set("AOD_EGRESS__CA_FILE", git.authority().display())
        .set("AOD_GIT__SKILLS_URL", git.url(""));
    let server = Server::start(options).await;
    let client = server.client();
    let agent = async |skills: Value| {
        let body = json!({
            "name": "skilled", "runtime": "claude", "model": "anthropic/claude-sonnet-4-6",
            "skills": skills,
        });
        client.create_agent(&body).await
    };
    let skilled = agent(json!([
        {"type": "github", "source": "o/whole", "description": "d"},
        {"type": "github", "source": "o/Many", "name": "one", "description": "d"},
        {"type": "github", "source": "o/Many", "name": "two", "description": "d"},
        {"name": "inline", "description": "d", "content": "inline"},
    ]))
    .await;
    let start = async |agent: &str| {
        let body = json!({"agent_id": agent, "prompt": "x"});
        let session = client.create_session(&body).await;
        let ended = session.ended().await;
        (session, ended)
    };
    let (first, ended) = start(&skilled).await;
    let is_done =
        |event: &aod_e2e::Event| event.data["stage"] == "skills" && event.data["state"] == "done";
    assert!(ended.events.iter().any(is_done), "{ended:#?}");
    let file = |session: &str, path: &str| {
        let folder = server.session_files(session).join("home/.claude/skills");
        std::fs::read_to_string(folder.join(path)).ok()
    };
    for (path, content) in [
        ("whole/SKILL.md", "first"),
        ("whole/scripts/run.sh", "#!/bin/sh\n"),
        ("one/SKILL.md", "one"),
        ("two/SKILL.md", "two"),
    ] {
        assert_eq!(file(&first.id, path).as_deref(), Some(content), "{path}");
    }
    assert!(
        file(&first.id, "inline/SKILL.md")
            .unwrap()
            .contains("inline")
    );
    assert_eq!(file(&first.id, "one/other"), None);
    assert_eq!(file(&first.id, "whole/.git/HEAD"), None);
    // A session keeps what it began with.
    whole.commit(&[("SKILL.md", "second")]);
    let (second, _) = start(&skilled).await;
    assert_eq!(
        file(&second.id, "whole/SKILL.md").as_deref(),
        Some("second")
    );
    assert_eq!(file(&first.id, "whole/SKILL.md").as_deref(), Some("first"));
    for (source, part) in [("o/none", "not found"), ("o/Many", "no skill \"many\"")] {
        let broken = agent(json!([{"type": "github", "source": source, "description": "d"}])).await;
        let (_, ended) = start(&broken).await;
        let error = ended.failed();
        assert!(
            error.contains("skills failed") && error.contains(source) && error.contains(part),
            "{error}"
        );
    }
}
