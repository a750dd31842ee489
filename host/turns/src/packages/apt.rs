//! Debian packages: apt downloads them with what they need, and they come into a folder that lies
//! over a sandbox's system.
//!
//! Where the server is run by root, apt installs them there ([`super::scripts`]). Otherwise they are
//! unpacked, and nothing of a package is run: no maintainer's scripts, hence no users, no
//! alternatives and no services. What apt is told comes from the host's own `/etc/apt`, which the
//! sandbox sees while apt downloads; nothing but apt runs in there.

use std::fmt::Write as _;
use std::path::Path;

use aod_sandbox::{Mount, PrivateFile, SandboxSpec};
use zeroize::Zeroizing;

use super::build::Build;
use super::package_set::DPKG_STATUS;
use crate::provision::{Cancelled, Output, StageError};

/// Where apt keeps what it downloads, inside.
pub(super) const FOLDER: &str = "/run/aod-apt";
/// Where it finds what the host has.
const STATUS: &str = "/run/aod-dpkg-status";
/// Where the packages are unpacked to, inside.
const SYSTEM: &str = "/opt/aod/system";
/// What apt needs of its folder.
const FOLDERS: [&str; 4] = [
    "apt/state/lists/partial",
    "apt/cache/archives/partial",
    "apt/again/partial",
    super::layer::SYSTEM,
];

/// Where it finds what files the host has of packages.
const INFO: &str = "/run/aod-dpkg-info";
/// So long the names of packages may be, together.
const MOST_NAMES: u64 = 1 << 20;
/// The host's own.
const DPKG_INFO: &str = "/var/lib/dpkg/info";

/// Says of which packages that the host has more is needed than what sandboxes see of it.
const AGAIN: &str = include_str!("again.sh");
/// Unpacks what was downloaded, and makes the names that most rely on.
const UNPACK: &str = include_str!("unpack.sh");
/// Generates what some programs do not work without.
const CACHES: &str = include_str!("caches.sh");
/// Takes what the host's packages have in `/etc`.
const ETC: &str = include_str!("etc.sh");

/// Brings packages into the layer that is being built.
pub(super) async fn install(
    build: &Build<'_>,
    names: &[String],
    output: &mut Output,
    cancelled: &Cancelled<'_>,
) -> Result<(), StageError> {
    for folder in FOLDERS {
        std::fs::create_dir_all(build.folder.join(folder))?;
    }
    let download = ["install", "--yes", "--no-remove", "--download-only"];
    for (options, names) in [
        (&["update"][..], &[][..]),
        (&[&download[..], &["--"]].concat(), names),
    ] {
        let (mut spec, settings) = asking(build)?;
        let what = apt_get(&mut spec, &settings, options, names);
        build.run(spec, &what, output, cancelled).await?;
    }
    let again = packages_again(build, names, output, cancelled).await?;
    if !again.is_empty() {
        let archives = format!("Dir::Cache::archives={FOLDER}/again");
        let apart = ["--reinstall", "-o", &archives, "--"];
        let (mut spec, settings) = asking(build)?;
        let options = [&download[..], &apart].concat();
        let what = apt_get(&mut spec, &settings, &options, &again);
        build.run(spec, &what, output, cancelled).await?;
    }
    match build.runs_scripts {
        true => super::scripts::install(build, names, output, cancelled).await?,
        false => {
            let what = "dpkg-deb --extract";
            shell(build, UNPACK, what, output, cancelled).await?;
            let argv = ["/bin/sh", "-euc", CACHES, "caches", SYSTEM];
            let mut spec = build.confined(argv.map(str::to_owned).to_vec());
            spec.writable.push(system(build));
            build.run(spec, "caches", output, cancelled).await?;
        }
    }
    match again.is_empty() {
        true => Ok(()),
        false => shell(build, ETC, "tar --extract", output, cancelled).await,
    }
}

/// Runs a script that knows where the downloaded packages are, and where they are to go.
async fn shell(
    build: &Build<'_>,
    script: &str,
    what: &str,
    output: &mut Output,
    cancelled: &Cancelled<'_>,
) -> Result<(), StageError> {
    let argv = ["/bin/sh", "-euc", script, what, FOLDER, SYSTEM];
    let mut spec = build.confined(argv.map(str::to_owned).to_vec());
    spec.system_layer = None;
    spec.read_only
        .push(Mount::new(build.folder.join("apt"), FOLDER));
    spec.writable.push(system(build));
    build.run(spec, what, output, cancelled).await
}

fn system(build: &Build<'_>) -> Mount {
    Mount::new(build.folder.join(super::layer::SYSTEM), SYSTEM)
}

/// The packages that the host has, and of which sandboxes do not see all that is needed.
async fn packages_again(
    build: &Build<'_>,
    names: &[String],
    output: &mut Output,
    cancelled: &Cancelled<'_>,
) -> Result<Vec<String>, StageError> {
    let (mut spec, settings) = asking(build)?;
    let argv = [
        "/bin/sh", "-euc", AGAIN, "again", &settings, FOLDER, STATUS, INFO,
    ];
    spec.argv = argv.map(str::to_owned).to_vec();
    spec.argv.extend_from_slice(names);
    spec.read_only.push(Mount::new(DPKG_INFO, INFO));
    build
        .run(spec, "apt-cache depends", output, cancelled)
        .await?;
    let text = aod_trees::read_regular(&build.folder.join("apt/again-names"), MOST_NAMES)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(text.lines().map(str::to_owned).collect())
}

