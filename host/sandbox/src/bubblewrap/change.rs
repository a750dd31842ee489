//! Commands that change a system of their own as its root, as package managers do.
//!
//! Packages' scripts own files, make users and become them, which in a user namespace with one id
//! does not work. So the command is the machine's root, without what root can do beyond that: no
//! mounts, no devices, no other processes, no network unless the spec has one. What it writes goes
//! to overlays.

use std::fs;
use std::path::Path;
use std::time::Duration;

use aod_launch::overlay;

use super::arguments::Arguments;
use super::layer::{Overlay, attempt};
use super::{Bubblewrap, system};
use crate::{SandboxSpec, SystemChange};

/// The folders that are overlays.
const FOLDERS: [&str; 3] = ["usr", "etc", "var"];
/// What `dpkg` and packages' scripts need of root.
const CAPABILITIES: [&str; 8] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETUID",
];
/// It takes some milliseconds. To give up means to unpack packages without their scripts.
const PATIENCE: Duration = Duration::from_secs(60);
/// Folders that packages' scripts count on.
const TOP: [&str; 6] = ["/root", "/srv", "/mnt", "/media", "/boot", "/run/lock"];

/// Gives the command what it may do as root.
pub(super) fn capabilities(arguments: &mut Arguments) {
    for name in CAPABILITIES {
        arguments.words(["--cap-add", name]);
    }
}

/// Adds the system's folders.
pub(super) fn mount(arguments: &mut Arguments, change: &SystemChange) {
    for name in FOLDERS {
        let (view, inside) = (change.views.join(name), Path::new("/").join(name));
        arguments.option(["--bind".as_ref(), view.as_os_str(), inside.as_os_str()]);
    }
    let opt = change.files.join("opt");
    arguments.option(["--bind".as_ref(), opt.as_os_str(), "/opt".as_ref()]);
}

/// Adds folders that stand beside the system's, or in those that are in memory.
pub(super) fn folders(arguments: &mut Arguments) {
    for folder in TOP {
        arguments.words(["--perms", "0755", "--dir", folder]);
    }
}

/// What is laid over what.
pub(super) fn overlays(change: &SystemChange) -> Vec<Overlay> {
    let of_folder = |name: &str| {
        let lower = match name {
            "usr" => Path::new("/usr").to_owned(),
            _ => change.base.join(name),
        };
        let (files, work) = (change.files.join(name), change.work.join(name));
        let folders = vec![files, lower, work, change.views.join(name)];
        (overlay::CHANGE, folders)
    };
    FOLDERS.into_iter().map(of_folder).collect()
}

/// Tries it in a folder below `folder`, which goes again; answers why it does not work.
pub(super) fn try_out(driver: &Bubblewrap, folder: &Path) -> Result<(), String> {
    if !rustix::process::getuid().is_root() {
        return Err("the server is not run by root".to_owned());
    }
    if !system::has_one_usr() {
        return Err("this system has programs and libraries outside of /usr".to_owned());
    }
    // As what is half made there is called, which the next start removes.
    let mut scratch = tempfile::Builder::new();
    let scratch = scratch.prefix(".staging-");
    let made = fs::create_dir_all(folder).and_then(|()| scratch.tempdir_in(folder));
    let scratch = made.map_err(|error| format!("no temporary folder: {error}"))?;
    let at = |name: &str| scratch.path().join(name);
    let change = SystemChange {
        files: at("files"),
        base: at("base"),
        work: at("work"),
        views: at("views"),
    };
    for parent in [&change.files, &change.base, &change.work, &change.views] {
        for name in FOLDERS.into_iter().chain(["opt"]) {
            fs::create_dir_all(parent.join(name))
                .map_err(|error| format!("no temporary files: {error}"))?;
        }
    }
    for name in ["home", "workspace"] {
        fs::create_dir(at(name)).map_err(|error| format!("no temporary files: {error}"))?;
    }
    // A file of somebody else's, and a removed file of the host's in the place of which is a folder.
    let script = "echo x >/etc/x && chown 65534:65534 /etc/x && chmod 4755 /etc/x \
                  && rm /usr/bin/env && mkdir /usr/bin/env && test -e /var";
    let argv = ["/bin/sh", "-c", script].map(str::to_owned);
    let mut spec = SandboxSpec::new(argv.into(), at("home"), at("workspace"));
    spec.system_change = Some(change);
    attempt(driver, &spec, PATIENCE)
}
