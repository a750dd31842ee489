//! Building a layer: each manager's own command, in a sandbox that has nothing of any session.

use std::path::Path;

use aod_resources::{HOME_VARIABLE, PackageManager};
use aod_sandbox::{Mount, Network, SandboxSpec};
use zeroize::Zeroizing;

use super::PackageSet;
use super::apt;
use super::layer::{self, PREFIX, PROGRAMS};
use super::registries;
use super::scripts;
use super::tools::{self, Tools};
use crate::authorities;
use crate::network::SandboxNetwork;
use crate::provision::{Cancelled, Output, SYSTEM_PROGRAMS, Sandboxes, StageError, Step, run_step};

/// What is only there while a layer is built.
pub(super) const TEMPORARY: [&str; 5] = ["home", "work", "apt", scripts::BASE, scripts::KERNEL];

/// Variables by which tools are told whom the machine trusts, since some bring certificates of their own.
const TRUST: [&str; 7] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "CARGO_HTTP_CAINFO",
    "GIT_SSL_CAINFO",
];

/// Where settings of gem are inside.
const GEMRC: &str = "/run/aod-gemrc";

/// A layer that is being built.
pub(super) struct Build<'a> {
    pub(super) sandboxes: &'a Sandboxes,
    /// Its folder.
    pub(super) folder: &'a Path,
    /// Whether the scripts of apt's packages are run.
    pub(super) runs_scripts: bool,
}

