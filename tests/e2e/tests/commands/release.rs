//! A release as its users get it: the folder, the archive, the package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use aod_e2e::{Client, DEADLINE, eventually, free_port, program};
use serde_json::Value;

use crate::Said;

pub fn run(command: &mut Command) -> Said {
    Said::of(command.output().unwrap())
}

/// Makes a release of the programs under test; the folder that it is in, and its own.
pub fn release() -> (tempfile::TempDir, PathBuf) {
    let out = tempfile::tempdir().unwrap();
    let aod = program("aod");
    let mut dist = Command::new(program("xtask"));
    dist.args(["dist", "--level", "1", "--out"])
        .arg(out.path())
        .arg("--programs")
        .arg(aod.parent().unwrap());
    let printed = run(&mut dist).good();
    let folder = PathBuf::from(printed.lines().next().unwrap());
    (out, folder)
}

/// A server that ends with the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sums_are_good(folder: &Path) {
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--quiet", "--strict", "SHA256SUMS"]);
    run(check.current_dir(folder)).good();
}

#[tokio::test]
async fn a_release_is_complete_and_serves_without_compiling() {
    let (out, folder) = release();
    sums_are_good(&folder);
    sums_are_good(out.path());
    let aod = folder.join("aod");
    let version = run(Command::new(&aod).arg("--version")).good();
    assert!(version.starts_with("aod 0."), "{version}");
    assert!(version.contains("aod:runtime@1.0.0"), "{version}");

    // The archive has the same files.
    let name = folder.file_name().unwrap().to_str().unwrap();
    let again = tempfile::tempdir().unwrap();
    let mut untar = Command::new("tar");
    untar
        .arg("-xf")
        .arg(out.path().join(format!("{name}.tar.zst")));
    run(untar.arg("-C").arg(again.path())).good();
    sums_are_good(&again.path().join(name));

    let bill = fs::read_to_string(folder.join("sbom.cdx.json")).unwrap();
    let bill: Value = serde_json::from_str(&bill).unwrap();
    assert_eq!(bill["bomFormat"], "CycloneDX");

    serves(&folder).await;
    units_are_good(&folder);
    package_installs_and_goes(out.path());
}

/// The server of a release is ready with what came compiled: its cache stays empty.
async fn serves(folder: &Path) {
    let data = tempfile::tempdir().unwrap();
    let port = free_port();
    let aod = folder.join("aod");
    let log = data.path().join("log");
    let serve = Command::new(&aod)
        .arg("serve")
        .arg("--listen")
        .arg(format!("127.0.0.1:{port}"))
        .arg("--data")
        .arg(data.path().join("data"))
        .current_dir(data.path())
        .stderr(fs::File::create(&log).unwrap())
        .stdout(Stdio::null())
        .spawn();
    let _serving = Serving(serve.unwrap());
    let mut token = Command::new(&aod);
    token.args(["token", "create", "test", "--data"]);
    token.arg(data.path().join("data"));
    let base = format!("http://127.0.0.1:{port}");
    let probe = Client::new(&base, None);
    eventually("the server is ready", DEADLINE, async || {
        let request = probe.request(reqwest::Method::GET, "/health/ready");
        let reply = probe.try_send(request).await.ok()?;
        (reply.status == 200).then_some(())
    })
    .await;
    let token = run(&mut token).good();
    let client = Client::new(&base, Some(token.trim()));
    let listed = eventually("all runtimes are loaded", DEADLINE, async || {
        let listed = client.get("/runtimes").await.expect(200);
        let runtimes = listed["data"].as_array()?.clone();
        let is_settled = runtimes.iter().all(|it| it["health"] != "compiling");
        is_settled.then_some(runtimes)
    })
    .await;
    assert!(listed.len() > 3, "{listed:?}");
    for runtime in &listed {
        assert_eq!(runtime["health"], "ready", "{runtime}");
    }
    let cache = fs::read_dir(data.path().join("data/cache/cwasm")).unwrap();
    let said = fs::read_to_string(&log).unwrap();
    assert_eq!(cache.count(), 0, "something was compiled: {said}");
}

