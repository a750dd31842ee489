//! How sandboxes are made: by which driver, with which limits.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aod_resources::HOME_VARIABLE;
use aod_sandbox::{Limits, Mount, Network, SandboxDriver, SandboxSpec};
use zeroize::Zeroizing;

use super::install::{INSTALLED, Installation};
use crate::config::EgressConfig;
use crate::packages::Layer;
use crate::paths::SessionPaths;

/// Folders of programs that every sandbox has, in the order of `PATH`.
pub(crate) const SYSTEM_PROGRAMS: [&str; 6] = [
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
];
/// The home's own folder of programs, which comes before those.
pub(super) const LOCAL_PROGRAMS: &str = ".local/bin";

/// Variables that are lists of folders, in which a sandbox has folders of its own.
const LISTS: [&str; 4] = ["PATH", "PYTHONPATH", "NODE_PATH", "GEM_PATH"];

/// What every sandbox of a session is made with.
#[derive(Clone)]
pub(crate) struct Sandboxes {
    /// Describes sandboxes to the kernel.
    pub(crate) driver: Arc<dyn SandboxDriver>,
    /// What each of them may use.
    pub(crate) limits: Limits,
    /// Their network.
    pub(crate) egress: EgressConfig,
    /// How long each provisioning step may take.
    pub(crate) step_timeout: Duration,
}

impl Sandboxes {
    /// A sandbox of a session for a command, without a network.
    pub(crate) fn of_session(
        &self,
        paths: &SessionPaths,
        installation: Option<&Installation>,
        layer: Option<&Layer>,
        argv: Vec<String>,
    ) -> SandboxSpec {
        let mut spec = SandboxSpec::new(argv, paths.home(), paths.workspace());
        let driver = &*self.driver;
        spec.cwd = driver.place(&paths.workspace(), aod_sandbox::WORKSPACE.as_ref());
        spec.limits = self.limits.clone();
        let mut path = String::new();
        for installation in installation.into_iter().chain([Installation::node()]) {
            path.push_str(&installation.enter(driver, &mut spec.read_only));
        }
        let home = driver.place(&paths.home(), aod_sandbox::HOME.as_ref());
        path.push_str(&format!("{}/{LOCAL_PROGRAMS}:", home.display()));
        if let Some(layer) = layer {
            path.push_str(&layer.enter(driver, &mut spec));
        }
        path.push_str(&SYSTEM_PROGRAMS.join(":"));
        let mut set = |name: &str, value: String| {
            spec.env.push((name.to_owned(), Zeroizing::new(value)));
        };
        set("PATH", path);
        set(HOME_VARIABLE, home.to_string_lossy().into_owned());
        set("LANG", "C.UTF-8".to_owned());
        set("TERM", "dumb".to_owned());
        spec
    }

    /// Gives a variable of the user's or the operator's to a command. Their folders in `PATH` come
    /// before the sandbox's own, so that the CLI's interpreter is still found, and so do their folders
    /// of a language's packages. The home stays.
    pub(crate) fn set_variable(spec: &mut SandboxSpec, name: &str, value: Zeroizing<String>) {
        if name == HOME_VARIABLE {
            return;
        }
        let own = spec.env.iter_mut().find(|(known, _)| known == name);
        match own {
            Some(_) if LISTS.contains(&name) && value.is_empty() => {}
            Some((_, own)) if LISTS.contains(&name) => {
                let mut path = Zeroizing::new(String::with_capacity(value.len() + own.len() + 1));
                for part in [value.as_str(), ":", own.as_str()] {
                    path.push_str(part);
                }
                *own = path;
            }
            Some((_, own)) => *own = value,
            None => spec.env.push((name.to_owned(), value)),
        }
    }

    /// A sandbox for an installation: a home of its own, and the prefix to write to.
    pub(super) fn of_installer(
        &self,
        staging: &Path,
        argv: Vec<String>,
        network: Network,
    ) -> SandboxSpec {
        let driver = &*self.driver;
        let mut spec = SandboxSpec::new(argv, staging.join("home"), staging.join("work"));
        spec.cwd = driver.place(&staging.join("work"), aod_sandbox::WORKSPACE.as_ref());
        spec.network = network;
        spec.limits = self.limits.clone();
        spec.writable
            .push(Mount::new(staging.join("prefix"), INSTALLED));
        let prefix = driver.place(&staging.join("prefix"), INSTALLED.as_ref());
        let node = Installation::node().enter(driver, &mut spec.read_only);
        let mut set = |name: &str, value: String| {
            spec.env.push((name.to_owned(), Zeroizing::new(value)));
        };
        set(
            "PATH",
            format!(
                "{}/bin:{node}/usr/local/bin:/usr/bin:/bin",
                prefix.display()
            ),
        );
        set("PREFIX", prefix.to_string_lossy().into_owned());
        set("LANG", "C.UTF-8".to_owned());
        set("TERM", "dumb".to_owned());
        // How this machine reaches its registries is the operator's business: mirrors, proxies,
        // certificates. The steps are the operator's, too.
        for (name, value) in std::env::vars() {
            let lower = name.to_ascii_lowercase();
            let wanted = lower.starts_with("npm_config_")
                || [
                    "http_proxy",
                    "https_proxy",
                    "no_proxy",
                    "node_extra_ca_certs",
                    "ssl_cert_file",
                    "ssl_cert_dir",
                ]
                .contains(&lower.as_str());
            if wanted {
                spec.env.push((name, Zeroizing::new(value)));
            }
        }
        let npmrc = std::env::home_dir().map(|home| home.join(".npmrc"));
        if let Some(npmrc) = npmrc.filter(|npmrc| npmrc.is_file()) {
            spec.read_only
                .push(Mount::new(npmrc, format!("{}/.npmrc", aod_sandbox::HOME)));
        }
        spec
    }
}
