//! The published schema of normalized events.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

use crate::program::repository;

static EVENT: LazyLock<Validator> = LazyLock::new(|| {
    let path = repository().join("docs/events.schema.json");
    let schema = std::fs::read_to_string(path).map(|text| serde_json::from_str(&text));
    let validator = match schema {
        Ok(Ok(schema)) => jsonschema::validator_for(&schema),
        wrong => panic!("no schema of events: {wrong:?}"),
    };
    match validator {
        Ok(validator) => validator,
        Err(error) => panic!("the schema of events is none: {error}"),
    }
});

/// Checks normalized events against `docs/events.schema.json`.
///
/// # Panics
/// When one of them does not conform.
#[track_caller]
pub fn check_events(events: &[Value]) {
    for event in events {
        let problems: Vec<_> = EVENT.iter_errors(event).map(|it| it.to_string()).collect();
        assert!(problems.is_empty(), "{event:#}: {problems:?}");
    }
}
