//! `cargo xtask dist`: a release as a folder, an archive and a Debian package.

mod debian;
mod sbom;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};

use crate::machine::{self, Need};
use crate::{freeze, plugins, run_command, server, target};

/// Build a release: a folder, the same as `.tar.zst` and as a Debian package, with checksums and a
/// list of all that is in it.
#[derive(Debug, clap::Args)]
pub(crate) struct Dist {
    /// Where to; what is there is replaced
    #[arg(long, default_value = "target/dist")]
    out: PathBuf,
    /// Freeze the interface first: for the release that publishes it
    #[arg(long)]
    freeze: bool,
    /// Build nothing: take the programs from this folder and the components that are there
    #[arg(long, value_name = "DIR", conflicts_with = "freeze")]
    programs: Option<PathBuf>,
    /// How hard to compress, 1 to 19
    #[arg(long, default_value_t = 19, value_parser = clap::value_parser!(u8).range(1..=19))]
    level: u8,
}

/// Files of the repository that are part of a release, and where in it.
const FILES: &[(&str, &str)] = &[
    ("runtimes.toml", "runtimes.toml"),
    ("LICENSE", "LICENSE"),
    ("README.md", "README.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("packaging/aod.toml", "aod.toml.example"),
    ("packaging/systemd/aod.service", "systemd/aod.service"),
    (
        "packaging/systemd/user/aod.service",
        "systemd/user/aod.service",
    ),
    ("packaging/docker/Dockerfile", "docker/Dockerfile"),
    ("packaging/docker/compose.yaml", "docker/compose.yaml"),
    ("docs/grafana.json", "grafana.json"),
];

impl Dist {
    pub(crate) fn run(self, root: &Path) -> Result<()> {
        if self.freeze {
            freeze::freeze(root)?;
        }
        let out = root.join(&self.out);
        let (programs, adapters) = match &self.programs {
            Some(folder) => (root.join(folder), components(&root.join("plugins"))?),
            None => {
                freeze::check(root)?;
                machine::prepare(&[Need::Wasm, Need::Zstd])?;
                let built = plugins::build(root, false)?;
                let commit = commit(root);
                server::build(root, true, commit.as_deref())?;
                let adapters = built.into_iter().map(|it| it.path).collect();
                (target(root).join("release"), adapters)
            }
        };
        let name = format!("aod-{}-{}-linux", version(), std::env::consts::ARCH);
        if out.exists() {
            ensure!(
                is_ours(&out),
                "{} is no release that this made: name another folder",
                out.display()
            );
            fs::remove_dir_all(&out)?;
        }
        let folder = out.join(&name);
        fill(root, &programs, adapters, &folder)?;
        checksums(&folder)?;
        let time = epoch(root);
        let mut made = vec![archive(&out, &name, self.level, &time)?];
        made.extend(debian::package(root, &folder, &out, self.level, &time)?);
        checksums(&out)?;
        println!("{}", folder.display());
        for path in made {
            println!("{}", path.display());
        }
        Ok(())
    }
}

/// The workspace's version.
pub(crate) fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Whether a folder holds nothing but what an earlier run put there.
fn is_ours(out: &Path) -> bool {
    fs::read_dir(out).is_ok_and(|mut entries| {
        entries.all(|entry| {
            entry.is_ok_and(|it| {
                let name = it.file_name();
                let name = name.to_string_lossy();
                name.starts_with("aod") || name == SUMS
            })
        })
    })
}

/// The commit that is built; with a mark where the files are not what it has.
fn commit(root: &Path) -> Option<String> {
    let output = Command::new("git")
        .args([
            "describe",
            "--always",
            "--dirty",
            "--abbrev=12",
            "--exclude=*",
        ])
        .current_dir(root)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The time that files of the archive have: that of the commit, so that the same gives the same.
fn epoch(root: &Path) -> String {
    let asked = Command::new("git")
        .args(["log", "-1", "--format=%ct"])
        .current_dir(root)
        .output();
    let text = asked.ok().and_then(|it| String::from_utf8(it.stdout).ok());
    let text = text.unwrap_or_default();
    match text.trim() {
        "" => "0".to_owned(),
        time => time.to_owned(),
    }
}

/// The components that lie in a folder.
fn components(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "wasm") {
            found.push(path);
        }
    }
    ensure!(!found.is_empty(), "no components: cargo xtask plugins");
    Ok(found)
}

