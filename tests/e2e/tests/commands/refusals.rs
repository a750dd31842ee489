//! What commands say, and exit with, where a server does not do what is asked.

use std::process::Command;

use aod_e2e::{Server, program};

use crate::Said;

#[tokio::test]
async fn what_goes_wrong_is_told_with_what_to_do_and_by_exit_codes() {
    let server = Server::demo().await;
    let run = |token: Option<&str>, url: &str, arguments: &[&str]| {
        let mut command = Command::new(program("aod"));
        command.env("AOD_API_URL", url).env_remove("AOD_API_TOKEN");
        if let Some(token) = token {
            command.env("AOD_API_TOKEN", token);
        }
        Said::of(command.args(arguments).output().unwrap())
    };
    let url = server.client().base();
    let token = Some(server.token());
    let no_such = "00000000-0000-4000-8000-000000000000";
    for (token, url, arguments, code, advice) in [
        (
            token,
            "http://127.0.0.1:9",
            &["session", "ls"][..],
            69,
            "aod serve",
        ),
        (
            token,
            "http://127.0.0.1:9",
            &["run", "x"],
            69,
            "AOD_API_URL",
        ),
        (token, "not a url", &["session", "ls"], 1, "http://"),
        (None, url, &["run", "x"], 77, "aod token create"),
        (
            Some("aod_wrong"),
            url,
            &["agent", "ls"],
            77,
            "AOD_API_TOKEN",
        ),
        (token, url, &["session", "show", no_such], 66, "404"),
        (token, url, &["agent", "show", no_such], 66, "404"),
        (
            token,
            url,
            &["run", "x", "--runtime", "none"],
            66,
            "aod runtime list",
        ),
        (
            token,
            url,
            &["run", "x", "--model", "none/none"],
            65,
            "none/none",
        ),
        (
            token,
            url,
            &["session", "files", "get", no_such, "x"],
            66,
            "404",
        ),
        (token, url, &["session", "prompt"], 2, "--help"),
    ] {
        let said = run(token, url, arguments);
        assert_eq!(said.stdout, "", "{arguments:?}");
        let said = said.failed(code);
        assert!(said.contains(advice), "{arguments:?}: {said}");
        assert!(
            !said.contains("panicked") && !said.contains(server.token()),
            "{said}"
        );
    }
}
