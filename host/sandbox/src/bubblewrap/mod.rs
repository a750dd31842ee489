//! The driver on top of bubblewrap.
//!
//! All options go to bubblewrap through a descriptor, with the environment among them: on its
//! command line they would be visible to every user of the host, and in its own environment a
//! variable such as `LD_PRELOAD`, which a session may set, would take effect outside the sandbox.
//!
//! The sandbox's pid 1 is an init of our own ([`aod_launch::init`]), which the command cannot trace
//! or write to. Everything in the sandbox ends with it, and it ends with the process that started
//! the sandbox.

mod arguments;
mod change;
mod layer;
mod orphans;
mod probe;
mod proc;
mod scratch;
mod system;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use self::arguments::{ARGUMENTS_FD, Arguments};
use crate::cgroup::Delegated;
use crate::environment::environment;
use crate::mount_point::{self, Kind};
use crate::{
    DiskBy, HOME, Launch, Mount, Network, PolledLimits, Probe, SandboxDriver, SandboxError,
    SandboxSpec, UID, WORKSPACE, check, disk_image, limits, project_quota, seccomp,
};
use aod_launch::{DiskLimit, KillRoute, SignalRoute, init};

pub(crate) const NAME: &str = "bubblewrap";

/// Temporary folders of every sandbox, in which private files can be placed.
const TEMPORARY: &[&str] = &["/run", "/tmp"];

/// Where the sandbox's init is inside.
const INIT: &str = "/run/aod-init";

/// Settings of the `bubblewrap` driver.
#[derive(Clone, Debug, Default)]
pub struct BubblewrapConfig {
    /// The `bwrap` program; looked up in `PATH` where not given.
    pub program: Option<PathBuf>,
    /// The program that is every sandbox's init, started with `--init`: `aod-supervisor`. Looked
    /// for beside the running program where not given.
    pub init: Option<PathBuf>,
    /// A delegated cgroup v2 folder without processes in it, in which each sandbox gets a folder
    /// of its own. Where not given, the server's own group and the one above are tried.
    pub cgroup: Option<PathBuf>,
    /// Whether sandboxes will share the host's network, for what [`SandboxDriver::probe`] tries.
    pub shares_network: bool,
    /// The folder below which homes and workspaces will be, for what is told of their limit.
    pub data: Option<PathBuf>,
    /// What is to hold that limit.
    pub disk: DiskBy,
}

/// Runs commands in namespaces of their own, by Linux's `bwrap`.
#[derive(Clone, Debug)]
pub struct Bubblewrap {
    program: Option<PathBuf>,
    init: Option<PathBuf>,
    /// The folder for groups, or why there is none.
    cgroup: Result<Delegated, String>,
    shares_network: bool,
    data: Option<PathBuf>,
    disk: DiskBy,
    /// Why there are no system layers, once that was tried; none where there are.
    layers: Arc<OnceLock<Option<String>>>,
    /// Why no command can change a system of its own, once that was tried; none where they can.
    changes: Arc<OnceLock<Option<String>>>,
}

impl Bubblewrap {
    /// The driver with these settings. Looks for `bwrap` and for a delegated cgroup once, here;
    /// what it does not find, [`SandboxDriver::launch`] and [`SandboxDriver::probe`] report.
    #[must_use]
    pub fn new(config: BubblewrapConfig) -> Self {
        let cgroup = Delegated::find(config.cgroup.as_deref());
        Self {
            program: config.program.or_else(|| in_path("bwrap")),
            init: config.init.or_else(crate::init_program),
            cgroup,
            shares_network: config.shares_network,
            data: config.data,
            disk: config.disk,
            layers: Arc::default(),
            changes: Arc::default(),
        }
    }

    fn program(&self) -> Result<&Path, SandboxError> {
        self.program
            .as_deref()
            .filter(|program| program.is_file())
            .ok_or_else(|| SandboxError::MissingProgram {
                program: self
                    .program
                    .as_ref()
                    .map_or_else(|| "bwrap".into(), |program| program.display().to_string()),
                fix: "install bubblewrap (`apt install bubblewrap`, `dnf install bubblewrap`)",
            })
    }

    fn init(&self) -> Result<&Path, SandboxError> {
        self.init
            .as_deref()
            .filter(|program| program.is_file())
            .ok_or_else(SandboxError::missing_init)
    }
}

