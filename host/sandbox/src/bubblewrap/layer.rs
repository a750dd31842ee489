//! Files that lie over the system's own.
//!
//! `bwrap` before 0.11 takes no overlays, so that [`aod_launch::overlay`] mounts them before it
//! starts, where only this one sees them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aod_launch::overlay;

use super::Bubblewrap;
use super::arguments::Arguments;
use super::scratch::Scratch;
use crate::{RunOptions, SandboxDriver as _, SandboxError, SandboxSpec, SystemLayer, run};

/// Names in `/etc` that a sandbox has of its own, or that are not for it.
const OWN: &[&str] = &[
    "group",
    "gshadow",
    "hostname",
    "hosts",
    "ld.so.preload",
    "nsswitch.conf",
    "passwd",
    "resolv.conf",
    "shadow",
    "sudoers",
    "sudoers.d",
];
/// What the server shows to sandboxes stands below this name in `/opt`.
const SERVERS: &str = "aod";
/// The files by which it is seen whether there are layers.
const MARKS: [&str; 2] = ["usr/share/aod-layer", "etc/aod-layer"];
/// A sandbox that looks for one file takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Adds `/usr`.
pub(super) fn usr(arguments: &mut Arguments, layer: &SystemLayer) {
    let usr = Path::new("/usr");
    let source = match layer.files.join("usr").is_dir() {
        true => layer.views.join("usr"),
        false => usr.to_owned(),
    };
    arguments.option(["--ro-bind".as_ref(), source.as_os_str(), usr.as_os_str()]);
}

/// Adds what the layer has beside `/usr`, and takes from `shown`, which are the host's files that
/// are shown, those that the layer has, too.
pub(super) fn rest(arguments: &mut Arguments, layer: &SystemLayer, shown: &mut Vec<PathBuf>) {
    let etc = Path::new("/etc");
    let mut left = names(&layer.files.join("etc"));
    left.retain(|name| !OWN.contains(&name.as_str()));
    // Backwards, since the next one is taken from the end.
    left.reverse();
    while let Some(name) = left.pop() {
        let (files, inside) = (layer.files.join("etc").join(&name), etc.join(&name));
        let source = match shown.iter().position(|path| *path == inside) {
            Some(at) => {
                shown.remove(at);
                match inside.exists() {
                    true => layer.views.join("etc").join(&name),
                    false => files,
                }
            }
            // The host's folder has more than is shown of it.
            None if shown.iter().any(|path| path.starts_with(&inside)) => {
                let below = names(&files).into_iter().rev();
                left.extend(below.map(|below| format!("{name}/{below}")));
                continue;
            }
            None => files,
        };
        arguments.option(["--ro-bind".as_ref(), source.as_os_str(), inside.as_os_str()]);
    }
    for name in names(&layer.files.join("opt")) {
        // The server's own, which a build may have had mounted there: it is no package's.
        if name == SERVERS {
            continue;
        }
        let (source, inside) = (layer.files.join("opt").join(&name), format!("/opt/{name}"));
        arguments.option(["--ro-bind".as_ref(), source.as_os_str(), inside.as_ref()]);
    }
}

/// The names in a folder of what is no link: a link would lead to the host's files.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let plain = entries.filter(|entry| {
        let kind = entry.file_type();
        kind.is_ok_and(|kind| kind.is_dir() || kind.is_file())
    });
    let mut names: Vec<String> = plain
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}

/// Adds what the layer has of `/var`, of which the host's own is not shown.
pub(super) fn var(arguments: &mut Arguments, layer: &SystemLayer) {
    for parent in ["var/lib", "var/cache"] {
        let folder = layer.files.join(parent);
        for name in names(&folder) {
            let (source, inside) = (folder.join(&name), format!("/{parent}/{name}"));
            arguments.option(["--ro-bind".as_ref(), source.as_os_str(), inside.as_ref()]);
        }
    }
}

