//! The CLIs that can be spoken to, and how.

use std::path::PathBuf;

use aod_e2e::{AcpAgent, CLAUDE_ACP, GEMINI_ACP, OPENCODE_ACP, Runtimes, cli_if_installed};
use serde_json::{Value, json};

use crate::dialogue::Pipe;

/// A CLI that can be spoken to.
pub(crate) struct Dialogue {
    pub(crate) runtime: &'static str,
    /// Where the runtime is a row for an agent that speaks ACP.
    pub(crate) row: Option<AcpAgent>,
    pub(crate) model: &'static str,
    /// The variable of its key.
    pub(crate) key: &'static str,
    /// The variable of its model's address.
    pub(crate) endpoint: &'static str,
    /// Its arguments, and what must be in its environment besides.
    pub(crate) args: &'static [&'static str],
    pub(crate) env: &'static [(&'static str, &'static str)],
    /// Files in its home, with `{url}` for the model's address.
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// What is said before the first prompt.
    pub(crate) open: fn(&mut Pipe),
    /// The line that asks.
    pub(crate) ask: fn(&Pipe, &str) -> String,
    /// Whether a line has a piece of the answer.
    pub(crate) is_delta: fn(&str) -> bool,
    /// Whether a line is the last one of a turn.
    pub(crate) is_over: fn(&str) -> bool,
}

/// Each is started as its adapter starts it (`plugins/NAME/src/launch.rs`).
const DIALOGUES: &[Dialogue] = &[
    CLAUDE,
    CODEX,
    GEMINI,
    OPENCODE,
    OF_CLAUDE_ACP,
    OF_GEMINI_ACP,
    OF_OPENCODE_ACP,
];

impl Dialogue {
    /// The name of its program.
    fn cli(&self) -> &'static str {
        self.row.map_or(self.runtime, |row| row.cli)
    }

    /// What a server is told of its runtime.
    pub(crate) fn runtimes(&self) -> Runtimes {
        match self.row {
            Some(row) => row.runtimes(""),
            None => Runtimes::vendor(self.runtime),
        }
    }
}

