//! A git server of the test's own, with an authority of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::program::repository;

/// A server of git repositories over HTTPS, or HTTP. What is below `/private/` needs its token.
#[derive(Debug)]
pub struct GitServer {
    folder: TempDir,
    process: Child,
    base: String,
    token: String,
}

/// A repository on a server, with a place to work on it.
#[derive(Clone, Debug)]
pub struct Repository {
    work: PathBuf,
}

/// The name by which sandboxes reach the tests' git servers.
pub const GIT_HOST: &str = "git.test";

impl GitServer {
    /// A server over HTTPS.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn https() -> Self {
        let folder = temporary();
        certify(folder.path());
        Self::start(folder, "https")
    }

    /// A server over HTTP.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn http() -> Self {
        Self::start(temporary(), "http")
    }

    fn start(folder: TempDir, scheme: &str) -> Self {
        let token = format!("git-token-{}", uuid::Uuid::new_v4());
        let path = |name: &str| folder.path().join(name);
        for name in ["repositories", "work"] {
            must(fs::create_dir(path(name)));
        }
        let mut command = Command::new("python3");
        command
            .arg(repository().join("tests/e2e/src/git_server.py"))
            .args([path("repositories"), path("requests")])
            .env("TOKEN", &token)
            .stdout(Stdio::piped());
        if scheme == "https" {
            command.args([path("server.pem"), path("server.key")]);
        }
        let mut process = must(command.spawn());
        let Some(output) = process.stdout.take() else {
            panic!("a server without output");
        };
        let mut port = String::new();
        must(BufReader::new(output).read_line(&mut port));
        Self {
            base: format!("{scheme}://{GIT_HOST}:{}", port.trim()),
            folder,
            process,
            token,
        }
    }

    /// The file with the authority that its certificate is from.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The token that opens what is private.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// Makes a repository at a path, without a commit.
    ///
    /// # Panics
    /// When git fails.
    pub fn repository(&self, path: &str) -> Repository {
        let bare = self.folder.path().join("repositories").join(path);
        let work = self.folder.path().join("work").join(path);
        for folder in [&bare, &work] {
            must(fs::create_dir_all(folder));
        }
        git(
            &bare,
            &["init", "--quiet", "--bare", "--initial-branch=main"],
        );
        git(&work, &["init", "--quiet", "--initial-branch=main"]);
        let bare = bare.to_string_lossy();
        git(&work, &["remote", "add", "origin", bare.as_ref()]);
        Repository { work }
    }

    /// Keeps content in the Git LFS of the repository at a path, and returns the pointer to it.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn store_lfs(&self, path: &str, content: &[u8]) -> String {
        let id = lfs_id(content);
        let folder = self.bare(path).join("lfs/objects");
        let folder = folder.join(&id[..2]).join(&id[2..4]);
        must(fs::create_dir_all(&folder));
        must(fs::write(folder.join(&id), content));
        lfs_pointer(content)
    }

    /// The bare repository at a path.
    #[must_use]
    pub fn bare(&self, path: &str) -> PathBuf {
        self.folder.path().join("repositories").join(path)
    }

    /// The requests so far: method, path, query, and whether a token came with it.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("requests")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Repository {
    /// Writes files, commits and pushes them; returns the commit.
    ///
    /// # Panics
    /// When git fails.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, content) in files {
            let path = self.work.join(name);
            if let Some(parent) = path.parent() {
                must(fs::create_dir_all(parent));
            }
            must(fs::write(path, content));
        }
        self.git(&["add", "--all"]);
        self.git(&[
            "commit",
            "--quiet",
            "--allow-empty",
            "--message",
            "a commit",
        ]);
        self.git(&["push", "--quiet", "--force", "origin", "HEAD"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git in the place to work, and returns what it wrote.
    ///
    /// # Panics
    /// When git fails.
    pub fn git(&self, arguments: &[&str]) -> String {
        git(&self.work, arguments)
    }
}

/// What stands in a repository for content that is in Git LFS.
#[must_use]
pub fn lfs_pointer(content: &[u8]) -> String {
    format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n",
        lfs_id(content),
        content.len()
    )
}

fn lfs_id(content: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(content);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(folder).args(arguments);
    for (name, value) in [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_AUTHOR_NAME", "Ada"),
        ("GIT_AUTHOR_EMAIL", "ada@git.test"),
        ("GIT_COMMITTER_NAME", "Ada"),
        ("GIT_COMMITTER_EMAIL", "ada@git.test"),
    ] {
        command.env(name, value);
    }
    run(command)
}

/// Makes an authority, and a certificate of it for [`GIT_HOST`].
fn certify(folder: &Path) {
    must(fs::write(
        folder.join("names"),
        "subjectAltName=DNS:git.test\n",
    ));
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.current_dir(folder).args(arguments.split(' '));
        run(command);
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!(
        "req -x509 {key} -keyout ca.key -out ca.pem -days 30 -subj /CN=authority"
    ));
    openssl(&format!(
        "req {key} -keyout server.key -out server.csr -subj /CN=server"
    ));
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 30 -extfile names -out server.pem",
    );
}

fn run(mut command: Command) -> String {
    let output = must(command.output());
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn temporary() -> TempDir {
    must(tempfile::Builder::new().prefix("aod-git-").tempdir())
}

#[track_caller]
fn must<T>(result: std::io::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}
