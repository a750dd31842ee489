//! How a turn is run.

use aod_plugin_sdk::{Plan, Stdin, TurnContext, file, mcp, text, variable};

use crate::resume::Resume;
use crate::{API_KEY, OAUTH_TOKEN};

/// With this many retries a refused key or a dead provider ends a turn after some ten seconds;
/// without a bound it takes minutes.
const MAX_RETRIES: &str = "4";

const MCP_KEYS: mcp::HttpKeys = mcp::HttpKeys {
    url: "url",
    kind: Some(("type", "http")),
};

pub(crate) fn plan(context: &TurnContext) -> Plan {
    let mut argv: Vec<String> = [
        "claude",
        "--print",
        "--output-format",
        "stream-json",
        // Without it, stream-json is refused.
        "--verbose",
        "--include-partial-messages",
        "--dangerously-skip-permissions",
        // The agent's servers and no others, whatever a repository or an account brings.
        "--strict-mcp-config",
        "--model",
        context.model_id(),
    ]
    .map(str::to_owned)
    .into();
    let resume = context.resume_token().map(Resume::read);
    argv.extend(match &resume {
        Some(resume) => ["--resume".to_owned(), resume.session.clone()],
        // Of this turn's own: an id that was ever used is refused.
        None => ["--session-id".to_owned(), context.turn_id.clone()],
    });

    let mut files = Vec::new();
    if let Some(system) = &context.system {
        let path = format!("{}/system-prompt.txt", context.paths.private);
        argv.extend(["--append-system-prompt-file".to_owned(), path.clone()]);
        files.push(file(path, text(system)));
    }
    if !context.mcp_servers.is_empty() {
        let path = format!("{}/mcp.json", context.paths.private);
        argv.extend(["--mcp-config".to_owned(), path.clone()]);
        let content = mcp::object("mcpServers", &context.mcp_servers, MCP_KEYS);
        files.push(file(path, content));
    }

    let mut plan = aod_plugin_sdk::plan(argv, context.continuity());
    plan.env = vec![
        // As root it refuses to skip permissions anywhere else.
        variable("IS_SANDBOX", "1"),
        variable("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        variable("DISABLE_AUTOUPDATER", "1"),
        variable("CLAUDE_CODE_MAX_RETRIES", MAX_RETRIES),
    ];
    // It would take the key first.
    if context.has_secret(OAUTH_TOKEN) && context.has_secret(API_KEY) {
        plan.withhold.push(API_KEY.to_owned());
    }
    plan.stdin = Stdin::Text(text(&context.prompt));
    plan.files = files;
    plan
}
