//! Tables of what stands inside bodies: skills, MCP servers, networks, packages, repositories.

use serde_json::Value;

use super::shape::{Field, Need, Object, Pattern, Shape, Text, Union, Unique};

/// A name for people.
pub const NAME: Shape = Text::new(1, 200).shape();
/// A text of any kind.
pub const TEXT: Shape = Text::new(0, 1 << 20).shape();
/// A runtime's or model's name.
pub const WORD: Shape = Text::new(1, 100).shape();
/// A version of an agent or environment.
pub const VERSION: Shape = Shape::Integer {
    min: 1,
    // What numbers of JavaScript count without a gap.
    max: (1 << 53) - 1,
};
/// What is asked of an agent.
pub const PROMPT: Shape = Text::new(1, 1 << 20).in_bytes().like(&NOT_BLANK).shape();
/// Seconds that a turn may take.
pub const TIMEOUT: Shape = Shape::Integer { min: 10, max: 3600 };
/// Labels.
pub const METADATA: Shape = Shape::Map {
    keys: None,
    values: &Text::new(0, 64 << 10).shape(),
};
/// Secret variables. An empty text is a value.
pub const VARIABLES: Shape = Shape::Map {
    keys: Some(&VARIABLE),
    values: &Text::new(0, 128 << 10).secret().shape(),
};
/// Variables that everybody may see. What is refused is not repeated all the same: it may be a
/// secret that somebody put into the wrong map.
pub const OPEN_VARIABLES: Shape = Shape::Map {
    keys: Some(&VARIABLE),
    values: &Text::new(0, 128 << 10).hidden().shape(),
};
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
/// Packages by package manager.
pub const PACKAGES: Shape = Shape::Object(&PACKAGES_TABLE);
/// What sandboxes may reach.
pub const NETWORKING: Shape = Shape::Object(&NETWORKING_TABLE);
/// Repositories, each in a place of its own.
pub const RESOURCES: Shape = Shape::List {
    items: &Shape::Union(&RESOURCE),
    max: 10,
    unique: Some(Unique {
        key: place,
        message: "Two resources would be mounted at",
    }),
};

