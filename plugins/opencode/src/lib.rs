//! Runtime adapter for opencode.

mod config;
mod launch;
mod live;
mod logs;
mod outcome;
mod print;
mod steps;
mod tools;
mod wire;

use aod_acp::{ConfigOption, Method, Modes, Process, Profile};
use aod_plugin_sdk::{
    Adapter, AuthHeader, AuthStyle, Capability, Cli, Context, Credential, Description, ForkPoint,
    InstallStep, Launch, Model, NoOptions, OptionDeclaration, OptionScope, Policy, Prompt,
    Provider, Refusal, ResumeStrategy, Setting, StopMethod, description,
};

/// The adapter.
#[derive(Debug)]
pub struct Opencode;

/// A provider as this CLI knows it.
struct Known {
    id: &'static str,
    key: &'static str,
    prefix: &'static str,
    endpoint_variable: &'static str,
    endpoint: &'static str,
    /// The header that carries the key, and what stands in front of it there.
    header: (&'static str, &'static str),
    models: &'static [(&'static str, &'static str)],
}

const PROVIDERS: &[Known] = &[
    Known {
        id: "anthropic",
        key: "ANTHROPIC_API_KEY",
        prefix: "sk-ant-api",
        endpoint_variable: "ANTHROPIC_BASE_URL",
        endpoint: "https://api.anthropic.com",
        header: ("x-api-key", ""),
        models: &[
            ("anthropic/claude-opus-4-6", "Claude Opus 4.6"),
            ("anthropic/claude-sonnet-4-6", "Claude Sonnet 4.6"),
            ("anthropic/claude-haiku-4-5", "Claude Haiku 4.5"),
        ],
    },
    Known {
        id: "openai",
        key: "OPENAI_API_KEY",
        prefix: "sk-",
        endpoint_variable: "OPENAI_BASE_URL",
        endpoint: "https://api.openai.com/v1",
        header: ("authorization", "Bearer "),
        models: &[
            ("openai/gpt-4.1", "GPT-4.1"),
            ("openai/o3", "o3"),
            ("openai/o4-mini", "o4-mini"),
        ],
    },
    Known {
        id: "google",
        key: GEMINI_KEY,
        prefix: "AIza",
        endpoint_variable: "GOOGLE_GEMINI_BASE_URL",
        endpoint: "https://generativelanguage.googleapis.com",
        header: ("x-goog-api-key", ""),
        models: &[
            ("google/gemini-2.5-pro", "Gemini 2.5 Pro"),
            ("google/gemini-2.5-flash", "Gemini 2.5 Flash"),
        ],
    },
];

const GEMINI_KEY: &str = "GEMINI_API_KEY";

/// The media types of images that the CLI hands to the model.
const IMAGES: &[&str] = &["image/png", "image/jpeg", "image/gif", "image/webp"];

/// The setting for how much the model thinks.
const EFFORT: &str = "reasoning_effort";

/// The setting for what the agent may do without being asked, and its values.
const PERMISSION_MODE: &str = "permission_mode";
const ALLOW: &str = "allow";
const ASK: &str = "ask";

/// The variable with which users have the CLI load no plugins: it loads those of the workspace all
/// the same, and not the adapter's, which keeps it from that.
const WITHOUT_PLUGINS: &str = "OPENCODE_PURE";

impl Adapter for Opencode {
    type Options = NoOptions;
    type Conversation = Process<Opencode>;