/// Puts all files of a release into a folder.
fn fill(root: &Path, programs: &Path, adapters: Vec<PathBuf>, folder: &Path) -> Result<()> {
    for program in server::PROGRAMS {
        copy(&programs.join(program), &folder.join(program), 0o755)?;
    }
    for (from, to) in FILES {
        copy(&root.join(from), &folder.join(to), 0o644)?;
    }
    let mut components = Vec::new();
    for path in adapters {
        let name = path.file_name().context("a component without a name")?;
        let to = folder.join("plugins").join(name);
        copy(&path, &to, 0o644)?;
        components.push(to);
    }
    components.sort();
    let precompiled = folder.join("precompiled");
    run_command(
        Command::new(folder.join("aod"))
            .arg("precompile-components")
            .arg("--out")
            .arg(&precompiled)
            .args(&components)
            .stdout(std::process::Stdio::null()),
    )?;
    run_command(
        Command::new(folder.join("aod"))
            .arg("man")
            .arg(folder.join("man")),
    )?;
    for shell in ["bash", "fish", "zsh"] {
        let output = Command::new(folder.join("aod"))
            .args(["completions", shell])
            .output()?;
        ensure!(output.status.success(), "no completions for {shell}");
        fs::create_dir_all(folder.join("completions"))?;
        fs::write(folder.join("completions").join(shell), output.stdout)?;
    }
    let bill = sbom::of_workspace(root)?;
    fs::write(folder.join("sbom.cdx.json"), bill)?;
    readable(folder)
}

/// Whatever this process makes files with, everybody may read these, and only their owner write.
fn readable(folder: &Path) -> Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            readable(&path)?;
            continue;
        }
        let is_program = fs::metadata(&path)?.permissions().mode() & 0o100 != 0;
        let mode = if is_program { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Copies a file with the folders above it.
fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(mode))?)
}

/// The file that has the checksums of all others.
const SUMS: &str = "SHA256SUMS";

/// Writes what `sha256sum --check` reads: of a folder's files, or of those that lie beside it.
fn checksums(folder: &Path) -> Result<()> {
    let mut files = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    let is_release = folder.join("aod").is_file();
    while let Some(path) = waiting.pop() {
        for entry in fs::read_dir(&path)? {
            let path = entry?.path();
            match path.is_dir() {
                true if is_release => waiting.push(path),
                true => {}
                false => files.push(path),
            }
        }
    }
    files.sort();
    let mut text = String::new();
    for file in files {
        let name = file.strip_prefix(folder)?;
        if name == Path::new(SUMS) {
            continue;
        }
        let mut hash = Sha256::new();
        std::io::copy(&mut fs::File::open(&file)?, &mut Hashing(&mut hash))?;
        let hash: String = hash
            .finalize()
            .iter()
            .map(|it| format!("{it:02x}"))
            .collect();
        text += &format!("{hash}  {}\n", name.display());
    }
    Ok(fs::write(folder.join(SUMS), text)?)
}

struct Hashing<'a>(&'a mut Sha256);

impl std::io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Packs the folder, so that the same files give the same archive.
fn archive(out: &Path, name: &str, level: u8, time: &str) -> Result<PathBuf> {
    let path = out.join(format!("{name}.tar.zst"));
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
        .args(["--format=posix", "--pax-option=delete=atime,delete=ctime"])
        .arg(format!("--mtime=@{time}"))
        .arg(format!("--use-compress-program=zstd -q -T0 -{level}"))
        .arg("--file")
        .arg(&path)
        .args(["--create", name])
        .current_dir(out);
    run_command(&mut tar)?;
    if !path.is_file() {
        bail!("tar made no {}", path.display());
    }
    Ok(path)
}
