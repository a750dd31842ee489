//! Repositories as resources of a session: their URLs and where they are mounted.

use aod_resources::Resource;

use crate::body::Field;

/// An https git URL without credentials in it.
pub(crate) fn url(field: Field<'_>) -> Option<String> {
    let text = field.string(1, 2048)?;
    let rest = text.strip_prefix("https://");
    let valid = rest.is_some_and(|rest| {
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        !host.is_empty() && !path.trim_matches('/').is_empty()
    }) && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    if !valid {
        field.problem(
            "url_parsing",
            "Input should be an https URL of a git repository",
        );
        return None;
    }
    if rest.is_some_and(|rest| {
        rest.split('/')
            .next()
            .is_some_and(|host| host.contains('@'))
    }) {
        field.secret().problem(
            "value_error",
            "The URL should hold no credentials: use authorization_token",
        );
        return None;
    }
    Some(text.to_owned())
}

/// A path under the workspace.
pub(crate) fn mount_path(field: Field<'_>) -> Option<String> {
    let text = field.string(1, 1024)?;
    let inside = text.strip_prefix("/workspace/").unwrap_or(text);
    if inside.starts_with('/')
        || inside.trim_matches('/').is_empty()
        || inside.split('/').any(|part| part == "..")
        || inside.chars().any(char::is_control)
    {
        field.problem(
            "value_error",
            "Input should be a path under /workspace, without '..'",
        );
        return None;
    }
    Some(text.to_owned())
}

/// Where a resource is mounted, relative to the workspace: at its path, else under its own name.
pub(crate) fn place(resource: &Resource) -> String {
    let path = match &resource.mount_path {
        Some(path) => path.strip_prefix("/workspace/").unwrap_or(path),
        None => resource
            .url
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default(),
    };
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    let place = parts.join("/");
    match &resource.mount_path {
        Some(_) => place,
        None => place.trim_end_matches(".git").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_the_path_or_the_repository() {
        let resource = |url: &str, path: Option<&str>| Resource {
            kind: "github_repository".to_owned(),
            url: url.to_owned(),
            mount_path: path.map(str::to_owned),
        };
        assert_eq!(place(&resource("https://github.com/o/r.git", None)), "r");
        assert_eq!(place(&resource("https://github.com/o/r/", None)), "r");
        assert_eq!(
            place(&resource("https://x/o/r", Some("/workspace/a//b/"))),
            "a/b"
        );
        assert_eq!(place(&resource("https://x/o/r", Some("a/./b"))), "a/b");
    }
}
