//! Submodules: each from a mirror of its own, as its superproject's commit has it.

use std::collections::{HashMap, VecDeque};
use std::path::Path;

use aod_sandbox::Network;
use secrecy::SecretString;
use url::Url;

use super::checkout::{self, FROM_MIRROR};
use super::command::{GitSandbox, Script};
use super::failure::Problem;
use super::mirrors::{Failed, Mirrors};
use super::remote::FetchRequest;
use crate::provision::{Cancelled, Output, StageError};

/// The most of a repository, those of submodules included.
const MAX: usize = 200;
/// How deep they may be nested.
const MAX_DEPTH: usize = 8;

/// A submodule as its superproject names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    name: String,
    path: String,
    url: String,
    commit: String,
}

/// A repository whose submodules are to be cloned.
pub(super) struct Superproject<'a> {
    pub(super) mirrors: &'a Mirrors,
    pub(super) place: &'a GitSandbox<'a>,
    pub(super) workspace: &'a Path,
    /// Its own URL.
    pub(super) url: &'a Url,
    /// Where it is in the workspace.
    pub(super) path: String,
    /// What opened it, and opens those of its submodules that are on the same host.
    pub(super) token: Option<&'a SecretString>,
}

impl Superproject<'_> {
    /// Clones all submodules, and theirs.
    pub(super) async fn clone_all(
        &self,
        listed: Vec<Listed>,
        output: &mut Output,
        cancelled: &Cancelled<'_>,
    ) -> Result<(), Failed> {
        let mut count = 0;
        let first = listed.into_iter();
        let first = first.map(|module| (module, self.url.clone(), self.path.clone(), 1));
        let mut waiting: VecDeque<(Listed, Url, String, usize)> = first.collect();
        while let Some((module, parent, path, depth)) = waiting.pop_front() {
            count += 1;
            if count > MAX || depth > MAX_DEPTH {
                return Err(Problem::TooManySubmodules { max: MAX }.into());
            }
            let url = self.resolve(&module, &parent)?;
            let cloned = self.clone(&module, &url, &path, output, cancelled).await;
            let nested = cloned.map_err(|failed| of_submodule(&module, failed))?;
            let below = format!("{path}/{}", module.path);
            waiting.extend(
                nested
                    .into_iter()
                    .map(|nested| (nested, url.clone(), below.clone(), depth + 1)),
            );
        }
        Ok(())
    }

    /// A submodule's URL, which may be relative to its superproject's.
    fn resolve(&self, module: &Listed, parent: &Url) -> Result<Url, Failed> {
        let problem = || {
            let url = module.url.chars().take(200).collect();
            of_submodule(module, Problem::Protocol { url }.into())
        };
        let resolved = resolve(&module.url, parent).ok_or_else(problem)?;
        match resolved.scheme() {
            "https" => Ok(resolved),
            "http" if self.mirrors.config().allow_http => Ok(resolved),
            "http" => Err(of_submodule(module, Problem::PlainHttp.into())),
            _ => Err(problem()),
        }
    }

    async fn clone(
        &self,
        module: &Listed,
        url: &Url,
        path: &str,
        output: &mut Output,
        cancelled: &Cancelled<'_>,
    ) -> Result<Vec<Listed>, Failed> {
        let is_same_host = url.origin() == self.url.origin();
        let wanted = FetchRequest {
            url,
            token: self.token.filter(|_| is_same_host),
            depth: 0,
            checkout: &module.commit,
        };
        let sandboxes = self.place.sandboxes;
        let held = self
            .mirrors
            .hold(sandboxes, &wanted, output, cancelled)
            .await?;
        let (mirror, inside) = self.place.show(&held.folder, "mirror");
        let script = Script {
            text: concat!(include_str!("submodule.sh"), include_str!("lfs.sh")),
            arguments: vec![
                format!("./{path}"),
                module.name.clone(),
                module.path.clone(),
                inside,
                url.to_string(),
            ],
            folder: self.workspace,
            shown: vec![mirror],
            settings: FROM_MIRROR.to_owned(),
            files: Vec::new(),
            network: Network::None,
        };
        checkout::run(self.place, self.place.spec(script), output, cancelled).await?;
        Ok(listed(self.place)?)
    }
}

fn of_submodule(module: &Listed, failed: Failed) -> Failed {
    match failed {
        Failed::Problem(problem) => Problem::Submodule {
            path: module.path.chars().take(200).collect(),
            problem: Box::new(problem),
        }
        .into(),
        stage => stage,
    }
}

