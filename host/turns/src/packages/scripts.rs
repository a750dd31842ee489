//! Debian packages where the server is run by root: apt installs what it has downloaded, and the
//! packages' own scripts run, so that there are alternatives, caches and other generated files.
//!
//! They run as root with what that takes and nothing more (`aod_sandbox::SystemChange`), without a
//! network, and what they write goes to the layer. Of the host they see `/usr`, what everybody can
//! read of `/etc`, and what `dpkg` and its helpers keep in `/var`; accounts of people are left out.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aod_sandbox::{Mount, SystemChange};

use super::apt::{self, FOLDER};
use super::build::Build;
use super::layer::{SYSTEM, VIEWS};
use crate::provision::{Cancelled, Output, StageError};

/// What scripts find of the host's `/etc` and `/var`, below a layer's folder.
pub(super) const BASE: &str = "base";
/// What the kernel needs for overlays, there.
pub(super) const KERNEL: &str = "kernel";
/// What scripts leave that no sandbox is to see, there.
pub(super) const LEFT: [&str; 13] = [
    "system/etc/group",
    "system/etc/group-",
    "system/etc/gshadow",
    "system/etc/gshadow-",
    "system/etc/passwd",
    "system/etc/passwd-",
    "system/etc/shadow",
    "system/etc/shadow-",
    "system/usr/sbin/policy-rc.d",
    "system/var/cache/apt",
    "system/var/cache/debconf",
    "system/var/lib/apt",
    "system/var/lib/dpkg",
];
/// The answer to whether a service may be started: 101 is no.
const SERVICES: (&str, &str) = ("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n");

/// Copies what scripts find.
const COPY: &str = include_str!("base.sh");
/// Where that sees the host's folders, inside, and where it writes to.
const HOST: &str = "/opt/aod/host";
const COPIED: &str = "/opt/aod/base";
/// What package managers and their helpers keep in `/var`.
const STATE: [&str; 15] = [
    "lib/aspell",
    "lib/dictionaries-common",
    "lib/dpkg",
    "lib/emacsen-common",
    "lib/ghostscript",
    "lib/ispell",
    "lib/pam",
    "lib/python",
    "lib/sgml-base",
    "lib/systemd/deb-systemd-helper-enabled",
    "lib/systemd/deb-systemd-user-helper-enabled",
    "lib/texmf",
    "lib/ucf",
    "lib/xfonts",
    "lib/xml-core",
];

/// Installs what was downloaded.
pub(super) async fn install(
    build: &Build<'_>,
    names: &[String],
    output: &mut Output,
    cancelled: &Cancelled<'_>,
) -> Result<(), StageError> {
    let change = SystemChange {
        files: build.folder.join(SYSTEM),
        base: build.folder.join(BASE),
        work: build.folder.join(KERNEL),
        views: build.folder.join(VIEWS),
    };
    create(&change)?;
    let argv = ["/bin/sh", "-euc", COPY, "base", HOST, COPIED];
    let mut spec = build.confined(argv.map(str::to_owned).to_vec());
    spec.read_only
        .push(Mount::new("/etc", format!("{HOST}/etc")));
    for name in STATE {
        let host = Path::new("/var").join(name);
        if host.is_dir() {
            let inside = format!("{HOST}/var/{name}");
            spec.read_only.push(Mount::new(host, inside));
        }
    }
    spec.writable.push(Mount::new(&change.base, COPIED));
    spec.system_layer = None;
    let what = "copying what packages' scripts may know of the system";
    build.run(spec, what, output, cancelled).await?;

    let mut spec = build.confined(Vec::new());
    spec.system_layer = None;
    spec.system_change = Some(change);
    // Nothing that is to be seen at the folders of packages.
    spec.writable = vec![Mount::new(build.folder.join("apt"), FOLDER)];
    let settings = apt::configure(build, &mut spec, conf());
    let options = ["install", "--yes", "--no-remove", "--no-download", "--"];
    let what = apt::apt_get(&mut spec, &settings, &options, names);
    build.run(spec, &what, output, cancelled).await
}

fn create(change: &SystemChange) -> io::Result<()> {
    for name in ["usr/sbin", "etc", "var", "opt"] {
        fs::create_dir_all(change.files.join(name))?;
    }
    for name in ["usr", "etc", "var"] {
        fs::create_dir_all(change.work.join(name))?;
    }
    fs::create_dir_all(&change.base)?;
    let (name, content) = SERVICES;
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(change.files.join(name))?;
    io::Write::write_all(&mut file, content.as_bytes())
}

/// apt's settings: those it downloaded with, and how it installs.
fn conf() -> String {
    let mut conf = apt::conf(None, &apt::architectures());
    conf.push_str(
        "Dir::State::status \"/var/lib/dpkg/status\";\n\
         APT::Sandbox::User \"root\";\n\
         Dpkg::Use-Pty \"0\";\n\
         #clear Dpkg::Options;\n\
         Dpkg::Options { \"--force-confdef\"; \"--force-confold\"; \"--force-unsafe-io\"; };\n",
    );
    conf
}
