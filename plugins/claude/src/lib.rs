//! Runtime adapter for Claude Code.

mod outcome;
mod plan;
mod resume;
mod tools;
mod turn;
mod wire;

use aod_plugin_sdk::{
    Adapter, Capabilities, Cli, Credential, Description, InstallStep, Interrupt, Model, NoOptions,
    Plan, Provider, ResumeStrategy, TurnContext, description,
};

/// The adapter.
#[derive(Debug)]
pub struct Claude;

const API_KEY: &str = "ANTHROPIC_API_KEY";
const OAUTH_TOKEN: &str = "CLAUDE_CODE_OAUTH_TOKEN";

const MODELS: &[(&str, &str)] = &[
    ("anthropic/claude-opus-4-6", "Claude Opus 4.6"),
    ("anthropic/claude-sonnet-4-6", "Claude Sonnet 4.6"),
    ("anthropic/claude-haiku-4-5", "Claude Haiku 4.5"),
    ("anthropic/claude-opus-4-5-20251101", "Claude Opus 4.5"),
    ("anthropic/claude-sonnet-4-5-20250929", "Claude Sonnet 4.5"),
    (
        "anthropic/claude-haiku-4-5-20251001",
        "Claude Haiku 4.5 (2025-10-01)",
    ),
    ("anthropic/claude-opus-4-1-20250805", "Claude Opus 4.1"),
];

impl Adapter for Claude {
    type Options = NoOptions;
    type Turn = turn::ClaudeTurn;

    fn describe(_: &NoOptions) -> Result<Description, String> {
        Ok(Description {
            cli: Cli {
                command: "claude".to_owned(),
                version_args: vec!["--version".to_owned()],
                tested: ">=2.1.197, <2.2.0".to_owned(),
                install: vec![InstallStep::Npm(
                    "@anthropic-ai/claude-code@2.1.331".to_owned(),
                )],
            },
            providers: vec![Provider {
                id: "anthropic".to_owned(),
                endpoint_variable: Some("ANTHROPIC_BASE_URL".to_owned()),
                whole_catalog: false,
            }],
            models: MODELS
                .iter()
                .map(|(id, label)| Model {
                    id: (*id).to_owned(),
                    label: Some((*label).to_owned()),
                })
                .collect(),
            credentials: credentials(),
            skills_folder: Some(".claude/skills".to_owned()),
            resume: ResumeStrategy::CallerChosen,
            interrupt: Interrupt::Sigint,
            exit_grace_ms: 5_000,
            capabilities: Capabilities::DELTAS
                | Capabilities::USAGE
                | Capabilities::COST
                | Capabilities::INTERRUPT
                | Capabilities::SYSTEM_PROMPT
                | Capabilities::MCP_STDIO
                | Capabilities::MCP_URL
                | Capabilities::SKILLS,
            ..description("claude", env!("CARGO_PKG_VERSION"), "claude")
        })
    }

    fn plan(_: &NoOptions, context: &TurnContext) -> Result<Plan, String> {
        Ok(plan::plan(context))
    }

    fn turn(_: &NoOptions, context: TurnContext) -> turn::ClaudeTurn {
        turn::ClaudeTurn::new(&context)
    }
}

fn credentials() -> Vec<Credential> {
    let anthropic = || vec!["anthropic".to_owned()];
    vec![
        Credential {
            name: "provider_key:anthropic".to_owned(),
            variable: API_KEY.to_owned(),
            providers: anthropic(),
            displaces: Vec::new(),
            prefix: Some("sk-ant-api".to_owned()),
            label: "API key".to_owned(),
        },
        Credential {
            name: "runtime_token:claude-oauth".to_owned(),
            variable: OAUTH_TOKEN.to_owned(),
            providers: anthropic(),
            displaces: vec!["provider_key:anthropic".to_owned()],
            prefix: Some("sk-ant-oat".to_owned()),
            label: "OAuth token (Pro or Max)".to_owned(),
        },
    ]
}

aod_plugin_sdk::export_adapter!(Claude);
