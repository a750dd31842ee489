//! The system that a sandboxed command sees: read-only, and without anything of the host's own.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::arguments::Arguments;
use super::{change, layer, proc};
use crate::{HOME, Limits, Network, SandboxSpec, UID};

/// The sandbox's own host name.
const HOSTNAME: &str = "sandbox";

/// Top folders that are aliases of folders in `/usr`, or stand beside it on older systems.
const ALIASES: &[&str] = &["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// What is shown of the host's `/etc`, where it exists: what programs need to load libraries, to
/// check certificates, to know the time zone and to tell file types. No accounts, no keys (hence
/// not `/etc/ssl` and `/etc/pki` as a whole), no host names, no service configuration.
const ETC: &[&str] = &[
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "ethertypes",
    "fonts",
    "gai.conf",
    "host.conf",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "locale.conf",
    "localtime",
    "lsb-release",
    "magic",
    "magic.mime",
    "mime.types",
    "networks",
    "os-release",
    "perl",
    "pki/ca-trust/extracted",
    "pki/tls/cert.pem",
    "pki/tls/certs",
    "pki/tls/openssl.cnf",
    "profile",
    "profile.d",
    "protocols",
    "python3",
    "rpc",
    "services",
    "shells",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
    "xml",
];

/// Names in `/etc` with a version in them that are shown too.
const ETC_PREFIXES: &[&str] = &["java-", "python3."];

/// Folders of the sandbox that are in memory and that the command can write to.
pub(super) const IN_MEMORY: &[&str] = &["/run", "/tmp", "/dev/shm"];

/// Whether nothing may be mounted at `inside`: it belongs to the system.
pub(super) fn reserved(inside: &Path) -> bool {
    let parts = ["/usr", "/proc", "/dev", "/sys", "/var"];
    Path::new(HOME).starts_with(inside)
        || Path::new(crate::WORKSPACE).starts_with(inside)
        || parts
            .iter()
            .chain(ALIASES)
            .any(|part| inside.starts_with(part))
}

/// Adds the system's folders, without what the spec brings itself.
pub(super) fn mount(arguments: &mut Arguments, spec: &SandboxSpec) {
    match (&spec.system_change, &spec.system_layer) {
        (Some(change), _) => change::mount(arguments, change),
        (None, Some(layer)) => layer::usr(arguments, layer),
        (None, None) => arguments.words(["--ro-bind", "/usr", "/usr"]),
    }
    aliases(arguments);
    proc::mount(arguments);
    devices(arguments, &spec.limits);
    temporary(arguments, &spec.limits, "0755", "/run");
    temporary(arguments, &spec.limits, "1777", "/tmp");
    let private = ["--perms", "0700", "--dir", "/run/aod"];
    arguments.words(private);
    if spec.system_change.is_some() {
        change::folders(arguments);
        return;
    }
    etc(arguments, spec);
    for folder in ["/var", "/var/lib", "/var/cache", "/var/log"] {
        arguments.words(["--perms", "0755", "--dir", folder]);
    }
    if let Some(layer) = &spec.system_layer {
        layer::var(arguments, layer);
    }
    arguments.words(["--symlink", "../run", "/var/run"]);
    arguments.words(["--symlink", "../tmp", "/var/tmp"]);
}

/// Adds the folders that are other names of those in `/usr`.
fn aliases(arguments: &mut Arguments) {
    for alias in ALIASES.iter().map(Path::new) {
        if let Ok(target) = fs::read_link(alias) {
            arguments.option(["--symlink".as_ref(), target.as_os_str(), alias.as_os_str()]);
        } else if alias.is_dir() {
            read_only(arguments, alias, alias);
        }
    }
}

/// Whether all of them lead into `/usr`, so that what a package has there goes to `/usr`.
pub(super) fn has_one_usr() -> bool {
    let is_folder = |alias: &str| fs::symlink_metadata(alias).is_ok_and(|it| it.is_dir());
    !ALIASES.iter().any(|alias| is_folder(alias))
}

/// Variables that every program may count on, where the spec does not set them.
pub(super) fn environment() -> [(&'static str, &'static str); 7] {
    [
        ("HOME", HOME),
        ("USER", "agent"),
        ("LOGNAME", "agent"),
        ("SHELL", shell()),
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("TMPDIR", "/tmp"),
        ("LANG", "C.UTF-8"),
    ]
}

/// Adds the options that set the namespaces' own names.
pub(super) fn name(arguments: &mut Arguments) {
    arguments.words(["--hostname", HOSTNAME]);
}

fn shell() -> &'static str {
    if Path::new("/bin/bash").exists() {
        "/bin/bash"
    } else {
        "/bin/sh"
    }
}

