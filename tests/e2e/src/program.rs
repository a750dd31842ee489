//! Where the things under test lie, and what runs beside them.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The vendors' CLIs that the tests run, as npm knows them.
pub const CLIS: [(&str, &str); 5] = [
    ("claude", "@anthropic-ai/claude-code@2.1.331"),
    ("codex", "@openai/codex@0.169.0"),
    ("gemini", "@google/gemini-cli@0.61.0"),
    ("opencode", "opencode-ai@1.18.33"),
    (
        "claude-agent-acp",
        "@agentclientprotocol/claude-agent-acp@0.49.0",
    ),
];

/// The repository's root.
#[must_use]
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // tests/e2e has two parents.
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The folder of the profile in which the running test was built: `target/debug` and its like.
///
/// # Panics
/// When the test's executable is not in `deps`, as Cargo places it.
fn profile() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    match exe.parent().and_then(Path::parent) {
        Some(folder) => folder.to_owned(),
        None => panic!("{} is not where Cargo places a test", exe.display()),
    }
}

/// Cargo's target folder.
#[must_use]
pub fn target() -> PathBuf {
    let profile = profile();
    profile.parent().unwrap_or(&profile).to_owned()
}

/// One of the project's own programs.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let path = profile().join(name);
    assert!(
        path.is_file(),
        "there is no {}: run `cargo build -p aod -p aod-supervisor` first, or `cargo xtask test`",
        path.display()
    );
    path
}

/// A runtime adapter.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn plugin(name: &str) -> PathBuf {
    let path = repository().join("plugins").join(format!("{name}.wasm"));
    assert!(
        path.is_file(),
        "there is no {}: run `cargo xtask plugins` first",
        path.display()
    );
    path
}

/// The folder into which npm has installed the vendors' CLIs.
fn clis() -> PathBuf {
    match std::env::var_os("AOD_TEST_CLIS") {
        Some(folder) => PathBuf::from(folder),
        None => target().join("clis"),
    }
}

/// A vendor's CLI, if it is installed.
#[must_use]
pub fn cli_if_installed(name: &str) -> Option<PathBuf> {
    let path = clis().join("node_modules/.bin").join(name);
    path.exists().then_some(path)
}

/// A vendor's CLI: in `target/clis`, or in the folder that `AOD_TEST_CLIS` names.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn cli(name: &str) -> PathBuf {
    match cli_if_installed(name) {
        Some(path) => path,
        None => {
            let folder = clis();
            let packages: Vec<&str> = CLIS.iter().map(|(_, package)| *package).collect();
            panic!(
                "{name} is not in {folder}: run `cargo xtask test`, or `npm install --prefix \
                 {folder} {}`",
                packages.join(" "),
                folder = folder.display()
            )
        }
    }
}

/// Starts a program, and waits for the first line that it writes: what its users have to know, once
/// it is ready. Returns that without its end.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn start(mut command: Command) -> (Child, String) {
    let what = format!("{:?}", command.get_program());
    let mut child = match command.stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => panic!("cannot start {what}: {error}"),
    };
    let mut line = String::new();
    let output = child.stdout.take().map(BufReader::new);
    match output.map(|mut output| output.read_line(&mut line)) {
        Some(Ok(_)) => (child, line.trim_end().to_owned()),
        other => panic!("{what} says nothing: {other:?}"),
    }
}
