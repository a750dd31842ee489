//! Delegated cgroup v2 folders, where the kernel holds limits for a whole sandbox.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::{Limits, SandboxError};

/// The names of the folders made here begin so.
const PREFIX: &str = "aod-sandbox-";
/// An empty folder of this age belongs to a sandbox that has ended. A younger one may be waiting
/// for its first process.
const STALE: Duration = Duration::from_secs(600);

/// A cgroup v2 folder in which this process may make groups with memory and process limits.
#[derive(Clone, Debug)]
pub(crate) struct Delegated {
    folder: PathBuf,
}

impl Delegated {
    /// The configured folder, or the server's own group, or the one above it, whichever first lets
    /// groups be made; or, in a sentence, why there is none.
    pub(crate) fn find(configured: Option<&Path>) -> Result<Self, String> {
        let candidates = match configured {
            Some(folder) => vec![folder.to_path_buf()],
            None => own_groups()?,
        };
        let mut why = String::from("no cgroup v2 hierarchy is mounted");
        for folder in candidates {
            match enable(&folder) {
                Ok(()) => return Ok(Self { folder }),
                Err(reason) => why = reason,
            }
        }
        Err(why)
    }

    /// Makes a group for one sandbox, with its limits set and no process in it.
    pub(crate) fn create(&self, limits: &Limits) -> Result<PathBuf, SandboxError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        self.sweep();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let group = self
            .folder
            .join(format!("{PREFIX}{}-{number}", std::process::id()));
        let failed = |what: &str, source: io::Error| {
            SandboxError::io(format!("{what} cgroup `{}`", group.display()), source)
        };
        fs::create_dir(&group).map_err(|source| failed("make", source))?;
        let set = |file: &str, value: &str| fs::write(group.join(file), value);
        let result = (|| {
            if let Some(bytes) = limits.memory_bytes {
                set("memory.max", &bytes.to_string())?;
                // The agent and its tools go together, not one at the kernel's choice.
                set("memory.oom.group", "1")?;
                // Absent where the kernel has no swap accounting; then there is nothing to bound.
                let _ = set("memory.swap.max", "0");
            }
            if let Some(pids) = limits.pids {
                set("pids.max", &pids.to_string())?;
            }
            Ok(())
        })();
        match result {
            Ok(()) => Ok(group),
            Err(source) => {
                let _ = fs::remove_dir(&group);
                Err(failed("set the limits of", source))
            }
        }
    }

    /// Removes the groups of sandboxes that have ended. A group with processes cannot be removed.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        for entry in entries.flatten() {
            let stale = entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(PREFIX.as_bytes())
                && entry
                    .metadata()
                    .and_then(|metadata| metadata.modified())
                    .is_ok_and(|at| {
                        SystemTime::now()
                            .duration_since(at)
                            .is_ok_and(|a| a > STALE)
                    });
            if stale {
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

/// Lets groups below `folder` have memory and process limits, if that is possible.
fn enable(folder: &Path) -> Result<(), String> {
    let read = |file: &str| {
        fs::read_to_string(folder.join(file)).map_err(|error| {
            format!(
                "`{}` is no usable cgroup v2 folder: {error}",
                folder.display()
            )
        })
    };
    let has = |list: &str, name| list.split_ascii_whitespace().any(|one| one == name);
    let available = read("cgroup.controllers")?;
    for controller in ["memory", "pids"] {
        if !has(&available, controller) {
            return Err(format!(
                "cgroup `{}` does not have the `{controller}` controller",
                folder.display()
            ));
        }
    }
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).map_err(|_| {
        format!(
            "cgroup `{}` is not delegated to this user",
            folder.display()
        )
    })?;
    let control = |what: &str| fs::write(folder.join("cgroup.subtree_control"), what);
    let enabled = read("cgroup.subtree_control")?;
    if !has(&enabled, "memory") || !has(&enabled, "pids") {
        control("+memory +pids").map_err(|error| {
            format!(
                "cgroup `{}` cannot have groups with limits: {error}",
                folder.display()
            )
        })?;
    }
    // So that each sandbox has the same share of the processor, whatever it runs. Without that,
    // limits hold all the same.
    let _ = control("+cpu");
    Ok(())
}

/// The group this process is in and the one above it, as folders.
fn own_groups() -> Result<Vec<PathBuf>, String> {
    let read = |path: &str| {
        fs::read_to_string(path).map_err(|error| format!("could not read {path}: {error}"))
    };
    let Some(mount) = unified_mount(&read("/proc/self/mountinfo")?) else {
        return Ok(Vec::new());
    };
    let groups = read("/proc/self/cgroup")?;
    let Some(group) = unified_group(&groups) else {
        return Ok(Vec::new());
    };
    let own = mount.join(group.trim_start_matches('/'));
    let mut folders = vec![own.clone()];
    folders.extend(
        own.parent()
            .filter(|above| above.starts_with(&mount))
            .map(Path::to_path_buf),
    );
    Ok(folders)
}

/// Where the cgroup v2 hierarchy is mounted, by the text of `/proc/self/mountinfo`.
fn unified_mount(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let is_unified = after.split(' ').next()? == "cgroup2";
        is_unified.then(|| before.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// The path of this process's cgroup v2 group, by the text of `/proc/self/cgroup`.
fn unified_group(cgroup: &str) -> Option<&str> {
    cgroup.lines().find_map(|line| line.strip_prefix("0::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_unified_hierarchy_among_others() {
        let mountinfo = "\
25 1 0:23 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
26 25 0:24 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
27 25 0:25 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 none rw\n";
        assert_eq!(
            unified_mount(mountinfo),
            Some("/sys/fs/cgroup/unified".into())
        );
        assert_eq!(unified_mount("26 25 0:24 / /x rw - cgroup cgroup rw"), None);
        assert_eq!(
            unified_group("8:pids:/a\n0::/user.slice/b\n"),
            Some("/user.slice/b")
        );
        assert_eq!(unified_group("8:pids:/a\n"), None);
    }

    #[test]
    fn a_folder_that_is_no_cgroup_is_refused_with_its_name() {
        let why = Delegated::find(Some(Path::new("/usr"))).unwrap_err();
        assert!(why.contains("/usr"), "{why}");
    }
}
