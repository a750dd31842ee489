//! Environments: as agents, with variables that never come out.

use serde_json::{Value, json};

use crate::{ids, server};

#[tokio::test]
async fn an_environment_is_returned_as_documented() {
    let server = server().await;
    let client = server.client();
    let created = client
        .post("/environments", &json!({"name": "e"}))
        .await
        .expect(201);
    let expected = json!({
        "id": created["id"], "type": "environment", "name": "e", "packages": {},
        "setup_script": null, "networking": {"type": "unrestricted", "allowed_hosts": []},
        "vars": {}, "version": 1, "archived_at": null, "created_at": created["created_at"],
        "updated_at": created["updated_at"],
    });
    assert_eq!(created, expected);
    let whole = json!({
        "name": "whole",
        "packages": {"apt": ["jq"], "pip": ["requests==2.32.0"], "npm": ["@scope/x@1"]},
        "setup_script": "echo hi\n",
        "networking": {"type": "limited", "allowed_hosts": ["example.com", "*.example.org"]},
        "vars": {"LOG_LEVEL": "debug", "EMPTY": ""},
    });
    let created = client.post("/environments", &whole).await.expect(201);
    for field in ["name", "packages", "setup_script", "networking", "vars"] {
        assert_eq!(created[field], whole[field], "{field}");
    }
}

#[tokio::test]
async fn variables_are_replaced_as_a_whole_and_never_returned() {
    let server = server().await;
    let client = server.client();
    let (one, two) = ("variable-value-one", "variable-value-two");
    let created = client
        .post(
            "/environments",
            &json!({"name": "e", "env_vars": {"A": one, "B": ""}}),
        )
        .await;
    assert!(!created.text.contains(one));
    let created = created.expect(201);
    assert!(created.get("env_vars").is_none(), "{created}");
    let path = format!("/environments/{}", created["id"].as_str().unwrap());
    let changed = client
        .put(&path, &json!({"version": 1, "env_vars": {"A": two}}))
        .await;
    assert!(!changed.text.contains(two));
    assert_eq!(
        changed.expect(200)["version"],
        2,
        "a changed value is a change"
    );
    let cleared = client
        .put(&path, &json!({"version": 2, "env_vars": {}}))
        .await
        .expect(200);
    assert_eq!(cleared["version"], 3);
    for path in [
        path.clone(),
        format!("{path}/versions"),
        "/environments".to_owned(),
    ] {
        let text = client.get(&path).await.text;
        assert!(
            !text.contains("variable-value") && !text.contains("env_vars"),
            "{text}"
        );
    }
    // What is refused is not repeated either.
    let body = json!({"name": "", "env_vars": {"bad name": "variable-value-three", "C": 17171717}});
    let refused = client.post("/environments", &body).await;
    refused.refused(422);
    assert!(
        !refused.text.contains("variable-value-three"),
        "{}",
        refused.text
    );
    assert!(!refused.text.contains("17171717"), "{}", refused.text);
    assert!(!server.log().contains("variable-value"));
    let files = aod_e2e::files_with(&server.data(), "variable-value", &|_| false);
    assert!(files.is_empty(), "a value lies open in {files:?}");
}

#[tokio::test]
async fn open_variables_are_replaced_as_a_whole_and_kept_with_their_versions() {
    let server = server().await;
    let client = server.client();
    let body =
        json!({"name": "e", "vars": {"A": "one", "B": "two"}, "env_vars": {"C": "secret-value"}});
    let id = client.create_environment(&body).await;
    let path = format!("/environments/{id}");
    let put = async |changes| client.put(&path, &changes).await.expect(200);
    let same = put(json!({"version": 1, "vars": {"A": "one", "B": "two"}})).await;
    assert_eq!(same["version"], 1, "a change that changes nothing");
    let changed = put(json!({"version": 1, "vars": {"B": "three"}})).await;
    assert_eq!(changed["vars"], json!({"B": "three"}));
    let kept = put(json!({"version": 2, "name": "f"})).await;
    assert_eq!(kept["vars"], json!({"B": "three"}));
    // Across two bodies a name may come to be in both; the secret one counts.
    put(json!({"version": 3, "env_vars": {"B": "secret-value"}})).await;
    let versions = client.get(&format!("{path}/versions")).await.expect(200);
    let vars: Vec<&Value> = versions["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| &version["vars"])
        .collect();
    let (one, three) = (json!({"A": "one", "B": "two"}), json!({"B": "three"}));
    assert_eq!(vars, [&three, &three, &three, &one]);
}

#[tokio::test]
async fn versions_archive_and_delete() {
    let server = server().await;
    let client = server.client();
    let id = client.create_environment(&json!({"name": "e"})).await;
    let path = format!("/environments/{id}");
    let before = client.get(&path).await.expect(200);
    assert_eq!(
        client
            .put(&path, &json!({"version": 1, "name": "e"}))
            .await
            .expect(200),
        before
    );
    let script = json!({"version": 1, "setup_script": "true"});
    client.put(&path, &script).await.expect(200);
    let refusal = client.put(&path, &script).await.refusal(409);
    assert_eq!(refusal, "Version mismatch: expected 2, got 1");
    client
        .put(&path, &json!({"version": 2, "setup_script": null}))
        .await
        .expect(200);
    let versions = client.get(&format!("{path}/versions")).await.expect(200);
    let scripts: Vec<_> = versions["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["setup_script"].clone())
        .collect();
    assert_eq!(scripts, [Value::Null, json!("true"), Value::Null]);
    assert!(ids(&versions).iter().all(|of| *of == id));

    client
        .post_empty(&format!("{path}/archive"))
        .await
        .expect(200);
    assert_eq!(
        ids(&client.get("/environments").await.expect(200)),
        Vec::<String>::new()
    );
    client.get(&path).await.expect(200);
    client
        .post_empty(&format!("{path}/archive"))
        .await
        .refused(409);
    client
        .put(&path, &json!({"version": 3, "name": "x"}))
        .await
        .refused(409);
    let reply = client.delete(&format!("{path}/delete")).await.expect(200);
    assert!(reply["detail"].is_string());
    client.get(&path).await.refused(404);
    client.delete(&format!("{path}/delete")).await.refused(404);
}

#[tokio::test]
async fn an_agents_environment_must_be_there() {
    let server = server().await;
    let client = server.client();
    let nowhere = uuid::Uuid::new_v4();
    let body = crate::with(crate::agent(), json!({"environment_id": nowhere}));
    let refusal = client.post("/agents", &body).await.refusal(404);
    assert!(refusal.contains("Environment"), "{refusal}");
    let path = format!("/agents/{}", client.create_agent(&crate::agent()).await);
    client
        .put(&path, &json!({"version": 1, "environment_id": nowhere}))
        .await
        .refused(404);
}
