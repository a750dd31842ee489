//! Runtime adapter for opencode.

mod config;
mod conversation;
mod logs;
mod outcome;
mod tools;
mod wire;

use aod_plugin_sdk::failure::unsupported;
use aod_plugin_sdk::{
    Adapter, AuthHeader, AuthStyle, Block, Capability, Cli, Context, Credential, Description,
    ForkPoint, InstallStep, Launch, Model, NoOptions, OptionDeclaration, OptionScope, Origin,
    Prompt, Provider, Refusal, ResumeStrategy, Stdin, StopMethod, Variable, description, file,
    known_settings, secret, text, variable,
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

impl Adapter for Opencode {
    type Options = NoOptions;
    type Conversation = conversation::OpencodeConversation;

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
            options: vec![effort()],
            stop: StopMethod::Sigint,
            exit_grace_ms: 10_000,
            capabilities: vec![
                Capability::Reasoning,
                Capability::Usage,
                Capability::Cost,
                Capability::Interrupt,
                Capability::SystemPrompt,
                Capability::McpStdio,
                Capability::McpUrl,
                Capability::Skills,
                Capability::Images(IMAGES.iter().map(|&it| it.to_owned()).collect()),
                Capability::Fork(ForkPoint::End),
            ],
            ..description("opencode", env!("CARGO_PKG_VERSION"), "opencode")
        })
    }

    fn prepare(_: &NoOptions, context: &Context, prompt: &Prompt) -> Result<Launch, Refusal> {
        known_settings(prompt, &[EFFORT])?;
        let mut argv = vec!["opencode", "run", "--format", "json", "--thinking"];
        // Its log says what fails and is tried again, and which MCP servers are not there.
        argv.extend(["--print-logs", "--log-level", "WARN"]);
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
            Origin::Fork(origin) if origin.after_turn.is_some() => {
                let message = "opencode copies a conversation from its end only";
                return Err(unsupported("origin.after_turn", message));
            }
            Origin::Fork(origin) => argv.extend(["--session", &origin.token, "--fork"]),
            // Without a title it asks the model for one.
            Origin::New => argv.extend(["--title", &context.session_id]),
        }
        let mut launch = aod_plugin_sdk::launch(argv, context.continuity(prompt));

        let private = &context.paths.private;
        let config_path = format!("{private}/opencode.json");
        let system_path = format!("{private}/system-prompt.md");
        launch.env = vec![
            variable("OPENCODE_CONFIG", &config_path),
            variable("OPENCODE_DISABLE_AUTOUPDATE", "1"),
            variable("OPENCODE_DISABLE_MODELS_FETCH", "1"),
            variable("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"),
        ];
        // The name that it looks for where the model is not in its own catalog.
        if context.has_secret(GEMINI_KEY) {
            launch.env.push(Variable {
                name: "GOOGLE_GENERATIVE_AI_API_KEY".to_owned(),
                value: secret(GEMINI_KEY),
            });
        }
        let config = config::config(context, &system_path);
        launch.files = vec![file(config_path, config)];
        if let Some(system) = &context.system {
            launch.files.push(file(system_path, text(system)));
        }
        launch.stdin = Stdin::Text(text(prompt.text()));
        Ok(launch)
    }

    fn conversation(
        _: &NoOptions,
        context: Context,
        _: Option<Vec<u8>>,
    ) -> conversation::OpencodeConversation {
        conversation::OpencodeConversation::new(&context)
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