/// A part of a host's name.
macro_rules! label {
    () => {
        "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    };
}

/// A part of a path that is not `..`.
macro_rules! part {
    () => {
        r"(\.|\.?[^./\x00-\x1f\x7f-\x9f][^/\x00-\x1f\x7f-\x9f]*|\.\.[^/\x00-\x1f\x7f-\x9f]+)"
    };
}

static VARIABLE: Pattern = Pattern::new(
    "^[A-Za-z_][A-Za-z0-9_]{0,255}$",
    "The name of a variable should match '[A-Za-z_][A-Za-z0-9_]*'",
);
static SKILL_NAME: Pattern = Pattern::new(
    "^[a-z0-9][a-z0-9-]{0,63}$",
    "String should match '[a-z0-9][a-z0-9-]{0,63}'",
);
static REPOSITORY: Pattern = Pattern::new(
    "^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9_.-]+$",
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
/// Control characters and white space, for a class of characters. `\s` is not the same everywhere.
macro_rules! blank {
    () => {
        r"\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
    };
}

/// More than white space.
pub static NOT_BLANK: Pattern = Pattern::new(
    concat!(r"^[^\x00]*[^", blank!(), r"][^\x00]*$"),
    "String should hold more than white space",
);
// A name that begins with a hyphen would be read as an option.
static PACKAGE: Pattern = Pattern::new(
    concat!("^[^-", blank!(), "][^", blank!(), "]*$"),
    "A package should be a name, with a version where the manager has a notation for it",
);
static HOST: Pattern = Pattern::new(
    concat!(r"^(\*\.)?", label!(), r"(\.", label!(), ")*$"),
    "Input should be a host's name, or '*.' and a suffix; no scheme, port or path",
);
static GIT_URL: Pattern = Pattern::new(
    concat!(
        "^https://[^/@",
        blank!(),
        "]+/+[^/",
        blank!(),
        "][^",
        blank!(),
        "]*$"
    ),
    "Input should be an https URL of a git repository, without credentials: those go into \
     authorization_token",
);
static MOUNT_PATH: Pattern = Pattern::new(
    concat!("^(/workspace/)?", part!(), "(/+", part!(), ")*/*$"),
    "Input should be a path under /workspace, without '..'",
);

const fn field(name: &'static str, doc: &'static str, need: Need, shape: Shape) -> Field {
    Field {
        name,
        doc,
        need,
        shape,
    }
}

const fn required(name: &'static str, doc: &'static str, shape: Shape) -> Field {
    field(name, doc, Need::Required, shape)
}

const fn optional(name: &'static str, doc: &'static str, shape: Shape) -> Field {
    field(name, doc, Need::Optional, shape)
}

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

const PACKAGE_LIST: Shape = Shape::List {
    items: &Text::new(1, 300).like(&PACKAGE).shape(),
    max: 200,
    unique: None,
};

static PACKAGES_TABLE: Object = Object {
    name: "PackagesInput",
    doc: "Packages to install, by package manager.",
    example: r#"{"apt": ["jq"], "pip": ["requests==2.32.3"]}"#,
    disjoint: None,
    fields: &[
        optional("apt", "Debian packages.", PACKAGE_LIST),
        optional("cargo", "Rust crates with binaries.", PACKAGE_LIST),
        optional("gem", "Ruby gems.", PACKAGE_LIST),
        optional("go", "Go modules with binaries.", PACKAGE_LIST),
        optional("npm", "npm packages.", PACKAGE_LIST),
        optional("pip", "Python packages.", PACKAGE_LIST),
    ],
};

static NETWORKING_TABLE: Object = Object {
    name: "NetworkingInput",
    doc: "What sandboxes may reach.",
    example: r#"{"type": "limited", "allowed_hosts": ["example.com", "*.example.org"]}"#,
    disjoint: None,
    fields: &[
        required(
            "type",
            "`unrestricted`: the open internet. `limited`: the named hosts, and what the runtime's \
             provider needs.",
            Shape::Word(&["unrestricted", "limited"]),
        ),
        optional(
            "allowed_hosts",
            "With `limited`: exact names, or `*.` and a suffix.",
            Shape::List {
                items: &Text::new(1, 253).like(&HOST).shape(),
                max: 1000,
                unique: None,
            },
        ),
    ],
};

static RESOURCE: Union = Union {
    name: "ResourceInput",
    doc: "What is put into a session's workspace.",
    tagged: &[("github_repository", &REPOSITORY_RESOURCE)],
    untagged: None,
};

static REPOSITORY_RESOURCE: Object = Object {
    name: "RepositoryInput",
    doc: "A git repository to clone, from any host.",
    example: "",
    disjoint: None,
    fields: &[
        required(
            "url",
            "An https URL without credentials.",
            Text::new(1, 2048).like(&GIT_URL).hidden().shape(),
        ),
        optional(
            "mount_path",
            "Where under `/workspace`; the repository's own name where nothing is said. No two \
             resources may have the same.",
            Text::new(1, 1024).like(&MOUNT_PATH).shape(),
        ),
        optional(
            "authorization_token",
            "A token that may read it. It goes in, never out.",
            Text::new(1, 4096).secret().shape(),
        ),
    ],
};

fn name(item: &Value) -> Option<String> {
    item["name"].as_str().map(str::to_owned)
}

fn place(item: &Value) -> Option<String> {
    let place = crate::session::place(item["url"].as_str()?, item["mount_path"].as_str());
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn takes(pattern: &Pattern, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(pattern.matches(text), "{text:?}");
        }
        for text in bad {
            assert!(!pattern.matches(text), "{text:?}");
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
        takes(&MCP_NAME, &["my_server-1"], &["a b", ""]);
        takes(&HEADER, &["X-Api-Key"], &["X: y", ""]);
        takes(&VARIABLE, &["_a1", "B"], &["1A", "A-B", "", "a b"]);
        takes(&PACKAGE, &["jq", "requests==2.1"], &["-o", "a b", "a\tb"]);
    }

    #[test]
    fn hosts_are_names_or_suffixes() {
        takes(
            &HOST,
            &[
                "example.com",
                "*.example.com",
                "localhost",
                "10.0.0.1",
                "a-b.c_d",
                "a",
            ],
            &[
                "",
                "*",
                "*.",
                "https://x",
                "x:80",
                "a..b",
                "-a.b",
                "a-.b",
                "x/y",
                "*.*.x",
                "a b",
            ],
        );
    }

    #[test]
    fn repositories_and_their_places() {
        takes(
            &GIT_URL,
            &[
                "https://github.com/o/r",
                "https://x:8443/r.git",
                "https://x//r/",
            ],
            &[
                "git@github.com:o/r",
                "http://github.com/o/r",
                "https://github.com",
                "https://github.com/",
                "https://user:pass@github.com/o/r",
                "https://x/a b",
            ],
        );
        takes(
            &MOUNT_PATH,
            &[
                "a",
                "a/b/",
                "/workspace/a//b",
                ".",
                "./a",
                ".git",
                "..a",
                "...",
            ],
            &[
                "",
                "..",
                "../x",
                "a/..",
                "/etc",
                "/workspace/",
                "/workspace/../x",
                "a/../b",
                "/",
            ],
        );
    }
}
