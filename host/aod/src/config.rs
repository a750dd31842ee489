//! Configuration: defaults, `aod.toml`, the environment, flags; the later ones win.

mod egress;
mod webhooks;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::http::{HeaderValue, Uri};
use bytesize::ByteSize;
use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use serde::{Deserialize, Serialize};

use self::egress::Egress;
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
    live: Live,
    pub(crate) stream: Stream,
    http: Http,
    webhooks: Webhooks,
    compat: Compat,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    /// Pending and running sessions of one user.
    sessions_per_user: u32,
    /// The largest request body.
    body: ByteSize,
    /// The largest upload to a workspace, as it is sent and as it is unpacked.
    upload: ByteSize,
    /// The most entries of an archive that is unpacked into a workspace.
    upload_entries: u64,
    /// What the turns of one user may use on one day (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    user_day_rounds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_day_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_day_cost_usd: Option<f64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Turn {
    #[serde(with = "humantime_serde")]
    timeout: Duration,
    /// Zero: a turn may be silent for as long as it may run.
    #[serde(with = "humantime_serde")]
    idle: Duration,
    #[serde(with = "humantime_serde")]
    grace: Duration,
    #[serde(with = "humantime_serde")]
    stale: Duration,
    #[serde(with = "humantime_serde")]
    step_timeout: Duration,
    /// What a setup script may take where its environment says nothing.
    #[serde(with = "humantime_serde")]
    setup_timeout: Duration,
    /// What is kept of a session's provisioning output.
    step_output: ByteSize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sandbox {
    driver: String,
    network: SandboxNetwork,
    memory: ByteSize,
    pids: u64,
    open_files: u64,
    file_size: ByteSize,
    /// What a session's home and workspace may hold together; 0: as much as there is room for.
    disk: ByteSize,
}

/// Repositories of sessions.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Git {
    /// Commits of history that are cloned where a resource says nothing; 0: all.
    depth: u32,
    /// Whether repositories may be fetched without TLS.
    allow_http: bool,
    /// What the `owner/repo` of a skill is below.
    skills_url: String,
    /// Mirrors that no session has used for so long are removed at a start; 0s: none is.
    #[serde(with = "humantime_serde")]
    mirror_age: Duration,
}

/// Packages of environments.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Packages {
    /// Packages that no turn was started with for so long are removed; 0s: none are.
    #[serde(with = "humantime_serde")]
    layer_age: Duration,
}

impl Default for Packages {
    fn default() -> Self {
        Self {
            layer_age: Duration::from_secs(30 * 86_400),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// `pretty` or `json`.
    pub(crate) format: LogFormat,
    /// A filter such as `info` or `aod_turns=debug`.
    pub(crate) level: String,
    /// When a session's log is forced to the disk.
    fsync: Fsync,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Pretty,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Fsync {
    Always,
    Interval,
    Never,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Admission {
    /// Turns that run at once.
    max_running: usize,
    /// What they may need together; nothing: as much as there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<ByteSize>,
    /// What a turn is taken to need where its runtime says nothing.
    turn_memory: ByteSize,
}

/// Processes that stay between turns.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Live {
    /// How long a CLI that can be spoken to stays after a turn, for the next one; 0s: it does not.
    #[serde(with = "humantime_serde")]
    idle: Duration,
}

/// What is kept of each session's history. Nothing is deleted where nothing is said.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Retention {
    /// What is older may be deleted.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    age: Option<Duration>,
    /// What a session's log has beyond this may be deleted, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<ByteSize>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Stream {
    /// A connection whose client takes nothing for so long is closed. Zero: never.
    #[serde(with = "humantime_serde")]
    pub(crate) stall: Duration,
}

/// Browsers, proxies, and what connections may cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Http {
    /// Origins whose pages may use the API from a browser, such as `https://app.example.com`.
    allowed_origins: Vec<String>,
    /// Names that a server on a loopback address answers for, apart from this machine's own: those
    /// that a proxy passes on.
    allowed_hosts: Vec<String>,
    /// How long a request's head may take, and a connection rest between two requests. Zero: for
    /// ever.
    #[serde(with = "humantime_serde")]
    header_timeout: Duration,
    /// How long a client may send nothing of a request's body. Zero: for ever.
    #[serde(with = "humantime_serde")]
    body_timeout: Duration,
    /// Connections that may be open at once.
    max_connections: usize,
    /// How many of them may come from one address.
    max_connections_per_address: usize,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Compat {
    /// Whether the stage `create_sandbox` is named as in the public API.
    stage_names: bool,
}

/// Which network sandboxes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SandboxNetwork {
    /// One of their own, with a way out that `[egress]` describes.
    Own,
    /// The host's, its loopback included.
    Host,
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
            live: Live::default(),
            stream: Stream::default(),
            http: Http::default(),
            webhooks: Webhooks::default(),
            compat: Compat::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_per_user: 10,
            body: ByteSize::mib(2),
            upload: ByteSize::gib(1),
            upload_entries: 200_000,
            user_day_rounds: None,
            user_day_output_tokens: None,
            user_day_cost_usd: None,
        }
    }
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(600),
            idle: Duration::ZERO,
            grace: Duration::from_secs(5),
            stale: Duration::from_secs(600),
            step_timeout: Duration::from_secs(900),
            setup_timeout: Duration::from_secs(900),
            step_output: ByteSize::mib(16),
        }
    }
}

