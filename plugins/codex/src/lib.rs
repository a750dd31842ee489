//! Runtime adapter for OpenAI Codex.

mod agents;
mod calls;
mod config;
mod conversation;
mod errors;
mod exec;
mod launch;
mod log;
mod resume;
mod server;
mod wire;

use aod_plugin_sdk::{
    Adapter, AuthHeader, AuthStyle, Capability, Cli, Context, Credential, Description, ForkPoint,
    InjectMode, InstallStep, Launch, Model, NoOptions, OptionDeclaration, OptionScope, Prompt,
    Provider, Refusal, ResumeStrategy, StopMethod, description,
};

/// The adapter.
#[derive(Debug)]
pub struct Codex;

const API_KEY: &str = "OPENAI_API_KEY";

/// An option, by its id.
const EFFORT: &str = "reasoning_effort";

/// An option, by its id: one of [`NEVER`] and [`UNTRUSTED`].
const PERMISSION_MODE: &str = "permission_mode";

/// Nobody is asked.
const NEVER: &str = "never";

/// The user is asked before anything is done that may do harm.
const UNTRUSTED: &str = "untrusted";

impl Adapter for Codex {
    type Options = NoOptions;
    type Conversation = conversation::CodexConversation;

    fn describe(_: &NoOptions) -> Result<Description, String> {
        let model = |id: &str, label: &str| Model {
            id: id.to_owned(),
            label: Some(label.to_owned()),
        };
        Ok(Description {
            cli: Cli {
                command: "codex".to_owned(),
                version_args: vec!["--version".to_owned()],
                tested: ">=0.169.0, <0.170.0".to_owned(),
                install: vec![InstallStep::Npm("@openai/codex@0.169.0".to_owned())],
            },
            providers: vec![Provider {
                id: "openai".to_owned(),
                endpoint_variable: Some("OPENAI_BASE_URL".to_owned()),
                default_endpoint: Some("https://api.openai.com/v1".to_owned()),
                whole_catalog: false,
            }],
            models: vec![
                model("openai/gpt-4.1", "GPT-4.1"),
                model("openai/o3", "o3"),
                model("openai/o4-mini", "o4-mini"),
            ],
            credentials: vec![Credential {
                name: "provider_key:openai".to_owned(),
                variable: API_KEY.to_owned(),
                providers: vec!["openai".to_owned()],
                sent: vec![AuthStyle::Header(AuthHeader {
                    name: "authorization".to_owned(),
                    prefix: "Bearer ".to_owned(),
                })],
                displaces: Vec::new(),
                prefix: Some("sk-".to_owned()),
                label: "API key".to_owned(),
            }],
            options: vec![OptionDeclaration {
                id: EFFORT.to_owned(),
                label: "Reasoning effort".to_owned(),
                description: "How much the model thinks before it answers. Not every model has \
                              every level."
                    .to_owned(),
                schema: r#"{"type":"string","enum":["none","minimal","low","medium","high","xhigh","max"]}"#
                    .to_owned(),
                default: "null".to_owned(),
                scope: OptionScope::Turn,
            },
            OptionDeclaration {
                id: PERMISSION_MODE.to_owned(),
                label: "Permission mode".to_owned(),
                description: format!(
                    "Whether the agent does as it likes ({NEVER}), or asks before it runs a \
                     command that is not known to be harmless, changes a file or calls a tool \
                     ({UNTRUSTED})."
                ),
                schema: format!(r#"{{"type":"string","enum":["{NEVER}","{UNTRUSTED}"]}}"#),
                default: format!("\"{NEVER}\""),
                scope: OptionScope::Turn,
            }],
            skills_folder: Some(".codex/skills".to_owned()),
            resume: ResumeStrategy::FromStream,
            stop: StopMethod::Dialogue,
            exit_grace_ms: 5_000,
            capabilities: vec![
                Capability::Live,
                Capability::Deltas,
                Capability::Reasoning,
                Capability::Usage,
                Capability::Permissions,
                Capability::Questions,
                Capability::Interrupt,
                Capability::Inject(vec![InjectMode::Steer]),
                Capability::SystemPrompt,
                Capability::McpStdio,
                Capability::McpUrl,
                Capability::McpStates,
                Capability::Skills,
                Capability::Subagents,
                Capability::BackgroundWork,
                Capability::Images(
                    ["image/png", "image/jpeg", "image/gif", "image/webp"]
                        .map(str::to_owned)
                        .into(),
                ),
                Capability::StructuredOutput(OptionScope::Turn),
                Capability::Fork(ForkPoint::End),
            ],
            ..description("codex", env!("CARGO_PKG_VERSION"), "codex")
        })
    }

    fn prepare(_: &NoOptions, context: &Context, prompt: &Prompt) -> Result<Launch, Refusal> {
        launch::prepare(context, prompt)
    }

    fn conversation(
        _: &NoOptions,
        context: Context,
        state: Option<Vec<u8>>,
    ) -> conversation::CodexConversation {
        conversation::CodexConversation::new(context, state.as_deref())
    }
}

aod_plugin_sdk::export_adapter!(Codex);
