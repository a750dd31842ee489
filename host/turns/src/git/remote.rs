//! All that git does over a network: bringing a mirror up to date.
//!
//! It runs in a sandbox that has the mirror and nothing of a session. The token is in a file of
//! that sandbox's memory, in the form that git's own credential helper reads, for one host alone.

use std::path::Path;

use aod_sandbox::{Ended, Network, SecretBytes};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;
use zeroize::Zeroizing;

use super::GitConfig;
use super::command::{GitSandbox, Script};
use super::failure::Problem;
use super::mirrors::Failed;
use crate::authorities;
use crate::network::SandboxNetwork;
use crate::provision::{Cancelled, Output, StageError, Step, execute};

/// The user name beside a token that has none. Servers that look at the token alone take any.
const USER: &str = "x-access-token";

/// What is to be had from a server.
#[derive(Clone, Debug)]
pub(super) struct FetchRequest<'a> {
    /// The repository's URL.
    pub(super) url: &'a Url,
    /// What opens it.
    pub(super) token: Option<&'a SecretString>,
    /// How many commits of history; 0: all.
    pub(super) depth: u32,
    /// A branch, tag, commit or full name; the repository's own choice where it is empty.
    pub(super) checkout: &'a str,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) kind: Kind,
    /// The full name of its reference, where it has one.
    pub(super) reference: String,
    /// The commit; empty for an empty repository.
    pub(super) commit: String,
}

/// What is checked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A branch, which the clone is on.
    Branch,
    /// A tag or a commit.
    Commit,
    /// Nothing: there is no commit yet.
    Empty,
}

impl Kind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Commit => "commit",
            Self::Empty => "empty",
        }
    }
}

/// The last that git said.
#[derive(Debug)]
pub(super) struct Tail(pub(super) String);

impl Tail {
    /// The line that says why, else the last one.
    pub(super) fn last_words(&self) -> String {
        let lines = self
            .0
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty());
        let lines: Vec<&str> = lines.collect();
        let why = lines
            .iter()
            .find(|line| ["fatal: ", "error: "].iter().any(|it| line.starts_with(it)));
        let line = why.or(lines.last()).copied().unwrap_or("git said nothing");
        line.chars().take(500).collect()
    }
}

/// Brings the mirror in `folder` up to date, and finds what is wanted.
pub(super) async fn update(
    place: &GitSandbox<'_>,
    config: &GitConfig,
    folder: &Path,
    wanted: &FetchRequest<'_>,
    output: &mut Output,
    cancelled: &Cancelled<'_>,
) -> Result<Found, Failed> {
    let mut script = script(folder, wanted, "online");
    let mut settings = protocols(config).to_owned();
    settings.push_str(
        "[http]\n\tlowSpeedLimit = 1\n\tlowSpeedTime = 60\n\tfollowRedirects = initial\n",
    );
    if let Some(token) = wanted.token {
        let file = place.private("credentials");
        let store = credentials(wanted.url, token);
        script.files.push(("credentials", store));
        settings.push_str(&format!(
            "[credential]\n\thelper = \"store --file={file}\"\n"
        ));
    }
    if let Some(file) = &config.ca_file {
        let bundle = with_system(file).map_err(StageError::from)?;
        let place = place.private("authorities.pem");
        script.files.push(("authorities.pem", bundle));
        settings.push_str(&format!("[http]\n\tsslCAInfo = {place}\n"));
    }
    script.settings = settings;
    let mut spec = place.spec(script);
    SandboxNetwork::open(&place.sandboxes.egress, None, None)
        .map_err(StageError::from)?
        .apply(&mut spec);
    let what = format!("git fetch {}", wanted.url);
    let step = Step {
        spec,
        stdin: Vec::new(),
        what: &what,
        timeout: place.sandboxes.step_timeout,
    };
    let (ended, tail) = execute(place.sandboxes, step, output, cancelled()).await?;
    let tail = Tail(tail);
    let has_token = wanted.token.is_some();
    match ended {
        Ended::Exited(0) => found(place)?.ok_or_else(|| missing(wanted)),
        Ended::Exited(71) => Err(Problem::of_remote(&tail, has_token).into()),
        Ended::Exited(72) => Err(match Problem::of_remote(&tail, has_token) {
            problem @ (Problem::Authentication { .. } | Problem::Network { .. }) => problem.into(),
            _ => missing(wanted),
        }),
        Ended::Exited(127) => Err(Problem::NoGit.into()),
        Ended::TimedOut => Err(Problem::Network {
            said: format!(
                "it took longer than {} s",
                place.sandboxes.step_timeout.as_secs()
            ),
        }
        .into()),
        _ => Err(Problem::Other {
            said: tail.last_words(),
        }
        .into()),
    }
}

/// Finds what is wanted in the mirror as it is; none where it is not there.
pub(super) async fn look(
    place: &GitSandbox<'_>,
    folder: &Path,
    wanted: &FetchRequest<'_>,
    output: &mut Output,
    cancelled: &Cancelled<'_>,
) -> Result<Option<Found>, StageError> {
    let step = Step {
        spec: place.spec(script(folder, wanted, "offline")),
        stdin: Vec::new(),
        what: "",
        timeout: place.sandboxes.step_timeout,
    };
    let (ended, _) = execute(place.sandboxes, step, output, cancelled()).await?;
    match ended.success() {
        true => found(place),
        false => Ok(None),
    }
}