impl Default for Git {
    fn default() -> Self {
        Self {
            depth: 0,
            allow_http: false,
            skills_url: "https://github.com".to_owned(),
            mirror_age: Duration::from_secs(30 * 86_400),
        }
    }
}

impl Default for Live {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
        }
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            driver: "bubblewrap".to_owned(),
            network: SandboxNetwork::Own,
            memory: ByteSize::gib(4),
            pids: 2048,
            open_files: 65_536,
            file_size: ByteSize::gib(16),
            disk: ByteSize::gib(20),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Pretty,
            level: "info".to_owned(),
            fsync: Fsync::Interval,
        }
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            max_running: 64,
            memory: None,
            turn_memory: ByteSize::mib(600),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            max_connections: 8192,
            max_connections_per_address: 2048,
        }
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(60),
        }
    }
}

/// Settings that have no section. Other variables that begin with `AOD_` are settings only where
/// they name a section and a key: the clients have variables of their own, and so may the user.
const PLAIN: [&str; 3] = ["listen", "data_dir", "runtimes"];

/// Settings that have no value unless one is given.
const OPTIONAL: [(&str, &str); 7] = [
    ("limits", "user_day_rounds"),
    ("limits", "user_day_output_tokens"),
    ("limits", "user_day_cost_usd"),
    ("admission", "memory"),
    ("egress", "ca_file"),
    ("retention", "age"),
    ("retention", "bytes"),
];

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
        self.webhooks.check()?;
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

    /// The settings in force as TOML, with where each comes from.
    pub(crate) fn explain(file: Option<&Path>, flags: Overrides) -> Result<String> {
        let figment = Self::figment(file, flags)?;
        let settings: Self = figment.extract().context("the configuration is wrong")?;
        let value = toml::Table::try_from(&settings)?;
        let mut text = String::new();
        let origin = |key: &str| match figment.find_metadata(key) {
            Some(metadata) => match &metadata.source {
                // What this program says itself: a flag of its command line, or a default.
                Some(figment::Source::Code(_)) if metadata.name.contains("Overrides") => {
                    "command line".to_owned()
                }
                Some(figment::Source::Code(_)) | None if !metadata.name.contains("environment") => {
                    "default".to_owned()
                }
                Some(source) => source.to_string(),
                None => metadata.name.to_string(),
            },
            None => "default".to_owned(),
        };
        let (sections, plain): (Vec<_>, Vec<_>) =
            value.iter().partition(|(_, value)| value.is_table());
        for (key, value) in plain {
            writeln!(text, "{key} = {value}  # {}", origin(key))?;
        }
        for (section, keys) in sections {
            writeln!(text, "\n[{section}]")?;
            for (key, value) in keys.as_table().into_iter().flatten() {
                writeln!(
                    text,
                    "{key} = {value}  # {}",
                    origin(&format!("{section}.{key}"))
                )?;
            }
            // TOML has no word for what is not set.
            let unset = OPTIONAL.iter().filter(|(of, _)| of == section);
            for (_, key) in unset.filter(|(_, key)| keys.get(key).is_none()) {
                writeln!(text, "# {key} is not set")?;
            }
        }
        Ok(text)
    }

    /// Settings of the HTTP layer.
    pub(crate) fn http(&self) -> Result<aod_api::HttpSettings> {
        let origins = self.http.allowed_origins.iter().map(|text| origin(text));
        Ok(aod_api::HttpSettings {
            limits: aod_api::Limits {
                body: usize::try_from(self.limits.body.as_u64()).unwrap_or(usize::MAX),
                body_timeout: positive(self.http.body_timeout),
            },
            allowed_origins: origins.collect::<Result<_>>()?,
            hosts: match self.listen.ip().is_loopback() {
                true => aod_api::Hosts::Local(self.http.allowed_hosts.clone()),
                false => aod_api::Hosts::Any,
            },
        })
    }

    /// Bounds on connections.
    pub(crate) fn connections(&self) -> aod_api::ConnectionLimits {
        aod_api::ConnectionLimits {
            header_timeout: positive(self.http.header_timeout),
            stall: self.stream.stall,
            total: self.http.max_connections,
            per_peer: self.http.max_connections_per_address,
        }
    }

    /// The sandbox driver's name.
    pub(crate) fn driver(&self) -> &str {
        &self.sandbox.driver
    }

    /// Whether sandboxes have the host's network: without isolation they have nothing else.
    pub(crate) fn shares_network(&self) -> bool {
        self.sandbox.network == SandboxNetwork::Host || self.sandbox.driver == "process"
    }

    /// How large the parts are in which a log is written, and deleted: eight of them are kept
    /// where the size of a log is limited.
    fn segment_bytes(&self) -> u64 {
        let usual = aod_log::Options::default().segment_bytes;
        let bytes = self.retention.bytes.map(|bytes| bytes.as_u64() / 8);
        bytes.map_or(usual, |bytes| bytes.clamp(64 << 10, usual))
    }

    /// What the services need.
    pub(crate) fn host(&self) -> Result<aod_services::Config> {
        Ok(aod_services::Config {
            data_dir: self.data_dir.clone(),
            runtimes: self.runtimes.clone(),
            compiler: aod_runtime::Compiler {
                program: "/proc/self/exe".into(),
                name: "aod".into(),
                arguments: vec![crate::cli::COMPILE.into()],
            },
            vault: crate::vault::configuration()?,
            sessions_per_user: self.limits.sessions_per_user,
            uploads: aod_services::files::UploadLimits {
                bytes: self.limits.upload.as_u64(),
                entries: self.limits.upload_entries,
            },
            supervisor: supervisor()?,
            turns: self.turns()?,
            webhooks: self.webhooks.config(&self.egress)?,
        })
    }

    /// What turns are run with.
    fn turns(&self) -> Result<aod_turns::Config> {
        Ok(aod_turns::Config {
            admission: aod_turns::AdmissionConfig {
                max_running: self.admission.max_running,
                memory: self.admission.memory.map(|memory| memory.as_u64()),
                turn_memory: self.admission.turn_memory.as_u64(),
            },
            user_day: aod_resources::Limits {
                max_rounds: self.limits.user_day_rounds,
                max_output_tokens: self.limits.user_day_output_tokens,
                max_cost_usd: self.limits.user_day_cost_usd,
            },
            live: aod_turns::LiveConfig {
                idle: self.live.idle,
            },
            retention: aod_turns::RetentionConfig {
                age: self.retention.age,
                bytes: self.retention.bytes.map(|bytes| bytes.as_u64()),
            },
            log: aod_log::Options {
                fsync: match self.log.fsync {
                    Fsync::Always => aod_log::Fsync::Always,
                    Fsync::Interval => aod_log::Fsync::Interval(Duration::from_secs(1)),
                    Fsync::Never => aod_log::Fsync::Never,
                },
                segment_bytes: self.segment_bytes(),
            },
            turn: aod_turns::TurnConfig {
                timeout: u32::try_from(self.turn.timeout.as_secs()).unwrap_or(3600),
                idle: positive(self.turn.idle),
                grace: self.turn.grace,
                stale: self.turn.stale,
                step_timeout: self.turn.step_timeout,
                setup_timeout: self.turn.setup_timeout,
                step_output: self.turn.step_output.as_u64(),
            },
            sandbox: aod_turns::SandboxConfig {
                driver: self.sandbox.driver.clone(),
                limits: aod_sandbox::Limits {
                    memory_bytes: Some(self.sandbox.memory.as_u64()),
                    pids: Some(self.sandbox.pids),
                    open_files: Some(self.sandbox.open_files),
                    file_size: Some(self.sandbox.file_size.as_u64()),
                    disk_bytes: Some(self.sandbox.disk.as_u64()).filter(|most| *most > 0),
                    ..aod_sandbox::Limits::default()
                },
            },
            git: aod_turns::GitConfig {
                depth: Some(self.git.depth).filter(|depth| *depth > 0),
                allow_http: self.git.allow_http,
                ca_file: self.egress.ca_file()?,
                skills_url: self.git.skills_url.clone(),
                mirror_age: self.git.mirror_age,
            },
            packages: aod_turns::PackagesConfig {
                layer_age: self.packages.layer_age,
            },
            egress: self.egress.settings(self.shares_network())?,
            compat_stage_names: self.compat.stage_names,
        })
    }
}

