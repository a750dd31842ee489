//! Tables of what sandboxes have: a network, repositories.

use serde_json::Value;

use super::{optional, required};
use crate::input::shape::{Field, Object, Pattern, Shape, Text, Union, Unique};

/// What sandboxes may reach.
pub const NETWORKING: Shape = Shape::Object(&NETWORKING_TABLE);

/// Whether providers' credentials enter sandboxes.
pub const CREDENTIAL_MODE: Shape = Shape::Word(&["brokered", "injected"]);

/// What files in a workspace may decide.
pub const PROJECT_CONFIG: Shape = Shape::Word(&["instructions", "all", "none"]);

/// Hosts that a credential is for.
pub const CREDENTIAL_HOSTS: Shape = Shape::List {
    items: &Text::new(1, 259).like(&HOST_PORT).shape(),
    max: 20,
    unique: None,
};

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

static HOST: Pattern = Pattern::new(
    concat!(r"^(\*\.)?", label!(), r"(\.", label!(), ")*$"),
    "Input should be a host's name, or '*.' and a suffix; no scheme, port or path",
);

static HOST_PORT: Pattern = Pattern::new(
    concat!("^", label!(), r"(\.", label!(), r")*\.?(:[0-9]{1,5})?$"),
    "Input should be the name of one host, such as api.example.com, with a port where that is not \
     443; no scheme, path or pattern",
);

static GIT_URL: Pattern = Pattern::new(
    concat!(
        "^https?://[^/@",
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

// What is no name of a reference would be another expression of git's, or an option.
static GIT_REVISION: Pattern = Pattern::new(
    r"^[^\x00-\x20\x7f~^:?*\[\\./@{-](@?[^\x00-\x20\x7f~^:?*\[\\.@{]|\.[^\x00-\x20\x7f~^:?*\[\\./@{])*$",
    "Input should be a branch, a tag, a commit, or a full name such as refs/pull/7/head",
);

static GIT_TOKEN: Pattern = Pattern::new(
    "^[!-~]+$",
    "Input should be visible ASCII characters without spaces",
);

static MOUNT_PATH: Pattern = Pattern::new(
    concat!("^(/workspace/)?", part!(), "(/+", part!(), ")*/*$"),
    "Input should be a path under /workspace, without '..'",
);

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
        optional(
            "allow_package_managers",
            "With `limited`: whether the public registries of package managers are reachable, too.",
            Shape::Boolean,
        ),
        optional(
            "allow_mcp_servers",
            "With `limited`: whether the hosts of the agent's MCP servers are reachable, too.",
            Shape::Boolean,
        ),
        optional(
            "raw",
            "Whether programs that know no proxy reach what the policy lets through, too, over TCP \
             and UDP. The server has to have `egress.raw` set.",
            Shape::Boolean,
        ),
    ],
};

/// Whose name is on commits.
pub const GIT_IDENTITY: Shape = Shape::Object(&GIT_IDENTITY_TABLE);

static GIT_IDENTITY_TABLE: Object = Object {
    name: "GitIdentityInput",
    doc: "Whose name is on the commits that an agent makes.",
    example: r#"{"name": "Review Bot", "email": "review-bot@example.com"}"#,
    disjoint: None,
    fields: &[
        required(
            "name",
            "The name.",
            Text::new(1, 200).like(&COMMITTER).shape(),
        ),
        required(
            "email",
            "The address.",
            Text::new(1, 254).like(&ADDRESS).shape(),
        ),
    ],
};

// What is not among these git leaves out of names.
static COMMITTER: Pattern = Pattern::new(
    r#"^[^\x00-\x1f\x7f<>]*[^\x00-\x20\x7f<>.,:;"'\\][^\x00-\x1f\x7f<>]*$"#,
    "Input should be a name on one line, without '<' and '>'",
);

static ADDRESS: Pattern = Pattern::new(
    r"^[^\x00-\x20\x7f<>@]+@[^\x00-\x20\x7f<>@]+$",
    "Input should be an address such as bot@example.com",
);

static RESOURCE: Union = Union {
    name: "ResourceInput",
    doc: "What is put into a session's workspace.",
    tagged: &[
        ("github_repository", &REPOSITORY_RESOURCE),
        ("git_repository", &GIT_RESOURCE),
    ],
    untagged: None,
};

static REPOSITORY_RESOURCE: Object = Object {
    name: "RepositoryInput",
    doc: "A git repository to clone, from any host.",
    example: "",
    disjoint: None,
    fields: REPOSITORY_FIELDS,
};

static GIT_RESOURCE: Object = Object {
    name: "GitRepositoryInput",
    doc: "A git repository to clone, from any host.",
    example: "",
    disjoint: None,
    fields: REPOSITORY_FIELDS,
};

const REPOSITORY_FIELDS: &[Field] = &[
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
        "A token that may read it, or `user:password`. It goes in, never out.",
        Text::new(1, 4096).like(&GIT_TOKEN).secret().shape(),
    ),
    optional(
        "checkout",
        "A branch, a tag, a commit or a full name such as `refs/pull/7/head`; the repository's \
             own branch where nothing is said.",
        Text::new(1, 250).like(&GIT_REVISION).shape(),
    ),
    optional(
        "depth",
        "So many commits of history; as the server is configured where nothing is said (all).",
        Shape::Integer {
            min: 1,
            max: 1_000_000,
        },
    ),
    optional(
        "submodules",
        "`false`: its submodules are not cloned.",
        Shape::Boolean,
    ),
];

fn place(item: &Value) -> Option<String> {
    let place = crate::session::place(item["url"].as_str()?, item["mount_path"].as_str());
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::parts::tests::takes;

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
    fn revisions_are_names() {
        takes(
            &GIT_REVISION,
            &[
                "main",
                "v1.2.3",
                "feature/a-b_c",
                "refs/pull/7/head",
                "0a1b2c3",
                "user@host",
                "release+1",
                "größe",
            ],
            &[
                "",
                "-u",
                "--upload-pack=x",
                "a..b",
                "a^",
                "a~1",
                "a:b",
                "a b",
                "a@{1}",
                "a*",
                "a\\b",
                "/a",
                ".a",
                "a.",
                "[a]",
                "a?",
                "a\nb",
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
                // Whether it may be so is configuration.
                "http://x/r",
            ],
            &[
                "git@github.com:o/r",
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