/// A URL as `.gitmodules` has it: whole, or relative to the superproject's.
fn resolve(url: &str, parent: &Url) -> Option<Url> {
    if !url.starts_with("./") && !url.starts_with("../") {
        let url = Url::parse(url).ok()?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        return is_plain.then_some(url);
    }
    // Relative to the repository as to a folder, as git has it.
    let mut resolved = parent.clone();
    let path = resolved.path().trim_end_matches('/').to_owned();
    let mut parts: Vec<&str> = path.split('/').collect();
    for part in url.split('/').filter(|part| !part.is_empty()) {
        match part {
            "." => {}
            // The first part is what comes before the path's first slash.
            ".." if parts.len() > 1 => drop(parts.pop()),
            ".." => return None,
            part => parts.push(part),
        }
    }
    resolved.set_path(&parts.join("/"));
    Some(resolved)
}

/// The submodules that the last script listed in its home.
pub(super) fn listed(place: &GitSandbox<'_>) -> Result<Vec<Listed>, StageError> {
    let (modules, links) = (place.result("modules")?, place.result("links")?);
    Ok(read(
        &String::from_utf8_lossy(&modules),
        &String::from_utf8_lossy(&links),
    ))
}

/// Reads what `git config --null` says of `.gitmodules`, and `git ls-files --stage -z` of links to
/// commits. A link that has no entry is left as an empty folder, as git does.
fn read(modules: &str, links: &str) -> Vec<Listed> {
    let mut commits = HashMap::new();
    for link in links.split('\0') {
        if let Some((facts, path)) = link.split_once('\t')
            && let Some(commit) = facts.split(' ').nth(1)
        {
            commits.insert(path, commit);
        }
    }
    let mut by_name: indexmap::IndexMap<&str, (Option<&str>, Option<&str>)> =
        indexmap::IndexMap::new();
    for entry in modules.split('\0') {
        let Some((key, value)) = entry.split_once('\n') else {
            continue;
        };
        let Some((name, field)) = key
            .strip_prefix("submodule.")
            .and_then(|key| key.rsplit_once('.'))
        else {
            continue;
        };
        let module = by_name.entry(name).or_default();
        match field {
            "path" => module.0 = Some(value),
            "url" => module.1 = Some(value),
            _ => {}
        }
    }
    let listed = by_name.into_iter().filter_map(|(name, (path, url))| {
        let (path, url) = (path?, url?);
        Some(Listed {
            name: name.to_owned(),
            path: path.to_owned(),
            url: url.to_owned(),
            commit: (*commits.get(path)?).to_owned(),
        })
    });
    listed.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_may_be_relative_to_the_superprojects() {
        let parent = Url::parse("https://git.test:8/o/r.git").unwrap();
        for (url, expected) in [
            ("../lib.git", Some("https://git.test:8/o/lib.git")),
            ("./lib", Some("https://git.test:8/o/r.git/lib")),
            ("../../x/y", Some("https://git.test:8/x/y")),
            ("https://other.test/a", Some("https://other.test/a")),
            ("../../../../x", None),
            ("git@git.test:o/r", None),
            ("https://user:pw@git.test/r", None),
        ] {
            let resolved = resolve(url, &parent);
            assert_eq!(resolved.as_ref().map(Url::as_str), expected, "{url}");
        }
        // What is no transport of ours parses, and is refused by its scheme.
        for url in ["file:///etc", "ext::sh", "ssh://x/r", "git://x/r"] {
            let scheme = resolve(url, &parent).map(|url| url.scheme().to_owned());
            assert!(
                !matches!(scheme.as_deref(), Some("https" | "http")),
                "{url}"
            );
        }
    }

    #[test]
    fn submodules_have_a_path_a_url_and_a_commit() {
        let modules = "submodule.a.b.path\nlibs/a\0submodule.a.b.url\n../a\0\
                       submodule.none.path\nx\0submodule.gone.path\ny\0submodule.gone.url\nz\0";
        let links = "160000 abc 0\tlibs/a\x00160000 def 0\tx\0";
        let expected = Listed {
            name: "a.b".to_owned(),
            path: "libs/a".to_owned(),
            url: "../a".to_owned(),
            commit: "abc".to_owned(),
        };
        assert_eq!(read(modules, links), [expected]);
    }

    proptest! {
        #[test]
        fn nothing_panics(modules in ".{0,80}", links in ".{0,80}", url in ".{0,40}") {
            let parent = Url::parse("https://git.test/o/r").unwrap();
            read(&modules, &links);
            resolve(&url, &parent);
        }
    }
}
