//! Runtime adapter for opencode.

mod config;
mod outcome;
mod turn;
mod wire;

use aod_plugin_sdk::{
    Adapter, Capabilities, Cli, Credential, Description, InstallStep, Interrupt, Model, NoOptions,
    Plan, Provider, ResumeStrategy, Stdin, TurnContext, Variable, description, file, secret, text,
    variable,
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
    models: &'static [(&'static str, &'static str)],
}

const PROVIDERS: &[Known] = &[
    Known {
        id: "anthropic",
        key: "ANTHROPIC_API_KEY",
        prefix: "sk-ant-api",
        endpoint_variable: "ANTHROPIC_BASE_URL",
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
        models: &[
            ("google/gemini-2.5-pro", "Gemini 2.5 Pro"),
            ("google/gemini-2.5-flash", "Gemini 2.5 Flash"),
        ],
    },
];

const GEMINI_KEY: &str = "GEMINI_API_KEY";

impl Adapter for Opencode {
    type Options = NoOptions;
    type Turn = turn::OpencodeTurn;

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
            interrupt: Interrupt::Sigint,
            exit_grace_ms: 10_000,
            capabilities: Capabilities::USAGE
                | Capabilities::COST
                | Capabilities::INTERRUPT
                | Capabilities::SYSTEM_PROMPT
                | Capabilities::MCP_STDIO
                | Capabilities::MCP_URL
                | Capabilities::SKILLS,
            ..description("opencode", env!("CARGO_PKG_VERSION"), "opencode")
        })
    }

    fn plan(_: &NoOptions, context: &TurnContext) -> Result<Plan, String> {
        // The only one that takes the model's id with its provider.
        let mut argv = vec!["opencode", "run", "--format", "json"];
        // Without it a question is answered with no, and the turn ends without a word.
        argv.push("--auto");
        argv.extend(["--model", &context.model]);
        match context.resume_token() {
            Some(session) => argv.extend(["--session", session]),
            // Without a title it asks the model for one.
            None => argv.extend(["--title", &context.session_id]),
        }
        let mut plan = aod_plugin_sdk::plan(argv, context.continuity());

        let private = &context.paths.private;
        let config_path = format!("{private}/opencode.json");
        let system_path = format!("{private}/system-prompt.md");
        plan.env = vec![
            variable("OPENCODE_CONFIG", &config_path),
            variable("OPENCODE_DISABLE_AUTOUPDATE", "1"),
            variable("OPENCODE_DISABLE_MODELS_FETCH", "1"),
            variable("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"),
        ];
        // The name that it looks for where the model is not in its own catalog.
        if context.has_secret(GEMINI_KEY) {
            plan.env.push(Variable {
                name: "GOOGLE_GENERATIVE_AI_API_KEY".to_owned(),
                value: secret(GEMINI_KEY),
            });
        }
        let config = config::config(context, &system_path);
        plan.files = vec![file(config_path, config)];
        if let Some(system) = &context.system {
            plan.files.push(file(system_path, text(system)));
        }
        plan.stdin = Stdin::Text(text(&context.prompt));
        Ok(plan)
    }

    fn turn(_: &NoOptions, context: TurnContext) -> turn::OpencodeTurn {
        turn::OpencodeTurn::new(&context)
    }
}

impl Known {
    fn provider(&self) -> Provider {
        Provider {
            id: self.id.to_owned(),
            endpoint_variable: Some(self.endpoint_variable.to_owned()),
            whole_catalog: true,
        }
    }

    fn credential(&self) -> Credential {
        Credential {
            name: format!("provider_key:{}", self.id),
            variable: self.key.to_owned(),
            providers: vec![self.id.to_owned()],
            displaces: Vec::new(),
            prefix: Some(self.prefix.to_owned()),
            label: "API key".to_owned(),
        }
    }
}

aod_plugin_sdk::export_adapter!(Opencode);
