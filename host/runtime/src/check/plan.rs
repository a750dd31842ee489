//! Whether a plan stays within what an adapter may ask for.

use std::collections::HashSet;

use super::{Invalid, is_variable_name, items};
use crate::types::{Fragment, McpTransport, Plan, Stdin, TurnContext};

/// Checks a plan against the facts that it was made from.
pub(crate) fn plan(given: &Plan, context: &TurnContext) -> Result<(), Invalid> {
    let known = known_secrets(context);
    argv(&given.argv)?;
    items("plan.env", given.env.len())?;
    for variable in &given.env {
        if !is_variable_name(&variable.name) {
            let problem = format!(
                "{:?} is not the name of an environment variable",
                variable.name
            );
            return Err(Invalid::new("plan.env", problem));
        }
        fragments(
            &format!("plan.env.{}", variable.name),
            &variable.value,
            &known,
        )?;
    }
    for name in &given.withhold {
        if !context.secrets.contains(name) {
            let problem = format!("{name:?} is none of the secrets at hand");
            return Err(Invalid::new("plan.withhold", problem));
        }
    }
    for name in &given.expose {
        if !known.contains(name.as_str()) || !is_variable_name(name) {
            let problem = format!("{name:?} is no secret that can be a variable's name");
            return Err(Invalid::new("plan.expose", problem));
        }
    }
    match &given.stdin {
        Stdin::None => {}
        Stdin::Text(text) | Stdin::Open(text) => fragments("plan.stdin", text, &known)?,
    }
    let paths = &context.paths;
    for file in &given.files {
        below(
            "plan.files",
            &file.path,
            &[&paths.home, &paths.workspace, &paths.private],
        )?;
        if file.mode > 0o777 {
            let problem = format!("{}: {:o} is not a file's mode", file.path, file.mode);
            return Err(Invalid::new("plan.files", problem));
        }
        fragments(
            &format!("plan.files {:?}", file.path),
            &file.content,
            &known,
        )?;
    }
    for path in &given.delete {
        below("plan.delete", path, &[&paths.home, &paths.workspace])?;
    }
    Ok(())
}

/// Secrets that may be named in a turn: those at hand, and those of its MCP servers.
pub(crate) fn known_secrets(context: &TurnContext) -> HashSet<&str> {
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

fn argv(argv: &[String]) -> Result<(), Invalid> {
    if argv.first().is_none_or(String::is_empty) {
        return Err(Invalid::new("plan.argv", "names no program"));
    }
    if argv.iter().any(|word| word.contains('\0')) {
        return Err(Invalid::new("plan.argv", "a word holds a NUL byte"));
    }
    Ok(())
}

fn fragments(field: &str, given: &[Fragment], known: &HashSet<&str>) -> Result<(), Invalid> {
    for fragment in given {
        match fragment {
            Fragment::Text(_) => {}
            Fragment::Secret(secret) if known.contains(secret.name.as_str()) => {}
            Fragment::Secret(secret) => {
                let problem = format!("{:?} is no secret of this turn", secret.name);
                return Err(Invalid::new(field, problem));
            }
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
