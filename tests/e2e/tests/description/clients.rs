//! Clients that generators made run sessions.

use std::fs;

use aod_e2e::{Server, run, target};
use tokio::process::Command;

use crate::{describe, files, python};

#[tokio::test]
async fn a_generated_python_client_runs_a_session() {
    let python = python().await;
    let server = Server::demo().await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    // What it would run behind its work changes nothing of what it made.
    fs::write(&config, "post_hooks: []\n").unwrap();
    let mut generator = Command::new(&python);
    generator
        .args([
            "-m",
            "openapi_python_client",
            "generate",
            "--meta",
            "none",
            "--overwrite",
        ])
        .arg("--config")
        .arg(&config)
        .arg("--path")
        .arg(describe(&server, folder.path()).await)
        .arg("--output-path")
        .arg(folder.path().join("generated"));
    run("openapi-python-client", generator).await;
    fs::copy(files().join("session.py"), folder.path().join("session.py")).unwrap();
    let mut client = Command::new(&python);
    client
        .arg("session.py")
        .current_dir(folder.path())
        .env("AOD_API_URL", server.client().base())
        .env("AOD_API_TOKEN", server.token());
    let said = run("the Python client", client).await;
    assert!(said.contains("a session of two turns ran"), "{said}");
}

#[tokio::test]
async fn a_generated_typescript_client_runs_a_session() {
    let server = Server::demo().await;
    // Where its packages are found again the next time.
    let folder = target().join("openapi-typescript");
    fs::create_dir_all(&folder).unwrap();
    for name in ["package.json", "tsconfig.json", "session.ts"] {
        fs::copy(files().join(name), folder.join(name)).unwrap();
    }
    let wanted = fs::read_to_string(folder.join("package.json")).unwrap();
    let installed = folder.join("installed.json");
    if fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        println!("its packages are there");
    } else {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-fund", "--no-audit", "--no-package-lock"])
            .current_dir(&folder);
        run("npm install", npm).await;
        fs::write(&installed, wanted).unwrap();
    }
    let description = describe(&server, &folder).await;
    let node = |program: &str, arguments: &[&str]| {
        let mut command = Command::new("node");
        command
            .arg(program)
            .args(arguments)
            .current_dir(&folder)
            .env("AOD_API_URL", server.client().base())
            .env("AOD_API_TOKEN", server.token());
        command
    };
    let generator = "node_modules/openapi-typescript/bin/cli.js";
    let arguments = [description.to_str().unwrap(), "--output", "schema.ts"];
    run("openapi-typescript", node(generator, &arguments)).await;
    run("tsc", node("node_modules/typescript/bin/tsc", &[])).await;
    let said = run("the TypeScript client", node("out/session.js", &[])).await;
    assert!(said.contains("a session of two turns ran"), "{said}");
}
