//! How the CLI is started.

use std::collections::HashSet;

use aod_plugin_sdk::failure::unsupported;
use aod_plugin_sdk::json::write_string;
use aod_plugin_sdk::{
    Context, Launch, Limit, Origin, OwnPolicies, Policy, Prompt, Refusal, Stdin, WorkspaceConfig,
    file, known_settings, launch, mcp, text, variable,
};

use crate::calls::normalized;
use crate::permission::QUESTIONS;
use crate::requests;
use crate::resume::Resume;
use crate::settings::Settings;
use crate::{API_KEY, EFFORT, OAUTH_TOKEN, PERMISSION_MODE};

/// With this many retries a refused key or a dead provider ends a turn after some ten seconds;
/// without a bound it takes minutes.
const MAX_RETRIES: &str = "4";

const MCP_KEYS: mcp::HttpKeys = mcp::HttpKeys {
    url: "url",
    kind: Some(("type", "http")),
};

/// The CLI's own tools. `Agent`, which starts subagents, was `Task` once.
const OWN: &[&str] = &[
    "Agent",
    "AskUserQuestion",
    "Bash",
    "CronCreate",
    "CronDelete",
    "CronList",
    "Edit",
    "EnterPlanMode",
    "EnterWorktree",
    "ExitPlanMode",
    "ExitWorktree",
    "Glob",
    "Grep",
    "ListAgents",
    "Monitor",
    "NotebookEdit",
    "Read",
    "ReportFindings",
    "ScheduleWakeup",
    "SendMessage",
    "Skill",
    "TaskCreate",
    "TaskGet",
    "TaskList",
    "TaskStop",
    "TaskUpdate",
    "ToolSearch",
    "WebFetch",
    "WebSearch",
    "Workflow",
    "Write",
];

/// Linux takes arguments of up to 128 KiB.
const LONGEST_ARGUMENT: usize = 120 * 1024;

/// A name that the CLI keeps for itself: a server of this name is not loaded.
const RESERVED_SERVER: &str = "workspace";

pub(crate) fn prepare(context: &Context, prompt: &Prompt) -> Result<Launch, Refusal> {
    known_settings(prompt, &[EFFORT, PERMISSION_MODE])?;
    names_of_servers(context)?;
    let mut argv: Vec<String> = [
        "claude",
        "--print",
        // It is spoken to even where it serves one turn only: a signal would end it, and not stop
        // what it does.
        "--input-format",
        "stream-json",
        "--output-format",
        "stream-json",
        // Without it, stream-json is refused.
        "--verbose",
        "--include-partial-messages",
    ]
    .map(str::to_owned)
    .into();
    if knows_subagents(context) {
        argv.push("--forward-subagent-text".to_owned());
    }
    let settings = Settings::of(prompt);
    let policies = context.own_policies(OWN)?;
    argv.extend(permissions(&settings, policies.as_ref()));
    if let Some(effort) = settings.effort {
        argv.extend(["--effort".to_owned(), effort]);
    }
    argv.extend([
        // The agent's servers and no others, whatever a repository or an account brings.
        "--strict-mcp-config".to_owned(),
        "--model".to_owned(),
        context.model_id().to_owned(),
    ]);
    argv.extend(conversation(context, prompt)?);
    argv.extend(workspace(context));

    let mut launch = launch(Vec::<String>::new(), context.continuity(prompt));
    launch.env = vec![
        // As root it refuses to skip permissions anywhere else.
        variable("IS_SANDBOX", "1"),
        variable("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        variable("DISABLE_AUTOUPDATER", "1"),
        variable("CLAUDE_CODE_MAX_RETRIES", MAX_RETRIES),
        // Else it does not say when it has nothing more to do.
        variable("CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS", "1"),
    ];
    if context.workspace_config == WorkspaceConfig::Instructions {
        // What makes `--add-dir` read the folder's instructions.
        let name = "CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD";
        launch.env.push(variable(name, "1"));
    }
    limits(context, prompt, &mut argv);
    if let Some(schema) = &prompt.output_schema {
        if schema.len() > LONGEST_ARGUMENT {
            let problem = "the schema is too long for this CLI, which takes it as an argument";
            return Err(unsupported("output_schema", problem));
        }
        argv.extend(["--json-schema".to_owned(), schema.clone()]);
    }
    if let Some(system) = &context.system {
        let path = format!("{}/system-prompt.txt", context.paths.private);
        argv.extend(["--append-system-prompt-file".to_owned(), path.clone()]);
        launch.files.push(file(path, text(system)));
    }
    if !context.mcp_servers.is_empty() {
        let path = format!("{}/mcp.json", context.paths.private);
        argv.extend(["--mcp-config".to_owned(), path.clone()]);
        let content = mcp::object("mcpServers", &context.mcp_servers, MCP_KEYS);
        launch.files.push(file(path, content));
    }
    // It would take the key first.
    if context.has_secret(OAUTH_TOKEN) && context.has_secret(API_KEY) {
        launch.withhold.push(API_KEY.to_owned());
    }
    launch.stdin = Stdin::Open(requests::user(&prompt.turn_id, &prompt.blocks, false));
    launch.argv = argv;
    Ok(launch)
}

/// Which conversation goes on, or begins. A new one's id is of this turn's own: an id that was ever
/// used is refused.
fn conversation(context: &Context, prompt: &Prompt) -> Result<Vec<String>, Refusal> {
    let own = ["--session-id".to_owned(), prompt.turn_id.clone()];
    Ok(match &context.origin {
        Origin::New => own.into(),
        Origin::Resume(token) => ["--resume".to_owned(), Resume::read(token).session].into(),
        Origin::Fork(fork) if fork.after_turn.is_none() => {
            let other = Resume::read(&fork.token).session;
            let mut words = vec!["--resume".to_owned(), other, "--fork-session".to_owned()];
            words.extend(own);
            words
        }
        Origin::Fork(_) => {
            return Err(unsupported(
                "origin.after_turn",
                "this runtime copies a conversation from its end only",
            ));
        }
    })
}

/// What the workspace's files may decide. The CLI reads instructions and all else from the same
/// source; without that source, they come by the folder's name.
fn workspace(context: &Context) -> Vec<String> {
    let without = ["--setting-sources", "user"].map(str::to_owned);
    match context.workspace_config {
        WorkspaceConfig::All => Vec::new(),
        WorkspaceConfig::None => without.into(),
        WorkspaceConfig::Instructions => {
            let mut words: Vec<String> = without.into();
            words.extend(["--add-dir".to_owned(), context.paths.workspace.clone()]);
            words
        }
    }
}

/// How permissions are given. The CLI may be told to ask, or not to, in any later turn of the
/// process, for which it must be started as if it were to do either.
fn permissions(settings: &Settings, policies: Option<&OwnPolicies>) -> Vec<String> {
    let mut words = vec!["--permission-prompt-tool", "stdio"];
    let mut denied: Vec<&str> = Vec::new();
    if settings.asks_nothing() {
        words.push("--dangerously-skip-permissions");
        // Nobody is there whom the agent could ask.
        denied.push(QUESTIONS);
    } else {
        words.push("--allow-dangerously-skip-permissions");
        words.extend(["--permission-mode", &settings.permission_mode]);
    }
    let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    if let Some(policies) = policies {
        denied.extend(policies.of(Policy::Deny).filter(|tool| *tool != QUESTIONS));
        // It asks for these whatever the mode: a rule comes before that.
        let mut rules = String::from("{\"permissions\":{\"ask\":");
        write_strings(&mut rules, policies.of(Policy::Ask));
        rules.push_str("}}");
        words.extend(["--settings".to_owned(), rules]);
        if policies.default == Policy::Deny {
            // Those that a later version brings, too.
            let others: Vec<&str> = policies
                .each
                .iter()
                .filter(|(_, policy)| *policy != Policy::Deny)
                .map(|(tool, _)| *tool)
                .collect();
            words.extend(["--tools".to_owned(), others.join(",")]);
        }
    }
    if !denied.is_empty() {
        words.extend(["--disallowed-tools".to_owned(), denied.join(",")]);
    }
    words
}

/// Tools of its own that are to be asked for, whatever the mode.
pub(crate) fn asked_for(context: &Context) -> Vec<&'static str> {
    let policies = context.own_policies(OWN).ok().flatten();
    policies.map_or_else(Vec::new, |policies| policies.of(Policy::Ask).collect())
}

