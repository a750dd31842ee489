//! Runtime adapter for OpenAI Codex.

mod agents;
mod calls;
mod config;
mod conversation;
mod launch;
mod log;
mod resume;
mod wire;

use aod_plugin_sdk::{
    Adapter, AuthHeader, AuthStyle, Capability, Cli, Context, Credential, Description, ForkPoint,
    InstallStep, Launch, Model, NoOptions, OptionDeclaration, OptionScope, Prompt, Provider,
    Refusal, ResumeStrategy, StopMethod, description,
};

/// The adapter.
#[derive(Debug)]
pub struct Codex;

const API_KEY: &str = "OPENAI_API_KEY";

/// An option, by its id.
const EFFORT: &str = "reasoning_effort";

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
            }],
            skills_folder: Some(".codex/skills".to_owned()),
            resume: ResumeStrategy::FromStream,
            stop: StopMethod::Sigint,
            exit_grace_ms: 5_000,
            capabilities: vec![
                Capability::Reasoning,
                Capability::Usage,
                Capability::Interrupt,
                Capability::SystemPrompt,
                Capability::McpStdio,
                Capability::McpUrl,
                Capability::McpStates,
                Capability::Skills,
                Capability::Images(
                    ["image/png", "image/jpeg", "image/gif", "image/webp"]
                        .map(str::to_owned)
                        .into(),
                ),
                Capability::StructuredOutput(OptionScope::Process),
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
        _: Option<Vec<u8>>,
    ) -> conversation::CodexConversation {
        conversation::CodexConversation::new(&context)
    }
}

aod_plugin_sdk::export_adapter!(Codex);
