//! Changes of `runtimes.toml` and of components while the server runs; nobody tells it.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use aod_e2e::{DEADLINE, Gate, Runtimes, Server, ServerOptions, eventually, plugin};
use serde_json::{Value, json};

/// A component's place beside the server's `runtimes.toml`.
fn component(server: &Server, name: &str) -> PathBuf {
    let folder = server.runtimes_file().with_file_name("plugins");
    fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{name}.wasm"))
}

fn append(server: &Server, text: &str) {
    let mut file = OpenOptions::new()
        .append(true)
        .open(server.runtimes_file())
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// As editors save.
fn replace(path: &Path, content: impl AsRef<[u8]>) {
    let beside = path.with_extension("new");
    fs::write(&beside, content).unwrap();
    fs::rename(&beside, path).unwrap();
}

async fn runtime(server: &Server, name: &str) -> Option<Value> {
    let reply = server.client().get(&format!("/runtimes/{name}")).await;
    (reply.status == 200).then(|| reply.json())
}

async fn until(
    server: &Server,
    name: &str,
    what: &str,
    condition: impl Fn(&Value) -> bool,
) -> Value {
    eventually(&format!("{name} {what}"), DEADLINE, async || {
        runtime(server, name).await.filter(&condition)
    })
    .await
}

async fn until_health(server: &Server, name: &str, health: &str) -> Value {
    let what = format!("is {health}");
    until(server, name, &what, |runtime| runtime["health"] == health).await
}

#[tokio::test]
async fn a_component_and_a_table_make_a_runtime_of_a_running_server() {
    let server = Server::demo().await;
    let client = server.client();
    let gate = Gate::new("g");
    let undisturbed = client.demo_session(&gate.step()).await;
    gate.reached(&server, &undisturbed).await;

    fs::copy(plugin("demo"), component(&server, "echo")).unwrap();
    append(
        &server,
        "\n[runtime.echo]\ncomponent = \"plugins/echo.wasm\"\n",
    );
    let body = json!({"name": "e", "runtime": "echo", "model": "demo/echo"});
    let agent = eventually("the new runtime takes agents", DEADLINE, async || {
        let reply = client.post("/agents", &body).await;
        (reply.status == 201).then(|| reply.json())
    })
    .await;
    let body = json!({"agent_id": agent["id"], "prompt": "hello"});
    client.create_session(&body).await.ended().await.completed();

    // A bad row is told with its place, and hurts nobody.
    let line = fs::read_to_string(server.runtimes_file())
        .unwrap()
        .lines()
        .count()
        + 3;
    append(&server, "\n[runtime.bad]\ncomponent = 7\n");
    let bad = until_health(&server, "bad", "failed").await;
    let place = format!("runtimes.toml:{line}:13: ");
    assert!(bad["error"].as_str().unwrap().contains(&place), "{bad}");
    for good in ["demo", "echo"] {
        let good = runtime(&server, good).await.unwrap();
        assert_eq!(good["health"], "ready", "{good}");
        assert_eq!(good["error"], Value::Null, "{good}");
    }

    gate.open(&server, &undisturbed);
    undisturbed.ended().await.completed();
}

#[tokio::test]
async fn what_is_broken_later_stays_as_it_was_until_it_is_mended() {
    let server = Server::demo().await;
    let whole = fs::read(plugin("demo")).unwrap();
    let path = component(&server, "echo");
    let table = "\n[runtime.echo]\ncomponent = \"plugins/echo.wasm\"\n";

    // The table first: the component is missing, and then half of it is there.
    append(&server, table);
    let missing = until_health(&server, "echo", "failed").await;
    assert!(
        missing["error"].as_str().unwrap().contains("echo.wasm"),
        "{missing}"
    );
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    until(&server, "echo", "does not compile", |echo| {
        echo["error"]
            .as_str()
            .is_some_and(|error| error.contains("compile"))
    })
    .await;
    fs::write(&path, &whole).unwrap();
    until_health(&server, "echo", "ready").await;

    // The component is overwritten with rubbish, and comes back by rename.
    fs::write(&path, "rubbish").unwrap();
    let stale = until_health(&server, "echo", "stale").await;
    assert!(
        stale["error"]
            .as_str()
            .unwrap()
            .contains("not a WASM component"),
        "{stale}"
    );
    assert_eq!(stale["models"], json!(["demo/echo"]));
    let body = json!({"name": "e", "runtime": "echo", "model": "demo/echo"});
    server.client().post("/agents", &body).await.expect(201);
    replace(&path, &whole);
    until_health(&server, "echo", "ready").await;

    // The component vanishes with its folder, and comes back.
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    until_health(&server, "echo", "stale").await;
    fs::write(component(&server, "echo"), &whole).unwrap();
    until_health(&server, "echo", "ready").await;

    // So does the file itself, with another table in it.
    let text = fs::read_to_string(server.runtimes_file()).unwrap();
    let before = server.log().len();
    fs::remove_file(server.runtimes_file()).unwrap();
    eventually(
        "the server sees that the file is gone",
        DEADLINE,
        async || {
            let log = server.log();
            log.get(before..)?.contains("No such file").then_some(())
        },
    )
    .await;
    until_health(&server, "echo", "ready").await;
    let more = table.replace("runtime.echo", "runtime.parrot");
    replace(&server.runtimes_file(), format!("{text}{more}"));
    until_health(&server, "parrot", "ready").await;

    // What is cut off within a string hides what follows; nothing is lost until it is whole.
    replace(
        &server.runtimes_file(),
        format!("[runtime.first]\ncomponent = \"{text}{more}"),
    );
    let first = until_health(&server, "first", "failed").await;
    assert!(
        first["error"]
            .as_str()
            .unwrap()
            .contains("runtimes.toml:2:"),
        "{first}"
    );
    for there in ["demo", "echo", "parrot"] {
        assert!(runtime(&server, there).await.is_some(), "{there} is gone");
    }
    // A table that is taken out goes.
    replace(&server.runtimes_file(), &text);
    eventually(
        "the runtimes that are no longer declared are gone",
        DEADLINE,
        async || {
            let gone = runtime(&server, "parrot").await.is_none();
            (gone && runtime(&server, "first").await.is_none()).then_some(())
        },
    )
    .await;
    until_health(&server, "echo", "ready").await;
}

#[tokio::test]
async fn a_session_keeps_the_adapter_that_it_began_with() {
    let server = Server::demo().await;
    let gate = Gate::new("g");
    let session = server.client().demo_session(&gate.step()).await;
    gate.reached(&server, &session).await;
    let text = fs::read_to_string(server.runtimes_file()).unwrap();
    let (demo, other) = (plugin("demo"), plugin("codex"));
    let other = text.replace(demo.to_str().unwrap(), other.to_str().unwrap());
    replace(&server.runtimes_file(), other);
    until(&server, "demo", "has another adapter", |demo| {
        demo["adapter"] == "codex"
    })
    .await;

    gate.open(&server, &session);
    let ended = session.ended().await.completed();
    assert!(ended.turn["usage"]["input_tokens"].as_u64().unwrap() > 0);
    session.prompt("and once more").await;
    let ended = session.ended().await.completed();
    assert!(ended.last_stdout().contains("and once more"));
}

#[tokio::test]
async fn a_session_whose_table_is_gone_says_so_and_goes_on_once_it_is_back() {
    let server = Server::demo().await;
    let echo = format!("\n[runtime.echo]\ncomponent = {:?}\n", plugin("demo"));
    let text = fs::read_to_string(server.runtimes_file()).unwrap();
    replace(&server.runtimes_file(), format!("{text}{echo}"));
    until_health(&server, "echo", "ready").await;
    let client = server.client();
    let agent = json!({"name": "e", "runtime": "echo", "model": "demo/echo"});
    let agent = client.create_agent(&agent).await;
    let body = json!({"agent_id": agent, "prompt": "hello"});
    let session = client.create_session(&body).await;
    session.ended().await.completed();

    replace(&server.runtimes_file(), &text);
    eventually("the runtime is gone", DEADLINE, async || {
        runtime(&server, "echo").await.is_none().then_some(())
    })
    .await;
    session.prompt("and now").await;
    let error = session.ended().await.failed();
    for part in ["\"echo\"", "no longer declared", "put its table back"] {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }

    replace(&server.runtimes_file(), format!("{text}{echo}"));
    until_health(&server, "echo", "ready").await;
    session.prompt("once more").await;
    session.ended().await.completed();
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told_by_the_list_and_by_the_turn() {
    let server = Server::start(ServerOptions::new(Runtimes::demo().with(
        "mynah",
        &plugin("demo"),
        "command = \"./tools/mynah\"\n",
    )))
    .await;
    let mynah = until(&server, "mynah", "has a warning", |runtime| {
        runtime["warning"].is_string()
    })
    .await;
    let path = server.runtimes_file().with_file_name("tools").join("mynah");
    let warning = mynah["warning"].as_str().unwrap();
    assert!(warning.contains(path.to_str().unwrap()), "{warning}");

    let client = server.client();
    let agent = json!({"name": "m", "runtime": "mynah", "model": "demo/echo"});
    let agent = client.create_agent(&agent).await;
    let body = json!({"agent_id": agent, "prompt": "hello"});
    let error = client.create_session(&body).await.ended().await.failed();
    for part in ["mynah", "[runtime.mynah]", "`command`", "`install`"] {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
    assert!(!error.contains("prlimit"), "{error}");

    // Beside it in a folder of its own, it is found.
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(&path, "#!/bin/sh\necho found >&2; exit 3\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&path, mode).unwrap();
    let ended = client.create_session(&body).await.ended().await;
    let stderr = aod_e2e::output(&ended.events, "stderr");
    assert_eq!(stderr, "found\n");
}
