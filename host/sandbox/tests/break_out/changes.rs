//! Systems that a command changes as root.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use aod_sandbox::{SandboxDriver as _, SystemChange};

use crate::{Session, collect};

/// Changes what it can, and tries what it must not.
const CHANGE: &str = "test $(id -u) = 0 && echo x >/usr/share/aod-made && echo y >/etc/aod-made \
    && chown 65534:65534 /usr/share/aod-made && chmod 4755 /usr/share/aod-made \
    && rm /usr/bin/env && echo z >/var/aod-made && echo o >/opt/aod-made \
    && cat /etc/of-the-base && ! test -e /etc/passwd && ! test -e /var/lib \
    && ! (mount -t tmpfs none /mnt 2>&1) && ! (mknod /tmp/d b 1 1 2>&1) && ! (umount /usr 2>&1) \
    && ! (echo 1 >/proc/sys/kernel/panic) && ! (chroot / true 2>&1) && ! (hostname evil 2>&1) \
    && ! test -e \"$OUTSIDE\" && test $(ls /sys 2>/dev/null | wc -l) = 0 \
    && test $(ls -d /proc/[0-9]* | wc -l) -lt 8 && echo all of it";

#[test]
fn a_changed_system_is_the_commands_own() {
    let session = Session::new();
    let root = session.data.path().join("change");
    let change = SystemChange {
        files: root.join("files"),
        base: root.join("base"),
        work: root.join("work"),
        views: root.join("views"),
    };
    for parent in [&change.files, &change.base, &change.work, &change.views] {
        for name in ["usr", "etc", "var", "opt"] {
            fs::create_dir_all(parent.join(name)).unwrap();
        }
    }
    if !rustix::process::getuid().is_root() {
        session.driver.check_system_change(&root).unwrap_err();
        return;
    }
    session.driver.check_system_change(&root).unwrap();
    // What was tried is gone again.
    assert_eq!(fs::read_dir(&root).unwrap().count(), 4);
    fs::write(change.base.join("etc/of-the-base"), "of the base\n").unwrap();
    let outside = session.data.path().join("outside");
    fs::write(&outside, "").unwrap();
    let mut spec = session.spec(CHANGE);
    let outside = outside.to_string_lossy().into_owned();
    spec.env.push(("OUTSIDE".into(), outside.into()));
    spec.system_change = Some(change.clone());
    let launch = session.launch(&spec);
    let (ended, output) = collect(&launch);
    assert!(ended.success(), "{ended:?}: {output}");
    assert!(output.contains("of the base\n"), "{output}");
    assert!(output.contains("all of it\n"), "{output}");

    let made = change.files.join("usr/share/aod-made").metadata().unwrap();
    assert_eq!((made.uid(), made.mode() & 0o7777), (65534, 0o4755));
    for name in ["etc", "var", "opt"] {
        assert!(change.files.join(name).join("aod-made").is_file(), "{name}");
    }
    for path in ["/usr/share/aod-made", "/etc/aod-made", "/var/aod-made"] {
        assert!(!Path::new(path).exists(), "{path}");
    }
    assert!(Path::new("/usr/bin/env").is_file());
    for view in ["usr", "etc", "var"] {
        let view = fs::read_dir(change.views.join(view)).unwrap();
        assert_eq!(view.count(), 0, "the host sees nothing of it");
    }
}
