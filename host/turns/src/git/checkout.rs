//! From a mirror into a workspace.

use std::path::Path;

use aod_resources::Resource;
use aod_sandbox::{Network, SandboxSpec};
use aod_trees::{Folder, Trash};

use super::command::{GitSandbox, Script};
use super::failure::Problem;
use super::mirrors::{Failed, Held};
use super::remote::Tail;
use super::submodules::{self, Listed};
use crate::provision::{Cancelled, Output, StageError, Step, execute};

/// What git may do to a mirror: read it as a folder.
pub(super) const FROM_MIRROR: &str = "\
[protocol \"file\"]
	allow = always
[uploadpack]
	allowAnySHA1InWant = true
";

/// Clones a resource from its mirror into a workspace. Gives the submodules of what is there then.
pub(super) async fn clone(
    place: &GitSandbox<'_>,
    workspace: &Path,
    resource: &Resource,
    held: &Held,
    depth: u32,
    output: &mut Output,
    cancelled: &Cancelled<'_>,
) -> Result<Vec<Listed>, Failed> {
    let (mirror, inside) = place.show(&held.folder, "mirror");
    let found = &held.found;
    let script = Script {
        text: concat!(include_str!("checkout.sh"), include_str!("lfs.sh")),
        arguments: vec![
            inside,
            format!("./{}", resource.place()),
            resource.url.clone(),
            found.kind.word().to_owned(),
            found.reference.clone(),
            found.commit.clone(),
            depth.to_string(),
        ],
        folder: workspace,
        shown: vec![mirror],
        settings: FROM_MIRROR.to_owned(),
        files: Vec::new(),
        network: Network::None,
    };
    run(place, place.spec(script), output, cancelled).await?;
    Ok(submodules::listed(place)?)
}

/// Runs a script that needs no network.
pub(super) async fn run(
    place: &GitSandbox<'_>,
    spec: SandboxSpec,
    output: &mut Output,
    cancelled: &Cancelled<'_>,
) -> Result<(), Failed> {
    let step = Step {
        spec,
        stdin: Vec::new(),
        what: "",
        timeout: place.sandboxes.step_timeout,
    };
    let (ended, tail) = execute(place.sandboxes, step, output, cancelled()).await?;
    match ended.success() {
        true => Ok(()),
        false => Err(Problem::Other {
            said: Tail(tail).last_words(),
        }
        .into()),
    }
}

/// Takes away what an earlier attempt left where a repository is to be, and looks that the way
/// there is in the workspace.
pub(super) fn clear(workspace: &Path, place: &str, trash: &Trash) -> Result<(), Failed> {
    let taken = |error: aod_trees::Error| {
        Failed::from(Problem::Place {
            said: error.to_string(),
        })
    };
    let folder = Folder::open(workspace).map_err(taken)?;
    if place.is_empty() {
        for entry in std::fs::read_dir(workspace).map_err(StageError::from)? {
            let name = entry.map_err(StageError::from)?.file_name();
            folder.delete(name.as_ref(), trash).map_err(taken)?;
        }
        return Ok(());
    }
    folder.delete(place.as_ref(), trash).map_err(taken)
}
