//! Whether a launch stays within what an adapter may ask for.

use std::collections::HashSet;

use super::{Invalid, is_variable_name, items};
use crate::types::{
    Block, Context, Fragment, Input, Launch, LaunchExtra, McpTransport, Prompt, Stdin,
};

/// What may be named in text that the host completes.
struct Known<'a> {
    secrets: HashSet<&'a str>,
    attachments: HashSet<&'a str>,
}

/// Checks a launch against the facts that it was made from.
pub(crate) fn launch(given: &Launch, context: &Context, prompt: &Prompt) -> Result<(), Invalid> {
    let known = Known {
        secrets: known_secrets(context),
        attachments: ids_of(&prompt.blocks).collect(),
    };
    argv(&given.argv)?;
    items("launch.env", given.env.len())?;
    for variable in &given.env {
        if !is_variable_name(&variable.name) {
            let problem = format!(
                "{:?} is not the name of an environment variable",
                variable.name
            );
            return Err(Invalid::new("launch.env", problem));
        }
        fragments(
            &format!("launch.env.{}", variable.name),
            &variable.value,
            &known,
        )?;
    }
    for name in &given.withhold {
        if !context.secrets.contains(name) {
            let problem = format!("{name:?} is none of the secrets at hand");
            return Err(Invalid::new("launch.withhold", problem));
        }
    }
    for name in &given.expose {
        if !known.secrets.contains(name.as_str()) || !is_variable_name(name) {
            let problem = format!("{name:?} is no secret that can be a variable's name");
            return Err(Invalid::new("launch.expose", problem));
        }
    }
    match &given.stdin {
        Stdin::None => {}
        Stdin::Text(text) | Stdin::Open(text) => fragments("launch.stdin", text, &known)?,
    }
    let paths = &context.paths;
    for file in &given.files {
        below(
            "launch.files",
            &file.path,
            &[&paths.home, &paths.workspace, &paths.private],
        )?;
        if file.mode > 0o777 {
            let problem = format!("{}: {:o} is not a file's mode", file.path, file.mode);
            return Err(Invalid::new("launch.files", problem));
        }
        fragments(
            &format!("launch.files {:?}", file.path),
            &file.content,
            &known,
        )?;
    }
    for path in &given.delete {
        below("launch.delete", path, &[&paths.home, &paths.workspace])?;
    }
    for extra in &given.extras {
        match extra {
            LaunchExtra::ReadBack(file) => {
                below(
                    "launch.read-back",
                    &file.path,
                    &[&paths.home, &paths.private],
                )?;
                if !context.secrets.contains(&file.credential) {
                    let problem = format!("{:?} is none of the secrets at hand", file.credential);
                    return Err(Invalid::new("launch.read-back", problem));
                }
            }
            LaunchExtra::Follow(path) => below("launch.follow", path, &[&paths.home])?,
            LaunchExtra::Other(_) => {}
        }
    }
    Ok(())
}

/// Secrets that may be named: those at hand, and those of MCP servers.
pub(crate) fn known_secrets(context: &Context) -> HashSet<&str> {
    let mcp = context
        .mcp_servers
        .iter()
        .flat_map(|server| match &server.transport {
            McpTransport::Url(url) => &url.headers,
            McpTransport::Stdio(stdio) => &stdio.env,
        });
    let named = context.secrets.iter().map(String::as_str);
    named
        .chain(mcp.map(|value| value.secret.as_str()))
        .collect()
}

/// The ids of the attachments that come with an input.
pub(crate) fn attachments(input: &Input) -> impl Iterator<Item = String> {
    let blocks = match input {
        Input::Prompt(prompt) => &prompt.blocks[..],
        Input::Inject(injection) => &injection.blocks,
        _ => &[],
    };
    ids_of(blocks).map(str::to_owned)
}

fn ids_of(blocks: &[Block]) -> impl Iterator<Item = &str> {
    blocks.iter().filter_map(|block| match block {
        Block::Text(_) => None,
        Block::Image(attachment) | Block::File(attachment) => Some(attachment.id.as_str()),
    })
}

fn argv(argv: &[String]) -> Result<(), Invalid> {
    if argv.first().is_none_or(String::is_empty) {
        return Err(Invalid::new("launch.argv", "names no program"));
    }
    if argv.iter().any(|word| word.contains('\0')) {
        return Err(Invalid::new("launch.argv", "a word holds a NUL byte"));
    }
    Ok(())
}

fn fragments(field: &str, given: &[Fragment], known: &Known<'_>) -> Result<(), Invalid> {
    for fragment in given {
        let (known, name, what) = match fragment {
            Fragment::Text(_) => continue,
            Fragment::Secret(secret) => (&known.secrets, secret.name.as_str(), "secret"),
            Fragment::Attachment(id) => (&known.attachments, id.as_str(), "attachment"),
        };
        if !known.contains(name) {
            let problem = format!("{name:?} is no {what} of this process");
            return Err(Invalid::new(field, problem));
        }
    }
    Ok(())
}

/// Whether a path lies strictly below one of some folders, by its text alone: the parts that
/// could lead elsewhere are refused. What a symbolic link does is for whoever opens the path.
fn below(field: &str, path: &str, folders: &[&str]) -> Result<(), Invalid> {
    let inside = folders.iter().any(|folder| {
        path.strip_prefix(folder)
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|rest| {
                rest.split('/')
                    .all(|part| !part.is_empty() && part != "." && part != "..")
            })
    });
    if inside && !path.contains('\0') {
        return Ok(());
    }
    let folders = folders.join(", ");
    Err(Invalid::new(
        field,
        format!("{path:?} is not an absolute path below {folders}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_their_folders() {
        let folders = ["/home/agent", "/workspace"];
        for path in ["/home/agent/.x/y", "/workspace/..a", "/workspace/a.b/c"] {
            assert!(below("f", path, &folders).is_ok(), "{path}");
        }
        for path in [
            "",
            "/",
            "/home/agent",
            "/home/agent/",
            "/home/agentx/y",
            "/home/agent/../root",
            "/home/agent/./x",
            "/home/agent//x",
            "workspace/x",
            "/etc/passwd",
            "/workspace/a\0b",
        ] {
            assert!(below("f", path, &folders).is_err(), "{path:?}");
        }
    }
}