/// Writes a list of names.
fn write_strings(json: &mut String, names: impl Iterator<Item = &'static str>) {
    json.push('[');
    for (index, name) in names.enumerate() {
        if index > 0 {
            json.push(',');
        }
        write_string(json, name);
    }
    json.push(']');
}

/// The limits that the CLI has for its process: the adapter holds the others.
fn limits(context: &Context, prompt: &Prompt, argv: &mut Vec<String>) {
    for limit in &prompt.limits {
        match limit {
            // Another turn of a process that stays may have another limit.
            Limit::MaxRounds(rounds) if !context.live => {
                argv.extend(["--max-turns".to_owned(), rounds.to_string()]);
            }
            Limit::MaxCostUsd(dollars) => {
                argv.extend(["--max-budget-usd".to_owned(), dollars.to_string()]);
            }
            Limit::MaxRounds(_) | Limit::BackgroundWaitMs(_) | Limit::MaxOutputTokens(_) => {}
        }
    }
}

/// Servers whose names look the same to the CLI would hide one another.
fn names_of_servers(context: &Context) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    for (index, server) in context.mcp_servers.iter().enumerate() {
        let problem = if server.name == RESERVED_SERVER {
            "the CLI keeps this name for itself"
        } else if !seen.insert(normalized(&server.name)) {
            "to the CLI it is the same as another one's; let them differ in letters or digits"
        } else {
            continue;
        };
        return Err(unsupported(&format!("mcp_servers[{index}].name"), problem));
    }
    Ok(())
}

/// Whether the CLI can tell what subagents say. Of a version that could not be read the best is
/// thought.
fn knows_subagents(context: &Context) -> bool {
    let Some(version) = &context.cli_version else {
        return true;
    };
    let mut numbers = version
        .split(|character: char| !character.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next()) >= FORWARDS_SUBAGENTS
}

/// The first version that is known to have `--forward-subagent-text`; 2.1.197 does not.
const FORWARDS_SUBAGENTS: (u32, u32, u32) = (2, 1, 331);
