use std::collections::HashSet;

use serde_json::{Value, json};

fn document() -> Value {
    crate::openapi()
}

fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().unwrap();
        let name = move |method: &String| format!("{method} {path}");
        item.iter().map(move |(method, it)| (name(method), it))
    });
    all.collect()
}

#[test]
fn no_two_operations_have_the_same_name() {
    let document = document();
    let mut names = HashSet::new();
    for (about, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name), "{about}: {name} stands twice");
    }
    assert!(names.contains("sessions_create"));
}

#[test]
fn every_operation_and_every_answer_is_described() {
    let document = document();
    for (about, operation) in operations(&document) {
        let summary = operation["summary"].as_str().unwrap_or_default();
        assert!(!summary.is_empty(), "{about} has no summary");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let description = parameter["description"].as_str().unwrap_or_default();
            assert!(!description.is_empty(), "{about}: {parameter}");
        }
        let responses = operation["responses"].as_object().unwrap();
        for (status, response) in responses {
            let about = format!("{about} {status}");
            let description = response["description"].as_str().unwrap_or_default();
            assert!(
                !description.is_empty() && description != "See the status.",
                "{about}"
            );
            assert!(response["headers"]["x-request-id"].is_object(), "{about}");
            let content = response["content"].as_object();
            if status == "304" {
                assert!(content.is_none(), "{about} has a body");
                continue;
            }
            let content = content.unwrap_or_else(|| panic!("{about} has no body"));
            assert!(
                content.values().all(|it| it["schema"].is_object()),
                "{about}"
            );
        }
        assert!(responses.contains_key("500"), "{about}");
        let public = operation.get("security").is_some();
        assert_eq!(responses.contains_key("401"), !public, "{about}");
        if operation.get("requestBody").is_some() {
            for status in ["400", "408", "413", "415", "422"] {
                assert!(responses.contains_key(status), "{about} {status}");
            }
        }
    }
}

#[test]
fn every_example_fits_its_schema() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut seen = HashSet::new();
    for (name, schema) in schemas {
        for example in schema["examples"].as_array().into_iter().flatten() {
            let whole = json!({
                "$ref": format!("#/components/schemas/{name}"),
                "components": document["components"],
            });
            let validator = jsonschema::validator_for(&whole).unwrap();
            let problems: Vec<String> = validator
                .iter_errors(example)
                .map(|it| format!("{}: {it}", it.instance_path()))
                .collect();
            assert!(problems.is_empty(), "{name}: {problems:#?}");
            seen.insert(name.as_str());
        }
    }
    let listed: Value = serde_json::from_str(include_str!("examples.json")).unwrap();
    for name in listed.as_object().unwrap().keys() {
        assert!(seen.contains(name.as_str()), "there is no schema {name}");
    }
}
