//! The forms that answers must have.

use serde_json::Value;

use crate::{Error, Result};

/// Checks that a JSON Schema can be held against an answer.
pub(crate) fn check_schema(schema: Option<&Value>) -> Result<()> {
    let Some(schema) = schema else {
        return Ok(());
    };
    aod_turns::json_schema(schema)
        .map(drop)
        .map_err(|problem| Error::OutputSchema { problem })
}
