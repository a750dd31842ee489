//! Runtime adapter for the Gemini CLI.

mod attempts;
mod companion;
mod launch;
mod live;
mod outcome;
mod policies;
mod print;
mod prompt;
mod settings;
mod tools;
mod wire;

use aod_acp::{ConfigOption, Method, Modes, Process, Profile};
use aod_plugin_sdk::{
    Adapter, AuthHeader, AuthStyle, Capability, Cli, Context, Credential, Description, InstallStep,
    Launch, LimitName, Model, NoOptions, OptionDeclaration, OptionScope, Policy, Prompt, Provider,
    Refusal, ResumeStrategy, Setting, StopMethod, description,
};

/// The adapter.
#[derive(Debug)]
pub struct Gemini;

/// The folder in `$HOME` that the CLI keeps its own files in.
const FOLDER: &str = ".gemini";

/// The setting for what the agent may do without being asked, and the value with which that is
/// everything.
const PERMISSION_MODE: &str = "permission_mode";
const EVERYTHING: &str = "yolo";

impl Adapter for Gemini {
    type Options = NoOptions;
    type Conversation = Process<Gemini>;

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
            resume: ResumeStrategy::FromStream,
            options: vec![permission_mode()],
            stop: StopMethod::Dialogue,
            capabilities: vec![
                Capability::Live,
                Capability::Deltas,
                Capability::Reasoning,
                Capability::Permissions,
                Capability::Usage,
                Capability::UsageByModel,
                Capability::Interrupt,
                Capability::SystemPrompt,
                Capability::McpStdio,
                Capability::McpUrl,
                Capability::McpStates,
                Capability::Skills,
                Capability::Images(prompt::IMAGES.iter().map(|&it| it.to_owned()).collect()),
                Capability::Limits(vec![LimitName::MaxRounds]),
                Capability::ToolPolicies(vec![Policy::Allow, Policy::Ask, Policy::Deny]),
            ],
            ..description("gemini", env!("CARGO_PKG_VERSION"), "gemini")
        })
    }

    fn prepare(_: &NoOptions, context: &Context, prompt: &Prompt) -> Result<Launch, Refusal> {
        launch::launch(context, prompt)
    }

    fn conversation(_: &NoOptions, context: Context, state: Option<Vec<u8>>) -> Process<Gemini> {
        Process::new(context, state)
    }
}

impl Modes for Gemini {
    type Print = print::PrintConversation;
    type Dialect = live::Live;

    /// A CLI that may ask has to be spoken to.
    fn is_spoken_to(context: &Context, settings: &[Setting]) -> bool {
        context.live || launch::mode(settings) != EVERYTHING || launch::has_questions(context)
    }

    fn print(context: &Context) -> print::PrintConversation {
        print::PrintConversation::new(context)
    }

    fn spoken_to(context: &Context) -> (Profile, live::Live) {
        let profile = Profile {
            settings: vec![ConfigOption {
                id: PERMISSION_MODE.to_owned(),
                config: "mode".to_owned(),
                method: Method::Mode,
                default: Some(EVERYTHING.to_owned()),
                is_required: true,
            }],
            // Its settings have them, and a file the system prompt.
            offers_servers: false,
            prepends_system: false,
            ..Profile::new(context)
        };
        (profile, live::Live::new(context))
    }
}

fn permission_mode() -> OptionDeclaration {
    OptionDeclaration {
        id: PERMISSION_MODE.to_owned(),
        label: "Permission mode".to_owned(),
        description: "What the agent may do without being asked: everything (yolo), edit files \
                      (autoEdit), read (default), or read and plan (plan). For the rest it asks."
            .to_owned(),
        schema: r#"{"type":"string","enum":["yolo","autoEdit","default","plan"]}"#.to_owned(),
        default: format!("\"{EVERYTHING}\""),
        scope: OptionScope::Turn,
    }
}

aod_plugin_sdk::export_adapter!(Gemini);
