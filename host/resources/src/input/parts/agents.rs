//! Tables of what agents have: skills and MCP servers.

use serde_json::Value;

use super::{VARIABLE, optional, required};
use crate::ToolPermission;
use crate::agent::repository_name;
use crate::input::shape::{Field, Object, Pattern, Shape, Text, Union, Unique};

/// Skills, told apart by their names.
pub const SKILLS: Shape = Shape::List {
    items: &Shape::Union(&SKILL),
    max: 20,
    unique: Some(Unique {
        key: skill_name,
        message: "Two skills are named",
    }),
};

/// MCP servers, told apart by their names.
pub const MCP_SERVERS: Shape = Shape::List {
    items: &Shape::Union(&MCP_SERVER),
    max: 20,
    unique: Some(Unique {
        key: name,
        message: "Two MCP servers are named",
    }),
};

/// Which of the CLI's own tools may be called.
pub const PERMISSIONS: Shape = Shape::Object(&TOOL_PERMISSIONS);

/// Tools that whoever follows a turn answers, told apart by their names.
pub const TOOLS: Shape = Shape::List {
    items: &Shape::Object(&CUSTOM_TOOL),
    max: 64,
    unique: Some(Unique {
        key: name,
        message: "Two tools are named",
    }),
};

/// A tool, as it goes in and comes out.
pub static CUSTOM_TOOL: Object = Object {
    name: "CustomTool",
    doc: "A tool that the agent calls and whoever follows the turn answers. A call is the event \
          `tool.request`, which `POST /sessions/{id}/answers` answers.",
    example: r#"{
        "name": "lookup_order",
        "description": "Looks an order up by its number.",
        "input_schema": {
            "type": "object",
            "properties": {"number": {"type": "string"}},
            "required": ["number"]
        },
        "timeout": 600
    }"#,
    disjoint: None,
    fields: &[
        required(
            "name",
            "Unique within the agent.",
            Text::new(1, 48).like(&TOOL_NAME).shape(),
        ),
        required(
            "description",
            "What it does and when to call it, for the model.",
            Text::new(1, 4096).shape(),
        ),
        required(
            "input_schema",
            "A JSON Schema (2020-12) of what it is called with: its `type` is `object`. A call that \
             does not fit is refused before anybody is asked.",
            Shape::JsonObject(16 << 10),
        ),
        optional(
            "permission",
            "Whether it may be called: `allow`, also where nothing is said, `ask`, where a \
             `permission.request` comes first, or `deny`.",
            Shape::Word(ToolPermission::WORDS),
        ),
        optional(
            "timeout",
            "Seconds that a call waits for its answer; as the server is configured where nothing \
             is said (3600).",
            Shape::Integer {
                min: 1,
                max: 86_400,
            },
        ),
        optional(
            "default",
            "What is answered where nobody does in time; a failure that says so where nothing is \
             said.",
            Shape::Object(&TOOL_DEFAULT),
        ),
    ],
};

static TOOL_DEFAULT: Object = Object {
    name: "ToolDefault",
    doc: "An answer to a call.",
    example: r#"{"content": "nobody is there", "is_error": true}"#,
    disjoint: None,
    fields: &[
        required("content", "What it says.", Text::new(0, 64 << 10).shape()),
        optional("is_error", "Whether it tells of a failure.", Shape::Boolean),
    ],
};

/// Which tools may be called.
pub static TOOL_PERMISSIONS: Object = Object {
    name: "ToolPermissions",
    doc: "Which tools may be called, of an MCP server or of the CLI itself: `allow`, `ask`, where a \
          `permission.request` comes first, or `deny`.",
    example: r#"{"default": "ask", "tools": {"search": "allow", "delete": "deny"}}"#,
    disjoint: None,
    fields: &[
        optional(
            "default",
            "For all tools that are not named; `allow` where nothing is said.",
            Shape::Word(ToolPermission::WORDS),
        ),
        optional(
            "tools",
            "By their names.",
            Shape::Map {
                keys: Some(&MCP_TOOL_NAME),
                values: &Shape::Word(ToolPermission::WORDS),
            },
        ),
    ],
};

// CLIs put the server's name in front, and providers take at most 64 characters.
static TOOL_NAME: Pattern = Pattern::new(
    "^[A-Za-z_][A-Za-z0-9_-]{0,47}$",
    "String should match '[A-Za-z_][A-Za-z0-9_-]{0,47}'",
);

static MCP_TOOL_NAME: Pattern = Pattern::new(
    r"^[^\x00-\x20\x7f]{1,128}$",
    "The name of a tool should have 1 to 128 characters, and no spaces or control characters",
);

static SKILL_NAME: Pattern = Pattern::new(
    "^[a-z0-9][a-z0-9-]{0,63}$",
    "String should match '[a-z0-9][a-z0-9-]{0,63}'",
);

static REPOSITORY: Pattern = Pattern::new(
    "^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*$",
    "String should be 'owner/repo'",
);

static MCP_NAME: Pattern = Pattern::new(
    // Any name but `aod` (`OWN_MCP_SERVER`), in any case.
    concat!(
        "^([B-Zb-z0-9_-][A-Za-z0-9_-]{0,63}",
        "|[Aa]([A-NP-Za-np-z0-9_-][A-Za-z0-9_-]{0,62})?",
        "|[Aa][Oo]([A-CE-Za-ce-z0-9_-][A-Za-z0-9_-]{0,61})?",
        "|[Aa][Oo][Dd][A-Za-z0-9_-]{1,61})$"
    ),
    "String should match '[A-Za-z0-9_-]{1,64}', and 'aod' is the name of the agent's own tools",
);

