//! The `options` table: all that tells one agent from another.

use std::collections::BTreeMap;

use aod_plugin_sdk::json::write_string;
use aod_plugin_sdk::{
    AuthHeader, AuthStyle, Capability, Context, ForkPoint, InjectMode, OptionDeclaration,
    OptionScope,
};
use serde::Deserialize;

/// The longest time that a question may wait for an answer, in seconds.
const LONGEST_DEADLINE: u32 = 24 * 60 * 60;

/// The `options` table. In `argv`, `env`, `delete`, `system_prompt_file` and `select_model`,
/// `{model}` stands for the model's id without its provider, `{canonical}` for the whole of it,
/// `{home}`, `{workspace}` and `{private}` for the sandbox's folders, and `{endpoint:ID}` for the
/// base URL that the user gave for a provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The agent's command line. Its first word is the program's name.
    pub argv: Vec<String>,
    /// Arguments that make it print its version.
    pub version_args: Vec<String>,
    /// The versions that were tried, as a semver requirement.
    pub tested: String,
    /// The model providers that it can talk to.
    pub providers: Vec<Provider>,
    /// The credentials that it can use.
    pub credentials: Vec<Credential>,
    /// Further variables.
    pub env: BTreeMap<String, String>,
    /// Files to delete before it starts.
    pub delete: Vec<String>,
    /// Where it looks for skills, relative to `$HOME`.
    pub skills_folder: Option<String>,
    /// A file that it reads its instructions from. Without one the system prompt is put in front
    /// of a conversation's first prompt.
    pub system_prompt_file: Option<String>,
    /// The method to authenticate with before a session is begun.
    pub auth_method: Option<String>,
    /// What to choose by `session/set_model`; without it the command line chooses.
    pub select_model: Option<String>,
    /// What to choose by `session/set_mode`.
    pub mode: Option<String>,
    /// What users may set by `session/set_config_option`.
    pub settings: Vec<Setting>,
    /// The media types of images that it takes in a prompt.
    pub images: Vec<String>,
    /// Whether it offers `_session/steering`.
    pub steering: bool,
    /// Whether it offers `session/fork`.
    pub fork: bool,
    /// What is done when it asks for permission.
    pub permissions: Permissions,
    /// With `permissions = "ask"`: what is answered where nobody does.
    pub permission_default: Choice,
    /// With `permissions = "ask"`: how long an answer is waited for, in seconds.
    pub permission_deadline: u32,
    /// How long a loaded session must be silent before it counts as loaded, in milliseconds: some
    /// agents go on telling its history after they have said that it is.
    pub replay_quiet_ms: u32,
    /// How long it may take to exit once its stdin is closed, in milliseconds.
    pub exit_grace_ms: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            argv: Vec::new(),
            version_args: vec!["--version".to_owned()],
            tested: "*".to_owned(),
            providers: Vec::new(),
            credentials: Vec::new(),
            env: BTreeMap::new(),
            delete: Vec::new(),
            skills_folder: None,
            system_prompt_file: None,
            auth_method: None,
            select_model: None,
            mode: None,
            settings: Vec::new(),
            images: ["image/png", "image/jpeg", "image/gif", "image/webp"]
                .map(str::to_owned)
                .into(),
            steering: false,
            fork: false,
            permissions: Permissions::Ask,
            permission_default: Choice::Reject,
            permission_deadline: 300,
            replay_quiet_ms: 1_000,
            exit_grace_ms: 3_000,
        }
    }
}

/// What is done when an agent asks for permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permissions {
    /// The session's user is asked.
    Ask,
    /// It is given.
    Allow,
    /// It is not.
    Reject,
}

/// Whether permission is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// Yes.
    Allow,
    /// No.
    Reject,
}

/// A model provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its part of a canonical model id.
    pub id: String,
    /// The variable in which users give another base URL.
    #[serde(default)]
    pub endpoint_variable: Option<String>,
    /// The base URL that the agent uses where none is given, as it would stand in that variable.
    #[serde(default)]
    pub default_endpoint: Option<String>,
    /// Whether the agent takes any model of the host's catalog.
    #[serde(default)]
    pub whole_catalog: bool,
}

