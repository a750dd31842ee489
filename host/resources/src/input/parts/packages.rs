//! Tables of packages. Each manager has a notation of its own for a name with a version, and what
//! is not in it would be something else to that manager: an option, a path, a URL, or the wish to
//! remove a package.

use super::optional;
use crate::input::shape::{Object, Pattern, Shape, Text};

/// A list of what matches a pattern.
macro_rules! list {
    ($pattern:ident) => {
        Shape::List {
            items: &Text::new(1, 300).like(&$pattern).shape(),
            max: 200,
            unique: None,
        }
    };
}

/// Packages by package manager.
pub const PACKAGES: Shape = Shape::Object(&PACKAGES_TABLE);

static PACKAGES_TABLE: Object = Object {
    name: "PackagesInput",
    doc: "Packages to install, by package manager.",
    example: r#"{"apt": ["jq"], "pip": ["requests==2.32.3"]}"#,
    disjoint: None,
    fields: &[
        optional(
            "apt",
            "Debian packages: `jq`, `jq=1.6-2.1`, `jq=1.6*`, `jq/bookworm-backports`, `libc6:i386`.",
            list!(APT),
        ),
        optional(
            "cargo",
            "Rust crates with binaries: `ripgrep`, `ripgrep@14.1.1`, `ripgrep@14`, `ripgrep@>=14, <15`.",
            list!(CARGO),
        ),
        optional(
            "gem",
            "Ruby gems: `rake`, `rake:13.2.1`, `rake:~> 13.0`.",
            list!(GEM),
        ),
        optional(
            "go",
            "Go modules with binaries: `golang.org/x/tools/cmd/stringer`, or with `@v0.28.0`.",
            list!(GO),
        ),
        optional(
            "npm",
            "npm packages: `is-number`, `is-number@7.0.0`, `@types/node@^22`.",
            list!(NPM),
        ),
        optional(
            "pip",
            "Python packages: `requests`, `requests==2.32.3`, `uvicorn[standard]>=0.30,<1`.",
            list!(PIP),
        ),
    ],
};

// A hyphen at the end would have the package removed.
static APT: Pattern = Pattern::new(
    "^[a-z0-9][a-z0-9.+-]*[a-z0-9+](:[a-z0-9][a-z0-9]+(-[a-z0-9]+)*)?\
     (=[A-Za-z0-9.+:~*-]*[A-Za-z0-9~*]|/[a-z]+(-[a-z0-9]+)*)?$",
    "Input should be the name of a Debian package, perhaps with ':' and an architecture, and with \
     '=' and a version, in which '*' stands for anything, or '/' and a release",
);

macro_rules! cargo_version {
    () => {
        "((<=|>=|[<>=^~]) ?)?[0-9]+(\\.[0-9]+(\\.[0-9]+([+-][A-Za-z0-9.+-]+)?)?)?"
    };
}

static CARGO: Pattern = Pattern::new(
    concat!(
        "^[A-Za-z][A-Za-z0-9_-]*(@",
        cargo_version!(),
        "(, ?",
        cargo_version!(),
        ")*)?$"
    ),
    "Input should be the name of a crate, perhaps with '@' and a version such as '14.1.1' or '14', \
     or requirements such as '>=14, <15'; no URL, path or features",
);

static GEM: Pattern = Pattern::new(
    "^[A-Za-z0-9][A-Za-z0-9._-]*(:((~>|>=|<=|!=|=|>|<) ?)?[0-9][A-Za-z0-9.-]*)?$",
    "Input should be the name of a gem, perhaps with ':' and a version, as in '13.2.1' or '~> 13.0'",
);

static GO: Pattern = Pattern::new(
    "^[A-Za-z0-9][A-Za-z0-9-]*(\\.[A-Za-z0-9-]+)+(/[A-Za-z0-9_][A-Za-z0-9._~+-]*)*(/\\.\\.\\.)?\
     (@(<=|>=|<|>)?[A-Za-z0-9][A-Za-z0-9.+_-]*)?$",
    "Input should be the path of a Go package, which begins with a host's name, perhaps with '@' \
     and a version",
);

