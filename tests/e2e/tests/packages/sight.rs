//! What sessions have of packages, and what packages have of the host.

use aod_e2e::{Registry, files_with};
use serde_json::{Value, json};

use crate::{environment, layer, layers, printed, server, start};

#[tokio::test]
async fn packages_are_there_for_the_setup_script_and_for_turns() {
    let registry = Registry::start();
    let server = server(&registry).await;
    let client = server.client();
    let environment = client
        .create_environment(&json!({
            "name": "e",
            "packages": {"pip": ["sample-a", "sample-b==1.0.0"], "npm": ["sample-c"]},
            "setup_script": "python3 -c 'import sample_a; sample_a.main()' >made; sample-c-js >>made\n\
                             echo PYTHONPATH=/workspace/own >>$AOD_ENV",
            "vars": {"NODE_PATH": "/nowhere"},
        }))
        .await;
    let missing = layer(client, &environment).await;
    assert_eq!(missing, json!({"state": "missing"}));
    let prompt = "$ mkdir -p own; echo word = 1 >own/mine.py\n\
                  $ cat made; sample-b-py; sample-a-py; sample-c-js\n\
                  $ python3 -c 'import sample_b, mine; sample_b.main()'\n\
                  $ node -e 'console.log(\"required \" + require(\"sample-c\"))'\n\
                  $ touch /opt/aod/packages/x /opt/aod/packages/python/x; echo code $?";
    let first = start(client, &environment, prompt).await;
    let stdout = first.ended().await.completed().stdout();
    for shown in [
        "python sample-a",
        "node sample-c",
        "python sample-b",
        "required node sample-c",
        "code 1",
    ] {
        assert!(stdout.contains(shown), "{shown}: {stdout}");
    }
    let said = printed(&first).await;
    assert!(said.contains("$ python3 -m pip install"), "{said}");

    // Another session, and another turn, have nothing to install.
    let second = start(client, &environment, "$ sample-a-py").await;
    let ended = second.ended().await.completed();
    assert!(ended.stdout().contains("python sample-a"));
    let said = printed(&second).await;
    assert!(!said.contains("install"), "{said}");
    first.prompt("$ sample-b-py >made").await;
    first.ended().await.completed();
    assert_eq!(
        server.workspace_file(&first.id, "made").unwrap(),
        "python sample-b\n"
    );
    assert_eq!(registry.asked("/simple/sample-a/"), 1);
    assert_eq!(layers(&server).len(), 1);

    let ready = layer(client, &environment).await;
    assert_eq!(ready["state"], "ready", "{ready}");
    assert!(ready["size_bytes"].as_u64() > Some(1000), "{ready}");
    for time in ["built_at", "used_at"] {
        assert!(ready[time].is_string(), "{ready}");
    }
    // Whoever says the same in another order shares them.
    let packages = json!({"npm": ["sample-c"], "pip": ["sample-b==1.0.0", "sample-a"], "go": []});
    let same = crate::environment(client, packages).await;
    assert_eq!(layer(client, &same).await["built_at"], ready["built_at"]);
    let none = client.create_environment(&json!({"name": "none"})).await;
    assert_eq!(layer(client, &none).await, Value::Null);
}

#[tokio::test]
async fn what_packages_run_sees_neither_secrets_nor_the_host() {
    let registry = Registry::start();
    let server = server(&registry).await;
    let client = server.client();
    let secret = format!("secret-{}", uuid::Uuid::new_v4());
    let environment = client
        .create_environment(&json!({
            "name": "e", "packages": {"npm": ["sample-probe"]}, "env_vars": {"A_SECRET": secret},
        }))
        .await;
    let prompt = "$ cp /opt/aod/packages/node/lib/seen.json .\n\
                  $ cat /opt/aod/packages/node/lib/link || echo nothing there";
    let session = start(client, &environment, prompt).await;
    let stdout = session.ended().await.completed().stdout();
    assert!(stdout.contains("nothing there"), "{stdout}");
    let seen = server.workspace_file(&session.id, "seen.json").unwrap();
    let seen: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen["writable"], json!([]), "{seen}");
    let paths = seen["paths"].as_object().unwrap();
    assert!(paths.len() == 5, "{seen}");
    assert!(paths.values().all(|there| *there == json!(false)), "{seen}");
    assert_eq!(seen["env"]["A_SECRET"], Value::Null);
    assert_eq!(seen["env"]["HOME"], "/home/agent");
    let packages = server.data().join("packages");
    assert!(files_with(&packages, &secret, &|_| false).is_empty());
}

#[tokio::test]
async fn what_is_no_package_is_refused_and_named() {
    let server = aod_e2e::Server::demo().await;
    let client = server.client();
    for (manager, name) in [
        ("pip", "--index-url=https://example.com"),
        ("pip", "git+https://example.com/a/b"),
        ("pip", "../x"),
        ("npm", "user/repository"),
        ("npm", "x@file:../y"),
        ("apt", "-oDebug::pkgAcquire=1"),
        ("apt", "jq-"),
        ("gem", "rake;true"),
        ("go", "example.com/../x"),
        ("cargo", "--git=https://example.com/x"),
    ] {
        let good = match manager {
            "go" => "example.com/sample",
            _ => "sample",
        };
        let body = json!({"name": "e", "packages": {manager: [good, name]}});
        let detail = client.post("/environments", &body).await.refused(422);
        let place = json!(["body", "packages", manager, 1]);
        assert_eq!(detail[0]["loc"], place, "{name}: {detail}");
    }
    // What could be neither built nor seen is no layer.
    let environment = environment(client, json!({"pip": []})).await;
    assert_eq!(layer(client, &environment).await, Value::Null);
    assert!(layers(&server).is_empty());
}