/// A credential.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// `provider_key:<provider>` or `runtime_token:<name>`.
    pub name: String,
    /// The variable by which users and the agent know it.
    pub variable: String,
    /// The providers it opens.
    pub providers: Vec<String>,
    /// How the agent sends it to them. Without it, the value itself enters the sandbox.
    #[serde(default)]
    pub sent: Vec<Sent>,
    /// A prefix that valid values have.
    #[serde(default)]
    pub prefix: Option<String>,
    /// A word for people.
    #[serde(default)]
    pub label: Option<String>,
}

/// How a credential is sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Sent {
    /// In a header.
    Header {
        /// The header's name, in lower case.
        header: String,
        /// What stands in front of the value.
        #[serde(default)]
        prefix: String,
    },
    /// In a query parameter.
    Query {
        /// The parameter's name.
        query: String,
    },
}

/// Something that users may set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Its id among the session's settings.
    pub id: String,
    /// The agent's own id of it, if that is another.
    #[serde(default)]
    pub config: Option<String>,
    /// The values that the agent knows.
    pub values: Vec<String>,
    /// A name for people.
    #[serde(default)]
    pub label: Option<String>,
    /// What it does.
    #[serde(default)]
    pub description: String,
}

impl Options {
    /// Says what is wrong with the table.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Some(program) = self.argv.first() else {
            return Err(
                "options.argv is missing: name the program and the arguments that make it speak \
                 ACP, such as [\"gemini\", \"--acp\"]"
                    .to_owned(),
            );
        };
        if program.is_empty() || program.contains(['/', '{']) {
            return Err(format!(
                "options.argv: {program:?} is not the name of a program; where the program is, the \
                 table's own `command` says"
            ));
        }
        if self.providers.is_empty() {
            return Err(
                "options.providers is missing: name at least one, such as [{ id = \"google\" }]"
                    .to_owned(),
            );
        }
        for credential in &self.credentials {
            let known = |id: &String| self.providers.iter().any(|provider| provider.id == *id);
            if let Some(unknown) = credential.providers.iter().find(|id| !known(id)) {
                return Err(format!(
                    "options.credentials: {:?} opens the provider {unknown:?}, which \
                     options.providers does not have",
                    credential.name
                ));
            }
        }
        for setting in &self.settings {
            if setting.values.is_empty() {
                return Err(format!(
                    "options.settings: {:?} has no values; name those that the agent knows",
                    setting.id
                ));
            }
        }
        for sent in self.credentials.iter().flat_map(|it| &it.sent) {
            if let Sent::Header { header, .. } = sent
                && header.bytes().any(|byte| byte.is_ascii_uppercase())
            {
                return Err(format!(
                    "options.credentials: write the header {header:?} in lower case"
                ));
            }
        }
        if !(1..=LONGEST_DEADLINE).contains(&self.permission_deadline) {
            return Err(format!(
                "options.permission_deadline: {} is not from 1 to {LONGEST_DEADLINE} seconds",
                self.permission_deadline
            ));
        }
        Ok(())
    }
}

impl Options {
    /// What the agent can do, as far as the table says.
    pub(crate) fn capabilities(&self) -> Vec<Capability> {
        let mut capabilities = vec![
            Capability::Deltas,
            Capability::Reasoning,
            Capability::Usage,
            Capability::Interrupt,
            Capability::SystemPrompt,
            Capability::McpStdio,
            Capability::McpUrl,
            Capability::Live,
        ];
        if self.permissions == Permissions::Ask {
            capabilities.push(Capability::Permissions);
        }
        if self.skills_folder.is_some() {
            capabilities.push(Capability::Skills);
        }
        if !self.images.is_empty() {
            capabilities.push(Capability::Images(self.images.clone()));
        }
        if self.steering {
            capabilities.push(Capability::Inject(vec![InjectMode::Steer]));
        }
        if self.fork {
            capabilities.push(Capability::Fork(ForkPoint::End));
        }
        capabilities
    }
}