/// A sandbox in which apt's programs work, and reach the archives; and apt's settings in it.
fn asking(build: &Build<'_>) -> Result<(SandboxSpec, String), StageError> {
    let mut spec = build.open(Vec::new())?;
    spec.writable
        .push(Mount::new(build.folder.join("apt"), FOLDER));
    spec.read_only.push(Mount::new(DPKG_STATUS, STATUS));
    spec.read_only.push(Mount::new("/etc/apt", "/etc/apt"));
    let proxy = spec.env.iter().find(|(name, _)| name == "http_proxy");
    let proxy = proxy.map(|(_, value)| value.as_str());
    let content = conf(proxy, &architectures());
    let settings = configure(build, &mut spec, content);
    Ok((spec, settings))
}

/// Has a sandbox run apt-get; answers the command without the settings, which tell nobody anything.
pub(super) fn apt_get(
    spec: &mut SandboxSpec,
    settings: &str,
    options: &[&str],
    names: &[String],
) -> String {
    let words = options.iter().map(|&word| word.to_owned());
    let words: Vec<String> = words.chain(names.iter().cloned()).collect();
    let what = format!("apt-get {}", words.join(" "));
    let program = ["apt-get", "--config-file", settings].map(str::to_owned);
    spec.argv = program.into_iter().chain(words).collect();
    what
}

/// Gives a sandbox settings of apt; answers where they are.
pub(super) fn configure(build: &Build<'_>, spec: &mut SandboxSpec, conf: String) -> String {
    let driver = &*build.sandboxes.driver;
    let folder = driver.private_dir(&build.folder.join("home"));
    let path = folder.join("apt.conf");
    let settings = path.to_string_lossy().into_owned();
    spec.private_files.push(PrivateFile {
        path,
        mode: 0o644,
        content: Zeroizing::new(conf.into_bytes()),
    });
    settings
}

/// The architectures besides its own that the host has packages of.
pub(super) fn architectures() -> Vec<String> {
    let folder = Path::new(DPKG_STATUS).with_file_name("arch");
    let text = std::fs::read_to_string(folder).unwrap_or_default();
    let lines = text.lines().map(str::trim);
    lines
        .filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric()))
        .map(str::to_owned)
        .collect()
}

/// What wins over the host's own settings. Hooks of the host's are for the host; the proxy, where
/// there is one, is the only way out.
pub(super) fn conf(proxy: Option<&str>, architectures: &[String]) -> String {
    let mut conf = format!(
        "Dir::State \"{FOLDER}/state\";\n\
         Dir::State::status \"{STATUS}\";\n\
         Dir::Cache \"{FOLDER}/cache\";\n\
         Dir::Cache::archives \"archives\";\n\
         Dir::Cache::pkgcache \"\";\n\
         Dir::Cache::srcpkgcache \"\";\n\
         Dir::Log \"{FOLDER}\";\n\
         Debug::NoLocking \"1\";\n\
         APT::Install-Recommends \"0\";\n\
         APT::Install-Suggests \"0\";\n\
         APT::Keep-Downloaded-Packages \"1\";\n\
         Acquire::Languages \"none\";\n\
         Acquire::Retries \"3\";\n\
         quiet \"1\";\n\
         quiet::NoUpdate \"1\";\n"
    );
    let mut add = |line: &str| {
        conf.push_str(line);
        conf.push('\n');
    };
    for hook in [
        "APT::Update::Pre-Invoke",
        "APT::Update::Post-Invoke",
        "APT::Update::Post-Invoke-Success",
        "DPkg::Pre-Invoke",
        "DPkg::Post-Invoke",
        "DPkg::Pre-Install-Pkgs",
        "APT::Install::Pre-Invoke",
        "APT::Install::Post-Invoke-Success",
    ] {
        add(&format!("#clear {hook};"));
    }
    // Lists for other programs than apt.
    for list in [
        "CNF",
        "DEP-11",
        "DEP-11-icons-small",
        "DEP-11-icons",
        "DEP-11-icons-hidpi",
    ] {
        add(&format!("#clear Acquire::IndexTargets::deb::{list};"));
    }
    if let Some(proxy) = proxy {
        for scheme in ["http", "https"] {
            add(&format!("#clear Acquire::{scheme}::Proxy-Auto-Detect;"));
            add(&format!("#clear Acquire::{scheme}::ProxyAutoDetect;"));
            add(&format!("#clear Acquire::{scheme}::Proxy;"));
            add(&format!("Acquire::{scheme}::Proxy \"{proxy}\";"));
        }
    }
    if !architectures.is_empty() {
        let mut list = String::from("#clear APT::Architectures;\nAPT::Architectures {");
        for name in architectures {
            // Writing to a string cannot fail.
            let _ = write!(list, " \"{name}\";");
        }
        list.push_str(" };");
        add(&list);
    }
    conf
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_hooks_and_proxies_do_not_count() {
        let conf = conf(Some("http://127.0.0.1:1"), &["amd64".into(), "i386".into()]);
        for line in [
            "#clear APT::Update::Post-Invoke;",
            "#clear Acquire::http::Proxy;\nAcquire::http::Proxy \"http://127.0.0.1:1\";",
            "APT::Architectures { \"amd64\"; \"i386\"; };",
        ] {
            assert!(conf.contains(line), "{line}: {conf}");
        }
        assert!(!super::conf(None, &[]).contains("Proxy \""));
    }
}
