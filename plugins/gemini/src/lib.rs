//! Runtime adapter for the Gemini CLI.

mod conversation;
mod outcome;
mod prompt;
mod settings;
mod tools;
mod wire;

use aod_plugin_sdk::failure::unsupported;
use aod_plugin_sdk::{
    Adapter, AuthHeader, AuthStyle, Capability, Cli, Context, Credential, Description, InstallStep,
    Launch, LimitName, Model, NoOptions, Origin, Prompt, Provider, Refusal, ResumeStrategy, Stdin,
    StopMethod, description, file, known_settings, text, variable,
};

/// The adapter.
#[derive(Debug)]
pub struct Gemini;

/// The folder in `$HOME` that the CLI keeps its own files in.
const FOLDER: &str = ".gemini";

impl Adapter for Gemini {
    type Options = NoOptions;
    type Conversation = conversation::GeminiConversation;

    fn describe(_: &NoOptions) -> Result<Description, String> {
        let model = |id: &str, label: &str| Model {
            id: id.to_owned(),
            label: Some(label.to_owned()),
        };
        Ok(Description {
            cli: Cli {
                command: "gemini".to_owned(),
                version_args: vec!["--version".to_owned()],
                tested: ">=0.61.0, <0.62.0".to_owned(),
                install: vec![InstallStep::Npm("@google/gemini-cli@0.61.0".to_owned())],
            },
            providers: vec![Provider {
                id: "google".to_owned(),
                endpoint_variable: Some("GOOGLE_GEMINI_BASE_URL".to_owned()),
                default_endpoint: Some("https://generativelanguage.googleapis.com".to_owned()),
                whole_catalog: false,
            }],
            models: vec![
                model("google/gemini-2.5-pro", "Gemini 2.5 Pro"),
                model("google/gemini-2.5-flash", "Gemini 2.5 Flash"),
            ],
            credentials: vec![Credential {
                name: "provider_key:google".to_owned(),
                variable: "GEMINI_API_KEY".to_owned(),
                providers: vec!["google".to_owned()],
                sent: vec![AuthStyle::Header(AuthHeader {
                    name: "x-goog-api-key".to_owned(),
                    prefix: String::new(),
                })],
                displaces: Vec::new(),
                prefix: Some("AIza".to_owned()),
                label: "API key".to_owned(),
            }],
            skills_folder: Some(format!("{FOLDER}/skills")),
            resume: ResumeStrategy::CallerChosen,
            stop: StopMethod::Sigint,
            capabilities: vec![
                Capability::Deltas,
                Capability::Usage,
                Capability::UsageByModel,
                Capability::Interrupt,
                Capability::SystemPrompt,
                Capability::McpStdio,
                Capability::McpUrl,
                Capability::Skills,
                Capability::Images(prompt::IMAGES.iter().map(|&it| it.to_owned()).collect()),
                Capability::Limits(vec![LimitName::MaxRounds]),
            ],
            ..description("gemini", env!("CARGO_PKG_VERSION"), "gemini")
        })
    }

    fn prepare(_: &NoOptions, context: &Context, prompt: &Prompt) -> Result<Launch, Refusal> {
        known_settings(prompt, &[])?;
        if let Origin::Fork(_) = context.origin {
            let message = "the Gemini CLI cannot copy a conversation";
            return Err(unsupported("origin", message));
        }
        let handover = prompt::hand_over(context, prompt);
        let mut argv = vec!["gemini", "--output-format", "stream-json", "--yolo", "-m"];
        argv.push(context.model_id());
        for folder in &handover.folders {
            argv.extend(["--include-directories", folder]);
        }
        argv.extend(match context.resume_token() {
            Some(session) => ["--resume", session],
            None => ["--session-id", &prompt.turn_id],
        });
        let mut launch = aod_plugin_sdk::launch(argv, context.continuity(prompt));

        let settings = settings::settings(context, prompt)?;
        launch.env = settings.variables;
        launch.env.extend([
            variable("GEMINI_CLI_TRUST_WORKSPACE", "true"),
            // Otherwise it starts itself again, and the parent ignores SIGINT and SIGTERM.
            variable("GEMINI_CLI_NO_RELAUNCH", "true"),
        ]);
        launch.files = settings.files;
        let home = format!("{}/{FOLDER}", context.paths.home);
        launch
            .files
            .push(file(format!("{home}/settings.json"), text(settings.json)));
        launch.files.extend(handover.files);
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
        launch.stdin = Stdin::Text(text(handover.stdin));
        Ok(launch)
    }

    fn conversation(
        _: &NoOptions,
        context: Context,
        _: Option<Vec<u8>>,
    ) -> conversation::GeminiConversation {
        conversation::GeminiConversation::new(&context)
    }
}

aod_plugin_sdk::export_adapter!(Gemini);