/// What systemd says of the units, where it is there.
fn units_are_good(folder: &Path) {
    for (unit, manager) in [
        ("systemd/aod.service", "--system"),
        ("systemd/user/aod.service", "--user"),
    ] {
        let text = fs::read_to_string(folder.join(unit)).unwrap();
        assert!(
            text.contains("Delegate=yes\nDelegateSubgroup=server\n")
                && text.contains("KillMode=process")
        );
        // Each would mount something where packages of environments lie.
        for option in [
            "ProtectKernelModules",
            "InaccessiblePaths",
            "TemporaryFileSystem",
        ] {
            let is_set = |line: &str| line.split('=').next() == Some(option);
            assert!(!text.lines().any(is_set), "{unit}: {option}");
        }
        // It looks for the program.
        let text = text.replace("/usr/lib/aod", folder.to_str().unwrap());
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("aod.service");
        fs::write(&path, text).unwrap();
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no", manager]).arg(&path);
        // A user's manager has one.
        verify.env("XDG_RUNTIME_DIR", scratch.path());
        let Ok(output) = verify.output() else {
            eprintln!("no systemd-analyze: units are not verified");
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let ours: Vec<&str> = said
            .lines()
            .filter(|it| it.contains("aod.service"))
            // Before 254.
            .filter(|it| !it.contains("DelegateSubgroup"))
            .collect();
        assert!(ours.is_empty(), "{unit}: {ours:?}");
        assert!(!said.contains("Failed to initialize"), "{unit}: {said}");
    }
}

/// Debian's package is installed into a folder and purged again.
fn package_installs_and_goes(out: &Path) {
    let package = fs::read_dir(out)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|it| it == "deb"));
    let Some(package) = package else {
        let has_dpkg = Command::new("dpkg").arg("--version").output().is_ok();
        assert!(!has_dpkg, "no package was made");
        return;
    };
    let root = tempfile::tempdir().unwrap();
    for folder in ["updates", "info", "triggers"] {
        let folder = root.path().join("var/lib/dpkg").join(folder);
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(root.path().join("var/lib/dpkg/status"), "").unwrap();
    let dpkg = |action: &str, what: &Path| {
        let mut dpkg = Command::new("dpkg");
        dpkg.arg(format!("--root={}", root.path().display()))
            .args([
                "--force-depends",
                "--force-script-chrootless",
                "--force-not-root",
            ])
            .args(["--log=/dev/null", action])
            .arg(what)
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            );
        run(&mut dpkg).good();
    };
    dpkg("--install", &package);
    let at = |path: &str| root.path().join(path);
    let version = run(Command::new(at("usr/bin/aod")).arg("--version")).good();
    assert!(version.starts_with("aod 0."), "{version}");
    let runtimes = fs::read_to_string(at("etc/aod/runtimes.toml")).unwrap();
    assert!(
        runtimes.contains("\"/usr/lib/aod/plugins/claude.wasm\""),
        "{runtimes}"
    );
    // Beside the program, for servers that are started without the file of settings.
    let beside = fs::read_to_string(at("usr/lib/aod/runtimes.toml")).unwrap();
    assert_eq!(beside, runtimes);
    for path in [
        "usr/lib/aod/plugins/claude.wasm",
        "usr/lib/systemd/system/aod.service",
        "usr/lib/systemd/user/aod.service",
        "usr/share/man/man1/aod.1.gz",
        "usr/share/doc/aod/changelog.gz",
        "usr/share/bash-completion/completions/aod",
        "usr/share/doc/aod/copyright",
    ] {
        assert!(at(path).is_file(), "{path}");
    }
    // Sessions and the identity are their owner's, whatever becomes of the program.
    fs::create_dir_all(at("var/lib/aod")).unwrap();
    dpkg("--purge", Path::new("aod"));
    for path in [
        "usr/bin/aod",
        "usr/lib/aod",
        "etc/aod",
        "usr/lib/systemd/system/aod.service",
    ] {
        assert!(!at(path).exists(), "{path} stays");
    }
    assert!(at("var/lib/aod").is_dir());
}
