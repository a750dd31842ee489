//! The image for containers, where an engine answers: Docker, or Podman.

use std::fs;
use std::process::Command;

use aod_e2e::{Client, DEADLINE, eventually, free_port, program, repository};
use serde_json::Value;

use crate::Said;
use crate::release::{release, run};

/// A container engine, and what a test has made in it, which goes with the test.
struct Engine {
    program: &'static str,
    name: String,
}

impl Engine {
    /// The first that answers and has the base of the image, or can get it.
    fn found(base: &str) -> Option<Self> {
        let quietly = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output();
            output.is_ok_and(|it| it.status.success())
        };
        let answers = |program: &&str| quietly(program, &["ps"]);
        let Some(program) = ["docker", "podman"].into_iter().find(answers) else {
            eprintln!("no container engine answers: the image is not built");
            return None;
        };
        if !quietly(program, &["image", "inspect", base]) && !quietly(program, &["pull", base]) {
            eprintln!("{program} cannot get {base}: the image is not built");
            return None;
        }
        let name = format!("aod-test-{}", std::process::id());
        Some(Self { program, name })
    }

    fn says(&self, arguments: &[&str]) -> Said {
        run(Command::new(self.program).args(arguments))
    }

    fn inside(&self, arguments: &[&str]) -> Said {
        self.says(&[&["exec", &self.name], arguments].concat())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for what in [
            &["rm", "--force", &self.name][..],
            &["volume", "rm", &self.name],
            &["image", "rm", "--force", &self.name],
        ] {
            // What a test that failed early has not made is not there.
            let _ = self.says(what);
        }
    }
}

/// The list of a key in the compose file, which is flat enough to be read by lines.
fn listed(compose: &str, key: &str) -> Vec<String> {
    let mut lines = compose.lines().map(str::trim);
    lines.find(|line| *line == format!("{key}:")).unwrap();
    let items = lines.map_while(|line| line.strip_prefix("- "));
    let items: Vec<String> = items.map(|it| it.trim_matches('"').to_owned()).collect();
    assert!(!items.is_empty(), "{key}");
    items
}

#[tokio::test]
async fn the_image_is_built_and_serves_where_an_engine_answers() {
    let files = repository().join("packaging/docker");
    let compose = fs::read_to_string(files.join("compose.yaml")).unwrap();
    assert!(compose.contains("dockerfile: docker/Dockerfile"));
    let dockerfile = fs::read_to_string(files.join("Dockerfile")).unwrap();
    let mut lines = dockerfile.lines();
    let base = lines
        .find_map(|line| line.strip_prefix("ARG BASE="))
        .unwrap();
    let Some(engine) = Engine::found(base) else {
        return;
    };
    let (_out, folder) = release();
    let name = engine.name.as_str();
    let mut build = Command::new(engine.program);
    build.args(["build", "--network", "host", "--file", "docker/Dockerfile"]);
    if engine.program == "podman" {
        build.args(["--format", "docker"]);
    }
    run(build.args(["--tag", name, "."]).current_dir(&folder)).good();
    let version = engine.says(&["run", "--rm", name, "--version"]).good();
    assert!(version.starts_with("aod 0."), "{version}");

    // A token, by another container with the same volume; then as the compose file says.
    let volume = format!("{name}:/var/lib/aod");
    let made = engine.says(&[
        "run", "--rm", "-v", &volume, name, "token", "create", "admin",
    ]);
    let token = made.good();
    let address = format!("127.0.0.1:{}", free_port());
    let listen = format!("AOD_LISTEN={address}");
    let mut start = Command::new(engine.program);
    start.args([
        "run",
        "--detach",
        "--init",
        "--network",
        "host",
        "--name",
        name,
    ]);
    start.args(["--volume", &volume, "--env", &listen]);
    for option in listed(&compose, "security_opt") {
        start.args(["--security-opt", &option]);
    }
    for capability in listed(&compose, "cap_drop") {
        start.args(["--cap-drop", &capability]);
    }
    run(start.arg(name)).good();
    let base = format!("http://{address}");
    let client = Client::new(&base, Some(token.trim()));
    let ready = async || {
        eventually(
            "the server in the container is ready",
            DEADLINE,
            async || {
                let request = client.request(reqwest::Method::GET, "/health/ready");
                let reply = client.try_send(request).await.ok()?;
                (reply.status == 200).then_some(())
            },
        )
        .await;
    };
    ready().await;

    // Who it is, what it can, and what the engine would ask it.
    assert_ne!(engine.inside(&["id", "-u"]).good().trim(), "0");
    let doctor = engine.inside(&["aod", "doctor", "--json"]).stdout;
    let doctor: Vec<Value> = serde_json::from_str(&doctor).unwrap();
    for what in ["isolation", "seccomp", "network", "loopback", "node"] {
        let check = doctor.iter().find(|it| it["what"] == what).unwrap();
        assert_eq!(check["state"], "ok", "{check}");
    }
    let asked = [
        "image",
        "inspect",
        "--format",
        "{{json .Config.Healthcheck.Test}}",
        name,
    ];
    let health: Vec<String> = serde_json::from_str(&engine.says(&asked).good()).unwrap();
    assert_eq!(health[0], "CMD");
    let health: Vec<&str> = health[1..].iter().map(String::as_str).collect();
    engine.inside(&health).good();

    // A session in a sandbox in the container.
    let aod = |arguments: &[&str]| {
        let mut command = Command::new(program("aod"));
        command.env("AOD_API_URL", &base);
        command.env("AOD_API_TOKEN", token.trim());
        run(command.args(arguments))
    };
    let prompt = "$ id -u > made.txt; test ! -e /var/lib/aod/aod.db && echo looked >> made.txt";
    let said = aod(&["run", prompt, "--runtime", "demo", "--no-stdin"]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    let session = crate::session_of(&said.stderr);
    let got = aod(&["session", "files", "get", &session, "made.txt", "-"]);
    assert_eq!(got.good(), "1000\nlooked\n");

    // It ends when it is asked to, and what it had is there again.
    engine.says(&["stop", "-t", "30", name]).good();
    let code = engine.says(&["inspect", "--format", "{{.State.ExitCode}}", name]);
    assert_eq!(code.good().trim(), "0");
    engine.says(&["start", name]).good();
    ready().await;
    let shown = aod(&["session", "show", &session, "--json"]).json();
    assert_eq!(shown["status"], "completed", "{shown}");
}
