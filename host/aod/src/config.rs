//! Configuration: defaults, `aod.toml`, the environment, flags; the later ones win.

mod egress;
mod explain;
mod host;
mod http;
mod retention;
mod sections;
mod telemetry;
mod webhooks;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use serde::{Deserialize, Serialize};

use self::egress::Egress;
use self::http::Http;
pub(crate) use self::http::Stream;
use self::retention::{Checkpoints, Retention};
use self::sections::{
    Admission, Compat, Git, Limits, Live, Packages, Sandbox, SandboxNetwork, Turn,
};
pub(crate) use self::sections::{Log, LogFormat};
use self::telemetry::Telemetry;
use self::webhooks::Webhooks;

/// What flags say.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Overrides {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) listen: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data_dir: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runtimes: Option<PathBuf>,
}

/// The whole configuration. There are no secrets in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    /// Beside the program where nothing is said, else in the working directory.
    pub(crate) runtimes: PathBuf,
    limits: Limits,
    turn: Turn,
    sandbox: Sandbox,
    egress: Egress,
    git: Git,
    packages: Packages,
    pub(crate) log: Log,
    admission: Admission,
    retention: Retention,
    checkpoints: Checkpoints,
    live: Live,
    pub(crate) stream: Stream,
    http: Http,
    webhooks: Webhooks,
    telemetry: Telemetry,
    compat: Compat,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8777)),
            data_dir: "data".into(),
            runtimes: "runtimes.toml".into(),
            limits: Limits::default(),
            turn: Turn::default(),
            sandbox: Sandbox::default(),
            egress: Egress::default(),
            git: Git::default(),
            packages: Packages::default(),
            log: Log::default(),
            admission: Admission::default(),
            retention: Retention::default(),
            checkpoints: Checkpoints::default(),
            live: Live::default(),
            stream: Stream::default(),
            http: Http::default(),
            webhooks: Webhooks::default(),
            telemetry: Telemetry::default(),
            compat: Compat::default(),
        }
    }
}

/// Settings that have no section. Other variables that begin with `AOD_` are settings only where
/// they name a section and a key: the clients have variables of their own, and so may the user.
const PLAIN: [&str; 3] = ["listen", "data_dir", "runtimes"];

impl Settings {
    fn figment(file: Option<&Path>, flags: Overrides) -> Result<Figment> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(manifest) = beside_program("runtimes.toml") {
            figment = figment.merge(Serialized::default("runtimes", manifest));
        }
        match file {
            Some(file) if !file.is_file() => {
                bail!("there is no configuration file {}", file.display())
            }
            Some(file) => figment = figment.merge(Toml::file_exact(file)),
            None => figment = figment.merge(Toml::file("aod.toml")),
        }
        let env = Env::prefixed("AOD_")
            .filter(|key| key.as_str().contains("__") || PLAIN.iter().any(|plain| key == *plain))
            .split("__");
        Ok(figment.merge(env).merge(Serialized::defaults(flags)))
    }

    /// The settings in force.
    pub(crate) fn load(file: Option<&Path>, flags: Overrides) -> Result<Self> {
        let settings: Self = Self::figment(file, flags)?
            .extract()
            .context("the configuration is wrong")?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<()> {
        if !(10..=3600).contains(&self.turn.timeout.as_secs()) {
            bail!("turn.timeout should be from 10s to 3600s");
        }
        if self.admission.max_running == 0 || self.limits.sessions_per_user == 0 {
            bail!("admission.max_running and limits.sessions_per_user should be 1 or more");
        }
        self.log.check()?;
        self.retention.check()?;
        self.checkpoints.check()?;
        self.webhooks.check()?;
        self.telemetry.check()?;
        if self
            .limits
            .user_day_cost_usd
            .is_some_and(|most| most.is_nan() || most <= 0.0)
        {
            bail!("limits.user_day_cost_usd should be more than 0");
        }
        self.http()?;
        Ok(())
    }

    /// The sandbox driver's name.
    pub(crate) fn driver(&self) -> &str {
        &self.sandbox.driver
    }

    /// What holds the limit of a session's disk.
    pub(crate) fn disk_by(&self) -> aod_sandbox::DiskBy {
        self.sandbox.disk_by
    }

    /// Whether sandboxes have the host's network: without isolation they have nothing else.
    pub(crate) fn shares_network(&self) -> bool {
        self.sandbox.network == SandboxNetwork::Host || self.sandbox.driver == "process"
    }
}

impl Settings {
    /// Whether environments may have a network device for programs that know no proxy.
    pub(crate) fn raw_egress(&self) -> aod_turns::RawEgress {
        self.egress.raw()
    }
}

/// Variables that the program knows besides settings, without `AOD_`.
const OTHERS: [&str; 8] = [
    "API_TOKEN",
    "API_URL",
    "COMPLETE",
    "CONFIG",
    "SUPERVISOR",
    "EGRESS_PROGRAM",
    "VAULT_IDENTITY_FILE",
    "VAULT_PASSPHRASE_FILE",
];

/// Variables that look like settings and are none, such as `AOD_DATA`: whoever has set one believes
/// in it. Those with `__` are held against the sections as settings are.
pub(crate) fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<String> {
    let is_unknown = |name: &String| {
        name.strip_prefix("AOD_").is_some_and(|rest| {
            let is_plain = PLAIN.iter().any(|plain| rest.eq_ignore_ascii_case(plain));
            !rest.contains("__") && !is_plain && !OTHERS.contains(&rest) && !is_for_tests(rest)
        })
    };
    let mut unknown: Vec<String> = names.filter(is_unknown).collect();
    unknown.sort_unstable();
    unknown
}

fn is_for_tests(rest: &str) -> bool {
    rest.starts_with("TEST_") || rest == "FAILPOINT"
}

/// A file of the release folder, in which the program stands.
fn beside_program(name: &str) -> Option<PathBuf> {
    let file = std::env::current_exe().ok()?.parent()?.join(name);
    file.is_file().then_some(file)
}

/// A folder of the release folder.
fn folder_beside_program(name: &str) -> Option<PathBuf> {
    let folder = std::env::current_exe().ok()?.parent()?.join(name);
    folder.is_dir().then_some(folder)
}

/// Where zero says that there is no limit.
fn positive(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

#[cfg(test)]
mod tests;
