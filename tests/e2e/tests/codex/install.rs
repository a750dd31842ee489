//! Codex by its published adapter for the Agent Client Protocol, as a row in `runtimes.toml` that is
//! installed from npm on first use.

use std::time::Duration;

use aod_e2e::{MODEL_HOST, Runtimes, Server, ServerOptions, plugin, within};
use aod_standin::{Options, Standin};
use serde_json::json;

use crate::{MODEL, answer, events, key, of_type, result};

/// It downloads some hundred megabytes.
const DOWNLOAD: Duration = Duration::from_secs(300);

/// The provider is one of its own, so that the key is read from the environment and not stored.
const ROW: &str = r#"
install = { npm = "@agentclientprotocol/codex-acp@2.6.0" }

[[runtime.codex-acp.models]]
id = "openai/gpt-4.1"

[runtime.codex-acp.options]
argv = ["codex-acp"]
skills_folder = ".codex/skills"
steering = true
fork = true
providers = [{ id = "openai", endpoint_variable = "OPENAI_BASE_URL", default_endpoint = "https://api.openai.com" }]
credentials = [{ name = "provider_key:openai", variable = "OPENAI_API_KEY", providers = ["openai"] }]

[runtime.codex-acp.options.env]
NO_BROWSER = "1"
INITIAL_AGENT_MODE = "agent-full-access"
MODEL_PROVIDER = "given"
CODEX_CONFIG = '{"model":"{model}","features":{"shell_snapshot":false},"model_provider":"given","model_providers":{"given":{"name":"given","base_url":"{endpoint:openai}/v1","env_key":"OPENAI_API_KEY","wire_api":"responses"}}}'
"#;

#[tokio::test]
async fn codex_is_a_row_of_the_agent_client_protocol() {
    let runtimes = Runtimes::default().with("codex-acp", &plugin("acp"), ROW);
    let server = Server::start(ServerOptions::new(runtimes)).await;
    let model = Standin::start(Options::default()).await.unwrap();
    let client = server.client();
    let agent = client
        .create_agent(&json!({"name": "a", "runtime": "codex-acp", "model": MODEL}))
        .await;
    let environment = client
        .create_environment(&json!({
            "name": "e",
            "env_vars": {"OPENAI_API_KEY": key(), "OPENAI_BASE_URL": model.url_at(MODEL_HOST)},
        }))
        .await;
    let body = json!({
        "agent_id": agent, "environment_id": environment,
        "prompt": "the word is tangerine [[bash echo plum >note.txt]] [[say noted]]",
    });
    let session = client.create_session(&body).await;
    let mut stream = session.stream().await;
    within("the first turn", DOWNLOAD, stream.rest_within(DOWNLOAD)).await;
    assert_eq!(answer(&session).await, "noted");
    let note = server.workspace_file(&session.id, "note.txt");
    assert_eq!(note.as_deref(), Some("plum\n"));
    let process = server.supervisor().root;

    session.prompt("which word? [[recall]]").await;
    let text = answer(&session).await;
    assert!(text.contains("the word is tangerine"), "{text}");
    assert_eq!(server.supervisor().root, process, "the process stays");

    // Of a turn that failed this agent says that it has ended well, and tells why as a message.
    session.prompt("[[status 400]]").await;
    let ended = session.ended().await;
    ended.failed();
    let failed = result(&session, &ended).await;
    assert_eq!(failed["failure"]["kind"], "provider", "{failed}");

    session.prompt("[[say on]]").await;
    assert_eq!(answer(&session).await, "on");
    // The model was asked for a title besides, and that is not told.
    let counted = model.usage();
    let told = counted.input_tokens - counted.input_tokens / counted.replies;
    let usage = session.read().await["usage"].clone();
    assert_eq!(usage["input_tokens"], told, "{usage} {counted:?}");
    let all = events(&session).await;
    assert!(of_type(&all, "unparsed").is_empty(), "{all:#?}");
}
