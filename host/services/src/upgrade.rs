//! Whether this release can take a data folder over. Nothing of it is changed.

use std::path::Path;

use aod_store::{Database, SCHEMA_VERSION};
use serde::Serialize;

use crate::backup::INCOMPLETE;

/// What was found about a data folder.
#[derive(Clone, Debug, Serialize)]
pub struct UpgradeCheck {
    /// Whether a server of this release can begin on it.
    pub can_take_over: bool,
    /// The version of its database's schema; none where it cannot be told.
    pub schema: Option<i64>,
    /// The version that this release brings it to.
    pub supported_schema: i64,
    /// The newest version of a log's format that this release reads.
    pub supported_log_format: u32,
    /// How many sessions' logs were looked at.
    pub logs: u64,
    /// What is in the way.
    pub problems: Vec<String>,
}

/// Looks at a data folder.
pub fn check(data: &Path) -> UpgradeCheck {
    let mut check = UpgradeCheck {
        can_take_over: false,
        schema: None,
        supported_schema: SCHEMA_VERSION,
        supported_log_format: aod_log::FORMAT_VERSION,
        logs: 0,
        problems: Vec::new(),
    };
    if data.join(INCOMPLETE).exists() {
        check.problems.push(
            "a backup was being put back into it and is not all there: remove it, and run \
             `aod restore` again"
                .to_owned(),
        );
    }
    let database = data.join("aod.db");
    let opened = match database.is_file() {
        true => Database::open(&database).map_err(|error| error.to_string()),
        false => Err(format!(
            "there is no database {}: name the data folder with --data",
            database.display()
        )),
    };
    match opened {
        Ok(database) => check.schema = Some(database.version()),
        Err(problem) => check.problems.push(problem),
    }
    for entry in std::fs::read_dir(data.join("sessions"))
        .into_iter()
        .flatten()
    {
        let Ok(entry) = entry else { continue };
        check.logs += 1;
        match aod_log::check_format(&entry.path().join("log")) {
            // A damaged log is its own session's trouble, with any release.
            Ok(()) | Err(aod_log::Error::Corrupt { .. }) => {}
            Err(error) => check.problems.push(error.to_string()),
        }
    }
    check.can_take_over = check.problems.is_empty();
    check
}
