//! What is loaded into the CLI, and what it tells.

use aod_plugin_sdk::json::{Text, write_string};
use aod_plugin_sdk::{
    Context, File, Fragment, McpState, Out, Variable, WorkspaceConfig, file, secret, text,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::FOLDER;
use crate::tools::prefix;

const CODE: &str = include_str!("companion.cjs");

/// Files and folders of the workspace that are not to be obeyed: settings, variables, and what
/// starts servers.
const SETTINGS: &[&str] = &[
    "/.env",
    "/.gemini/.env",
    "/.gemini/settings.json",
    "/.gemini/agents",
    "/.gemini/policies",
];

/// The variable by which users have Node load something.
const NODE_OPTIONS: &str = "NODE_OPTIONS";

/// What a launch needs.
pub(crate) struct Companion {
    pub(crate) file: File,
    pub(crate) variables: Vec<Variable>,
    pub(crate) withhold: Vec<String>,
}

/// `is_spoken_to`: whether the CLI leaves out what print mode tells.
pub(crate) fn companion(context: &Context, is_spoken_to: bool) -> Companion {
    let path = format!("{}/companion.cjs", context.paths.private);
    let mut code = "const facts = ".to_owned();
    write_facts(&mut code, context, is_spoken_to);
    code.push_str(";\n");
    code.push_str(CODE);
    let mut options = vec![Fragment::Text(format!("--require=\"{path}\""))];
    let mut variables = Vec::new();
    let mut withhold = Vec::new();
    if context.has_secret(NODE_OPTIONS) {
        options.push(Fragment::Text(" ".to_owned()));
        options.extend(secret(NODE_OPTIONS));
        withhold.push(NODE_OPTIONS.to_owned());
        variables.push(Variable {
            name: format!("AOD_{NODE_OPTIONS}"),
            value: secret(NODE_OPTIONS),
        });
    }
    variables.push(Variable {
        name: NODE_OPTIONS.to_owned(),
        value: options,
    });
    Companion {
        file: file(path, text(code)),
        variables,
        withhold,
    }
}

fn write_facts(code: &mut String, context: &Context, is_spoken_to: bool) {
    code.push_str(&format!("{{\"tells\":{is_spoken_to},\"home\":"));
    write_string(code, &format!("{}/{FOLDER}", context.paths.home));
    if let (true, Some(session)) = (is_spoken_to, context.resume_token()) {
        code.push_str(",\"loads\":");
        write_string(code, session);
    }
    code.push_str(",\"hidden\":[");
    if context.workspace_config != WorkspaceConfig::All {
        for (index, path) in SETTINGS.iter().enumerate() {
            if index > 0 {
                code.push(',');
            }
            write_string(code, &format!("{}{path}", context.paths.workspace));
        }
    }
    code.push_str("],\"servers\":[");
    for (index, server) in context.mcp_servers.iter().enumerate() {
        code.push_str(if index > 0 { ",{" } else { "{" });
        code.push_str("\"name\":");
        write_string(code, &server.name);
        code.push_str(",\"prefix\":");
        write_string(code, &prefix(&server.name));
        code.push('}');
    }
    code.push_str("]}");
}

/// What the companion tells.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Report<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: Text<'a>,

    // `request`, `reply`
    pub(crate) is_stream: bool,

    // `request`
    pub(crate) results: Vec<Answer<'a>>,
    /// The MCP servers whose tools are on offer.
    pub(crate) servers: Vec<Text<'a>>,

    // `call`
    pub(crate) id: Option<Text<'a>>,
    pub(crate) name: Text<'a>,
    #[serde(borrow)]
    pub(crate) input: Option<&'a RawValue>,

    // `reply`
    pub(crate) model: Option<Text<'a>>,
    pub(crate) finish: Option<Text<'a>>,
    pub(crate) has_text: bool,
    pub(crate) has_thoughts: bool,
    pub(crate) has_calls: bool,
    pub(crate) usage: Option<Counted>,

    // `failed`
    pub(crate) status: Option<u16>,
    pub(crate) message: Text<'a>,
    pub(crate) retry_at: Option<u64>,
}

impl Report<'_> {
    /// Tells which servers are there; the CLI itself does not say so.
    pub(crate) fn tell_servers<'a>(&self, all: impl Iterator<Item = &'a str>, out: &mut Out) {
        for server in all {
            let is_there = self.servers.iter().any(|it| **it == *server);
            let (state, why) = match is_there {
                true => (McpState::Ready, None),
                false => {
                    let why = "it offers the model no tools".to_owned();
                    (McpState::Failed, Some(why))
                }
            };
            out.mcp_server(server, state, why);
        }
    }
}

/// What a tool has told the model.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Answer<'a> {
    pub(crate) id: Option<Text<'a>>,
    pub(crate) name: Text<'a>,
    pub(crate) output: Text<'a>,
}

/// Tokens of a reply, as the API counts them.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Counted {
    pub(crate) prompt_token_count: u64,
    pub(crate) tool_use_prompt_token_count: u64,
    pub(crate) cached_content_token_count: u64,
    pub(crate) candidates_token_count: u64,
    pub(crate) thoughts_token_count: u64,
}
