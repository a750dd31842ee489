//! Runtime adapter for OpenAI Codex.

mod config;
mod resume;
mod turn;
mod wire;

use aod_plugin_sdk::{
    Adapter, Capabilities, Cli, Credential, Description, InstallStep, Interrupt, Model, NoOptions,
    Plan, Provider, ResumeStrategy, Stdin, TurnContext, Variable, description, secret, text,
};

use crate::resume::Resume;

/// The adapter.
#[derive(Debug)]
pub struct Codex;

const API_KEY: &str = "OPENAI_API_KEY";

impl Adapter for Codex {
    type Options = NoOptions;
    type Turn = turn::CodexTurn;

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
                displaces: Vec::new(),
                prefix: Some("sk-".to_owned()),
                label: "API key".to_owned(),
            }],
            skills_folder: Some(".codex/skills".to_owned()),
            resume: ResumeStrategy::FromStream,
            interrupt: Interrupt::Sigint,
            exit_grace_ms: 5_000,
            capabilities: Capabilities::USAGE
                | Capabilities::INTERRUPT
                | Capabilities::SYSTEM_PROMPT
                | Capabilities::MCP_STDIO
                | Capabilities::MCP_URL
                | Capabilities::SKILLS,
            ..description("codex", env!("CARGO_PKG_VERSION"), "codex")
        })
    }

    fn plan(_: &NoOptions, context: &TurnContext) -> Result<Plan, String> {
        let resume = context.resume_token().map(Resume::read);
        let mut argv = vec!["codex", "exec"];
        if resume.is_some() {
            argv.push("resume");
        }
        argv.extend([
            "--dangerously-bypass-approvals-and-sandbox",
            "--skip-git-repo-check",
            "--json",
            "-m",
            context.model_id(),
        ]);
        if let Some(resume) = &resume {
            argv.push(&resume.thread);
        }
        // The prompt, from stdin.
        argv.push("-");

        let mut plan = aod_plugin_sdk::plan(argv, context.continuity());
        let config = config::config(context)?;
        plan.files = config.files;
        plan.env = config.variables;
        // `exec` does not look at the key under the name that everybody knows.
        if context.has_secret(API_KEY) {
            plan.env.push(Variable {
                name: "CODEX_API_KEY".to_owned(),
                value: secret(API_KEY),
            });
        }
        plan.stdin = Stdin::Text(text(&context.prompt));
        Ok(plan)
    }

    fn turn(_: &NoOptions, context: TurnContext) -> turn::CodexTurn {
        turn::CodexTurn::new(&context)
    }
}

aod_plugin_sdk::export_adapter!(Codex);