/// Where zero says that there is no limit.
fn positive(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

/// An origin as browsers send it: a scheme, a host and perhaps a port.
fn origin(text: &str) -> Result<HeaderValue> {
    let uri: Option<Uri> = text.parse().ok();
    let is_origin = uri.is_some_and(|uri| {
        let parts = uri.scheme_str().zip(uri.authority());
        parts.is_some_and(|(scheme, host)| text == format!("{scheme}://{host}"))
    });
    if !is_origin {
        bail!("http.allowed_origins: {text:?} should be an origin, such as https://example.com");
    }
    Ok(HeaderValue::from_str(text)?)
}

/// A file of the release folder, in which the program stands.
fn beside_program(name: &str) -> Option<PathBuf> {
    let file = std::env::current_exe().ok()?.parent()?.join(name);
    file.is_file().then_some(file)
}

/// The supervisor's program: where `AOD_SUPERVISOR` says, else beside this one.
fn supervisor() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("AOD_SUPERVISOR") {
        return Ok(path.into());
    }
    beside_program("aod-supervisor").context(
        "aod-supervisor is not beside the aod program: install both, or set AOD_SUPERVISOR",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Settings> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("aod.toml");
        std::fs::write(&file, text)?;
        Settings::load(Some(&file), Overrides::default())
    }

    #[test]
    fn a_setting_is_shown_with_where_it_comes_from_or_as_not_set() {
        let flags = Overrides {
            data_dir: Some("/elsewhere".into()),
            ..Overrides::default()
        };
        let text = Settings::explain(None, flags).unwrap();
        let line = |key: &str| {
            let found = text.lines().find(|line| line.starts_with(key));
            found.unwrap_or_else(|| panic!("{key} is not in {text}"))
        };
        assert_eq!(
            line("data_dir"),
            "data_dir = \"/elsewhere\"  # command line"
        );
        assert!(line("max_running").ends_with("# default"), "{text}");
        for unset in ["memory", "age", "bytes"] {
            assert_eq!(line(&format!("# {unset}")), format!("# {unset} is not set"));
        }
        assert!(!text.contains(".rs:"), "{text}");
    }

    #[test]
    fn a_file_changes_what_it_names() {
        let settings = load(
            "listen = '127.0.0.1:1'\n[turn]\ntimeout = '20s'\n[sandbox]\nmemory = '1GiB'\n\
             [egress]\nhosts = { 'model.test' = '127.0.0.1:18999' }\n",
        )
        .unwrap();
        assert_eq!(settings.listen.port(), 1);
        assert_eq!(settings.turn.timeout, Duration::from_secs(20));
        assert_eq!(settings.sandbox.memory, ByteSize::gib(1));
        let egress = settings.egress.settings(true).unwrap();
        assert_eq!(egress.hosts[0].name, "model.test");
        assert_eq!(egress.hosts[0].port, Some(18999));
    }

    #[test]
    fn room_and_retention() {
        let settings = load("").unwrap();
        assert_eq!(settings.segment_bytes(), 64 << 20);
        assert!(settings.retention.age.is_none() && settings.admission.memory.is_none());
        let settings = load(
            "[admission]\nmemory = '16GiB'\nturn_memory = '300MiB'\n\
             [retention]\nage = '30d'\nbytes = '80MiB'\n[stream]\nstall = '0s'\n",
        )
        .unwrap();
        assert_eq!(settings.admission.memory, Some(ByteSize::gib(16)));
        assert_eq!(settings.admission.turn_memory, ByteSize::mib(300));
        assert_eq!(
            settings.retention.age,
            Some(Duration::from_secs(30 * 86400))
        );
        assert_eq!(settings.segment_bytes(), 10 << 20);
        assert_eq!(settings.stream.stall, Duration::ZERO);
    }

    #[test]
    fn connections_have_bounds_unless_told_otherwise() {
        let limits = load("").unwrap().connections();
        assert_eq!(limits.header_timeout, Some(Duration::from_secs(30)));
        let settings = load("[http]\nheader_timeout = '0s'\nmax_connections = 7\n").unwrap();
        assert_eq!(settings.connections().header_timeout, None);
        assert_eq!(settings.connections().total, 7);
        let limits = settings.http().unwrap().limits;
        assert_eq!(limits.body_timeout, Some(Duration::from_secs(30)));
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_errors_that_name_them() {
        for (text, named) in [
            ("lisen = 'x'", "lisen"),
            ("[turn]\ntimout = '1s'", "timout"),
            ("[turn]\ntimeout = '5s'", "turn.timeout"),
            ("[limits]\nbody = 'many'", "body"),
            ("[http]\nallowed_origins = ['https://x/']", "https://x/"),
            ("[egress]\ncredentials = 'x'", "credentials"),
            ("[sandbox]\nnetwork = 'x'", "network"),
            ("[http]\nallowed_origins = ['x']", "allowed_origins"),
            ("[webhooks]\nmax_in_flight = 0", "webhooks.max_in_flight"),
            ("[webhooks]\nfirst_retry = '0s'", "first_retry"),
        ] {
            let error = format!("{:#}", load(text).unwrap_err());
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