impl Options {
    /// What is known of the agent before it is spoken to.
    pub(crate) fn profile(&self, context: &Context) -> aod_acp::Profile {
        let model = self.select_model.as_ref();
        aod_acp::Profile {
            auth_method: self.auth_method.clone(),
            model: model.and_then(|text| filled(text, context)),
            mode: self.mode.clone(),
            settings: self.settings.iter().map(Setting::config_option).collect(),
            prepends_system: self.system_prompt_file.is_none(),
            permissions: match self.permissions {
                Permissions::Ask => aod_acp::Permissions::Ask,
                Permissions::Allow => aod_acp::Permissions::Allow,
                Permissions::Reject => aod_acp::Permissions::Reject,
            },
            permission_default: match self.permission_default {
                Choice::Allow => aod_acp::Choice::Allow,
                Choice::Reject => aod_acp::Choice::Reject,
            },
            permission_deadline: self.permission_deadline,
            replay_quiet_ms: self.replay_quiet_ms,
            ..aod_acp::Profile::new(context)
        }
    }
}

impl Setting {
    fn config_option(&self) -> aod_acp::ConfigOption {
        aod_acp::ConfigOption {
            id: self.id.clone(),
            config: self.config.clone().unwrap_or_else(|| self.id.clone()),
            method: aod_acp::Method::ConfigOption,
            default: None,
            is_required: false,
        }
    }

    pub(crate) fn described(&self) -> OptionDeclaration {
        let mut schema = "{\"enum\":[".to_owned();
        for (index, value) in self.values.iter().enumerate() {
            if index > 0 {
                schema.push(',');
            }
            write_string(&mut schema, value);
        }
        schema.push_str("]}");
        OptionDeclaration {
            id: self.id.clone(),
            label: self.label.clone().unwrap_or_else(|| self.id.clone()),
            description: self.description.clone(),
            schema,
            default: "null".to_owned(),
            scope: OptionScope::Sticky,
        }
    }
}

impl Sent {
    fn described(&self) -> AuthStyle {
        match self {
            Self::Header { header, prefix } => AuthStyle::Header(AuthHeader {
                name: header.clone(),
                prefix: prefix.clone(),
            }),
            Self::Query { query } => AuthStyle::Query(query.clone()),
        }
    }
}

impl Provider {
    pub(crate) fn described(&self) -> aod_plugin_sdk::Provider {
        aod_plugin_sdk::Provider {
            id: self.id.clone(),
            endpoint_variable: self.endpoint_variable.clone(),
            default_endpoint: self.default_endpoint.clone(),
            whole_catalog: self.whole_catalog,
        }
    }
}

impl Credential {
    pub(crate) fn described(&self) -> aod_plugin_sdk::Credential {
        aod_plugin_sdk::Credential {
            name: self.name.clone(),
            variable: self.variable.clone(),
            providers: self.providers.clone(),
            sent: self.sent.iter().map(Sent::described).collect(),
            displaces: Vec::new(),
            prefix: self.prefix.clone(),
            label: self.label.clone().unwrap_or_else(|| "API key".to_owned()),
        }
    }
}

/// A text with its placeholders filled in; none where it speaks of an endpoint that nobody gave.
/// Braces that hold anything else stay as they are.
pub(crate) fn filled(text: &str, context: &Context) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let known = after.split_once('}').and_then(|(name, after)| {
            let value = match name {
                "model" => Some(context.model_id()),
                "canonical" => Some(context.model.as_str()),
                "home" => Some(context.paths.home.as_str()),
                "workspace" => Some(context.paths.workspace.as_str()),
                "private" => Some(context.paths.private.as_str()),
                _ => context.endpoint(name.strip_prefix("endpoint:")?),
            };
            Some((value, after))
        });
        match known {
            Some((value, after)) => {
                out.push_str(value?);
                rest = after;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use aod_plugin_sdk::testing::context;

    #[test]
    fn placeholders_are_filled_in_and_other_braces_left_alone() {
        let context = context("acme/m-1");
        let filled = |text: &str| super::filled(text, &context);
        assert_eq!(filled("-m={model}").unwrap(), "-m=m-1");
        assert_eq!(
            filled("{\"a\":{\"b\":\"{canonical}\"}} {x} {").unwrap(),
            "{\"a\":{\"b\":\"acme/m-1\"}} {x} {"
        );
        assert_eq!(filled("{home}/x").unwrap(), "/home/agent/x");
        assert_eq!(filled("{endpoint:acme}"), None);
    }
}