const CLAUDE: Dialogue = Dialogue {
    runtime: "claude",
    row: None,
    model: "anthropic/claude-sonnet-4-6",
    key: "ANTHROPIC_API_KEY",
    endpoint: "ANTHROPIC_BASE_URL",
    args: &[
        "--print",
        "--input-format",
        "stream-json",
        "--output-format",
        "stream-json",
        "--verbose",
        "--include-partial-messages",
        "--dangerously-skip-permissions",
        "--model",
        "claude-sonnet-4-6",
    ],
    env: &[
        ("IS_SANDBOX", "1"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
    ],
    files: &[],
    open: |_| {},
    ask: |_, text| {
        let message = json!({"role": "user", "content": text});
        json!({"type": "user", "message": message, "parent_tool_use_id": null, "session_id": ""})
            .to_string()
    },
    is_delta: |line| line.contains("text_delta"),
    is_over: |line| line.contains("session_state_changed") && line.contains("\"idle\""),
};

const CODEX: Dialogue = Dialogue {
    runtime: "codex",
    row: None,
    model: "openai/gpt-4.1",
    key: "OPENAI_API_KEY",
    endpoint: "OPENAI_BASE_URL",
    args: &["app-server"],
    env: &[("RUST_LOG", "error")],
    files: &[(
        ".codex/config.toml",
        "openai_base_url = \"{url}/v1\"\ncli_auth_credentials_store = \"ephemeral\"\n\
         [features]\nshell_snapshot = false\n",
    )],
    open: |pipe| {
        let client = json!({"name": "bench", "title": "bench", "version": "1"});
        let capabilities = json!({"experimentalApi": true, "requestAttestation": false});
        let params = json!({"clientInfo": client, "capabilities": capabilities});
        pipe.request(&json!({"id": 0, "method": "initialize", "params": params}));
        pipe.write(&json!({"method": "initialized"}).to_string());
        let params = json!({"type": "apiKey", "apiKey": "sk-bench"});
        pipe.request(&json!({"id": 1, "method": "account/login/start", "params": params}));
        let params = json!({
            "cwd": pipe.workspace,
            "model": "gpt-4.1",
            "approvalPolicy": "never",
            "sandbox": "danger-full-access",
        });
        let reply = pipe.request(&json!({"id": 2, "method": "thread/start", "params": params}));
        pipe.session = reply["thread"]["id"].as_str().unwrap().to_owned();
    },
    ask: |pipe, text| {
        let input = json!([{"type": "text", "text": text}]);
        let params = json!({"threadId": pipe.session, "input": input, "approvalPolicy": "never"});
        json!({"id": 3, "method": "turn/start", "params": params}).to_string()
    },
    is_delta: |line| line.contains("item/agentMessage/delta"),
    is_over: |line| line.contains("\"turn/completed\""),
};

const GEMINI: Dialogue = Dialogue {
    runtime: "gemini",
    row: None,
    model: "google/gemini-2.5-flash",
    key: "GEMINI_API_KEY",
    endpoint: "GOOGLE_GEMINI_BASE_URL",
    args: &["--acp", "--yolo", "-m", "gemini-2.5-flash"],
    env: &[
        ("GEMINI_CLI_TRUST_WORKSPACE", "true"),
        ("GEMINI_CLI_NO_RELAUNCH", "true"),
    ],
    files: &[(
        ".gemini/settings.json",
        "{\"security\":{\"auth\":{\"selectedType\":\"gemini-api-key\"}},\
         \"general\":{\"enableAutoUpdate\":false},\
         \"privacy\":{\"usageStatisticsEnabled\":false}}",
    )],
    open: open_acp,
    ask: ask_acp,
    is_delta: |line| line.contains("agent_message_chunk"),
    is_over: |line| line.contains("\"stopReason\""),
};

const OPENCODE: Dialogue = Dialogue {
    runtime: "opencode",
    row: None,
    model: "anthropic/claude-sonnet-4-6",
    key: "ANTHROPIC_API_KEY",
    endpoint: "ANTHROPIC_BASE_URL",
    args: &["acp"],
    env: &[
        ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
        ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
        ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"),
        ("OPENCODE_DISABLE_PROJECT_CONFIG", "1"),
    ],
    files: &[(
        "opencode.json",
        "{\"autoupdate\":false,\"share\":\"disabled\",\"permission\":\"allow\",\
         \"model\":\"anthropic/claude-sonnet-4-6\",\"agent\":{\"title\":{\"disable\":true}},\
         \"provider\":{\"anthropic\":{\"options\":{\"baseURL\":\"{url}/v1\"},\
         \"models\":{\"claude-sonnet-4-6\":{}}}}}",
    )],
    open: open_acp,
    ask: ask_acp,
    is_delta: |line| line.contains("agent_message_chunk"),
    is_over: |line| line.contains("\"stopReason\""),
};

/// The same two CLIs as rows for the adapter of all ACP agents.
const OF_GEMINI_ACP: Dialogue = Dialogue {
    runtime: GEMINI_ACP.runtime,
    row: Some(GEMINI_ACP),
    args: &["--acp", "-m", "gemini-2.5-flash"],
    ..GEMINI
};

const OF_OPENCODE_ACP: Dialogue = Dialogue {
    runtime: OPENCODE_ACP.runtime,
    row: Some(OPENCODE_ACP),
    ..OPENCODE
};

/// Claude Code by its published adapter.
const OF_CLAUDE_ACP: Dialogue = Dialogue {
    runtime: CLAUDE_ACP.runtime,
    row: Some(CLAUDE_ACP),
    args: &[],
    env: &[
        ("ANTHROPIC_MODEL", "claude-sonnet-4-6"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
        ("IS_SANDBOX", "1"),
    ],
    open: open_acp,
    ask: ask_acp,
    is_delta: |line| line.contains("agent_message_chunk"),
    is_over: |line| line.contains("\"stopReason\""),
    ..CLAUDE
};

/// A request of the Agent Client Protocol.
fn acp(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn open_acp(pipe: &mut Pipe) {
    let files = json!({"readTextFile": false, "writeTextFile": false});
    let capabilities = json!({"fs": files, "terminal": false});
    let client = json!({"name": "bench", "version": "1"});
    let params = json!({
        "protocolVersion": 1,
        "clientCapabilities": capabilities,
        "clientInfo": client,
    });
    pipe.request(&acp(0, "initialize", &params));
    let params = json!({"cwd": pipe.workspace, "mcpServers": []});
    let reply = pipe.request(&acp(1, "session/new", &params));
    pipe.session = reply["sessionId"].as_str().unwrap().to_owned();
}

fn ask_acp(pipe: &Pipe, text: &str) -> String {
    let prompt = json!([{"type": "text", "text": text}]);
    let params = json!({"sessionId": pipe.session, "prompt": prompt});
    acp(2, "session/prompt", &params).to_string()
}

/// The dialogues whose CLIs are installed, with these; of the runtimes that `AOD_BENCH_RUNTIMES`
/// lists, where it is set.
pub(crate) fn installed() -> impl Iterator<Item = (&'static Dialogue, PathBuf)> {
    let chosen = std::env::var("AOD_BENCH_RUNTIMES").ok();
    let is_chosen = move |dialogue: &&Dialogue| {
        let chosen = chosen.as_deref();
        chosen.is_none_or(|chosen| chosen.split(',').any(|it| it == dialogue.runtime))
    };
    DIALOGUES.iter().filter(is_chosen).filter_map(|dialogue| {
        let cli = cli_if_installed(dialogue.cli());
        if cli.is_none() {
            eprintln!("{} is not installed: no row for it", dialogue.runtime);
        }
        Some((dialogue, cli?))
    })
}