fn etc(arguments: &mut Arguments, spec: &SandboxSpec) {
    let etc = Path::new("/etc");
    let versioned = fs::read_dir(etc)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            ETC_PREFIXES
                .iter()
                .any(|prefix| name.starts_with(prefix))
                .then_some(name)
        });
    let mut shown: Vec<PathBuf> = ETC.iter().map(|name| etc.join(name)).collect();
    shown.extend(versioned.map(|name| etc.join(name)));
    if spec.network == Network::Host {
        shown.push(etc.join("resolv.conf"));
    }
    if let Some(layer) = &spec.system_layer {
        layer::rest(arguments, layer, &mut shown);
    }
    for path in shown {
        // Links are followed here: what they point to need not exist inside.
        if let Ok(target) = path.canonicalize() {
            read_only(arguments, &target, &path);
        }
    }

    let accounts = format!(
        "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n\
         agent:x:{UID}:{UID}:Agent:{HOME}:{}\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
        shell()
    );
    let groups = format!("root:x:0:\nagent:x:{UID}:\nnogroup:x:65534:\n");
    let mut hosts = format!("127.0.0.1 localhost {HOSTNAME}\n::1 localhost ip6-localhost\n");
    for (name, address) in &spec.hosts {
        // Writing to a string cannot fail.
        let _ = writeln!(hosts, "{address} {name}");
    }
    // The host's own file may name services that are not to be reached from inside.
    let services = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n\
                    networks: files\nprotocols: files\nservices: files\nrpc: files\n";
    for (path, content) in [
        ("/etc/passwd", accounts),
        ("/etc/group", groups),
        ("/etc/hosts", hosts),
        ("/etc/hostname", format!("{HOSTNAME}\n")),
        ("/etc/nsswitch.conf", services.to_owned()),
    ]
    .into_iter()
    .chain(resolver(spec))
    {
        let fd = arguments.data(content.into_bytes().into());
        arguments.words(["--perms", "0644", "--ro-bind-data", &fd, path]);
    }
}

/// Who resolves names for programs that know no proxy.
fn resolver(spec: &SandboxSpec) -> Option<(&'static str, String)> {
    let Network::Egress(egress) = &spec.network else {
        return None;
    };
    let resolver = egress.tunnel.as_ref()?.resolver;
    let address = resolver.ip();
    Some(("/etc/resolv.conf", format!("nameserver {address}\n")))
}

fn devices(arguments: &mut Arguments, limits: &Limits) {
    arguments.words(["--dev", "/dev"]);
    temporary(arguments, limits, "1777", "/dev/shm");
    // Without this the rest of /dev would be a temporary folder without a limit.
    arguments.words(["--remount-ro", "/dev"]);
}

fn temporary(arguments: &mut Arguments, limits: &Limits, mode: &str, path: &str) {
    arguments.words(["--perms", mode]);
    // Without a size it could take half of the machine's memory.
    let size = [limits.temporary_bytes, limits.memory_bytes]
        .into_iter()
        .flatten()
        .min();
    if let Some(bytes) = size {
        arguments.words(["--size", &bytes.to_string()]);
    }
    arguments.words(["--tmpfs", path]);
}

fn read_only(arguments: &mut Arguments, host: &Path, inside: &Path) {
    arguments.option([
        OsStr::new("--ro-bind"),
        host.as_os_str(),
        inside.as_os_str(),
    ]);
}
