//! Schemas of replies, made as exact as replies are and as plain as generators of clients need
//! them.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

const SCHEMAS: &str = "#/components/schemas/";

/// Makes the schemas of a description exact and plain.
pub(super) fn refine(document: &mut Value) {
    let events = reachable(document, "Event");
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else {
        return;
    };
    for (name, schema) in schemas.iter_mut() {
        // An event leaves out what it does not know.
        if !events.contains(name) {
            require_nullable(schema);
        }
    }
    let plain: Vec<(String, Value)> = schemas
        .iter()
        .filter_map(|(name, schema)| Some((name.clone(), distributed(schema, schemas)?)))
        .collect();
    schemas.extend(plain);
}

/// What a reply may give as null is always there: what is left out has no null in its schema.
/// Objects of requests are closed, and their nulls are the same as nothing.
fn require_nullable(schema: &mut Value) {
    let objects = match schema.get_mut("allOf") {
        Some(Value::Array(parts)) => parts.iter_mut().collect(),
        _ => vec![schema],
    };
    for object in objects {
        let Some(map) = object.as_object_mut() else {
            continue;
        };
        if map.contains_key("additionalProperties") {
            continue;
        }
        let nullable: Vec<Value> = map
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter(|(_, property)| is_nullable(property))
            .map(|(name, _)| json!(name))
            .collect();
        let required = map.entry("required").or_insert_with(|| json!([]));
        if let Value::Array(required) = required {
            let more: Vec<Value> = nullable
                .into_iter()
                .filter(|name| !required.contains(name))
                .collect();
            required.extend(more);
        }
        if map["required"] == json!([]) {
            map.remove("required");
        }
    }
}

fn is_nullable(property: &Value) -> bool {
    let null = json!("null");
    let is_null = |schema: &Value| schema["type"] == null;
    property["type"]
        .as_array()
        .is_some_and(|types| types.contains(&null))
        || property["oneOf"]
            .as_array()
            .is_some_and(|all| all.iter().any(is_null))
}

/// Fields that all variants of a choice share, put into each of them: generators do not take a
/// choice as a part of an object.
fn distributed(schema: &Value, schemas: &Map<String, Value>) -> Option<Value> {
    let parts = schema.get("allOf")?.as_array()?;
    let resolved: Vec<&Value> = parts
        .iter()
        .map(|part| resolve(part, schemas).unwrap_or(part))
        .collect();
    let choice = resolved.iter().find_map(|part| part.get("oneOf"))?;
    let shared: Vec<&Value> = resolved
        .iter()
        .copied()
        .filter(|part| part.get("oneOf").is_none())
        .collect();
    let variants: Option<Vec<Value>> = choice
        .as_array()?
        .iter()
        .map(|variant| merged(variant, &shared))
        .collect();
    let mut plain = schema.clone();
    let map = plain.as_object_mut()?;
    map.remove("allOf");
    map.insert("oneOf".to_owned(), Value::Array(variants?));
    Some(plain)
}

fn merged(variant: &Value, shared: &[&Value]) -> Option<Value> {
    let mut whole = variant.clone();
    whole.get("properties")?;
    for part in shared {
        for key in ["properties", "required"] {
            match (&mut whole[key], &part[key]) {
                (Value::Object(own), Value::Object(more)) => own.extend(more.clone()),
                (Value::Array(own), Value::Array(more)) => own.extend(more.clone()),
                (own @ Value::Null, more) => *own = more.clone(),
                _ => {}
            }
        }
    }
    Some(whole)
}

fn resolve<'a>(schema: &Value, schemas: &'a Map<String, Value>) -> Option<&'a Value> {
    schemas.get(schema.get("$ref")?.as_str()?.strip_prefix(SCHEMAS)?)
}

/// The names of a schema and of all that it refers to.
fn reachable(document: &Value, name: &str) -> HashSet<String> {
    let mut seen = HashSet::new();
    let mut names = vec![name.to_owned()];
    while let Some(name) = names.pop() {
        let mut values = vec![&document["components"]["schemas"][&name]];
        if !seen.insert(name) {
            continue;
        }
        while let Some(value) = values.pop() {
            match value {
                Value::Object(map) => {
                    let reference = map.get("$ref").and_then(Value::as_str);
                    let name = reference.and_then(|it| it.strip_prefix(SCHEMAS));
                    names.extend(name.map(str::to_owned));
                    values.extend(map.values());
                }
                Value::Array(list) => values.extend(list),
                _ => {}
            }
        }
    }
    seen
}
