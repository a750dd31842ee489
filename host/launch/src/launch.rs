//! What a driver hands to whoever starts the command.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Egress, SecretBytes};

/// An environment variable: a name, and a value that may be secret.
pub type EnvVar = (String, Zeroizing<String>);

/// A command that is ready to be started, complete: nothing of the starter's environment or
/// descriptors is added. It may hold secrets: it travels over pipes and is never stored, values
/// are overwritten when it is dropped, and its debug output has none.
///
/// The thread that calls [`start`](crate::start) must live as long as the command is to live,
/// because the kernel kills the started process when that *thread* ends.
#[derive(Clone, Serialize, Deserialize)]
pub struct Launch {
    /// The file to execute: absolute, or a name that is looked up in the launch's own `PATH`.
    pub program: PathBuf,
    /// Its arguments, without the program's name. Other users of the machine can see them, so
    /// they are never secret.
    pub args: Vec<String>,
    /// The whole environment. Of a name given twice the last value counts.
    pub env: Vec<EnvVar>,
    /// The working directory, as the starter sees it.
    pub cwd: PathBuf,
    /// Content that the command reads from inherited descriptors.
    #[serde(default)]
    pub data_fds: Vec<DataFd>,
    /// A cgroup v2 folder that was made for this launch alone, which the command joins. It is
    /// removed when the command has ended.
    #[serde(default)]
    pub cgroup: Option<PathBuf>,
    /// How signals that ask the command to stop reach it.
    #[serde(default)]
    pub signal_route: SignalRoute,
    /// How the command and all that it started are ended by force.
    #[serde(default)]
    pub kill_route: KillRoute,
    /// Limits that whoever started the command has to poll.
    #[serde(default)]
    pub polled_limits: PolledLimits,
    /// The way out of the command's own network namespace, where the launcher makes one that has
    /// any.
    #[serde(default)]
    pub egress: Option<Egress>,
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Launch")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env", &names)
            .field("cwd", &self.cwd)
            .field("data_fds", &self.data_fds)
            .field("cgroup", &self.cgroup)
            .field("signal_route", &self.signal_route)
            .field("kill_route", &self.kill_route)
            .field("polled_limits", &self.polled_limits)
            .field("egress", &self.egress)
            .finish()
    }
}

/// A descriptor with content, read from its start to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFd {
    /// The number under which the command finds it: 3 to 255, each once.
    pub fd: i32,
    /// What it reads there.
    pub content: SecretBytes,
}

/// How a signal that asks the command to stop reaches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SignalRoute {
    /// The started process takes the signal: it is the command itself, or a client (of a container
    /// engine, say) that passes signals on to the command.
    #[default]
    Started,
    /// The command is a descendant of the started process on this machine, found in `/proc`: so
    /// many generations below, and the oldest child in each.
    Descendant {
        /// How many generations: 2 for a launcher that has an init between itself and the command.
        depth: u32,
    },
}

/// How the command and all that it started are ended by force.
///
/// Where the launch has a cgroup, all processes in it are killed as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KillRoute {
    /// `SIGKILL` to the process group of the started process. What has left the group is an orphan
    /// then, and whoever adopts orphans (a subreaper) kills these.
    #[default]
    Group,
    /// `SIGKILL` to the started process ends everything: the kernel kills a pid namespace with its
    /// init, and the init with the process that started it.
    Namespace,
    /// `SIGTERM` to the started process, which is the init of this crate ([`init`](crate::init))
    /// outside of a pid namespace: it kills all that it adopted, and exits. Where it does not, it
    /// is killed as in [`KillRoute::Group`].
    Init,
}

/// Limits that are polled by whoever started the command, because no cgroup enforces them: beyond
/// them everything is killed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolledLimits {
    /// Memory of all processes together, in bytes.
    pub memory_bytes: Option<u64>,
    /// Folders as the command sees them that are file systems in memory of its own: what they hold
    /// counts as memory.
    #[serde(default)]
    pub memory_mounts: Vec<PathBuf>,
    /// Number of processes and threads.
    pub pids: Option<u64>,
    /// What some folders may hold.
    #[serde(default)]
    pub disk: Option<DiskLimit>,
}

/// What a command may leave on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskLimit {
    /// The host's folders that it can write to, all on one file system.
    pub folders: Vec<PathBuf>,
    /// What they may hold together, in bytes. Where they hold more as the command starts, it may
    /// leave no more than that: somebody has to be able to clear up.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch() -> Launch {
        Launch {
            program: "/bin/true".into(),
            args: vec!["--args".to_owned()],
            env: vec![("KEY".to_owned(), "s3cret".to_owned().into())],
            cwd: "/".into(),
            data_fds: vec![DataFd {
                fd: 3,
                content: b"s3cret".to_vec().into(),
            }],
            cgroup: None,
            signal_route: SignalRoute::Descendant { depth: 2 },
            kill_route: KillRoute::Namespace,
            polled_limits: PolledLimits::default(),
            egress: None,
        }
    }

    #[test]
    fn debug_output_names_variables_and_shows_no_value() {
        let shown = format!("{:?}", launch());
        assert!(
            shown.contains("KEY") && !shown.contains("s3cret"),
            "{shown}"
        );
    }

    #[test]
    fn a_launch_survives_the_way_to_the_supervisor() {
        let json = serde_json::to_string(&launch()).unwrap();
        let back: Launch = serde_json::from_str(&json).unwrap();
        assert_eq!(back.env, launch().env);
        assert_eq!(back.data_fds, launch().data_fds);
        assert_eq!(back.signal_route, SignalRoute::Descendant { depth: 2 });
        assert_eq!(back.kill_route, KillRoute::Namespace);
    }

    #[test]
    fn what_is_no_base64_is_refused_without_being_quoted() {
        let json = r#"{"fd": 3, "content": "hunter22!"}"#;
        let error = serde_json::from_str::<DataFd>(json)
            .unwrap_err()
            .to_string();
        assert!(!error.contains("hunter22"), "{error}");
    }
}
