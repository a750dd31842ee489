//! From the registries that this machine reaches.

use std::process::Command;
use std::time::Duration;

use aod_e2e::{Server, within};
use serde_json::json;

use crate::{environment, layer, printed, start};

/// It downloads some megabytes, and lists of all there are.
const DOWNLOAD: Duration = Duration::from_secs(300);

/// A hash of the names, sizes and times of all that is in `/usr`.
fn system() -> String {
    let list = "find /usr -xdev -printf '%p %s %m %T@ %C@\\n' | sha256sum";
    let output = Command::new("sh").args(["-c", list]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn packages_of_apt_pip_and_npm_are_there_and_the_host_stays_as_it_is() {
    let before = system();
    let server = Server::demo().await;
    let client = server.client();
    let packages = json!({"apt": ["jq", "hello"], "pip": ["six"], "npm": ["is-number"]});
    let environment = environment(client, packages).await;
    let prompt = "$ echo '{\"a\": \"plum\"}' | jq -r .a\n\
                  $ hello --greeting=tangerine; command -v hello\n\
                  $ python3 -c 'import six; print(\"six\", six.__version__)'\n\
                  $ node -e 'console.log(\"number\", require(\"is-number\")(5))'\n\
                  $ touch /usr/bin/x || echo as it was";
    let session = start(client, &environment, prompt).await;
    let mut stream = session.stream().await;
    within("the installation", DOWNLOAD, stream.rest_within(DOWNLOAD)).await;
    let said = printed(&session).await;
    println!("{said}");
    let stdout = session.ended().await.completed().stdout();
    for shown in [
        "plum",
        "tangerine",
        "/usr/bin/hello",
        "six 1.",
        "number true",
        "as it was",
    ] {
        assert!(stdout.contains(shown), "{shown}: {stdout}\n{said}");
    }
    assert_eq!(system(), before, "the host's own system");
    let second = start(client, &environment, "$ hello").await;
    let ended = second.ended().await.completed();
    assert!(
        ended.stdout().contains("Hello, world!"),
        "{}",
        ended.stdout()
    );
    let stage = |event: &aod_e2e::Event| event.data["stage"] == "provision_setup";
    assert!(!ended.events.iter().any(stage), "{:#?}", ended.events);
    println!("{}", layer(client, &environment).await);
}
