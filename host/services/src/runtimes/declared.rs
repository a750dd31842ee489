//! What an adapter declares of its CLI, as users see it.

use aod_runtime::types::{self, Description};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Something that a runtime can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RuntimeCapability)]
pub struct Capability {
    /// What it is, such as `deltas`, `images` or `fork`.
    pub name: String,
    /// To what extent, for those that come in several: media types, ways, times or limits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub values: Vec<String>,
}

/// Something that users may set for a runtime, on an agent, a session or a prompt.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = RuntimeOption)]
pub struct OptionInfo {
    /// Its id, the key in `settings`.
    pub id: String,
    /// A name for people.
    pub label: String,
    /// What it does.
    pub description: String,
    /// A JSON Schema for its values.
    pub schema: Value,
    /// The value that holds where none is set; null where the CLI decides.
    pub default: Value,
    /// When a change of it takes effect.
    pub scope: OptionScope,
}

/// When a change of a setting takes effect, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OptionScope {
    /// In the turn that it is set for, and in no other.
    Turn,
    /// From the turn that it is set for on.
    Sticky,
    /// When the CLI is started.
    Process,
}

/// How a later turn finds the conversation again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResumeStrategy {
    /// By an id that the adapter chooses.
    CallerChosen,
    /// By an id that the CLI tells.
    FromStream,
    /// The CLI goes on with the newest conversation in its home.
    Latest,
    /// It does not: every turn starts afresh.
    None,
}

impl From<types::ResumeStrategy> for ResumeStrategy {
    fn from(strategy: types::ResumeStrategy) -> Self {
        match strategy {
            types::ResumeStrategy::CallerChosen => Self::CallerChosen,
            types::ResumeStrategy::FromStream => Self::FromStream,
            types::ResumeStrategy::Latest => Self::Latest,
            types::ResumeStrategy::None => Self::None,
        }
    }
}

impl From<types::OptionScope> for OptionScope {
    fn from(scope: types::OptionScope) -> Self {
        match scope {
            types::OptionScope::Turn => Self::Turn,
            types::OptionScope::Sticky => Self::Sticky,
            types::OptionScope::Process => Self::Process,
        }
    }
}

/// The capabilities of a runtime, in the order in which its adapter names them.
pub(super) fn capabilities(description: &Description) -> Vec<Capability> {
    description.capabilities.iter().map(capability).collect()
}

/// The options of a runtime.
pub(super) fn options(description: &Description) -> Vec<OptionInfo> {
    let each = description.options.iter().map(|option| OptionInfo {
        id: option.id.clone(),
        label: option.label.clone(),
        description: option.description.clone(),
        // The host has checked that they are JSON when the adapter was loaded.
        schema: serde_json::from_str(&option.schema).unwrap_or_default(),
        default: serde_json::from_str(&option.default).unwrap_or_default(),
        scope: option.scope.into(),
    });
    each.collect()
}

fn capability(given: &types::Capability) -> Capability {
    use types::Capability as Given;
    let (name, values) = match given {
        Given::Deltas => ("deltas", Vec::new()),
        Given::Reasoning => ("reasoning", Vec::new()),
        Given::Usage => ("usage", Vec::new()),
        Given::UsageByModel => ("usage_by_model", Vec::new()),
        Given::Cost => ("cost", Vec::new()),
        Given::Permissions => ("permissions", Vec::new()),
        Given::Questions => ("questions", Vec::new()),
        Given::Interrupt => ("interrupt", Vec::new()),
        Given::SystemPrompt => ("system_prompt", Vec::new()),
        Given::McpStdio => ("mcp_stdio", Vec::new()),
        Given::McpUrl => ("mcp_url", Vec::new()),
        Given::McpStates => ("mcp_states", Vec::new()),
        Given::Skills => ("skills", Vec::new()),
        Given::Subagents => ("subagents", Vec::new()),
        Given::BackgroundWork => ("background_work", Vec::new()),
        Given::Images(types) => ("images", types.clone()),
        Given::Live => ("live", Vec::new()),
        Given::Inject(modes) => ("inject", words(modes, inject_mode)),
        Given::StructuredOutput(scope) => ("structured_output", words(&[*scope], scope_name)),
        Given::Limits(limits) => ("limits", words(limits, limit)),
        Given::Fork(point) => ("fork", words(&[*point], fork_point)),
        Given::ToolPolicies(policies) => ("tool_policies", words(policies, policy)),
        Given::Other(name) => (name.as_str(), Vec::new()),
    };
    Capability {
        name: name.to_owned(),
        values,
    }
}

fn words<T: Copy>(values: &[T], word: fn(T) -> &'static str) -> Vec<String> {
    values.iter().map(|value| word(*value).to_owned()).collect()
}

fn inject_mode(mode: types::InjectMode) -> &'static str {
    match mode {
        types::InjectMode::Steer => "steer",
        types::InjectMode::Queue => "queue",
        types::InjectMode::Now => "now",
    }
}

fn scope_name(scope: types::OptionScope) -> &'static str {
    match scope {
        types::OptionScope::Turn => "turn",
        types::OptionScope::Sticky => "sticky",
        types::OptionScope::Process => "process",
    }
}

fn limit(limit: types::LimitName) -> &'static str {
    match limit {
        types::LimitName::MaxRounds => "max_rounds",
        types::LimitName::MaxOutputTokens => "max_output_tokens",
        types::LimitName::MaxCostUsd => "max_cost_usd",
        types::LimitName::BackgroundWaitMs => "background_wait_ms",
    }
}

fn fork_point(point: types::ForkPoint) -> &'static str {
    match point {
        types::ForkPoint::End => "end",
        types::ForkPoint::AnyTurn => "any_turn",
    }
}

fn policy(policy: types::Policy) -> &'static str {
    match policy {
        types::Policy::Allow => "allow",
        types::Policy::Ask => "ask",
        types::Policy::Deny => "deny",
    }
}