impl Build<'_> {
    /// Installs all that is wanted.
    pub(super) async fn install(
        &self,
        wanted: &PackageSet,
        tools: &Tools,
        output: &mut Output,
        cancelled: &Cancelled<'_>,
    ) -> Result<(), StageError> {
        let views = ["usr", "etc", "var"].map(|name| format!("{}/{name}", layer::VIEWS));
        let kept = views.iter().map(String::as_str).chain([layer::FILES]);
        for name in ["home/tmp", "work"].into_iter().chain(kept) {
            std::fs::create_dir_all(self.folder.join(name))?;
        }
        if tools.needs_apt(wanted) {
            let wanted = wanted.lists().find(|list| list.0 == PackageManager::Apt);
            let mut names = wanted.map_or_else(Vec::new, |(_, names)| names.to_vec());
            names.extend(tools.apt_packages().into_iter().map(str::to_owned));
            apt::install(self, &names, output, cancelled).await?;
        }
        for (manager, names) in wanted.lists() {
            for argv in commands(manager, names) {
                let what = argv.join(" ");
                let spec = self.open(argv)?;
                self.run(spec, &what, output, cancelled).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn run(
        &self,
        spec: SandboxSpec,
        what: &str,
        output: &mut Output,
        cancelled: &Cancelled<'_>,
    ) -> Result<(), StageError> {
        let step = Step {
            spec,
            stdin: Vec::new(),
            what,
            timeout: self.sandboxes.step_timeout,
        };
        run_step(self.sandboxes, step, output, cancelled()).await
    }

    /// A sandbox that reaches registries.
    pub(super) fn open(&self, argv: Vec<String>) -> Result<SandboxSpec, StageError> {
        let mut spec = self.confined(argv);
        let mut set = |name: &str, value: String| {
            spec.env.push((name.to_owned(), Zeroizing::new(value)));
        };
        if let Some(file) = authorities::system_file() {
            for name in TRUST {
                set(name, file.to_string_lossy().into_owned());
            }
        }
        for (name, value) in registries::variables() {
            set(&name, value);
        }
        if let Some(settings) = registries::gem_settings() {
            set("GEMRC", GEMRC.to_owned());
            spec.read_only.push(Mount::new(settings, GEMRC));
        }
        SandboxNetwork::open(&self.sandboxes.egress, None, None)?.apply(&mut spec);
        Ok(spec)
    }

    /// A sandbox without a network.
    pub(super) fn confined(&self, argv: Vec<String>) -> SandboxSpec {
        let Self {
            sandboxes, folder, ..
        } = self;
        let driver = &*sandboxes.driver;
        let mut spec = SandboxSpec::new(argv, folder.join("home"), folder.join("work"));
        spec.cwd = driver.place(&folder.join("work"), aod_sandbox::WORKSPACE.as_ref());
        spec.network = Network::None;
        spec.limits = sandboxes.limits.clone();
        layer::lay(folder, &mut spec);
        spec.writable
            .push(Mount::new(folder.join(layer::FILES), PREFIX));
        let mut path: String = PROGRAMS
            .map(|programs| format!("{PREFIX}/{programs}:"))
            .concat();
        for installation in tools::of_operator() {
            path.push_str(&installation.enter(driver, &mut spec.read_only));
        }
        path.push_str(&SYSTEM_PROGRAMS.join(":"));
        let home = aod_sandbox::HOME;
        for (name, value) in [
            ("PATH", path),
            (HOME_VARIABLE, home.to_owned()),
            // Building may take more than there is memory for.
            ("TMPDIR", format!("{home}/tmp")),
            ("LANG", "C.UTF-8".to_owned()),
            ("TERM", "dumb".to_owned()),
            ("CI", "1".to_owned()),
            ("DEBIAN_FRONTEND", "noninteractive".to_owned()),
            ("CARGO_HOME", format!("{home}/.cargo")),
            ("GOBIN", format!("{PREFIX}/go/bin")),
            ("GOPATH", format!("{home}/go")),
            ("GOFLAGS", "-modcacherw".to_owned()),
        ] {
            spec.env.push((name.to_owned(), Zeroizing::new(value)));
        }
        spec
    }
}

/// What installs packages. Each name was checked to be one, and stands behind `--` where the
/// manager knows that.
fn commands(manager: PackageManager, names: &[String]) -> Vec<Vec<String>> {
    let with = |words: &[&str], names: &[String]| -> Vec<String> {
        let words = words.iter().map(|word| word.replace("$PREFIX", PREFIX));
        words.chain(names.iter().cloned()).collect()
    };
    match manager {
        // With what it needs, before all others.
        PackageManager::Apt => Vec::new(),
        PackageManager::Pip => vec![with(
            &[
                "python3",
                "-m",
                "pip",
                "install",
                "--target=$PREFIX/python",
                "--no-input",
                "--disable-pip-version-check",
                "--no-warn-script-location",
                "--progress-bar=off",
                "--",
            ],
            names,
        )],
        PackageManager::Npm => vec![with(
            &[
                "npm",
                "install",
                "--global",
                "--prefix=$PREFIX/node",
                "--no-audit",
                "--no-fund",
                "--no-update-notifier",
                "--loglevel=warn",
                "--",
            ],
            names,
        )],
        PackageManager::Gem => vec![with(
            &[
                "gem",
                "install",
                "--no-document",
                "--install-dir=$PREFIX/gem",
                "--bindir=$PREFIX/gem/bin",
            ],
            names,
        )],
        PackageManager::Go => names
            .iter()
            .map(|name| match name.contains('@') {
                true => name.clone(),
                false => format!("{name}@latest"),
            })
            .map(|name| with(&["go", "install"], &[name]))
            .collect(),
        PackageManager::Cargo => names
            .iter()
            .map(|name| {
                let install = ["cargo", "install", "--locked", "--root=$PREFIX/cargo"];
                match name.split_once('@') {
                    None => with(
                        &[&install[..], &["--"]].concat(),
                        std::slice::from_ref(name),
                    ),
                    Some((name, version)) => {
                        let version = format!("--version={}", requirement(version));
                        let words = [&install[..], &[version.as_str(), "--"]].concat();
                        with(&words, &[name.to_owned()])
                    }
                }
            })
            .collect(),
    }
}

/// A version of a crate as cargo wants it: a digit at the beginning is to it that of a whole version,
/// and others need an operator. `14` is what it is in a `Cargo.toml`.
fn requirement(version: &str) -> String {
    let is_bare = version.starts_with(|first: char| first.is_ascii_digit());
    let numbers = version.split(['-', '+']).next().unwrap_or(version);
    let is_whole = numbers.split('.').count() == 3 && !version.contains(',');
    match is_bare && !is_whole {
        true => format!("^{version}"),
        false => version.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(manager: PackageManager, names: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let commands = commands(manager, &names);
        commands.iter().map(|argv| argv.join(" ")).collect()
    }

    #[test]
    fn each_manager_is_asked_in_its_own_way() {
        let pip = lines(PackageManager::Pip, &["rich", "six==1.16.0"]);
        assert!(pip[0].ends_with(" -- rich six==1.16.0"), "{pip:?}");
        assert!(
            pip[0].contains("--target=/opt/aod/packages/python"),
            "{pip:?}"
        );
        assert_eq!(
            lines(PackageManager::Cargo, &["a", "b@1.2.3"]),
            [
                "cargo install --locked --root=/opt/aod/packages/cargo -- a",
                "cargo install --locked --root=/opt/aod/packages/cargo --version=1.2.3 -- b",
            ]
        );
        for (version, wanted) in [
            ("1.2.3-rc.1+b.2.3", "1.2.3-rc.1+b.2.3"),
            ("14", "^14"),
            ("14.1", "^14.1"),
            ("~14.1", "~14.1"),
            (">=14, <15", ">=14, <15"),
            ("14.0.1, <14.5", "^14.0.1, <14.5"),
        ] {
            assert_eq!(requirement(version), wanted);
        }
        assert_eq!(
            lines(
                PackageManager::Go,
                &["example.com/a", "example.com/b@v1.0.0"]
            ),
            [
                "go install example.com/a@latest",
                "go install example.com/b@v1.0.0"
            ]
        );
    }
}
