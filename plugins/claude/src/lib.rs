//! Runtime adapter for Claude Code.

mod background;
mod calls;
mod control;
mod conversation;
mod dialogue;
mod injections;
mod launch;
mod messages;
mod notes;
mod outcome;
mod permission;
mod requests;
mod results;
mod resume;
mod servers;
mod settings;
mod speech;
mod state;
mod todos;
mod tools;
mod usage;
mod wait;
mod wire;

use aod_plugin_sdk::{
    Adapter, AuthHeader, AuthStyle, Capability, Cli, Context, Credential, Description, ForkPoint,
    InjectMode, InstallStep, Launch, LimitName, Model, NoOptions, OptionDeclaration, OptionScope,
    Policy, Prompt, Provider, Refusal, ResumeStrategy, StopMethod, description,
};

/// The adapter.
#[derive(Debug)]
pub struct Claude;

const API_KEY: &str = "ANTHROPIC_API_KEY";
const OAUTH_TOKEN: &str = "CLAUDE_CODE_OAUTH_TOKEN";

/// Options, by their ids.
const EFFORT: &str = "reasoning_effort";
const PERMISSION_MODE: &str = "permission_mode";

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
    type Conversation = conversation::ClaudeConversation;

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
                default_endpoint: Some("https://api.anthropic.com".to_owned()),
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
            options: options(),
            skills_folder: Some(".claude/skills".to_owned()),
            resume: ResumeStrategy::CallerChosen,
            stop: StopMethod::Dialogue,
            exit_grace_ms: 5_000,
            capabilities: capabilities(),
            ..description("claude", env!("CARGO_PKG_VERSION"), "claude")
        })
    }

    fn prepare(_: &NoOptions, context: &Context, prompt: &Prompt) -> Result<Launch, Refusal> {
        launch::prepare(context, prompt)
    }

    fn conversation(
        _: &NoOptions,
        context: Context,
        state: Option<Vec<u8>>,
    ) -> conversation::ClaudeConversation {
        conversation::ClaudeConversation::new(&context, state.as_deref())
    }
}

fn capabilities() -> Vec<Capability> {
    vec![
        Capability::Deltas,
        Capability::Reasoning,
        Capability::Usage,
        Capability::UsageByModel,
        Capability::Cost,
        Capability::Permissions,
        Capability::Questions,
        Capability::Interrupt,
        Capability::SystemPrompt,
        Capability::McpStdio,
        Capability::McpUrl,
        Capability::McpStates,
        Capability::Skills,
        Capability::Subagents,
        Capability::Images(requests::IMAGES.map(str::to_owned).into()),
        Capability::Live,
        Capability::Inject(vec![InjectMode::Steer, InjectMode::Queue, InjectMode::Now]),
        Capability::StructuredOutput(OptionScope::Process),
        Capability::Limits(vec![
            LimitName::MaxRounds,
            LimitName::MaxCostUsd,
            LimitName::BackgroundWaitMs,
        ]),
        Capability::Fork(ForkPoint::End),
        Capability::ToolPolicies(vec![Policy::Allow, Policy::Ask, Policy::Deny]),
    ]
}

fn options() -> Vec<OptionDeclaration> {
    vec![
        OptionDeclaration {
            id: EFFORT.to_owned(),
            label: "Reasoning effort".to_owned(),
            description: "How much the model thinks before it answers. Not every model has every \
                          level."
                .to_owned(),
            schema: r#"{"type":"string","enum":["low","medium","high","xhigh","max"]}"#.to_owned(),
            default: "null".to_owned(),
            scope: OptionScope::Turn,
        },
        OptionDeclaration {
            id: PERMISSION_MODE.to_owned(),
            label: "Permission mode".to_owned(),
            description: "What the agent may do without being asked: everything \
                          (bypassPermissions), edit files and run harmless commands (acceptEdits), \
                          read (default), or read and plan (plan). For the rest it asks. With \
                          dontAsk, what its settings do not allow is denied and nobody is asked."
                .to_owned(),
            schema:
                r#"{"type":"string","enum":["bypassPermissions","acceptEdits","default","plan","dontAsk"]}"#
                    .to_owned(),
            default: format!("\"{}\"", settings::ASK_NOTHING),
            scope: OptionScope::Turn,
        },
    ]
}

fn credentials() -> Vec<Credential> {
    let anthropic = || vec!["anthropic".to_owned()];
    let header = |name: &str, prefix: &str| {
        vec![AuthStyle::Header(AuthHeader {
            name: name.to_owned(),
            prefix: prefix.to_owned(),
        })]
    };
    vec![
        Credential {
            name: "provider_key:anthropic".to_owned(),
            variable: API_KEY.to_owned(),
            providers: anthropic(),
            sent: header("x-api-key", ""),
            displaces: Vec::new(),
            prefix: Some("sk-ant-api".to_owned()),
            label: "API key".to_owned(),
        },
        Credential {
            name: "runtime_token:claude-oauth".to_owned(),
            variable: OAUTH_TOKEN.to_owned(),
            providers: anthropic(),
            sent: header("authorization", "Bearer "),
            displaces: vec!["provider_key:anthropic".to_owned()],
            prefix: Some("sk-ant-oat".to_owned()),
            label: "OAuth token (Pro or Max)".to_owned(),
        },
    ]
}

aod_plugin_sdk::export_adapter!(Claude);
