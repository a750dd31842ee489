//! The supervisors that a server started, who outlive it.

use std::fs;
use std::path::Path;

use crate::process::{Process, Tree, all};
use crate::program::program;

/// The supervisors of the sessions in a data folder, with all that runs under each. They are told
/// from others' by the log that they hold open.
#[must_use]
pub fn supervisors(data: &Path) -> Vec<Tree> {
    let wanted = program("aod-supervisor");
    let name = wanted
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let mut found = all();
    found.retain(|process| {
        name.as_deref()
            .is_some_and(|name| process.command().contains(name))
            && holds_open(*process, data)
    });
    Tree::under(&found)
}

fn holds_open(process: Process, folder: &Path) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{}/fd", process.pid)) else {
        return false;
    };
    let mut files = descriptors
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok());
    files.any(|file| file.starts_with(folder))
}
