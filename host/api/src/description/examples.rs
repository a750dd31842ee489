//! Examples of replies. Those of requests stand in the requests' own tables.

use serde_json::Value;
use utoipa::openapi::schema::Components;
use utoipa::openapi::{RefOr, Schema};

/// Adds the examples to the schemas that they are of.
pub(super) fn add(components: &mut Components) {
    let examples: Value = serde_json::from_str(include_str!("examples.json")).unwrap_or_default();
    for (name, example) in examples.as_object().into_iter().flatten() {
        let Some(RefOr::T(schema)) = components.schemas.get_mut(name) else {
            continue;
        };
        let examples = match schema {
            Schema::Object(schema) => &mut schema.examples,
            Schema::AllOf(schema) => &mut schema.examples,
            Schema::OneOf(schema) => &mut schema.examples,
            Schema::AnyOf(schema) => &mut schema.examples,
            Schema::Array(schema) => &mut schema.examples,
            _ => continue,
        };
        examples.push(example.clone());
    }
}