/// An option of the step before `bwrap`, and the folders that it is about.
pub(super) type Overlay = (&'static str, Vec<PathBuf>);

/// What is laid over the system.
pub(super) fn overlays(layer: Option<&SystemLayer>) -> Vec<Overlay> {
    let of_folder = |layer: &SystemLayer, name: &str| {
        let files = layer.files.join(name);
        let lower = Path::new("/").join(name);
        let view = layer.views.join(name);
        let has_files = files.is_dir();
        has_files.then(|| (overlay::OVER, vec![files, lower, view]))
    };
    let folders = ["usr", "etc"].iter();
    folders.filter_map(|name| of_folder(layer?, name)).collect()
}

/// What is started: `bwrap`, or the step before it that mounts overlays.
pub(super) fn launcher(
    overlays: Vec<Overlay>,
    bwrap: &Path,
    init: &Path,
    args: Vec<String>,
) -> Result<(PathBuf, Vec<String>), SandboxError> {
    if overlays.is_empty() {
        return Ok((bwrap.to_owned(), args));
    }
    let mut words = vec![overlay::FLAG.to_owned()];
    for (option, folders) in overlays {
        words.push(option.to_owned());
        for folder in folders {
            words.push(text(folder)?);
        }
    }
    words.push("--".to_owned());
    words.push(text(bwrap.to_owned())?);
    words.extend(args);
    Ok((init.to_owned(), words))
}

fn text(path: PathBuf) -> Result<String, SandboxError> {
    path.into_os_string().into_string().map_err(|path| {
        let path = path.to_string_lossy();
        SandboxError::invalid(format!("the path `{path}` is no UTF-8"))
    })
}

/// Runs a command that finds out whether something works in a sandbox, or answers what it said.
pub(super) fn attempt(
    driver: &Bubblewrap,
    spec: &SandboxSpec,
    patience: Duration,
) -> Result<(), String> {
    let launch = driver.launch(spec).map_err(|error| error.to_string())?;
    let options = RunOptions {
        timeout: Some(patience),
        ..RunOptions::default()
    };
    let mut said = Vec::new();
    let ended = run(&launch, &options, &mut |piece| {
        said.extend_from_slice(piece)
    })
    .map_err(|error| error.to_string())?;
    match ended.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&said);
            Err(format!("{} ({ended:?})", said.trim()))
        }
    }
}

/// Runs a command in a sandbox with a layer, or answers why that does not work and what to do.
pub(super) fn try_out(driver: &Bubblewrap) -> Result<(), String> {
    let folder = Scratch::new(driver.data.as_deref());
    let folder = folder.map_err(|error| format!("no temporary folder: {error}"))?;
    let layer = SystemLayer {
        files: folder.path().join("files"),
        views: folder.path().join("views"),
    };
    let (home, workspace) = (folder.path().join("home"), folder.path().join("workspace"));
    let made = || {
        for made in ["files/usr/share", "files/etc", "views/usr", "views/etc"] {
            fs::create_dir_all(folder.path().join(made))?;
        }
        fs::create_dir(&home)?;
        fs::create_dir(&workspace)?;
        MARKS
            .into_iter()
            .try_for_each(|mark| fs::write(layer.files.join(mark), ""))
    };
    made().map_err(|error| format!("no temporary files: {error}"))?;
    let [first, second] = MARKS.map(|mark| format!("/{mark}"));
    let argv = ["/usr/bin/test", "-e", &first, "-a", "-e", &second].map(str::to_owned);
    let mut spec = SandboxSpec::new(argv.into(), home, workspace);
    spec.system_layer = Some(layer);
    attempt(driver, &spec, PATIENCE).map_err(|error| {
        format!(
            "{error}; an ordinary user needs Linux 5.11 or later, with overlayfs, and user \
         namespaces in which file systems may be mounted (on Ubuntu 24.04: \
         kernel.apparmor_restrict_unprivileged_userns=0); or run the server as root",
        )
    })
}
