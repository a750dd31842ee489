//! The package managers themselves: this machine's, where sandboxes see them, else apt brings them
//! into the layer.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use aod_resources::PackageManager;

use super::PackageSet;
use crate::provision::{Installation, SYSTEM_PROGRAMS};

/// Where a package manager is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// On this machine. The program is what its packages depend on.
    Here(PathBuf),
    /// In these packages.
    FromApt(&'static [&'static str]),
}

/// All that were looked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Tools(HashMap<PackageManager, Tool>);

/// A package manager is not there, and nothing can bring it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "packages.{field} needs {program}, which is not on the server's machine: install it there \
     ({hint}), or take these packages out of the environment"
)]
pub(super) struct MissingTool {
    field: &'static str,
    program: &'static str,
    hint: &'static str,
}

/// A package manager, and how it is come by.
struct Row {
    manager: PackageManager,
    /// Its field of `packages`.
    field: &'static str,
    /// The programs that it needs; packages depend on the first.
    programs: &'static [&'static str],
    /// How an operator installs it.
    hint: &'static str,
    /// What apt brings it with.
    packages: &'static [&'static str],
}

const ROWS: [Row; 5] = [
    Row {
        manager: PackageManager::Pip,
        field: "pip",
        programs: &["python3", "pip3"],
        hint: "apt install python3-pip, dnf install python3-pip",
        packages: &["python3", "python3-pip"],
    },
    Row {
        manager: PackageManager::Npm,
        field: "npm",
        programs: &["node", "npm"],
        hint: "apt install npm, dnf install npm",
        packages: &["nodejs", "npm"],
    },
    Row {
        manager: PackageManager::Gem,
        field: "gem",
        programs: &["ruby", "gem"],
        hint: "apt install ruby, dnf install rubygems",
        packages: &["ruby"],
    },
    Row {
        manager: PackageManager::Go,
        field: "go",
        programs: &["go"],
        hint: "apt install golang-go, dnf install golang",
        packages: &["golang-go", "ca-certificates"],
    },
    Row {
        manager: PackageManager::Cargo,
        field: "cargo",
        programs: &["cargo", "cc"],
        hint: "apt install cargo gcc, dnf install cargo gcc",
        packages: &["cargo", "gcc", "libc6-dev"],
    },
];

/// What apt itself needs.
const APT: [&str; 2] = ["apt-get", "dpkg-deb"];

/// What the operator has installed apart from the system's packages: Node.js, and Go and Rust as their
/// own installers do it.
pub(super) fn of_operator() -> &'static [Installation] {
    static FOUND: LazyLock<Vec<Installation>> = LazyLock::new(|| {
        let toolchains = [(go(), "/opt/aod/go"), (rust(), "/opt/aod/rust")];
        let toolchains = toolchains
            .into_iter()
            .filter_map(|(program, inside)| Installation::movable(&program?, inside));
        std::iter::once(Installation::node().clone())
            .chain(toolchains)
            .collect()
    });
    &FOUND
}

/// A whole Go. A folder with more than that in it is not for packages to see.
fn go() -> Option<PathBuf> {
    let go = find_on_path("go")?.canonicalize().ok()?;
    let root = go.parent()?.parent()?;
    root.join("VERSION").is_file().then_some(go)
}

/// The toolchain's own cargo: `cargo` may be a program that chooses one.
fn rust() -> Option<PathBuf> {
    find_on_path("cargo")?;
    let rustc = find_on_path("rustc")?;
    // Elsewhere a file beside the server could choose another toolchain, and have it downloaded.
    let output = Command::new(rustc)
        .args(["--print", "sysroot"])
        .current_dir("/")
        .output()
        .ok()?;
    let root = String::from_utf8(output.stdout).ok()?;
    let cargo = Path::new(root.trim()).join("bin/cargo");
    (output.status.success() && cargo.is_file()).then_some(cargo)
}

/// A program of the server's `PATH` that is not where sandboxes look for it anyway.
fn find_on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    let folder = folders.find(|folder| folder.join(program).is_file())?;
    let is_system = SYSTEM_PROGRAMS
        .iter()
        .any(|system| folder == Path::new(system));
    (!is_system).then(|| folder.join(program))
}

