//! Git repositories of sessions: cloned before the first turn, compared afterwards.
//!
//! A repository is fetched into a bare mirror of the server's own, shared by all sessions that use
//! the same URL with the same token, and cloned from there into a workspace. Every run of git is in
//! a sandbox; only those of [`remote`] have a network and a token, and they see neither a session's
//! home nor its workspace. What comes from a server or was shaped by an agent is thus never read by
//! git outside of a sandbox.

mod checkout;
mod command;
mod diff;
mod failure;
mod identity;
mod mirrors;
mod remote;
mod repository;
mod skills;
mod submodules;

use std::path::PathBuf;

pub(crate) use diff::Diffs;
pub(crate) use identity::give_identity;
pub(crate) use mirrors::Mirrors;
pub(crate) use remote::authorization;
pub(crate) use repository::{Clones, Tokens, tokens};
pub(crate) use skills::RepositorySkill;

/// Settings of git.
#[derive(Clone, Debug, Default)]
pub struct GitConfig {
    /// How many commits of history are cloned where a resource says nothing; none: all.
    pub depth: Option<u32>,
    /// Whether repositories may be fetched without TLS.
    pub allow_http: bool,
    /// A file with certificates of authorities that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// What the `owner/repo` of a skill is below.
    pub skills_url: String,
    /// Mirrors that no session has used for so long are removed at a start.
    pub mirror_age: std::time::Duration,
}
