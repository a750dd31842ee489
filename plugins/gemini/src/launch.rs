//! How the CLI is started: for one prompt, or to be spoken to.

use aod_acp::Modes as _;
use aod_plugin_sdk::failure::unsupported;
use aod_plugin_sdk::{
    Context, Launch, Origin, Prompt, Refusal, Setting, Stdin, file, known_settings, text, variable,
};

use crate::companion::companion;
use crate::policies::{self, policies};
use crate::{EVERYTHING, FOLDER, Gemini, PERMISSION_MODE, prompt, settings};

pub(crate) fn launch(context: &Context, prompt: &Prompt) -> Result<Launch, Refusal> {
    known_settings(prompt, &[PERMISSION_MODE])?;
    if let Origin::Fork(_) = context.origin {
        let message = "the Gemini CLI cannot copy a conversation";
        return Err(unsupported("origin", message));
    }
    let is_spoken_to = Gemini::is_spoken_to(context, &prompt.settings);
    let handover = (!is_spoken_to).then(|| prompt::hand_over(context, prompt));
    let mut argv = match is_spoken_to {
        true => vec!["gemini", "--acp"],
        false => vec!["gemini", "--output-format", "stream-json"],
    };
    // A process that asks is told so before its first prompt, and until then does nothing.
    if mode(&prompt.settings) == EVERYTHING {
        argv.push("--yolo");
    }
    let policies = policies(context)?;
    let rules = format!("{}/policies.toml", context.paths.private);
    if policies.is_some() {
        argv.extend(["--policy", &rules]);
    }
    argv.extend(["-m", context.model_id()]);
    if let Some(handover) = &handover {
        for folder in &handover.folders {
            argv.extend(["--include-directories", folder]);
        }
        argv.extend(match context.resume_token() {
            Some(session) => ["--resume", session],
            None => ["--session-id", &prompt.turn_id],
        });
    }
    let mut launch = aod_plugin_sdk::launch(argv, context.continuity(prompt));

    // A process that is spoken to would add up the requests of all of its turns.
    let limits = match is_spoken_to {
        true => &[][..],
        false => &prompt.limits,
    };
    let settings = settings::settings(context, limits)?;
    let companion = companion(context, is_spoken_to);
    launch.env = settings.variables;
    launch.env.extend([
        variable("GEMINI_CLI_TRUST_WORKSPACE", "true"),
        // Otherwise it starts itself again, and the parent ignores SIGINT and SIGTERM.
        variable("GEMINI_CLI_NO_RELAUNCH", "true"),
    ]);
    launch.env.extend(companion.variables);
    launch.withhold = companion.withhold;
    launch.files = settings.files;
    launch.files.push(companion.file);
    if let Some(policies) = &policies {
        launch
            .files
            .push(file(rules.clone(), text(policies::rules(policies))));
    }
    let home = format!("{}/{FOLDER}", context.paths.home);
    launch
        .files
        .push(file(format!("{home}/settings.json"), text(settings.json)));
    launch.delete = vec![
        // It leaves this behind, and a start that finds it waits 13 s.
        format!("{home}/projects.json.lock"),
        // What held an earlier prompt.
        prompt::commands(&context.paths.home),
    ];
    let instructions = format!("{home}/{}", settings::INSTRUCTIONS);
    match &context.system {
        Some(system) => launch.files.push(file(instructions, text(system))),
        None => launch.delete.push(instructions),
    }
    launch.stdin = match handover {
        Some(handover) => {
            launch.files.extend(handover.files);
            Stdin::Text(text(handover.stdin))
        }
        None => Stdin::Open(text(aod_acp::initialize())),
    };
    Ok(launch)
}

/// Whether a tool of its own is to be asked for.
pub(crate) fn has_questions(context: &Context) -> bool {
    let policies = policies(context).ok().flatten();
    policies.is_some_and(|policies| policies.asks())
}

/// What the agent may do without being asked.
pub(crate) fn mode(settings: &[Setting]) -> String {
    let mut settings = settings.iter();
    let mode = settings.find(|setting| setting.id == PERMISSION_MODE);
    let value = mode.and_then(|it| serde_json::from_str::<Option<String>>(&it.value).ok()?);
    value.unwrap_or_else(|| EVERYTHING.to_owned())
}