static HEADER: Pattern = Pattern::new(
    "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}$",
    "The key should be the name of an HTTP header",
);

static HTTP_URL: Pattern = Pattern::new(
    r"^https?://[^\x00]*$",
    "Input should be a URL that begins with 'http://' or 'https://'",
);

/// A skill, as it goes in and comes out.
pub static SKILL: Union = Union {
    name: "Skill",
    doc: "A skill that the CLI can load by itself.",
    tagged: &[("github", &GITHUB_SKILL)],
    untagged: Some(&INLINE_SKILL),
};

static GITHUB_SKILL: Object = Object {
    name: "GithubSkill",
    doc: "A skill from a public repository.",
    example: "",
    disjoint: None,
    fields: &[
        required(
            "source",
            "The repository, as `owner/repo`.",
            Text::new(3, 200).like(&REPOSITORY).shape(),
        ),
        optional(
            "name",
            "Its folder's name; the repository's where nothing is said.",
            Text::new(1, 64).like(&SKILL_NAME).shape(),
        ),
        optional("description", "When to use it.", Text::new(0, 4096).shape()),
    ],
};

static INLINE_SKILL: Object = Object {
    name: "InlineSkill",
    doc: "A skill given in full. It has no `type`.",
    example: "",
    disjoint: None,
    fields: &[
        required(
            "name",
            "Its folder's name.",
            Text::new(1, 64).like(&SKILL_NAME).shape(),
        ),
        required("description", "When to use it.", Text::new(0, 4096).shape()),
        required(
            "content",
            "The text of its `SKILL.md`, at most 256 KiB.",
            Text::new(0, 256 << 10).in_bytes().shape(),
        ),
    ],
};

/// An MCP server, as it goes in and, its values masked, comes out.
pub static MCP_SERVER: Union = Union {
    name: "McpServer",
    doc: "An MCP server that an agent may call. Values of headers and variables are kept sealed and \
          read back as `***`; sent as `***`, they stay as they are.",
    tagged: &[("url", &URL_MCP_SERVER), ("stdio", &STDIO_MCP_SERVER)],
    untagged: None,
};

const SERVER_NAME: Field = required(
    "name",
    "Unique within the agent.",
    Text::new(1, 64).like(&MCP_NAME).shape(),
);

static URL_MCP_SERVER: Object = Object {
    name: "UrlMcpServer",
    doc: "An MCP server that is reached over streamable HTTP.",
    example: "",
    disjoint: None,
    fields: &[
        SERVER_NAME,
        required(
            "url",
            "The endpoint.",
            Text::new(1, 2048).like(&HTTP_URL).hidden().shape(),
        ),
        optional(
            "headers",
            "Headers sent with every request.",
            Shape::Map {
                keys: Some(&HEADER),
                values: &Text::new(0, 64 << 10).secret().shape(),
            },
        ),
        optional(
            "permissions",
            "Which of its tools may be called; all where nothing is said.",
            Shape::Object(&TOOL_PERMISSIONS),
        ),
    ],
};

static STDIO_MCP_SERVER: Object = Object {
    name: "StdioMcpServer",
    doc: "An MCP server that runs inside the sandbox, and is reached over its standard streams.",
    example: "",
    disjoint: None,
    fields: &[
        SERVER_NAME,
        required("command", "The program.", Text::new(1, 4096).shape()),
        optional(
            "args",
            "Its arguments.",
            Shape::List {
                items: &Text::new(0, 64 << 10).shape(),
                max: 256,
                unique: None,
            },
        ),
        optional(
            "env",
            "Its environment.",
            Shape::Map {
                keys: Some(&VARIABLE),
                values: &Text::new(0, 64 << 10).secret().shape(),
            },
        ),
    ],
};

fn name(item: &Value) -> Option<String> {
    item["name"].as_str().map(str::to_owned)
}

/// The name of a skill's folder, whether it is given or its repository's.
fn skill_name(item: &Value) -> Option<String> {
    name(item).or_else(|| item["source"].as_str().map(repository_name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::input::parts::tests::takes;

    #[test]
    fn skills_share_no_folder() {
        let folder = |skill| skill_name(&skill);
        let own = json!({"name": "pdf-tools", "description": "", "content": ""});
        let named = json!({"type": "github", "source": "o/x", "name": "pdf-tools"});
        let unnamed = json!({"type": "github", "source": "o/PDF-Tools"});
        for skill in [own, named, unnamed] {
            assert_eq!(folder(skill).as_deref(), Some("pdf-tools"));
        }
    }

    #[test]
    fn names() {
        takes(&SKILL_NAME, &["pdf-tools", "7z"], &["../x", "-x", "X", ""]);
        takes(
            &REPOSITORY,
            &["owner/repo.rs"],
            &["owner/repo/x", "a/../b", "owner"],
        );
        takes(
            &MCP_NAME,
            &[
                "my_server-1",
                "a",
                "ao",
                "AO",
                "aods",
                "aoe",
                "ad",
                "xaod",
                "-",
                &"a".repeat(64),
            ],
            &[
                "a b",
                "",
                "aod",
                "AOD",
                "aOd",
                &"a".repeat(65),
                &"b".repeat(65),
            ],
        );
        takes(
            &TOOL_NAME,
            &["look_up-2", "_x"],
            &["", "2x", "a.b", "-x", "a b"],
        );
        takes(&MCP_TOOL_NAME, &["a.b/c", "ä"], &["", "a b", "a\n"]);
        takes(&HEADER, &["X-Api-Key"], &["X: y", ""]);
    }
}
