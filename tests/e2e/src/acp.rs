//! Agents that speak the Agent Client Protocol, each a row in `runtimes.toml`.

use crate::program::{cli, cli_if_installed, plugin};
use crate::runtimes::Runtimes;

/// An agent that speaks ACP, and how it is declared.
#[derive(Clone, Copy, Debug)]
pub struct AcpAgent {
    /// The runtime that it is.
    pub runtime: &'static str,
    /// Its program, as [`cli`] knows it.
    pub cli: &'static str,
    /// The model that the tests take.
    pub model: &'static str,
    /// The variable of its key.
    pub key: &'static str,
    /// The variable of its model's address.
    pub endpoint: &'static str,
    /// The table, up to its further options.
    table: &'static str,
}

impl AcpAgent {
    /// What a server is told of it; `options` are further lines, such as `permissions = "allow"`.
    ///
    /// # Panics
    /// Where its program is not installed.
    #[must_use]
    pub fn runtimes(&self, options: &str) -> Runtimes {
        let header = format!("[runtime.{}.options]\n", self.runtime);
        let table = self
            .table
            .replace(&header, &format!("{header}{options}\n"))
            .replace("PATH OF CLAUDE", &path_of_claude());
        let more = format!("command = {:?}\n{table}", cli(self.cli));
        Runtimes::default().with(self.runtime, &plugin("acp"), &more)
    }
}

/// Of the pinned CLI, where its own adapter finds it.
#[must_use]
pub fn path_of_claude() -> String {
    cli_if_installed("claude")
        .and_then(|link| link.canonicalize().ok())
        .map_or_else(String::new, |path| path.display().to_string())
}

/// The Gemini CLI, which speaks it itself.
pub const GEMINI_ACP: AcpAgent = AcpAgent {
    runtime: "gemini-acp",
    cli: "gemini",
    model: "google/gemini-2.5-flash",
    key: "GEMINI_API_KEY",
    endpoint: "GOOGLE_GEMINI_BASE_URL",
    table: r#"
[[runtime.gemini-acp.models]]
id = "google/gemini-2.5-flash"

[runtime.gemini-acp.options]
argv = ["gemini", "--acp", "-m", "{model}"]
auth_method = "gemini-api-key"
delete = ["{home}/.gemini/projects.json.lock"]
skills_folder = ".gemini/skills"
providers = [{ id = "google", endpoint_variable = "GOOGLE_GEMINI_BASE_URL" }]
credentials = [{ name = "provider_key:google", variable = "GEMINI_API_KEY", providers = ["google"], sent = [{ header = "x-goog-api-key" }] }]
env = { GEMINI_CLI_TRUST_WORKSPACE = "true", GEMINI_CLI_NO_RELAUNCH = "true" }
"#,
};

/// opencode, which speaks it itself.
pub const OPENCODE_ACP: AcpAgent = AcpAgent {
    runtime: "opencode-acp",
    cli: "opencode",
    model: "anthropic/claude-sonnet-4-6",
    key: "ANTHROPIC_API_KEY",
    endpoint: "ANTHROPIC_BASE_URL",
    table: r#"
[[runtime.opencode-acp.models]]
id = "anthropic/claude-sonnet-4-6"

[runtime.opencode-acp.options]
argv = ["opencode", "acp"]
select_model = "{canonical}"
skills_folder = ".config/opencode/skills"
providers = [{ id = "anthropic", endpoint_variable = "ANTHROPIC_BASE_URL" }]
credentials = [{ name = "provider_key:anthropic", variable = "ANTHROPIC_API_KEY", providers = ["anthropic"], sent = [{ header = "x-api-key" }] }]

[runtime.opencode-acp.options.env]
OPENCODE_DISABLE_AUTOUPDATE = "1"
OPENCODE_DISABLE_MODELS_FETCH = "1"
OPENCODE_DISABLE_LSP_DOWNLOAD = "1"
OPENCODE_CONFIG_CONTENT = '{"share":"disabled","permission":{"edit":"ask","bash":"ask"},"provider":{"anthropic":{"options":{"baseURL":"{endpoint:anthropic}/v1"}}}}'
"#,
};

/// Claude Code by its published adapter, which is told where the CLI is.
pub const CLAUDE_ACP: AcpAgent = AcpAgent {
    runtime: "claude-acp",
    cli: "claude-agent-acp",
    model: "anthropic/claude-sonnet-4-6",
    key: "ANTHROPIC_API_KEY",
    endpoint: "ANTHROPIC_BASE_URL",
    table: r#"
[[runtime.claude-acp.models]]
id = "anthropic/claude-sonnet-4-6"

[runtime.claude-acp.options]
argv = ["claude-agent-acp"]
mode = "bypassPermissions"
skills_folder = ".claude/skills"
fork = true
providers = [{ id = "anthropic", endpoint_variable = "ANTHROPIC_BASE_URL" }]
credentials = [{ name = "provider_key:anthropic", variable = "ANTHROPIC_API_KEY", providers = ["anthropic"], sent = [{ header = "x-api-key" }] }]

[runtime.claude-acp.options.env]
ANTHROPIC_MODEL = "{model}"
CLAUDE_CODE_EXECUTABLE = "PATH OF CLAUDE"
CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC = "1"
DISABLE_AUTOUPDATER = "1"
IS_SANDBOX = "1"
"#,
};
