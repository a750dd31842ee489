//! The server's own description, and every reply held against it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::client::Reply;

static CONTRACT: OnceLock<Contract> = OnceLock::new();

/// What the server says of itself.
struct Contract {
    /// The description, its schemas closed: see [`closed`].
    document: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// Reads a server's description, once per process: all of its servers are the same program.
///
/// # Panics
/// When there is none.
pub(crate) async fn learn(http: &reqwest::Client, base: &str) {
    if CONTRACT.get().is_some() {
        return;
    }
    let document = async {
        let reply = http.get(format!("{base}/openapi.json")).send().await?;
        reply.error_for_status()?.json::<Value>().await
    };
    match document.await {
        Ok(document) => drop(CONTRACT.set(Contract {
            document: closed(document),
            validators: Mutex::default(),
        })),
        Err(error) => panic!("no description of the server: {error}"),
    }
}

/// Holds a reply against the description: its status is documented for the operation, its type
/// for the status, and its body is as the schema says, without any field beside.
///
/// # Panics
/// When it is not.
#[track_caller]
pub(crate) fn check(reply: &Reply) {
    // nginx has pages of its own for a server that is gone.
    let from_proxy = reply
        .headers
        .get("server")
        .is_some_and(|name| name.as_bytes().starts_with(b"nginx"))
        && reply.status.is_server_error();
    if let (Some(contract), false) = (CONTRACT.get(), from_proxy) {
        let problems = contract.problems(reply);
        assert!(
            problems.is_empty(),
            "{} → {}: the description says otherwise: {problems:#?}\n{}",
            reply.request,
            reply.status,
            reply.text
        );
    }
}

/// Holds the data of an event against the description of its stream.
///
/// # Panics
/// When it is not as described.
#[track_caller]
pub(crate) fn check_event(path: &str, event: &Value) {
    let Some(contract) = CONTRACT.get() else {
        return;
    };
    let Some((template, operation)) = contract.operation("GET", path) else {
        panic!("GET {path} is not described");
    };
    let schema = &operation["responses"]["200"]["content"][EVENTS]["schema"];
    let problems = contract.mismatches(&format!("{template} {EVENTS}"), schema, event);
    assert!(problems.is_empty(), "{path}: {event}: {problems:#?}");
}

const EVENTS: &str = "text/event-stream";
const JSON: &str = "application/json";

impl Contract {
    fn problems(&self, reply: &Reply) -> Vec<String> {
        let (method, path) = reply.request.split_once(' ').unwrap_or_default();
        let Some((template, operation)) = self.operation(method, path) else {
            // An unknown path, or a method that is not served.
            let error = json!({"$ref": "#/components/schemas/Error"});
            return match reply.status.is_client_error() {
                true => self.mismatches("error", &error, &reply.json()),
                // The document, and what browsers ask before they ask.
                false if path == "/openapi.json" || method == "OPTIONS" => Vec::new(),
                // The console's page is for people.
                false if path == "/" => Vec::new(),
                false => vec!["the operation is not described".to_owned()],
            };
        };
        let status = reply.status.as_str();
        let response = &operation["responses"][status];
        let about = format!("{method} {template} {status}");
        if response.is_null() {
            return vec![format!("{about} is not described")];
        }
        let mut problems = Vec::new();
        for name in response["headers"].as_object().into_iter().flatten() {
            // Others come where there is a reason for them.
            if name.0 == "x-request-id" && !reply.headers.contains_key(name.0) {
                problems.push(format!("{about} has no header {}", name.0));
            }
        }
        // Those have no body, whatever they say of it.
        if method == "HEAD" || status == "304" {
            return problems;
        }
        let kind = reply.headers.get("content-type");
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let (shape, media) = match &response["content"][kind] {
            // Of any type, and read as none.
            Value::Null => ("*/*", &response["content"]["*/*"]),
            media => (kind, media),
        };
        if media.is_null() {
            problems.push(format!("{about} is not described as {kind:?}"));
            return problems;
        }
        let key = format!("{about} {kind}");
        let schema = &media["schema"];
        match shape {
            JSON => problems.extend(self.mismatches(&key, schema, &reply.json())),
            EVENTS => {
                let data = reply
                    .text
                    .lines()
                    .filter_map(|it| it.strip_prefix("data: "));
                for event in data {
                    let event = serde_json::from_str(event).unwrap_or(Value::Null);
                    problems.extend(self.mismatches(&key, schema, &event));
                }
            }
            _ => problems.extend(self.mismatches(&key, schema, &json!(reply.text))),
        }
        problems
    }

