//! How the CLI is started: for one prompt, or to be spoken to.

use aod_acp::{COPY, Modes as _};
use aod_plugin_sdk::failure::unsupported;
use aod_plugin_sdk::{
    Block, Context, Launch, Origin, Prompt, Refusal, Setting, Stdin, Variable, WorkspaceConfig,
    file, known_settings, secret, text, variable,
};

use crate::config::{Parts, config};
use crate::{ASK, EFFORT, GEMINI_KEY, IMAGES, Opencode, PERMISSION_MODE, WITHOUT_PLUGINS};

/// The CLI's own tools, by the names that its permissions have: `edit` is for all that write files,
/// and `external_directory` for files outside of the workspace.
const OWN: &[&str] = &[
    "bash",
    "edit",
    "external_directory",
    "glob",
    "grep",
    "list",
    "lsp",
    "question",
    "read",
    "skill",
    "task",
    "todowrite",
    "webfetch",
    "websearch",
];

/// What says that the package is installed which it installs beside its settings, for the code of
/// plugins and tools in them. With a plugin in its configuration, such as the adapter's, it asks
/// nothing of the model before that has ended: for seconds and 96 MB of each session's home where
/// the registry is reached, and for up to three minutes where it is not.
const INSTALLED: &str = r#"{"packages":{"":{"dependencies":{"@opencode-ai/plugin":"*"}}}}"#;

/// Tells what the CLI's own lines leave out.
const EVENTS: &str = include_str!("events.js");

pub(crate) fn launch(context: &Context, prompt: &Prompt) -> Result<Launch, Refusal> {
    known_settings(prompt, &[EFFORT, PERMISSION_MODE])?;
    if let Origin::Fork(origin) = &context.origin
        && origin.after_turn.is_some()
    {
        let message = "opencode copies a conversation from its end only";
        return Err(unsupported("origin.after_turn", message));
    }
    let is_spoken_to = Opencode::is_spoken_to(context, &prompt.settings);
    let argv = match is_spoken_to {
        true => vec!["opencode".to_owned(), "acp".to_owned()],
        false => print(context, prompt),
    };
    // Its log says what fails and is tried again, and which MCP servers are not there.
    let log = ["--print-logs", "--log-level", "WARN"].map(str::to_owned);
    let argv = argv.into_iter().chain(log);
    let mut launch = aod_plugin_sdk::launch(argv, context.continuity(prompt));

    let private = &context.paths.private;
    let config_path = format!("{private}/opencode.json");
    let system_path = format!("{private}/system-prompt.md");
    let plugin_path = format!("{private}/events.js");
    launch.env = vec![
        variable("OPENCODE_CONFIG", &config_path),
        variable("OPENCODE_DISABLE_AUTOUPDATE", "1"),
        variable("OPENCODE_DISABLE_MODELS_FETCH", "1"),
        variable("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"),
    ];
    launch.env.push(match context.workspace_config {
        WorkspaceConfig::All => variable("AOD_OBEYS_WORKSPACE", "1"),
        WorkspaceConfig::Instructions | WorkspaceConfig::None => {
            variable("OPENCODE_DISABLE_PROJECT_CONFIG", "1")
        }
    });
    if context.has_secret(WITHOUT_PLUGINS) {
        launch.withhold.push(WITHOUT_PLUGINS.to_owned());
    }
    if is_spoken_to {
        launch.env.push(variable("AOD_IS_SPOKEN_TO", "1"));
    }
    // The name that it looks for where the model is not in its own catalog.
    if context.has_secret(GEMINI_KEY) {
        launch.env.push(Variable {
            name: "GOOGLE_GENERATIVE_AI_API_KEY".to_owned(),
            value: secret(GEMINI_KEY),
        });
    }
    let policies = context.own_policies(OWN)?;
    let parts = Parts {
        policies: policies.as_ref(),
        system_path: &system_path,
        plugin_path: &plugin_path,
        asks: is_spoken_to.then(|| asks(&prompt.settings)),
    };
    launch.files = vec![
        file(config_path, config(context, &parts)),
        file(plugin_path, text(EVENTS)),
    ];
    // Such code is obeyed with the workspace's own only.
    if context.workspace_config != WorkspaceConfig::All {
        let settings = format!("{}/.config/opencode", context.paths.home);
        launch.files.extend([
            file(format!("{settings}/package-lock.json"), text(INSTALLED)),
            file(format!("{settings}/node_modules/.keep"), text("")),
        ]);
    }
    if let Some(system) = &context.system {
        launch.files.push(file(system_path, text(system)));
    }
    launch.stdin = match is_spoken_to {
        true => Stdin::Open(text(aod_acp::initialize())),
        false => Stdin::Text(text(prompt.text())),
    };
    Ok(launch)
}

/// The command line for one prompt.
fn print(context: &Context, prompt: &Prompt) -> Vec<String> {
    let mut argv = vec!["opencode", "run", "--format", "json", "--thinking"];
    // Without it a question is answered with no, and the turn ends without a word.
    argv.push("--auto");
    // The only one that takes the model's id with its provider.
    argv.extend(["--model", &context.model]);
    let effort = prompt.setting_text(EFFORT);
    if let Some(effort) = &effort {
        argv.extend(["--variant", effort]);
    }
    for block in &prompt.blocks {
        if let Block::Image(image) = block
            && IMAGES.contains(&image.media_type.as_str())
        {
            argv.extend(["--file", &image.path]);
        }
    }
    match &context.origin {
        Origin::Resume(session) => argv.extend(["--session", session]),
        Origin::Fork(origin) => match origin.token.strip_prefix(COPY) {
            Some(copy) => argv.extend(["--session", copy]),
            None => argv.extend(["--session", &origin.token, "--fork"]),
        },
        // Without a title it asks the model for one.
        Origin::New => argv.extend(["--title", &context.session_id]),
    }
    argv.into_iter().map(str::to_owned).collect()
}

/// Whether a tool of its own is to be asked for.
pub(crate) fn has_questions(context: &Context) -> bool {
    let policies = context.own_policies(OWN).ok().flatten();
    policies.is_some_and(|policies| policies.asks())
}

/// Whether the agent is to ask before it changes anything.
pub(crate) fn asks(settings: &[Setting]) -> bool {
    let mut settings = settings.iter();
    let mode = settings.find(|setting| setting.id == PERMISSION_MODE);
    let value = mode.and_then(|it| serde_json::from_str::<Option<String>>(&it.value).ok()?);
    value.as_deref() == Some(ASK)
}
