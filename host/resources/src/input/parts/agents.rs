//! Tables of what agents have: skills and MCP servers.

use serde_json::Value;

use super::{VARIABLE, optional, required};
use crate::input::shape::{Field, Object, Pattern, Shape, Text, Union, Unique};

/// Skills, told apart by their names.
pub const SKILLS: Shape = Shape::List {
    items: &Shape::Union(&SKILL),
    max: 20,
    unique: Some(Unique {
        key: name,
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

static SKILL_NAME: Pattern = Pattern::new(
    "^[a-z0-9][a-z0-9-]{0,63}$",
    "String should match '[a-z0-9][a-z0-9-]{0,63}'",
);

static REPOSITORY: Pattern = Pattern::new(
    "^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*$",
    "String should be 'owner/repo'",
);

static MCP_NAME: Pattern = Pattern::new(
    "^[A-Za-z0-9_-]{1,64}$",
    "String should match '[A-Za-z0-9_-]{1,64}'",
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::parts::tests::takes;

    #[test]
    fn names() {
        takes(&SKILL_NAME, &["pdf-tools", "7z"], &["../x", "-x", "X", ""]);
        takes(
            &REPOSITORY,
            &["owner/repo.rs"],
            &["owner/repo/x", "a/../b", "owner"],
        );
        takes(&MCP_NAME, &["my_server-1"], &["a b", ""]);
        takes(&HEADER, &["X-Api-Key"], &["X: y", ""]);
    }
}
