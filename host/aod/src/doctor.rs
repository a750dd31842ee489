//! `aod doctor`: what this machine can do.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Result;
use serde::Serialize;

use crate::config::Settings;
use crate::output::outln;

/// One finding.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    state: State,
    detail: String,
    fix: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Partly,
    Missing,
    Broken,
}

impl State {
    const fn sign(self) -> &'static str {
        match self {
            Self::Ok => "ok     ",
            Self::Partly => "partly ",
            Self::Missing => "missing",
            Self::Broken => "BROKEN ",
        }
    }
}

/// Looks at everything and prints it. Fails where no session could run.
pub(crate) fn run(settings: &Settings, json: bool) -> Result<ExitCode> {
    let mut findings = Vec::new();
    sandbox(settings, &mut findings);
    findings.push(raw_egress(settings));
    listening(settings, &mut findings);
    findings.push(node());
    findings.push(program(
        "npm",
        &["--version"],
        "CLIs are installed with it",
        "apt install npm",
    ));
    supervisor(settings, &mut findings);
    runtimes(settings, &mut findings);
    data(&settings.data_dir, &mut findings);
    if json {
        outln!("{}", serde_json::to_string_pretty(&findings)?)?;
    } else {
        for finding in &findings {
            outln!(
                "{}  {:<16} {}",
                finding.state.sign(),
                finding.what,
                finding.detail
            )?;
            if let Some(fix) = &finding.fix {
                outln!("{:26} to mend it: {fix}", "")?;
            }
        }
    }
    let broken = findings
        .iter()
        .any(|finding| finding.state == State::Broken);
    Ok(if broken {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn sandbox(settings: &Settings, findings: &mut Vec<Finding>) {
    let host = settings.host().ok();
    let limits = host.as_ref().map(|host| &host.turns.sandbox.limits);
    let disk = limits.and_then(|limits| limits.disk_bytes);
    let init = host.map(|config| config.supervisor);
    let shares_network = settings.shares_network();
    match aod_sandbox::driver(
        settings.driver(),
        init,
        shares_network,
        &settings.data_dir,
        settings.disk_by(),
    ) {
        Ok(driver) => {
            for check in driver.probe().checks {
                let check = match check.name {
                    "disk" => disk_bound(&settings.data_dir, disk, check),
                    _ => check,
                };
                findings.push(Finding {
                    what: check.name.to_owned(),
                    state: match check.state {
                        aod_sandbox::State::Enforced => State::Ok,
                        aod_sandbox::State::Partial => State::Partly,
                        aod_sandbox::State::NotEnforced => State::Missing,
                        _ => State::Broken,
                    },
                    detail: check.detail,
                    fix: check.fix,
                });
            }
        }
        Err(error) => findings.push(Finding {
            what: "sandbox".to_owned(),
            state: State::Broken,
            detail: error.to_string(),
            fix: None,
        }),
    }
}

/// What no driver knows: what sessions may hold, and whose file system they can fill.
fn disk_bound(data: &Path, most: Option<u64>, check: aod_sandbox::Check) -> aod_sandbox::Check {
    use std::os::unix::fs::MetadataExt as _;
    // Of a folder that is not there yet, the one in which it will be made.
    let device = data
        .ancestors()
        .map(|folder| match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        })
        .find_map(|folder| std::fs::metadata(folder).ok())
        .map(|metadata| metadata.dev());
    let root = std::fs::metadata("/").ok().map(|root| root.dev());
    let whose = match device == root {
        true => "the machine's root file system".to_owned(),
        false => format!("the file system of {}", data.display()),
    };
    match most {
        Some(_) => aod_sandbox::Check {
            detail: format!("{}; they are on {whose}", check.detail),
            fix: check.fix.filter(|_| device == root),
            ..check
        },
        None => aod_sandbox::Check {
            state: aod_sandbox::State::NotEnforced,
            detail: format!("an agent can fill {whose}: home and workspace have no limit"),
            fix: Some("set `sandbox.disk`".to_owned()),
            ..check
        },
    }
}

/// Whether environments can have a network device for programs that know no proxy.
fn raw_egress(settings: &Settings) -> Finding {
    use aod_turns::RawEgress;
    let finding = |state, detail: &str, fix: Option<&str>| Finding {
        what: "raw_egress".to_owned(),
        state,
        detail: detail.to_owned(),
        fix: fix.map(str::to_owned),
    };
    let tun = || {
        std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/net/tun")
    };
    match settings.raw_egress() {
        RawEgress::Off => finding(
            State::Ok,
            "off: environments with `networking.raw` fail, and programs reach the network by the \
             proxy alone",
            None,
        ),
        _ if settings.shares_network() => finding(
            State::Ok,
            "of no use: sandboxes have the host's network",
            None,
        ),
        RawEgress::Missing => finding(
            State::Missing,
            "`passt`, which comes with `pasta`, was not found: environments with `networking.raw` \
             fail",
            Some("apt install passt"),
        ),
        RawEgress::Passt(program) => match tun() {
            Ok(_) => finding(State::Ok, &format!("by {}", program.display()), None),
            Err(error) => finding(
                State::Missing,
                &format!(
                    "/dev/net/tun cannot be opened ({error}): environments with `networking.raw` \
                     fail"
                ),
                Some(
                    "modprobe tun; chmod 666 /dev/net/tun; in a container, start it with `--device \
                     /dev/net/tun`",
                ),
            ),
        },
    }
}

/// Who else may be reached, or may answer, where clients expect the server.
fn listening(settings: &Settings, findings: &mut Vec<Finding>) {
    let address = settings.listen;
    let local = address.ip().is_loopback();
    findings.push(Finding {
        what: "listen".to_owned(),
        state: if local { State::Ok } else { State::Partly },
        detail: match local {
            true => format!("{address} is reached from this host alone"),
            false => format!(
                "{address} is reached from elsewhere, without TLS: whoever is on the way reads tokens"
            ),
        },
        fix: (!local).then(|| "listen on 127.0.0.1, behind a proxy that has TLS".to_owned()),
    });
    let is_shared = findings
        .iter()
        .any(|finding| finding.what == "isolation" && finding.state == State::Missing)
        || findings
            .iter()
            .any(|finding| finding.what == "loopback" && finding.state != State::Ok);
    if is_shared {
        findings.push(Finding {
            what: "port".to_owned(),
            state: State::Partly,
            detail: format!(
                "while no server runs, an agent can listen on port {} and be given clients' tokens, \
                 unless a service manager holds the socket",
                address.port()
            ),
            fix: Some("start the server by a systemd socket unit (`ListenStream=`)".to_owned()),
        });
    }
}

/// The oldest Node.js that the CLIs of the release's runtimes run on.
const NODE: u32 = 20;

fn node() -> Finding {
    let why = "the CLIs that run on Node.js need it";
    let found = program("node", &["--version"], why, "apt install nodejs npm");
    let major = found.detail.strip_prefix('v').and_then(|version| {
        let (major, _) = version.split_once('.')?;
        major.parse::<u32>().ok()
    });
    match major {
        Some(major) if major < NODE => Finding {
            state: State::Partly,
            detail: format!("{}: CLIs need {NODE} or later", found.detail),
            fix: Some(format!(
                "install Node.js {NODE} or later: https://nodejs.org"
            )),
            ..found
        },
        _ => found,
    }
}

fn program(name: &str, args: &[&str], why: &str, fix: &str) -> Finding {
    let version = Command::new(name)
        .args(args)
        .output()
        .ok()
        .filter(|it| it.status.success());
    match version {
        Some(output) => Finding {
            what: name.to_owned(),
            state: State::Ok,
            detail: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            fix: None,
        },
        None => Finding {
            what: name.to_owned(),
            state: State::Missing,
            detail: format!("not found; {why}"),
            fix: Some(fix.to_owned()),
        },
    }
}

fn supervisor(settings: &Settings, findings: &mut Vec<Finding>) {
    let found = settings.host();
    findings.push(match found {
        Ok(config) => Finding {
            what: "supervisor".to_owned(),
            state: State::Ok,
            detail: config.supervisor.display().to_string(),
            fix: None,
        },
        Err(error) => Finding {
            what: "supervisor".to_owned(),
            state: State::Broken,
            detail: crate::output::explain(&error),
            fix: Some("cargo build --release -p aod-egress -p aod-supervisor".to_owned()),
        },
    });
}

fn runtimes(settings: &Settings, findings: &mut Vec<Finding>) {
    let path = &settings.runtimes;
    let there = path.is_file();
    findings.push(Finding {
        what: "runtimes".to_owned(),
        state: if there { State::Ok } else { State::Broken },
        detail: match there {
            true => path.display().to_string(),
            false => format!("there is no {}", path.display()),
        },
        fix: (!there).then(|| "name it with --runtimes or AOD_RUNTIMES".to_owned()),
    });
}

/// Why a folder, or what is there of the folders that it will be in, cannot be written to. Tried
/// with a file that has no name: permissions do not tell of what is mounted read-only.
fn not_writable(dir: &Path) -> Option<String> {
    let there = dir.ancestors().map(|folder| match folder.as_os_str() {
        empty if empty.is_empty() => Path::new("."),
        _ => folder,
    });
    let there = there.into_iter().find(|folder| folder.exists())?;
    let error = match tempfile::tempfile_in(there) {
        Ok(_) => return None,
        Err(error) => error,
    };
    Some(format!("{} cannot be written to: {error}", there.display()))
}

fn data(dir: &Path, findings: &mut Vec<Finding>) {
    use std::os::unix::fs::PermissionsExt as _;
    let finding = |state, detail, fix| Finding {
        what: "data".to_owned(),
        state,
        detail,
        fix,
    };
    // Of a folder that is not there yet, the one in which it will be made has to take it.
    if let Some(problem) = not_writable(dir) {
        let fix = "mount it writable, give it to the server's user, or choose another with --data";
        findings.push(finding(State::Broken, problem, Some(fix.to_owned())));
        return;
    }
    let Ok(metadata) = std::fs::metadata(dir) else {
        findings.push(finding(
            State::Ok,
            format!("{} is made at the first start", dir.display()),
            None,
        ));
        return;
    };
    let mode = metadata.permissions().mode() & 0o777;
    findings.push(if mode & 0o077 == 0 {
        finding(
            State::Ok,
            format!("{} is readable by its owner alone", dir.display()),
            None,
        )
    } else {
        finding(
            State::Partly,
            format!("{} can be reached by others (mode {mode:o})", dir.display()),
            Some(format!("chmod 700 {}", dir.display())),
        )
    });
    if let Ok(space) = rustix::fs::statvfs(dir) {
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        let state = if free < 2 << 30 {
            State::Partly
        } else {
            State::Ok
        };
        findings.push(Finding {
            what: "space".to_owned(),
            state,
            detail: format!("{} free", bytesize::ByteSize(free).display().iec()),
            fix: (state == State::Partly)
                .then(|| "a CLI takes up to 400 MB, each session its workspace".to_owned()),
        });
    }
}
