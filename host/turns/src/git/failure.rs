//! Why a repository is not there.

use super::remote::Tail;

/// Why a repository could not be cloned. It names the resource and its field, and the URL, which
/// never holds a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("resources[{index}].{field} ({url}): {problem}", field = problem.field())]
pub(crate) struct GitError {
    /// The resource's place among the session's.
    pub(crate) index: usize,
    /// The URL that git was given.
    pub(crate) url: String,
    /// What is wrong.
    pub(crate) problem: Problem,
}

/// What is wrong with a repository.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("authentication failed: {}", authentication(*.has_token))]
    Authentication { has_token: bool },
    #[error("not found: the server has no such repository, or none that the token may read")]
    NotFound,
    #[error(
        "checkout failed: it has no branch, tag or commit {checkout:?}; of an abbreviated commit \
         give all 40 characters"
    )]
    Checkout { checkout: String },
    #[error("network failure: the server cannot be reached, or broke off: {said}")]
    Network { said: String },
    #[error("this server does not fetch by http: use https")]
    PlainHttp,
    #[error("its place in the workspace is taken: {said}")]
    Place { said: String },
    #[error("it could not be cloned: {said}")]
    Other { said: String },
    #[error("submodule {path:?}: {problem}; `submodules: false` clones without them")]
    Submodule { path: String, problem: Box<Self> },
    #[error("its URL {url:?} is none that this server fetches from: https is")]
    Protocol { url: String },
    #[error("there are more than {max} submodules, or they are nested too deeply")]
    TooManySubmodules { max: usize },
    #[error(
        "it has no skill {name:?}: there is no SKILL.md in it, nor in the folders {name:?} and \
         \"skills/{name}\""
    )]
    NoSkill { name: String },
    #[error(
        "git is not installed on the server's machine: install it there (`apt install git`), or \
         ask its operator to"
    )]
    NoGit,
}

fn authentication(has_token: bool) -> &'static str {
    match has_token {
        true => "the server refuses the authorization_token",
        false => "the server asks for an authorization_token, also where it has no such repository",
    }
}

impl Problem {
    /// The field of the resource that it is about.
    fn field(&self) -> &'static str {
        match self {
            Self::Authentication { .. } => "authorization_token",
            Self::Checkout { .. } => "checkout",
            Self::Place { .. } => "mount_path",
            Self::Submodule { .. } | Self::TooManySubmodules { .. } => "submodules",
            _ => "url",
        }
    }

    /// What git said of a server, in the C locale.
    pub(super) fn of_remote(tail: &Tail, has_token: bool) -> Self {
        let text = tail.0.to_ascii_lowercase();
        let says = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
        if says(&[
            "authentication failed",
            "could not read username",
            "could not read password",
            "returned error: 401",
            "returned error: 403",
            "terminal prompts disabled",
            "invalid credentials",
        ]) {
            return Self::Authentication { has_token };
        }
        if says(&["' not found", "returned error: 404", "returned error: 410"]) {
            return Self::NotFound;
        }
        let said = tail.last_words();
        if says(&[
            "could not resolve",
            "failed to connect",
            "couldn't connect",
            "connection refused",
            "connection reset",
            "connection timed out",
            "timed out",
            "operation too slow",
            "unable to access",
            "ssl",
            "rpc failed",
            "early eof",
            "hung up",
            "unexpected disconnect",
            "proxy",
            "empty reply",
        ]) {
            return Self::Network { said };
        }
        Self::Other { said }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_is_told_apart() {
        let of = |said: &str| Problem::of_remote(&Tail(said.to_owned()), true);
        let refused = Problem::Authentication { has_token: true };
        for said in [
            "fatal: Authentication failed for 'https://x/r/'",
            "fatal: could not read Username for 'https://x': terminal prompts disabled",
            "fatal: unable to access 'https://x/r/': The requested URL returned error: 403",
        ] {
            assert_eq!(of(said), refused, "{said}");
        }
        for said in [
            "remote: nope\nfatal: repository 'https://x/r/' not found",
            "fatal: unable to access 'https://x/r/': The requested URL returned error: 404",
        ] {
            assert_eq!(of(said), Problem::NotFound, "{said}");
        }
        for said in [
            "fatal: unable to access 'https://x/r/': Could not resolve host: x",
            "fatal: unable to access 'https://x/r/': SSL certificate problem: unable to get local",
            "error: RPC failed; curl 56 GnuTLS recv error\nfatal: early EOF",
        ] {
            assert!(matches!(of(said), Problem::Network { .. }), "{said}");
        }
        assert!(matches!(of("fatal: bad object"), Problem::Other { .. }));
    }

    #[test]
    fn an_error_names_the_resource_its_field_and_the_url() {
        let error = GitError {
            index: 2,
            url: "https://x/r".to_owned(),
            problem: Problem::Checkout {
                checkout: "v9".to_owned(),
            },
        };
        let text = error.to_string();
        for part in ["resources[2].checkout", "https://x/r", "\"v9\""] {
            assert!(text.contains(part), "{text}");
        }
    }
}