    /// The operation behind a path, and the path that it is described under. Where several fit,
    /// it is the one with the fewest parameters.
    fn operation(&self, method: &str, path: &str) -> Option<(&str, &Value)> {
        let paths = self.document["paths"].as_object()?;
        let fits = paths.iter().filter(|(template, _)| matches(template, path));
        let (template, item) = fits.min_by_key(|(template, _)| template.matches('{').count())?;
        // `HEAD` is answered as `GET` is.
        let method = method.to_lowercase().replace("head", "get");
        let operation = item.get(method)?;
        Some((template, operation))
    }

    fn mismatches(&self, key: &str, schema: &Value, body: &Value) -> Vec<String> {
        let validator = self.validator(key, schema);
        let problem = |it: jsonschema::ValidationError<'_>| format!("{}: {it}", it.instance_path());
        validator.iter_errors(body).map(problem).collect()
    }

    fn validator(&self, key: &str, schema: &Value) -> Arc<Validator> {
        let mut validators = self
            .validators
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = validators.get(key) {
            return known.clone();
        }
        let whole = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "allOf": [schema],
            "components": self.document["components"],
        });
        let validator = match jsonschema::validator_for(&whole) {
            Ok(validator) => Arc::new(validator),
            Err(error) => panic!("{key}: the schema is none: {error}"),
        };
        validators.insert(key.to_owned(), validator.clone());
        validator
    }
}

fn matches(template: &str, path: &str) -> bool {
    let (mut parts, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (parts.next(), given.next()) {
            (None, None) => return true,
            (Some(part), Some(given)) if part == given => {}
            // A path in a path.
            (Some("{path}"), Some(_)) => return true,
            (Some(part), Some(_)) if part.starts_with('{') => {}
            _ => return false,
        }
    }
}

/// A description whose objects hold what it lists and nothing beside: a field that nobody
/// documents is a mismatch, too. Schemas that are put together by `allOf` are closed as a whole,
/// since each part would refuse the others.
fn closed(mut document: Value) -> Value {
    let schemas = document["components"]["schemas"].take();
    let open: Map<String, Value> = schemas
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name.clone(), close(schema, true)))
        .collect();
    let closed: Map<String, Value> = schemas
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name.clone(), close(schema, false)))
        .collect();
    document["paths"] = close(&document["paths"], false);
    document["components"]["schemas"] = Value::Object(closed);
    document["components"]["open"] = Value::Object(open);
    document
}

/// Closes the objects in a schema; where it is `part` of another, itself not.
fn close(schema: &Value, part: bool) -> Value {
    const SCHEMAS: &str = "#/components/schemas/";
    let map = match schema {
        Value::Object(map) => map,
        Value::Array(list) => return list.iter().map(|it| close(it, part)).collect(),
        other => return other.clone(),
    };
    let mut closed = Map::new();
    for (key, value) in map {
        let value = match (key.as_str(), value) {
            ("$ref", Value::String(reference)) if part => {
                json!(reference.replace(SCHEMAS, "#/components/open/"))
            }
            ("allOf", parts) => close(parts, true),
            ("oneOf" | "anyOf", choices) => close(choices, part),
            ("examples" | "example" | "enum" | "required", value) => value.clone(),
            (_, value) => close(value, false),
        };
        closed.insert(key.clone(), value);
    }
    let is_object = map.get("type") == Some(&json!("object")) && map.contains_key("properties");
    let is_free = map.contains_key("additionalProperties");
    if !part && !is_free && (is_object || map.contains_key("allOf")) {
        closed.insert("unevaluatedProperties".to_owned(), json!(false));
    }
    Value::Object(closed)
}
