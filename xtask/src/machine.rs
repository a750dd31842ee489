//! What a machine must have, and how it gets it.

use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::{plugins, run_command};

/// Something that has to be on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A compiler for WebAssembly.
    Wasm,
    /// `bwrap`, for sandboxes.
    Bubblewrap,
    /// Node.js and npm, for the CLIs.
    Node,
    /// Python 3 with `venv`, for the published client.
    Python,
    /// nginx, to stand in front of the server.
    Nginx,
    /// A compiler for C++, for libFuzzer.
    Cpp,
    /// Git LFS, for repositories that use it.
    GitLfs,
    /// `faketime`, to set a clock that nobody else sees.
    Faketime,
    /// Chromium, for the console.
    Chromium,
    /// `zstd`, for archives.
    Zstd,
}

impl Need {
    fn is_met(self) -> bool {
        match self {
            Self::Wasm => plugins::toolchain_is_there(),
            Self::Bubblewrap => answers("bwrap", &["--version"]),
            Self::Node => answers("node", &["--version"]) && answers("npm", &["--version"]),
            Self::Python => answers("python3", &["-c", "import venv, ensurepip"]),
            // Debian has it in a folder that only root has in its path.
            Self::Nginx => answers("nginx", &["-v"]) || answers("/usr/sbin/nginx", &["-v"]),
            Self::GitLfs => answers("git-lfs", &["version"]),
            Self::Cpp => answers("c++", &["--version"]),
            Self::Faketime => answers("faketime", &["--version"]),
            Self::Chromium => answers("chromium", &["--version"]),
            Self::Zstd => answers("zstd", &["--version"]),
        }
    }

    const fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Wasm => &["rustc-web", "cargo-web", "rust-web-src"],
            Self::Bubblewrap => &["bubblewrap"],
            Self::Node => &["nodejs", "npm"],
            Self::Python => &["python3", "python3-venv"],
            Self::Nginx => &["nginx"],
            Self::GitLfs => &["git-lfs"],
            Self::Cpp => &["g++"],
            Self::Faketime => &["faketime"],
            Self::Chromium => &["chromium"],
            Self::Zstd => &["zstd"],
        }
    }
}

fn answers(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Installs what is missing. Asks before it uses sudo, and uses nothing when all is there.
pub(crate) fn prepare(needs: &[Need]) -> Result<()> {
    let missing = |needs: &[Need]| -> Vec<Need> {
        needs
            .iter()
            .copied()
            .filter(|need| !need.is_met())
            .collect()
    };
    let mut lacking = missing(needs);
    if lacking.contains(&Need::Wasm) && answers("rustup", &["--version"]) {
        // The usual way; where it cannot be had, the packages below can.
        let _ =
            run_command(Command::new("rustup").args(["target", "add", "wasm32-unknown-unknown"]));
        lacking = missing(needs);
    }
    if lacking.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = lacking
        .iter()
        .flat_map(|need| need.packages())
        .copied()
        .collect();
    if !answers("apt-get", &["--version"]) {
        bail!(
            "this machine lacks what {} Debian packages hold ({}): install their like with your \
             system's package manager and try again",
            packages.len(),
            packages.join(" ")
        );
    }
    let root = is_root();
    if !root && !confirm(&packages)? {
        bail!("not installed: {}", packages.join(" "));
    }
    let apt = |args: &[&str]| {
        let mut command = if root {
            Command::new("apt-get")
        } else {
            Command::new("sudo")
        };
        if !root {
            command.arg("apt-get");
        }
        command
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null());
        run_command(&mut command)
    };
    apt(&["update", "-q"])?;
    let mut install = vec!["install", "-y", "-q", "--no-install-recommends"];
    install.extend(packages);
    apt(&install)?;
    match missing(needs).as_slice() {
        [] => Ok(()),
        still => bail!("{still:?} is still missing after the installation"),
    }
}

fn confirm(packages: &[&str]) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!(
            "these packages are missing: sudo apt-get install {}",
            packages.join(" ")
        );
    }
    eprint!(
        "These packages are missing: {}. Install them with sudo? [y/N] ",
        packages.join(" ")
    );
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Whether this process may install packages by itself.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// The vendors' CLIs that the tests run, pinned as in `runtimes.toml`.
const CLIS: [&str; 5] = [
    "@anthropic-ai/claude-code@2.1.331",
    "@openai/codex@0.169.0",
    "@google/gemini-cli@0.61.0",
    "opencode-ai@1.18.33",
    "@agentclientprotocol/claude-agent-acp@0.49.0",
];

/// Installs the vendors' CLIs below the target folder, once.
pub(crate) fn install_clis(target: &Path) -> Result<()> {
    let prefix = target.join("clis");
    let stamp = prefix.join("installed");
    let wanted = CLIS.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    std::fs::create_dir_all(&prefix)?;
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
        "--prefix",
    ])
    .arg(&prefix);
    run_command(npm.args(CLIS).stdout(Stdio::null()))?;
    std::fs::write(&stamp, wanted).context("cannot note what was installed")
}
