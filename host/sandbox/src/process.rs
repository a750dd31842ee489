//! The driver without isolation.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aod_launch::{DataFd, KillRoute, SignalRoute, init};
use zeroize::Zeroizing;

use crate::mount_point::{self, Kind};
use crate::probe::{Check, Probe, State};
use crate::{
    Launch, Mount, Network, PolledLimits, PrivateFile, SandboxDriver, SandboxError, SandboxSpec,
    check, limits,
};

pub(crate) const NAME: &str = "process";

/// Where the init finds the command's environment: a variable such as `LD_PRELOAD` is for the
/// command alone.
const ENVIRONMENT_FD: i32 = 3;

/// Runs commands as ordinary processes of the server's own user.
///
/// There is no isolation of any kind: a command sees and reaches whatever the server does. The
/// environment and the home are the session's own, private files are written into the home or the
/// workspace, limits are polled at best. For machines that are a sandbox themselves.
#[derive(Debug, Default)]
pub struct Process {
    init: Option<PathBuf>,
}

impl Process {
    /// The driver. `init` is the `aod-supervisor` program: commands run under an init that sets
    /// their limits and kills what they leave behind.
    #[must_use]
    pub const fn new(init: Option<PathBuf>) -> Self {
        Self { init }
    }
}

impl SandboxDriver for Process {
    fn name(&self) -> &'static str {
        NAME
    }

    fn place(&self, host: &Path, _inside: &Path) -> PathBuf {
        host.to_path_buf()
    }

    fn private_dir(&self, home: &Path) -> PathBuf {
        home.join(".aod-private")
    }

    /// Writes the spec's private files, with their mode, to where they are asked for: they stay
    /// there until the home is removed.
    fn launch(&self, spec: &SandboxSpec) -> Result<Launch, SandboxError> {
        check::check(spec)?;
        possible(spec)?;
        let init = self
            .init
            .as_deref()
            .filter(|program| program.is_file())
            .ok_or_else(SandboxError::missing_init)?;
        let environment_fd = ENVIRONMENT_FD.to_string();
        let mut args = [init::FLAG, init::ENV_FD, &environment_fd]
            .map(str::to_owned)
            .to_vec();
        // A count of processes would be one of all that the server's user runs.
        args.extend(limits::options(&spec.limits, false));
        args.push("--".to_owned());
        args.extend_from_slice(&spec.argv);
        for file in &spec.private_files {
            write(spec, file)?;
        }
        Ok(Launch {
            program: init.to_owned(),
            args,
            env: Vec::new(),
            cwd: spec.cwd.clone(),
            data_fds: vec![DataFd {
                fd: ENVIRONMENT_FD,
                content: environment(spec).into(),
            }],
            cgroup: None,
            signal_route: SignalRoute::Descendant { depth: 1 },
            kill_route: KillRoute::Init,
            polled_limits: PolledLimits {
                memory_bytes: spec.limits.memory_bytes,
                memory_mounts: Vec::new(),
                pids: spec.limits.pids,
                disk: spec.disk_limit(),
            },
            egress: None,
        })
    }

    fn check_layers(&self) -> Result<(), SandboxError> {
        Err(SandboxError::NoLayers {
            why: "the `process` driver has no mounts; set the sandbox driver to `bubblewrap`"
                .into(),
        })
    }

    fn check_system_change(&self, _folder: &Path) -> Result<(), SandboxError> {
        Err(SandboxError::NoSystemChange {
            why: "the `process` driver has no mounts".into(),
        })
    }

    fn probe(&self) -> Probe {
        Probe {
            driver: NAME.into(),
            usable: true,
            checks: vec![Check::lacking(
                "isolation",
                State::NotEnforced,
                "commands run as the server's own user, see and change all that it can, its secrets \
                 included, and use as much as they like",
                Some("set the sandbox driver to `bubblewrap`"),
            )],
        }
    }
}

/// Refuses what would silently be missing.
fn possible(spec: &SandboxSpec) -> Result<(), SandboxError> {
    let unsupported = |what: String| Err(SandboxError::Unsupported { driver: NAME, what });
    if spec.network != Network::Host {
        return unsupported("a network other than the host's".into());
    }
    if spec.system_layer.is_some() {
        return unsupported("files that lie over the system's own".into());
    }
    if let Some((name, _)) = spec.hosts.first() {
        return unsupported(format!("an address of its own to the name `{name}`"));
    }
    let elsewhere = |mount: &&Mount| mount.host != mount.inside;
    if let Some(mount) = spec.read_only.iter().chain(&spec.writable).find(elsewhere) {
        return unsupported(format!(
            "`{}` another place (`{}`)",
            mount.host.display(),
            mount.inside.display()
        ));
    }
    Ok(())
}

fn write(spec: &SandboxSpec, file: &PrivateFile) -> Result<(), SandboxError> {
    let bases = [&spec.home, &spec.workspace];
    let below = |base: &&PathBuf| Some(((*base).clone(), file.path.strip_prefix(base).ok()?));
    let Some((base, below)) = bases.iter().find_map(below) else {
        return Err(SandboxError::Unsupported {
            driver: NAME,
            what: format!(
                "a private file at `{}`, outside the home and the workspace",
                file.path.display()
            ),
        });
    };
    mount_point::prepare(&base, below, Kind::File, true)?;
    let failed = |source| SandboxError::io(format!("write `{}`", file.path.display()), source);
    let mut target = fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&file.path)
        .map_err(failed)?;
    target
        .set_permissions(fs::Permissions::from_mode(file.mode))
        .map_err(failed)?;
    target.write_all(&file.content).map_err(failed)
}

fn environment(spec: &SandboxSpec) -> Zeroizing<Vec<u8>> {
    let inherited = |name| std::env::var(name).ok();
    let home = spec.home.to_str().map(str::to_owned);
    let common = [
        ("HOME", home),
        ("USER", inherited("USER")),
        ("LOGNAME", inherited("LOGNAME")),
        ("SHELL", Some("/bin/sh".to_owned())),
        ("PATH", inherited("PATH")),
        ("TMPDIR", Some("/tmp".to_owned())),
        ("LANG", Some("C.UTF-8".to_owned())),
    ];
    let common: Vec<(&str, &str)> = common
        .iter()
        .filter_map(|(name, value)| Some((*name, value.as_deref()?)))
        .collect();
    crate::environment::environment(&common, &spec.env)
}
