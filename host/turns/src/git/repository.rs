//! A session's repositories, cloned one after the other.

use aod_resources::Resource;
use aod_store::{SealedKind, SessionRecord, Store};
use secrecy::SecretString;
use url::Url;

use super::checkout;
use super::failure::{GitError, Problem};
use super::mirrors::{Failed, Mirrors};
use super::remote::{FetchRequest, Kind};
use super::submodules::Superproject;
use crate::paths::SessionPaths;
use crate::provision::{Cancelled, Output, Sandboxes, StageError};
use crate::{Result, Seals};

/// What is noted as the commit of a repository that had none: git's name for no object.
pub(super) const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// The tokens of a session's repositories, by their places among its resources.
pub(crate) type Tokens = Vec<(usize, SecretString)>;

/// Opens the tokens of a session's repositories.
pub(crate) async fn tokens(
    store: &Store,
    seals: &Seals,
    session: &SessionRecord,
) -> Result<Tokens> {
    if session.session.resources.is_empty() {
        return Ok(Tokens::new());
    }
    let kind = SealedKind::RepositoryToken;
    let sealed = store
        .list_sealed(session.owner, kind, session.session.id)
        .await?;
    let opened = sealed.iter().filter_map(|record| {
        let index = record.key.name.parse().ok()?;
        Some(seals.open(record).map(|token| (index, token)))
    });
    opened.collect()
}

/// What repositories are cloned with.
pub(crate) struct Clones<'a> {
    pub(crate) mirrors: &'a Mirrors,
    pub(crate) sandboxes: &'a Sandboxes,
    pub(crate) store: &'a Store,
    pub(crate) session: &'a SessionRecord,
    pub(crate) paths: &'a SessionPaths,
    pub(crate) trash: &'a aod_trees::Trash,
    pub(crate) tokens: &'a Tokens,
}

impl Clones<'_> {
    /// Clones all repositories that an earlier attempt had not cloned, and notes their commits.
    pub(crate) async fn run(
        &self,
        output: &mut Output,
        cancelled: &Cancelled<'_>,
    ) -> Result<(), StageError> {
        let resources = &self.session.session.resources;
        let mut order: Vec<(usize, &Resource)> = resources.iter().enumerate().collect();
        // Those that others are to be in come first.
        order.sort_by_key(|(_, resource)| resource.place().split('/').count());
        order.sort_by_key(|(_, resource)| !resource.place().is_empty());
        let mut is_anew = false;
        for (index, resource) in order {
            if resource.commit.is_some() && !is_anew {
                continue;
            }
            // What is in it is gone with it.
            is_anew = true;
            let commit = self.clone(index, resource, output, cancelled).await;
            let commit = commit.map_err(|failed| match failed {
                Failed::Problem(problem) => {
                    let url = resource.url.clone();
                    let error = GitError {
                        index,
                        url,
                        problem,
                    };
                    StageError::Failed(error.to_string())
                }
                Failed::Stage(error) => error,
            })?;
            let id = self.session.session.id;
            self.store
                .set_resource_commit(id, index, commit)
                .await
                .map_err(crate::Error::from)?;
        }
        Ok(())
    }

    async fn clone(
        &self,
        index: usize,
        resource: &Resource,
        output: &mut Output,
        cancelled: &Cancelled<'_>,
    ) -> Result<String, Failed> {
        let config = self.mirrors.config();
        let url = Url::parse(&resource.url).map_err(|error| Problem::Other {
            said: error.to_string(),
        })?;
        if url.scheme() == "http" && !config.allow_http {
            return Err(Problem::PlainHttp.into());
        }
        let token = self.tokens.iter().find(|(of, _)| *of == index);
        let token = token.map(|(_, token)| token);
        let depth = resource.depth.or(config.depth).unwrap_or(0);
        let wanted = FetchRequest {
            url: &url,
            token,
            depth,
            checkout: resource.checkout.as_deref().unwrap_or_default(),
        };
        let place = self.mirrors.place(self.sandboxes)?;
        let workspace = self.paths.workspace();
        let held = self
            .mirrors
            .hold(self.sandboxes, &wanted, output, cancelled)
            .await?;
        let path = resource.place();
        checkout::clear(&workspace, &path, self.trash)?;
        let modules = checkout::clone(
            &place, &workspace, resource, &held, depth, output, cancelled,
        )
        .await?;
        let found = held.found.clone();
        // A submodule may be of the same repository.
        drop(held);
        if resource.submodules.unwrap_or(true) {
            let project = Superproject {
                mirrors: self.mirrors,
                place: &place,
                workspace: &workspace,
                url: &url,
                path: path.clone(),
                token,
            };
            project.clone_all(modules, output, cancelled).await?;
        }
        let place = match path.as_str() {
            "" => "the workspace",
            path => path,
        };
        Ok(match found.kind {
            Kind::Empty => {
                output.say(&format!("{place}: an empty repository"));
                NO_COMMIT.to_owned()
            }
            _ => {
                output.say(&format!(
                    "{place}: {} {}",
                    found.commit,
                    found.reference.trim_start_matches("refs/")
                ));
                found.commit
            }
        })
    }
}
