//! Skills that are repositories, or folders of one.

use std::path::Path;

use aod_sandbox::{Ended, Network};
use url::Url;

use super::checkout::FROM_MIRROR;
use super::command::Script;
use super::failure::Problem;
use super::mirrors::{Failed, Mirrors};
use super::remote::{FetchRequest, Tail};
use crate::provision::{Cancelled, Output, Sandboxes, StageError, Step, execute};

/// A skill that comes from a repository.
pub(crate) struct RepositorySkill<'a> {
    /// `owner/repo`.
    pub(crate) source: &'a str,
    /// Its name.
    pub(crate) name: &'a str,
    /// The folder for it, below the home.
    pub(crate) place: &'a str,
}

impl RepositorySkill<'_> {
    /// Writes the skill's files into a home, as they are at the moment: a session keeps them.
    pub(crate) async fn write(
        &self,
        mirrors: &Mirrors,
        sandboxes: &Sandboxes,
        home: &Path,
        output: &mut Output,
        cancelled: &Cancelled<'_>,
    ) -> Result<(), StageError> {
        let base = mirrors.config().skills_url.trim_end_matches('/');
        let url = format!("{base}/{}", self.source);
        let written = self
            .copy(&url, mirrors, sandboxes, home, output, cancelled)
            .await;
        let commit = written.map_err(|failed| match failed {
            Failed::Problem(problem) => {
                StageError::Failed(format!("skill {:?} ({url}): {problem}", self.name))
            }
            Failed::Stage(error) => error,
        })?;
        output.say(&format!("skill {}: {commit}", self.name));
        Ok(())
    }

    async fn copy(
        &self,
        url: &str,
        mirrors: &Mirrors,
        sandboxes: &Sandboxes,
        home: &Path,
        output: &mut Output,
        cancelled: &Cancelled<'_>,
    ) -> Result<String, Failed> {
        let url = Url::parse(url).map_err(|error| Problem::Other {
            said: error.to_string(),
        })?;
        let wanted = FetchRequest {
            url: &url,
            token: None,
            depth: 0,
            checkout: "",
        };
        let held = mirrors.hold(sandboxes, &wanted, output, cancelled).await?;
        let place = mirrors.place(sandboxes)?;
        let (mirror, inside) = place.show(&held.folder, "mirror");
        let script = Script {
            text: include_str!("skill.sh"),
            arguments: vec![
                inside,
                held.found.commit.clone(),
                self.name.to_owned(),
                format!("./{}", self.place),
            ],
            folder: home,
            shown: vec![mirror],
            settings: FROM_MIRROR.to_owned(),
            files: Vec::new(),
            network: Network::None,
        };
        let step = Step {
            spec: place.spec(script),
            stdin: Vec::new(),
            what: "",
            timeout: sandboxes.step_timeout,
        };
        let (ended, tail) = execute(sandboxes, step, output, cancelled()).await?;
        match ended {
            Ended::Exited(0) => Ok(held.found.commit),
            Ended::Exited(74) => Err(Problem::NoSkill {
                name: self.name.to_owned(),
            }
            .into()),
            _ => Err(Problem::Other {
                said: Tail(tail).last_words(),
            }
            .into()),
        }
    }
}
