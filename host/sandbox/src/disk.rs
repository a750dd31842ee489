//! What bounds what a session's home and workspace hold together.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{disk_image, project_quota};

/// What is to bound it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskBy {
    /// A project quota where the file system holds some, else nothing but a watch.
    #[default]
    Auto,
    /// A [project quota](project_quota), and no session without.
    Quota,
    /// A [file system image](disk_image), and no session without.
    Image,
    /// It is measured, and whoever has too much is ended.
    Watch,
}

impl DiskBy {
    /// Whether the kernel will hold it for sessions that are made in `folder`.
    ///
    /// # Errors
    /// Why not, in words for an operator.
    pub fn check(self, folder: &Path) -> Result<(), String> {
        match self {
            Self::Auto | Self::Quota => project_quota::check(folder),
            Self::Image => disk_image::check(folder),
            Self::Watch => Err("as `sandbox.disk_by` asks for".to_owned()),
        }
    }
}