impl Tools {
    /// Looks for what is wanted, as sandboxes see it.
    pub(super) fn find(wanted: &PackageSet) -> Result<Self, MissingTool> {
        Self::find_with(wanted, &|program| {
            let installed = of_operator().iter().find_map(|it| it.on_host(program));
            let system = SYSTEM_PROGRAMS.iter();
            let system = system.map(|folder| Path::new(folder).join(program));
            let found = installed
                .into_iter()
                .chain(system)
                .find(|path| path.is_file())?;
            // Its real name often has its version.
            Some(found.canonicalize().unwrap_or(found))
        })
    }

    fn find_with(
        wanted: &PackageSet,
        look: &dyn Fn(&str) -> Option<PathBuf>,
    ) -> Result<Self, MissingTool> {
        let apt = APT.iter().find(|program| look(program).is_none());
        let mut tools = HashMap::new();
        for (manager, _) in wanted.lists() {
            let Some(row) = ROWS.into_iter().find(|row| row.manager == manager) else {
                if let Some(program) = apt {
                    return Err(MissingTool {
                        field: "apt",
                        program,
                        hint: "only Debian, Ubuntu and their like have it",
                    });
                }
                continue;
            };
            let lacking = row.programs.iter().find(|program| look(program).is_none());
            let first = row.programs.first().and_then(|program| look(program));
            let tool = match (lacking, first) {
                (None, Some(program)) => Tool::Here(program),
                (Some(program), _) if apt.is_some() => {
                    return Err(MissingTool {
                        field: row.field,
                        program,
                        hint: row.hint,
                    });
                }
                _ => Tool::FromApt(row.packages),
            };
            tools.insert(manager, tool);
        }
        Ok(Self(tools))
    }

    pub(super) fn of(&self, manager: PackageManager) -> Option<&Tool> {
        self.0.get(&manager)
    }

    /// The packages that bring managers.
    pub(super) fn apt_packages(&self) -> Vec<&'static str> {
        let mut names: Vec<&str> = self
            .0
            .values()
            .flat_map(|tool| match tool {
                Tool::Here(_) => &[][..],
                Tool::FromApt(names) => names,
            })
            .copied()
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether apt has something to do.
    pub(super) fn needs_apt(&self, wanted: &PackageSet) -> bool {
        let mut managers = wanted.lists();
        managers.any(|(manager, _)| manager == PackageManager::Apt)
            || !self.apt_packages().is_empty()
    }

    #[cfg(test)]
    pub(super) fn with(manager: PackageManager, tool: Tool) -> Self {
        Self([(manager, tool)].into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::package_set::tests::wanted;

    fn find(manager: PackageManager, there: &[&str]) -> Result<Option<Tool>, String> {
        let wanted = wanted(&[(manager, &["x"])]).unwrap();
        let look = |program: &str| {
            let path = PathBuf::from(program);
            there.contains(&program).then_some(path)
        };
        let found = Tools::find_with(&wanted, &look).map_err(|error| error.to_string())?;
        assert_eq!(
            found.needs_apt(&wanted),
            manager == PackageManager::Apt || !found.apt_packages().is_empty()
        );
        Ok(found.of(manager).cloned())
    }

    #[test]
    fn a_manager_is_the_machines_else_apts_else_missing() {
        use PackageManager::{Apt, Gem, Pip};
        let here = find(Pip, &["python3", "pip3", "apt-get", "dpkg-deb"]);
        assert_eq!(here, Ok(Some(Tool::Here("python3".into()))));
        let brought = find(Pip, &["python3", "apt-get", "dpkg-deb"]);
        assert_eq!(
            brought,
            Ok(Some(Tool::FromApt(&["python3", "python3-pip"])))
        );
        let missing = find(Gem, &["apt-get"]).unwrap_err();
        for word in ["packages.gem", "ruby", "apt install ruby", "dnf"] {
            assert!(missing.contains(word), "{missing}");
        }
        assert_eq!(find(Apt, &["apt-get", "dpkg-deb"]), Ok(None));
        let missing = find(Apt, &["apt-get"]).unwrap_err();
        assert!(missing.contains("packages.apt needs dpkg-deb"), "{missing}");
    }
}
