//! The JSON Schema of events.

use utoipa::ToSchema;

use super::Event;

/// The JSON Schema of an [`Event`], which is `docs/events.schema.json`.
pub fn json_schema() -> serde_json::Value {
    let mut schemas = Vec::new();
    <Event as ToSchema>::schemas(&mut schemas);
    let definitions: serde_json::Map<_, _> = schemas
        .into_iter()
        .map(|(name, schema)| (name, serde_json::json!(schema)))
        .collect();
    let mut schema = serde_json::json!(<Event as utoipa::PartialSchema>::schema());
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "A normalized event".into();
    schema["$defs"] = definitions.into();
    relink(&mut schema);
    schema
}

/// Points references at this schema's own definitions instead of an OpenAPI document's, and takes
/// out formats that OpenAPI alone knows.
fn relink(schema: &mut serde_json::Value) {
    use serde_json::Value;
    match schema {
        Value::Object(fields) => {
            fields.retain(|name, value| name != "format" || value == "date-time");
            for (name, value) in fields {
                match value {
                    Value::String(target) if name == "$ref" => {
                        *target = target.replace("#/components/schemas/", "#/$defs/");
                    }
                    value => relink(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(relink),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_SCHEMA=1 cargo test -p aod-resources schema` writes the file anew.
    #[test]
    fn the_schema_in_the_documentation_is_that_of_the_types() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/events.schema.json");
        let mut schema = json_schema();
        schema.sort_all_objects();
        let schema = format!("{schema:#}\n");
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(file, &schema).unwrap();
        }
        let written = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            written == schema,
            "{file} is not what the types say: set UPDATE_SCHEMA=1 and look at what has changed"
        );
    }
}
