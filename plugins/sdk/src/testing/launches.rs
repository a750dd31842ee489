//! Launches: shown as a host would carry them out, and what holds for those of every adapter.

use std::fmt::Write as _;

use super::{mcp_servers, written};
use crate::{
    Adapter, Context, Continuity, Endpoint, EndpointSource, Launch, Origin, Prompt, Stdin, prepare,
};

/// All of a launch, in words that a snapshot can keep.
#[must_use]
pub fn shown(launch: &Launch) -> String {
    let mut text = format!("{}\n{:?}\n", launch.argv.join(" "), launch.continuity);
    // Writing to a string cannot fail.
    for variable in &launch.env {
        let _ = writeln!(text, "{}={}", variable.name, written(&variable.value));
    }
    for name in &launch.withhold {
        let _ = writeln!(text, "withhold {name}");
    }
    for name in &launch.expose {
        let _ = writeln!(text, "expose {name}");
    }
    for path in &launch.delete {
        let _ = writeln!(text, "delete {path}");
    }
    for file in &launch.files {
        let content = written(&file.content);
        let _ = writeln!(text, "file {} {:o}\n{content}", file.path, file.mode);
    }
    for extra in &launch.extras {
        let _ = writeln!(text, "{extra:?}");
    }
    let _ = match &launch.stdin {
        Stdin::None => writeln!(text, "no stdin"),
        Stdin::Text(stdin) => writeln!(text, "stdin {}", written(stdin)),
        Stdin::Open(stdin) => writeln!(text, "open stdin {}", written(stdin)),
    };
    text
}

/// A later process that resumes, with everything that a user can ask for and a base URL for
/// `provider`, and its prompt.
#[must_use]
pub fn with_everything(
    (mut context, mut prompt): (Context, Prompt),
    resume: &str,
    provider: &str,
) -> (Context, Prompt) {
    prompt.turn = 2;
    prompt.turn_id = "5e551011-0000-4000-8000-000000000002".to_owned();
    context.origin = Origin::Resume(resume.to_owned());
    context.system = Some("Be brief.\n\"Now\".".to_owned());
    context.mcp_servers = mcp_servers();
    context.endpoints = vec![Endpoint {
        provider: provider.to_owned(),
        url: "http://127.0.0.1:1/".to_owned(),
        source: EndpointSource::User,
    }];
    (context, prompt)
}

/// A later process with nothing to resume is started as the first one was, and says so.
///
/// # Panics
///
/// When it is not.
pub fn starts_afresh<A: Adapter>(context: &Context, mut prompt: Prompt) {
    let first = prepared::<A>(context, &prompt);
    prompt.turn = 2;
    let fresh = prepared::<A>(context, &prompt);
    assert_eq!(fresh.continuity, Continuity::Fresh);
    assert_eq!(fresh.argv, first.argv);
}

/// The secrets of MCP servers stand in files in memory or in the environment, and every file is
/// for its owner alone.
///
/// # Panics
///
/// When they do not.
pub fn keeps_secrets_apart<A: Adapter>(mut context: Context, prompt: &Prompt) {
    context.mcp_servers = mcp_servers();
    for file in prepared::<A>(&context, prompt).files {
        let has_secret = written(&file.content).contains('<');
        assert!(
            !has_secret || file.path.starts_with("/run/private/"),
            "{}",
            file.path
        );
        assert_eq!(file.mode, 0o600);
    }
}

fn prepared<A: Adapter>(context: &Context, prompt: &Prompt) -> Launch {
    match prepare::<A>(context, prompt) {
        Ok(launch) => launch,
        Err(refusal) => panic!("there is no launch: {refusal:?}"),
    }
}
