//! What tools are called. The protocol has no names of tools, but most agents say them somewhere.

use aod_plugin_sdk::{Context, ToolKind, mcp};

/// Names of agents' own tools, with the one that is the same for all CLIs.
const TOOLS: &[(&str, Option<&str>)] = &[
    // Claude Code
    ("Bash", Some("bash")),
    ("Read", Some("read")),
    ("Write", Some("write")),
    ("Edit", Some("edit")),
    ("MultiEdit", Some("edit")),
    ("Glob", Some("glob")),
    ("Grep", Some("grep")),
    ("WebFetch", Some("web_fetch")),
    ("WebSearch", Some("web_search")),
    ("TodoWrite", Some("todo")),
    ("Task", Some("agent")),
    ("Agent", Some("agent")),
    // Codex
    ("exec_command", Some("bash")),
    ("apply_patch", None),
    // Gemini CLI
    ("run_shell_command", Some("bash")),
    ("read_file", Some("read")),
    ("write_file", Some("write")),
    ("replace", Some("edit")),
    ("grep_search", Some("grep")),
    ("web_fetch", Some("web_fetch")),
    ("google_web_search", Some("web_search")),
    ("write_todos", Some("todo")),
    ("invoke_agent", Some("agent")),
    // opencode
    ("bash", Some("bash")),
    ("read", Some("read")),
    ("write", Some("write")),
    ("edit", Some("edit")),
    ("multiedit", Some("edit")),
    ("glob", Some("glob")),
    ("grep", Some("grep")),
    ("webfetch", Some("web_fetch")),
    ("websearch", Some("web_search")),
    ("todowrite", Some("todo")),
    ("task", Some("agent")),
];

/// What a tool is called everywhere.
pub(crate) fn canonical(name: &str, kind: ToolKind) -> Option<&'static str> {
    match TOOLS.iter().find(|(known, _)| *known == name) {
        Some((_, canonical)) => *canonical,
        None => match kind {
            ToolKind::Execute => Some("bash"),
            ToolKind::Read => Some("read"),
            _ => None,
        },
    }
}

/// The tool's name in a call's id, where an agent puts it there: `write_file__call_1`.
pub(crate) fn in_call_id(id: &str) -> Option<&str> {
    let (name, _) = id.split_once("__")?;
    let is_known = TOOLS.iter().any(|(known, _)| *known == name) || name.starts_with("mcp_");
    is_known.then_some(name)
}

/// The kind of a tool, by the protocol's word for it.
pub(crate) fn kind(word: &str) -> ToolKind {
    match word {
        "read" => ToolKind::Read,
        "edit" => ToolKind::Edit,
        "delete" => ToolKind::Delete,
        "move" => ToolKind::Move,
        "search" => ToolKind::Search,
        "execute" => ToolKind::Execute,
        "think" => ToolKind::Think,
        "fetch" => ToolKind::Fetch,
        _ => ToolKind::Other,
    }
}

/// The names of the MCP servers, and how names of their tools begin.
#[derive(Debug, Default, Clone)]
pub struct Servers(Vec<(Vec<String>, String)>);

impl Servers {
    /// Those of a process.
    #[must_use]
    pub fn new(context: &Context) -> Self {
        let mut servers: Vec<_> = context
            .mcp_servers
            .iter()
            .map(|server| (prefixes(&server.name), server.name.clone()))
            .collect();
        // Where one name begins as another does, the longer one is meant.
        servers.sort_by_key(|(_, name)| std::cmp::Reverse(name.len()));
        Self(servers)
    }

    /// The server that has a tool, and the tool's name there. `name` is what stands for its name,
    /// and `title` what the agent says of the call.
    pub(crate) fn find<'a, 'b>(
        &'a self,
        name: &'b str,
        title: &'b str,
    ) -> Option<(&'a str, &'b str)> {
        self.0.iter().find_map(|(prefixes, server)| {
            let by_prefix = prefixes
                .iter()
                .find_map(|prefix| name.strip_prefix(prefix.as_str()));
            // "echo (notes MCP Server)"
            let by_title = || {
                let (tool, rest) = title.split_once(" (")?;
                let said = rest.strip_suffix(" MCP Server)")?;
                (said == server).then_some(tool)
            };
            Some((server.as_str(), by_prefix.or_else(by_title)?))
        })
    }
}

fn prefixes(server: &str) -> Vec<String> {
    let valid = mcp::plain_name(server, "_-");
    vec![
        format!("mcp__{valid}__"),
        format!("mcp_{valid}_"),
        format!("mcp.{valid}."),
        format!("{valid}_"),
        format!("{valid}."),
    ]
}
