//! From the registries that this machine reaches.

use std::process::Command;
use std::time::{Duration, Instant};

use aod_e2e::{Client, Registry, Runtimes, Server, ServerOptions, Session, Stranger, within};
use serde_json::json;

use crate::{environment, layer, printed, start};

/// It downloads some megabytes, and lists of all there are.
const DOWNLOAD: Duration = Duration::from_secs(600);

/// A hash of the names, sizes and times of all that is in `/usr`.
fn system() -> String {
    let list = "find /usr -xdev -printf '%p %s %m %T@ %C@\\n' | sha256sum";
    let output = Command::new("sh").args(["-c", list]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Waits for the end of a session that installs; answers what it wrote, and what provisioning said.
async fn installed(session: &Session) -> (String, String) {
    let mut stream = session.stream().await;
    within("the installation", DOWNLOAD, stream.rest_within(DOWNLOAD)).await;
    let said = printed(session).await;
    println!("{said}");
    (session.ended().await.completed().stdout(), said)
}

#[tokio::test]
async fn packages_of_apt_pip_and_npm_are_there_and_the_host_stays_as_it_is() {
    let before = system();
    let server = Server::demo().await;
    let client = server.client();
    let packages = json!({
        "apt": ["jq", "hello=2.*", "wget"], "pip": ["six >= 1, < 2"], "npm": ["is-number@>=6 <8"],
    });
    let environment = environment(client, packages).await;
    let prompt = "$ echo '{\"a\": \"plum\"}' | jq -r .a\n\
                  $ hello --greeting=tangerine; command -v hello\n\
                  $ python3 -c 'import six; print(\"six\", six.__version__)'\n\
                  $ node -e 'console.log(\"number\", require(\"is-number\")(5))'\n\
                  $ test -s /etc/wgetrc && echo has settings\n\
                  $ test -e /var/lib/dpkg -o -e /etc/shadow || echo nothing of the host\n\
                  $ touch /usr/bin/x || echo as it was";
    let session = start(client, &environment, prompt).await;
    let (stdout, said) = installed(&session).await;
    for shown in [
        "plum",
        "tangerine",
        "/usr/bin/hello",
        "six 1.",
        "number true",
        "has settings",
        "nothing of the host",
        "as it was",
    ] {
        assert!(stdout.contains(shown), "{shown}: {stdout}\n{said}");
    }
    if rustix::process::getuid().is_root() {
        assert!(said.contains("Setting up hello"), "{said}");
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

#[tokio::test]
async fn apt_needs_no_root() {
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_PACKAGES__APT_SCRIPTS", "false");
    let server = Server::start(options).await;
    let client = server.client();
    // The second makes an alternative, and the third may be there already, with settings that no
    // sandbox is shown.
    let packages = json!({"apt": ["hello=2*", "rename", "wget"]});
    let environment = environment(client, packages).await;
    let prompt = "$ hello --greeting=tangerine; touch a; rename s/a/plum/ a; test -e plum && echo renamed\n\
                  $ test -s /etc/wgetrc && echo has settings";
    let session = start(client, &environment, prompt).await;
    let (stdout, said) = installed(&session).await;
    for shown in ["tangerine", "renamed", "has settings"] {
        assert!(stdout.contains(shown), "{shown}: {stdout}\n{said}");
    }
    assert!(said.contains("unpacking hello_"), "{said}");
    assert!(!said.contains("Setting up"), "{said}");
}

#[tokio::test]
async fn gems_go_tools_and_crates_are_installed_by_what_is_there_or_apt_brings() {
    let registry = Registry::start();
    let server = crate::server(&registry).await;
    let client = server.client();
    let packages = json!({
        "gem": ["sample-gem:~> 1.0"], "go": ["sample.test/tool@v1.0.0"], "cargo": ["sample-crate@1"],
    });
    let environment = environment(client, packages).await;
    let prompt = "$ sample-gem; ruby -e 'require \"sample_gem\"; puts \"required \" + SampleGem::SAYS'\n\
                  $ tool 2>&1; echo; sample-crate";
    let session = start(client, &environment, prompt).await;
    let (stdout, said) = installed(&session).await;
    for shown in [
        "ruby sample-gem",
        "required ruby sample-gem",
        "go sample.test/tool",
        "rust sample-crate",
    ] {
        assert!(stdout.contains(shown), "{shown}: {stdout}\n{said}");
    }
    assert_eq!(registry.asked("/crates/sample-crate"), 1);
}

/// How long a session takes until its agent has answered.
async fn answer_time(client: &Client, environment: &str) -> Duration {
    let begun = Instant::now();
    let session = start(client, environment, "hello").await;
    session.stream().await.rest().await;
    let took = begun.elapsed();
    session.ended().await.completed();
    took
}

#[tokio::test]
async fn a_second_session_of_an_ordinary_users_server_is_ready_nearly_as_soon_as_one_without_packages()
 {
    if !rustix::process::getuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let before = system();
    let stranger = Stranger::new();
    let server = Server::start(ServerOptions::new(Runtimes::demo()).by(&stranger)).await;
    let client = server.client();
    let packages = json!({"apt": ["jq"], "pip": ["six"], "npm": ["is-number"]});
    let with_packages = environment(client, packages).await;
    let prompt = "$ echo '{\"a\": \"plum\"}' | jq -r .a\n\
                  $ python3 -c 'import six; print(\"six\", six.__version__)'\n\
                  $ node -e 'console.log(\"number\", require(\"is-number\")(5))'";
    let first = start(client, &with_packages, prompt).await;
    let (stdout, said) = installed(&first).await;
    for shown in ["plum", "six 1.", "number true"] {
        assert!(stdout.contains(shown), "{shown}: {stdout}\n{said}");
    }
    let without = environment(client, json!({})).await;
    // What else the machine does makes either slower, and never faster.
    let (mut plain, mut laden) = (Duration::MAX, Duration::MAX);
    for _ in 0..6 {
        plain = plain.min(answer_time(client, &without).await);
        laden = laden.min(answer_time(client, &with_packages).await);
    }
    println!("without packages {plain:?}, with them {laden:?}");
    let beyond = laden.saturating_sub(plain);
    assert!(
        beyond < Duration::from_millis(300),
        "{beyond:?} beyond {plain:?}"
    );
    assert_eq!(system(), before, "the host's own system");
}
