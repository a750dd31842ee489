//! From `POST /sessions` to the first byte that the CLI says, against the same script in the same
//! sandbox, run by a shell.

use std::time::{Duration, Instant};

use aod_e2e::{DEMO_MODEL, Runtimes, Server, program, repository};
use aod_sandbox::{
    Bubblewrap, BubblewrapConfig, DiskBy, Network, RunOptions, SandboxDriver as _, SandboxSpec,
};
use serde_json::json;

use crate::{median, milliseconds, options, row, server};

const ROUNDS: usize = 40;
const PROMPT: &str = "hello";

pub(crate) async fn measure() {
    let server = server().await;
    let agent = server.client().demo_agent().await;
    let (mut through, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(tokio::task::spawn_blocking(in_a_sandbox).await.unwrap());
        through.push(through_the_server(&server, &agent).await);
    }
    let (through, bare) = (median(through), median(bare));
    row(
        &format!("`POST /sessions` of `{DEMO_MODEL}` to its first output"),
        &milliseconds(through),
        &format!(
            "the same script in the same sandbox, run by a shell, {}",
            milliseconds(bare)
        ),
        &format!("{:.2}×", through.as_secs_f64() / bare.as_secs_f64()),
        "≤ 1.25×",
    );
}

/// The same with the session's files in an image, against a server that watches them. They take turns.
pub(crate) async fn measure_images() {
    let folder = tempfile::tempdir().unwrap();
    if let Err(why) = DiskBy::Image.check(folder.path()) {
        eprintln!("skipped: {why}");
        return;
    }
    let with = async |by: &str| {
        let options = options(Runtimes::demo()).set("AOD_SANDBOX__DISK_BY", by);
        let server = Server::start(options).await;
        let agent = server.client().demo_agent().await;
        (server, agent)
    };
    let (watched, imaged) = (with("watch").await, with("image").await);
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for ((server, agent), times) in [&watched, &imaged].into_iter().zip(&mut times) {
            times.push(through_the_server(server, agent).await);
        }
    }
    let [watched, imaged] = times.map(median);
    row(
        &format!(
            "`POST /sessions` of `{DEMO_MODEL}` to its first output, with `sandbox.disk_by = \"image\"`"
        ),
        &milliseconds(imaged),
        &format!("with `\"watch\"`, {}", milliseconds(watched)),
        &format!("{:.2}×", imaged.as_secs_f64() / watched.as_secs_f64()),
        "≤ 1.3×",
    );
}

async fn through_the_server(server: &Server, agent: &str) -> Duration {
    let begun = Instant::now();
    let session = server
        .client()
        .create_session(&json!({"agent_id": agent, "prompt": PROMPT}))
        .await;
    let mut stream = session.stream().await;
    stream.until(|event| event.kind() == "output").await;
    let took = begun.elapsed();
    stream.rest().await;
    took
}

fn in_a_sandbox() -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let (home, workspace) = (folder.path().join("home"), folder.path().join("workspace"));
    std::fs::create_dir_all(&home).unwrap();
    std::fs::create_dir_all(&workspace).unwrap();
    let script = repository().join("plugins/demo/src/agent.sh");
    std::fs::copy(script, workspace.join("agent.sh")).unwrap();
    let argv = ["sh", "/workspace/agent.sh"].map(str::to_owned).into();
    let mut spec = SandboxSpec::new(argv, &home, &workspace);
    // As the server has it.
    spec.network = Network::Host;
    let mut launch = Bubblewrap::new(BubblewrapConfig {
        init: Some(program("aod-supervisor")),
        ..BubblewrapConfig::default()
    })
    .launch(&spec)
    .unwrap();
    // By a shell, as whoever has no server would.
    let shell = ["-c", "\"$@\"; exit $?", "sh"].map(str::to_owned);
    let sandbox = launch.program.to_string_lossy().into_owned();
    launch.args.splice(..0, shell.into_iter().chain([sandbox]));
    launch.program = "/bin/sh".into();
    let options = RunOptions {
        stdin: PROMPT.into(),
        ..RunOptions::default()
    };
    let begun = Instant::now();
    let mut first = None;
    aod_sandbox::run(&launch, &options, &mut |_| {
        first.get_or_insert_with(|| begun.elapsed());
    })
    .unwrap();
    first.unwrap()
}
