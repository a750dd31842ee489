//! How the CLI is started.

use aod_plugin_sdk::failure::unsupported;
use aod_plugin_sdk::{
    Block, Context, Launch, Origin, Prompt, Refusal, Stdin, Variable, file, known_settings, launch,
    secret, text, variable,
};

use crate::resume::Resume;
use crate::server::request;
use crate::{API_KEY, EFFORT, NEVER, PERMISSION_MODE, config};

/// What the CLI logs to stderr: what goes wrong, and what its stream is silent about, which is how
/// long it waits before it tries again, and which MCP servers it left out.
pub(crate) const LOG: &str = "error,codex_core::responses_retry=warn,\
                              codex_mcp::rmcp_client=warn,\
                              codex_mcp::connection_manager::tool_catalog=trace";

/// The variable that says so.
pub(crate) const LOG_VARIABLE: &str = "RUST_LOG";

/// Whether the CLI is started to be spoken to, and not for one prompt: so that it stays, or since
/// only then it can ask.
pub(crate) fn is_spoken_to(context: &Context, prompt: &Prompt) -> bool {
    context.live || approval_policy(prompt) != NEVER
}

/// What the CLI asks its user for, in its own words.
pub(crate) fn approval_policy(prompt: &Prompt) -> String {
    prompt
        .setting_text(PERMISSION_MODE)
        .unwrap_or_else(|| NEVER.to_owned())
}

pub(crate) fn prepare(context: &Context, prompt: &Prompt) -> Result<Launch, Refusal> {
    known_settings(prompt, &[EFFORT, PERMISSION_MODE])?;
    if matches!(&context.origin, Origin::Fork(fork) if fork.after_turn.is_some()) {
        return Err(unsupported(
            "origin.after_turn",
            "this runtime copies a conversation from its end only",
        ));
    }
    if is_spoken_to(context, prompt) {
        app_server(context, prompt)
    } else {
        exec(context, prompt)
    }
}

/// What is said there, `server` knows; the first request is written from the start.
fn app_server(context: &Context, prompt: &Prompt) -> Result<Launch, Refusal> {
    let mut launch = launch(["codex", "app-server"], context.continuity(prompt));
    let config = config::config(context, prompt, true)?;
    launch.files = config.files;
    launch.env = config.variables;
    launch.env.push(variable(LOG_VARIABLE, LOG));
    launch.stdin = Stdin::Open(text(request::initialize()));
    Ok(launch)
}

fn exec(context: &Context, prompt: &Prompt) -> Result<Launch, Refusal> {
    let (word, thread) = match &context.origin {
        Origin::New => (None, None),
        Origin::Resume(token) => (Some("resume"), Some(token)),
        Origin::Fork(fork) if Resume::is_copy(&fork.token) => (Some("resume"), Some(&fork.token)),
        Origin::Fork(fork) => (Some("fork"), Some(&fork.token)),
    };
    let mut argv: Vec<String> = vec!["codex".to_owned(), "exec".to_owned()];
    argv.extend(word.map(str::to_owned));
    argv.extend(
        [
            "--dangerously-bypass-approvals-and-sandbox",
            "--skip-git-repo-check",
            "--json",
            "-m",
            context.model_id(),
        ]
        .map(str::to_owned),
    );
    argv.extend(images(prompt)?);
    let schema_path = format!("{}/output-schema.json", context.paths.private);
    if prompt.output_schema.is_some() {
        argv.extend(["--output-schema".to_owned(), schema_path.clone()]);
    }
    argv.extend(thread.map(|token| Resume::read(token).thread));
    // The prompt, from stdin.
    argv.push("-".to_owned());

    let mut launch = launch(argv, context.continuity(prompt));
    let config = config::config(context, prompt, false)?;
    launch.files = config.files;
    launch.env = config.variables;
    if let Some(schema) = &prompt.output_schema {
        launch.files.push(file(schema_path, text(schema)));
    }
    // `exec` does not look at the key under the name that everybody knows.
    if context.has_secret(API_KEY) {
        launch.env.push(Variable {
            name: "CODEX_API_KEY".to_owned(),
            value: secret(API_KEY),
        });
    }
    launch.env.push(variable(LOG_VARIABLE, LOG));
    launch.stdin = Stdin::Text(text(prompt.text()));
    Ok(launch)
}

/// The CLI reads images from files, and takes several of them divided by commas.
fn images(prompt: &Prompt) -> Result<Vec<String>, Refusal> {
    let mut words = Vec::new();
    for (index, block) in prompt.blocks.iter().enumerate() {
        if let Block::Image(image) = block {
            if image.path.contains(',') {
                return Err(unsupported(
                    &format!("blocks[{index}].path"),
                    "this CLI takes no image whose path holds a comma",
                ));
            }
            words.push(format!("--image={}", image.path));
        }
    }
    Ok(words)
}