impl SandboxDriver for Bubblewrap {
    fn name(&self) -> &'static str {
        NAME
    }

    fn place(&self, _host: &Path, inside: &Path) -> PathBuf {
        inside.to_path_buf()
    }

    fn private_dir(&self, _home: &Path) -> PathBuf {
        PathBuf::from("/run/aod")
    }

    fn launch(&self, spec: &SandboxSpec) -> Result<Launch, SandboxError> {
        let program = self.program()?;
        let init = self.init()?;
        check::check(spec)?;
        let mut arguments = Arguments::new();
        isolate(&mut arguments, spec)?;
        system::mount(&mut arguments, spec);
        own_folders(&mut arguments, spec)?;
        arguments.option(["--ro-bind".as_ref(), init.as_os_str(), INIT.as_ref()]);
        private_files(&mut arguments, spec)?;
        // Everything that was mounted or made above stays as it is; the root itself, which holds
        // the mount points, must not become a temporary folder without a limit.
        arguments.words(["--remount-ro", "/"]);
        // The init itself has none: a variable such as `LD_PRELOAD` would let code of the session
        // into it.
        arguments.words(["--clearenv"]);
        let environment = arguments.data(environment(&system::environment(), &spec.env));
        arguments.option(["--chdir".as_ref(), spec.cwd.as_os_str()]);

        let arguments_fd = ARGUMENTS_FD.to_string();
        let mut args = ["--args", &arguments_fd, "--", INIT, init::FLAG]
            .map(str::to_owned)
            .to_vec();
        args.extend([init::ENV_FD, &environment].map(str::to_owned));
        args.extend(limits::options(&spec.limits, true));
        args.push("--".to_owned());
        args.extend_from_slice(&spec.argv);
        let egress = egress(&mut arguments, spec);
        let overlays = match &spec.system_change {
            Some(change) => change::overlays(change),
            None => layer::overlays(spec.system_layer.as_ref()),
        };
        let (program, args) = layer::launcher(overlays, program, init, args)?;
        let data_fds = arguments.finish()?;
        // Last, so that no error leaves a group behind.
        let cgroup = match &self.cgroup {
            Ok(delegated) => Some(delegated.create(&spec.limits)?),
            Err(_) => None,
        };
        let disk = polled_disk(spec);
        let polled_limits = match &cgroup {
            Some(_) => PolledLimits {
                disk,
                ..PolledLimits::default()
            },
            None => PolledLimits {
                disk,
                memory_bytes: spec.limits.memory_bytes,
                memory_mounts: system::IN_MEMORY.iter().map(PathBuf::from).collect(),
                pids: spec.limits.pids.filter(|_| !limits::process_count_holds()),
            },
        };
        Ok(Launch {
            program,
            args,
            env: Vec::new(),
            cwd: PathBuf::from("/"),
            data_fds,
            cgroup,
            // The started process waits outside, its child is the sandbox's init, and that one's
            // first child is the command.
            signal_route: SignalRoute::Descendant { depth: 2 },
            kill_route: KillRoute::Namespace,
            polled_limits,
            egress,
        })
    }

    fn check_layers(&self) -> Result<(), SandboxError> {
        let why = self.layers.get_or_init(|| layer::try_out(self).err());
        match why {
            None => Ok(()),
            Some(why) => Err(SandboxError::NoLayers { why: why.clone() }),
        }
    }

    fn check_system_change(&self, folder: &Path) -> Result<(), SandboxError> {
        let tried = || change::try_out(self, folder).err();
        match self.changes.get_or_init(tried) {
            None => Ok(()),
            Some(why) => Err(SandboxError::NoSystemChange { why: why.clone() }),
        }
    }

    fn end_orphans(&self) -> usize {
        self.program().map_or(0, orphans::end)
    }

    fn probe(&self) -> Probe {
        probe::probe(self)
    }
}

/// What of the disk is polled, because the kernel does not hold it.
fn polled_disk(spec: &SandboxSpec) -> Option<DiskLimit> {
    let folders = [spec.home.as_path(), spec.workspace.as_path()];
    let is_held =
        disk_image::holds(folders) || project_quota::bound(folders, spec.limits.disk_bytes);
    let is_all = spec.writable.is_empty() && spec.system_change.is_none();
    match is_held && is_all {
        true => None,
        false => spec.disk_limit(),
    }
}

/// Adds the namespaces, the identity and what is given up.
fn isolate(arguments: &mut Arguments, spec: &SandboxSpec) -> Result<(), SandboxError> {
    for namespace in ["pid", "ipc", "uts", "cgroup-try"] {
        arguments.words([&format!("--unshare-{namespace}")]);
    }
    match spec.network {
        Network::None | Network::Egress(_) => arguments.words(["--unshare-net"]),
        Network::Host => {}
    }
    arguments.words(["--cap-drop", "ALL"]);
    match &spec.system_change {
        Some(_) => change::capabilities(arguments),
        None => {
            let id = UID.to_string();
            arguments.words(["--unshare-user", "--uid", &id, "--gid", &id]);
        }
    }
    system::name(arguments);
    arguments.words(["--new-session", "--die-with-parent"]);
    // Not bubblewrap's own init, which the command can trace.
    arguments.words(["--as-pid-1"]);
    let filter = arguments.data(seccomp::filter()?.into());
    arguments.words(["--seccomp", &filter]);
    Ok(())
}