/// The transports that a server's repositories may come by.
fn protocols(config: &GitConfig) -> &'static str {
    match config.allow_http {
        true => "[protocol \"https\"]\n\tallow = always\n[protocol \"http\"]\n\tallow = always\n",
        false => "[protocol \"https\"]\n\tallow = always\n",
    }
}

fn script<'a>(folder: &'a Path, wanted: &FetchRequest<'_>, mode: &str) -> Script<'a> {
    Script {
        text: include_str!("remote.sh"),
        arguments: vec![
            wanted.url.to_string(),
            wanted.depth.to_string(),
            wanted.checkout.to_owned(),
            mode.to_owned(),
        ],
        folder,
        shown: Vec::new(),
        settings: String::new(),
        files: Vec::new(),
        network: Network::None,
    }
}

fn missing(wanted: &FetchRequest<'_>) -> Failed {
    let checkout = match wanted.checkout {
        "" => "HEAD",
        checkout => checkout,
    };
    Problem::Checkout {
        checkout: checkout.to_owned(),
    }
    .into()
}

/// The file of git's `credential-store` for one host.
fn credentials(url: &Url, token: &SecretString) -> Zeroizing<Vec<u8>> {
    let token = token.expose_secret();
    let (user, password) = token.split_once(':').unwrap_or((USER, token));
    let mut line = Zeroizing::new(Vec::with_capacity(3 * token.len() + 300));
    let scheme = url.scheme().as_bytes();
    line.extend_from_slice(scheme);
    line.extend_from_slice(b"://");
    for (part, end) in [(user, b':'), (password, b'@')] {
        for piece in utf8_percent_encode(part, NON_ALPHANUMERIC) {
            line.extend_from_slice(piece.as_bytes());
        }
        line.push(end);
    }
    line.extend_from_slice(url.host_str().unwrap_or_default().as_bytes());
    if let Some(port) = url.port() {
        line.extend_from_slice(format!(":{port}").as_bytes());
    }
    line.push(b'\n');
    line
}

/// What a token is in a request's `Authorization` (RFC 7617).
pub(crate) fn authorization(token: &SecretString) -> SecretBytes {
    let token = token.expose_secret();
    let (user, password) = token.split_once(':').unwrap_or((USER, token));
    let plain = Zeroizing::new(format!("{user}:{password}"));
    let mut value = Zeroizing::new(Vec::with_capacity(2 * plain.len() + 16));
    value.extend_from_slice(b"Basic ");
    value.extend_from_slice(Zeroizing::new(STANDARD.encode(plain.as_bytes())).as_bytes());
    value.into()
}

/// The system's authorities and the operator's.
fn with_system(file: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    const MAX: u64 = 8 << 20;
    let mut bundle = Vec::new();
    for file in authorities::system_file().into_iter().chain([file]) {
        bundle.extend(aod_trees::read_regular(file, MAX)?);
        bundle.push(b'\n');
    }
    Ok(Zeroizing::new(bundle))
}

/// What the script found; none where it is missing.
fn found(place: &GitSandbox<'_>) -> Result<Option<Found>, StageError> {
    let text = place.result("found")?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

fn parse(text: &str) -> Option<Found> {
    let mut lines = text.lines();
    let kind = match lines.next()? {
        "branch" => Kind::Branch,
        "commit" => Kind::Commit,
        "empty" => Kind::Empty,
        _ => return None,
    };
    let (reference, commit) = (lines.next()?.to_owned(), lines.next()?.to_owned());
    let is_commit =
        matches!(commit.len(), 40 | 64) && commit.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_commit && kind != Kind::Empty {
        return None;
    }
    Some(Found {
        kind,
        reference,
        commit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_password_and_may_come_with_its_user() {
        let of = |token: &str| String::from_utf8(authorization(&token.into()).expose().to_vec());
        // "x-access-token:ghp_a" and "me:p:w".
        assert_eq!(of("ghp_a").unwrap(), "Basic eC1hY2Nlc3MtdG9rZW46Z2hwX2E=");
        assert_eq!(of("me:p:w").unwrap(), "Basic bWU6cDp3");
    }

    #[test]
    fn credentials_are_for_one_host_and_escaped() {
        let of = |url: &str, token: &str| {
            let line = credentials(&Url::parse(url).unwrap(), &token.into());
            String::from_utf8(line.to_vec()).unwrap()
        };
        assert_eq!(
            of("https://git.test/o/r", "ghp_a/b"),
            "https://x%2Daccess%2Dtoken:ghp%5Fa%2Fb@git.test\n"
        );
        assert_eq!(
            of("https://git.test:8443/o/r", "me@x:pass:word"),
            "https://me%40x:pass%3Aword@git.test:8443\n"
        );
    }

    #[test]
    fn what_a_script_found_is_read_and_nothing_else_is() {
        let commit = "0123456789012345678901234567890123456789";
        let found = parse(&format!("branch\nrefs/heads/main\n{commit}\n")).unwrap();
        assert_eq!(found.kind, Kind::Branch);
        assert_eq!(found.commit, commit);
        assert_eq!(parse("empty\nrefs/heads/main\n\n").unwrap().commit, "");
        for bad in [
            "",
            "missing\n\n\n",
            "branch\nrefs/heads/main\n-x\n",
            "branch\n",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