    fn describe(_: &NoOptions) -> Result<Description, String> {
        let models = PROVIDERS.iter().flat_map(|known| known.models);
        Ok(Description {
            cli: Cli {
                command: "opencode".to_owned(),
                version_args: vec!["--version".to_owned()],
                tested: ">=1.18.33, <1.19.0".to_owned(),
                install: vec![InstallStep::Npm("opencode-ai@1.18.33".to_owned())],
            },
            providers: PROVIDERS.iter().map(Known::provider).collect(),
            models: models
                .map(|(id, label)| Model {
                    id: (*id).to_owned(),
                    label: Some((*label).to_owned()),
                })
                .collect(),
            credentials: PROVIDERS.iter().map(Known::credential).collect(),
            skills_folder: Some(".config/opencode/skills".to_owned()),
            resume: ResumeStrategy::FromStream,
            options: vec![effort(), permission_mode()],
            stop: StopMethod::Dialogue,
            exit_grace_ms: 10_000,
            capabilities: vec![
                Capability::Live,
                Capability::Deltas,
                Capability::Reasoning,
                Capability::Usage,
                Capability::Cost,
                Capability::Permissions,
                Capability::Interrupt,
                Capability::SystemPrompt,
                Capability::McpStdio,
                Capability::McpUrl,
                Capability::Skills,
                Capability::Subagents,
                Capability::Images(IMAGES.iter().map(|&it| it.to_owned()).collect()),
                Capability::Fork(ForkPoint::End),
                Capability::ToolPolicies(vec![Policy::Allow, Policy::Ask, Policy::Deny]),
            ],
            ..description("opencode", env!("CARGO_PKG_VERSION"), "opencode")
        })
    }

    fn prepare(_: &NoOptions, context: &Context, prompt: &Prompt) -> Result<Launch, Refusal> {
        launch::launch(context, prompt)
    }

    fn conversation(_: &NoOptions, context: Context, state: Option<Vec<u8>>) -> Process<Opencode> {
        Process::new(context, state)
    }
}

impl Modes for Opencode {
    type Print = print::PrintConversation;
    type Dialect = live::Live;

    /// A CLI that may ask has to be spoken to.
    fn is_spoken_to(context: &Context, settings: &[Setting]) -> bool {
        context.live || launch::asks(settings) || launch::has_questions(context)
    }

    fn print(context: &Context) -> print::PrintConversation {
        print::PrintConversation::new(context)
    }

    fn spoken_to(context: &Context) -> (Profile, live::Live) {
        let profile = Profile {
            model: Some(context.model.clone()),
            settings: vec![ConfigOption {
                id: EFFORT.to_owned(),
                config: "effort".to_owned(),
                method: Method::ConfigOption,
                is_required: false,
                // Left to itself it has the model think as little as it can.
                default: Some("default".to_owned()),
            }],
            // Its configuration has them, and the system prompt.
            offers_servers: false,
            prepends_system: false,
            ..Profile::new(context)
        };
        (profile, live::Live::new(context))
    }
}

fn effort() -> OptionDeclaration {
    OptionDeclaration {
        id: EFFORT.to_owned(),
        label: "Reasoning effort".to_owned(),
        description: "How much the model thinks. A model that does not know the value thinks as \
                      much as it does by itself."
            .to_owned(),
        schema: r#"{"enum":["none","minimal","low","medium","high","xhigh","max"]}"#.to_owned(),
        default: "null".to_owned(),
        scope: OptionScope::Turn,
    }
}

fn permission_mode() -> OptionDeclaration {
    OptionDeclaration {
        id: PERMISSION_MODE.to_owned(),
        label: "Permission mode".to_owned(),
        description: format!(
            "Whether the agent does as it likes ({ALLOW}), or asks before it runs a command, \
             changes a file, fetches a page or leaves the workspace ({ASK})."
        ),
        schema: format!(r#"{{"type":"string","enum":["{ALLOW}","{ASK}"]}}"#),
        default: format!("\"{ALLOW}\""),
        scope: OptionScope::Process,
    }
}

impl Known {
    fn provider(&self) -> Provider {
        Provider {
            id: self.id.to_owned(),
            endpoint_variable: Some(self.endpoint_variable.to_owned()),
            default_endpoint: Some(self.endpoint.to_owned()),
            whole_catalog: true,
        }
    }

    fn credential(&self) -> Credential {
        Credential {
            name: format!("provider_key:{}", self.id),
            variable: self.key.to_owned(),
            providers: vec![self.id.to_owned()],
            sent: vec![AuthStyle::Header(AuthHeader {
                name: self.header.0.to_owned(),
                prefix: self.header.1.to_owned(),
            })],
            displaces: Vec::new(),
            prefix: Some(self.prefix.to_owned()),
            label: "API key".to_owned(),
        }
    }
}

aod_plugin_sdk::export_adapter!(Opencode);