/// Has bubblewrap say where its namespaces are and wait for the sockets in them.
fn egress(arguments: &mut Arguments, spec: &SandboxSpec) -> Option<aod_launch::Egress> {
    let Network::Egress(egress) = &spec.network else {
        return None;
    };
    let (info_fd, block_fd) = (arguments.descriptor(), arguments.descriptor());
    arguments.words(["--info-fd", &info_fd.to_string()]);
    arguments.words(["--block-fd", &block_fd.to_string()]);
    Some(aod_launch::Egress {
        info_fd,
        block_fd,
        listen: egress.listen.clone(),
        tunnel: egress.tunnel.clone(),
        program: egress.program.clone(),
        config: egress.config.clone(),
    })
}

/// Adds the home, the workspace and the spec's mounts, outer ones before those inside them.
fn own_folders(arguments: &mut Arguments, spec: &SandboxSpec) -> Result<(), SandboxError> {
    arguments.option(["--bind".as_ref(), spec.home.as_os_str(), HOME.as_ref()]);
    arguments.option([
        "--bind".as_ref(),
        spec.workspace.as_os_str(),
        WORKSPACE.as_ref(),
    ]);
    let mut mounts: Vec<(&Mount, &str)> = Vec::new();
    mounts.extend(spec.read_only.iter().map(|mount| (mount, "--ro-bind")));
    mounts.extend(spec.writable.iter().map(|mount| (mount, "--bind")));
    mounts.sort_by_key(|(mount, _)| mount.inside.components().count());
    for (mount, option) in mounts {
        if system::reserved(&mount.inside) {
            return Err(SandboxError::invalid(format!(
                "nothing can be mounted at `{}`: it belongs to the sandbox's system",
                mount.inside.display()
            )));
        }
        let kind = if mount.host.is_dir() {
            Kind::Folder
        } else {
            Kind::File
        };
        if let Some(base) = innermost(spec, &mount.inside) {
            base.prepare(&mount.inside, kind)?;
        }
        arguments.option([
            option.as_ref(),
            mount.host.as_os_str(),
            mount.inside.as_os_str(),
        ]);
    }
    Ok(())
}

fn private_files(arguments: &mut Arguments, spec: &SandboxSpec) -> Result<(), SandboxError> {
    for file in &spec.private_files {
        let base = innermost(spec, &file.path);
        let temporary = TEMPORARY.iter().any(|folder| file.path.starts_with(folder));
        match &base {
            Some(base) => base.prepare(&file.path, Kind::File)?,
            None if temporary => {}
            None => {
                return Err(SandboxError::invalid(format!(
                    "private file `{}`: it must be in the home, the workspace, /run or /tmp",
                    file.path.display()
                )));
            }
        }
        let fd = arguments.data(file.content.clone());
        let mode = format!("{:04o}", file.mode);
        // In a temporary folder it is a plain file. Over a folder that lies on a disk it has to be
        // a mount of its own, from a file that bubblewrap keeps in memory.
        let option = if base.is_some() {
            "--bind-data"
        } else {
            "--file"
        };
        arguments.words(["--perms", &mode]);
        arguments.option([option.as_ref(), fd.as_ref(), file.path.as_os_str()]);
    }
    Ok(())
}

/// A folder of the host that a mount point lies in.
struct Base<'a> {
    host: &'a Path,
    inside: &'a Path,
    writable: bool,
}

impl Base<'_> {
    fn prepare(&self, inside: &Path, kind: Kind) -> Result<(), SandboxError> {
        let below = inside.strip_prefix(self.inside).unwrap_or(inside);
        mount_point::prepare(self.host, below, kind, self.writable)
    }
}

/// The innermost of the sandbox's folders that contains `inside`, itself excluded.
fn innermost<'a>(spec: &'a SandboxSpec, inside: &Path) -> Option<Base<'a>> {
    let base = |mount: &'a Mount, writable| Base {
        host: &mount.host,
        inside: &mount.inside,
        writable,
    };
    let own = [(&spec.home, HOME), (&spec.workspace, WORKSPACE)].map(|(host, inside)| Base {
        host,
        inside: Path::new(inside),
        writable: true,
    });
    own.into_iter()
        .chain(spec.read_only.iter().map(|mount| base(mount, false)))
        .chain(spec.writable.iter().map(|mount| base(mount, true)))
        .filter(|base| inside != base.inside && inside.starts_with(base.inside))
        .max_by_key(|base| base.inside.components().count())
}

fn in_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}