macro_rules! npm_version {
    () => {
        "[A-Za-z0-9^~<>=*][A-Za-z0-9.^~<>=*+|_-]*"
    };
}

static NPM: Pattern = Pattern::new(
    concat!(
        "^(@[A-Za-z0-9_-][A-Za-z0-9._~-]*/)?[A-Za-z0-9][A-Za-z0-9._~-]*(@",
        npm_version!(),
        "( (\\|\\||-|",
        npm_version!(),
        "))*)?$"
    ),
    "Input should be the name of an npm package, perhaps with '@' and a version, a range or a tag; \
     no URL, path or alias",
);

macro_rules! pip_version {
    () => {
        " *(===|==|~=|!=|<=|>=|<|>) *[A-Za-z0-9.*+!_-]+"
    };
}

macro_rules! pip_condition {
    () => {
        " *[a-z_]+( *(==|~=|!=|<=|>=|<|>) *| +(not +)?in +)(\"[A-Za-z0-9._ -]*\"|'[A-Za-z0-9._ -]*')"
    };
}

static PIP: Pattern = Pattern::new(
    concat!(
        "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?",
        "( *\\[ *[A-Za-z0-9._-]+( *, *[A-Za-z0-9._-]+)* *\\])?(",
        pip_version!(),
        "( *,",
        pip_version!(),
        ")*)?( *;",
        pip_condition!(),
        "( +(and|or)",
        pip_condition!(),
        ")*)?$"
    ),
    "Input should be the name of a Python package, perhaps with extras in brackets, with versions \
     as in '==2.1' or '>=1,<2', and with a condition as in '; python_version < \"3.12\"'; no URL, \
     path or option",
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::parts::tests::takes;

    /// What no manager may be given.
    const WRONG: &[&str] = &[
        "",
        "-o",
        "-oDebug=1",
        "--index-url=https://example.com",
        "-r",
        "a b",
        "a\tb",
        "a\nb",
        "a;b",
        "a$(b)",
        "a`b`",
        "a|b",
        "a&b",
        "../x",
        "./x",
        "/x",
        "x/../y",
        "~/x",
        "~x",
        ".",
        "..",
        "git+https://example.com/a/b",
        "https://example.com/a.tgz",
        "git@example.com:a/b",
        "file:x",
        "x@file:y",
        "x @ https://example.com/x",
        "x@npm:y",
        "*",
        "x'",
        "x\"",
        "gr\u{f6}\u{df}e",
    ];

    #[test]
    fn packages_are_names_and_versions() {
        takes(
            &APT,
            &[
                "jq",
                "g++",
                "libstdc++6",
                "libc6:i386",
                "jq=1.6-2.1",
                "vim=2:9.0.1378-2+deb12u2",
                "x264=1.0~rc1",
                "jq=1.6*",
                "jq=*",
                "jq=1.6-*+deb12u2",
                "jq/bookworm-backports",
                "python3.11",
            ],
            &[
                WRONG,
                &[
                    "jq-", "jq=1-", "jq=1*-", "jq=1?", "jq=[0-9]", "jq*", "jq/*", "Jq", "j", "jq=",
                    "jq/", "jq^", "a/b/c", "./a.deb",
                ],
            ]
            .concat(),
        );
        takes(
            &CARGO,
            &[
                "ripgrep",
                "cargo-edit@0.12.2",
                "a_b",
                "x@1.0.0-rc.1+build",
                "ripgrep@14",
                "x@14.1",
                "x@^1.0.0",
                "x@~1.2",
                "x@= 1.2.3",
                "x@>=1, <2",
                "x@>=1.2,<1.5.0",
            ],
            &[
                WRONG,
                &[
                    "x@",
                    "x@*",
                    "x@1.*",
                    "x@latest",
                    "x@^",
                    "x@ 1",
                    "x@1,",
                    "x@1.2.3.4",
                    "x==1.0.0",
                    "1x",
                    "a/b",
                    "x --features y",
                    "x[y]",
                    "x+y",
                ],
            ]
            .concat(),
        );
        takes(
            &GEM,
            &[
                "rake",
                "rake:13.2.1",
                "rake:~>13.0",
                "rake:>=1",
                "rake:13.0",
                "rake:~> 13.0",
                "a-b_c.d",
                "x:1.0.pre",
            ],
            &[
                WRONG,
                &[
                    "rake:",
                    "rake:x",
                    "rake:~>",
                    "rake: 1",
                    "rake:>=1,<2",
                    "rake@1",
                    "a/b",
                ],
            ]
            .concat(),
        );
        takes(
            &GO,
            &[
                "golang.org/x/tools/cmd/stringer",
                "github.com/a/b/v2@v2.0.1",
                "example.com/a@latest",
                "example.com/a@v0.0.0-20200101000000-abcdefabcdef",
                "gopkg.in/yaml.v3",
                "golang.org/x/tools/gopls@latest",
                "golang.org/x/tools/cmd/...@v0.28.0",
                "example.com/a@master",
                "example.com/a@v1",
                "example.com/a@<v1.2.3",
                "example.com/a@>=v1.2",
                "example.com/c++",
            ],
            &[
                WRONG,
                &[
                    "fmt",
                    "example.com/../x",
                    "example.com//x",
                    "example.com/x@",
                    "example.com/x@=v1",
                    "example.com/..",
                    "example.com/....",
                    "example.com/.../../x",
                    "...",
                    "std",
                    "x/y",
                ],
            ]
            .concat(),
        );
        takes(
            &NPM,
            &[
                "is-number",
                "is-number@7.0.0",
                "@types/node@^22",
                "x@latest",
                "x@>=1.0.0",
                "x@1.x||2.x",
                "x@>=1.0.0 <2.0.0",
                "x@1.2 - 2.3",
                "x@^1 || ^2",
                "@scope/name@^1",
                "@scope/name",
                "JSONStream",
            ],
            &[
                WRONG,
                &[
                    "user/repo",
                    "@a",
                    "@a/",
                    "@a/b/c",
                    "x@",
                    "x@../y",
                    "x@a/b",
                    "x@ 1",
                    "x@1 ",
                    "x@1  2",
                    "x@1 y/z",
                    "x@github:a/b",
                    "x@git+ssh://git@example.com/a.git",
                    "_x",
                    ".x",
                ],
            ]
            .concat(),
        );
        takes(
            &PIP,
            &[
                "six",
                "requests==2.32.3",
                "uvicorn[standard]>=0.30,<1",
                "zope.interface",
                "x==1!2.0.post1+local",
                "x==1.*",
                "ruamel.yaml~=0.18",
                "requests[socks]>=2,<3",
                "requests [socks, security] >= 2.0, < 3",
                "requests != 2.30.*",
                "tomli; python_version < '3.11'",
                "tomli>=2 ; python_version<\"3.11\" and sys_platform == 'linux'",
                "x; platform_machine not in 'arm64 aarch64'",
            ],
            &[
                WRONG,
                &[
                    "x@1",
                    "x==",
                    "x=1",
                    "a/b",
                    "x[",
                    "x-",
                    "x==1;python_version",
                    "x; os_name",
                    "x; python_version < 3",
                    "x; python_version < '3'; y",
                    "x; python_version < '3' -r y",
                    "x --hash=sha256:00",
                    "x==1 --pre",
                    "x>=1 <2",
                    "x[a;b]",
                    "x (>=1)",
                    "x.",
                    "[x]",
                ],
            ]
            .concat(),
        );
    }
}
