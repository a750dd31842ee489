//! The description of the API, against the API.

use reqwest::Method;
use serde_json::Value;

use crate::server;

/// The contract's routes.
const ROUTES: [(&str, &str); 40] = [
    ("get", "/health"),
    ("get", "/health/live"),
    ("get", "/health/ready"),
    ("get", "/agents"),
    ("post", "/agents"),
    ("get", "/agents/{id}"),
    ("put", "/agents/{id}"),
    ("post", "/agents/{id}/archive"),
    ("get", "/agents/{id}/versions"),
    ("get", "/environments"),
    ("post", "/environments"),
    ("get", "/environments/{id}"),
    ("put", "/environments/{id}"),
    ("post", "/environments/{id}/archive"),
    ("get", "/environments/{id}/versions"),
    ("delete", "/environments/{id}/delete"),
    ("get", "/sessions"),
    ("post", "/sessions"),
    ("get", "/sessions/{id}"),
    ("post", "/sessions/{id}/prompt"),
    ("get", "/sessions/{id}/turns"),
    ("post", "/sessions/{id}/terminate"),
    ("post", "/sessions/{id}/interrupt"),
    ("delete", "/sessions/{id}/delete"),
    ("get", "/sessions/{id}/stream"),
    ("get", "/runtimes"),
    ("get", "/runtimes/{name}"),
    ("post", "/runtimes/reload"),
    ("get", "/models"),
    ("get", "/tokens"),
    ("post", "/tokens"),
    ("delete", "/tokens/{id}"),
    ("get", "/users"),
    ("post", "/users"),
    ("post", "/users/{id}/tokens"),
    ("get", "/metrics"),
    ("get", "/sessions/{id}/provisioning"),
    ("get", "/sessions/{id}/diff"),
    ("get", "/sessions/{id}/events"),
    ("get", "/credentials"),
];

#[tokio::test]
async fn it_describes_the_contracts_routes_and_each_of_them_answers() {
    let server = server().await;
    let client = server.client();
    let document = client.get("/openapi.json").await.expect(200);
    assert!(
        document["openapi"].as_str().unwrap().starts_with("3.1"),
        "{}",
        document["openapi"]
    );
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let paths = document["paths"].as_object().unwrap();
    for (method, path) in ROUTES {
        let there = paths
            .get(path)
            .is_some_and(|routes| routes.get(method).is_some());
        assert!(there, "{method} {path} is not described");
    }
    let id = uuid::Uuid::new_v4().to_string();
    for (path, routes) in paths {
        for (method, route) in routes.as_object().unwrap() {
            let about = format!("{method} {path}");
            let verb = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let asked = path
                .replace("{id}", &id)
                .replace("{name}", "x")
                .replace("{path}", "x")
                // It would go on for ever.
                .replace("/sessions/stream", "/sessions/stream?follow=false");
            let request = client.request(verb, &asked).json(&serde_json::json!({}));
            let reply = client.send(request).await;
            assert_ne!(reply.status, 405, "{about}");
            assert!(reply.status.as_u16() < 500, "{about}: {}", reply.text);
            assert!(
                !reply.text.contains("there is nothing at"),
                "{about} is not served"
            );
            let responses = route["responses"].as_object().unwrap();
            let status = reply.status.as_str();
            assert!(
                responses.contains_key(status),
                "{about}: {status} is not described"
            );
            assert!(route["operationId"].is_string(), "{about}");
        }
    }
}

#[tokio::test]
async fn its_references_lead_somewhere_and_its_ids_differ() {
    let server = server().await;
    let document = server.client().get("/openapi.json").await.expect(200);
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 10, "{references:?}");
    for reference in references {
        let pointer = reference
            .strip_prefix('#')
            .expect("a reference within the document");
        assert!(
            document.pointer(pointer).is_some(),
            "{reference} leads nowhere"
        );
    }
    let paths = document["paths"].as_object().unwrap();
    let mut operations: Vec<_> = paths
        .values()
        .flat_map(|routes| routes.as_object().unwrap().values())
        .map(|route| route["operationId"].as_str().unwrap())
        .collect();
    let all = operations.len();
    operations.sort_unstable();
    operations.dedup();
    assert_eq!(operations.len(), all, "an operationId stands twice");
}

#[tokio::test]
async fn a_parameter_that_is_not_known_is_refused_everywhere() {
    let server = server().await;
    let client = server.client();
    let document = client.get("/openapi.json").await.expect(200);
    let id = uuid::Uuid::new_v4().to_string();
    for (path, routes) in document["paths"].as_object().unwrap() {
        // Probes of all kinds ask for it.
        if path.starts_with("/health") {
            continue;
        }
        for method in routes.as_object().unwrap().keys() {
            let verb = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let asked = path.replace("{id}", &id).replace("{name}", "x");
            let reply = client
                .send(client.request(verb, &format!("{asked}?budget=3")))
                .await;
            let problems = reply.refused(422);
            assert_eq!(problems[0]["loc"], serde_json::json!(["query", "budget"]));
            assert_eq!(problems[0]["type"], "extra_forbidden", "{method} {path}");
        }
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                references.push(reference.clone());
            }
            map.values().for_each(|value| collect(value, references));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}
