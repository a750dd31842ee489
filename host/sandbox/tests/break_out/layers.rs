//! Files that lie over the system's own.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use aod_sandbox::{SandboxDriver as _, SandboxSpec, SystemLayer};
use rustix::fs::{CWD, FileType, Mode};

use crate::{Session, collect};

/// What is there where something is mounted in the system: see `launches`.
pub(crate) const MOUNTED: &str = "/usr/share/doc/aod-mounted";

fn layer(session: &Session) -> SystemLayer {
    let root = session.data.path().join("layer");
    let layer = SystemLayer {
        files: root.join("files"),
        views: root.join("views"),
    };
    for folder in [
        "usr/bin",
        "usr/share/aod",
        "etc/profile.d",
        "etc/aod",
        "etc/ssl/aod",
        "opt/aod-x",
        "usr/share/doc",
    ] {
        fs::create_dir_all(layer.files.join(folder)).unwrap();
    }
    for folder in ["usr", "etc"] {
        fs::create_dir_all(layer.views.join(folder)).unwrap();
    }
    let program = layer.files.join("usr/bin/of-the-layer");
    fs::write(&program, "#!/bin/sh\necho of the layer\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(layer.files.join("etc/profile.d/aod-test.sh"), "a").unwrap();
    fs::write(layer.files.join("etc/aod/settings"), "b").unwrap();
    fs::write(layer.files.join("etc/ssl/aod/d"), "d").unwrap();
    fs::write(layer.files.join("etc/passwd"), "evil:x:0:0::/:/bin/sh\n").unwrap();
    fs::write(layer.files.join("opt/aod-x/c"), "c").unwrap();
    fs::write(layer.files.join("usr/share/doc/of-the-layer"), "of it\n").unwrap();
    symlink("/etc/shadow", layer.files.join("etc/linked")).unwrap();
    // What a package has removed.
    let removed = layer.files.join("usr/share/common-licenses");
    rustix::fs::mknodat(CWD, removed, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    layer
}

/// Looks at all of it, and tries to write to it.
const LOOK: &str = "of-the-layer && bash --version | head -1 \
    && cat /etc/profile.d/aod-test.sh /etc/aod/settings /opt/aod-x/c \
    /etc/ssl/aod/d && test -d /etc/ssl/certs && ! test -e /etc/ssl/private && echo \
    && ! test -e /usr/share/common-licenses \
    && cat /usr/share/doc/of-the-layer && ! grep evil /etc/passwd \
    && ! test -e /etc/linked && ls /etc/profile.d >&2 \
    && ! (echo x >/usr/bin/x) && ! (echo x >/usr/bin/of-the-layer) && ! (echo x >/etc/aod/x) \
    && ! umount /usr && id -u && grep Cap /proc/self/status | sort -u -k2 | wc -l \
    && grep ' /usr' /proc/self/mountinfo";

fn spec(session: &Session, layer: &SystemLayer) -> SandboxSpec {
    let mut spec = session.spec(LOOK);
    spec.system_layer = Some(layer.clone());
    spec
}

fn check(session: &Session, layer: &SystemLayer, output: &str) {
    assert!(output.contains("of the layer\nGNU bash"), "{output}");
    assert!(output.contains("\nabcd\n"), "{output}");
    // All five sets of capabilities are as empty.
    assert!(output.contains("\n1000\n1\n"), "{output}");
    let data = session.data.path().to_string_lossy().into_owned();
    let mounts = output.lines().filter(|line| line.contains("overlay"));
    assert!(mounts.clone().count() > 0, "{output}");
    assert!(
        !mounts.into_iter().any(|line| line.contains(&data)),
        "{output}"
    );
    for view in ["usr", "etc"] {
        let view = fs::read_dir(layer.views.join(view)).unwrap();
        assert_eq!(view.count(), 0, "the host sees nothing of it");
    }
    assert!(!Path::new("/usr/bin/of-the-layer").exists());
}

#[test]
fn a_layer_is_seen_by_one_sandbox_and_changes_nothing() {
    let session = Session::new();
    session.driver.check_layers().unwrap();
    let layer = layer(&session);
    let launch = session.launch(&spec(&session, &layer));
    let (ended, output) = collect(&launch);
    assert!(ended.success(), "{ended:?}: {output}");
    check(&session, &layer, &output);
}

#[test]
fn what_is_mounted_in_the_system_stays_over_what_it_hides() {
    if !Path::new(MOUNTED).exists() {
        eprintln!("skipped: see layers_lie_over_a_system_in_which_something_is_mounted");
        return;
    }
    let session = Session::new();
    session.driver.check_layers().unwrap();
    let layer = layer(&session);
    fs::write(layer.files.join("etc/hosts"), "of the layer").unwrap();
    let mut spec = spec(&session, &layer);
    spec.argv = ["sh", "-c", "ls /usr/share/doc; cat /usr/share/doc/*"]
        .map(str::to_owned)
        .into();
    let (ended, output) = collect(&session.launch(&spec));
    assert!(ended.success(), "{ended:?}: {output}");
    assert_eq!(output, "aod-mounted\nof-the-layer\nmounted\nof it\n");
}
