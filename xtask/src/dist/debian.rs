//! A release as a Debian package, by Debian's own `dpkg-deb`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{copy, readable};
use crate::run_command;

/// Where the programs and what belongs to them are.
const LIBRARY: &str = "usr/lib/aod";

/// Makes the package of a release folder; none where this machine has no `dpkg-deb`. `level` is how
/// hard to compress, 1 to 19, and `time` that of the commit.
pub(crate) fn package(
    root: &Path,
    release: &Path,
    out: &Path,
    level: u8,
    time: &str,
) -> Result<Option<PathBuf>> {
    let Ok(asked) = Command::new("dpkg").arg("--print-architecture").output() else {
        eprintln!("no Debian package: this machine has no dpkg");
        return Ok(None);
    };
    ensure!(
        asked.status.success(),
        "dpkg does not know the architecture"
    );
    let architecture = String::from_utf8(asked.stdout)?.trim().to_owned();
    let version = super::version();
    let tree = out.join("aod-debian");
    lay_out(root, release, &tree)?;
    write_changelog(&tree, version, time)?;
    compress(&tree.join("usr/share/man/man1"))?;
    let size = size_of(&tree)?.div_ceil(1024).to_string();
    let control = fs::read_to_string(root.join("packaging/debian/control.in"))?
        .replace("@VERSION@", version)
        .replace("@ARCHITECTURE@", &architecture)
        .replace("@SIZE@", &size)
        .replace("@GLIBC@", &glibc()?);
    let debian = tree.join("DEBIAN");
    readable(&tree)?;
    fs::create_dir_all(&debian)?;
    fs::write(debian.join("control"), control)?;
    let settings = "/etc/aod/aod.toml\n/etc/aod/runtimes.toml\n";
    fs::write(debian.join("conffiles"), settings)?;
    for script in ["postinst", "prerm", "postrm"] {
        let from = root.join("packaging/debian").join(script);
        copy(&from, &debian.join(script), 0o755)?;
    }
    let package = out.join(format!("aod_{version}_{architecture}.deb"));
    // What every dpkg can read; the one is small, and the other quick.
    let how = match level {
        0..10 => ["-Zgzip", "-z1"],
        _ => ["-Zxz", "-z6"],
    };
    run_command(
        Command::new("dpkg-deb")
            .arg("--root-owner-group")
            .args(how)
            .arg("--build")
            .arg(&tree)
            .arg(&package)
            .stdout(std::process::Stdio::null()),
    )?;
    fs::remove_dir_all(&tree)?;
    Ok(Some(package))
}

/// Puts the files where Debian has their like.
fn lay_out(root: &Path, release: &Path, tree: &Path) -> Result<()> {
    let at = |path: &str| tree.join(path);
    let library = at(LIBRARY);
    for program in crate::server::PROGRAMS {
        copy(&release.join(program), &library.join(program), 0o755)?;
    }
    for folder in ["plugins", "precompiled"] {
        for entry in fs::read_dir(release.join(folder))? {
            let path = entry?.path();
            let name = path.file_name().context("a file without a name")?;
            copy(&path, &library.join(folder).join(name), 0o644)?;
        }
    }
    // Its administrator may add runtimes; those of the release are found where they are.
    let runtimes = fs::read_to_string(root.join("runtimes.toml"))?;
    let runtimes = runtimes.replace("\"plugins/", &format!("\"/{LIBRARY}/plugins/"));
    fs::create_dir_all(at("etc/aod"))?;
    fs::write(at("etc/aod/runtimes.toml"), runtimes)?;
    let settings = fs::read_to_string(root.join("packaging/aod.toml"))?;
    let settings = format!("runtimes = \"/etc/aod/runtimes.toml\"\n\n{settings}");
    fs::write(at("etc/aod/aod.toml"), settings)?;
    // Servers of users read no file in /etc, and look beside the program.
    symlink(
        "../../../etc/aod/runtimes.toml",
        library.join("runtimes.toml"),
    )?;
    for (from, to) in [
        ("systemd/aod.service", "usr/lib/systemd/system/aod.service"),
        (
            "systemd/user/aod.service",
            "usr/lib/systemd/user/aod.service",
        ),
        ("README.md", "usr/share/doc/aod/README.md"),
        ("CHANGELOG.md", "usr/share/doc/aod/CHANGELOG.md"),
        ("sbom.cdx.json", "usr/share/doc/aod/sbom.cdx.json"),
        ("grafana.json", "usr/share/doc/aod/grafana.json"),
        (
            "completions/bash",
            "usr/share/bash-completion/completions/aod",
        ),
        (
            "completions/fish",
            "usr/share/fish/vendor_completions.d/aod.fish",
        ),
        ("completions/zsh", "usr/share/zsh/vendor-completions/_aod"),
    ] {
        copy(&release.join(from), &at(to), 0o644)?;
    }
    for (from, to) in [
        ("copyright", "usr/share/doc/aod/copyright"),
        ("lintian-overrides", "usr/share/lintian/overrides/aod"),
    ] {
        copy(&root.join("packaging/debian").join(from), &at(to), 0o644)?;
    }
    for entry in fs::read_dir(release.join("man"))? {
        let path = entry?.path();
        let name = path.file_name().context("a page without a name")?;
        copy(&path, &at("usr/share/man/man1").join(name), 0o644)?;
    }
    fs::create_dir_all(at("usr/bin"))?;
    Ok(symlink("../lib/aod/aod", at("usr/bin/aod"))?)
}

/// Debian's own list of changes, which leads to the project's.
fn write_changelog(tree: &Path, version: &str, time: &str) -> Result<()> {
    let output = Command::new("date")
        .args(["--utc", "--rfc-email", "--date", &format!("@{time}")])
        .output()?;
    ensure!(output.status.success(), "date does not know {time}");
    let date = String::from_utf8(output.stdout)?;
    let text = format!(
        "aod ({version}) stable; urgency=medium\n\n  * What has changed is in CHANGELOG.md beside \
         this file.\n\n -- The aod authors <aod@localhost>  {}\n",
        date.trim()
    );
    let folder = tree.join("usr/share/doc/aod");
    fs::write(folder.join("changelog"), text)?;
    run_command(
        Command::new("gzip")
            .args(["-9", "--no-name"])
            .arg(folder.join("changelog")),
    )
}

/// Compresses the files of a folder, as Debian wants manual pages.
fn compress(folder: &Path) -> Result<()> {
    let files: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    run_command(Command::new("gzip").args(["-9", "--no-name"]).args(files))
}

/// What the files take, in bytes.
fn size_of(folder: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        size += match metadata.is_dir() {
            true => size_of(&entry.path())?,
            false => metadata.len(),
        };
    }
    Ok(size)
}

/// The version of the C library that the programs were linked to: no older one will do.
fn glibc() -> Result<String> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output()?;
    let text = String::from_utf8(output.stdout)?;
    let version = text.split_whitespace().nth(1);
    Ok(version
        .context("getconf does not know the C library")?
        .to_owned())
}
